/* A job of a shell: the terminal is the shell's, and comes from outside again when it is restored (--shell-job). */
#include "e2e.h"

#include <termios.h>

int main(int argc, char **argv)
{
	struct termios settings;

	e2e_begin(argc, argv);
	must(isatty(0)); /* standard input, from the runner */
	same(tcgetsid(0), getsid(0));
	must(getsid(0) != getpid());
	int dup_tty = dup(0);
	must(dup_tty >= 0);

	e2e_wait();

	must(isatty(0) && isatty(dup_tty));
	same(tcgetsid(0), getsid(0));
	must(getsid(0) != getpid());
	must(!tcgetattr(0, &settings));
	int tty = open("/dev/tty", O_RDWR);
	must(tty >= 0);
	must(write(tty, "hello\n", 6) == 6);
	return 0;
}
