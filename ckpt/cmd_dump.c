/*
 * ckpt dump: freeze, collect, judge, write, release. ckpt explain is a dump that ends after judging.
 *
 * Signals that ask us to stop are blocked and looked for at safe points (interrupted()): whatever stops a
 * dump, the undo stack is the one way out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "areas.h"
#include "bpf_iter.h"
#include "chain.h"
#include "checksums.h"
#include "cleanup.h"
#include "cmd.h"
#include "dedup.h"
#include "dump.h"
#include "fault.h"
#include "lazy_dump.h"
#include "log.h"
#include "opts.h"
#include "packed.h"
#include "page_xfer.h"
#include "precopy.h"
#include "sk_diag.h"
#include "sk_queue.h"
#include "time_us.h"

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* an inherited SIG_IGN would hide the stops of our tracees */
}

#define TABLE 1024 /* descriptors */

/*
 * Each task costs two descriptors, each image one for a moment. Their table grows before there are threads: to grow one
 * that threads share, the kernel waits until all CPUs have left it, some 20 ms.
 */
static void make_room_for_descriptors(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, TABLE - 1);

	if (fd >= 0)
		close(fd);
}

void dump_begin(void)
{
	block_signals();
	make_room_for_descriptors();
}

/* Calls fn without the alarm that ends waits (collect_ends_often): it does not wait, and its calls shall not fail. */
static int in_peace(struct dump *d, int (*fn)(struct dump *d))
{
	sigset_t alarm, before;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm, &before);
	int err = fn(d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* Stops the tree, learns all about it and judges it. */
static int examine(struct dump *d)
{
	int err = freeze_without_parasites(d);

	phase_done(&d->stats.phases, "freeze", err);
	if (!err)
		err = in_peace(d, collect_tree_outside);
	phase_done(&d->stats.phases, "collect outside", err);
	if (!err)
		log_info("collected from outside");
	if (!err)
		err = judge_tree_outside(d);
	phase_done(&d->stats.phases, "judge", err);
	if (!err)
		err = collect_tree_inside(d);
	if (!err)
		log_info("collected from inside");
	if (!err)
		err = judge_tree_inside(d);
	phase_done(&d->stats.phases, "collect inside", err);
	return err;
}

static void *describe(void *writing)
{
	write_some_images(writing);
	return NULL;
}

static int write_memory(struct dump *d)
{
	int err = pages_write(d);

	if (!err)
		err = shmem_write(d);
	return err ? err : fault_point(FAULT_dump_memory_written);
}

/* Whether a second thread is worth its start: few files are written as soon. */
static bool is_small(const struct dump *d)
{
	size_t n = d->n_threads * 100;

	for (size_t i = 0; i < d->n_tasks; i++)
		n += d->tasks[i]->vmas.n + d->tasks[i]->n_fds;
	return n < 500;
}

/* Guards are found with the pages, which is when most areas are described already. */
static int write_guards(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		if (!d->tasks[i]->guards.n)
			continue;
		d->tasks[i]->guards_known = true;
		err = memory_write(d->tasks[i]);
	}
	return err;
}

static int write_images(struct dump *d)
{
	struct writing w = { .d = d };
	pthread_t helper;
	int err = fault_point(FAULT_dump_judged);

	if (!err)
		err = link_remaps_make(d);
	if (err)
		return err;
	/* what describes the tree is written by a second thread, while the tasks write their memory */
	bool helped = !is_small(d) && !pthread_create(&helper, NULL, describe, &w);
	err = write_memory(d);
	if (!err)
		err = write_some_images(&w);
	else
		w.err = err; /* no more of it */
	if (helped)
		pthread_join(helper, NULL);
	if (!err)
		err = w.err;
	int confirmed = pages_confirm_areas(d); /* also puts right what it finds wrong */
	if (!err)
		err = confirmed;
	if (!err)
		err = write_guards(d);
	if (!err)
		err = chain_link(d);
	precopy_drop_unused(d);
	return err ? err : fault_point(FAULT_dump_images_written);
}

