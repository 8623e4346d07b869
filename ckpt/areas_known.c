/*
 * What the bits of areas mean on this kernel: learned from areas of our own, which have each flag that areas of others
 * may have, as far as it can be had here.
 */
#include "areas_known.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "array.h"
#include "cleanup.h"
#include "kernel_abi.h"

#define PAGE 4096ul

int area_record_add(void *records, const uint64_t *values)
{
	struct area_records *l = records;

	if (array_grow(&l->r, l->n, sizeof(*l->r)))
		return -ENOMEM;
	l->r[l->n++] = (struct area_record){
		.start = values[0],
		.end = values[1],
		.bits = values[2],
		.context = values[3],
		.named = values[4] || values[5] || values[6],
		/* who may have pages of this area has areas with an anon_vma of the same root; it counts itself, too */
		.own = !values[7] || (values[7] == values[8] && values[9] == 1),
	};
	return 0;
}

/* Advice by madvise(2) that stays with an area, then what else is done to one. */
static const int advice[] = { MADV_SEQUENTIAL, MADV_RANDOM,	MADV_DONTFORK,	 MADV_DONTDUMP,	    MADV_MERGEABLE,
			      MADV_HUGEPAGE,   MADV_NOHUGEPAGE, MADV_WIPEONFORK, MADV_GUARD_INSTALL };
#define ADVICES (sizeof(advice) / sizeof(advice[0]))
enum { LOCKED = ADVICES, LOCKED_ON_FAULT, MISSING, PROTECTED, PLAIN, NORESERVE, DROPPABLE, STACK, SHARED, CODE, N };

/*
 * Each example is three areas: one to be written, one that nobody may touch, one of a file that may not be written. So
 * no flag comes with the same protection always.
 */
#define EXAMPLE (4 * PAGE)

struct examples {
	char *start;
	size_t len;
	int uffd;
};

static int open_uffd(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void watch(int uffd, const char *at, uint64_t mode)
{
	struct uffdio_register all = { .range = { (uint64_t)at, 2 * PAGE }, .mode = mode };

	if (uffd >= 0)
		ioctl(uffd, UFFDIO_REGISTER, &all);
}

static int open_read_only(void)
{
	char path[48];
	_cleanup_close_ int fd = memfd_create("ckpt", MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
}

/* The three areas; what is behind them keeps them apart from the next ones. */
static void map_example(char *at, int prot, int flags, int fd)
{
	mmap(at, 2 * PAGE, prot, MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);
	mprotect(at + PAGE, PAGE, PROT_NONE);
	if (fd >= 0)
		mmap(at + 2 * PAGE, PAGE, prot & ~PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
}

/* What cannot be had here, since the kernel lacks it or we may not, is not learned. */
static int make_examples(struct examples *e)
{
	const int rw = PROT_READ | PROT_WRITE;
	_cleanup_close_ int fd = open_read_only();

	*e = (struct examples){ .len = N * EXAMPLE, .uffd = -1 };
	e->start = mmap(NULL, e->len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (e->start == MAP_FAILED)
		return -ENOMEM;
#define AT(i) (e->start + (i)*EXAMPLE)
	for (size_t i = 0; i <= PLAIN; i++)
		map_example(AT(i), rw, MAP_PRIVATE, fd);
	for (size_t i = 0; i < ADVICES; i++)
		for (size_t page = 0; page < 3; page++)
			madvise(AT(i) + page * PAGE, PAGE, advice[i]);
	mlock2(AT(LOCKED_ON_FAULT), 3 * PAGE, MLOCK_ONFAULT);
	for (size_t page = 0; page < 3; page++)
		mlock(AT(LOCKED) + page * PAGE, PAGE);
	e->uffd = open_uffd();
	watch(e->uffd, AT(MISSING), UFFDIO_REGISTER_MODE_MISSING);
	watch(e->uffd, AT(PROTECTED), UFFDIO_REGISTER_MODE_WP);
	map_example(AT(NORESERVE), rw, MAP_PRIVATE | MAP_NORESERVE, -1);
	map_example(AT(DROPPABLE), rw, MAP_DROPPABLE, -1);
	map_example(AT(STACK), rw, MAP_PRIVATE | MAP_GROWSDOWN, -1);
	map_example(AT(SHARED), rw, MAP_SHARED, -1);
	map_example(AT(CODE), rw | PROT_EXEC, MAP_PRIVATE, fd);
#undef AT
	return 0;
}

static void drop_examples(struct examples *e)
{
	munmap(e->start, e->len);
	if (e->uffd >= 0)
		close(e->uffd);
}

/* Our examples, and what the kernel and our program have mapped; other threads may change the rest. */
static bool stands_still(const struct examples *e, const struct vma *v)
{
	return (v->start >= (uint64_t)e->start && v->end <= (uint64_t)e->start + e->len) || v->ino ||
	       !strncmp(v->name, "[v", 2);
}

static void compare(struct areas *a, const struct area_records *records, const struct vma_list *list,
		    const struct examples *examples)
{
	for (size_t i = 0; i < records->n; i++) {
		const struct area_record *r = &records->r[i];
		const struct vma *v = vma_find(list, r->start);

		a->context = r->context;
		if (v && v->start == r->start && v->end == r->end && stands_still(examples, v))
			vma_bits_learn(&a->bits, r->bits, v);
	}
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i].name, "[vsyscall]"))
			a->vsyscall = list->v[i];
	a->vsyscall.name = NULL; /* the list's */
}

/* Compares what the iterator and smaps tell of ourselves. */
static int learn(struct areas *a)
{
	_cleanup_close_ int self = proc_open(getpid());
	_cleanup_close_ int maps = self < 0 ? -1 : openat(self, "maps", O_RDONLY | O_CLOEXEC);
	struct procmap_request q = { .size = sizeof(q), .query_addr = (uint64_t)learn };
	struct area_records records = {};
	struct vma_list list = {};
	struct examples examples;
	int err = self < 0 ? self : make_examples(&examples);

	if (err)
		return err;
	a->names &= !ioctl(maps, PROCMAP_REQUEST, &q);
	vma_bits_begin(&a->bits);
	err = bpf_iter_read(&a->it, getpid(), area_record_add, &records);
	if (!err)
		err = proc_vmas(self, true, &list);
	if (!err)
		compare(a, &records, &list, &examples);
	drop_examples(&examples);
	vma_list_free(&list);
	free(records.r);
	return err;
}

int areas_known_begin(struct areas *a, const struct bpf_types *types)
{
	const char *paths[] = { "vma.vm_start",
				"vma.vm_end",
				"vma.vm_flags",
				"vma.vm_mm.context.flags",
				"vma.vm_file",
				"vma.vm_ops",
				"vma.anon_name",
				"vma.anon_vma",
				"vma.anon_vma.root",
				"vma.anon_vma.num_children", /* 5.18 */
				NULL };
	int err = bpf_iter_load(&a->it, types, "task_vma", paths);

	if (err == -ENOENT) { /* the kernel may be made without names that a program gives by prctl(PR_SET_VMA) */
		paths[6] = paths[5];
		err = bpf_iter_load(&a->it, types, "task_vma", paths);
	}
	a->names = !err;
	return err ? err : learn(a);
}
