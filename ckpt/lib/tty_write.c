/* Bytes that are put into a pseudo terminal. */
#include "tty_write.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PATIENCE 1000 /* ms: for the kernel to make room for what was there a moment ago */
#define XON 0x11
#define XOFF 0x13

static bool is_ready(int fd, short events, int wait)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, wait) == 1 && pfd.revents & events;
}

struct termios tty_plain(const struct termios *t, uint8_t end)
{
	struct termios p = *t;

	/* Flow control stays: toggling it would be told to a master in packet mode. */
	p.c_iflag &= IXON;
	p.c_oflag = 0;
	p.c_lflag &= ICANON | EXTPROC;
	for (size_t i = 0; i < NCCS; i++)
		if (i != VSTART && i != VSTOP && i != VMIN && i != VTIME)
			p.c_cc[i] = 0;
	p.c_cc[VEOF] = end;
	return p;
}

/* A byte that does not occur. */
static uint8_t unused_byte(const uint8_t *data, size_t n)
{
	for (int b = 1; b < 256; b++)
		if (b != '\n' && b != XON && b != XOFF && !memchr(data, b, n))
			return b;
	return 0xff;
}

static int write_all(int fd, const uint8_t *data, size_t n)
{
	while (n) {
		if (!is_ready(fd, POLLOUT, PATIENCE))
			return -EAGAIN;
		ssize_t done = write(fd, data, n);

		if (done < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
		if (done > 0) {
			data += done;
			n -= done;
		}
	}
	return 0;
}

int tty_put_input(int master, int slave, const struct termios *t, const uint8_t *data, size_t n, const uint32_t *ends,
		  size_t n_ends)
{
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; !err && i <= n_ends; i++) {
		size_t end = i < n_ends ? ends[i] : n;
		uint8_t eof = unused_byte(data + at, end - at);
		struct termios plain = tty_plain(t, i < n_ends ? eof : 0);

		if (ioctl(slave, TCSETS, &plain))
			return -errno;
		err = write_all(master, data + at, end - at);
		if (!err && i < n_ends)
			err = write_all(master, &eof, 1);
		/* The kernel hands it over in the background, by the settings of that moment: poll(2) waits for it. */
		is_ready(slave, POLLIN, 0);
		at = end;
	}
	return err;
}

int tty_put_output(int slave, const struct termios *t, const uint8_t *data, size_t n)
{
	struct termios plain = tty_plain(t, 0);

	return ioctl(slave, TCSETS, &plain) ? -errno : write_all(slave, data, n);
}
