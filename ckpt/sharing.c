/*
 * Objects that clone(2) makes tasks share and a fork gives to each: their addresses in the kernel, where it tells
 * (thread_look.c), or kcmp(2) put them in an order, in which equal ones are neighbours. Tables of descriptors
 * (CLONE_FILES) and the directories and umask (CLONE_FS) are written once. Does not handle (judged): memory (CLONE_VM)
 * and what can only be shared with it, signal actions.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"

/* A task in an order by the object of a type. */
struct sharer {
	struct dump_task *task;
	size_t index; /* in the tree */
	int type; /* KCMP_* */
};

/* Of memory much is known already; what differs in it is not shared. */
static int compare_stats(const struct proc_stat *x, const struct proc_stat *y)
{
	if (x->start_stack != y->start_stack)
		return x->start_stack < y->start_stack ? -1 : 1;
	return x->arg_start < y->arg_start ? -1 : x->arg_start > y->arg_start;
}

/* What the kernel's own address of it would be, if it told. */
static uint64_t object_of(const struct sharer *x)
{
	const struct dump_task *t = x->task;

	return x->type == KCMP_FILES ? t->files_at : x->type == KCMP_FS ? t->fs_at : t->mm_at;
}

static int compare_objects(const struct sharer *x, const struct sharer *y)
{
	uint64_t here = object_of(x), there = object_of(y);
	int order = x->type == KCMP_VM ? compare_stats(&x->task->stat, &y->task->stat) : 0;

	if (order)
		return order;
	if (here && there)
		return here < there ? -1 : here > there;
	long said = syscall(SYS_kcmp, x->task->member, y->task->member, x->type, 0, 0);
	return said == 1 ? -1 : said == 2;
}

static int compare_sharers(const void *a, const void *b)
{
	const struct sharer *x = a, *y = b;
	int order = compare_objects(x, y);

	return order ? order : x->index < y->index ? -1 : 1;
}

/* Lists those that live in the order of their objects. Returns how many, or -ENOMEM (logged). */
static ssize_t list_sharers(struct dump *d, int type, struct sharer **list)
{
	size_t n = 0;

	*list = malloc(d->n_tasks * sizeof(**list));
	if (!*list)
		return log_errno(ENOMEM, "what tasks share");
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->state != TASK_DEAD)
			(*list)[n++] = (struct sharer){ d->tasks[i], i, type };
	qsort(*list, n, sizeof(**list), compare_sharers);
	return n;
}

static struct dump_task **first_of(struct dump_task *t, int type)
{
	return type == KCMP_FILES ? &t->files_of : type == KCMP_FS ? &t->fs_of : &t->vm_of;
}

int sharing_collect(struct dump *d)
{
	static const int types[] = { KCMP_FILES, KCMP_FS, KCMP_VM };

	for (size_t i = 0; i < d->n_tasks; i++)
		d->tasks[i]->files_of = d->tasks[i]->fs_of = d->tasks[i]->vm_of = d->tasks[i];
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		_cleanup_free_ struct sharer *list = NULL;
		ssize_t n = list_sharers(d, types[t], &list);

		if (n < 0)
			return n;
		for (ssize_t i = 1; i < n; i++)
			if (!compare_objects(&list[i - 1], &list[i]))
				*first_of(list[i].task, types[t]) = *first_of(list[i - 1].task, types[t]);
	}
	return 0;
}

int sharing_judge(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];

		if (t->vm_of == t)
			continue;
		/* two parasites in one address space would get into each other's way */
		t->untouchable = t->vm_of->untouchable = true;
		err = blocker_add(d, t->pid, "shared memory",
				  "processes that share all memory (CLONE_VM) are not supported",
				  "wait until one has executed a program or ended, or make it a thread",
				  "memory shared with task %d", t->vm_of->pid);
	}
	return err;
}
