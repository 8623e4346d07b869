/*
 * Puts the parasite into a task and talks to it. Drives ptrace(2), process_vm_writev(2), /proc/PID/mem and a
 * UNIX socket whose other end was made by the task itself.
 */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "compat.h"
#include "fault.h"
#include "fds.h"
#include "log.h"

#define STACK_GUARD (1ul << 20) /* the kernel keeps this below growing stacks: 256 pages by default */
#define LOW_LIMIT (1ul << 20) /* above any vm.mmap_min_addr in use */
#define SNAPSHOT_TRIES (PARASITE_SNAPSHOT_SECONDS * 50) /* of 20 ms */
#define HIGH_LIMIT ((1ul << 47) - 4096)

extern const uint8_t parasite_blob[], parasite_blob_end[];

/* The middle of the largest hole between the areas, or 0. */
static uint64_t find_hole(const struct vma_list *vmas, uint64_t limit, size_t size)
{
	uint64_t from = LOW_LIMIT, best = 0, best_size = size + 2 * STACK_GUARD;

	for (size_t i = 0; i <= vmas->n; i++) {
		uint64_t to = i < vmas->n ? vmas->v[i].start : limit;

		if (to > limit)
			to = limit;
		if (to > from && to - from > best_size) {
			best_size = to - from;
			best = from + best_size / 2;
		}
		if (i < vmas->n && vmas->v[i].end > from)
			from = vmas->v[i].end;
	}
	return best & ~4095ul;
}

bool parasite_is_in(pid_t tid)
{
	size_t len = parasite_blob_end - parasite_blob;
	struct user_regs_struct regs;
	uint8_t bytes[64];

	if (tracee_get_regs(tid, &regs) || len < sizeof(bytes))
		return false;
	/* It begins at a page. */
	for (uint64_t at = regs.rip & ~4095ul; regs.rip - at < len; at -= 4096)
		if (!tracee_read(tid, at, bytes, sizeof(bytes)) && !memcmp(bytes, parasite_blob, sizeof(bytes)))
			return true;
	return false;
}

/* Step 1: the thread is on its way into mmap. */
static int map_begin(struct parasite *p)
{
	size_t size = PARASITE_MAX + PARASITE_AREA;

	p->base = find_hole(p->vmas, p->thread->gadgets->compat ? COMPAT_SPACE_END : HIGH_LIMIT, size);
	if (!p->base)
		return log_errno(ENOMEM, "task %d has no hole of %zu bytes for the parasite", p->pid, size);
	int err = fault_point(FAULT_dump_call_ready);
	if (err)
		return err;
	p->size = size;
	err = remote_map_begin(p->thread, p->base, size, PROT_READ | PROT_EXEC);
	if (!err)
		p->stage = PARASITE_MAPPING;
	return err;
}

/* Step 2: it has entered mmap. */
static int map_enter(struct parasite *p)
{
	int err = remote_enter_call(p->thread);

	if (!err)
		p->stage = PARASITE_MAPPING_ENTERED;
	return err;
}

/* Where the parasite's argument lies: right below the way home. */
static uint64_t arg_address(const struct parasite *p)
{
	return (p->thread->home - REMOTE_CHAIN - sizeof(struct parasite_arg)) & ~63ul;
}

static int finish_map(struct parasite *p)
{
	int64_t result;
	int err = remote_end(p->thread, &result);

	if (!err && (uint64_t)result != p->base) /* before 4.17 MAP_FIXED_NOREPLACE is only a hint */
		err = -EEXIST;
	p->stage = err ? PARASITE_NONE : PARASITE_MAPPED;
	return err ? log_errno(-err, "can't map the parasite into task %d at %#lx", p->pid, p->base) : 0;
}

/* Step 3: mapped and filled; it is on its way into socketpair. */
static int start(struct parasite *p)
{
	struct remote *r = p->thread;
	size_t len = parasite_blob_end - parasite_blob;
	struct parasite_arg arg = {
		.abi = PARASITE_ABI,
		.must_not = p->must_not,
		.base = p->base,
		.size = p->size,
		.call = gadgets_call(r->gadgets),
		.compat_home = r->gadgets->compat ? r->home + r->gadgets->int80_pops * 4 + 4 : 0,
		.home = r->home,
	};

	int err = finish_map(p);
	if (!err)
		err = fault_point(FAULT_dump_blob_mapped);
	if (err)
		return err;
	fault_operation();
	if (pwrite(p->mem, parasite_blob, len, p->base) != (ssize_t)len)
		return log_errno(errno, "can't write the parasite into task %d at %#lx", p->pid, p->base);
	err = tracee_write(r->tid, arg_address(p), &arg, sizeof(arg));
	if (err)
		return log_errno(-err, "can't write to the stack of thread %d", r->tid);
	err = remote_enter(r, p->base, arg_address(p), arg_address(p));
	if (err)
		return err;
	p->stage = PARASITE_STARTED;
	fault_operation();
	if (ptrace(PTRACE_SYSCALL, r->tid, 0, 0))
		return log_errno(errno, "can't let thread %d run the parasite", r->tid);
	return 0;
}

