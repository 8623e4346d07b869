/* The directory of the path that was used last. */
#include "near_dir.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

static void open_dir(struct near_dir *dir, int low, int high)
{
	_cleanup_close_ int fd = open(dir->path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	dir->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, low);
	dir->open = dir->fd >= 0;
	if (dir->fd > high)
		near_dir_close(dir);
}

int near_dir_find(struct near_dir *dir, const char *path, int low, int high, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? slash - path + 1 : 0;

	*name = path;
	if (path[0] != '/' || len >= sizeof(dir->path) || !slash[1])
		return AT_FDCWD;
	if (len != dir->len || memcmp(dir->path, path, len)) {
		near_dir_close(dir);
		memcpy(dir->path, path, len);
		dir->path[len] = 0;
		dir->len = len;
		return AT_FDCWD;
	}
	if (!dir->open)
		open_dir(dir, low, high);
	if (!dir->open)
		return AT_FDCWD;
	*name = slash + 1;
	return dir->fd;
}

void near_dir_close(struct near_dir *dir)
{
	if (dir->open)
		close(dir->fd);
	dir->open = false;
	dir->len = 0;
}
