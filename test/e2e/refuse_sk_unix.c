/* A UNIX socket whose other end is held outside the tree, and one that waits there to be accepted. */
#include "e2e.h"

#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "outside" };
	int pair[2], p[2];
	char c = 0;

	e2e_begin(argc, argv);
	must(!chdir(e2e_dir) && !pipe(p));
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
	must(!bind(listener, (struct sockaddr *)&a, sizeof(a)) && !listen(listener, 1));
	must(!connect(client, (struct sockaddr *)&a, sizeof(a)));
	/* A grandchild whose parent has gone is not of the tree any more. */
	if (!fork()) {
		if (!fork()) {
			setsid();
			close(pair[0]);
			close(p[0]);
			close(client);
			must(write(p[1], "", 1) == 1);
			while (!e2e_time_to_check())
				e2e_sleep_ms(3);
			must(read(pair[1], &c, 1) == 1 && c == 'x');
			int fd = accept(listener, NULL, NULL);
			must(fd >= 0 && write(fd, "y", 1) == 1);
			_exit(0);
		}
		_exit(0);
	}
	wait(NULL);
	must(read(p[0], &c, 1) == 1);
	close(p[0]);
	close(p[1]);
	close(pair[1]);
	close(listener);
	e2e_expect("%d fd %d unix socket outside", getpid(), pair[0]);
	e2e_expect("%d fd %d unix socket accepted outside", getpid(), client);

	e2e_wait();

	must(write(pair[0], "x", 1) == 1);
	must(read(client, &c, 1) == 1 && c == 'y');
	return 0;
}
