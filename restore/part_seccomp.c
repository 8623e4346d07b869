/*
 * Seccomp of each thread: strict mode and filters (seccomp.img: each filter names the one that was put on before).
 * They are put on at the very end by the threads themselves, still with all privileges, while ptrace suspends
 * them (PTRACE_O_SUSPEND_SECCOMP). What all threads of a task have in common is put on by its leader for all
 * (SECCOMP_FILTER_FLAG_TSYNC): then they share it, as the kernel demands when one wants to do that again later.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>

#include "block.h"
#include "log.h"
#include "plan.h"
#include "privileges.h"

#define INSTRUCTIONS_OF_PATH 32768 /* MAX_INSNS_PER_PATH of the kernel; each filter counts for 4 more */
/* SPEC_ALLOW is never seen from outside, the others need a supervisor. */
#define FLAGS (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW)

static const SeccompFilter *filter_at(const struct plan *plan, uint32_t i)
{
	return plan->seccomp && i < plan->seccomp->n_seccomp_filters ? plan->seccomp->seccomp_filters[i] : NULL;
}

static size_t instructions(const SeccompFilter *f)
{
	return f->filter.len / sizeof(struct sock_filter);
}

/* Looks once at all filters. Those of a chain stand in any order, but must not go in circles: see read_chain(). */
static int read_filters(struct plan *plan)
{
	int err = plan->seccomp ? 0 : plan_read_one(plan, IMG_SECCOMP, 0, &plan->seccomp);

	if (err == -ENOENT) {
		log_err("seccomp.img is missing: the images are incomplete");
		return -EBADMSG;
	}
	for (size_t i = 0; !err && i < plan->seccomp->n_seccomp_filters; i++) {
		const SeccompFilter *f = plan->seccomp->seccomp_filters[i];

		if (!f->filter.len || f->filter.len % sizeof(struct sock_filter) || instructions(f) > BPF_MAXINSNS) {
			log_err("seccomp.img: filter %zu has %zu bytes, which is no program", i, f->filter.len);
			return -EBADMSG;
		}
		if (f->flags & ~FLAGS) {
			log_err("seccomp.img: filter %zu has unknown flags 0x%x", i, f->flags);
			return -ENOTSUP;
		}
	}
	return err;
}

/* The filters of a thread from the last one on. Returns 0 or -errno (logged). */
static int read_chain(struct plan *plan, struct plan_thread *thread, uint32_t last)
{
	size_t n = 0, sum = 0;

	for (const SeccompFilter *f = filter_at(plan, last);; f = filter_at(plan, f->prev)) {
		if (!f) {
			log_err("core-%d.img: a seccomp filter of it is not in seccomp.img", thread->tid);
			return -EBADMSG;
		}
		n++;
		sum += instructions(f) + 4;
		if (sum > INSTRUCTIONS_OF_PATH) {
			log_err("seccomp.img: the filters of thread %d are too long, or go in circles", thread->tid);
			return -EBADMSG;
		}
		if (!f->has_prev)
			break;
	}
	uint32_t *list = plan_alloc_fixed(plan, n * sizeof(*list));
	if (!list)
		return -ENOMEM;
	thread->filters = list;
	thread->n_filters = n;
	for (uint32_t i = last; n > 0; i = filter_at(plan, i)->prev)
		list[--n] = i;
	return 0;
}

/* Images of CRIU before 3.13 told it once for all threads. */
static uint32_t mode_of(const struct plan_task *task, const struct plan_thread *thread)
{
	const ThreadCoreEntry *e = thread->core->thread_core;

	return e->has_seccomp_mode		  ? e->seccomp_mode
	       : task->core->has_old_seccomp_mode ? task->core->old_seccomp_mode
						  : SECCOMP_MODE__disabled;
}

/* Whether the leader's filters are all threads'. */
static bool is_led(const struct plan *plan, const struct plan_thread *leader)
{
	const SeccompFilter *last = leader->n_filters ? filter_at(plan, leader->filters[leader->n_filters - 1]) : NULL;

	return last && last->flags & SECCOMP_FILTER_FLAG_TSYNC;
}

