/* inotify: files, a directory, a symbolic link, one that was deleted; numbers with gaps, one-shot, shared with a child.
 */
#include "e2e.h"

#include <sys/inotify.h>

static int fd;

static void expect(int wd, uint32_t mask, const char *name)
{
	char buf[4096] __attribute__((aligned(8)));
	const struct inotify_event *e = (const void *)buf;
	ssize_t n = read(fd, buf, sizeof(*e) + (*name ? 16 : 0));

	if (n < (ssize_t)sizeof(*e))
		fail("no event of watch %d: %s", wd, strerror(errno));
	same(e->wd, wd);
	same(e->mask, mask);
	if (strcmp(e->len ? e->name : "", name))
		fail("event of %s, not of %s", e->name, name);
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	while (access(e2e_path("go"), F_OK))
		e2e_sleep_ms(2);
	_exit(0);
}

int main(int argc, char **argv)
{
	int w[6];
	char c;

	e2e_begin(argc, argv);
	must(!mkdir(e2e_path("d"), 0700) && !symlink("nowhere", e2e_path("l")));
	e2e_touch("f");
	e2e_touch("once");
	must((fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) >= 0);
	for (int i = 0; i < 6; i++)
		must((w[i] = inotify_add_watch(fd, e2e_path("d"), IN_CREATE | IN_DELETE)) > 0 &&
		     (i == 5 || !inotify_rm_watch(fd, w[i])));
	w[0] = inotify_add_watch(fd, e2e_path("f"), IN_MODIFY);
	w[1] = inotify_add_watch(fd, e2e_path("l"), IN_DONT_FOLLOW | IN_MOVE_SELF);
	w[2] = inotify_add_watch(fd, e2e_path("once"), IN_ONESHOT | IN_MODIFY);
	int gone = open(e2e_path("gone"), O_RDWR | O_CREAT, 0600);
	w[3] = inotify_add_watch(fd, e2e_path("gone"), IN_MODIFY);
	must(gone >= 0 && !unlink(e2e_path("gone")) && w[0] > 0 && w[1] > 0 && w[2] > 0 && w[3] > 0);
	char junk[4096];
	while (read(fd, junk, sizeof(junk)) > 0)
		;
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	must(read(fd, &c, 1) < 0 && errno == EAGAIN);
	must(!truncate(e2e_path("f"), 10));
	expect(w[0], IN_MODIFY, "");
	must(write(gone, "x", 1) == 1);
	expect(w[3], IN_MODIFY, "");
	must(!rename(e2e_path("l"), e2e_path("l2")));
	expect(w[1], IN_MOVE_SELF, "");
	must(!truncate(e2e_path("once"), 10));
	expect(w[2], IN_MODIFY, "");
	expect(w[2], IN_IGNORED, "");
	e2e_touch("d/new");
	expect(w[5], IN_CREATE, "new");
	must(inotify_add_watch(fd, ".", IN_OPEN) > w[3]);
	e2e_touch("go");
	e2e_join(pid);
	return 0;
}