/* Step 4: it has entered socketpair. */
static int make_socket(struct parasite *p)
{
	return tracee_syscall_enter(p->thread->tid);
}

/* Step 5: while it stands at the exit of socketpair our end is fetched; then it runs on its own. */
static int connect_socket(struct parasite *p)
{
	struct parasite_arg arg;
	int64_t result;

	int err = tracee_syscall_end(p->thread->tid, &result);
	if (err)
		return err;
	if (result)
		return log_errno(-(int)result, "task %d can't make a socket pair for the parasite%s", p->pid,
				 result == -EMFILE ? " (its descriptor table is full: raise its RLIMIT_NOFILE by 3)"
						   : "");
	err = tracee_read(p->thread->tid, arg_address(p), &arg, sizeof(arg));
	if (err)
		return log_errno(-err, "can't read the parasite's argument in task %d", p->pid);
	fault_operation();
	p->socket = pidfd_getfd(p->pidfd, arg.sockets[1], 0);
	if (p->socket < 0)
		return log_errno(errno, "can't fetch the parasite's socket of task %d", p->pid);
	p->stage = PARASITE_RUNNING;
	fault_operation();
	if (ptrace(PTRACE_CONT, p->thread->tid, 0, 0))
		return log_errno(errno, "can't let thread %d run the parasite", p->thread->tid);
	return fault_point(FAULT_dump_blob_running);
}

int (*const parasite_steps[])(struct parasite *p) = { map_begin, map_enter, start, make_socket, connect_socket, NULL };

int parasite_open(struct parasite *p, struct remote *thread, int proc, pid_t pid, int pidfd,
		  const struct vma_list *vmas)
{
	*p = (struct parasite){ .thread = thread, .pid = pid, .pidfd = pidfd, .vmas = vmas, .socket = -1 };
	p->mem = openat(proc, "mem", O_RDWR | O_CLOEXEC);
	return p->mem < 0 ? log_errno(errno, "can't open the memory of task %d", pid) : 0;
}

/* A stopped or dead thread does not answer: looks after it while we wait for its answer. */
static int look_after(struct parasite *p)
{
	int sig = 0, stop = tracee_poll(p->thread->tid, false, &sig);

	if (stop == STOP_NONE)
		return 0;
	if (stop < 0 || stop == STOP_EXITED)
		return log_errno(ESRCH, "thread %d was killed while it ran the parasite", p->thread->tid);
	/* a SIGSTOP, which cannot be blocked: the kernel stops the task again when it is detached */
	fault_operation();
	if (ptrace(PTRACE_CONT, p->thread->tid, 0, stop == STOP_SIGNAL ? sig : 0))
		return log_errno(errno, "can't continue thread %d in the parasite", p->thread->tid);
	return 0;
}

