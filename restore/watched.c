/* What inotify and fanotify watched, found again: among deleted files of the tree, by path, by handle. */
#include "watched.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file_handle.h"
#include "plan.h"

/* A file that is made again has another inode than the watch tells: that of the dump. */
static struct plan_file *find_ghost(const struct plan *plan, uint32_t dev, uint64_t ino)
{
	for (size_t i = 0; i < plan->n_files; i++) {
		const struct plan_ghost *g = plan->files[i].ghost ? plan->files[i].ghost->ghost : NULL;

		char path[80];

		if (g && g->entry->has_ino && g->entry->ino == ino && g->entry->dev == dev &&
		    plan_find_holder(plan, &plan->files[i], path, sizeof(path)))
			return &plan->files[i];
	}
	return NULL;
}

static size_t handle_bytes(const FhEntry *fh)
{
	return fh->bytes <= fh->n_handle * sizeof(*fh->handle) ? fh->bytes : 0;
}

int watched_path(const struct plan *plan, uint32_t dev, uint64_t ino, const FhEntry *fh, char path[PATH_MAX], int *fd)
{
	const struct plan_file *ghost = find_ghost(plan, dev, ino);
	struct stat st;

	if (ghost)
		return plan_find_holder(plan, ghost, path, PATH_MAX) ? 0 : -ENOENT;
	if (fh->path && *fh->path)
		return snprintf(path, PATH_MAX, "%s", fh->path) >= PATH_MAX ? -ENAMETOOLONG
		       : lstat(path, &st)				    ? -errno
									    : 0;
	*fd = file_handle_open(dev, fh->type, fh->handle, handle_bytes(fh));
	snprintf(path, PATH_MAX, "/proc/self/fd/%d", *fd);
	return *fd < 0 ? *fd : 0;
}

bool watched_is_link(const char *path)
{
	struct stat st;

	return strncmp(path, "/proc/", 6) && !lstat(path, &st) && S_ISLNK(st.st_mode);
}

int watched_get_fd(const struct plan *plan, const struct plan_file *file, int *fd)
{
	int pid = 0, number = 0;
	char path[80];

	*fd = -1;
	if (!plan_find_holder(plan, file, path, sizeof(path)))
		return 0;
	sscanf(path, "/proc/%d/fd/%d", &pid, &number);
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	*fd = pidfd < 0 ? -1 : pidfd_getfd(pidfd, number, 0);
	return *fd < 0 ? log_errno(errno, "can't get %s 0x%x (%s)", file->kind->name, file->id, path) : 0;
}