/* Lets a whole tree stay stopped by job control, as --leave-stopped asks. */
static int stop_tree(struct dump *d)
{
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->state != TASK_DEAD && kill(d->tasks[i]->pid, SIGSTOP))
			return log_errno(errno, "can't stop task %d", d->tasks[i]->pid);
	return 0;
}

static int dedup(const struct dump *d)
{
	uint64_t bytes = 0;
	int err = d->opts->auto_dedup ? dedup_parents(&d->images, &bytes) : 0;

	if (bytes)
		log_info("cut %lu KiB out of the parents", bytes >> 10);
	return err;
}

static int pack_pages(struct dump *d)
{
	const struct pack_work work = { .progress = &d->progress, .stop = interrupted };

	if (!d->opts->packing)
		return 0;
	progress_phase(&d->progress, "compressing", 0);
	int err = packed_make(&d->images, d->opts->packing, &work);
	phase_done(&d->stats.phases, "compress", err);
	return err ? err : fault_point(FAULT_dump_packed);
}

static int write_checksums(struct dump *d)
{
	const struct checksum_work work = { .progress = &d->progress, .stop = interrupted };

	if (!d->opts->checksum)
		return 0;
	if (d->opts->page_server)
		log_warn("pages that a page server gets have no checksums");
	progress_phase(&d->progress, "checksums", 0);
	int err = checksums_write(&d->images, &work);
	phase_done(&d->stats.phases, "checksums", err);
	return err ? err : fault_point(FAULT_dump_checksummed);
}

static int seal(struct dump *d)
{
	int err = pack_pages(d);
	return err ? err : write_checksums(d);
}

/* What the tree writes from now on shall be known. */
static int track_on(struct dump *d)
{
	int err = precopy_give_trackers(d);

	if (!err)
		err = chain_track(d);
	return err ? err : chain_arm(d);
}

/* A tree that stays goes on: whatever comes of the dump, it need not wait for the rest of it. */
static int thaw(struct dump *d)
{
	undo_to(&d->undo, 0);
	d->stats.frozen_time = time_us() - d->freeze_start;
	phase_done(&d->stats.phases, "thaw", 0);
	int err = pages_write_late(d);
	phase_done(&d->stats.phases, "late copy", err);
	return err;
}

int dump_finish_images(struct dump *d, struct page_xfer *xfer, int err)
{
	if (!err)
		err = page_xfer_finish(xfer, &d->images);
	phase_done(&d->stats.phases, "send", err);
	if (!d->stats.frozen_time && d->freeze_start)
		d->stats.frozen_time = time_us() - d->freeze_start;
	if (!err)
		err = write_stats(d);
	if (!err)
		err = seal(d);
	if (!err)
		err = image_dir_commit(&d->images);
	d->committed = !err;
	phase_done(&d->stats.phases, "commit", err);
	if (!err)
		err = dedup(d);
	phase_done(&d->stats.phases, "dedup", err);
	if (!err)
		log_info("images have their final names");
	return err;
}

/* What was learned of the tree, but for the tasks themselves. */
static void forget_collected(struct dump *d)
{
	areas_forget(d);
	dump_bpf_end(d);
	if (d->tree_iter)
		bpf_iter_close(d->tree_iter);
	free(take_ptr(d->tree_iter));
	vma_list_free(&d->ahead);
	link_remaps_free(d, d->committed);
	files_free(d);
	shmem_free(d);
	ghosts_free(d);
	locks_free(d);
	sk_queues_free(d);
	sk_diag_free(d);
	sysv_free(d);
}

