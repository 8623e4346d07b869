/* A set of images of one sleeping task that a test of restores changes before it is written. */
#ifndef CKPT_RESTORE_SET_H
#define CKPT_RESTORE_SET_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../restore/plan.h"
#include "cpuinfo.h"
#include "image_consts.h"
#include "opts.h"
#include "regs.h"
#include "restore.h"
#include "xstate.h"

#define ACTIONS 62
#define AREA 0x10000000ul
#define FILES_ID 2
#define FREE_PTY 900000 /* nobody has so many */

/* A set of images of one sleeping task, in memory: a test changes something, then it is written. */
static struct set {
	pid_t pid;
	InventoryEntry inventory;
	struct cpuinfo cpu;
	bool has_cpu; /* there is a cpuinfo.img */
	TaskKobjIdsEntry root_ids, ids;
	PstreeEntry pstree[2];
	size_t n_pstree;
	uint32_t threads[2];
	RegFileEntry reg[3];
	FownEntry fown;
	AioRingEntry aio, *aios[1];
	MemfdFileEntry memfd;
	FifoEntry fifo;
	PidfdEntry pidfd;
	NsFileEntry ns;
	InotifyFileEntry inotify;
	InotifyWdEntry wd, *wds[1];
	FhEntry fh;
	FileLockEntry lock;
	size_t n_locks;
	RemapFilePathEntry remap;
	GhostFileEntry ghost;
	GhostChunkEntry chunk;
	size_t n_remaps, n_ghosts, ghost_bytes;
	FileEntry files[12];
	EventfdFileEntry eventfd;
	TimerfdEntry timerfd;
	SignalfdEntry signalfd;
	EventpollFileEntry epoll;
	EventpollTfdEntry watch, *watches[1];
	size_t n_files;
	FdinfoEntry fds[11];
	NetlinkSkEntry nlsk;
	UnixSkEntry usk[2];
	SkOptsEntry sk_opts;
	TtyFileEntry tty[2];
	TtyInfoEntry tty_info[2];
	TtyPtyEntry pty;
	TermiosEntry termios;
	WinsizeEntry winsize;
	TtyDataEntry tty_data;
	uint32_t tty_ends[2];
	size_t n_fds;
	FsEntry fs;
	MmEntry mm;
	VmaEntry vma[2], *vmas[2];
	PagemapHead head;
	PagemapEntry page;
	size_t pages;
	struct regs_image regs;
	CoreEntry core;
	TaskCoreEntry tc;
	ThreadCoreEntry thread;
	CredsEntry creds;
	SaEntry action, *actions[ACTIONS];
	TaskTimersEntry timers;
	ItimerEntry timer;
	PosixTimerEntry posix[2], *posix_list[2];
	uint32_t caps[2];
	uint8_t mask[1025];
	SeccompFilter filters[2], *filter_list[2];
	size_t n_filters;
	struct sock_filter code[4097];
} s;

static char path[64];

static void fill_core(void)
{
	static uint8_t xstate[XSTATE_MAX];
	static const struct user_desc tls[TLS_ENTRIES];
	struct user_regs_struct general = { .cs = 0x33, .ss = 0x2b };
	size_t len = xstate_size(xstate_layout()->features);

	ck_assert_int_eq(regs_to_image(&s.regs, &general, xstate, len, tls, 0), 0);
	core_entry__init(&s.core);
	task_core_entry__init(&s.tc);
	thread_core_entry__init(&s.thread);
	creds_entry__init(&s.creds);
	sa_entry__init(&s.action);
	task_timers_entry__init(&s.timers);
	itimer_entry__init(&s.timer);
	s.timers.real = s.timers.virt = s.timers.prof = &s.timer;
	for (size_t i = 0; i < 2; i++) {
		posix_timer_entry__init(&s.posix[i]);
		s.posix_list[i] = &s.posix[i];
		s.posix[i].it_id = 9 - i;
		s.posix[i].si_signo = 14;
	}
	s.timers.n_posix = 2;
	s.timers.posix = s.posix_list;
	for (size_t i = 0; i < ACTIONS; i++)
		s.actions[i] = &s.action;
	s.core.mtype = CORE_ENTRY__MARCH__X86_64;
	s.core.thread_info = &s.regs.info;
	s.core.tc = &s.tc;
	s.core.thread_core = &s.thread;
	s.thread.creds = &s.creds;
	s.thread.futex_rla_len = 24;
	s.tc.task_state = TASK_ALIVE;
	s.tc.comm = "plan";
	s.tc.timers = &s.timers;
	s.tc.n_sigactions = ACTIONS;
	s.tc.sigactions = s.actions;
}

