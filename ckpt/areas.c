/*
 * Areas with their flags, from a BPF iterator ("task_vma"), and for those that have one, their name by an ioctl of
 * /proc/PID/maps. Where that has none (before Linux 6.11), the rest is read from maps. And all from smaps, where there
 * are few, where BPF may not be used, where the two do not say the same, or where there is a flag whose bit is not
 * known.
 */
#include "areas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "areas_known.h"
#include "bpf_iter.h"
#include "cleanup.h"
#include "dump.h"
#include "kernel_abi.h"
#include "log.h"
#include "opts.h"
#include "track.h"

#define NAME_MAX_ 4096 /* bytes */

/* NULL: there is another way only. */
static struct areas *begin(struct dump *d)
{
	const struct bpf_types *types = dump_bpf_types(d, AREAS_MANY, AREAS_MANY);

	if (types && !d->areas) {
		d->areas = calloc(1, sizeof(*d->areas));
		if (!d->areas)
			return NULL;
		d->areas->usable = !areas_known_begin(d->areas, types);
		if (!d->areas->usable)
			log_info("no BPF iterator of areas: smaps is read instead");
	}
	return types && d->areas->usable ? d->areas : NULL;
}

void areas_forget(struct dump *d)
{
	if (d->areas)
		bpf_iter_close(&d->areas->it);
	free(take_ptr(d->areas));
}

/* What a fork does not share, but the kernel itself may, when the program has advised it to merge equal pages. */
static bool is_own(const struct area_record *r, const struct vma *v)
{
	return r->own && !(v->madv & (1u << MADV_MERGEABLE));
}

/* Areas of maps get the flags that their bits stand for. [vsyscall] belongs to no task, and has none. */
static bool merge(struct vma_list *list, const struct area_records *records, struct vma_bits *bits)
{
	size_t next = 0;

	for (size_t i = 0; i < list->n; i++) {
		struct vma *v = &list->v[i];
		const struct area_record *r = next < records->n ? &records->r[next] : NULL;

		if (r && r->start == v->start && r->end == v->end) {
			if (!vma_bits_apply(bits, r->bits, v))
				return false;
			v->own = is_own(r, v);
			next++;
		} else if (strcmp(v->name, "[vsyscall]")) {
			return false;
		} else {
			v->page_size = IMAGE_PAGE_SIZE;
		}
	}
	return next == records->n;
}

/* Asks for the name of an area and what else only areas with a name have. Returns 0, or -EAGAIN for any reason. */
static int ask_name(int maps, struct vma *v)
{
	char name[NAME_MAX_];
	struct procmap_request q = { .size = sizeof(q),
				     .query_addr = v->start,
				     .vma_name_size = sizeof(name),
				     .vma_name_addr = (uint64_t)name };

	if (ioctl(maps, PROCMAP_REQUEST, &q) || q.vma_start != v->start || q.vma_end != v->end)
		return -EAGAIN;
	if (q.vma_name_size && (name[q.vma_name_size - 1] || strchr(name, '\n'))) /* maps shows that in its own way */
		return -EAGAIN;
	v->pgoff = q.vma_offset;
	v->ino = q.inode;
	v->dev = makedev(q.dev_major, q.dev_minor);
	return q.vma_name_size && *name ? vma_set_name(v, name) : 0;
}

/*
 * Which areas have a name that no pointer of theirs tells: the heap, which is all from its begin to where there is
 * another one, and the stack.
 */
struct places {
	uint64_t heap, stack;
	bool past_heap;
};

static bool may_be_named(const struct places *p, const struct area_record *r)
{
	return r->named || (r->end >= p->heap && !p->past_heap) || (r->start <= p->stack && p->stack <= r->end);
}

/*
 * Whether the task has [vsyscall] where we have it: the kernel says so by one of the flags of the task's memory map,
 * which is one of ours. 32-bit programs lack it.
 */
static bool has_our_context(const struct areas *a, const struct area_record *r)
{
	return !a->vsyscall.end || !(a->context & ~r->context);
}

