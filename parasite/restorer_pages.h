/*
 * The part of the restorer blob that loads pages: long runs in anonymous memory by userfaultfd(2), all else by
 * preadv(2). Included by restorer.c behind what it uses of that.
 */
#ifndef CKPT_RESTORER_PAGES_H
#define CKPT_RESTORER_PAGES_H

#define IOV_BATCH 64

/*
 * Fills consecutive runs of pages from the page image. A batch of holes costs one call; a short read goes on
 * where it ended.
 */
static void read_pages(struct restorer_args *args, struct restorer_read *r)
{
	struct iovec iov[IOV_BATCH];
	uint64_t offset = r->offset;
	struct restorer_pages *p = r->pages, *end = p + r->count;

	while (p < end) {
		uint64_t n = 0;

		for (; n < IOV_BATCH && p + n < end; n++) {
			iov[n].iov_base = (void *)p[n].addr;
			iov[n].iov_len = p[n].len;
		}
		long got = must(args, STEP_READ, p->addr, sys(preadv, args->page_fds[r->file], iov, n, offset, 0));
		if (!got)
			fail(args, STEP_READ, p->addr, 61 /* ENODATA */);
		offset += got;
		for (; got && (uint64_t)got >= p->len; p++)
			got -= p->len;
		if (got) {
			p->addr += got;
			p->len -= got;
		}
	}
}

static long control(int fd, unsigned long request, void *arg)
{
	return sys(ioctl, fd, request, arg);
}

/*
 * A userfaultfd that pages of the areas to be copied can be put in with, or -1: then they are read like others.
 * It puts whole pages in place, which costs half of faulting them in, zeroing and reading: they are never
 * zeroed, and there are no faults. No page must be there before. Closing it leaves no trace in the areas.
 */
static int open_copier(struct restorer_args *args)
{
	struct uffdio_api api = { .api = UFFD_API };
	long fd = args->copy_buffer ? sys(userfaultfd, OPEN_CLOEXEC | UFFD_USER_MODE_ONLY) : -1;

	if (fd < 0)
		return -1;
	long ret = control(fd, UFFDIO_API, &api);
	for (uint64_t i = 0; !ret && i < args->n_areas; i++) {
		const struct restorer_area *a = &args->areas[i];
		struct uffdio_register all = { { a->start, a->end - a->start }, UFFDIO_REGISTER_MODE_MISSING };

		if (a->copy)
			ret = control(fd, UFFDIO_REGISTER, &all);
	}
	if (!ret)
		return fd;
	sys(close, fd);
	return -1;
}

/* Reads into the buffer what fits and puts it in place. Returns its size. */
static uint64_t copy_some(struct restorer_args *args, int copier, int fd, const struct restorer_pages *p,
			  uint64_t offset)
{
	uint64_t size = p->len < RESTORER_COPY ? p->len : RESTORER_COPY, done = 0;
	struct uffdio_copy copy = { p->addr, (uint64_t)args->copy_buffer, size, UFFDIO_COPY_MODE_DONTWAKE, 0 };

	while (done < size) {
		long got = sys(pread64, fd, (char *)args->copy_buffer + done, size - done, offset + done);

		must(args, STEP_READ, p->addr, got ? got : -61 /* ENODATA */);
		done += got;
	}
	must(args, STEP_READ, p->addr, control(copier, UFFDIO_COPY, &copy));
	return size;
}

static void copy_pages(struct restorer_args *args, int copier, const struct restorer_read *r)
{
	uint64_t offset = r->offset;

	for (uint64_t i = 0; i < r->count; i++) {
		struct restorer_pages *p = &r->pages[i];

		while (p->len) {
			uint64_t size = copy_some(args, copier, args->page_fds[r->file], p, offset);

			offset += size;
			p->addr += size;
			p->len -= size;
		}
	}
}

static void load_pages(struct restorer_args *args)
{
	int copier = open_copier(args);

	for (uint64_t i = 0; copier >= 0 && i < args->n_reads; i++)
		if (args->reads[i].copy)
			copy_pages(args, copier, &args->reads[i]);
	/* While it is there nothing else can fill what is left of these areas. */
	if (copier >= 0)
		must(args, STEP_CLOSE, copier, sys(close, copier));
	for (uint64_t i = 0; i < args->n_reads; i++)
		if (copier < 0 || !args->reads[i].copy)
			read_pages(args, &args->reads[i]);
	for (uint64_t i = 0; i < args->n_page_fds; i++)
		if (args->page_fds[i] >= 0)
			must(args, STEP_CLOSE, args->page_fds[i], sys(close, args->page_fds[i]));
}

#endif