static void fill_memory(void)
{
	mm_entry__init(&s.mm);
	s.mm.exe_file_id = 1;
	s.mm.n_vmas = 2;
	s.mm.vmas = s.vmas;
	for (size_t i = 0; i < 2; i++) {
		vma_entry__init(&s.vma[i]);
		s.vmas[i] = &s.vma[i];
		s.vma[i].start = AREA + i * 0x10000;
		s.vma[i].end = s.vma[i].start + 0x4000;
		s.vma[i].prot = 3;
		s.vma[i].flags = 0x22; /* MAP_PRIVATE | MAP_ANONYMOUS */
		s.vma[i].status = VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
	}
	s.vma[1].flags = 0x02;
	s.vma[1].status = VMA_AREA_REGULAR | VMA_FILE_PRIVATE;
	s.vma[1].shmid = 1;
	pagemap_head__init(&s.head);
	pagemap_entry__init(&s.page);
	s.head.pages_id = 1;
	s.page.vaddr = AREA;
	s.page.has_flags = s.page.has_nr_pages = true;
	s.page.flags = PE_PRESENT;
	s.page.nr_pages = s.pages = 2;
}

/* Descriptors 2 to 5, files 4 to 7. */
static void fill_events(void)
{
	static const FdTypes types[] = { FD_TYPES__EVENTFD, FD_TYPES__TIMERFD, FD_TYPES__SIGNALFD,
					 FD_TYPES__EVENTPOLL };

	eventfd_file_entry__init(&s.eventfd);
	timerfd_entry__init(&s.timerfd);
	signalfd_entry__init(&s.signalfd);
	eventpoll_file_entry__init(&s.epoll);
	eventpoll_tfd_entry__init(&s.watch);
	s.eventfd.fown = s.timerfd.fown = s.signalfd.fown = s.epoll.fown = &s.fown;
	s.watch.tfd = 2;
	s.watches[0] = &s.watch;
	s.epoll.n_tfd = 1;
	s.epoll.tfd = s.watches;
	for (size_t i = 0; i < 4; i++) {
		file_entry__init(&s.files[3 + i]);
		s.files[3 + i].id = s.fds[2 + i].id = 4 + i;
		s.files[3 + i].type = s.fds[2 + i].type = types[i];
	}
	s.files[3].efd = &s.eventfd;
	s.files[4].tfd = &s.timerfd;
	s.files[5].sgfd = &s.signalfd;
	s.files[6].epfd = &s.epoll;
}

/* Descriptors 6 and 7, files 8 and 9: a pair; descriptor 8, file 10: a netlink socket. */
static void fill_sockets(void)
{
	sk_opts_entry__init(&s.sk_opts);
	netlink_sk_entry__init(&s.nlsk);
	s.nlsk.fown = &s.fown;
	s.nlsk.opts = &s.sk_opts;
	file_entry__init(&s.files[9]);
	s.files[9].id = s.fds[8].id = 10;
	s.files[9].type = s.fds[8].type = FD_TYPES__NETLINKSK;
	s.files[9].nlsk = &s.nlsk;
	for (size_t i = 0; i < 2; i++) {
		UnixSkEntry *e = &s.usk[i];

		unix_sk_entry__init(e);
		e->id = 8 + i;
		e->ino = 100 + i;
		e->peer = 101 - i;
		e->type = 1; /* SOCK_STREAM */
		e->state = 1; /* TCP_ESTABLISHED */
		e->fown = &s.fown;
		e->opts = &s.sk_opts;
		file_entry__init(&s.files[7 + i]);
		s.files[7 + i].id = s.fds[6 + i].id = 8 + i;
		s.files[7 + i].type = s.fds[6 + i].type = FD_TYPES__UNIXSK;
		s.files[7 + i].usk = e;
	}
}