static int read_thread(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	const ThreadCoreEntry *e = thread->core->thread_core;
	uint32_t mode = mode_of(task, thread);
	uint32_t last = e->has_seccomp_filter ? e->seccomp_filter : task->core->old_seccomp_filter;

	if (mode == SECCOMP_MODE__disabled && thread > task->threads && is_led(plan, &task->threads[0])) {
		thread->filters = task->threads[0].filters;
		thread->n_filters = task->threads[0].n_filters;
	}
	if (mode == SECCOMP_MODE__disabled)
		return 0;
	task->confined = true;
	if (mode == SECCOMP_MODE__strict)
		return 0;
	if (mode != SECCOMP_MODE__filter) {
		plan_refuse(plan, "core-%d.img: unknown seccomp mode %u", thread->tid, mode);
		return 0;
	}
	/* mostly all threads have the same */
	if (thread > task->threads && thread[-1].n_filters && thread[-1].filters[thread[-1].n_filters - 1] == last) {
		thread->filters = thread[-1].filters;
		thread->n_filters = thread[-1].n_filters;
		return 0;
	}
	int err = read_filters(plan);
	return err ? err : read_chain(plan, thread, last);
}

static int seccomp_read(struct plan *plan, struct plan_task *task)
{
	int err = 0;

	for (size_t i = 0; !err && i < task->n_threads; i++)
		if (task->threads[i].core->thread_core)
			err = read_thread(plan, task, &task->threads[i]);
	if (err || !task->confined)
		return err;
	const struct privileges *mine = privileges_get(plan);
	if (!mine)
		return -EIO;
	if (!privileges_has(mine, CAP_SYS_ADMIN) || prctl(PR_GET_SECCOMP, 0, 0, 0, 0))
		plan_refuse_here(
			plan,
			"task %d was under seccomp: run ckpt restore with CAP_SYS_ADMIN, and not under seccomp "
			"itself",
			task->pid);
	return 0;
}

/* How many of the first filters all threads have in common. */
static size_t count_shared(const struct plan_task *task)
{
	const struct plan_thread *first = &task->threads[0];
	size_t n = first->n_filters;

	for (size_t i = 1; i < task->n_threads; i++) {
		const struct plan_thread *other = &task->threads[i];
		size_t same = 0;

		while (same < n && same < other->n_filters && other->filters[same] == first->filters[same])
			same++;
		n = same;
	}
	return n;
}

/* Whether a thread has the same filters as the one before it. */
static bool as_before(const struct plan_task *task, size_t i)
{
	return i && task->threads[i].filters == task->threads[i - 1].filters;
}

size_t seccomp_room(const struct plan *plan, const struct plan_task *task)
{
	size_t need = 0;

	for (size_t i = 0; task->confined && i < task->n_threads; i++) {
		const struct plan_thread *t = &task->threads[i];

		for (size_t f = 0; !as_before(task, i) && f < t->n_filters; f++)
			need += sizeof(void *) + sizeof(struct restorer_filter) + 48 +
				filter_at(plan, t->filters[f])->filter.len;
	}
	return need;
}

static const struct restorer_filter *fill_filter(const SeccompFilter *f, struct block *block)
{
	struct restorer_filter *filter = block_alloc(block, sizeof(*filter));
	void *code = filter ? block_alloc(block, f->filter.len) : NULL;

	if (!code)
		return NULL;
	memcpy(code, f->filter.data, f->filter.len);
	filter->len = instructions(f);
	filter->code = code;
	/* which threads share it is our own affair */
	filter->flags = f->flags & ~SECCOMP_FILTER_FLAG_TSYNC;
	return filter;
}

static int fill_thread(struct plan *plan, struct plan_task *task, size_t i, struct block *block)
{
	const struct plan_thread *thread = &task->threads[i];
	struct restorer_thread *t = &block->args->threads[i];
	const struct restorer_filter **filters;

	t->seccomp_mode = mode_of(task, thread);
	t->n_filters = thread->n_filters;
	if (as_before(task, i)) {
		t->filters = t[-1].filters;
		return 0;
	}
	t->filters = filters = block_alloc(block, t->n_filters * sizeof(*filters));
	if (!filters)
		return -ENOMEM;
	for (size_t f = 0; f < t->n_filters; f++) {
		filters[f] = fill_filter(filter_at(plan, thread->filters[f]), block);
		if (!filters[f])
			return -ENOMEM;
	}
	return 0;
}

static int seccomp_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	int err = 0;

	if (!task->confined)
		return 0;
	block->args->confined = true;
	block->args->n_shared_filters = count_shared(task);
	for (size_t i = 0; !err && i < task->n_threads; i++)
		err = fill_thread(plan, task, i, block);
	return err;
}

const struct restore_part restore_part_seccomp = { .name = "seccomp", .read = seccomp_read, .fill = seccomp_fill };
