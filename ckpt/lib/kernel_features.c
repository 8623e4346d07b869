/*
 * Probes of the kernel: system calls with arguments that tell "I know this" from "I do not", on ourselves or on a
 * child that does nothing. Capabilities are those of this process, in its own user namespace.
 * Does not handle: seccomp filters that forbid ckpt a call show up as a missing feature.
 */
#include "kernel_features.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <linux/kcmp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpf_iter.h"
#include "aio_ring_abi.h"
#include "cleanup.h"
#include "kernel_abi.h"
#include "sock_diag.h"

#ifndef PTRACE_GET_RSEQ_CONFIGURATION /* 5.13 */
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#define ARCH_MAP_VDSO_64 0x2003
#define ARCH_MAP_VDSO_32 0x2002

static bool has_capability(int capability)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data))
		return false;
	return data[capability / 32].effective & (1u << capability % 32);
}

static bool probe_checkpoint_restore(void)
{
	return has_capability(40) || has_capability(CAP_SYS_ADMIN); /* 40: CAP_CHECKPOINT_RESTORE, 5.9 */
}

static bool probe_sys_ptrace(void)
{
	return has_capability(CAP_SYS_PTRACE);
}

static bool probe_sys_resource(void)
{
	return has_capability(CAP_SYS_RESOURCE);
}

static bool probe_setids(void)
{
	return has_capability(CAP_SETUID) && has_capability(CAP_SETGID) && has_capability(CAP_SETPCAP);
}

static bool probe_sys_nice(void)
{
	return has_capability(CAP_SYS_NICE);
}

static bool probe_dac(void)
{
	return has_capability(CAP_DAC_OVERRIDE) || has_capability(CAP_DAC_READ_SEARCH);
}

static bool probe_kill(void)
{
	return has_capability(CAP_KILL);
}

static bool probe_sys_chroot(void)
{
	return has_capability(CAP_SYS_CHROOT);
}

/* A child that waits for its end; it dies with us. Returns its pid or -1. */
static pid_t start_child(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, __WALL);
}

static bool probe_ptrace(void)
{
	pid_t pid = start_child();
	bool found = pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, NULL);

	if (pid > 0)
		end_child(pid);
	return found;
}

static bool probe_rseq(void)
{
	struct {
		uint64_t pointer;
		uint32_t size, signature, flags, pad;
	} conf;
	pid_t pid = start_child();
	bool found = pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, NULL) && !ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) &&
		     waitpid(pid, NULL, __WALL) == pid &&
		     ptrace((enum __ptrace_request)PTRACE_GET_RSEQ_CONFIGURATION, pid, sizeof(conf), &conf) > 0;

	if (pid > 0)
		end_child(pid);
	return found;
}

static bool probe_seccomp_suspend(void)
{
	pid_t pid = start_child();
	bool found = pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_SUSPEND_SECCOMP);

	if (pid > 0)
		end_child(pid);
	return found;
}

/* EINVAL: the child has no filter. */
static bool probe_seccomp_filters(void)
{
	pid_t pid = start_child();
	bool found = pid > 0 && !ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_SUSPEND_SECCOMP) &&
		     !ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) && waitpid(pid, NULL, __WALL) == pid &&
		     ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0L, NULL) < 0 && errno == EINVAL;

	if (pid > 0)
		end_child(pid);
	return found;
}

static bool probe_kcmp(void)
{
	return syscall(SYS_kcmp, getpid(), getpid(), KCMP_VM, 0, 0) == 0;
}

static bool probe_pidfd_getfd(void)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC))
		return false;
	_cleanup_close_ int read_end = pipes[0], write_end = pipes[1];
	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
	_cleanup_close_ int copy = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, read_end, 0);

	return copy >= 0;
}

/* An address that can't be read: EFAULT comes only after the field was known. */
static bool probe_clone3_set_tid(void)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
			set_tid_size;
	} args = { .exit_signal = SIGCHLD, .set_tid = 1, .set_tid_size = 1 };
	long ret = syscall(SYS_clone3, &args, sizeof(args));

	if (!ret)
		_exit(0);
	return ret < 0 && errno == EFAULT;
}

static bool probe_mm_map(void)
{
	unsigned int size;

	return !prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0);
}

