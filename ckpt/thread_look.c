/*
 * What the kernel keeps of threads, by one BPF iterator: what is slow to read in /proc, or only the thread itself could
 * tell by calls that it makes for us.
 *
 * Most values are what the images want. Those from which /proc/TID/status, the namespaces and the dispatch of system
 * calls follow are not understood here: a thread that has the same as one of which all that was read has the same
 * status.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "cleanup.h"
#include "compat.h"
#include "kernel_look.h"
#include "log.h"

#define WORTH 100 /* threads, below which loading the kernel's types takes longer than it saves */
#define TASK_WORTH 4 /* threads: so much more it saves of a task */
#define EACH_ALONE 20 /* threads of the system that are looked at in the time that it takes to ask for one process */
#define LIKES 16

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1u << 31)
#endif

/* The values that a thread's status follows from; then those that mean what they say. */
enum {
	NSPROXY = 13,
	LEVEL = 16,
	SAME = 21,
	TID = SAME,
	NAME,
	PENDING = NAME + 2,
	SHARED_PENDING,
	UMASK,
	SECUREBITS,
	STACK,
	STACK_SIZE,
	STACK_FLAGS,
	CLEAR_TID,
	PARENT_DEATH,
	SLACK,
	ROBUST,
	FILES,
	FS,
	MM,
};

static const char *const paths[] = {
	CREDENTIALS,
	[NSPROXY] = "task.nsproxy",
	"task.real_cred.group_info",
	"task.real_cred.user_ns",
	[LEVEL] = "task.thread_pid.level",
	"task.atomic_flags", /* no new privileges, and more */
	"task.seccomp.mode",
	"task.thread_info.syscall_work", /* the dispatch of system calls, and more */
	"?task.thread.features", /* shadow stacks */
	[TID] = "", /* struct number_paths */
	[NAME] = "task.comm@0",
	"task.comm@8",
	[PENDING] = "task.pending.signal",
	[SHARED_PENDING] = "task.signal.shared_pending.signal",
	[UMASK] = "task.fs.umask",
	[SECUREBITS] = "task.real_cred.securebits",
	[STACK] = "task.sas_ss_sp",
	[STACK_SIZE] = "task.sas_ss_size",
	[STACK_FLAGS] = "task.sas_ss_flags",
	[CLEAR_TID] = "task.clear_child_tid",
	[PARENT_DEATH] = "task.pdeath_signal",
	[SLACK] = "task.timer_slack_ns",
	[ROBUST] = "task.robust_list",
	[FILES] = "task.files",
	[FS] = "task.fs",
	[MM] = "task.mm",
	NULL,
};

/* A thread that was read in /proc, and its values. */
struct like {
	uint64_t values[SAME];
	const struct dump_thread *th;
};

struct look {
	struct dump *d;
	struct dump_thread **by_tid; /* ascending */
	struct like likes[LIKES]; /* the last ones */
	size_t n_likes; /* of all */
};

static int compare_tids(const void *a, const void *b)
{
	const struct dump_thread *const *x = a, *const *y = b;

	return (*x)->tid < (*y)->tid ? -1 : (*x)->tid > (*y)->tid;
}

static const struct like *find_like(const struct look *l, const uint64_t *values)
{
	for (size_t i = 0; i < LIKES && i < l->n_likes; i++)
		if (!memcmp(l->likes[i].values, values, sizeof(l->likes[i].values)))
			return &l->likes[i];
	return NULL;
}

/* Reads of a thread what others like it have, too. */
static int read_like(struct look *l, struct dump_thread *th, const uint64_t *values)
{
	struct like *like = &l->likes[l->n_likes++ % LIKES];
	int err = thread_read_status(th);

	creds_read_dispatch(th);
	namespaces_collect(th->task);
	memcpy(like->values, values, sizeof(like->values));
	like->th = th;
	return err;
}

