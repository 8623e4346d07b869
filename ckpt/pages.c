/*
 * Private pages of a task: found by PAGEMAP_SCAN (6.7), before that by reading /proc/PID/pagemap, and written
 * to pages-N.img by the task itself (parasite_write): faster than reading them from outside, and pages that a
 * fork shares stay shared. Pages of areas without PROT_READ, and all of a task that a limit would punish for the
 * work, come through /proc/PID/mem.
 *
 * Only pages that the task made its own are written: not the zero page, not clean pages of files.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "compat.h"
#include "dump.h"
#include "fault.h"
#include "kernel_abi.h"
#include "log.h"
#include "pagemap.pb-c.h"
#include "time_us.h"
#include "vdso_elf.h"

#define BATCH_BYTES (64ul << 20) /* written at once; between batches the user can interrupt us */
#define ADDRESS_END ((1ul << 47) - 4096) /* TASK_SIZE of 4-level paging */

int run_add(struct run_list *list, struct run run)
{
	struct run *last = list->n ? &list->r[list->n - 1] : NULL;

	if (run.start >= run.end)
		return 0;
	if (last && last->end == run.start && last->lazy == run.lazy && last->readable == run.readable) {
		last->end = run.end;
		return 0;
	}
	if (!(list->n & (list->n - 1))) {
		struct run *r = realloc(list->r, (list->n ? list->n * 2 : 1) * sizeof(*r));

		if (!r)
			return -ENOMEM;
		list->r = r;
	}
	list->r[list->n++] = run;
	return 0;
}

/*
 * Pages of the vDSO belong to the kernel, but are written so that a restore elsewhere can tell what it was; those of
 * AIO rings are a file's, but nobody else's. All of them, whether they were changed or not.
 */
static bool is_written_whole(const struct vma *v)
{
	return !strcmp(v->name, "[vdso]") || aio_is_ring(v);
}

static int add_whole(struct run_list *list, const struct vma *v)
{
	bool added = list->n && list->r[list->n - 1].end >= v->end;

	return added ? 0 : run_add(list, (struct run){ v->start, v->end, .readable = v->prot & PROT_READ });
}

/* Cuts a range of private pages at the borders of areas. *area moves along, from area to area: ranges ascend. */
static int add_range(struct run_list *list, const struct dump_task *t, size_t *area, uint64_t start, uint64_t end)
{
	for (; *area < t->vmas.n && t->vmas.v[*area].start < end; ++*area) {
		const struct vma *v = &t->vmas.v[*area];
		struct run run = {
			.start = start > v->start ? start : v->start,
			.end = end < v->end ? end : v->end,
			.lazy = !v->ino,
			.readable = v->prot & PROT_READ,
		};
		int err = is_written_whole(v) ? add_whole(list, v) : memory_is_private(v) ? run_add(list, run) : 0;

		if (err || v->end > end)
			return err;
	}
	return 0;
}

static int scan_new(int fd, struct dump_task *t, bool with_guards, struct run_list *list)
{
	struct page_region regions[512];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.end = ADDRESS_END,
		.vec = (uint64_t)regions,
		.vec_len = sizeof(regions) / sizeof(regions[0]),
		/* present or swapped, and neither of a file, nor the zero page, nor a guard */
		.category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | (with_guards ? PAGE_IS_GUARD : 0),
	};
	size_t area = 0;
	int err = 0;

	do {
		long n = ioctl(fd, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -errno;
		for (long i = 0; i < n && !err; i++) {
			if (regions[i].categories & PAGE_IS_GUARD) {
				err = run_add(&t->guards, (struct run){ regions[i].start, regions[i].end });
				continue;
			}
			err = add_range(list, t, &area, regions[i].start, regions[i].end);
		}
		arg.start = arg.walk_end;
	} while (!err && arg.walk_end < ADDRESS_END);
	return err ? err : add_range(list, t, &area, ADDRESS_END, ADDRESS_END);
}

