/*
 * The images that describe the tree as a whole and each task: inventory, pstree, ids, core; statistics.
 * What stands in a core image is the business of the parts (part_NAME.c).
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "dump.h"
#include "fault.h"
#include "inventory.pb-c.h"
#include "log.h"
#include "opts.h"
#include "packed.h"
#include "pstree.pb-c.h"
#include "stats.pb-c.h"
#include "timens.pb-c.h"
#include "xstate.h"

/* Objects that only the task has get its number; namespaces are those of the caller, numbered by kind. */
static void fill_ids(TaskKobjIdsEntry *e, uint32_t own)
{
	task_kobj_ids_entry__init(e);
	e->vm_id = e->files_id = e->fs_id = e->sighand_id = own;
	e->has_pid_ns_id = e->has_net_ns_id = e->has_ipc_ns_id = e->has_uts_ns_id = true;
	e->has_mnt_ns_id = e->has_user_ns_id = e->has_cgroup_ns_id = e->has_time_ns_id = true;
	e->pid_ns_id = IDS_PID_NS;
	e->net_ns_id = IDS_NET_NS;
	e->ipc_ns_id = IDS_IPC_NS;
	e->uts_ns_id = IDS_UTS_NS;
	e->time_ns_id = IDS_TIME_NS;
	e->mnt_ns_id = IDS_MNT_NS;
	e->user_ns_id = IDS_USER_NS;
	e->cgroup_ns_id = IDS_CGROUP_NS;
}

static int write_ipc(struct dump *d)
{
	TaskKobjIdsEntry ids;

	fill_ids(&ids, 1);
	return sysv_write(d, ids.ipc_ns_id);
}

int inventory_write(struct dump *d)
{
	InventoryEntry e = INVENTORY_ENTRY__INIT;
	TaskKobjIdsEntry ids;

	fill_ids(&ids, 1);
	e.img_version = d->opts->packing ? IMAGE_VERSION_PACKED : IMAGE_VERSION;
	e.has_page_compression = d->opts->packing;
	e.page_compression = d->opts->packing == PACK_LZ4 ? PAGE_COMPRESSION__LZ4 : PAGE_COMPRESSION__ZSTD;
	e.has_fdinfo_per_id = e.fdinfo_per_id = true;
	e.has_ns_per_id = e.ns_per_id = true;
	e.root_ids = &ids;
	e.has_lsmtype = true;
	e.lsmtype = LSMTYPE__NO_LSM;
	e.dump_criu_run_id = d->id;
	return image_write_one(&d->images, IMG_INVENTORY, 0, &e.base);
}

/* What the clocks showed; a restore elsewhere needs it for time namespaces. 0: that of the caller. */
static int write_clocks(struct dump *d)
{
	TimensEntry e = TIMENS_ENTRY__INIT;
	Timespec monotonic = TIMESPEC__INIT, boottime = TIMESPEC__INIT;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	monotonic.tv_sec = now.tv_sec;
	monotonic.tv_nsec = now.tv_nsec;
	clock_gettime(CLOCK_BOOTTIME, &now);
	boottime.tv_sec = now.tv_sec;
	boottime.tv_nsec = now.tv_nsec;
	e.monotonic = &monotonic;
	e.boottime = &boottime;
	return image_write_one(&d->images, IMG_TIMENS, 0, &e.base);
}

static int put_task(struct image_writer *w, const struct dump_task *t)
{
	_cleanup_arena_ struct arena arena = {};
	PstreeEntry e = PSTREE_ENTRY__INIT;
	size_t n = t->main_exited ? t->n_threads + 1 : t->n_threads ?: 1; /* a zombie is its own only thread */

	e.pid = t->pid;
	e.ppid = t->parent ? t->parent->pid : 0;
	e.pgid = t->stat.pgid;
	e.sid = t->stat.sid;
	e.threads = arena_get(&arena, n * sizeof(*e.threads));
	if (!e.threads)
		return log_errno(ENOMEM, "task %d", t->pid);
	e.n_threads = n;
	e.threads[0] = t->pid;
	for (size_t i = 1; i < n; i++)
		e.threads[i] = t->threads[t->main_exited ? i - 1 : i].tid;
	image_put(w, &e.base);
	return 0;
}

static int write_pstree(struct dump *d)
{
	struct image_writer w;
	int err = 0;

	image_create(&w, &d->images, IMG_PSTREE, 0);
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		err = put_task(&w, d->tasks[i]);
	int closed = image_close(&w);
	return err ? err : closed;
}

/* What the CPU offered to the tree, and which extended registers were in use. */
static int write_cpuinfo(struct dump *d)
{
	if (!d->opts->cpu_caps)
		return 0;
	d->cpu.x86.has_xfeatures_used = true;
	for (size_t i = 0; i < d->n_threads; i++) {
		const struct remote *r = &d->threads[i]->remote;
		uint64_t used = 0;

		if (r->xstate_len > XSTATE_HEADER)
			memcpy(&used, r->xstate + XSTATE_HEADER, sizeof(used));
		d->cpu.x86.xfeatures_used |= used;
	}
	return image_write_one(&d->images, IMG_CPUINFO, 0, &d->cpu.entry.base);
}

