/* Terminals whose other end is outside the tree: one is named with the remedy, the program goes on. */
#include "e2e.h"

#include <termios.h>

int main(int argc, char **argv)
{
	int p[2];
	char c = 0;

	e2e_begin(argc, argv);
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	must(master >= 0 && !grantpt(master) && !unlockpt(master));
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	must(slave >= 0 && !pipe(p));
	/* A grandchild whose parent has gone is not of the tree any more. */
	if (!fork()) {
		if (!fork()) {
			setsid();
			close(slave);
			close(p[0]);
			must(write(p[1], "", 1) == 1);
			while (!e2e_time_to_check())
				e2e_sleep_ms(3);
			must(read(master, &c, 1) == 1 && c == 'x' && write(master, "y\n", 2) == 2);
			while (read(master, &c, 1) == 1) /* until the program ends */
				;
			_exit(0);
		}
		_exit(0);
	}
	wait(NULL);
	must(read(p[0], &c, 1) == 1);
	close(p[0]);
	close(p[1]);
	close(master);
	e2e_expect("%d fd %d terminal outside", getpid(), slave);

	e2e_wait();

	must(write(slave, "x", 1) == 1 && read(slave, &c, 1) == 1 && c == 'y');
	return 0;
}