/* Before 6.7: one word a page. */
static int scan_old(int fd, const struct dump_task *t, struct run_list *list)
{
	_cleanup_free_ uint64_t *words = malloc(65536);
	int err = words ? 0 : -ENOMEM;

	for (size_t i = 0; i < t->vmas.n && !err; i++) {
		const struct vma *v = &t->vmas.v[i];

		if (is_written_whole(v))
			err = add_whole(list, v);
		if (!memory_is_private(v) || is_written_whole(v))
			continue;
		for (uint64_t at = v->start; at < v->end && !err;) {
			size_t pages = (v->end - at) / 4096 < 8192 ? (v->end - at) / 4096 : 8192;
			ssize_t got = pread(fd, words, pages * 8, at / 4096 * 8);

			if (got <= 0)
				return got ? -errno : -EIO;
			for (size_t p = 0; p < got / sizeof(uint64_t) && !err; p++, at += 4096) {
				bool mine = (words[p] >> 62) && !(words[p] >> 61 & 1);
				size_t area = i;

				err = mine ? add_range(list, t, &area, at, at + 4096) : 0;
			}
		}
	}
	return err;
}

/*
 * A task must not work for us where that counts against it: a file above RLIMIT_FSIZE and time above RLIMIT_CPU give
 * it a signal that ends it.
 */
static bool may_write(const struct dump_task *t)
{
	return t->limits[RLIMIT_FSIZE].soft == RLIM_INFINITY && t->limits[RLIMIT_CPU].soft == RLIM_INFINITY;
}

static int scan(struct dump_task *t, struct run_list *list)
{
	_cleanup_close_ int fd = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return log_errno(errno, "can't open the pagemap of task %d", t->pid);
	int err = scan_new(fd, t, true, list);
	if (err == -EINVAL) /* guards came with 6.15 */
		err = scan_new(fd, t, false, list);
	if (err == -ENOTTY)
		err = scan_old(fd, t, list);
	bool by_itself = may_write(t) && seccomp_lets_answer(&t->threads[0]);
	for (size_t i = 0; i < list->n; i++)
		list->r[i].readable &= by_itself;
	return err ? log_errno(-err, "can't find the pages of task %d", t->pid) : 0;
}

int pagemap_write(struct dump *d, enum image_kind kind, unsigned long id, uint32_t pages_id,
		  const struct run_list *list)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct image_writer w;

	head.pages_id = pages_id;
	image_create(&w, &d->images, kind, id);
	image_put(&w, &head.base);
	for (size_t i = 0; i < list->n; i++) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		e.vaddr = list->r[i].start;
		e.has_nr_pages = true;
		e.nr_pages = (list->r[i].end - list->r[i].start) / IMAGE_PAGE_SIZE;
		e.has_flags = true;
		e.flags = PE_PRESENT | (list->r[i].lazy ? PE_LAZY : 0);
		image_put(&w, &e.base);
	}
	return image_close(&w);
}

/* Pages that the task cannot read itself, through /proc/PID/mem. */
static int copy_unreadable(struct dump_task *t, int out, const struct run *run)
{
	_cleanup_free_ char *buf = malloc(1 << 20);

	if (!buf)
		return log_errno(ENOMEM, "task %d", t->pid);
	for (uint64_t at = run->start; at < run->end;) {
		size_t len = run->end - at < 1 << 20 ? run->end - at : 1 << 20;
		ssize_t n = pread(t->parasite.mem, buf, len, at);

		if (n <= 0)
			return log_errno(n ? errno : EIO, "can't read the memory of task %d at %#lx", t->pid, at);
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(out, buf + done, n - done);
			if (w <= 0)
				return log_errno(w ? errno : EIO, "can't write pages of task %d", t->pid);
		}
		at += n;
		int err = interrupted();
		if (err)
			return err;
	}
	return 0;
}

/* The pages of one task on their way into the image. */
struct job {
	struct dump_task *t;
	struct run_list list;
	int out; /* pages-N.img */
	size_t i; /* the run that is next */
	uint64_t done; /* bytes of it that are written: long runs are split */
	bool writing; /* the task is at work on a batch */
	bool passed; /* the task has the file */
	uint64_t start, write_start; /* us */
};