/* The file of descriptor 6 becomes a FIFO, whose name is that of file 3. */
static void use_fifo(void)
{
	file_entry__init(&s.files[7]);
	s.files[7].id = s.fifo.id = 8;
	s.files[7].type = s.fds[6].type = FD_TYPES__FIFO;
	s.files[7].fifo = &s.fifo;
	s.n_files = 8;
	s.n_fds = 7;
}

/* The file of descriptor 6 becomes a pidfd. */
static void use_pidfd(pid_t pid)
{
	file_entry__init(&s.files[7]);
	s.files[7].id = s.pidfd.id = 8;
	s.files[7].type = s.fds[6].type = FD_TYPES__PIDFD;
	s.files[7].pidfd = &s.pidfd;
	s.pidfd.nspid = pid;
	s.n_files = 8;
	s.n_fds = 7;
}

/* The file of descriptor 6 becomes an inotify descriptor that watches a directory. */
static void use_inotify(void)
{
	file_entry__init(&s.files[7]);
	s.files[7].id = s.inotify.id = 8;
	s.files[7].type = s.fds[6].type = FD_TYPES__INOTIFY;
	s.files[7].ify = &s.inotify;
	s.inotify.fown = &s.fown;
	s.inotify.n_wd = 1;
	s.inotify.wd = s.wds;
	s.wds[0] = &s.wd;
	s.wd.f_handle = &s.fh;
	s.wd.wd = 1;
	s.fh.path = "/";
	s.n_files = 8;
	s.n_fds = 7;
}

/* The file of descriptor 6 becomes one of a namespace. */
static void use_ns(uint32_t flag, uint32_t id)
{
	file_entry__init(&s.files[7]);
	s.files[7].id = s.ns.id = 8;
	s.files[7].type = s.fds[6].type = FD_TYPES__NS;
	s.files[7].nsf = &s.ns;
	s.ns.ns_cflag = flag;
	s.ns.ns_id = id;
	s.n_files = 8;
	s.n_fds = 7;
}

/* Descriptors 9 and 10, files 11 and 12: master and slave of a terminal, terminal of the session. */
static void fill_terminals(void)
{
	termios_entry__init(&s.termios);
	winsize_entry__init(&s.winsize);
	tty_pty_entry__init(&s.pty);
	tty_data_entry__init(&s.tty_data);
	s.pty.index = FREE_PTY;
	s.tty_data.tty_id = 1;
	s.tty_data.data = (ProtobufCBinaryData){ 8, s.mask };
	s.tty_data.n_ends = 2;
	s.tty_data.ends = s.tty_ends;
	for (size_t i = 0; i < 2; i++) {
		TtyFileEntry *e = &s.tty[i];
		TtyInfoEntry *info = &s.tty_info[i];

		tty_file_entry__init(e);
		tty_info_entry__init(info);
		e->id = 11 + i;
		e->fown = &s.fown;
		e->tty_info_id = info->id = i;
		info->type = TTY_TYPE__PTY;
		info->rdev = i ? 136 << 8 : 0x502;
		info->sid = info->pgrp = s.pid;
		info->pty = &s.pty;
		info->termios = &s.termios;
		info->winsize = &s.winsize;
		file_entry__init(&s.files[10 + i]);
		s.files[10 + i].id = s.fds[9 + i].id = 11 + i;
		s.files[10 + i].type = s.fds[9 + i].type = FD_TYPES__TTY;
		s.files[10 + i].tty = e;
	}
}

