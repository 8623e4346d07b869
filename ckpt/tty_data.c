/*
 * What waits to be read at the two ends of a pseudo terminal. The kernel lets nobody look without taking, so it is read
 * and at once written again from the other end. A process of its own does that, in a session of its own: it is done
 * even when we are killed in the middle.
 *
 * A slave that reads lines (ICANON) has whole lines and the begin of one. Lines are read one by one, so that their ends
 * are known; the begin can be read only when the mode is another for a moment. While bytes are written again the
 * terminal gives none of them a meaning.
 */
#include "tty_data.h"

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "tty_write.h"

#define MASTER_BYTES (1 << 20) /* more than the kernel lets a slave write ahead */

struct copy {
	int err;
	size_t n_master, n_slave, n_ends;
	uint32_t ends[TTY_LINES];
	uint8_t slave[2 * TTY_LINES];
	uint8_t status, master[MASTER_BYTES]; /* status stays TIOCPKT_DATA */
};

static bool is_ready(int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };

	return poll(&pfd, 1, 0) == 1 && pfd.revents & events;
}

/* In packet mode, a byte that says so stands before the data of each read; alone it tells of something else. */
static int read_master(int fd, bool packet, struct copy *c)
{
	uint8_t buf[4096];

	while (is_ready(fd, POLLIN)) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			return n < 0 ? -errno : 0;
		if ((size_t)n > sizeof(c->master) - c->n_master)
			return -E2BIG;
		memcpy(c->master + c->n_master, buf + packet, n - packet);
		c->n_master += n - packet;
	}
	return 0;
}

/* Reads until nothing is left. lines: each read that does not end by a newline ended a line in another way. */
static int read_slave(int fd, bool lines, struct copy *c)
{
	while (c->n_slave < sizeof(c->slave)) {
		ssize_t n = read(fd, c->slave + c->n_slave, sizeof(c->slave) - c->n_slave);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (!n && !lines)
			return 0;
		c->n_slave += n;
		if (!lines || (n && c->slave[c->n_slave - 1] == '\n'))
			continue;
		if (c->n_ends == TTY_LINES)
			return -E2BIG;
		c->ends[c->n_ends++] = c->n_slave;
	}
	return -E2BIG;
}

/* Copies what the slave has, and writes it again. */
static int copy_slave(int master, int slave, const struct termios *t, struct copy *c)
{
	struct termios raw = tty_plain(t, 0);
	int err = 0;

	raw.c_lflag &= ~ICANON;
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (t->c_lflag & ICANON)
		err = read_slave(slave, true, c);
	if (!err && ioctl(slave, TCSETS, &raw))
		err = -errno;
	if (!err)
		err = read_slave(slave, false, c);
	int back = tty_put_input(master, slave, t, c->slave, c->n_slave, c->ends, c->n_ends);
	return err ? err : back;
}

static int copy_all(int master, int slave, bool packet, bool input, struct copy *c)
{
	struct termios t;
	int err = 0;

	/* Settings of the pty, by either end. */
	if (ioctl(slave, TCGETS, &t))
		return -errno;
	if (input)
		err = copy_slave(master, slave, &t, c);
	int read_err = read_master(master, packet, c);
	int back = tty_put_output(slave, &t, c->master, c->n_master);
	if (ioctl(slave, TCSETS, &t))
		err = err ? err : -errno;
	return err ? err : read_err ? read_err : back;
}

static int run(int master, int slave, bool packet, bool input, struct copy *c)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		setsid();
		c->err = copy_all(master, slave, packet, input, c);
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EIO : c->err;
}

int tty_data_copy(int master, uint32_t index, bool slave, bool packet, struct tty_data *data)
{
	bool output = is_ready(master, POLLIN);
	char path[32];

	*data = (struct tty_data){};
	if (!slave && !output)
		return 0;
	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	_cleanup_close_ int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	struct termios t;
	int waiting = 0;
	if (fd < 0 || ioctl(fd, TCGETS, &t) || ioctl(fd, FIONREAD, &waiting))
		return -errno;
	bool input = slave && (waiting || t.c_lflag & ICANON);
	if (!input && !output)
		return 0;
	/* Output is stopped by the user (Ctrl-S): nothing could be written again. */
	if (!is_ready(fd, POLLOUT) || !is_ready(master, POLLOUT))
		return output ? -EAGAIN : 0;
	struct copy *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c == MAP_FAILED)
		return -errno;
	data->memory = c;
	int err = run(master, fd, packet, input, c);
	/* In packet mode, CRIU has that byte in its image, too. */
	packet &= c->n_master > 0;
	data->master = (struct tty_bytes){ c->master - packet, c->n_master + packet };
	data->slave = (struct tty_bytes){ c->slave, c->n_slave };
	data->ends = c->ends;
	data->n_ends = c->n_ends;
	return err;
}

void tty_data_free(struct tty_data *data)
{
	if (data->memory)
		munmap(data->memory, sizeof(struct copy));
	data->memory = NULL;
}
