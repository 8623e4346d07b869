/*
 * Areas of tasks that have forked off each other are nearly the same. A BPF iterator tells what the kernel keeps of all
 * areas of all tasks; what that means is not understood here, but compared: an area with the same flags, file,
 * operations and name as one of its parent is what smaps says of that one. So smaps, which looks at each page, is read
 * of those tasks only that have areas of their own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "areas.h"
#include "array.h"
#include "kernel_look.h"
#include "log.h"

#define STRANGERS 16 /* areas that lie elsewhere than a parent's; one with more has smaps read */

/* The values that say what an area is, but for its place; then those that its name may depend on. */
enum {
	PID,
	TGID,
	CONTEXT,
	HEAP_START,
	STACK,
	HEAP_END,
	START,
	END,
	OFFSET,
	KIND,
	FILE_BEHIND,
	USERS = KIND + 5,
	VALUES = USERS + 3,
};

static const char *const paths[] = {
	[PID] = LOOK_PID,
	[TGID] = LOOK_TGID,
	[CONTEXT] = "vma.vm_mm.context.flags", /* whether it has [vsyscall], and more */
	[HEAP_START] = "vma.vm_mm.start_brk",
	[STACK] = "vma.vm_mm.start_stack",
	[HEAP_END] = "vma.vm_mm.brk",
	[START] = "vma.vm_start",
	[END] = "vma.vm_end",
	[OFFSET] = "vma.vm_pgoff",
	[KIND] = "vma.vm_flags",
	[FILE_BEHIND] = "vma.vm_file",
	"vma.vm_ops",
	"vma.vm_private_data",
	"?vma.anon_name",
	[USERS] = "vma.anon_vma",
	"vma.anon_vma.root",
	"?vma.anon_vma.num_children", /* 5.18 */
	[VALUES] = NULL,
};

struct area_told {
	uint64_t values[VALUES];
};

static int take(void *look, const uint64_t *values)
{
	struct dump_task *t = look_task(look, values[PID]);

	if (!t || t->n_told_areas > AREAS_MANY) /* then they are read in another way */
		return 0;
	if (array_grow(&t->told_areas, t->n_told_areas, sizeof(*t->told_areas)))
		return log_errno(ENOMEM, "areas of task %d", t->pid);
	memcpy(t->told_areas[t->n_told_areas++].values, values, sizeof(t->told_areas->values));
	return 0;
}

int areas_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers)
{
	static const struct look_kind kind = { "areas", "task_vma", paths, take, areas_forget_told };

	return look_at_tasks(d, types, numbers, &kind);
}

void areas_forget_told(struct dump *d)
{
	for (size_t i = 0; i < d->n_tasks; i++) {
		free(d->tasks[i]->told_areas);
		d->tasks[i]->told_areas = NULL;
		d->tasks[i]->n_told_areas = 0;
	}
}

/* Heap and stack have their names by their place. */
static bool is_near_heap(const uint64_t *a)
{
	return a[START] <= a[HEAP_END] && a[END] >= a[HEAP_START];
}

static bool is_near_stack(const uint64_t *a)
{
	return a[START] <= a[STACK] && a[END] >= a[STACK];
}

/* Whether an area has the name of another one that is the same but for its place. */
static bool has_same_name(const uint64_t *a, const uint64_t *other, const char *name)
{
	if (!is_near_heap(a) && !is_near_stack(a) && !is_near_heap(other) && !is_near_stack(other))
		return true;
	if (a[START] == other[START] && a[END] == other[END] && a[HEAP_END] == other[HEAP_END])
		return true;
	/* they may grow */
	return a[START] <= other[START] && a[END] >= other[END] && a[HEAP_END] >= other[HEAP_END] &&
	       (!strcmp(name, "[heap]") || (!strcmp(name, "[stack]") && !is_near_heap(a)));
}

/* Whether smaps says the same of an area, but for its place, as of one of another task, which is v. */
static bool is_like(const uint64_t *a, const uint64_t *other, const struct vma *v)
{
	return !memcmp(&a[KIND], &other[KIND], (USERS - KIND) * sizeof(*a)) && has_same_name(a, other, v->name);
}

/* As areas.c has it of those that it is told of itself: who may have its pages has areas with the same root. */
static bool is_own(const uint64_t *a, const struct vma *v)
{
	const uint64_t *users = &a[USERS];

	return (!users[0] || (users[0] == users[1] && users[2] == 1)) && !(v->madv & (1u << MADV_MERGEABLE));
}

/* The area of which smaps was read that the values are of, or NULL. */
static const struct vma *find_area(const struct vma_list *list, const uint64_t *values)
{
	const struct vma *v = vma_find(list, values[START]);

	return v && v->start == values[START] && v->end == values[END] ? v : NULL;
}

/* An area of the parent that is like one: at first that at the same place. *strangers: of how many there was none. */
static const struct vma *find_like(const struct dump_task *parent, const uint64_t *values, size_t *next,
				   size_t *strangers)
{
	const struct area_told *list = parent->told_areas;
	size_t n = parent->n_told_areas;

	while (*next < n && list[*next].values[START] < values[START])
		++*next;
	const struct vma *v = *next < n ? find_area(&parent->vmas, list[*next].values) : NULL;
	if (v && is_like(values, list[*next].values, v))
		return v;
	v = NULL;
	for (size_t i = ++*strangers > STRANGERS ? n : 0; i < n && !v; i++) {
		v = find_area(&parent->vmas, list[i].values);
		v = v && is_like(values, list[i].values, v) ? v : NULL;
	}
	return v;
}

static int add_copy(struct vma_list *list, const struct vma *of, const uint64_t *values)
{
	struct vma *v = vma_list_add(list);

	if (!v)
		return -ENOMEM;
	char *no_name = v->name;

	*v = *of;
	v->name = no_name;
	v->empty = false;
	if (values) {
		v->start = values[START];
		v->end = values[END];
		v->pgoff = values[FILE_BEHIND] ? values[OFFSET] * IMAGE_PAGE_SIZE : 0;
		v->own = is_own(values, v);
	}
	return *of->name ? vma_set_name(v, of->name) : 0;
}

/* Those of a task of which the kernel told, and [vsyscall], of which it does not tell, as it belongs to nobody. */
static int copy_areas(struct dump_task *t)
{
	const struct dump_task *p = t->parent;
	const struct vma *last = &p->vmas.v[p->vmas.n - 1];
	size_t next = 0, strangers = 0;
	int err = 0;

	for (size_t i = 0; i < t->n_told_areas && !err; i++) {
		const uint64_t *values = t->told_areas[i].values;
		const struct vma *like = find_like(p, values, &next, &strangers);

		err = like ? add_copy(&t->vmas, like, values) : -EAGAIN;
	}
	return !err && !strcmp(last->name, "[vsyscall]") ? add_copy(&t->vmas, last, NULL) : err;
}

bool areas_like_parent(struct dump_task *t)
{
	const struct dump_task *p = t->parent;

	if (!p || !p->areas_known || !p->vmas.n || !p->n_told_areas || !t->n_told_areas ||
	    t->n_told_areas > AREAS_MANY || p->n_told_areas > AREAS_MANY)
		return false;
	if (memcmp(&t->told_areas->values[CONTEXT], &p->told_areas->values[CONTEXT],
		   (HEAP_END - CONTEXT) * sizeof(uint64_t)))
		return false;
	t->vmas = (struct vma_list){};
	if (!copy_areas(t))
		return true;
	vma_list_free(&t->vmas);
	return false;
}