/* It refuses to map a second one; a kernel without it does not know the code. */
static bool probe_map_vdso(void)
{
	return !syscall(SYS_arch_prctl, ARCH_MAP_VDSO_64, 0) || errno == EEXIST;
}

/* The same for 32-bit programs, which the kernel may also be built or started without (ia32_emulation=0). */
static bool probe_compat(void)
{
	return !syscall(SYS_arch_prctl, ARCH_MAP_VDSO_32, 0) || errno == EEXIST;
}

static bool probe_map_files(void)
{
	char line[256], path[64], target[16];
	unsigned long start, end;
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");

	/* of an area of a file: what the kernel maps itself has none, and may be the first */
	do {
		if (!maps || !fgets(line, sizeof(line), maps) || sscanf(line, "%lx-%lx", &start, &end) != 2)
			return false;
	} while (!strchr(line, '/'));
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
	if (readlink(path, target, sizeof(target)) < 0)
		return false;
	/* Reading the link needs less than following it. */
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	return fd >= 0;
}

/* Whether fdinfo of the descriptor has the word. */
static bool fdinfo_has(int fd, const char *word)
{
	char path[48], text[512];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	_cleanup_close_ int info = fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = info < 0 ? 0 : read(info, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = 0;
	return strstr(text, word);
}

static bool probe_mnt_id(void)
{
	_cleanup_close_ int fd = open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fdinfo_has(fd, "mnt_id:");
}

static bool probe_fdinfo_lock(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC);

	return fd >= 0 && !flock(fd, LOCK_EX) && fdinfo_has(fd, "lock:");
}

static bool scan_pages(uint64_t categories)
{
	uint64_t regions[3 * 8];
	_cleanup_close_ int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return false;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + 4096,
		.vec = (uintptr_t)regions,
		.vec_len = 8,
		.category_anyof_mask = categories,
		.return_mask = categories,
	};
	bool found = fd >= 0 && ioctl(fd, PAGEMAP_SCAN, &arg) >= 0;

	munmap(page, 4096);
	return found;
}

static bool probe_pagemap_scan(void)
{
	return scan_pages(PAGE_IS_PRESENT);
}

/* Pages that are written while nobody waits. */
static bool probe_wp_async(void)
{
	_cleanup_close_ int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED };

	return probe_pagemap_scan() && fd >= 0 && !ioctl(fd, UFFDIO_API, &api);
}

/* Our own bits are cleared: nobody looks at them. */
static bool probe_soft_dirty(void)
{
	volatile char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	_cleanup_close_ int clear = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC),
			    pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t before = PM_SOFT_DIRTY, after = 0;

	if (page == MAP_FAILED)
		return false;
	page[0] = 1;
	bool known = write(clear, CLEAR_SOFT_DIRTY, 1) == 1 &&
		     pread(pagemap, &before, sizeof(before), (uintptr_t)page / 4096 * 8) == sizeof(before);
	page[0] = 2;
	known = known && pread(pagemap, &after, sizeof(after), (uintptr_t)page / 4096 * 8) == sizeof(after);
	munmap((void *)page, 4096);
	return known && !(before & PM_SOFT_DIRTY) && after & PM_SOFT_DIRTY;
}

static bool probe_tracking(void)
{
	return probe_wp_async() || probe_soft_dirty();
}

static bool probe_guard_pages(void)
{
	return scan_pages(PAGE_IS_GUARD);
}

/* A context is known by where its ring lies: can that be moved? */
static bool probe_aio_remap(void)
{
	aio_context_t context = 0;
	bool moved = false;

	if (syscall(SYS_io_setup, 1, &context))
		return false;
	const struct aio_ring *ring = (void *)context;
	size_t len = ((ring->nr + 1) * AIO_EVENT + 4095) & -4096ul;
	void *to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to != MAP_FAILED && mremap((void *)context, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED) {
		context = (aio_context_t)to;
		moved = syscall(SYS_io_getevents, context, 0, 0, NULL, NULL) == 0;
	}
	syscall(SYS_io_destroy, context);
	return moved;
}

static bool probe_memfd_hugetlb(void)
{
	_cleanup_close_ int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB);

	return fd >= 0;
}

static bool probe_loginuid(void)
{
	return !access("/proc/self/loginuid", F_OK);
}

