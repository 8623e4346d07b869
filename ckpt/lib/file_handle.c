/* Files by their handles, on whatever mount has the file system. */
#include "file_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"

uint32_t kernel_dev(dev_t dev)
{
	return major(dev) << 20 | minor(dev);
}

void mountinfo_unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from; to++) {
		unsigned int c;

		if (*from == '\\' && sscanf(from + 1, "%3o", &c) == 1) {
			*to = c;
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = 0;
}

static int open_on(const char *mount, int type, const void *handle, size_t bytes)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u;
	_cleanup_close_ int dir = open(mount, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (dir < 0)
		return -errno;
	u.h.handle_bytes = bytes;
	u.h.handle_type = type;
	memcpy(u.h.f_handle, handle, bytes);
	int fd = open_by_handle_at(dir, &u.h, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int file_handle_open(uint32_t dev, int type, const void *handle, size_t bytes)
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_MAX], path[PATH_MAX];
	unsigned int major, minor;
	int fd = -ENOENT;

	if (!mounts || bytes > MAX_HANDLE_SZ || !bytes)
		return -ENOENT;
	while (fd < 0 && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &major, &minor, path) != 3 || (major << 20 | minor) != dev)
			continue;
		mountinfo_unescape(path);
		fd = open_on(path, type, handle, bytes);
	}
	return fd;
}
