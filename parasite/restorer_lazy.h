/*
 * The part of the restorer blob for memory that comes late: its areas are registered with a userfaultfd, which the
 * coordinator gives to the daemon that serves it. Included by restorer.c.
 */
#ifndef CKPT_RESTORER_LAZY_H
#define CKPT_RESTORER_LAZY_H

#define OPEN_NONBLOCK 04000

/* The daemon hears of all that changes what is where. */
static int open_lazy(struct restorer_args *args)
{
	struct uffdio_api api = { .api = UFFD_API,
				  .features = UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
					      UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP |
					      UFFD_FEATURE_THREAD_ID };
	int fd = must(args, STEP_LAZY, 0, sys(userfaultfd, OPEN_CLOEXEC | OPEN_NONBLOCK));

	must(args, STEP_LAZY, 0, control(fd, UFFDIO_API, &api));
	for (uint64_t i = 0; i < args->n_areas; i++) {
		const struct restorer_area *a = &args->areas[i];
		struct uffdio_register all = { { a->start, a->end - a->start }, UFFDIO_REGISTER_MODE_MISSING };

		if (a->lazy)
			must(args, STEP_LAZY, a->start, control(fd, UFFDIO_REGISTER, &all));
	}
	return fd;
}

/* From here on nobody touches the memory until its pages can come. */
static void await_pages(struct restorer_args *args)
{
	int fd = args->slot->n_lazy ? open_lazy(args) : -1;

	args->slot->uffd = fd;
	arrive(args->shared);
	wait_stage(args->shared, STAGE_THREADS);
	if (fd >= 0)
		must(args, STEP_CLOSE, fd, sys(close, fd));
}

#endif