/* Sets the task to work on the next batch: runs up to one that it cannot read. */
static int begin_batch(struct job *j)
{
	struct iovec ranges[PARASITE_RANGES];
	unsigned int n = 0;
	uint64_t bytes = 0;

	while (j->i < j->list.n && j->list.r[j->i].readable && n < PARASITE_RANGES && bytes < BATCH_BYTES) {
		const struct run *r = &j->list.r[j->i];
		uint64_t left = r->end - r->start - j->done,
			 len = left < BATCH_BYTES - bytes ? left : BATCH_BYTES - bytes;

		ranges[n++] = (struct iovec){ (void *)(r->start + j->done), len };
		bytes += len;
		j->done += len;
		if (len == left) {
			j->i++;
			j->done = 0;
		}
	}
	j->writing = n > 0;
	if (!n)
		return 0;
	int err = parasite_write_begin(&j->t->parasite, j->passed ? -1 : j->out, ranges, n);
	j->passed = true;
	return err;
}

/* Scans the task, writes its pagemap and sets it to work on its first batch. */
static int begin_job(struct job *j)
{
	struct dump *d = j->t->dump;
	uint32_t id = d->next_pages_id++;

	j->start = time_us();
	int err = scan(j->t, &j->list);
	if (!err)
		err = pagemap_write(d, IMG_PAGEMAP, j->t->pid, id, &j->list);
	if (err)
		return err;
	j->out = image_create_raw(&d->images, IMG_PAGES, id);
	if (j->out < 0)
		return j->out;
	j->write_start = time_us();
	return begin_batch(j);
}

/* A vDSO that another tool has marked goes into the image as the kernel made it: that is what a restore maps. */
static int unmark_vdso(const struct job *j)
{
	uint8_t head[VDSO_MARK];
	off_t at = 0;

	if (regs_compat(&j->t->threads[0].remote.regs)) /* none is known */
		return 0;
	for (size_t i = 0; i < j->list.n; i++) {
		const struct run *r = &j->list.r[i];
		const struct vma *v = vma_find(&j->t->vmas, r->start);

		if (v && !strcmp(v->name, "[vdso]") &&
		    (pread(j->out, head, sizeof(head), at) != sizeof(head) ||
		     (vdso_unmark(head) && pwrite(j->out, head, sizeof(head), at) != sizeof(head))))
			return log_errno(errno ?: EIO, "can't put the vDSO of task %d into the image", j->t->pid);
		at += r->end - r->start;
	}
	return 0;
}

/* Waits for the batch that the task works on and goes on until all its pages are written. */
static int end_job(struct job *j)
{
	struct dump *d = j->t->dump;
	int err = 0;

	while (!err && (j->writing || j->i < j->list.n)) {
		if (j->writing) {
			err = parasite_write_end(&j->t->parasite);
			j->writing = false;
		} else if (!j->list.r[j->i].readable) {
			err = copy_unreadable(j->t, j->out, &j->list.r[j->i++]);
		} else {
			err = begin_batch(j);
		}
		if (!err && !j->writing)
			err = fault_point(FAULT_dump_memory_half);
		if (!err)
			err = interrupted();
	}
	if (!err)
		err = unmark_vdso(j);
	d->stats.memwrite_time += time_us() - j->write_start;
	d->stats.memdump_time += time_us() - j->start;
	for (size_t i = 0; i < j->list.n; i++)
		d->stats.pages_written += (j->list.r[i].end - j->list.r[i].start) / IMAGE_PAGE_SIZE;
	for (size_t i = 0; i < j->t->vmas.n; i++)
		if (memory_is_private(&j->t->vmas.v[i]))
			d->stats.pages_scanned += (j->t->vmas.v[i].end - j->t->vmas.v[i].start) / IMAGE_PAGE_SIZE;
	return err;
}

static void close_job(struct job *j)
{
	free(j->list.r);
	if (j->out >= 0)
		close(j->out);
	*j = (struct job){ .out = -1 };
}

/* While a task writes, we look at the next one. */
int pages_write(struct dump *d)
{
	struct job last = { .out = -1 };
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct job next = { .t = d->tasks[i], .out = -1 };

		if (d->tasks[i]->state == TASK_DEAD)
			continue;
		err = begin_job(&next);
		if (!err && last.t)
			err = end_job(&last);
		close_job(&last);
		last = next;
	}
	if (!err && last.t)
		err = end_job(&last);
	close_job(&last);
	return err;
}
