/*
 * Seccomp of each thread: strict mode, and the chain of its filters (PTRACE_SECCOMP_GET_FILTER, _GET_METADATA).
 *
 * A filter may kill a thread for what we let it do. So it is suspended first (PTRACE_O_SUSPEND_SECCOMP), as long as we
 * hold the thread; where that is not allowed the task is not touched. When we die in the middle, the option goes with
 * us: what a thread then must not do on its way home is told to the parasite.
 *
 * Does not handle: filters whose calls a supervisor answers (SECCOMP_RET_USER_NOTIF): nothing shows their listener.
 */
#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "compat.h"
#include "dump.h"
#include "log.h"
#include "seccomp.pb-c.h"
#include "seccomp_filter.h"

#define STRICT 1
#define FILTER 2
#define SUSPEND (PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP)
#define ERESTART_RESTARTBLOCK 516
#define NO_FILTER (~0u)

struct filter {
	struct dump_task *task; /* filters that are equal in two tasks are two */
	struct seccomp_program program; /* owned */
	uint32_t prev; /* the one that was put on before, or NO_FILTER */
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
};

struct seccomp_filters {
	struct filter *f; /* owned */
	size_t n;
};

/* Filter number i of a thread, from the oldest on. Returns 0, -ENOENT behind the last one, or -errno (not logged). */
static int read_filter(const struct dump_thread *th, unsigned long i, struct filter *filter)
{
	struct __ptrace_seccomp_metadata meta = { .filter_off = i };
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, th->tid, i, NULL);

	if (n < 0)
		return -errno;
	*filter = (struct filter){ .task = th->task, .program.n = n };
	filter->program.code = calloc(n + 1, sizeof(*filter->program.code));
	if (!filter->program.code)
		return -ENOMEM;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, th->tid, i, filter->program.code) != n ||
	    ptrace(PTRACE_SECCOMP_GET_METADATA, th->tid, sizeof(meta), &meta) < 0) {
		int err = errno == ENOENT ? EIO : errno;

		free(filter->program.code);
		return -err;
	}
	filter->flags = meta.flags;
	return 0;
}

static bool is_same(const struct filter *a, const struct filter *b)
{
	return a->task == b->task && a->prev == b->prev && a->flags == b->flags && a->program.n == b->program.n &&
	       !memcmp(a->program.code, b->program.code, a->program.n * sizeof(*a->program.code));
}

/* Takes the filter over. Returns its number or -ENOMEM. */
static long add_filter(struct seccomp_filters *list, struct filter filter)
{
	for (size_t i = list->n; i-- > 0 && list->f[i].task == filter.task;) {
		if (is_same(&list->f[i], &filter)) {
			free(filter.program.code);
			return i;
		}
	}
	struct filter *f = realloc(list->f, (list->n + 1) * sizeof(*f));
	if (!f) {
		free(filter.program.code);
		return -ENOMEM;
	}
	list->f = f;
	f[list->n] = filter;
	return list->n++;
}

static int read_filters(struct dump *d, struct dump_thread *th)
{
	struct filter filter = {};
	uint32_t last = NO_FILTER;
	int err = 0;

	if (!d->filters)
		d->filters = calloc(1, sizeof(*d->filters));
	if (!d->filters)
		return -ENOMEM;
	for (unsigned long i = 0; !(err = read_filter(th, i, &filter)); i++) {
		filter.prev = last;
		long at = add_filter(d->filters, filter);
		if (at < 0)
			return at;
		last = at;
	}
	th->seccomp_filter = last;
	return err == -ENOENT && last != NO_FILTER ? 0 : err == -ENOENT ? -EIO : err;
}

/*
 * Whether strict mode, or each filter of the thread, lets a call with such arguments be made. arch: by the numbers of
 * 64-bit or of 32-bit programs. The latter may not return from our kind of signal frame in strict mode.
 */
