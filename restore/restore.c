/*
 * The coordinator of a restore: plans, forks the root, leads the tasks through the stages, lets them go. When
 * anything fails it kills all that was made and waits until it is gone. It is the subreaper of the tree
 * meanwhile, so that nobody slips away, and the tree dies with it.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "ghost.h"
#include "lazy.h"
#include "log.h"
#include "opts.h"
#include "page_files.h"
#include "phases.h"
#include "plan.h"
#include "restore_stats.h"
#include "stage.h"
#include "sysv_shm.h"
#include "task.h"
#include "track.h"

struct stopwatch {
	struct timespec start, forked, end;
	struct phases phases;
};

static uint32_t microseconds(const struct timespec *from, const struct timespec *to)
{
	return (to->tv_sec - from->tv_sec) * 1000000 + (to->tv_nsec - from->tv_nsec) / 1000;
}

/* Moves our own descriptors that tasks need to numbers that theirs do not touch. */
static int move_own_fd(struct plan *plan, int *fd, bool keep)
{
	if (*fd < 0)
		return 0;
	int moved = fcntl(*fd, F_DUPFD_CLOEXEC, plan->fd_low);
	if (moved < 0 || moved > plan->fd_high)
		return log_errno(moved < 0 ? errno : EMFILE, "no temporary descriptor left");
	if (!keep)
		close(*fd);
	*fd = moved;
	return 0;
}

static int move_own_fds(struct plan *plan)
{
	struct rlimit limit;
	int log = log_fd();

	/* The limits of the tasks are set at the end; ours may be in the way until then. */
	if (!getrlimit(RLIMIT_NOFILE, &limit)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	int err = move_own_fd(plan, &plan->images.fd, false);
	if (!err && plan->images.unpacked)
		err = move_own_fd(plan, &plan->images.unpacked, false);
	for (size_t i = 0; !err && i < plan->chain.n_parents; i++) {
		struct image_dir *parent = &plan->chain.parents[i];

		err = move_own_fd(plan, &parent->fd, false);
		if (!err && parent->unpacked)
			err = move_own_fd(plan, &parent->unpacked, false);
	}
	if (!err)
		err = move_own_fd(plan, &plan->tty_fd, false);
	for (size_t i = 0; !err && i < plan->n_inherited; i++)
		err = move_own_fd(plan, &plan->inherited_fds[i], true);
	if (!err)
		err = move_own_fd(plan, &log, true);
	if (!err)
		log_set_fd(log);
	return err;
}

static int share_state(struct plan *plan)
{
	size_t size = sizeof(struct restorer_shared) + plan->n_tasks * sizeof(struct restorer_slot);

	plan->shared_size = (size + IMAGE_PAGE_SIZE - 1) & ~(IMAGE_PAGE_SIZE - 1);
	plan->shared = mmap(NULL, plan->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan->shared == MAP_FAILED) {
		plan->shared = NULL;
		return log_errno(errno, "can't share memory with the tasks");
	}
	return 0;
}

/* A pipe whose write end only we have; the root listens at the other, which has the last temporary number. */
static int make_guard(struct plan *plan, int *write_end)
{
	int ends[2];

	if (!plan->opts->restore_sibling)
		return 0;
	if (pipe2(ends, O_CLOEXEC))
		return log_errno(errno, "can't make a pipe");
	*write_end = ends[1];
	plan->guard_fd = dup3(ends[0], plan->fd_high, O_CLOEXEC);
	close(ends[0]);
	return plan->guard_fd < 0 ? log_errno(errno, "can't duplicate a descriptor to %d", plan->fd_high) : 0;
}

/* The root is born with all signals blocked, ours come through. */
static int fork_root(struct plan *plan)
{
	uint64_t all = ~0ul, mine;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mine, sizeof(all));
	int err = tree_fork(plan, &plan->tasks[0], plan->opts->restore_sibling);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mine, NULL, sizeof(mine));
	return err ? err : fault_point(FAULT_restore_root_forked);
}

