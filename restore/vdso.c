/* Finds the vDSO of this process in /proc/self/maps. */
#include "vdso.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

/* A line of the areas, which stand in the order of their addresses, the data below the code. */
static void add_line(struct vdso_layout *layout, const char *line, uint64_t *base)
{
	unsigned long start, end;

	if (sscanf(line, "%lx-%lx", &start, &end) != 2)
		return;
	if (strstr(line, "[vvar") && layout->n_data < VDSO_PARTS - 1) {
		*base = layout->n_data ? *base : start;
		layout->data[layout->n_data++] = end - start;
	} else if (strstr(line, "[vdso]")) {
		*base = layout->n_data ? *base : start;
		layout->code = start - *base;
		layout->code_size = end - start;
		layout->bytes = (const uint8_t *)start;
	}
}

int vdso_find(struct vdso_layout *layout)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];
	uint64_t base = 0;

	*layout = (struct vdso_layout){};
	if (!f)
		return log_errno(errno, "can't read /proc/self/maps: is /proc mounted?");
	while (fgets(line, sizeof(line), f))
		add_line(layout, line, &base);
	return 0;
}

static bool meets(uint64_t start, uint64_t size, uint64_t other, uint64_t other_size, uint64_t *end)
{
	if (!other_size || start >= other + other_size || other >= start + size)
		return false;
	*end = other + other_size;
	return true;
}

bool vdso_occupies(const struct plan_vdso *vdso, uint64_t start, uint64_t size, uint64_t *end)
{
	if (vdso->hint && meets(start, size, vdso->hint, vdso->total, end))
		return true;
	for (size_t i = 0; i < vdso->n_moves; i++)
		if (vdso->moves[i].to && meets(start, size, vdso->moves[i].to, vdso->moves[i].len, end))
			return true;
	return false;
}