static bool may_call_as(const struct dump_thread *th, uint32_t arch, int nr, const uint64_t args[3])
{
	struct seccomp_data call = { .nr = nr, .arch = arch, .args = { args[0], args[1], args[2] } };

	if (th->status.seccomp == STRICT)
		return arch == AUDIT_ARCH_X86_64 &&
		       (nr == SYS_read || nr == SYS_write || nr == SYS_exit || nr == SYS_rt_sigreturn);
	if (th->status.seccomp != FILTER || th->seccomp_error)
		return true;
	const struct seccomp_filters *list = th->task->dump->filters;
	call.instruction_pointer = th->remote.regs.rip;
	for (uint32_t i = th->seccomp_filter; i != NO_FILTER; i = list->f[i].prev)
		if (!seccomp_allows(&list->f[i].program, &call))
			return false;
	return true;
}

static bool may_call(const struct dump_thread *th, int nr, const uint64_t args[3])
{
	return may_call_as(th, AUDIT_ARCH_X86_64, nr, args);
}

/* Whether a sleep may go on by restart_syscall(2), whose registers are what they are. */
static bool may_restart(const struct dump_thread *th, const struct user_regs_struct *regs)
{
	if (regs_compat(regs))
		return may_call_as(th, AUDIT_ARCH_I386, COMPAT_restart_syscall,
				   (uint64_t[]){ regs->rbx, regs->rcx, regs->rdx });
	return may_call(th, SYS_restart_syscall, (uint64_t[]){ regs->rdi, regs->rsi, regs->rdx });
}

/*
 * The kernel would go on with a sleep by restart_syscall(2), which a filter may not know: then the stop would kill the
 * thread. It is set to make its own call again instead.
 */
static int avoid_restart(struct dump_thread *th)
{
	struct user_regs_struct again = th->remote.regs;

	if ((long)again.orig_rax < 0 || (long)again.rax != -ERESTART_RESTARTBLOCK ||
	    again.orig_rax == (regs_compat(&again) ? COMPAT_restart_syscall : SYS_restart_syscall) ||
	    may_restart(th, &again))
		return 0;
	regs_restart_call(&again, SIGNAL_NONE);
	th->remote.regs = again;
	return tracee_set_regs(th->tid, &again);
}

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	int err = 0;

	if (!th->status.seccomp)
		return 0;
	if (ptrace(PTRACE_SETOPTIONS, th->tid, 0, SUSPEND))
		th->seccomp_error = errno;
	else if (th->status.seccomp == FILTER)
		err = read_filters(t->dump, th);
	if (err == -ESRCH || err == -ENOMEM)
		return err;
	if (err)
		th->seccomp_error = -err;
	return th->seccomp_error ? 0 : avoid_restart(th);
}

int seccomp_spare_sleepers(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_threads && !err; i++) {
		struct dump_thread *th = d->threads[i];
		struct proc_status st = {};
		char name[48];

		if ((long)th->remote.regs.rax != -ERESTART_RESTARTBLOCK)
			continue;
		snprintf(name, sizeof(name), "task/%d/status", th->tid);
		err = proc_status(th->task->proc, name, &st);
		th->status.seccomp = st.seccomp;
		proc_status_free(&st);
		if (!err)
			err = collect_thread(th->task, th);
	}
	return err;
}

/* In the images, filters that all threads of a task have are the leader's, and marked to be put on all of them. */
static int collect(struct dump_task *t)
{
	const struct seccomp_filters *list = t->dump->filters;

	if (t->main_exited) /* it has none, and cannot get any */
		return 0;
	for (size_t i = 0; i < t->n_threads; i++)
		if (t->threads[i].status.seccomp != FILTER || t->threads[i].seccomp_error ||
		    t->threads[i].seccomp_filter != t->threads[0].seccomp_filter)
			return 0;
	for (uint32_t i = t->n_threads ? t->threads[0].seccomp_filter : NO_FILTER; i != NO_FILTER; i = list->f[i].prev)
		list->f[i].flags |= SECCOMP_FILTER_FLAG_TSYNC;
	return 0;
}

static int judge_error(struct dump_task *t, const struct dump_thread *th)
{
	int err = th->seccomp_error;

	t->untouchable = true; /* it may be killed for a call that we let it make */
	return blocker_add(t->dump, t->pid, "seccomp",
			   err == EPERM		? "ckpt may not suspend its filters"
			   : err == EMEDIUMTYPE ? "one of its filters is of a kind that cannot be read"
						: "its filters cannot be read",
			   err == EPERM ? "run ckpt with CAP_SYS_ADMIN in the initial user namespace, and not under "
					  "seccomp itself"
					: "start the program without its sandbox",
			   "thread %d", th->tid);
}

