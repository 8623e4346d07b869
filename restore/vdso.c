/* Finds the vDSO of this process in /proc/self/maps. */
#include "vdso.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

int vdso_find(struct vdso_layout *layout)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];

	*layout = (struct vdso_layout){};
	if (!f)
		return log_errno(errno, "can't read /proc/self/maps: is /proc mounted?");
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || strstr(line, "[vsyscall]"))
			continue;
		if (strstr(line, "[vvar") && !layout->vvar_start)
			layout->vvar_start = start;
		if (strstr(line, "[vdso]")) {
			layout->start = start;
			layout->end = end;
		}
	}
	return 0;
}
