/*
 * The keeper of a lazy restore. It is forked with CLONE_FILES: each userfaultfd that the daemon receives or opens is
 * its own, too, from that moment on. It has its own memory, so that the kernel does not kill both when memory is short.
 */
#include "lazy_keep.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

#define LOOK_MS 100

struct keep *keep_create(void)
{
	struct keep *keep = mmap(NULL, sizeof(*keep), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (keep != MAP_FAILED)
		return keep;
	log_errno(errno, "no memory for the keeper of a lazy restore");
	return NULL;
}

int keep_add(struct keep *keep, int uffd, int pidfd)
{
	for (int i = 0; i < KEEP_MAX; i++) {
		if (keep->slot[i].uffd || keep->slot[i].pidfd)
			continue;
		keep->slot[i].pidfd = pidfd + 1;
		__atomic_store_n(&keep->slot[i].uffd, uffd + 1, __ATOMIC_SEQ_CST);
		return i;
	}
	return log_errno(ENOSPC, "more than %d processes wait for pages", KEEP_MAX);
}

void keep_remove(struct keep *keep, int slot)
{
	__atomic_store_n(&keep->slot[slot].uffd, 0, __ATOMIC_SEQ_CST);
}

/* The memory is gone: its last user has ended. The call does nothing to memory that is private. */
static bool is_gone(int uffd)
{
	struct uffdio_continue nothing = { .range = { 1 << 16, 4096 } };

	return ioctl(uffd, UFFDIO_CONTINUE, &nothing) && errno == ESRCH;
}

/* Parents before children: nobody has the time to wonder. */
static void kill_known(struct keep *keep)
{
	for (int i = 0; i < KEEP_MAX; i++)
		if (keep->slot[i].pidfd)
			syscall(SYS_pidfd_send_signal, keep->slot[i].pidfd - 1, SIGKILL, NULL, 0);
}

/* A fault tells by whom; a fork makes one more whom nobody knows yet. */
static void look_at(struct keep *keep, int uffd)
{
	struct uffd_msg msg;

	while (read(uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event == UFFD_EVENT_FORK)
			keep_add(keep, msg.arg.fork.ufd, -1);
		if (msg.event == UFFD_EVENT_PAGEFAULT && msg.arg.pagefault.feat.ptid)
			kill(msg.arg.pagefault.feat.ptid, SIGKILL);
	}
}

/* Holds on until no process is left that could see zeros. */
static void hold(struct keep *keep)
{
	const struct timespec nap = { .tv_nsec = LOOK_MS * 1000000 };

	for (bool any = true; any;) {
		any = false;
		for (int i = 0; i < KEEP_MAX; i++) {
			int uffd = keep->slot[i].uffd - 1;

			if (uffd < 0)
				continue;
			if (is_gone(uffd)) {
				keep_remove(keep, i);
				continue;
			}
			look_at(keep, uffd);
			any = true;
		}
		if (any)
			nanosleep(&nap, NULL);
	}
}

static _Noreturn void run(struct keep *keep, int daemon)
{
	struct pollfd dead = { .fd = daemon, .events = POLLIN };
	bool missing = false;

	prctl(PR_SET_NAME, "ckpt-lazy-keep");
	while (poll(&dead, 1, -1) != 1)
		;
	for (int i = 0; i < KEEP_MAX; i++)
		missing |= keep->slot[i].uffd != 0;
	if (missing) {
		log_err("the daemon of a lazy restore ended before all pages had come: the tree, which cannot go on "
			"without them, is killed");
		kill_known(keep);
		hold(keep);
	}
	_exit(0);
}

pid_t keep_start(struct keep *keep)
{
	int daemon = syscall(SYS_pidfd_open, getpid(), 0);

	if (daemon < 0)
		return log_errno(errno, "can't open a pidfd of this process");
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
	if (pid < 0)
		log_errno(errno, "can't fork the keeper of a lazy restore");
	if (!pid) {
		for (int sig = 1; sig < NSIG;
		     sig++) /* it ends when the daemon does, not by what is sent to its group */
			if (sig != SIGKILL && sig != SIGSTOP)
				signal(sig, SIG_IGN);
		run(keep, daemon);
	}
	return pid;
}
