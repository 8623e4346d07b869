/*
 * The CPU by its CPUID leaves (Intel SDM vol. 2, AMD APM vol. 3), in the words of cpuinfo.img: those of Linux 4.x, with
 * what is not the CPU's own (bits that Linux makes up, virtualization) as a fixed value or 0.
 */
#include "cpuinfo.h"

#include <cpuid.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/platform/x86.h>

#include "xstate.h"

#define LINUX_WORD 3 /* says something about Linux */
#define LINUX_BITS 0x2110000 /* rep_good, nopl, cpuid: every 64-bit CPU that Linux knows */

enum { EAX, EBX, ECX, EDX };

static const struct {
	uint8_t word;
	uint8_t reg;
	uint32_t leaf, subleaf;
} sources[] = {
	{ 0, EDX, 1, 0 },	   { 4, ECX, 1, 0 },	       { 14, EAX, 6, 0 },	   { 9, EBX, 7, 0 },
	{ 11, ECX, 7, 0 },	   { 18, EDX, 7, 0 },	       { 10, EAX, 0xd, 1 },	   { 1, EDX, 0x80000001, 0 },
	{ 6, ECX, 0x80000001, 0 }, { 13, EBX, 0x80000008, 0 }, { 15, EDX, 0x8000000a, 0 },
};

/* Instructions that a program may use without asking Linux, and what /proc/cpuinfo calls them. */
static const struct {
	uint8_t word, bit;
	const char *name;
} instructions[] = {
	{ 0, 0, "fpu" },
	{ 0, 4, "tsc" },
	{ 0, 8, "cx8" },
	{ 0, 15, "cmov" },
	{ 0, 19, "clflush" },
	{ 0, 23, "mmx" },
	{ 0, 24, "fxsr" },
	{ 0, 25, "sse" },
	{ 0, 26, "sse2" },
	{ 1, 11, "syscall" },
	{ 1, 22, "mmxext" },
	{ 1, 25, "fxsr_opt" },
	{ 1, 27, "rdtscp" },
	{ 1, 29, "lm" },
	{ 1, 30, "3dnowext" },
	{ 1, 31, "3dnow" },
	{ 4, 0, "sse3" },
	{ 4, 1, "pclmulqdq" },
	{ 4, 9, "ssse3" },
	{ 4, 12, "fma" },
	{ 4, 13, "cx16" },
	{ 4, 19, "sse4_1" },
	{ 4, 20, "sse4_2" },
	{ 4, 22, "movbe" },
	{ 4, 23, "popcnt" },
	{ 4, 25, "aes" },
	{ 4, 26, "xsave" },
	{ 4, 27, "osxsave" },
	{ 4, 28, "avx" },
	{ 4, 29, "f16c" },
	{ 4, 30, "rdrand" },
	{ 6, 0, "lahf_lm" },
	{ 6, 5, "abm" },
	{ 6, 6, "sse4a" },
	{ 6, 7, "misalignsse" },
	{ 6, 8, "3dnowprefetch" },
	{ 6, 11, "xop" },
	{ 6, 15, "lwp" },
	{ 6, 16, "fma4" },
	{ 6, 21, "tbm" },
	{ 6, 29, "mwaitx" },
	{ 9, 0, "fsgsbase" },
	{ 9, 3, "bmi1" },
	{ 9, 4, "hle" },
	{ 9, 5, "avx2" },
	{ 9, 8, "bmi2" },
	{ 9, 11, "rtm" },
	{ 9, 14, "mpx" },
	{ 9, 16, "avx512f" },
	{ 9, 17, "avx512dq" },
	{ 9, 18, "rdseed" },
	{ 9, 19, "adx" },
	{ 9, 21, "avx512ifma" },
	{ 9, 23, "clflushopt" },
	{ 9, 24, "clwb" },
	{ 9, 26, "avx512pf" },
	{ 9, 27, "avx512er" },
	{ 9, 28, "avx512cd" },
	{ 9, 29, "sha" },
	{ 9, 30, "avx512bw" },
	{ 9, 31, "avx512vl" },
	{ 10, 0, "xsaveopt" },
	{ 10, 1, "xsavec" },
	{ 10, 2, "xgetbv1" },
	{ 11, 0, "prefetchwt1" },
	{ 11, 1, "avx512vbmi" },
	{ 11, 4, "ospke" },
	{ 11, 5, "waitpkg" },
	{ 11, 6, "avx512_vbmi2" },
	{ 11, 8, "gfni" },
	{ 11, 9, "vaes" },
	{ 11, 10, "vpclmulqdq" },
	{ 11, 11, "avx512_vnni" },
	{ 11, 12, "avx512_bitalg" },
	{ 11, 14, "avx512_vpopcntdq" },
	{ 11, 22, "rdpid" },
	{ 11, 25, "cldemote" },
	{ 11, 27, "movdiri" },
	{ 11, 28, "movdir64b" },
	{ 11, 29, "enqcmd" },
	{ 13, 0, "clzero" },
	{ 18, 2, "avx512_4vnniw" },
	{ 18, 3, "avx512_4fmaps" },
	{ 18, 8, "avx512_vp2intersect" },
	{ 18, 14, "serialize" },
	{ 18, 16, "tsxldtrk" },
	{ 18, 22, "amx_bf16" },
	{ 18, 23, "avx512_fp16" },
	{ 18, 24, "amx_tile" },
	{ 18, 25, "amx_int8" },
};