static int write_pidfile(const struct plan *plan)
{
	const struct opts *opts = plan->opts;
	const char *dir = opts->work_dir ? opts->work_dir : opts->images_dir;
	char text[16];

	if (!opts->pidfile)
		return 0;
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = openat(dir_fd, opts->pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	int n = snprintf(text, sizeof(text), "%d", plan->tasks[0].pid);
	if (fd < 0)
		return log_errno(errno, "can't create the pid file %s", opts->pidfile);
	if (write(fd, text, n) == n)
		return 0;
	int err = log_errno(errno, "can't write the pid file %s", opts->pidfile);
	unlinkat(dir_fd, opts->pidfile, 0);
	return err;
}

/* How many arrive in STAGE_MEMORY: all threads, or, when memory comes late, first the tasks alone. */
static size_t count_in_memory(const struct plan *plan)
{
	size_t living = 0;

	for (size_t i = 0; i < plan->n_tasks; i++)
		living += plan_lives(&plan->tasks[i]);
	return plan->lazy_sock >= 0 ? living : plan->n_threads;
}

/* Memory that comes late is served before anybody can touch it. */
static int begin_lazy(struct plan *plan)
{
	if (plan->lazy_sock < 0)
		return 0;
	int err = lazy_hand_over(plan);
	if (err)
		return err;
	log_info("ckpt lazy-pages serves the memory");
	stage_begin(plan, STAGE_THREADS, plan->n_threads);
	return stage_finish(plan);
}

/* All are born before anybody does more: leaders of groups and owners of files must exist, the dead must die. */
static int fork_in_step(struct plan *plan)
{
	size_t arrive = 0;

	for (size_t i = 0; i < plan->n_tasks; i++)
		arrive += plan->tasks[i].state != TASK_DEAD;
	stage_begin(plan, STAGE_TREE, plan->n_tasks);
	int err = fork_root(plan);
	if (!err)
		err = stage_finish(plan);
	log_info("%zu tasks are forked", plan->n_tasks);
	if (!err)
		err = fault_point(FAULT_restore_tree_forked);
	if (err)
		return err;
	stage_begin(plan, STAGE_GROUPS, arrive);
	err = stage_finish(plan);
	if (err)
		return err;
	log_info("sessions and groups are made");
	stage_begin(plan, STAGE_MEMORY, count_in_memory(plan));
	return 0;
}

/* Nobody needs anybody: each task goes on as soon as it has forked its children. */
static int fork_freely(struct plan *plan)
{
	stage_begin(plan, STAGE_MEMORY, count_in_memory(plan));
	int err = fork_root(plan);

	log_info("the root is forked");
	return err ? err : fault_point(FAULT_restore_tree_forked);
}

static int run_stages(struct plan *plan, struct stopwatch *watch)
{
	restore_progress_begin(plan);

	int err = plan->in_step ? fork_in_step(plan) : fork_freely(plan);

	clock_gettime(CLOCK_MONOTONIC, &watch->forked);
	phase_done(&watch->phases, "fork", err);
	if (!err)
		err = stage_finish(plan);
	phase_done(&watch->phases, "memory", err);
	if (!err)
		err = begin_lazy(plan);
	log_info("memory and %zu threads are made", plan->n_threads);
	if (!err)
		err = tree_prepare_go(plan);
	phase_done(&watch->phases, "finish", err);
	if (!err)
		err = fault_point(FAULT_restore_done);
	if (!err)
		err = stage_interrupted();
	/* Nothing can fail after this. */
	return err ? err : write_pidfile(plan);
}

/*
 * Waits until the task is gone. Parents come first, so that it is our child by now; its threads, if we traced
 * them, must be reaped before their leader can be. Whoever is not our child is not waited for.
 */
static void reap_task(const struct plan_task *task)
{
	siginfo_t si;

	for (size_t t = task->n_threads; t-- > 0;)
		while (waitid(P_PID, task->threads[t].tid, &si, WEXITED | __WALL) && errno == EINTR)
			;
}

/* The root is a child of our caller, and those below went to it or to init: all we can do is look. */
static void await_sibling(const struct plan *plan)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0; i < 2000; i++) {
		bool left = false;

		for (size_t t = 0; t < plan->n_tasks; t++)
			left |= plan->shared->slots[t].born && !stage_is_dead(plan->tasks[t].pid);
		if (!left)
			return;
		nanosleep(&nap, NULL);
	}
}

/* Kills all that was made and waits until nothing is left of it. */
static void clean_up(struct plan *plan)
{
	/* Those who still fork end themselves when they see this. */
	__atomic_store_n(&plan->shared->failed, 2, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < plan->n_tasks; i++)
		if (plan->shared->slots[i].born)
			kill(plan->tasks[i].pid, SIGKILL);
	for (size_t i = 0; i < plan->n_tasks; i++)
		reap_task(&plan->tasks[i]);
	for (size_t i = 0; i < plan->n_files; i++)
		if (plan->files[i].with->owner && plan->files[i].kind && plan->files[i].kind->undo)
			plan->files[i].kind->undo(plan, &plan->files[i]);
	ghosts_clean_up(plan);
	if (plan->opts->restore_sibling)
		await_sibling(plan);
}