static int copy_status(struct dump_thread *th, const struct dump_thread *from)
{
	th->status = from->status;
	th->status.groups = malloc(from->status.n_groups * sizeof(*th->status.groups) + 1);
	if (!th->status.groups)
		return log_errno(ENOMEM, "status of thread %d", th->tid);
	if (from->status.n_groups)
		memcpy(th->status.groups, from->status.groups, from->status.n_groups * sizeof(*th->status.groups));
	th->dispatched = from->dispatched;
	return 0;
}

static void take_own(struct dump_thread *th, const uint64_t *values)
{
	memset(th->status.name, 0, sizeof(th->status.name));
	memcpy(th->status.name, &values[NAME], 15);
	th->status.pending = values[PENDING];
	th->status.shared_pending = values[SHARED_PENDING];
	th->status.caught = ~0ull; /* not asked for: who needs to know takes care */
	th->status.umask = values[UMASK];
	th->securebits = values[SECUREBITS];
	th->securebits_known = true;
	th->altstack =
		(stack_t){ .ss_sp = (void *)values[STACK],
			   .ss_size = values[STACK_SIZE],
			   .ss_flags = (values[STACK_FLAGS] & SS_AUTODISARM) | (values[STACK_SIZE] ? 0 : SS_DISABLE) };
	th->clear_child_tid = values[CLEAR_TID];
	th->pdeath_signal = values[PARENT_DEATH];
	th->timer_slack = values[SLACK];
	if (!regs_compat(&th->remote.regs)) { /* those have another one */
		th->robust_list = values[ROBUST];
		th->robust_len = values[ROBUST] ? sizeof(struct robust_list_head) : 0;
	}
	th->told = true;
}

static int take_record(void *arg, const uint64_t *values)
{
	struct look *l = arg;
	struct dump_thread key = { .tid = (uint32_t)values[TID] }, *wanted = &key;
	struct dump_thread **found = bsearch(&wanted, l->by_tid, l->d->n_threads, sizeof(*l->by_tid), compare_tids);

	if (!found)
		return 0;
	struct dump_thread *th = *found;
	struct dump_task *t = th->task;
	const struct like *like = find_like(l, values);
	int err = like ? copy_status(th, like->th) : read_like(l, th, values);
	if (err)
		return err;
	take_own(th, values);
	if (th != t->threads)
		return 0;
	/* in a deeper PID namespace than ours, which is not among the values, it may be in any */
	if (like && values[LEVEL] == l->d->pid_level && like->th->task != t) {
		memcpy(t->namespaces, like->th->task->namespaces, sizeof(t->namespaces));
		t->namespaces_known = true;
	}
	t->files_at = values[FILES];
	t->fs_at = values[FS];
	t->mm_at = values[MM];
	return 0;
}

static int take_level(void *level, const uint64_t *values)
{
	*(uint64_t *)level = values[0];
	return 0;
}

/* The PID namespace that we are in counts from the first one, which is 0. */
static int find_level(const struct bpf_types *types, uint64_t *level)
{
	struct bpf_iter it;

	*level = 0;
	if (in_first_pid_namespace())
		return 0;
	int err = bpf_iter_load(&it, types, "task", (const char *[]){ "task.thread_pid.level", NULL });
	if (!err)
		err = bpf_iter_read_thread(&it, gettid(), take_level, level);
	bpf_iter_close(&it);
	return err ? err : *level ? 0 : -ENOENT;
}

int look_numbers(struct dump *d, const struct bpf_types *types, struct number_paths *p)
{
	uint64_t level = d->pid_level;
	int err = d->pid_level_known ? 0 : find_level(types, &level), at = 16 * level; /* struct upid has 16 bytes */

	d->pid_level = level;
	d->pid_level_known |= !err;
	*p = (struct number_paths){ "task.pid", "task.tgid", "task.real_parent.tgid" };
	if (!level)
		return err;
	snprintf(p->thread, sizeof(p->thread), "task.thread_pid.numbers@%d", at);
	snprintf(p->process, sizeof(p->process), "task.group_leader.thread_pid.numbers@%d", at);
	snprintf(p->parent, sizeof(p->parent), "task.real_parent.group_leader.thread_pid.numbers@%d", at);
	return err;
}

