/* Stages, with futexes in memory that the coordinator shares with all tasks. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "copy_help.h"
#include "log.h"
#include "plan.h"
#include "restore_stats.h"

/* Those that a user sends to make us give up. */
static const int interrupts[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

#define LOOK_MS 50 /* how often the coordinator looks whether all still live */

static void futex_wake(uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

static void futex_wait(uint32_t *word, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, word, FUTEX_WAIT, value, timeout, NULL, 0);
}

void stage_begin(struct plan *plan, enum restore_stage stage, size_t count)
{
	struct restorer_shared *s = plan->shared;

	__atomic_store_n(&s->arrived, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->expected, count, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->stage, stage, __ATOMIC_SEQ_CST);
	futex_wake(&s->stage, INT_MAX);
}

bool stage_is_dead(pid_t pid)
{
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return true;
	text[n] = 0;
	const char *state = strrchr(text, ')');
	return state && (state[2] == 'Z' || state[2] == 'X');
}

static int look_for_dead(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		if (!plan->shared->slots[i].born || !plan_lives(task) || !stage_is_dead(task->pid))
			continue;
		if (__atomic_load_n(&plan->shared->failed, __ATOMIC_SEQ_CST))
			break; /* it ended itself, and said why */
		log_err("task %d died while it was restored: killed, or out of memory", task->pid);
		return -ESRCH;
	}
	return 0;
}

int stage_interrupted(void)
{
	sigset_t pending;

	sigpending(&pending);
	for (size_t i = 0; i < sizeof(interrupts) / sizeof(interrupts[0]); i++)
		if (sigismember(&pending, interrupts[i]))
			return log_errno(EINTR, "signal %d (%s)", interrupts[i], sigabbrev_np(interrupts[i]));
	return 0;
}

void stage_block_interrupts(sigset_t *before)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(interrupts) / sizeof(interrupts[0]); i++)
		sigaddset(&set, interrupts[i]);
	sigprocmask(SIG_BLOCK, &set, before);
}

int stage_finish(struct plan *plan)
{
	struct restorer_shared *s = plan->shared;
	const struct timespec look = { .tv_nsec = LOOK_MS * 1000000 };

	for (;;) {
		uint32_t arrived = __atomic_load_n(&s->arrived, __ATOMIC_SEQ_CST);
		uint32_t failed = __atomic_load_n(&s->failed, __ATOMIC_SEQ_CST);

		if (failed) {
			/* 1: it is still writing down the reason. */
			for (int i = 0; i < 100 && __atomic_load_n(&s->failed, __ATOMIC_SEQ_CST) == 1; i++)
				usleep(1000);
			if (s->step != STEP_NONE)
				report_blob_failure(s);
			return -ECANCELED;
		}
		if (arrived >= s->expected)
			return stage_interrupted();
		if (stage_interrupted())
			return -EINTR;
		copy_help(plan);
		struct timespec before, after;
		clock_gettime(CLOCK_MONOTONIC, &before);
		futex_wait(&s->arrived, arrived, &look);
		clock_gettime(CLOCK_MONOTONIC, &after);
		long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
		int err = ms >= LOOK_MS ? look_for_dead(plan) : 0;
		if (err)
			return err;
		restore_progress_look(plan);
	}
}

void stage_arrive(struct plan *plan)
{
	struct restorer_shared *s = plan->shared;

	if (__atomic_add_fetch(&s->arrived, 1, __ATOMIC_SEQ_CST) == s->expected)
		futex_wake(&s->arrived, 1);
}

void stage_wait(struct plan *plan, enum restore_stage stage)
{
	struct restorer_shared *s = plan->shared;

	for (;;) {
		uint32_t now = __atomic_load_n(&s->stage, __ATOMIC_SEQ_CST);

		if (now >= stage)
			return;
		futex_wait(&s->stage, now, NULL);
	}
}

void stage_wait_word(uint32_t *word, uint32_t value)
{
	for (;;) {
		uint32_t now = __atomic_load_n(word, __ATOMIC_SEQ_CST);

		if (now == value)
			return;
		futex_wait(word, now, NULL);
	}
}

void stage_set_word(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
	futex_wake(word, INT_MAX);
}

void stage_fail(struct plan *plan)
{
	__atomic_store_n(&plan->shared->failed, 2, __ATOMIC_SEQ_CST);
	futex_wake(&plan->shared->arrived, 1);
	_exit(1);
}