static void write_stats(const struct plan *plan, struct stopwatch *watch)
{
	RestoreStatsEntry restore = RESTORE_STATS_ENTRY__INIT;
	StatsEntry stats = STATS_ENTRY__INIT;
	const char *path = plan->opts->work_dir ? plan->opts->work_dir : plan->opts->images_dir;

	clock_gettime(CLOCK_MONOTONIC, &watch->end);
	restore.forking_time = microseconds(&watch->start, &watch->forked);
	restore.restore_time = microseconds(&watch->start, &watch->end);
	restore.has_pages_restored = true;
	for (size_t i = 0; i < plan->n_tasks; i++)
		restore.pages_restored += pages_bytes(plan, &plan->tasks[i].pages) / IMAGE_PAGE_SIZE;
	stats.restore = &restore;
	/* Straight to its final name: a commit would take the place of the images that were restored. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct image_dir dir = { .fd = -1, .partial_fd = fd, .path = (char *)path };
	/* The tree runs: statistics are no reason to fail. */
	if (fd < 0 || image_write_one(&dir, IMG_STATS_RESTORE, 0, &stats.base))
		log_warn("can't write stats-restore into %s", path);
}

static int prepare(struct plan *plan, int *guard)
{
	int err = fault_point(FAULT_restore_planned);

	plan->coordinator = getpid();
	if (!err)
		err = move_own_fds(plan);
	if (!err)
		err = share_state(plan);
	if (!err)
		err = lazy_connect(plan);
	if (!err)
		err = sysv_make(plan);
	if (!err)
		err = make_guard(plan, guard);
	/* If it were ignored, the dead would vanish instead of becoming zombies. */
	signal(SIGCHLD, SIG_DFL);
	return err ? err : inherited_read(plan);
}

/* Runs the restore that was planned; on failure nothing is left of it. */
static int restore_planned(struct plan *plan, struct stopwatch *watch)
{
	int was_subreaper = 0;
	sigset_t mask;

	stage_block_interrupts(&mask);
	prctl(PR_GET_CHILD_SUBREAPER, &was_subreaper, 0, 0, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	int err = run_stages(plan, watch);
	if (err)
		clean_up(plan);
	sysv_finish(plan, err);
	if (!err)
		ghosts_remove_links(plan);
	if (!err)
		track_tree(plan);
	if (!err)
		tree_go(plan);
	if (!err)
		lazy_done(plan);
	lazy_close(plan);
	phase_done(&watch->phases, err ? "clean up" : "go", err);
	prctl(PR_SET_CHILD_SUBREAPER, was_subreaper, 0, 0, 0);
	/* One that came too late is for whoever we are now. */
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return err;
}

int restore_tree(const struct opts *opts, struct restore_track *track, pid_t *root)
{
	_cleanup_plan_ struct plan plan;
	_cleanup_close_ int guard = -1;
	struct stopwatch watch = {};

	clock_gettime(CLOCK_MONOTONIC, &watch.start);
	phases_begin(&watch.phases);
	int err = plan_open(&plan, opts);
	phase_done(&watch.phases, "plan", err);
	plan.track = track;
	log_info("the images are %s", err ? "refused" : "read and checked");
	if (!err)
		err = prepare(&plan, &guard);
	phase_done(&watch.phases, "prepare", err);
	if (err)
		sysv_finish(&plan, err);
	else
		err = restore_planned(&plan, &watch);
	progress_end(&plan.progress, err);
	if (!err)
		write_stats(&plan, &watch);
	/* Not before: a restore that fails must leave the images as they were. */
	if (!err && opts->auto_dedup && opts->lazy_pages)
		log_warn("--auto-dedup is left out: the images are needed until all memory has come");
	else if (!err && opts->auto_dedup)
		page_files_punch(&plan);
	restore_stats_json(&plan, &watch.phases, err);
	*root = err ? 0 : plan.tasks[0].pid;
	if (plan.shared)
		munmap(plan.shared, plan.shared_size);
	if (plan.guard_fd >= 0)
		close(plan.guard_fd);
	return err;
}