static int dump_tree(struct dump *d, struct page_xfer *xfer, struct lazy_dump *lazy)
{
	int err = image_dir_begin(&d->images);

	if (!err)
		err = fault_point(FAULT_dump_begun);
	collect_ahead(d);
	if (!err)
		err = chain_begin(d);
	phase_done(&d->stats.phases, "prepare", err);
	if (!err)
		err = precopy(d);
	phase_done(&d->stats.phases, "live copy", err);
	if (!err)
		err = examine(d);
	if (!err && d->n_blockers) {
		blockers_log(d);
		err = -ENOTSUP;
	}
	if (!err)
		err = in_peace(d, write_images);
	phase_done(&d->stats.phases, "write", err);
	if (!err)
		log_info("images written");
	if (!err && d->opts->track_mem && d->opts->leave_running)
		err = track_on(d);
	/* a tree that is to be killed needs no cure, and if killing it fails, the undo stack has it */
	if (!err && (d->opts->leave_running || d->opts->leave_stopped)) {
		err = cure_tree(d);
		if (!err)
			err = fault_point(FAULT_dump_cured);
	}
	if (!err)
		err = interrupted();
	phase_done(&d->stats.phases, "cure", err);
	if (!err && d->opts->leave_running && !d->opts->lazy_pages)
		err = thaw(d);
	err = dump_finish_images(d, xfer, err);
	if (!err)
		err = lazy_dump_serve(lazy, d);
	d->committed &= !err;
	if (err || d->opts->leave_running)
		return err;
	if (d->opts->leave_stopped)
		return stop_tree(d);
	d->killed = true;
	err = kill_tree(d, forget_collected);
	phase_done(&d->stats.phases, "kill", err);
	return err;
}

/* A thread that is gone (-ESRCH) is not logged where it is noticed: mostly another one knows why. */
void dump_say_why(const struct dump *d, int err)
{
	if (err && !log_first_error())
		log_errno(-err, "process %d: a task of its tree ended during the dump; try again", d->opts->tree);
}

void dump_free(struct dump *d)
{
	undo_free(&d->undo);
	pages_drop_late(d);
	precopy_free(d);
	chain_end(d);
	forget_collected(d);
	seccomp_free(d);
	blockers_free(d);
}

int cmd_dump(const struct opts *opts)
{
	struct dump d = { .opts = opts, .images.fd = -1, .images.partial_fd = -1, .next_pages_id = 1 };
	struct page_xfer xfer = { -1, &d.progress };
	struct lazy_dump lazy = { .listener = -1 };

	if (!opts->tree) {
		log_err("no process given: say which with --tree PID");
		return 1;
	}
	phases_begin(&d.stats.phases);
	progress_begin(&d.progress, opts);
	dump_begin();
	chain_new_id(d.id);
	int err = image_dir_open(&d.images, opts->images_dir);
	if (!err)
		err = chain_link_early(&d);
	if (!err)
		err = page_xfer_begin(&xfer, opts);
	if (!err)
		err = lazy_dump_begin(&lazy, opts);
	if (!err)
		err = dump_tree(&d, &xfer, &lazy);
	lazy_dump_end(&lazy);
	page_xfer_close(&xfer);
	progress_end(&d.progress, err);
	dump_say_why(&d, err);
	chain_unlink(&d);
	dump_free(&d);
	phase_done(&d.stats.phases, "release", err);
	image_dir_close(&d.images);
	if (!err && opts->display_stats)
		dump_stats_show(&d.stats);
	if (!err)
		log_info("dumped process %d with %zu us frozen", opts->tree, (size_t)d.stats.frozen_time);
	dump_stats_write_json(&d.stats, opts, err);
	dump_stats_free(&d.stats);
	return err ? 1 : 0;
}

int cmd_explain(const struct opts *opts)
{
	struct dump d = { .opts = opts, .images.fd = -1, .images.partial_fd = -1 };

	if (!opts->tree) {
		log_err("no process given: ckpt explain PID");
		return 1;
	}
	dump_begin();
	int err = chain_begin(&d);
	if (!err)
		err = examine(&d);
	dump_say_why(&d, err);
	size_t tasks = d.n_tasks, threads = d.n_threads;
	undo_to(&d.undo, 0); /* nobody waits for our printing */
	if (!err)
		blockers_print(&d, tasks, threads);
	bool dumpable = !err && !d.n_blockers;
	dump_free(&d);
	dump_stats_free(&d.stats);
	return dumpable ? 0 : 1;
}
