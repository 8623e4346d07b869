/* Finds the vDSO of this process in /proc/self/maps. */
#include "vdso.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "vdso_elf.h"

#define COMPAT_PLACE 0x10000000ul /* where we have that of 32-bit programs for a moment */
#define MAPS_MAX 65536 /* bytes of /proc/self/maps */

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

/* All of /proc/self/maps, with a zero byte behind it; nothing is mapped meanwhile. Returns 0 or -errno (logged). */
static int read_maps(char *text, size_t size)
{
	_cleanup_close_ int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	while (fd >= 0 && len < size - 1 && (n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = 0;
	if (fd < 0 || n < 0)
		return log_errno(errno, "can't read /proc/self/maps: is /proc mounted?");
	return 0;
}

static void parse(struct vdso_layout *layout, char *text)
{
	uint64_t base = 0;

	*layout = (struct vdso_layout){};
	for (char *line; (line = strsep(&text, "\n"));)
		add_line(layout, line, &base);
}

int vdso_find(struct vdso_layout *layout)
{
	char text[MAPS_MAX];
	int err = read_maps(text, sizeof(text));

	parse(layout, text);
	return err;
}

/* There is one vDSO at a time: ours goes for the moment, in which nothing must ask for the time. */
int vdso_find_compat(struct vdso_layout *layout, uint8_t *bytes)
{
	struct vdso_layout own;
	char text[MAPS_MAX];
	int err = vdso_find(&own);

	*layout = (struct vdso_layout){};
	if (err || !own.code_size)
		return err;
	void *start = (void *)(own.bytes - own.code);
	if (munmap(start, own.code + own.code_size))
		return log_errno(errno, "can't unmap our own vDSO");
	if (syscall(SYS_arch_prctl, ARCH_MAP_VDSO_32, COMPAT_PLACE) >= 0) {
		err = read_maps(text, sizeof(text));
		parse(layout, text);
		if (layout->code_size > VDSO_MAX)
			layout->code_size = 0;
		if (layout->code_size) {
			memcpy(bytes, layout->bytes, layout->code_size);
			munmap((void *)(layout->bytes - layout->code), layout->code + layout->code_size);
		}
		layout->bytes = bytes;
	}
	if (syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, start) < 0)
		abort(); /* the next look at a clock would jump into nowhere */
	return err;
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
