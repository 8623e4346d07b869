/* The functions of the vDSO, found and called as libc does. */
#ifndef E2E_VDSO_H
#define E2E_VDSO_H

#include "e2e.h"

#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>

static void *vdso_symbol(char *base, const char *name)
{
	Elf64_Ehdr *ehdr = (Elf64_Ehdr *)base;
	Elf64_Phdr *phdr = (Elf64_Phdr *)(base + ehdr->e_phoff);
	Elf64_Dyn *dyn = NULL;
	char *load = NULL;
	const char *strings = NULL;
	Elf64_Sym *symbols = NULL;
	uint32_t *hash = NULL;

	for (int i = 0; i < ehdr->e_phnum; i++) {
		if (phdr[i].p_type == PT_LOAD && !load)
			load = base + phdr[i].p_offset - phdr[i].p_vaddr;
		if (phdr[i].p_type == PT_DYNAMIC)
			dyn = (Elf64_Dyn *)(base + phdr[i].p_offset);
	}
	for (; dyn && dyn->d_tag; dyn++) {
		char *at = load + dyn->d_un.d_ptr;

		if (dyn->d_tag == DT_STRTAB)
			strings = at;
		else if (dyn->d_tag == DT_SYMTAB)
			symbols = (Elf64_Sym *)at;
		else if (dyn->d_tag == DT_HASH)
			hash = (uint32_t *)at;
	}
	for (uint32_t i = 0; hash && symbols && i < hash[1]; i++)
		if (!strcmp(strings + symbols[i].st_name, name))
			return load + symbols[i].st_value;
	return NULL;
}

static struct {
	int (*clock_gettime)(clockid_t, struct timespec *);
	int (*clock_getres)(clockid_t, struct timespec *);
	int (*gettimeofday)(struct timeval *, void *);
	time_t (*time)(time_t *);
	int (*getcpu)(unsigned int *, unsigned int *, void *);
	ssize_t (*getrandom)(void *, size_t, unsigned int, void *, size_t);
} vdso;

static void vdso_find(char *base)
{
	vdso.clock_gettime = vdso_symbol(base, "__vdso_clock_gettime");
	vdso.clock_getres = vdso_symbol(base, "__vdso_clock_getres");
	vdso.gettimeofday = vdso_symbol(base, "__vdso_gettimeofday");
	vdso.time = vdso_symbol(base, "__vdso_time");
	vdso.getcpu = vdso_symbol(base, "__vdso_getcpu");
	vdso.getrandom = vdso_symbol(base, "__vdso_getrandom"); /* 6.11 */
}

/* Each gives what the system call gives. */
static void vdso_check(void)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME,	    CLOCK_MONOTONIC, CLOCK_REALTIME_COARSE,
					    CLOCK_MONOTONIC_RAW,    CLOCK_BOOTTIME,  CLOCK_TAI,
					    CLOCK_THREAD_CPUTIME_ID };
	struct timespec t = { 0 }, u = { 0 };
	struct timeval tv = { 0 };
	unsigned int cpu = -1, node = -1;
	unsigned char random[32] = { 0 }, zero[32] = { 0 };

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		must(!vdso.clock_gettime(clocks[i], &t));
		must(!syscall(SYS_clock_gettime, clocks[i], &u));
		must(u.tv_sec - t.tv_sec <= 1 && u.tv_sec >= t.tv_sec);
	}
	must(!vdso.clock_getres(CLOCK_MONOTONIC, &t) && !syscall(SYS_clock_getres, CLOCK_MONOTONIC, &u));
	must(t.tv_sec == u.tv_sec && t.tv_nsec == u.tv_nsec);
	must(!vdso.gettimeofday(&tv, NULL) && !syscall(SYS_clock_gettime, CLOCK_REALTIME, &u));
	must(u.tv_sec - tv.tv_sec <= 1 && u.tv_sec >= tv.tv_sec);
	must(u.tv_sec - vdso.time(NULL) <= 1);
	must(!vdso.getcpu(&cpu, &node, NULL) && (long)cpu < sysconf(_SC_NPROCESSORS_CONF));
	if (vdso.getrandom)
		must(vdso.getrandom(random, sizeof(random), 0, NULL, 0) == sizeof(random) &&
		     memcmp(random, zero, sizeof(zero)));
}

#endif
