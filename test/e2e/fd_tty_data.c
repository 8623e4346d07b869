/*
 * What waits to be read in pseudo terminals: whole lines, lines that ended by Ctrl-D, the begin of one, bytes that mean
 * something to a terminal; output, also in packet mode. It is there after a dump that leaves the tree running, too.
 */
#include "e2e.h"

#include <sys/ioctl.h>
#include <termios.h>

struct pty {
	int master, slave;
};

static struct pty open_pty(bool lines)
{
	struct pty p = { .master = posix_openpt(O_RDWR | O_NOCTTY) };
	struct termios t;

	must(p.master >= 0 && !grantpt(p.master) && !unlockpt(p.master));
	p.slave = open(ptsname(p.master), O_RDWR | O_NOCTTY);
	must(p.slave >= 0 && !tcgetattr(p.slave, &t));
	t.c_lflag &= ~ECHO;
	t.c_oflag &= ~OPOST;
	if (!lines)
		cfmakeraw(&t);
	must(!tcsetattr(p.slave, TCSANOW, &t));
	return p;
}

static void put(int fd, const char *text, size_t n)
{
	must(write(fd, text, n) == (ssize_t)n);
}

static void expect(int fd, const char *text, size_t n)
{
	char buf[8192];
	ssize_t got = read(fd, buf, sizeof(buf));

	if (got != (ssize_t)n || memcmp(buf, text, n))
		fail("read %zd bytes \"%.*s\", not %zu", got, (int)(got < 0 ? 0 : got), buf, n);
}

int main(int argc, char **argv)
{
	static char much[3000], raw[512];
	int on = 1;

	e2e_begin(argc, argv);
	struct pty lines = open_pty(true), plain = open_pty(false), packet = open_pty(true), empty = open_pty(true),
		   end = open_pty(true);
	must(!ioctl(packet.master, TIOCPKT, &on));
	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = i;
	memset(much, 'x', sizeof(much));
	put(lines.master, "one\ntwo\004three\n\004fo", 17);
	put(lines.slave, "an answer\r\n", 11);
	put(plain.master, raw, sizeof(raw));
	put(plain.slave, much, sizeof(much));
	put(packet.slave, "packet", 6);
	put(end.master, "\004", 1);

	e2e_wait();

	put(lines.master, "ur\n", 3);
	expect(lines.slave, "one\n", 4);
	expect(lines.slave, "two", 3);
	expect(lines.slave, "three\n", 6);
	expect(lines.slave, "", 0);
	expect(lines.slave, "four\n", 5);
	expect(lines.master, "an answer\r\n", 11);
	expect(plain.slave, raw, sizeof(raw));
	expect(plain.master, much, sizeof(much));
	expect(packet.master, "\0packet", 7);
	expect(end.slave, "", 0);
	put(empty.master, "x\n", 2);
	expect(empty.slave, "x\n", 2);
	put(empty.slave, "y", 1);
	expect(empty.master, "y", 1);
	return 0;
}
