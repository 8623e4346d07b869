/*
 * A path leads to a file if the rest of the path leads to the directory that has its name, and nothing is mounted on
 * it. Mounts that can be come by from where we are stand in /proc/self/mountinfo.
 */
#include "known_dirs.h"

#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "file_handle.h"

struct known_dir {
	const char *path; /* of a probe; else the copy behind it */
	size_t len;
	bool good; /* nothing is mounted in it: its names are what they seem */
	struct stat st;
	char copy[];
};

struct known_dirs {
	void *tree; /* of tsearch(3) */
	struct known_dir *last; /* most files come with their neighbours */
};

static int compare(const void *a, const void *b)
{
	const struct known_dir *x = a, *y = b;

	return x->len != y->len ? (x->len < y->len ? -1 : 1) : memcmp(x->path, y->path, x->len);
}

/* look: where it leads. Returns NULL without memory. */
static struct known_dir *add(struct known_dirs *dirs, const char *path, size_t len, bool look)
{
	struct known_dir *dir = malloc(sizeof(*dir) + len + 2);

	if (!dir)
		return NULL;
	/* with a dot, so that it must be allowed to look for names in it */
	memcpy(dir->copy, path, len);
	strcpy(dir->copy + len, ".");
	dir->path = dir->copy;
	dir->len = len;
	dir->good = look && !stat(dir->copy, &dir->st);
	if (tsearch(dir, &dirs->tree, compare))
		return dir;
	free(dir);
	return NULL;
}

/* The directory of a path, up to its last slash. */
static struct known_dir *find(struct known_dirs *dirs, const char *path, bool look)
{
	const char *slash = strrchr(path, '/');
	struct known_dir probe = { .path = path, .len = slash ? slash - path + 1 : 0 };

	if (!probe.len || (dirs->last && !compare(dirs->last, &probe)))
		return probe.len ? dirs->last : NULL;
	struct known_dir **known = tfind(&probe, &dirs->tree, compare);
	dirs->last = known ? *known : add(dirs, path, probe.len, look);
	return dirs->last;
}

struct known_dirs *known_dirs_new(void)
{
	struct known_dirs *dirs = calloc(1, sizeof(*dirs));
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	char path[PATH_MAX];
	bool good = dirs && mounts;

	while (good && getline(&line, &size, mounts) > 0) {
		if (sscanf(line, "%*d %*d %*s %*s %4095s", path) != 1)
			continue;
		mountinfo_unescape(path);
		good = find(dirs, path, false); /* it may take long to look there */
	}
	if (good)
		return dirs;
	known_dirs_free(dirs);
	return NULL;
}

void known_dirs_free(struct known_dirs *dirs)
{
	if (dirs)
		tdestroy(dirs->tree, free);
	free(dirs);
}

bool known_dirs_lead(struct known_dirs *dirs, const char *path, dev_t dev, uint64_t dir)
{
	const struct known_dir *known = find(dirs, path, true);

	return known && known->good && known->st.st_dev == dev && known->st.st_ino == dir;
}