/* What libc asked the CPU when the program started, or NULL. */
static const struct cpuid_feature *asked_by_libc(uint32_t leaf, uint32_t subleaf)
{
	static const struct {
		uint32_t leaf, subleaf;
		unsigned int index;
	} leaves[] = {
		{ 1, 0, CPUID_INDEX_1 },
		{ 7, 0, CPUID_INDEX_7 },
		{ 7, 1, CPUID_INDEX_7_ECX_1 },
		{ 0xd, 1, CPUID_INDEX_D_ECX_1 },
		{ 0x80000001, 0, CPUID_INDEX_80000001 },
		{ 0x80000008, 0, CPUID_INDEX_80000008 },
	};

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
			return __x86_get_cpuid_feature_leaf(leaves[i].index);
	return NULL;
}

/*
 * What the CPU answers; zeros for a leaf that it does not know. On a virtual machine each question takes microseconds:
 * what libc knows is not asked again.
 */
static void ask(uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
	static _Thread_local uint32_t highest[2];
	const struct cpuid_feature *known = asked_by_libc(leaf, subleaf);
	uint32_t range = leaf & 0x80000000u, *most = &highest[range != 0], unused;

	if (known) {
		memcpy(regs, known->cpuid_array, sizeof(known->cpuid_array));
		return;
	}
	if (!*most)
		__cpuid(range, *most, unused, unused, unused);
	memset(regs, 0, 4 * sizeof(regs[0]));
	if (leaf <= *most)
		__cpuid_count(leaf, subleaf, regs[EAX], regs[EBX], regs[ECX], regs[EDX]);
}

static void fill_identity(struct cpuinfo *info)
{
	CpuinfoX86Entry *x = &info->x86;
	uint32_t regs[4];
	char vendor[13] = "";

	__cpuid(0, regs[EAX], regs[EBX], regs[ECX], regs[EDX]);
	memcpy(vendor, (uint32_t[]){ regs[EBX], regs[EDX], regs[ECX] }, 12);
	x->vendor_id = !strcmp(vendor, "GenuineIntel")	 ? CPUINFO_X86_ENTRY__VENDOR__INTEL
		       : !strcmp(vendor, "AuthenticAMD") ? CPUINFO_X86_ENTRY__VENDOR__AMD
							 : CPUINFO_X86_ENTRY__VENDOR__UNKNOWN;
	ask(1, 0, regs);
	x->cpu_family = regs[EAX] >> 8 & 15;
	x->model = regs[EAX] >> 4 & 15;
	x->stepping = regs[EAX] & 15;
	if (x->cpu_family >= 6)
		x->model |= regs[EAX] >> 12 & 0xf0;
	if (x->cpu_family == 15)
		x->cpu_family += regs[EAX] >> 20 & 0xff;
	for (uint32_t i = 0; i < 3; i++) {
		ask(0x80000002 + i, 0, regs);
		memcpy(info->model + i * 16, regs, 16);
	}
	/* some makers fill it up with spaces */
	for (size_t n = strlen(info->model); n && info->model[n - 1] == ' ';)
		info->model[--n] = 0;
	x->model_id = info->model;
}