/* In a user namespace, capabilities only count for what belongs to it. */
static bool probe_initial_userns(void)
{
	unsigned long inside = 1, outside = 1, count = 0;
	_cleanup_fclose_ FILE *map = fopen("/proc/self/uid_map", "re");

	return map && fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 && !inside && !outside &&
	       count == UINT32_MAX;
}

static bool probe_timerfd(void)
{
	_cleanup_close_ int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t ticks = 1;

	return fd >= 0 && !ioctl(fd, TFD_IOC_SET_TICKS, &ticks);
}

/* A socket without a file says that there is none; an older kernel does not know the question. */
static bool probe_sk_unix_file(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && ioctl(fd, SIOCUNIXFILE) < 0 && errno == ENOENT;
}

static bool probe_unix_diag(void)
{
	struct unix_diag *diag = malloc(sizeof(*diag));
	_cleanup_close_ int ask = sock_diag_open(), fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	bool ok = diag && ask >= 0 && fd >= 0 && !fstat(fd, &st) && !sock_diag_unix(ask, st.st_ino, diag);

	free(diag);
	return ok;
}

static bool probe_kcmp_epoll(void)
{
	_cleanup_close_ int epoll = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC);
	struct kcmp_epoll_slot slot = { .efd = epoll, .tfd = fd };
	struct epoll_event event = { .events = EPOLLIN };

	return !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) &&
	       !syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, fd, &slot);
}

static bool has_userfaultfd(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	_cleanup_close_ int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	return fd >= 0 && !ioctl(fd, UFFDIO_API, &api);
}

static bool probe_userfaultfd(void)
{
	return has_userfaultfd(0);
}

static bool probe_userfaultfd_events(void)
{
	return has_userfaultfd(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE |
			       UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_THREAD_ID);
}

static bool probe_bpf_iter(void)
{
	struct bpf_types *types = bpf_types_load();
	struct bpf_iter it = { .prog = -1 };
	bool found = types && !bpf_iter_load(&it, types, "task", (const char *[]){ "task.pid", NULL });

	bpf_iter_close(&it);
	bpf_types_free(types);
	return found;
}