/* Of all threads of the system, or of one process after the other. */
int look_read(const struct dump *d, const struct bpf_iter *it, int (*take)(void *arg, const uint64_t *values),
	      void *arg)
{
	struct sysinfo info;
	int err = 0;

	if (d->n_tasks > 1 && !sysinfo(&info) && info.procs / EACH_ALONE < d->n_tasks)
		return bpf_iter_read(it, 0, take, arg);
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->n_threads)
			err = bpf_iter_read(it, d->tasks[i]->pid, take, arg);
	return err;
}

struct dump_task *look_task(struct look_tasks *l, uint64_t number)
{
	pid_t pid = (uint32_t)number;

	if (pid == l->pid)
		return l->t;
	l->pid = pid;
	l->t = NULL;
	for (size_t i = 0; i < l->d->n_tasks && !l->t; i++) { /* they come in the order of the tree, nearly always */
		struct dump_task *t = l->d->tasks[(l->next + i) % l->d->n_tasks];

		if (t->pid == pid) {
			l->t = t;
			l->next += i + 1;
		}
	}
	return l->t;
}

int look_at_tasks(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers,
		  const struct look_kind *kind)
{
	const char *all[BPF_ITER_FIELDS + 2] = {};
	char process[sizeof(numbers->process) + 1];
	struct look_tasks l = { .d = d };
	struct bpf_iter it;

	snprintf(process, sizeof(process), "=%s", numbers->process);
	for (size_t i = 0; kind->paths[i]; i++)
		all[i] = !strcmp(kind->paths[i], LOOK_PID)    ? numbers->thread
			 : !strcmp(kind->paths[i], LOOK_TGID) ? process
							      : kind->paths[i];
	int err = bpf_iter_load(&it, types, kind->iterator, all);

	if (!err) {
		err = look_read(d, &it, kind->take, &l);
		bpf_iter_close(&it);
	}
	if (!err || err == -ENOMEM)
		return err;
	if (kind->forget)
		kind->forget(d);
	log_info("BPF iterators do not tell of %s: %s", kind->what, strerror(-err));
	return 0;
}

static int load_and_read(struct look *l)
{
	const struct bpf_types *types = dump_bpf_types(l->d, l->d->n_threads + TASK_WORTH * l->d->n_tasks, WORTH);
	const char *all[sizeof(paths) / sizeof(paths[0])];
	struct number_paths numbers;
	struct bpf_iter it;

	if (!types)
		return 0;
	int err = look_numbers(l->d, types, &numbers);
	memcpy(all, paths, sizeof(paths));
	all[TID] = numbers.thread;
	if (!err)
		err = bpf_iter_load(&it, types, "task", all);
	if (!err) {
		err = look_read(l->d, &it, take_record, l);
		bpf_iter_close(&it);
	}
	if (!err)
		err = tasks_look(l->d, types, &numbers);
	if (!err || err == -ENOMEM || err == -ESRCH)
		return err;
	log_info("BPF iterators do not tell of threads: %s", strerror(-err));
	return 0;
}

int threads_look(struct dump *d)
{
	_cleanup_free_ struct dump_thread **by_tid = malloc(d->n_threads * sizeof(*by_tid) + 1);
	struct look l = { .d = d, .by_tid = by_tid };

	if (!by_tid)
		return log_errno(ENOMEM, "list of threads");
	memcpy(by_tid, d->threads, d->n_threads * sizeof(*by_tid));
	qsort(by_tid, d->n_threads, sizeof(*by_tid), compare_tids);
	return load_and_read(&l);
}
