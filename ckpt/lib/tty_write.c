/* Bytes that are put into a pseudo terminal. */
#include "tty_write.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 1000 /* ms: for the kernel to make room for what was there a moment ago */
#define LINE_BUFFER 4095 /* bytes that the line discipline keeps */
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
		if (b != '\n' && b != XON && b != XOFF && (!n || !memchr(data, b, n)))
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

/* Types bytes, one by one: the line discipline has each when the call returns. */
static int type_all(int master, int slave, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!ioctl(slave, TIOCSTI, &data[i]))
			continue;
		if (errno != EPERM && errno != EIO)
			return -errno;
		/* Not permitted: by the master, which does not wait. */
		int err = write_all(master, data + i, n - i);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
		return err;
	}
	return 0;
}

static int put_lines(int master, int slave, const uint8_t *data, size_t n, const uint32_t *ends, size_t n_ends,
		     uint8_t eof)
{
	size_t at = 0;
	int err = 0;

	for (size_t i = 0; !err && i < n_ends; i++) {
		err = type_all(master, slave, data + at, ends[i] - at);
		if (!err)
			err = type_all(master, slave, &eof, 1);
		at = ends[i];
	}
	return err ? err : type_all(master, slave, data + at, n - at);
}

/* The kernel hands bytes over in the background, by the settings of that moment: waits until it has. */
static void await_input(int slave, size_t n)
{
	int waiting = 0;

	for (int i = 0; i < PATIENCE * 10; i++) {
		if (ioctl(slave, FIONREAD, &waiting) || (size_t)waiting >= n || waiting >= LINE_BUFFER)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
	}
}

int tty_put_input(int master, int slave, const struct termios *t, const uint8_t *data, size_t n, const uint32_t *ends,
		  size_t n_ends)
{
	uint8_t eof = unused_byte(data, n);
	struct termios plain = tty_plain(t, n_ends ? eof : 0);

	if (ioctl(slave, TCSETS, &plain))
		return -errno;
	if (t->c_lflag & ICANON)
		return put_lines(master, slave, data, n, ends, n_ends, eof);
	int err = write_all(master, data, n);
	if (!err)
		await_input(slave, n);
	return err;
}

int tty_put_output(int slave, const struct termios *t, const uint8_t *data, size_t n)
{
	struct termios plain = tty_plain(t, 0);

	return ioctl(slave, TCSETS, &plain) ? -errno : write_all(slave, data, n);
}
