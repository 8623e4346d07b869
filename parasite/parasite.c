/*
 * The parasite: runs inside a task that is being dumped and answers what only the inside knows.
 *
 * It never blocks on anything but its socket, and when the other end of that is gone, for whatever reason,
 * it undoes itself. It has no writable data: what it keeps lies on its stack.
 */
#include "parasite_abi.h"

#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/socket.h>
#include <linux/time.h>
#include <linux/fcntl.h>
#include <linux/userfaultfd.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include <stdbool.h>

#include "runtime.h"

/* Not in the uapi headers; values of the kernel's include/linux/socket.h. */
#define AF_UNIX 1
#define SOCK_SEQPACKET 5
#define SOCK_CLOEXEC 02000000
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define MSG_NOSIGNAL 0x4000
#define MEMBARRIER_CMD_GET_REGISTRATIONS (1 << 9)
#define PR_GET_MDWE_ 66
#define PR_GET_MEMORY_MERGE_ 68

#define CLOSE_RANGE_UNSHARE_ (1u << 1)

#define EINTR 4
#define EAGAIN 11
#define EINVAL 22

struct message {
	void *name;
	int name_len;
	struct iovec *iov;
	size_t iov_len;
	void *control;
	size_t control_len;
	unsigned int flags;
};

struct control {
	size_t len;
	int level, type;
	int fd, pad;
};

struct parasite {
	struct parasite_arg *arg;
};

/* Waits for a request. Returns the bytes, 0 when the dumper is gone. */
static long receive(const struct parasite *p, struct parasite_request *request)
{
	long n;

	do
		n = sys6(recvfrom, p->arg->sockets[0], request, sizeof(*request), 0, 0, 0);
	while (n == -EINTR || n == -EAGAIN);
	return n;
}

static void answer(const struct parasite *p, const void *reply, size_t len)
{
	sys6(sendto, p->arg->sockets[0], reply, len, MSG_NOSIGNAL, 0, 0);
}

static void get_itimers(uint64_t itimers[3][4])
{
	for (int i = 0; i < 3; i++)
		sys(getitimer, i, itimers[i]);
}

