/*
 * /proc/meminfo, and the limits of memory cgroups (v2: memory.max and memory.high, v1: memory.limit_in_bytes) from that
 * of the task up to the root, as far as they are mounted here. What files have in the page cache can be had back.
 */
#include "memory_room.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "proc.h"

#define UNLIMITED (~0ul)

/* The number behind a name at the begin of a line, or what is said if there is none. */
static uint64_t number_of(const char *text, const char *name, uint64_t otherwise)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len))
			return strtoull(line + len, NULL, 10);
	}
	return otherwise;
}

uint64_t memory_available(const char *meminfo)
{
	uint64_t kb = number_of(meminfo, "MemAvailable:", UNLIMITED >> 10);

	return kb < UNLIMITED >> 10 ? kb << 10 : UNLIMITED;
}

static uint64_t inactive_files(const char *stat)
{
	return number_of(stat, "total_inactive_file ", number_of(stat, "inactive_file ", 0));
}

/* A file that holds one number; "max" and no file: unlimited. */
static uint64_t read_number(int dir, const char *name)
{
	_cleanup_free_ char *text = NULL;

	if (proc_read(dir, name, &text, NULL) || text[0] < '0' || text[0] > '9')
		return UNLIMITED;
	return strtoull(text, NULL, 10);
}

static uint64_t room_in(int dir, bool v2)
{
	_cleanup_free_ char *stat = NULL;
	uint64_t limit = read_number(dir, v2 ? "memory.max" : "memory.limit_in_bytes");
	uint64_t high = v2 ? read_number(dir, "memory.high") : UNLIMITED;
	uint64_t used = read_number(dir, v2 ? "memory.current" : "memory.usage_in_bytes");

	limit = high < limit ? high : limit;
	if (limit == UNLIMITED || used == UNLIMITED)
		return UNLIMITED;
	uint64_t cache = proc_read(dir, "memory.stat", &stat, NULL) ? 0 : inactive_files(stat);
	used -= cache < used ? cache : used;
	return used < limit ? limit - used : 0;
}

/* The least of a cgroup and all above it. */
static uint64_t room_of_path(const char *mount, const char *path, bool v2)
{
	uint64_t room = UNLIMITED;
	char name[PATH_MAX];

	if (snprintf(name, sizeof(name), "%s%s", mount, path) >= (int)sizeof(name))
		return UNLIMITED;
	while (strlen(name) >= strlen(mount)) {
		_cleanup_close_ int dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		uint64_t here = dir < 0 ? UNLIMITED : room_in(dir, v2);
		char *slash = strrchr(name, '/');

		room = here < room ? here : room;
		if (!slash)
			break;
		*slash = 0;
	}
	return room;
}

/* Where the hierarchy is mounted; "": nowhere. */
static void find_mount(const char *mountinfo, bool v2, char mount[PATH_MAX])
{
	mount[0] = 0;
	for (const char *line = mountinfo; line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
		char root[PATH_MAX], at[PATH_MAX], options[512] = "";
		const char *rest = strstr(line, " - ");
		const char *end = strchrnul(line, '\n');

		if (!rest || rest > end || sscanf(line, "%*d %*d %*s %4095s %4095s", root, at) != 2 ||
		    strcmp(root, "/"))
			continue;
		sscanf(rest, " - %*s %*s %511s", options);
		if (v2 ? !strncmp(rest, " - cgroup2 ", 11)
		       : !strncmp(rest, " - cgroup ", 10) && strstr(options, "memory")) {
			strcpy(mount, at);
			return;
		}
	}
}

/* v2: "0::/path", v1: "7:memory:/path". */
uint64_t memory_room_of_cgroups(const char *mountinfo, const char *cgroups, bool v2)
{
	char mount[PATH_MAX];

	find_mount(mountinfo, v2, mount);
	for (const char *line = cgroups; mount[0] && line && *line; line = strchr(line, '\n'), line += line ? 1 : 0) {
		char path[PATH_MAX];
		bool here = v2 ? sscanf(line, "0::%4095[^\n]", path) == 1
			       : sscanf(line, "%*d:memory:%4095[^\n]", path) == 1;

		if (here)
			return room_of_path(mount, path, v2);
	}
	return UNLIMITED;
}

uint64_t memory_room(int proc)
{
	_cleanup_close_ int top = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *meminfo = NULL, *mountinfo = NULL, *cgroups = NULL;

	if (top < 0 || proc_read(top, "meminfo", &meminfo, NULL))
		return 0;
	uint64_t room = memory_available(meminfo);
	if (proc_read(top, "self/mountinfo", &mountinfo, NULL) || proc_read(proc, "cgroup", &cgroups, NULL))
		return room;
	for (int v2 = 0; v2 <= 1; v2++) {
		uint64_t here = memory_room_of_cgroups(mountinfo, cgroups, v2);

		room = here < room ? here : room;
	}
	return room;
}
