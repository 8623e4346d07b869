/* Threads and children of tasks. */
#include "tree_look.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"
#include "attach.h"
#include "bpf_iter.h"
#include "cleanup.h"
#include "kernel_look.h"
#include "log.h"

#define MANY_THREADS 100
#define WORTH_THREADS 200 /* from so many on it pays to load the kernel's types */
#define WORTH_TASKS 100

enum { TID, TGID, PARENT, LEVEL, FLAGS };

/* Loads the program that reads them. Returns 0 or -errno (not logged). */
static int load(struct bpf_iter *it, struct dump *d, const struct bpf_types *types)
{
	struct number_paths numbers;
	int err = look_numbers(d, types, &numbers);

	return err ? err
		   : bpf_iter_load(it, types, "task",
				   (const char *[]){ [TID] = numbers.thread,
						     [TGID] = numbers.process,
						     [PARENT] = numbers.parent,
						     [LEVEL] = PARENT_LEVEL,
						     [FLAGS] = "task.flags",
						     NULL });
}

/* The program that reads them, loaded for the first who needs it; NULL: there is another way only. */
static const struct bpf_iter *look_with(struct dump *d, size_t things, size_t worth)
{
	const struct bpf_types *types = dump_bpf_types(d, things, worth);

	if (types && !d->tree_iter) {
		d->tree_iter = malloc(sizeof(*d->tree_iter));
		if (!d->tree_iter)
			return NULL;
		if (load(d->tree_iter, d, types))
			d->tree_iter->prog = -1;
	}
	return types && d->tree_iter && d->tree_iter->prog >= 0 ? d->tree_iter : NULL;
}

struct numbers {
	int *list;
	size_t n;
};

static int take_thread(void *arg, const uint64_t *values)
{
	struct numbers *numbers = arg;

	if (values[FLAGS] & WORKER_THREAD)
		return 0;
	if (array_grow(&numbers->list, numbers->n, sizeof(*numbers->list)))
		return -ENOMEM;
	numbers->list[numbers->n++] = (uint32_t)values[TID];
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int tree_threads(struct dump_task *t, int **tids, size_t *n, bool *workers)
{
	struct numbers numbers = {};
	struct stat st;
	bool there = !fstatat(t->proc, "task", &st, 0) && st.st_nlink > 2;
	const struct bpf_iter *it = there ? look_with(t->dump, st.st_nlink - 2, WORTH_THREADS) : NULL;

	*workers = true;
	if (!it || bpf_iter_read(it, t->pid, take_thread, &numbers)) {
		free(numbers.list);
		return proc_list(t->proc, "task", tids, n);
	}
	if (numbers.n)
		qsort(numbers.list, numbers.n, sizeof(*numbers.list), compare_ints);
	*tids = numbers.list;
	*n = numbers.n;
	*workers = false;
	return 0;
}

static int take_family(void *arg, const uint64_t *values)
{
	struct families *f = arg;

	if ((uint32_t)values[TID] != (uint32_t)values[TGID])
		return 0;
	if (array_grow(&f->list, f->n, sizeof(*f->list)))
		return -ENOMEM;
	/* the parent of the first process of our PID namespace is in none that we see */
	f->list[f->n++] = (struct family){ values[LEVEL] < f->level ? 0 : (uint32_t)values[PARENT], values[TID] };
	return 0;
}

static int compare_families(const void *a, const void *b)
{
	const struct family *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return x->child < y->child ? -1 : x->child > y->child;
}

bool families_wanted(struct dump *d, size_t tasks)
{
	return look_with(d, tasks, WORTH_TASKS);
}

int families_look(struct dump *d, struct families *f)
{
	const struct bpf_iter *it = d->tree_iter;

	*f = (struct families){ .level = d->pid_level };
	int err = it ? bpf_iter_read(it, 0, take_family, f) : 0;
	if (err == -ENOMEM)
		return log_errno(ENOMEM, "list of processes");
	f->known = it && !err;
	if (f->n)
		qsort(f->list, f->n, sizeof(*f->list), compare_families);
	return 0;
}

void families_free(struct families *f)
{
	free(f->list);
	*f = (struct families){};
}

static int find_children(pid_t parent, const struct families *f, int **pids, size_t *n)
{
	size_t from = 0, to = f->n;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (f->list[middle].parent < parent)
			from = middle + 1;
		else
			to = middle;
	}
	while (to < f->n && f->list[to].parent == parent)
		to++;
	*n = to - from;
	*pids = malloc(*n * sizeof(**pids) + 1);
	if (!*pids)
		return log_errno(ENOMEM, "children of process %d", parent);
	for (size_t i = from; i < to; i++)
		(*pids)[i - from] = f->list[i].child;
	return 0;
}

/* The children of a task of many threads: cheaper to find among all processes than by asking each thread. */
static int find_children_of_many(pid_t parent, int **pids, size_t *n)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t found, kept = 0;
	char name[32];

	if (proc < 0)
		return log_errno(errno, "can't open /proc");
	int err = proc_list(proc, ".", pids, &found);
	if (err)
		return err;
	for (size_t i = 0; i < found; i++) {
		struct proc_stat st;

		snprintf(name, sizeof(name), "%d/stat", (*pids)[i]);
		if (!proc_stat(proc, name, &st) && st.ppid == parent)
			(*pids)[kept++] = (*pids)[i];
	}
	*n = kept;
	return 0;
}

/* The children of each thread, one after the other. */
static int read_children(struct dump_task *t, int **pids, size_t *n)
{
	struct numbers all = {};

	for (size_t i = 0; i < t->n_threads; i++) {
		_cleanup_free_ int *list = NULL;
		char name[48];
		size_t found;

		snprintf(name, sizeof(name), "task/%d/children", t->threads[i].tid);
		int err = proc_numbers(t->proc, name, &list, &found);
		int *bigger = err ? NULL : realloc(all.list, (all.n + found) * sizeof(*bigger) + 1);
		if (err == -ESRCH)
			continue;
		if (!bigger) {
			free(all.list);
			return err ? err : log_errno(ENOMEM, "children of process %d", t->pid);
		}
		all.list = bigger;
		if (found)
			memcpy(all.list + all.n, list, found * sizeof(*list));
		all.n += found;
	}
	*pids = all.list;
	*n = all.n;
	return 0;
}

int tree_children(struct dump_task *t, const struct families *f, int **pids, size_t *n)
{
	*pids = NULL;
	*n = 0;
	if (f->known)
		return find_children(t->pid, f, pids, n);
	return t->n_threads > MANY_THREADS ? find_children_of_many(t->pid, pids, n) : read_children(t, pids, n);
}
