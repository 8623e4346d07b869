/* The vDSO: its functions answer, called through libc and through the address that the auxiliary vector gives. */
#include "e2e.h"

#include <elf.h>
#include <sys/auxv.h>
#include <sched.h>

static void *symbol(const char *name)
{
	char *base = (char *)getauxval(AT_SYSINFO_EHDR);
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

static long ns(clockid_t clock)
{
	struct timespec t;

	must(!clock_gettime(clock, &t));
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	if (!getauxval(AT_SYSINFO_EHDR))
		skip("no vDSO");
	int (*gettime)(clockid_t, struct timespec *) = symbol("__vdso_clock_gettime");
	long before = ns(CLOCK_REALTIME), mono = ns(CLOCK_MONOTONIC);
	struct timespec t, u;

	e2e_wait();

	must(ns(CLOCK_REALTIME) > before);
	must(ns(CLOCK_MONOTONIC) > mono);
	must(ns(CLOCK_REALTIME) - before < 3600l * 1000000000);
	if (gettime) {
		must(symbol("__vdso_clock_gettime") == (void *)gettime);
		must(!gettime(CLOCK_MONOTONIC, &t) && !syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &u));
		must(u.tv_sec - t.tv_sec <= 1 && u.tv_sec >= t.tv_sec);
	}
	unsigned int cpu;
	must(!getcpu(&cpu, NULL));
	return 0;
}
