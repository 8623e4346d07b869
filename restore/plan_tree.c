/*
 * The tree (pstree.img): who is whose child, which threads there are. The first entry is the root; parents
 * stand before their children, so no cycle is possible.
 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>

#include "log.h"
#include "restore.h"

#define PID_MAX_LIMIT (4 * 1024 * 1024) /* of the kernel on 64 bits */

static bool good_pid(uint32_t pid)
{
	return pid > 0 && pid < PID_MAX_LIMIT;
}

static int read_threads(struct plan *plan, struct plan_task *task, const PstreeEntry *e)
{
	size_t leader = e->n_threads;

	task->threads = plan_alloc_fixed(plan, (e->n_threads + 1) * sizeof(*task->threads));
	if (!task->threads)
		return -ENOMEM;
	/* The only thread is the leader. For a dead task CRIU writes one with a number that means nothing. */
	if (e->n_threads <= 1) {
		task->threads[0].tid = task->pid;
		task->n_threads = 1;
		return 0;
	}
	for (size_t i = 0; i < e->n_threads; i++) {
		if (!good_pid(e->threads[i])) {
			log_err("pstree.img: task %u has a thread with the number %u", e->pid, e->threads[i]);
			return -EBADMSG;
		}
		if (e->threads[i] == e->pid)
			leader = i;
		task->threads[i].tid = e->threads[i];
	}
	if (leader == e->n_threads) {
		log_err("pstree.img: the leader of task %u is not among its threads", e->pid);
		return -EBADMSG;
	}
	task->threads[leader].tid = task->threads[0].tid;
	task->threads[0].tid = task->pid;
	task->n_threads = e->n_threads;
	return 0;
}

static int read_entry(struct plan *plan, size_t index, const PstreeEntry *e)
{
	struct plan_task *task = &plan->tasks[index];

	if (!good_pid(e->pid) || e->pgid >= PID_MAX_LIMIT || e->sid >= PID_MAX_LIMIT) {
		log_err("pstree.img: entry %zu: pid %u, group %u or session %u is out of range", index, e->pid, e->pgid,
			e->sid);
		return -EBADMSG;
	}
	task->index = index;
	task->pid = e->pid;
	task->pgid = e->pgid;
	task->sid = e->sid;
	plan->by_pid[index] = task;
	return read_threads(plan, task, e);
}

void plan_add_child(struct plan_task *parent, struct plan_task *task)
{
	task->parent = parent;
	task->depth = parent->depth + 1;
	/* Children are forked in the order of the image. */
	if (parent->last_child)
		parent->last_child->next = task;
	else
		parent->children = task;
	parent->last_child = task;
}

static int find_parent(struct plan *plan, size_t index, const PstreeEntry *e)
{
	struct plan_task *parent = plan_task_by_pid(plan, e->ppid);

	if (!parent || parent->index >= index) {
		log_err("pstree.img: the parent %u of task %u does not stand before it", e->ppid, e->pid);
		return -EBADMSG;
	}
	plan_add_child(parent, &plan->tasks[index]);
	return 0;
}

static int compare_pids(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

static int compare_tasks(const void *a, const void *b)
{
	return compare_pids(&(*(struct plan_task *const *)a)->pid, &(*(struct plan_task *const *)b)->pid);
}

int restore_judge_tree(const struct opts *opts, const struct restore_shape *tasks, size_t n,
		       void (*say)(void *arg, const char *reason), void *arg)
{
	_cleanup_plan_ struct plan plan = {
		.opts = opts,
		.tty_fd = -1,
		.guard_fd = -1,
		.images = { -1, -1, NULL },
		.say = say,
		.say_arg = arg,
		.n_tasks = n,
	};

	plan.tasks = plan_alloc(&plan, n * sizeof(*plan.tasks));
	plan.by_pid = plan_alloc(&plan, n * sizeof(*plan.by_pid));
	if (!plan.tasks || !plan.by_pid)
		return log_errno(ENOMEM, "the shape of the tree");
	for (size_t i = 0; i < n; i++) {
		plan.tasks[i] = (struct plan_task){ .index = i,
						    .pid = tasks[i].pid,
						    .pgid = tasks[i].pgid,
						    .sid = tasks[i].sid,
						    .state = tasks[i].dead ? TASK_DEAD : TASK_ALIVE };
		plan.by_pid[i] = &plan.tasks[i];
		if (i)
			plan_add_child(&plan.tasks[tasks[i].parent], &plan.tasks[i]);
	}
	qsort(plan.by_pid, n, sizeof(*plan.by_pid), compare_tasks);
	for (size_t i = 0; i < n; i++) {
		plan.tasks[i].files_of = plan_task_by_pid(&plan, tasks[i].files);
		plan.tasks[i].fs_of = plan_task_by_pid(&plan, tasks[i].fs);
	}
	return plan_order_sessions(&plan);
}

/* No number may stand for two threads. */
static int check_unique(struct plan *plan)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < plan->n_tasks; i++)
		n += plan->tasks[i].n_threads;
	plan->n_tids = n;
	pid_t *tids = plan_alloc(plan, n * sizeof(*tids));
	if (!tids)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_tasks; i++)
		for (size_t t = 0; t < plan->tasks[i].n_threads; t++)
			tids[at++] = plan->tasks[i].threads[t].tid;
	qsort(tids, n, sizeof(*tids), compare_pids);
	for (size_t i = 1; i < n; i++) {
		if (tids[i] == tids[i - 1]) {
			log_err("pstree.img: the number %d stands for two threads", tids[i]);
			return -EBADMSG;
		}
	}
	return 0;
}

int plan_read_tree(struct plan *plan)
{
	PstreeEntry **entries;
	int err = plan_read_all(plan, IMG_PSTREE, 0, &entries, &plan->n_tasks);

	if (err == -ENOENT || (!err && !plan->n_tasks)) {
		log_err("%s: there is no task in pstree.img", plan->images.path);
		return -EBADMSG;
	}
	if (err)
		return err;
	plan->tasks = plan_alloc(plan, plan->n_tasks * sizeof(*plan->tasks));
	plan->by_pid = plan_alloc(plan, plan->n_tasks * sizeof(*plan->by_pid));
	if (!plan->tasks || !plan->by_pid)
		return -ENOMEM;
	for (size_t i = 0; !err && i < plan->n_tasks; i++)
		err = read_entry(plan, i, entries[i]);
	if (!err)
		err = check_unique(plan);
	if (err)
		return err;
	qsort(plan->by_pid, plan->n_tasks, sizeof(*plan->by_pid), compare_tasks);
	for (size_t i = 1; !err && i < plan->n_tasks; i++)
		err = find_parent(plan, i, entries[i]);
	return err;
}
