/*
 * Which numbers files have while the tree is forked. Where nobody in the tree has another file by a number, the file is
 * opened at that number at once (its home), and is there when all is done: so no number is needed twice, and nothing
 * has to be moved. All others get temporary numbers, in a range that no task uses.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "late_files.h"
#include "log.h"
#include "plan.h"

#define SPARE_FDS 64 /* temporary numbers for images, pages, and what is open while something else is made */
#define SPARE_TIGHT 24 /* where there is no room for so many */
#define SHARER_FDS 4 /* the same of a task, in a table that it shares */

int plan_reserve_fd(struct plan *plan, int fd, struct plan_file *file)
{
	/* Doubled at each power of two. */
	if (!(plan->n_reserved & (plan->n_reserved - 1))) {
		struct plan_number *larger =
			plan_alloc(plan, (plan->n_reserved ? 2 * plan->n_reserved : 1) * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		if (plan->n_reserved)
			memcpy(larger, plan->reserved, plan->n_reserved * sizeof(*larger));
		plan->reserved = larger;
	}
	plan->reserved[plan->n_reserved++] = (struct plan_number){ fd, file };
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	const struct plan_number *x = a, *y = b;

	if (x->fd != y->fd)
		return x->fd < y->fd ? -1 : 1;
	return x->file < y->file ? -1 : x->file > y->file;
}

/* All numbers that mean something in the tree, ascending. */
static struct plan_number *list_numbers(struct plan *plan, size_t *n)
{
	size_t used = plan->n_reserved;

	for (size_t i = 0; i < plan->n_tasks; i++)
		used += plan->tasks[i].files_of == &plan->tasks[i] ? plan->tasks[i].n_fds : 0;
	struct plan_number *list = plan_alloc(plan, (used + 1) * sizeof(*list));
	if (!list)
		return NULL;
	*n = plan->n_reserved;
	if (*n)
		memcpy(list, plan->reserved, *n * sizeof(*list));
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		for (size_t f = 0; task->files_of == task && f < task->n_fds; f++)
			list[(*n)++] = (struct plan_number){ task->fds[f].fd, task->fds[f].file };
	}
	plan_sort(list, *n, sizeof(*list), compare_numbers);
	return list;
}

/* Terminals are opened in ways of their own. */
static bool may_have_home(const struct plan_file *file)
{
	return file && file->with->owner && !file->late && file->entry->type != FD_TYPES__TTY;
}

static int choose_homes(struct plan *plan, const struct plan_number *list, size_t n)
{
	plan->homes = plan_alloc(plan, (n + 1) * sizeof(*plan->homes));
	if (!plan->homes)
		return -ENOMEM;
	for (size_t i = 0, next; i < n; i = next) {
		struct plan_file *file = list[i].file;

		for (next = i + 1; next < n && list[next].fd == list[i].fd; next++)
			;
		/* They are in the order of their files, too. */
		if (list[next - 1].file != file || !may_have_home(file) || file->home >= 0)
			continue;
		file->home = list[i].fd;
		plan->homes[plan->n_homes++] = list[i].fd;
	}
	return 0;
}

/* The start of count numbers below max that are not in the list: above all others if possible, else -1. */
static int find_gap(const struct plan_number *list, size_t n, int count, int max)
{
	int next = n ? list[n - 1].fd + 1 : 0, before = -1;

	if (next <= max - count)
		return next;
	for (size_t i = 0; i < n; i++) {
		if (list[i].fd - before - 1 >= count)
			return before + 1;
		before = list[i].fd;
	}
	return -1;
}

/* How many temporary numbers are needed, beside spare ones. */
static size_t count_temporary(const struct plan *plan)
{
	size_t n = plan->n_extra_fds + 2 * plan->chain.n_parents + plan->n_segments + 2 * plan->n_ghost_names +
		   late_count_fds(plan);

	for (size_t i = 0; i < plan->n_files; i++) {
		const struct plan_file *file = &plan->files[i];

		n += (file->with->owner && file->home < 0) + !!file->map[0].owner + !!file->map[1].owner;
	}
	return n + (plan->any_sharing ? plan->n_tasks * SHARER_FDS : 0);
}

int plan_choose_numbers(struct plan *plan)
{
	struct rlimit limit;
	size_t n;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return log_errno(errno, "can't read RLIMIT_NOFILE");
	const struct plan_number *list = list_numbers(plan, &n);
	if (!list || choose_homes(plan, list, n))
		return -ENOMEM;
	int max = limit.rlim_max < INT32_MAX ? limit.rlim_max : INT32_MAX;
	size_t needed = count_temporary(plan);
	int count = needed < INT_MAX / 2 ? needed + SPARE_FDS : INT_MAX / 2;
	if (n && list[n - 1].fd >= max)
		plan_refuse_here(plan,
				 "descriptor %d is above the hard limit of open files (%d): raise it with ulimit -Hn",
				 list[n - 1].fd, max);
	plan->fd_low = find_gap(list, n, count, max);
	if (plan->fd_low < 0) {
		count -= SPARE_FDS - SPARE_TIGHT;
		plan->fd_low = find_gap(list, n, count, max);
	}
	plan->fd_high = plan->fd_low + count - 1;
	if (plan->fd_low < 0)
		plan_refuse_here(plan,
				 "the hard limit of open files (%d) leaves no room for %d temporary descriptors: "
				 "raise it with ulimit -Hn",
				 max, count);
	return 0;
}