static void fill_files(void)
{
	static char *const names[] = { "/proc/self/exe", "/", "/dev/null" };

	fown_entry__init(&s.fown);
	memfd_file_entry__init(&s.memfd);
	fifo_entry__init(&s.fifo);
	pidfd_entry__init(&s.pidfd);
	ns_file_entry__init(&s.ns);
	inotify_file_entry__init(&s.inotify);
	inotify_wd_entry__init(&s.wd);
	fh_entry__init(&s.fh);
	file_lock_entry__init(&s.lock);
	s.lock.flag = LOCK_KIND_POSIX;
	s.lock.pid = s.pid;
	s.pidfd.fown = &s.fown;
	s.fifo.has_regf_id = true;
	s.fifo.regf_id = 3;
	aio_ring_entry__init(&s.aio);
	s.aio.nr_req = 8;
	s.aios[0] = &s.aio;
	remap_file_path_entry__init(&s.remap);
	ghost_file_entry__init(&s.ghost);
	ghost_chunk_entry__init(&s.chunk);
	s.remap.orig_id = 3;
	s.remap.remap_id = 1;
	s.remap.has_remap_type = true;
	s.remap.remap_type = REMAP_TYPE__GHOST;
	s.ghost.mode = S_IFREG | 0600;
	s.ghost.has_chunks = s.ghost.chunks = s.ghost.has_size = true;
	s.ghost.size = 8192;
	s.chunk.off = 4096;
	s.chunk.len = s.ghost_bytes = 100;
	s.n_ghosts = 1;
	s.memfd.fown = &s.fown;
	s.n_files = 12;
	for (size_t i = 0; i < 3; i++) {
		reg_file_entry__init(&s.reg[i]);
		file_entry__init(&s.files[i]);
		s.reg[i].id = s.files[i].id = i + 1;
		s.reg[i].fown = &s.fown;
		s.reg[i].name = names[i];
		s.files[i].type = FD_TYPES__REG;
		s.files[i].reg = &s.reg[i];
	}
	s.n_fds = 11;
	for (size_t i = 0; i < 11; i++) {
		fdinfo_entry__init(&s.fds[i]);
		s.fds[i].id = 3;
		s.fds[i].fd = i;
		s.fds[i].type = FD_TYPES__REG;
	}
	fill_events();
	fill_sockets();
	fill_terminals();
	fs_entry__init(&s.fs);
	s.fs.cwd_id = s.fs.root_id = 2;
}

/* A number that is free now and not used again soon. */
static pid_t free_pid(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	return pid;
}

static void fill(void)
{
	s = (struct set){ .pid = free_pid() };
	inventory_entry__init(&s.inventory);
	cpuinfo_own(&s.cpu, true);
	task_kobj_ids_entry__init(&s.root_ids);
	task_kobj_ids_entry__init(&s.ids);
	s.inventory.img_version = IMAGE_VERSION;
	s.inventory.has_fdinfo_per_id = s.inventory.fdinfo_per_id = true;
	s.inventory.root_ids = &s.root_ids;
	s.ids.vm_id = s.ids.files_id = s.ids.fs_id = s.ids.sighand_id = FILES_ID;
	for (size_t i = 0; i < 2; i++) {
		pstree_entry__init(&s.pstree[i]);
		s.pstree[i].pid = s.pstree[i].pgid = s.pstree[i].sid = s.pid;
		s.pstree[i].n_threads = 1;
		s.pstree[i].threads = s.threads;
	}
	s.threads[0] = s.threads[1] = s.pid;
	s.n_pstree = 1;
	fill_core();
	fill_memory();
	fill_files();
}

