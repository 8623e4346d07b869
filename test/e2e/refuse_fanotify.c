/*
 * A fanotify(7) group that decides on accesses to files: ckpt must not stand still with it.
 */
#include "e2e.h"

#include <sys/fanotify.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	int fd = fanotify_init(FAN_CLASS_CONTENT, O_RDONLY);
	if (fd < 0)
		skip("no fanotify: %s", strerror(errno));
	must(!mkdir("dir", 0700));
	if (fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM | FAN_EVENT_ON_CHILD, AT_FDCWD, "dir"))
		skip("no permission events: %s", strerror(errno));
	e2e_expect("%d fd %d fanotify permission", getpid(), fd);

	e2e_wait();

	must(!fanotify_mark(fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL));
	return 0;
}