const struct kernel_feature kernel_features[] = {
	{ "ptrace", "Linux 3.4", true, probe_ptrace, "no task can be stopped and looked into" },
	{ "kcmp", "CONFIG_KCMP", true, probe_kcmp, "which descriptors share an open file can't be seen" },
	{ "pidfd_getfd", "Linux 5.6", true, probe_pidfd_getfd, "the open files of a task can't be looked at" },
	{ "mnt_id", "Linux 3.15", true, probe_mnt_id, "the mount of an open file can't be seen" },
	{ "get_rseq_conf", "Linux 5.13", true, probe_rseq,
	  "where threads registered their rseq area can't be seen: tasks of glibc 2.35 and later can't be dumped" },
	{ "clone3_set_tid", "Linux 5.5", true, probe_clone3_set_tid, "tasks can't be made with their old pids" },
	{ "set_mm_map", "CONFIG_CHECKPOINT_RESTORE", true, probe_mm_map,
	  "brk, arguments and executable can't be restored" },
	{ "can_map_vdso", "CONFIG_CHECKPOINT_RESTORE", true, probe_map_vdso,
	  "the vDSO can't be mapped where it was: no task can be restored" },
	{ "map_files", "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the initial user namespace", true, probe_map_files,
	  "mapped files and shared memory can't be reached: nothing can be dumped" },
	{ "checkpoint_restore", "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN", true, probe_checkpoint_restore,
	  "pids can't be chosen: nothing can be restored" },

	{ "compat_cr", "CONFIG_IA32_EMULATION and CONFIG_CHECKPOINT_RESTORE", false, probe_compat,
	  "32-bit programs can't be restored" },
	{ "fdinfo_lock", "Linux 4.2 with CONFIG_FILE_LOCKING", false, probe_fdinfo_lock, "file locks can't be seen" },
	{ "timerfd", "CONFIG_CHECKPOINT_RESTORE", false, probe_timerfd,
	  "expirations of timer descriptors that nobody has read can't be restored" },
	{ "unix_diag", "CONFIG_UNIX_DIAG", false, probe_unix_diag, "UNIX sockets can't be looked at" },
	{ "sk_unix_file", "Linux 4.10 and CAP_NET_ADMIN", false, probe_sk_unix_file,
	  "where the files of UNIX sockets are can't be seen" },
	{ "kcmp_epoll", "Linux 4.13 with CONFIG_KCMP", false, probe_kcmp_epoll,
	  "what an epoll descriptor watches can't be seen" },
	{ "uffd", "Linux 4.3 with CONFIG_USERFAULTFD", false, probe_userfaultfd, "no lazy restore (--lazy-pages)" },
	{ "uffd-noncoop", "Linux 4.14 with CONFIG_USERFAULTFD, and CAP_SYS_PTRACE", false, probe_userfaultfd_events,
	  "no lazy restore (--lazy-pages)" },
	{ "pagemap_scan", "Linux 6.7", false, probe_pagemap_scan,
	  "pages are found through /proc/PID/pagemap: slower, most of all in large areas that are mostly empty" },
	{ "pagemap_scan_guard_pages", "Linux 6.15", false, probe_guard_pages,
	  "guard regions (MADV_GUARD_INSTALL) can't be seen" },
	{ "mem_dirty_track", "Linux 6.7 and CONFIG_USERFAULTFD, or CONFIG_MEM_SOFT_DIRTY", false, probe_tracking,
	  "memory is copied while the tree stands still, and there are no incremental dumps" },
	{ "uffd_wp_async", "Linux 6.7 and CONFIG_USERFAULTFD", false, probe_wp_async,
	  "memory is tracked by soft-dirty bits, if there are any: it is copied only once while the tree runs" },
	{ "bpf_iter", "Linux 6.1 with CONFIG_DEBUG_INFO_BTF, CAP_BPF and CAP_PERFMON", false, probe_bpf_iter,
	  "trees of very many threads, tasks, areas or descriptors take two or three times as long to dump" },
	{ "aio_remap", "Linux 3.19", false, probe_aio_remap, "contexts of asynchronous I/O can't be restored" },
	{ "memfd_hugetlb", "CONFIG_HUGETLBFS", false, probe_memfd_hugetlb, "memfds of huge pages can't be restored" },
	{ "sys_ptrace", "CAP_SYS_PTRACE", false, probe_sys_ptrace,
	  "only tasks of the same user, that are dumpable and, by Yama, children of ckpt, can be dumped" },
	{ "sys_resource", "CAP_SYS_RESOURCE", false, probe_sys_resource,
	  "hard limits can't be raised: a task whose limit is above that of ckpt can't get it back; nor pipes above "
	  "/proc/sys/fs/pipe-max-size" },
	{ "setids", "CAP_SETUID, CAP_SETGID and CAP_SETPCAP", false, probe_setids,
	  "tasks with other user ids, groups or capabilities than those of ckpt can't be restored" },
	{ "sys_nice", "CAP_SYS_NICE", false, probe_sys_nice,
	  "real-time policies and raised priorities can't be restored" },
	{ "kill", "CAP_KILL", false, probe_kill, "tasks of other users can't be killed after a dump" },
	{ "dac", "CAP_DAC_OVERRIDE", false, probe_dac,
	  "files that only their owner may open can't be opened for a restore" },
	{ "sys_chroot", "CAP_SYS_CHROOT", false, probe_sys_chroot,
	  "tasks with another root directory can't be restored" },
	{ "seccomp_suspend", "CAP_SYS_ADMIN in the initial user namespace, and not being under seccomp", false,
	  probe_seccomp_suspend, "tasks under seccomp can't be dumped or restored" },
	{ "seccomp_filters", "CONFIG_SECCOMP_FILTER, and the same", false, probe_seccomp_filters,
	  "tasks with seccomp filters can't be dumped" },
	{ "loginuid", "CONFIG_AUDITSYSCALL", false, probe_loginuid, "the login uid of a task is not kept" },
	{ "initial_userns", "not being in a user namespace", false, probe_initial_userns,
	  "capabilities only count for what belongs to the namespace" },
};
const size_t kernel_feature_count = sizeof(kernel_features) / sizeof(kernel_features[0]);

const struct kernel_feature *kernel_feature_find(const char *name)
{
	for (size_t i = 0; i < kernel_feature_count; i++)
		if (!strcmp(kernel_features[i].name, name))
			return &kernel_features[i];
	return NULL;
}
