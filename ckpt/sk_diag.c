/*
 * sock_diag(7) of UNIX sockets: one by one, and when there are many, all at once. To find one, the kernel looks at all.
 */
#include "sk_diag.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "sock_diag.h"

#define MANY 64

struct sk_diag {
	int fd;
	unsigned int asked;
	void *all; /* tsearch(3) of struct unix_diag, which end with their last icon */
	struct unix_diag one;
};

static int compare(const void *a, const void *b)
{
	uint32_t x = ((const struct unix_diag *)a)->ino, y = ((const struct unix_diag *)b)->ino;

	return x < y ? -1 : x > y;
}

static int keep(const struct unix_diag *diag, void *arg)
{
	struct sk_diag *s = arg;
	size_t size = offsetof(struct unix_diag, icons) + diag->n_icons * sizeof(diag->icons[0]);
	struct unix_diag *copy = malloc(size), **known;

	if (!copy)
		return -ENOMEM;
	memcpy(copy, diag, size);
	known = tsearch(copy, &s->all, compare);
	if (!known || *known != copy)
		free(copy);
	return known ? 0 : -ENOMEM;
}

static int open_diag(struct dump *d)
{
	struct sk_diag *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fd = sock_diag_open();
	if (s->fd >= 0) {
		d->sk_diag = s;
		return 0;
	}
	int err = s->fd;
	free(s);
	return err;
}

const struct unix_diag *sk_diag_unix(struct dump *d, uint32_t ino)
{
	int err = d->sk_diag ? 0 : open_diag(d);
	struct sk_diag *s = d->sk_diag;

	if (!err && ++s->asked == MANY)
		err = sock_diag_unix_all(s->fd, keep, s);
	if (!err && s->all) {
		s->one.ino = ino;
		struct unix_diag **known = tfind(&s->one, &s->all, compare);

		if (known)
			return *known;
	}
	/* others that came or went meanwhile may have hidden it */
	if (!err)
		err = sock_diag_unix(s->fd, ino, &s->one);
	errno = -err;
	return err ? NULL : &s->one;
}

void sk_diag_free(struct dump *d)
{
	if (!d->sk_diag)
		return;
	tdestroy(d->sk_diag->all, free);
	close(d->sk_diag->fd);
	free(take_ptr(d->sk_diag));
}
