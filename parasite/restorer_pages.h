/*
 * The part of the restorer blob that loads pages: long runs in anonymous memory by userfaultfd(2), all else by
 * preadv(2). Included by restorer.c behind what it uses of that.
 */
#ifndef CKPT_RESTORER_PAGES_H
#define CKPT_RESTORER_PAGES_H

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

/* Asks the coordinator to help with what takes long, unless it helps somebody else. Returns whether it was asked. */
static int ask_for_help(struct restorer_args *args, int copier)
{
	struct restorer_help *help = &args->shared->help;
	uint32_t free = HELP_FREE;
	uint64_t bytes = 0, pages = 0;

	for (uint64_t i = 0; i < args->n_reads; i++) {
		for (uint64_t p = 0; args->reads[i].copy == (copier >= 0) && p < args->reads[i].count; p++)
			bytes += args->reads[i].pages[p].len;
		pages += args->reads[i].count;
	}
	/* whoever has set this writes the rest; nobody looks at it before it is HELP_WANTED */
	if (bytes < RESTORER_HELP ||
	    !__atomic_compare_exchange_n(&help->state, &free, HELP_DONE, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return 0;
	help->pid = args->threads[0].tid;
	help->uffd = copier;
	help->next = 0;
	help->reads = args->reads;
	help->n_reads = args->n_reads;
	help->n_pages = pages;
	__atomic_store_n(&help->state, HELP_WANTED, __ATOMIC_SEQ_CST);
	sys6(futex, &args->shared->arrived, FUTEX_WAKE, 1, 0, 0, 0);
	return 1;
}

/* All pieces are taken: waits for those of the coordinator, then others may ask it. */
static void end_help(struct restorer_help *help)
{
	uint32_t state = HELP_WANTED;

	__atomic_compare_exchange_n(&help->state, &state, HELP_DONE, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&help->state, __ATOMIC_SEQ_CST) == HELP_GIVEN)
		sys6(futex, &help->state, FUTEX_WAIT, HELP_GIVEN, 0, 0, 0);
	__atomic_store_n(&help->state, HELP_FREE, __ATOMIC_SEQ_CST);
}

/* Reads a piece into buffers that are as long as it is. A short read goes on where it ended. */
static void read_piece(struct restorer_args *args, const struct restorer_piece *piece, struct iovec *iov, uint64_t n)
{
	struct iovec *end = iov + n;

	for (uint64_t done = 0; done < piece->len;) {
		uint64_t got = must(args, STEP_READ, (uint64_t)iov->iov_base,
				    sys(preadv, args->page_fds[piece->file], iov, end - iov, piece->offset + done, 0));

		if (!got)
			fail(args, STEP_READ, (uint64_t)iov->iov_base, 61 /* ENODATA */);
		done += got;
		for (; iov < end && got >= iov->iov_len; iov++)
			got -= iov->iov_len;
		if (got) {
			iov->iov_base += got;
			iov->iov_len -= got;
		}
	}
}

/* Reads a piece straight to where it belongs. */
static void load_piece(struct restorer_args *args, const struct restorer_piece *piece)
{
	struct iovec iov[RESTORER_BATCH];

	for (uint32_t i = 0; i < piece->count; i++)
		iov[i] = (struct iovec){ (void *)piece->pages[i].addr, piece->pages[i].len };
	read_piece(args, piece, iov, piece->count);
}

/* Reads a piece into the buffer and puts it in place. */
static void copy_piece(struct restorer_args *args, int copier, const struct restorer_piece *piece)
{
	struct iovec iov = { args->copy_buffer, piece->len };
	uint64_t from = (uint64_t)args->copy_buffer;

	read_piece(args, piece, &iov, 1);
	for (uint32_t i = 0; i < piece->count; i++) {
		struct uffdio_copy copy = { piece->pages[i].addr, from, piece->pages[i].len, UFFDIO_COPY_MODE_DONTWAKE,
					    0 };

		must(args, STEP_READ, copy.dst, control(copier, UFFDIO_COPY, &copy));
		from += copy.len;
	}
}

/* The reads to be copied, with a copier, or the others. */
static void load_reads(struct restorer_args *args, int copier)
{
	int helped = ask_for_help(args, copier);
	uint64_t own = 0, *next = helped ? &args->shared->help.next : &own;
	struct restorer_place at = {};
	struct restorer_piece piece;

	while (restorer_find_piece(args->reads, args->n_reads, copier >= 0, &at,
				   __atomic_fetch_add(next, 1, __ATOMIC_SEQ_CST), &piece)) {
		if (copier >= 0)
			copy_piece(args, copier, &piece);
		else
			load_piece(args, &piece);
	}
	if (helped)
		end_help(&args->shared->help);
}

static void load_pages(struct restorer_args *args)
{
	int copier = open_copier(args);

	if (copier >= 0) {
		load_reads(args, copier);
		/* While it is there nothing else can fill what is left of these areas. */
		must(args, STEP_CLOSE, copier, sys(close, copier));
	}
	for (uint64_t i = 0; copier < 0 && i < args->n_reads; i++)
		args->reads[i].copy = 0;
	load_reads(args, -1);
	for (uint64_t i = 0; i < args->n_page_fds; i++)
		if (args->page_fds[i] >= 0)
			must(args, STEP_CLOSE, args->page_fds[i], sys(close, args->page_fds[i]));
}

#endif
