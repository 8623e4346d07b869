/* Socket options, as getsockopt(2) tells them (man 7 socket). */
#include "sk_opts.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "cleanup.h"
#include "dump.h"
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

/*
 * The packet filter: an instruction a number, as CRIU packs them. Without a buffer the kernel says how many there are.
 */
static int get_filter(int fd, SkOptsEntry *e, bool *bpf)
{
	socklen_t n = 0;
	int value;

	*bpf = false;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &n)) {
		*bpf = errno == EACCES;
		return *bpf || errno == ENOPROTOOPT || errno == EOPNOTSUPP ? 0 : -errno;
	}
	if (!get(fd, SO_LOCK_FILTER, &value) && value)
		e->has_lock_filter = e->lock_filter = true;
	if (!n)
		return 0;
	_cleanup_free_ struct sock_filter *code = malloc(n * sizeof(*code));
	e->so_filter = malloc(n * sizeof(*e->so_filter));
	if (!code || !e->so_filter)
		return -ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, code, &n))
		return -errno;
	e->n_so_filter = n;
	for (socklen_t i = 0; i < n; i++)
		e->so_filter[i] = (uint64_t)code[i].code << 48 | (uint64_t)code[i].jt << 40 |
				  (uint64_t)code[i].jf << 32 | code[i].k;
	return 0;
}

int sk_opts_refuse_bpf(struct dump *d, const struct dump_file *f)
{
	return blocker_add(d, f->pid, "packet filter", "an eBPF program that nobody can read filters its packets",
			   "detach it (SO_DETACH_BPF) before the dump", "%s", f->where);
}

int sk_opts_get(int fd, SkOptsEntry *e, bool *bpf)
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
	return err ? err : get_filter(fd, e, bpf);
}
