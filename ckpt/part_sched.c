/*
 * Nice value, scheduling policy and priority, CPU affinity, I/O priority and timer slack of each thread, asked from
 * outside. CRIU's images have no place for the last three: they are in fields of our own.
 * Does not handle: limits to the utilization (CONFIG_UCLAMP_TASK).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"

#define MASK_BYTES 1024 /* for 8192 CPUs, the most that the kernel can be built for */
/*
 * Reading the timer slack of a thread takes as long as all else that is read of it. Where there are more, they are
 * taken to have the main thread's, which they inherit unless they set their own. BPF iterators tell those of all.
 */
#define SLACK_THREADS 64

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

/* struct sched_attr of sched_setattr(2), its first version: without limits to the utilization. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#ifndef SCHED_FLAG_RESET_ON_FORK
#define SCHED_FLAG_RESET_ON_FORK 1
#endif

static bool is_realtime(const struct dump_thread *th)
{
	unsigned int policy = th->policy & ~SCHED_RESET_ON_FORK;

	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool is_deadline(const struct dump_thread *th)
{
	return (th->policy & ~SCHED_RESET_ON_FORK) == SCHED_DEADLINE;
}

/* A mask of all CPUs is no affinity: on another machine it must not become one. */
static int read_affinity(struct dump_thread *th)
{
	struct dump *d = th->task->dump;
	unsigned long mask[MASK_BYTES / sizeof(long)];
	long len = syscall(SYS_sched_getaffinity, th->tid, sizeof(mask), mask), count = 0;

	if (len < 0)
		return log_errno(errno, "can't read the CPU affinity of thread %d", th->tid);
	if (!d->online_cpus)
		d->online_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	for (size_t i = 0; i < len / sizeof(long); i++)
		count += __builtin_popcountl(mask[i]);
	if (count >= d->online_cpus)
		return 0;
	while (len && !((const uint8_t *)mask)[len - 1])
		len--;
	th->cpus = malloc(len + 1);
	if (!th->cpus)
		return log_errno(ENOMEM, "CPU affinity of thread %d", th->tid);
	memcpy(th->cpus, mask, len);
	th->cpus_len = len;
	return 0;
}

static int read_slack(struct dump_thread *th)
{
	_cleanup_free_ char *text = NULL;
	char name[48];

	snprintf(name, sizeof(name), "/proc/%d/timerslack_ns", th->tid);
	int err = proc_read(AT_FDCWD, name, &text, NULL);
	if (!err)
		th->timer_slack = strtoull(text, NULL, 10);
	/* without CAP_SYS_NICE: it has the main thread's, most likely */
	return err == -ENOMEM ? err : 0;
}

static int read_thread(struct dump_task *t, struct dump_thread *th)
{
	struct sched_attributes attr = {};

	if (syscall(SYS_sched_getattr, th->tid, &attr, sizeof(attr), 0))
		return log_errno(errno, "can't read the scheduling of thread %d", th->tid);
	th->policy = attr.policy | (attr.flags & SCHED_FLAG_RESET_ON_FORK ? SCHED_RESET_ON_FORK : 0);
	/* for real-time policies the call leaves the nice value out */
	th->nice = is_realtime(th) || is_deadline(th) ? getpriority(PRIO_PROCESS, th->tid) : attr.nice;
	th->priority = attr.priority;
	th->sched_flags = attr.flags;
	th->runtime = attr.runtime;
	th->deadline = attr.deadline;
	th->period = attr.period;
	th->io_priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, th->tid);
	int err = read_affinity(th);
	return !err && !th->told && th != t->threads && t->n_threads <= SLACK_THREADS ? read_slack(th) : err;
}

static void fill_own(const struct dump_task *t, const struct dump_thread *th, ThreadCoreEntry *e)
{
	uint64_t slack = th->timer_slack ? th->timer_slack : (uint64_t)t->inside.timer_slack;

	e->has_cpu_affinity = true;
	e->cpu_affinity = (ProtobufCBinaryData){ th->cpus_len, th->cpus };
	e->has_io_priority = th->io_priority >= 0;
	e->io_priority = th->io_priority;
	/* real-time threads have none */
	e->has_timer_slack = !is_realtime(th) && !is_deadline(th) && (int64_t)slack > 0;
	e->timer_slack = slack;
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	ThreadCoreEntry *e = core->thread_core;

	e->has_sched_nice = true;
	e->sched_nice = th->nice;
	e->has_sched_policy = true;
	e->sched_policy = th->policy;
	e->has_sched_prio = th->priority != 0;
	e->sched_prio = th->priority;
	if (is_deadline(th)) {
		e->has_sched_flags = e->has_sched_runtime = e->has_sched_deadline = e->has_sched_period = true;
		e->sched_flags = th->sched_flags;
		e->sched_runtime = th->runtime;
		e->sched_deadline = th->deadline;
		e->sched_period = th->period;
	}
	fill_own(t, th, e);
	return 0;
}

const struct dump_part dump_part_sched = {
	.name = "sched",
	.read_thread = read_thread,
	.fill_thread = fill_thread,
};
