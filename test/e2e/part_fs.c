/* Working directory, root directory and umask; a child in a chroot; two threads that share them, a child that does not.
 */
#include "e2e.h"

static int up, down;

static mode_t get_umask(void)
{
	mode_t mask = umask(0);

	umask(mask);
	return mask;
}

/* In its chroot, a child cannot see the file that says "check": its parent tells it by a pipe. */
static void in_chroot(void *arg)
{
	struct stat st;
	char c;

	must(!chroot("jail") && !chdir("/inner"));
	umask(0123);
	e2e_child_ready();
	while (read(down, &c, 1) < 0 && errno == EINTR)
		;
	same(get_umask(), 0123);
	must(!stat("marker", &st) && !stat("/inner/marker", &st));
	must(stat("/../ready", &st) == -1 && errno == ENOENT);
	must(!chdir("..") && !stat("inner/marker", &st) && !chdir("..") && !stat("inner/marker", &st));
	_exit(0);
}

static void elsewhere(void *arg)
{
	char cwd[PATH_MAX];

	must(!chdir("/"));
	umask(0);
	e2e_child_ready();
	e2e_wait();
	must(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/"));
	same(get_umask(), 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	char cwd[PATH_MAX], now[PATH_MAX];
	int p[2];

	e2e_begin(argc, argv);
	must(!mkdir("jail", 0755) && !mkdir("jail/inner", 0755) && !mkdir("sub dir", 0755));
	e2e_touch("jail/inner/marker");
	must(!pipe(p));
	down = p[0];
	up = p[1];
	pid_t a = e2e_fork(in_chroot, NULL), b = e2e_fork(elsewhere, NULL);
	must(!chdir("sub dir") && getcwd(cwd, sizeof(cwd)));
	umask(0007);

	e2e_wait();

	must(getcwd(now, sizeof(now)) && !strcmp(cwd, now));
	same(get_umask(), 0007);
	must(write(up, "x", 1) == 1);
	e2e_join(a);
	e2e_join(b);
	return 0;
}
