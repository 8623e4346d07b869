/*
 * The part of the restorer blob that maps files which do not let themselves be mapped at an address: rings of
 * io_uring(7), since Linux 6.5, neither with MAP_FIXED nor by mremap(2). The kernel chooses the address, so it gets no
 * choice: while nothing else is mapped yet, all that is free but the place where the file shall be is filled for a
 * moment. Included by restorer.c behind what it uses of that.
 */
#ifndef CKPT_RESTORER_ALONE_H
#define CKPT_RESTORER_ALONE_H

#define SPACE_BITS 47
#define PAGE_BITS 12

static long fill_in(uint64_t start, uint64_t len)
{
	return sys6(mmap, start, len, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (start ? MAP_FIXED_NOREPLACE : 0), -1, 0);
}

static void fill_space(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_areas; i++) {
		const struct restorer_area *a = &args->areas[i];

		if (a->alone)
			must(args, STEP_MAP, a->start, fill_in(a->start, a->end - a->start));
	}
	for (int bits = SPACE_BITS - 1; bits >= PAGE_BITS; bits--)
		while (fill_in(0, 1ul << bits) > 0)
			;
}

static void map_one_alone(struct restorer_args *args, const struct restorer_area *a)
{
	must(args, STEP_MAP, a->start, sys(munmap, a->start, a->end - a->start));
	long at = sys6(mmap, 0, a->end - a->start, a->map_prot, a->flags, a->fd, a->pgoff);
	must(args, STEP_MAP, a->start, at);
	if ((uint64_t)at != a->start)
		fail(args, STEP_MAP, a->start, 17 /* EEXIST */);
}

/* Between start and end nothing stays mapped but these areas. */
static void empty_space(struct restorer_args *args, uint64_t start, uint64_t end)
{
	for (uint64_t i = 0; i < args->n_areas; i++) {
		const struct restorer_area *a = &args->areas[i];

		if (!a->alone || a->start < start || a->start >= end)
			continue;
		if (a->start > start)
			must(args, STEP_UNMAP, start, sys(munmap, start, a->start - start));
		start = a->end;
	}
	if (start < end)
		must(args, STEP_UNMAP, start, sys(munmap, start, end - start));
}

static void map_alone(struct restorer_args *args)
{
	if (!args->any_alone)
		return;
	fill_space(args);
	for (uint64_t i = 0; i < args->n_areas; i++)
		if (args->areas[i].alone)
			map_one_alone(args, &args->areas[i]);
	for (uint64_t i = 0; i < args->n_unmaps; i++)
		empty_space(args, args->unmaps[i].start, args->unmaps[i].start + args->unmaps[i].len);
}

/* Buffers are registered with the memory that they have now. */
static void register_buffers(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_buffers; i++)
		must(args, STEP_BUFFERS, args->buffers[i].fd,
		     sys(io_uring_register, args->buffers[i].fd, 0 /* IORING_REGISTER_BUFFERS */, args->buffers[i].list,
			 args->buffers[i].n));
}

#endif