/* Makes the list of what the iterator told. Returns 0, -EAGAIN when that cannot be, or -ENOMEM. */
static int build(struct areas *a, const struct area_records *records, int maps, const struct proc_stat *stat,
		 struct vma_list *list)
{
	struct places p = { .heap = stat->start_brk, .stack = stat->start_stack };
	int err = 0;

	for (size_t i = 0; i < records->n && !err; i++) {
		const struct area_record *r = &records->r[i];

		if (i && r->start < r[-1].end) /* of a task whose main thread has exited, some kernels tell all twice */
			return -EAGAIN;
		struct vma *v = vma_list_add(list);
		if (!v)
			return -ENOMEM;
		v->start = r->start;
		v->end = r->end;
		if (!vma_bits_apply(&a->bits, r->bits, v) || !has_our_context(a, r))
			return -EAGAIN;
		v->own = is_own(r, v);
		if (!may_be_named(&p, r))
			continue;
		err = ask_name(maps, v);
		p.past_heap |= !r->named && r->end > p.heap && strcmp(v->name, "[heap]");
	}
	struct vma *v = a->vsyscall.end && !err ? vma_list_add(list) : NULL;
	if (v) {
		*v = a->vsyscall;
		err = vma_set_name(v, "[vsyscall]");
	}
	return a->vsyscall.end && !v && !err ? -ENOMEM : err;
}

static int read_named(struct areas *a, const struct area_records *records, int proc, struct vma_list *list)
{
	_cleanup_close_ int maps = openat(proc, "maps", O_RDONLY | O_CLOEXEC);
	struct proc_stat stat;

	if (maps < 0 || !records->n || proc_stat(proc, "stat", &stat))
		return -EAGAIN;
	int err = build(a, records, maps, &stat, list);
	if (err)
		vma_list_free(list);
	return err;
}

/* Returns 0, -EAGAIN when smaps has to tell, or another -errno. */
static int read_by_bpf(struct dump *d, int proc, pid_t pid, struct vma_list *list)
{
	struct areas *a = begin(d);
	struct area_records records = {};
	int err = !a || bpf_iter_read(&a->it, pid, area_record_add, &records) ? -EAGAIN : 0;

	if (!err) {
		err = a->names ? read_named(a, &records, proc, list) : -EAGAIN;
		if (err == -EAGAIN) {
			err = proc_vmas(proc, false, list);
			if (!err && !merge(list, &records, &a->bits)) {
				vma_list_free(list);
				err = -EAGAIN;
			}
		}
	}
	free(records.r);
	return err;
}

/* With soft-dirty bits, smaps is to tell what is empty, too: looking at all page tables takes longer. */
static enum bpf_use use(const struct dump *d)
{
	if (!d || (d->areas && !d->areas->usable) || tracking_by_soft_dirty())
		return BPF_NEVER;
	return d->opts->bpf == BPF_AUTO && d->much_memory ? BPF_ALWAYS : d->opts->bpf;
}

void areas_get_ready(struct dump *d)
{
	if (use(d) != BPF_NEVER)
		begin(d);
}

bool areas_are_ready(const struct dump *d)
{
	return d->areas && use(d) == BPF_ALWAYS;
}

int areas_read_few(const struct dump *d, int proc, pid_t pid, struct vma_list *list)
{
	bool usual = d && d->opts->bpf == BPF_AUTO && !d->much_memory && !(pid == d->opts->tree && d->ahead_cut);

	*list = (struct vma_list){};
	int err = usual ? proc_vmas_few(proc, true, AREAS_MANY, list) : -E2BIG;
	if (err != -E2BIG)
		return err;
	vma_list_free(list);
	return use(d) == BPF_NEVER ? proc_vmas(proc, true, list) : -E2BIG;
}

int areas_read(struct dump *d, int proc, pid_t pid, struct vma_list *list)
{
	int err = areas_read_few(d, proc, pid, list);

	if (err == -E2BIG) {
		err = read_by_bpf(d, proc, pid, list);
		if (err == -EAGAIN) {
			log_info("process %d: its areas are read from smaps after all", pid);
			err = proc_vmas(proc, true, list);
		}
	}
	return err;
}