/* A 32-bit thread gets home by its own rt_sigreturn, which must be allowed should we die. */
static int judge_compat(struct dump_task *t, const struct dump_thread *th)
{
	const uint64_t any[3] = {};

	if (!th->status.seccomp || !regs_compat(&th->remote.regs) ||
	    may_call_as(th, AUDIT_ARCH_I386, COMPAT_rt_sigreturn, any))
		return 0;
	t->untouchable = true;
	return blocker_add(t->dump, t->pid, "seccomp", "a 32-bit program that may not call rt_sigreturn",
			   "start the program without its sandbox", "thread %d", th->tid);
}

static int judge(struct dump_task *t)
{
	const struct seccomp_filters *list = t->dump->filters;
	int err = 0;

	for (size_t i = 0; i < t->n_threads && !err; i++) {
		if (t->threads[i].seccomp_error)
			err = judge_error(t, &t->threads[i]);
		else
			err = judge_compat(t, &t->threads[i]);
	}
	for (size_t i = 0; list && i < list->n && !err; i++)
		if (list->f[i].task == t && seccomp_notifies(&list->f[i].program))
			err = blocker_add(t->dump, t->pid, "seccomp",
					  "a supervisor answers some of its system calls (SECCOMP_RET_USER_NOTIF)",
					  "start the program without the supervisor: its listener cannot be restored",
					  "filter %zu", i);
	return err;
}

uint32_t seccomp_forbids(const struct dump_thread *th)
{
	const uint64_t any[3] = {};

	bool compat = regs_compat(&th->remote.regs);
	uint32_t arch = compat ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;

	return (may_call_as(th, arch, compat ? COMPAT_close : SYS_close, any) ? 0 : PARASITE_MUST_NOT_CLOSE) |
	       (may_call_as(th, arch, compat ? COMPAT_munmap : SYS_munmap, any) ? 0 : PARASITE_MUST_NOT_UNMAP);
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	ThreadCoreEntry *e = core->thread_core;
	bool filters = th->status.seccomp == FILTER;

	if (!th->status.seccomp)
		return 0;
	if (filters && th != t->threads && t->dump->filters->f[th->seccomp_filter].flags & SECCOMP_FILTER_FLAG_TSYNC)
		return 0;
	e->has_seccomp_mode = true;
	e->seccomp_mode = th->status.seccomp == STRICT ? SECCOMP_MODE__strict : SECCOMP_MODE__filter;
	e->has_seccomp_filter = filters;
	e->seccomp_filter = th->seccomp_filter;
	return 0;
}

static void fill_filter(const struct filter *f, SeccompFilter *e)
{
	seccomp_filter__init(e);
	e->filter.data = (uint8_t *)f->program.code;
	e->filter.len = f->program.n * sizeof(*f->program.code);
	e->has_prev = f->prev != NO_FILTER;
	e->prev = f->prev;
	e->has_flags = true;
	e->flags = f->flags;
}

int seccomp_write(struct dump *d)
{
	SeccompEntry e = SECCOMP_ENTRY__INIT;
	size_t n = d->filters ? d->filters->n : 0;
	_cleanup_free_ SeccompFilter *filters = calloc(n + 1, sizeof(*filters));
	_cleanup_free_ SeccompFilter **pointers = calloc(n + 1, sizeof(*pointers));

	if (!filters || !pointers)
		return log_errno(ENOMEM, "seccomp filters");
	for (size_t i = 0; i < n; i++) {
		fill_filter(&d->filters->f[i], &filters[i]);
		pointers[i] = &filters[i];
	}
	e.n_seccomp_filters = n;
	e.seccomp_filters = pointers;
	return n ? image_write_one(&d->images, IMG_SECCOMP, 0, &e.base) : 0;
}

void seccomp_free(struct dump *d)
{
	for (size_t i = 0; d->filters && i < d->filters->n; i++)
		free(d->filters->f[i].program.code);
	if (d->filters)
		free(d->filters->f);
	free(take_ptr(d->filters));
}

const struct dump_part dump_part_seccomp = {
	.name = "seccomp",
	.collect = collect,
	.collect_thread = collect_thread,
	.judge = judge,
	.fill_thread = fill_thread,
};
