/*
 * fanotify(7): marks on files, directories, a file that was deleted, a mount, a file system; masks of events that are
 * ignored; groups that report descriptors, or file handles and names. Events come afterwards as before.
 */
#include "e2e.h"

#include <sys/fanotify.h>
#include <sys/stat.h>

#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x00000200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x00000400
#endif

static int group(unsigned int flags)
{
	int fd = fanotify_init(flags | FAN_CLASS_NOTIF | FAN_NONBLOCK, O_RDONLY | O_LARGEFILE);

	if (fd < 0)
		skip("no fanotify: %s", strerror(errno));
	return fd;
}

static void mark(int fd, unsigned int flags, uint64_t mask, const char *path)
{
	if (fanotify_mark(fd, FAN_MARK_ADD | flags, mask, AT_FDCWD, path))
		skip("fanotify can't mark %s: %s", path, strerror(errno));
}

/* Takes all events. Returns their masks. */
static uint64_t take(int fd)
{
	char buffer[4096] __attribute__((aligned(8)));
	uint64_t masks = 0;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		struct fanotify_event_metadata *e = (void *)buffer;

		for (; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n)) {
			masks |= e->mask;
			if (e->fd >= 0)
				close(e->fd);
		}
	}
	must(n < 0 && errno == EAGAIN);
	return masks;
}

static void touch(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	must(fd >= 0 && write(fd, "x", 1) == 1 && !close(fd));
}

static void check(int file, int names, int deleted, int held)
{
	take(file); /* what the restore did */
	take(names);
	touch("marked");
	same(take(file), FAN_MODIFY | FAN_CLOSE_WRITE);
	touch("dir/child");
	same(take(file), FAN_OPEN);
	touch("quiet/child");
	same(take(file), 0);
	same(take(names), 0);
	must(!mkdir("dir/sub", 0700) && !rmdir("dir/sub"));
	same(take(names), FAN_CREATE | FAN_DELETE | FAN_ONDIR);
	must(write(held, "x", 1) == 1);
	same(take(deleted), FAN_MODIFY);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	int file = group(FAN_CLOEXEC), names = group(FAN_REPORT_FID | FAN_REPORT_DIR_FID | FAN_REPORT_NAME);
	int wide = group(FAN_UNLIMITED_QUEUE | FAN_REPORT_TID), deleted = group(0), empty = group(FAN_UNLIMITED_MARKS);
	touch("marked");
	must(!mkdir("dir", 0700) && !mkdir("quiet", 0700));
	touch("dir/child");
	touch("quiet/child");
	touch("deleted");
	mark(file, 0, FAN_MODIFY | FAN_CLOSE_WRITE, "marked");
	mark(file, 0, FAN_OPEN | FAN_EVENT_ON_CHILD, "dir");
	mark(file, 0, FAN_OPEN | FAN_MODIFY | FAN_EVENT_ON_CHILD, "quiet");
	mark(file, FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN | FAN_MODIFY, "quiet/child");
	mark(names, 0, FAN_CREATE | FAN_DELETE | FAN_ONDIR, "dir");
	mark(deleted, 0, FAN_MODIFY, "deleted");
	mark(wide, FAN_MARK_MOUNT, FAN_CLOSE_WRITE | FAN_ONDIR, ".");
	mark(wide, FAN_MARK_MOUNT | FAN_MARK_IGNORED_MASK | FAN_MARK_IGNORED_SURV_MODIFY, FAN_MODIFY, ".");
	mark(wide, FAN_MARK_FILESYSTEM, FAN_MODIFY, "/dev/shm");
	/* of newer kernels */
	fanotify_mark(wide, FAN_MARK_ADD | FAN_MARK_EVICTABLE, FAN_ACCESS, AT_FDCWD, "dir");
	fanotify_mark(wide, FAN_MARK_ADD | FAN_MARK_IGNORE | FAN_MARK_IGNORED_SURV_MODIFY, FAN_OPEN | FAN_ONDIR,
		      AT_FDCWD, "quiet");
	int held = open("deleted", O_RDWR);
	must(held >= 0 && !unlink("deleted"));
	check(file, names, deleted, held);

	e2e_wait();

	check(file, names, deleted, held);
	same(take(empty), 0);
	mark(empty, 0, FAN_MODIFY, "marked");
	touch("marked");
	same(take(empty), FAN_MODIFY);
	return 0;
}