static int write_dead_core(struct dump_task *t)
{
	CoreEntry core = CORE_ENTRY__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;

	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.tc = &tc;
	tc.task_state = TASK_DEAD;
	tc.exit_code = t->stat.exit_code;
	tc.comm = t->stat.comm;
	return image_write_one(&t->dump->images, IMG_CORE, t->pid, &core.base);
}

/* The core image of a thread, with what it says of the task if it is the main thread. */
static int write_core(struct dump_task *t, struct dump_thread *th, TaskCoreEntry *tc)
{
	_cleanup_arena_ struct arena arena = {};
	CoreEntry core = CORE_ENTRY__INIT;
	ThreadCoreEntry thread = THREAD_CORE_ENTRY__INIT;
	int err = 0;

	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.thread_core = &thread;
	core.tc = tc;
	for (size_t i = 0; dump_parts[i] && !err; i++) {
		if (tc && dump_parts[i]->fill)
			err = dump_parts[i]->fill(t, &core, &arena);
		if (!err && dump_parts[i]->fill_thread)
			err = dump_parts[i]->fill_thread(t, th, &core, &arena);
		if (err)
			return log_errno(-err, "can't describe the %s of thread %d", dump_parts[i]->name, th->tid);
	}
	if (tc && t->main_exited)
		tc->comm = thread.comm = t->main_stat.comm;
	return image_write_one(&t->dump->images, IMG_CORE, th->tid, &core.base);
}

static int write_thread_core(struct dump_thread *th)
{
	struct dump_task *t = th->task;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;

	tc.task_state = t->state;
	tc.has_stop_signo = t->state == TASK_STOPPED;
	tc.stop_signo = t->stop_signal;
	return write_core(t, th, th->tid == t->pid ? &tc : NULL);
}

/* A main thread that has exited: as one of the others, but without all that ends with a thread. */
static int write_exited_main(struct dump_task *t)
{
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	struct dump_thread th = t->threads[0];

	tc.task_state = t->state == TASK_STOPPED ? TASK_STOPPED : TASK_ZOMBIE;
	tc.has_stop_signo = t->state == TASK_STOPPED;
	tc.stop_signo = t->stop_signal;
	tc.exit_code = t->main_stat.exit_code;
	tc.has_main_thread_exited = tc.main_thread_exited = true;
	th.tid = t->pid;
	th.remote.rseq_area = th.robust_list = th.clear_child_tid = 0;
	th.altstack = (stack_t){ .ss_flags = SS_DISABLE };
	th.pending = (struct signal_queue){};
	th.pdeath_signal = 0;
	th.status.seccomp = 0;
	return write_core(t, &th, &tc);
}

/* All that is written for a task as a whole. */
static int write_task(struct dump_task *t)
{
	TaskKobjIdsEntry ids;

	if (t->state == TASK_DEAD)
		return write_dead_core(t);
	fill_ids(&ids, t->ids);
	ids.files_id = t->files_of->ids;
	ids.fs_id = t->fs_of->ids;
	int err = t->main_exited ? write_exited_main(t) : 0;
	if (!err)
		err = image_write_one(&t->dump->images, IMG_IDS, t->pid, &ids.base);
	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->write ? dump_parts[i]->write(t) : 0;
	return err ? err : memory_write(t);
}

/* Writes piece number i: the tree's images, then each task's, then each thread's. Returns 1 when there is none. */
static int write_piece(struct dump *d, size_t i)
{
	static int (*const tree[])(struct dump * d) = { files_write,  files_write_kinds, files_write_fds,
							write_pstree, write_clocks,	 write_cpuinfo,
							write_ipc,    inventory_write,	 seccomp_write };
	const size_t n_tree = sizeof(tree) / sizeof(tree[0]);

	if (i < n_tree)
		return tree[i](d);
	i -= n_tree;
	if (i == d->n_tasks / 2) {
		int err = fault_point(FAULT_dump_metadata_half);

		if (err)
			return err;
	}
	if (i < d->n_tasks)
		return write_task(d->tasks[i]);
	i -= d->n_tasks;
	return i < d->n_threads ? write_thread_core(d->threads[i]) : 1;
}

int write_some_images(struct writing *w)
{
	int err = 0;

	while (!err && !w->err) {
		err = write_piece(w->d, atomic_fetch_add(&w->next, 1));
		if (!err)
			err = interrupted();
	}
	if (err < 0)
		w->err = err;
	return w->err;
}

int write_stats(struct dump *d)
{
	DumpStatsEntry s = DUMP_STATS_ENTRY__INIT;
	StatsEntry e = STATS_ENTRY__INIT;

	s.freezing_time = d->stats.freezing_time;
	s.frozen_time = d->stats.frozen_time;
	s.memdump_time = d->stats.memdump_time;
	s.memwrite_time = d->stats.memwrite_time;
	s.pages_scanned = d->stats.pages_scanned;
	s.pages_written = d->stats.pages_written;
	s.pages_skipped_parent = d->stats.pages_parent;
	s.has_shpages_scanned = s.has_shpages_written = s.has_shpages_skipped_parent = true;
	s.shpages_scanned = d->stats.shpages_scanned;
	s.shpages_written = d->stats.shpages_written;
	e.dump = &s;
	return image_write_one(&d->images, IMG_STATS_DUMP, 0, &e.base);
}
