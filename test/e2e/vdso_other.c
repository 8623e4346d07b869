/*
 * A vDSO with room behind it, so that the runner can make it larger in the images. libc does not know where it is and
 * must not be asked for the time.
 */
#include "vdso.h"

int main(int argc, char **argv)
{
	unsigned long start = 0, end = 0, from, to;
	char line[512], *code = (char *)getauxval(AT_SYSINFO_EHDR);

	e2e_begin(argc, argv);
	if (!code)
		skip("no vDSO");
	FILE *f = fopen("/proc/self/maps", "re");
	must(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) != 2 || (!strstr(line, "[vvar") && !strstr(line, "[vdso]")))
			continue;
		start = start ? start : from;
		end = to;
	}
	fclose(f);
	/* all areas as one, for the code finds the data by its distance */
	char *space = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at = space + (1 << 19);
	must(space != MAP_FAILED && !munmap(space, 1 << 20));
	f = fopen("/proc/self/maps", "re");
	must(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &from, &to) != 2 || from < start || to > end)
			continue;
		must(mremap((void *)from, to - from, to - from, MREMAP_MAYMOVE | MREMAP_FIXED, at + (from - start)) ==
		     at + (from - start));
	}
	fclose(f);
	code = at + ((unsigned long)code - start);
	vdso_find(code);
	vdso_check();

	e2e_wait();

	void *gettime = vdso.clock_gettime;
	vdso_check();
	vdso_find(code);
	must(gettime == (void *)vdso.clock_gettime);
	vdso_check();
	return 0;
}
