/* Socket options: only those that are not as they should be are set. */
#include "sk_opts.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "plan.h"

/* An instruction a number. Returns 0, or -1 with errno. */
static int attach_filter(int fd, const SkOptsEntry *e)
{
	struct sock_filter code[BPF_MAXINSNS];
	struct sock_fprog filter = { e->n_so_filter, code };

	errno = EINVAL;
	if (e->n_so_filter > BPF_MAXINSNS)
		return -1;
	for (size_t i = 0; i < e->n_so_filter; i++)
		code[i] = (struct sock_filter){ e->so_filter[i] >> 48, e->so_filter[i] >> 40, e->so_filter[i] >> 32,
						e->so_filter[i] };
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter));
}

void sk_opts_check(struct plan *plan, const struct plan_file *file, const SkOptsEntry *e)
{
	if (e->n_so_filter) {
		_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

		if (attach_filter(fd, e))
			plan_refuse_here(plan,
					 "files.img: the kernel does not take the packet filter of socket 0x%x: %s",
					 file->id, strerror(errno));
	}
	if (e->so_bound_dev && *e->so_bound_dev)
		plan_refuse(plan, "files.img: socket 0x%x is bound to the device %s: not supported yet", file->id,
			    e->so_bound_dev);
	if (e->so_sndbuf > INT32_MAX || e->so_rcvbuf > INT32_MAX || e->so_snd_tmo_usec >= 1000000 ||
	    e->so_rcv_tmo_usec >= 1000000 || e->so_snd_tmo_sec > INT64_MAX || e->so_rcv_tmo_sec > INT64_MAX)
		plan_refuse(plan, "files.img: buffer sizes or timeouts of socket 0x%x are out of range", file->id);
}

static int set_int(const struct plan_file *file, int option, int set_by, int wanted, int value, const char *name)
{
	int now = 0;
	socklen_t size = sizeof(now);

	if (!getsockopt(file->fd, SOL_SOCKET, option, &now, &size) && now == wanted)
		return 0;
	if (setsockopt(file->fd, SOL_SOCKET, set_by, &value, sizeof(value)))
		return log_errno(errno, "can't set %s of socket 0x%x to %d", name, file->id, wanted);
	return 0;
}

static int set_time(const struct plan_file *file, int option, uint64_t sec, uint64_t usec)
{
	struct timeval wanted = { sec, usec };

	if (!sec && !usec)
		return 0;
	if (setsockopt(file->fd, SOL_SOCKET, option, &wanted, sizeof(wanted)))
		return log_errno(errno, "can't set a timeout of socket 0x%x", file->id);
	return 0;
}

/* One that is as the kernel makes it in a new socket needs no look. Those that accept(2) passes on do. */
static int set_unless(const struct plan_file *file, int option, int fresh, int wanted, const char *name)
{
	return wanted == fresh ? 0 : set_int(file, option, option, wanted, wanted, name);
}

int sk_opts_ask_fresh(int fd, struct sk_fresh *fresh)
{
	socklen_t size = sizeof(int);

	return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &fresh->rcvbuf, &size) ||
			       getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &fresh->sndbuf, &size)
		       ? -errno
		       : 0;
}

int sk_opts_set(const struct plan_file *file, const SkOptsEntry *e, const struct sk_fresh *fresh)
{
	int err = 0;

	/* The kernel doubles what it is given; see man 7 socket. */
	if (!fresh || e->so_sndbuf != (uint32_t)fresh->sndbuf)
		err = set_int(file, SO_SNDBUF, SO_SNDBUFFORCE, e->so_sndbuf, e->so_sndbuf / 2, "SO_SNDBUF");
	if (!err && (!fresh || e->so_rcvbuf != (uint32_t)fresh->rcvbuf))
		err = set_int(file, SO_RCVBUF, SO_RCVBUFFORCE, e->so_rcvbuf, e->so_rcvbuf / 2, "SO_RCVBUF");
	if (!err)
		err = set_time(file, SO_SNDTIMEO, e->so_snd_tmo_sec, e->so_snd_tmo_usec);
	if (!err)
		err = set_time(file, SO_RCVTIMEO, e->so_rcv_tmo_sec, e->so_rcv_tmo_usec);
#define SET(field, option)                                                                                             \
	if (!err && e->has_##field)                                                                                    \
	err = set_unless(file, option, option == SO_RCVLOWAT, e->field, #option)
	SET(reuseaddr, SO_REUSEADDR);
	SET(so_priority, SO_PRIORITY);
	SET(so_rcvlowat, SO_RCVLOWAT);
	SET(so_mark, SO_MARK);
	if (!err && e->has_so_passcred && (!fresh || e->so_passcred))
		err = set_int(file, SO_PASSCRED, SO_PASSCRED, e->so_passcred, e->so_passcred, "SO_PASSCRED");
	if (!err && e->has_so_passsec && (!fresh || e->so_passsec))
		err = set_int(file, SO_PASSSEC, SO_PASSSEC, e->so_passsec, e->so_passsec, "SO_PASSSEC");
	SET(so_dontroute, SO_DONTROUTE);
	SET(so_no_check, SO_NO_CHECK);
	SET(so_reuseport, SO_REUSEPORT);
	SET(so_broadcast, SO_BROADCAST);
	SET(so_keepalive, SO_KEEPALIVE);
	SET(so_oobinline, SO_OOBINLINE);
	/* Last: setting the sizes locks them. */
	SET(so_buf_lock, SO_BUF_LOCK);
#undef SET
	if (!err && e->n_so_filter && attach_filter(file->fd, e))
		err = log_errno(errno, "can't attach the packet filter of socket 0x%x", file->id);
	if (!err && e->has_lock_filter && e->lock_filter)
		err = set_int(file, SO_LOCK_FILTER, SO_LOCK_FILTER, 1, 1, "SO_LOCK_FILTER");
	return err;
}
