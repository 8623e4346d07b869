/*
 * What a CPU can do, as cpuinfo.img has it, and whether this one can do what another did. A program asks its CPU once
 * and remembers (libc chooses its memcpy at the start), so that all that the CPU of the dump offered may be in use.
 */
#ifndef CKPT_CPUINFO_H
#define CKPT_CPUINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "cpuinfo.pb-c.h"

/* What is compared: --cpu-cap. */
enum {
	CPU_CAP_NONE = 0,
	CPU_CAP_FPU = 1, /* extended registers: none may lack, the XSAVE area has the same size */
	CPU_CAP_INS = 2, /* instructions that programs use: none may lack */
	CPU_CAP_CPU = 4, /* the capability words of CPUID: the same */
	CPU_CAP_DEFAULT = CPU_CAP_FPU | CPU_CAP_INS,
	CPU_CAP_ALL = 7,
};

#define CPUINFO_WORDS 19 /* of version 2 of the image's capabilities */
#define CPUINFO_VERSION 2

/* An entry with all that it points to. It points into itself: do not copy it. */
struct cpuinfo {
	CpuinfoEntry entry;
	CpuinfoX86Entry x86, *list[1];
	uint32_t words[CPUINFO_WORDS];
	char model[49];
};

/* Fills info with what this CPU can do, and with its maker, model and name, which nobody compares. */
void cpuinfo_own(struct cpuinfo *info, bool with_name);

/*
 * Whether the CPU "own" can do what that of an image could, as far as caps ask for it. Calls tell, with words, for each
 * thing that it cannot or that is malformed. Returns how many.
 */
unsigned int cpuinfo_compare(const CpuinfoEntry *image, const CpuinfoX86Entry *own, unsigned int caps,
			     void (*tell)(void *arg, const char *what), void *arg);

#endif
