/*
 * Flags of areas of a task that runs, maps when it stands still, and flags of its snapshot. A fork takes over all
 * flags but those of mlock(2), whose sum is in /proc/PID/status, and those of userfaultfd, whose descriptors are looked
 * at.
 */
#include "early_areas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "areas.h"
#include "cleanup.h"
#include "dump.h"
#include "log.h"

/* Areas of the kernel, which are the same in all tasks. */
static bool is_kernels(const struct vma *v)
{
	return !strncmp(v->name, "[vvar", 5) || !strcmp(v->name, "[vdso]") || !strcmp(v->name, "[vsyscall]");
}

/* Whether a fork has it. */
static bool is_inherited(const struct vma *v)
{
	return is_kernels(v) || (!v->hugetlb && !v->io && !(v->madv & 1u << MADV_DONTFORK) && !sysv_is_shm(v));
}

static int read_locked(int proc, uint64_t *kb)
{
	_cleanup_free_ char *text = NULL;
	int err = proc_read(proc, "status", &text, NULL);
	const char *line = err ? NULL : strstr(text, "\nVmLck:");

	*kb = line ? strtoul(line + strlen("\nVmLck:"), NULL, 10) : 0;
	return err ? err : line ? 0 : -ENOENT;
}

void early_areas_read(struct early_areas *e, struct dump *d, int proc, pid_t pid)
{
	early_areas_free(e);
	bool usable = !read_locked(proc, &e->locked) && !areas_read(d, proc, pid, &e->list);

	for (size_t i = 0; i < e->list.n && usable; i++)
		usable = is_inherited(&e->list.v[i]);
	if (!usable)
		early_areas_free(e);
}

static bool same_place(const struct vma *a, const struct vma *b)
{
	return a->start == b->start && a->end == b->end && a->pgoff == b->pgoff && a->ino == b->ino &&
	       a->dev == b->dev && a->prot == b->prot && a->shared == b->shared && !strcmp(a->name, b->name);
}

bool early_areas_recall(struct early_areas *e, int proc, struct vma_list *list)
{
	struct vma_list now = {};
	uint64_t locked;
	bool same = e->list.n && !read_locked(proc, &locked) && locked == e->locked && !proc_vmas(proc, false, &now) &&
		    now.n == e->list.n;

	for (size_t i = 0; i < now.n && same; i++)
		same = same_place(&now.v[i], &e->list.v[i]);
	vma_list_free(&now);
	if (!same)
		return false;
	*list = e->list;
	e->list = (struct vma_list){};
	return true;
}

/* Apart from MADV_WIPEONFORK. */
static bool same_flags(const struct vma *a, const struct vma *b)
{
	return a->prot == b->prot && a->shared == b->shared && a->ino == b->ino && a->grows_down == b->grows_down &&
	       a->io == b->io && a->noreserve == b->noreserve && a->may_write == b->may_write &&
	       a->droppable == b->droppable && a->hugetlb == b->hugetlb && a->protection_key == b->protection_key &&
	       !((a->madv ^ b->madv) & ~(1u << MADV_WIPEONFORK)) && a->page_size == b->page_size;
}

int early_areas_confirm(const struct vma_list *list, struct dump *d, int proc, pid_t pid)
{
	struct vma_list now = {};
	size_t next = 0;
	int err = areas_read(d, proc, pid, &now);

	if (!err && !now.n)
		err = -ESRCH;
	for (size_t i = 0; i < list->n && !err; i++) {
		const struct vma *v = &list->v[i];
		bool confirmed = is_kernels(v);

		/* some of it may be empty in a snapshot, and has this one flag more there */
		for (; next < now.n && now.v[next].start < v->end && !err; next++) {
			const struct vma *n = &now.v[next];

			if (n->end <= v->start || is_kernels(v))
				continue;
			if (n->start < v->start || n->end > v->end || !same_flags(v, n))
				err = -EAGAIN;
			confirmed |= v->madv == n->madv;
		}
		if (!confirmed && !err)
			err = -EAGAIN;
	}
	vma_list_free(&now);
	return err;
}

int early_areas_correct(struct vma_list *list, struct dump *d, int proc, pid_t pid)
{
	struct vma_list now = {};
	int err = areas_read(d, proc, pid, &now);

	for (size_t i = 0; i < list->n && !err; i++) {
		struct vma *v = &list->v[i];
		const struct vma *n = vma_find(&now, v->start); /* there are more now: the parasite */
		char *name = v->name;

		if (!n || n->start != v->start || n->end != v->end) {
			err = log_errno(EAGAIN, "the area %lx-%lx is not what it was, try again", v->start, v->end);
			break;
		}
		*v = *n;
		v->name = name;
	}
	vma_list_free(&now);
	return err;
}

void early_areas_free(struct early_areas *e)
{
	vma_list_free(&e->list);
	e->locked = 0;
}