/* What mlockall(2) asked for memory to come: no call tells, only new memory. */
static uint32_t lock_future(void)
{
	long page = sys6(mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there = 0;
	uint32_t flags = 0;

	if (page < 0) /* more than RLIMIT_MEMLOCK */
		return page == -EAGAIN ? MCL_FUTURE : 0;
	if (sys(madvise, page, 4096, MADV_DONTNEED) == -EINVAL) { /* it is locked */
		sys(mincore, page, 4096, &there);
		flags = MCL_FUTURE | (there & 1 ? 0 : MCL_ONFAULT);
	}
	sys(munmap, page, 4096);
	return flags;
}

static void get_task(const struct parasite *p)
{
	struct parasite_task t;

	memset(&t, 0, sizeof(t));
	for (int i = 0; i < PARASITE_SIGNALS; i++) {
		long err = sys(rt_sigaction, i + 1, 0, &t.actions[i], 8);

		if (err && !t.result)
			t.result = err;
	}
	get_itimers(t.itimers);
	sys(rt_sigpending, &t.pending, sizeof(t.pending));
	t.brk = sys(brk, 0);
	t.dumpable = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	t.child_subreaper = 0;
	sys(prctl, PR_GET_CHILD_SUBREAPER, &t.child_subreaper, 0, 0, 0);
	t.thp_disable = sys(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
	t.mdwe = sys(prctl, PR_GET_MDWE_, 0, 0, 0, 0);
	t.memory_merge = sys(prctl, PR_GET_MEMORY_MERGE_, 0, 0, 0, 0);
	sys(prctl, PR_GET_TSC, &t.tsc);
	t.io_flusher = sys(prctl, PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	t.lock_future = lock_future();
	t.securebits = sys(prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
	t.personality = sys(personality, 0xffffffff); /* no change, only the answer */
	t.timer_slack = sys(prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
	t.membarrier = sys(membarrier, MEMBARRIER_CMD_GET_REGISTRATIONS, 0, 0);
	answer(p, &t, sizeof(t));
}

/* What is left of POSIX timers, whose ids no call tells but /proc from outside. */
static void get_timers(const struct parasite *p, uint32_t count)
{
	const int32_t *ids = (const void *)(p->arg->base + PARASITE_MAX);
	struct parasite_timers t;

	memset(&t, 0, sizeof(t));
	for (uint32_t i = 0; i < count && i < PARASITE_TIMERS; i++) {
		struct parasite_timer *timer = &t.timers[i];

		timer->result = sys(timer_gettime, ids[i], &timer->interval_sec);
		timer->overrun = sys(timer_getoverrun, ids[i]);
	}
	get_itimers(t.itimers);
	answer(p, &t, sizeof(t));
}

static void get_cloexec(const struct parasite *p, uint32_t first)
{
	struct parasite_cloexec c;

	memset(&c, 0, sizeof(c));
	for (uint64_t i = 0; i < PARASITE_FDS; i++)
		if (sys(fcntl, first + i, F_GETFD, 0) == FD_CLOEXEC)
			c.bits[i / 64] |= 1ul << i % 64;
	answer(p, &c, sizeof(c));
}

/* Takes no event. */
static void check_aio(const struct parasite *p)
{
	const uint64_t *context = (const void *)(p->arg->base + PARASITE_MAX);
	struct parasite_reply reply = { sys6(io_getevents, *context, 0, 0, 0, 0, 0) };

	answer(p, &reply, sizeof(reply));
}

/*
 * Makes a userfaultfd, with which the dumper tracks what the task writes when it runs on, and sends it with the answer.
 * One for faults in user mode only needs no privilege; asynchronous write-protection works in the kernel all the same.
 */
static void send_uffd(const struct parasite *p)
{
	struct parasite_reply reply = { sys(userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY) };
	struct iovec iov = { &reply, sizeof(reply) };
	struct control control = { sizeof(control) - sizeof(int), SOL_SOCKET, SCM_RIGHTS, reply.result, 0 };
	struct message m = { .iov = &iov, .iov_len = 1, .control = &control, .control_len = sizeof(control) };

	if (reply.result < 0) {
		answer(p, &reply, sizeof(reply));
		return;
	}
	sys(sendmsg, p->arg->sockets[0], &m, MSG_NOSIGNAL);
	sys(close, control.fd);
}

/* Lets the other threads go, which wait until we are done when they are not held any more. */
static void not_busy(struct parasite_arg *arg)
{
	if (arg->busy != PARASITE_BUSY)
		return;
	__atomic_store_n(&arg->busy, 0, __ATOMIC_SEQ_CST);
	sys6(futex, &arg->busy, FUTEX_WAKE_PRIVATE, 0x7fffffff, 0, 0, 0);
}

/*
 * In the fork of the task: goes on as a child of its own with the same memory, and ends itself, so that the child is
 * nobody's in the tree. Both are on one stack: who ends does not touch it any more.
 */
static void become_orphan(void)
{
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	long ret = __NR_clone;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jz 2f\n\t"
			 "xorl %%edi, %%edi\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jns 1f\n\t"
			 "subl %%eax, %%edi\n"
			 "1:\tmovl %[exit], %%eax\n\t"
			 "syscall\n"
			 "2:"
			 : "+a"(ret)
			 : "D"((long)(CLONE_VM | CLONE_FILES)), "S"(0L), "d"(0L), "r"(r10),
			   "r"(r8), [exit] "i"(__NR_exit_group)
			 : "rcx", "r11", "memory");
}

/* The snapshot: only lives. Group signals, the terminal and the program's descriptors are not for it. */
static void __attribute__((noreturn)) be_snapshot(const struct parasite *p)
{
	const struct parasite_reply reply = { 1 };
	const struct timespec wait = { PARASITE_SNAPSHOT_SECONDS, 0 };

	become_orphan();
	sys(setsid);
	sys(prctl, PR_SET_NAME, PARASITE_SNAPSHOT_NAME, 0, 0, 0);
	answer(p, &reply, sizeof(reply));
	sys(close_range, 0, ~0u, CLOSE_RANGE_UNSHARE_);
	sys(nanosleep, &wait, 0);
	for (;;)
		sys(exit_group, 0);
}

/* Returns how many ranges took their advice. */
static uint32_t advise(const struct parasite_snapshot *s, uint32_t n, bool on)
{
	uint32_t i = 0;

	for (; i < n; i++) {
		int advice = i < s->kept ? (on ? MADV_DONTFORK : MADV_DOFORK)
					 : (on ? MADV_WIPEONFORK : MADV_KEEPONFORK);

		if (sys(madvise, s->ranges[i].start, s->ranges[i].end - s->ranges[i].start, advice))
			break;
	}
	return i;
}

/*
 * A snapshot: a fork of the task that has the memory as it is now, to be read while the task runs on. What the dumper
 * does not need of it is left out, for each page costs time. The others have advice of their own, which stays.
 */
static void make_snapshot(const struct parasite *p)
{
	const struct parasite_snapshot *s = (const void *)(p->arg->base + PARASITE_MAX);
	uint32_t n = s->n < PARASITE_RANGES ? s->n : PARASITE_RANGES;
	struct parasite_reply reply = { -EINVAL };
	uint32_t done = advise(s, n, true);
	int status = 0;

	if (done >= s->mandatory)
		reply.result = sys(clone, CLONE_FILES, 0, 0, 0, 0);
	if (!reply.result)
		be_snapshot(p);
	advise(s, done, false);
	if (reply.result > 0) {
		long pid = reply.result;

		do
			reply.result = sys(wait4, pid, &status, __WALL, 0);
		while (reply.result == -EINTR);
		if (reply.result == pid)
			reply.result = status & 0x7f ? -EAGAIN : -(status >> 8 & 0xff);
	}
	not_busy(p->arg);
	answer(p, &reply, sizeof(reply));
}

static void give_advice(const struct parasite *p)
{
	const struct parasite_snapshot *s = (const void *)(p->arg->base + PARASITE_MAX);
	uint32_t n = s->n < PARASITE_RANGES ? s->n : PARASITE_RANGES;
	struct parasite_reply reply = { advise(s, n, true) == n ? 0 : -EINVAL };

	answer(p, &reply, sizeof(reply));
}

/* Returns 1 when it was told to quit, 0 when the dumper is gone. */
static int serve(struct parasite *p)
{
	struct parasite_request request;

	for (;;) {
		long n = receive(p, &request);

		if (n != sizeof(request) || request.command == PARASITE_QUIT)
			return n == sizeof(request);
		switch (request.command) {
		case PARASITE_GET_TASK:
			get_task(p);
			break;
		case PARASITE_GET_UFFD:
			send_uffd(p);
			break;
		case PARASITE_SNAPSHOT:
			make_snapshot(p);
			break;
		case PARASITE_ADVISE:
			give_advice(p);
			break;
		case PARASITE_CHECK_AIO:
			check_aio(p);
			break;
		case PARASITE_GET_CLOEXEC:
			get_cloexec(p, request.count);
			break;
		case PARASITE_GET_TIMERS:
			get_timers(p, request.count);
			break;
		default:
			return 0;
		}
	}
}

#define COMPAT_CLOSE 6 /* numbers of 32-bit programs */
#define COMPAT_MUNMAP 91
#define COMPAT_RT_SIGRETURN 173
#define COMPAT_CS 0x23
#define USER_SS 0x2b
#define INTERRUPTS 0x202

/* Into 32-bit code, to make a call there: by iret, which takes the instruction, the stack and the mode. */
static void __attribute__((noreturn)) call_compat(const struct parasite_arg *arg, long nr, uint64_t sp)
{
	__asm__ volatile(
		"pushq %[ss]\n\tpushq %[sp]\n\tpushq %[flags]\n\tpushq %[cs]\n\tpushq %[call]\n\tiretq"
		:
		: [ss] "i"(USER_SS), [sp] "r"(sp), [flags] "i"(INTERRUPTS), [cs] "i"(COMPAT_CS), [call] "r"(arg->call),
		  "a"(nr), "b"(arg->base), "c"(arg->size)
		: "memory");
	__builtin_unreachable();
}

/* The last instruction of the parasite is the munmap of itself, made by code of the target, with home behind it. */
static void __attribute__((noreturn)) go_home(const struct parasite_arg *arg)
{
	if (arg->compat_home)
		call_compat(arg, COMPAT_MUNMAP, arg->home);
	__asm__ volatile("movq %[home], %%rsp\n\tjmpq *%[call]"
			 :
			 : [home] "r"(arg->home), [call] "r"(arg->call), "a"(__NR_munmap), "D"(arg->base),
			   "S"(arg->size)
			 : "memory");
	__builtin_unreachable();
}

/* The same without the munmap: straight home. */
static void __attribute__((noreturn)) go_home_mapped(const struct parasite_arg *arg)
{
	if (arg->compat_home)
		call_compat(arg, COMPAT_RT_SIGRETURN, arg->compat_home);
	__asm__ volatile("movq %[home], %%rsp\n\tretq" : : [home] "r"(arg->home) : "memory");
	__builtin_unreachable();
}

/* By the number of the target's own kind of calls: its seccomp filter may know no other. */
static void close_own(const struct parasite_arg *arg, int fd)
{
	if (arg->compat_home)
		raw_compat4(COMPAT_CLOSE, fd, 0, 0, 0);
	else
		sys(close, fd);
}

void blob_main(struct parasite_arg *arg);
void blob_main(struct parasite_arg *arg)
{
	struct parasite p = { .arg = arg };
	uint32_t must_not = 0;
	long err = sys(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, arg->sockets);

	if (!err) {
		/* the dumper fetched its end while we stood at the exit of socketpair; if not, the first receive says
		 * so */
		close_own(arg, arg->sockets[1]);
		must_not = serve(&p) ? 0 : arg->must_not;
		not_busy(arg);
		if (!(must_not & PARASITE_MUST_NOT_CLOSE))
			close_own(arg, arg->sockets[0]);
	}
	if (must_not & PARASITE_MUST_NOT_UNMAP)
		go_home_mapped(arg);
	go_home(arg);
}