/* Two filters, of which the second was put on after the first; the thread has that with the number. */
static void use_filters(uint32_t last)
{
	s.n_filters = 2;
	for (size_t i = 0; i < 2; i++) {
		seccomp_filter__init(&s.filters[i]);
		s.filter_list[i] = &s.filters[i];
		s.filters[i].filter = (ProtobufCBinaryData){ 8, (uint8_t *)s.code };
		s.filters[i].has_prev = i;
		s.filters[i].has_flags = true;
	}
	s.thread.has_seccomp_mode = s.thread.has_seccomp_filter = true;
	s.thread.seccomp_mode = SECCOMP_MODE__filter;
	s.thread.seccomp_filter = last;
}

static void put_many(struct image_dir *dir, enum image_kind kind, unsigned long id, const void *first, size_t size,
		     size_t n)
{
	struct image_writer w;

	image_create(&w, dir, kind, id);
	for (size_t i = 0; i < n; i++)
		image_put(&w, (const ProtobufCMessage *)((const char *)first + i * size));
	ck_assert_int_eq(image_close(&w), 0);
}

static void put_filters(struct image_dir *dir)
{
	SeccompEntry e = SECCOMP_ENTRY__INIT;

	e.n_seccomp_filters = s.n_filters;
	e.seccomp_filters = s.filter_list;
	put_many(dir, IMG_SECCOMP, 0, &e, 0, 1);
}

static void write_set(void)
{
	struct image_dir dir;
	struct image_writer w;

	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	put_many(&dir, IMG_INVENTORY, 0, &s.inventory, 0, 1);
	if (s.has_cpu)
		put_many(&dir, IMG_CPUINFO, 0, &s.cpu.entry, 0, 1);
	put_many(&dir, IMG_PSTREE, 0, s.pstree, sizeof(s.pstree[0]), s.n_pstree);
	put_many(&dir, IMG_FILES, 0, s.files, sizeof(s.files[0]), s.n_files);
	put_many(&dir, IMG_TTY_INFO, 0, s.tty_info, sizeof(s.tty_info[0]), 2);
	put_many(&dir, IMG_TTY_DATA, 0, &s.tty_data, 0, 1);
	put_many(&dir, IMG_FDINFO, FILES_ID, s.fds, sizeof(s.fds[0]), s.n_fds);
	put_many(&dir, IMG_CORE, s.pid, &s.core, 0, 1);
	put_many(&dir, IMG_IDS, s.pid, &s.ids, 0, 1);
	put_many(&dir, IMG_FS, s.pid, &s.fs, 0, 1);
	put_many(&dir, IMG_MM, s.pid, &s.mm, 0, 1);
	if (s.n_filters)
		put_filters(&dir);
	if (s.n_remaps)
		put_many(&dir, IMG_REMAP_FPATH, 0, &s.remap, 0, s.n_remaps);
	if (s.n_locks)
		put_many(&dir, IMG_FILE_LOCKS, 0, &s.lock, 0, s.n_locks);
	if (s.n_ghosts) {
		static const char zeros[8192];

		image_create(&w, &dir, IMG_GHOST_FILE, 1);
		image_put(&w, &s.ghost.base);
		image_put(&w, &s.chunk.base);
		image_put_bytes(&w, zeros, s.ghost_bytes);
		ck_assert_int_eq(image_close(&w), 0);
	}
	image_create(&w, &dir, IMG_PAGEMAP, s.pid);
	image_put(&w, &s.head.base);
	image_put(&w, &s.page.base);
	ck_assert_int_eq(image_close(&w), 0);
	int fd = image_create_raw(&dir, IMG_PAGES, 1);
	ck_assert_int_eq(ftruncate(fd, s.pages * IMAGE_PAGE_SIZE), 0);
	close(fd);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	image_dir_close(&dir);
}

static bool allow_grown; /* --allow-grown */

static int try_plan(void)
{
	const struct opts opts = {
		.allow_grown = allow_grown, .images_dir = path, .status_fd = -1, .cpu_caps = CPU_CAP_DEFAULT
	};
	struct plan plan;
	int err = plan_open(&plan, &opts);

	plan_close(&plan);
	return err;
}

static void setup(void)
{
	allow_grown = false;
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	fill();
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

#endif
