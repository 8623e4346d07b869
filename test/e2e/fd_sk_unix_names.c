/*
 * Names of UNIX sockets and their files: relative, deleted, renamed as servers do that make themselves known only when
 * they are ready, accepted from a listener that is gone, and whose file another one has now.
 */
#include "e2e.h"

#include <sys/socket.h>
#include <sys/un.h>

static int start(int type, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(a.sun_path, name);
	must(fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a)));
	must(type == SOCK_DGRAM || !listen(fd, 3));
	return fd;
}

static int reach(int type, const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, name);
	if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
		return fd;
	int err = errno;
	close(fd);
	errno = err;
	return -1;
}

static void expect_name(int fd, bool peer, const char *name)
{
	struct sockaddr_un a = {};
	socklen_t len = sizeof(a);

	must(!(peer ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &len));
	if (strcmp(a.sun_path, name))
		fail("fd %d: its %sname is %s, not %s", fd, peer ? "peer's " : "", a.sun_path, name);
}

int main(int argc, char **argv)
{
	char c = 0, name[108];

	e2e_begin(argc, argv);
	must(!chdir(e2e_dir) && !mkdir("sub", 0755));
	int relative = start(SOCK_STREAM, "sub/relative");
	int gone = start(SOCK_DGRAM, "gone");
	must(!unlink("gone"));
	/* Two with the same name, the first of which was deleted. */
	int first = start(SOCK_STREAM, "twice");
	must(!unlink("twice"));
	int second = start(SOCK_DGRAM, "twice");
	snprintf(name, sizeof(name), "/tmp/e2e-%d.tmp", getpid());
	int renamed = start(SOCK_STREAM, name);
	must(!rename(name, "known") || errno == EXDEV);
	bool moved = access("known", F_OK) == 0;
	int temporary = start(SOCK_STREAM, "known.tmp");
	must(!rename("known.tmp", "final"));
	/* As supervisord does, and with both names left. */
	int linked = start(SOCK_STREAM, "sub/linked.1");
	must(!link("sub/linked.1", "sub/linked") && !unlink("sub/linked.1"));
	int many = start(SOCK_STREAM, "many.1");
	must(!link("many.1", "many.2") && !link("many.1", "many.3"));
	int listener = start(SOCK_STREAM, "left"), client = reach(SOCK_STREAM, "left");
	int accepted = accept(listener, NULL, NULL);
	must(client >= 0 && accepted >= 0 && !close(listener) && !unlink("left"));
	must(write(client, "x", 1) == 1);
	must(!chdir("/"));

	e2e_wait();

	must(!chdir(e2e_dir));
	expect_name(relative, false, "sub/relative");
	must(reach(SOCK_STREAM, "sub/relative") >= 0 && accept(relative, NULL, NULL) >= 0);
	expect_name(gone, false, "gone");
	must(access("gone", F_OK) && access("left", F_OK) && access("known.tmp", F_OK));
	expect_name(first, false, "twice");
	expect_name(second, false, "twice");
	must(reach(SOCK_DGRAM, "twice") >= 0);
	must(reach(SOCK_STREAM, "twice") < 0 && errno == EPROTOTYPE);
	expect_name(renamed, false, name);
	must(reach(SOCK_STREAM, moved ? "known" : name) >= 0 && accept(renamed, NULL, NULL) >= 0);
	expect_name(temporary, false, "known.tmp");
	must(reach(SOCK_STREAM, "final") >= 0 && accept(temporary, NULL, NULL) >= 0);
	expect_name(linked, false, "sub/linked.1");
	must(reach(SOCK_STREAM, "sub/linked") >= 0 && accept(linked, NULL, NULL) >= 0 && access("sub/linked.1", F_OK));
	expect_name(many, false, "many.1");
	for (const char *each = "many.1\0many.2\0many.3\0"; *each; each += strlen(each) + 1)
		must(reach(SOCK_STREAM, each) >= 0 && accept(many, NULL, NULL) >= 0);
	expect_name(accepted, false, "left");
	expect_name(client, true, "left");
	must(read(accepted, &c, 1) == 1 && c == 'x');
	unlink(name);
	return 0;
}