void cpuinfo_own(struct cpuinfo *info, bool with_name)
{
	CpuinfoX86Entry *x = &info->x86;
	uint32_t regs[4];

	memset(info, 0, sizeof(*info));
	cpuinfo_entry__init(&info->entry);
	cpuinfo_x86_entry__init(x);
	info->list[0] = x;
	info->entry.n_x86_entry = 1;
	info->entry.x86_entry = info->list;
	if (with_name)
		fill_identity(info);
	x->capability_ver = CPUINFO_VERSION;
	x->n_capability = CPUINFO_WORDS;
	x->capability = info->words;
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
		ask(sources[i].leaf, sources[i].subleaf, regs);
		info->words[sources[i].word] = regs[sources[i].reg];
	}
	info->words[LINUX_WORD] = LINUX_BITS;
	x->has_xfeatures_mask = x->has_xsave_size = x->has_xsave_size_max = true;
	x->xfeatures_mask = xstate_layout()->features & ~XSTATE_BIT(XSTATE_SSE); /* goes without saying in CRIU's */
	ask(0xd, 0, regs);
	x->xsave_size = regs[EBX];
	x->xsave_size_max = regs[ECX];
	ask(7, 1, regs);
	x->has_capability_7_1 = true;
	x->capability_7_1 = regs[EAX];
}

struct teller {
	void (*tell)(void *arg, const char *what);
	void *arg;
	unsigned int told;
};

static void __attribute__((format(printf, 2, 3))) tell(struct teller *t, const char *fmt, ...)
{
	char text[1280];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	t->told++;
	t->tell(t->arg, text);
}

static void compare_instructions(const CpuinfoX86Entry *image, const CpuinfoX86Entry *own, struct teller *t)
{
	/* AVX-VNNI, AVX512-BF16: of leaf 7.1, which CRIU has no word for */
	static const struct {
		uint8_t bit;
		const char *name;
	} newer[] = { { 4, "avx_vnni" }, { 5, "avx512_bf16" } };
	char names[1024] = "";

	for (size_t i = 0; i < sizeof(instructions) / sizeof(instructions[0]); i++) {
		uint32_t lacking = image->capability[instructions[i].word] & ~own->capability[instructions[i].word];

		if (lacking >> instructions[i].bit & 1)
			snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s", instructions[i].name);
	}
	for (size_t i = 0; image->has_capability_7_1 && i < sizeof(newer) / sizeof(newer[0]); i++)
		if ((image->capability_7_1 & ~own->capability_7_1) >> newer[i].bit & 1)
			snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s", newer[i].name);
	if (*names)
		tell(t, "this CPU lacks instructions of the other:%s", names);
}

static void compare_fpu(const CpuinfoX86Entry *image, const CpuinfoX86Entry *own, struct teller *t)
{
	uint64_t known = own->xfeatures_mask | XSTATE_BIT(XSTATE_X87) | XSTATE_BIT(XSTATE_SSE);

	if (image->has_xfeatures_mask && image->xfeatures_mask & ~known)
		tell(t, "this CPU lacks extended registers of the other: XCR0 bits 0x%llx%s",
		     (unsigned long long)(image->xfeatures_mask & ~known),
		     image->has_xfeatures_used && !(image->xfeatures_used & ~known) ? ", though nothing stands in them"
										    : "");
	if (image->has_xsave_size && image->xsave_size != own->xsave_size)
		tell(t, "the XSAVE area of this CPU has %u bytes, that of the other %u", own->xsave_size,
		     image->xsave_size);
}

static void compare_words(const CpuinfoX86Entry *image, const CpuinfoX86Entry *own, struct teller *t)
{
	for (size_t i = 0; i < CPUINFO_WORDS; i++)
		if (i != LINUX_WORD && image->capability[i] != own->capability[i])
			tell(t, "CPUID differs: capability word %zu is 0x%x here, 0x%x there", i, own->capability[i],
			     image->capability[i]);
}

unsigned int cpuinfo_compare(const CpuinfoEntry *image, const CpuinfoX86Entry *own, unsigned int caps,
			     void (*teller)(void *arg, const char *what), void *arg)
{
	struct teller t = { teller, arg, 0 };

	if (image->n_x86_entry != 1) {
		tell(&t, "it describes %zu x86 CPUs, not one", image->n_x86_entry);
		return t.told;
	}
	const CpuinfoX86Entry *x = image->x86_entry[0];
	if (x->capability_ver != CPUINFO_VERSION || x->n_capability != CPUINFO_WORDS) {
		tell(&t, "its capabilities have version %u and %zu words; version %d with %d words is known",
		     x->capability_ver, x->n_capability, CPUINFO_VERSION, CPUINFO_WORDS);
		return t.told;
	}
	if (caps & CPU_CAP_FPU)
		compare_fpu(x, own, &t);
	if (caps & CPU_CAP_INS)
		compare_instructions(x, own, &t);
	if (caps & CPU_CAP_CPU)
		compare_words(x, own, &t);
	return t.told;
}
