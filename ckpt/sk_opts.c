/* Socket options, as getsockopt(2) tells them (man 7 socket). */
#include "sk_opts.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "kernel_abi.h"

/* An int option; -1 with errno when the kernel or the family does not know it. */
static int get(int fd, int option, int *value)
{
	socklen_t size = sizeof(*value);

	*value = 0;
	return getsockopt(fd, SOL_SOCKET, option, value, &size);
}

static int get_time(int fd, int option, uint64_t *sec, uint64_t *usec)
{
	struct timeval t;
	socklen_t size = sizeof(t);

	if (getsockopt(fd, SOL_SOCKET, option, &t, &size))
		return -errno;
	*sec = t.tv_sec;
	*usec = t.tv_usec;
	return 0;
}

int sk_opts_get(int fd, SkOptsEntry *e)
{
	int sndbuf, rcvbuf, value;

	sk_opts_entry__init(e);
	if (get(fd, SO_SNDBUF, &sndbuf) || get(fd, SO_RCVBUF, &rcvbuf))
		return -errno;
	e->so_sndbuf = sndbuf;
	e->so_rcvbuf = rcvbuf;
	int err = get_time(fd, SO_SNDTIMEO, &e->so_snd_tmo_sec, &e->so_snd_tmo_usec);
	if (!err)
		err = get_time(fd, SO_RCVTIMEO, &e->so_rcv_tmo_sec, &e->so_rcv_tmo_usec);
#define GET(field, option)                                                                                             \
	e->has_##field = !get(fd, option, &value);                                                                     \
	e->field = value
	GET(reuseaddr, SO_REUSEADDR);
	GET(so_priority, SO_PRIORITY);
	GET(so_rcvlowat, SO_RCVLOWAT);
	GET(so_mark, SO_MARK);
	GET(so_passcred, SO_PASSCRED);
	GET(so_passsec, SO_PASSSEC);
	GET(so_dontroute, SO_DONTROUTE);
	GET(so_no_check, SO_NO_CHECK);
	GET(so_reuseport, SO_REUSEPORT);
	GET(so_broadcast, SO_BROADCAST);
	GET(so_keepalive, SO_KEEPALIVE);
	GET(so_oobinline, SO_OOBINLINE);
	GET(so_buf_lock, SO_BUF_LOCK);
#undef GET
	/* CRIU gives it only when it was set. */
	e->has_so_mark = e->so_mark != 0;
	return err;
}
