/*
 * The memory areas of a process as lines of text, from /proc/PID/smaps.
 *
 * Neighbours that differ in nothing count as one area: whether the kernel merges them depends on the order in
 * which they were made. Shared anonymous memory, deleted files and rings have an inode number that means nothing.
 */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

struct area {
	unsigned long start, end, offset;
	char perms[8], device[16], name[PATH_MAX], flags[256];
	unsigned long inode;
	unsigned long page_size;
};

/* Flags that say what happened to an area, not what it is. */
static const struct {
	const char *flag, *reason;
	bool criu;
} no_matter[] = {
	{ "sd", "soft-dirty: written since the last clear_refs" },
	{ "gu", "may have had guards: spreads when the kernel merges areas" },
	{ "??", "a flag without a name in this kernel" },
	{ "ac", "CRIU has all private areas writable for a moment, so they count as accountable", true },
};

static void clean_flags(char *flags)
{
	for (size_t i = 0; i < sizeof(no_matter) / sizeof(no_matter[0]); i++) {
		char *at = strstr(flags, no_matter[i].flag);

		if (at && no_matter[i].criu <= with_criu())
			memmove(at, at + 3, strlen(at + 3) + 1);
	}
}

static bool continues(const struct area *a, const struct area *b)
{
	return a->end == b->start && !strcmp(a->perms, b->perms) && !strcmp(a->device, b->device) &&
	       !strcmp(a->name, b->name) && !strcmp(a->flags, b->flags) && a->inode == b->inode &&
	       a->page_size == b->page_size && (!a->inode || a->offset + (a->end - a->start) == b->offset) &&
	       strcmp(a->name, "[stack]");
}

static void add_area(struct lines *lines, pid_t pid, const struct area *a)
{
	bool anonymous = strstr(a->name, " (deleted)") || !strncmp(a->name, "anon_inode:", 11);

	/* A stack grows when it is used, be it by a call from outside: its end tells which one it is. */
	add_line(lines, "%d map: %lx-%lx %s %lx %s %lu %s, pages of %lu kB, flags%s", pid,
		 strstr(a->flags, " gd") ? 0 : a->start, a->end, a->perms, a->inode ? a->offset : 0, a->device,
		 anonymous ? 0 : a->inode, a->name, a->page_size, a->flags);
}

static void name_area(struct area *area, const char *name)
{
	bool huge = !strcmp(name, "/anon_hugepage (deleted)");
	/* CRIU makes shared anonymous memory as a memfd. */
	bool memfd = with_criu() && (!strncmp(name, "/memfd:", 7) || huge);

	snprintf(area->name, sizeof(area->name), "%s", memfd ? "/dev/zero (deleted)" : name);
	cut_ghost_name(area->name);
	/* The file behind private huge pages is nobody's: where in it an area lies means nothing. */
	if (huge && area->perms[3] == 'p')
		area->inode = 0;
}

void snapshot_maps(struct lines *lines, pid_t pid)
{
	char *text = read_text("/proc/%d/smaps", pid), *rest = text;
	struct area last = { 0 }, area = { 0 };

	for (char *line; text && (line = strsep(&rest, "\n"));) {
		struct area head = { 0 };
		int at = 0;

		if (sscanf(line, "%lx-%lx %7s %lx %15s %lu %n", &head.start, &head.end, head.perms, &head.offset,
			   head.device, &head.inode, &at) == 6) {
			area = head;
			name_area(&area, line + at);
		} else if (!strncmp(line, "KernelPageSize:", 15)) {
			area.page_size = strtoul(line + 15, NULL, 10);
		} else if (!strncmp(line, "VmFlags:", 8)) {
			snprintf(area.flags, sizeof(area.flags), "%s", line + 8);
			clean_flags(area.flags);
			/* A 32-bit program has none; the kernel shows it in every process that was 64-bit once, as
			 * each restored one was. */
			if (!strcmp(area.name, "[vsyscall]") && last.end <= 1ul << 32)
				continue;
			if (last.end && continues(&last, &area)) {
				last.end = area.end;
				continue;
			}
			if (last.end)
				add_area(lines, pid, &last);
			last = area;
		}
	}
	if (last.end)
		add_area(lines, pid, &last);
	free(text);
}