static int ask(struct parasite *p, struct parasite_request request)
{
	fault_operation();
	if (send(p->socket, &request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		return log_errno(errno, "can't send to the parasite in thread %d", p->thread->tid);
	return 0;
}

/* Waits until there is something to hear. */
static int await(struct parasite *p)
{
	struct pollfd pfd = { .fd = p->socket, .events = POLLIN };
	int err = 0;

	while (!err && poll(&pfd, 1, 20) <= 0)
		err = look_after(p);
	return err;
}

/* Waits for an answer of exactly len bytes. */
static int hear(struct parasite *p, void *reply, size_t len)
{
	ssize_t n;

	fault_operation();
	while ((n = recv(p->socket, reply, len, MSG_TRUNC | MSG_DONTWAIT)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return log_errno(errno, "can't hear the parasite in thread %d", p->thread->tid);
		int err = await(p);
		if (err)
			return err;
	}
	if (n == (ssize_t)len)
		return 0;
	log_err("the parasite in thread %d answered %zd bytes instead of %zu", p->thread->tid, n, len);
	return n == 0 ? -ESRCH : -EBADMSG;
}

int parasite_ask_task(struct parasite *p)
{
	return ask(p, (struct parasite_request){ .command = PARASITE_GET_TASK });
}

int parasite_hear_task(struct parasite *p, struct parasite_task *task)
{
	int err = hear(p, task, sizeof(*task));

	if (!err && task->result)
		err = log_errno(-(int)task->result, "the parasite in thread %d can't read signal actions",
				p->thread->tid);
	return err;
}

int parasite_get_timers(struct parasite *p, const int32_t *ids, unsigned int n, struct parasite_timers *timers)
{
	ssize_t len = n * sizeof(*ids);

	if (n && pwrite(p->mem, ids, len, p->base + PARASITE_MAX) != len)
		return log_errno(errno, "can't hand timer ids to the parasite in thread %d", p->thread->tid);
	int err = ask(p, (struct parasite_request){ .command = PARASITE_GET_TIMERS, .count = n });
	return err ? err : hear(p, timers, sizeof(*timers));
}

int parasite_get_cloexec(struct parasite *p, uint32_t first, struct parasite_cloexec *answer)
{
	int err = ask(p, (struct parasite_request){ .command = PARASITE_GET_CLOEXEC, .count = first });

	return err ? err : hear(p, answer, sizeof(*answer));
}

int parasite_check_aio(struct parasite *p, uint64_t context, bool *alive)
{
	struct parasite_reply reply;

	if (pwrite(p->mem, &context, sizeof(context), p->base + PARASITE_MAX) != sizeof(context))
		return log_errno(errno, "can't hand an AIO context to the parasite in thread %d", p->thread->tid);
	int err = ask(p, (struct parasite_request){ .command = PARASITE_CHECK_AIO });
	if (!err)
		err = hear(p, &reply, sizeof(reply));
	*alive = !err && !reply.result;
	return err;
}

int parasite_hold(struct parasite *p)
{
	int err = tracee_interrupt(p->thread->tid);

	if (err)
		return log_errno(-err, "can't stop the parasite in thread %d", p->thread->tid);
	int stop = tracee_settle(p->thread->tid, true, NULL);
	return stop < 0 ? stop : stop == STOP_EXITED ? -ESRCH : 0;
}

int parasite_resume(struct parasite *p)
{
	if (ptrace(PTRACE_CONT, p->thread->tid, 0, 0))
		return log_errno(errno, "can't let thread %d run the parasite", p->thread->tid);
	return 0;
}

int parasite_get_uffd(struct parasite *p)
{
	struct parasite_reply reply;
	int fd, err = ask(p, (struct parasite_request){ .command = PARASITE_GET_UFFD });

	if (!err)
		err = await(p);
	if (err)
		return err;
	ssize_t n = fds_receive(p->socket, &reply, sizeof(reply), &fd, 1);
	if (n == sizeof(reply) && fd < 0 && reply.result < 0 && reply.result > -4096)
		return reply.result;
	if (n == sizeof(reply) && fd >= 0)
		return fd;
	if (n >= 0 && fd >= 0)
		close(fd);
	return log_errno(EBADMSG, "the parasite in thread %d sends no userfaultfd", p->thread->tid);
}

int parasite_prepare_snapshot(struct parasite *p, const struct parasite_snapshot *s, uint64_t *busy, uint64_t *patience)
{
	const uint64_t area = p->base + PARASITE_MAX;
	const uint32_t is_busy = PARASITE_BUSY;
	const int on = 1;

	_Static_assert(sizeof(*s) <= PARASITE_AREA, "it does not fit");
	*busy = arg_address(p) + offsetof(struct parasite_arg, busy);
	*patience = area + offsetof(struct parasite_snapshot, patience);
	if (setsockopt(p->socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) ||
	    pwrite(p->mem, s, sizeof(*s), area) != sizeof(*s))
		return -errno;
	return tracee_write(p->thread->tid, *busy, &is_busy, sizeof(is_busy));
}

int parasite_ask_snapshot(struct parasite *p)
{
	return ask(p, (struct parasite_request){ .command = PARASITE_SNAPSHOT });
}

/* An answer, and who gave it. */
static int hear_from(struct parasite *p, struct parasite_reply *reply, pid_t *from)
{
	struct iovec iov = { reply, sizeof(*reply) };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	struct ucred creds;

	fault_operation();
	if (recvmsg(p->socket, &m, MSG_CMSG_CLOEXEC) != sizeof(*reply) || m.msg_controllen < CMSG_LEN(sizeof(creds)) ||
	    control.head.cmsg_type != SCM_CREDENTIALS)
		return -EBADMSG;
	memcpy(&creds, CMSG_DATA(&control.head), sizeof(creds));
	*from = creds.pid;
	return 0;
}

int parasite_hear_snapshot(struct parasite *p, pid_t *pid)
{
	struct pollfd pfd = { .fd = p->socket, .events = POLLIN };
	bool answered = false;
	int tries = 0, err;

	fault_operation(); /* while it forks */
	for (*pid = 0; !answered || !*pid;) {
		struct parasite_reply reply;
		pid_t from;

		/* the snapshot may be killed before it tells */
		err = answered && ++tries > SNAPSHOT_TRIES ? -ETIMEDOUT : 0;
		if (!err && poll(&pfd, 1, 20) <= 0) {
			err = look_after(p);
			if (!err)
				continue;
		}
		if (!err)
			err = hear_from(p, &reply, &from);
		if (!err && reply.result < 0)
			err = reply.result;
		if (err)
			return err > -4096 ? err : -EBADMSG;
		if (reply.result)
			*pid = from;
		else
			answered = true;
	}
	return 0;
}

int parasite_advise(struct parasite *p, const struct parasite_snapshot *ranges)
{
	struct parasite_reply reply;

	if (pwrite(p->mem, ranges, sizeof(*ranges), p->base + PARASITE_MAX) != sizeof(*ranges))
		return log_errno(errno, "can't hand ranges to the parasite in thread %d", p->thread->tid);
	int err = ask(p, (struct parasite_request){ .command = PARASITE_ADVISE });
	if (!err)
		err = hear(p, &reply, sizeof(reply));
	return err || !reply.result ? err : log_errno(EIO, "task %d: can't give its memory back its advice", p->pid);
}

/* Brings a parasite that stopped in the middle of a step to a stage from which it can be removed. */
static int finish_step(struct parasite *p)
{
	if (p->stage == PARASITE_MAPPING) {
		int err = map_enter(p);

		if (err)
			return err;
	}
	if (p->stage == PARASITE_MAPPING_ENTERED)
		return finish_map(p);
	if (p->stage == PARASITE_STARTED) { /* its socketpair may be before, at or behind any stop */
		int stop = tracee_poll(p->thread->tid, true, NULL);

		return stop < 0 ? stop : stop == STOP_EXITED ? -ESRCH : 0;
	}
	return 0;
}

/* A parasite that runs stops first, so that it does not run beyond its end; then it is told to quit. */
static int quit(struct parasite *p)
{
	int stop = tracee_settle(p->thread->tid, true, NULL);

	if (stop < 0 || stop == STOP_EXITED)
		return stop < 0 ? stop : -ESRCH; /* killed, by us or by others */
	return ask(p, (struct parasite_request){ .command = PARASITE_QUIT });
}

/*
 * The parasite undoes itself, from one system call to the next, up to the exit of the munmap that is its last
 * act. Returns 1 when it is there, 0 when not yet, or -errno.
 */
static int next_undo_step(struct parasite *p)
{
	struct user_regs_struct regs;
	int err = tracee_wait_syscall(p->thread->tid);

	if (!err)
		err = tracee_get_regs(p->thread->tid, &regs);
	if (err)
		return err;
	bool at_munmap = regs_compat(&regs) ? regs.orig_rax == COMPAT_munmap && regs.rbx == p->base
					    : regs.orig_rax == SYS_munmap && regs.rdi == p->base;
	bool done = at_munmap && p->leaving;
	p->leaving = at_munmap;
	return done;
}

/* Lets all parasites that are inside the blob undo themselves, in step. */
static int run_home(struct parasite *const *list, size_t n)
{
	int failed = 0;

	for (bool any = true; any;) {
		any = false;
		for (size_t i = 0; i < n; i++)
			if (list[i]->stage >= PARASITE_STARTED && tracee_to_syscall(list[i]->thread->tid))
				list[i]->stage = PARASITE_NONE;
		for (size_t i = 0; i < n; i++) {
			if (list[i]->stage < PARASITE_STARTED)
				continue;
			int done = next_undo_step(list[i]);

			if (done)
				list[i]->stage = PARASITE_NONE;
			else
				any = true;
			failed = done < 0 && !failed ? done : failed;
		}
	}
	return failed;
}

int parasites_remove(struct parasite *const *list, size_t n)
{
	int failed = 0;

	for (size_t i = 0; i < n; i++)
		if (list[i]->stage == PARASITE_RUNNING)
			tracee_interrupt(list[i]->thread->tid);
	for (size_t i = 0; i < n; i++) {
		struct parasite *p = list[i];
		int err = finish_step(p);

		if (!err && p->stage == PARASITE_RUNNING)
			err = quit(p);
		if (!err && p->stage == PARASITE_MAPPED)
			err = remote_do(p->thread, NULL, SYS_munmap, p->base, p->size);
		if (err || p->stage == PARASITE_MAPPED)
			p->stage = PARASITE_NONE;
		failed = failed ? failed : err;
		/* without our end of the socket it undoes itself unasked */
	}
	int err = run_home(list, n);
	for (size_t i = 0; i < n; i++) {
		if (list[i]->socket >= 0)
			close(list[i]->socket);
		if (list[i]->mem >= 0)
			close(list[i]->mem);
		*list[i] = (struct parasite){ .socket = -1, .mem = -1 };
	}
	return failed ? failed : err;
}
