/*
 * Programs that would take over what a dumper makes them do, or notice it: a critical section of rseq that covers the
 * vDSO, where the system call instruction is that remote calls use; a handler for every signal, also those that are
 * ignored by default; a thread with the alignment check and the direction flag set.
 */
#include "e2e.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/rseq.h>

static volatile bool hijacked, stop, spinning;
static volatile int signals;

struct section {
	uint32_t version, flags;
	uint64_t start, len, abort;
} __attribute__((aligned(32)));

static void __attribute__((noreturn)) caught(void)
{
	hijacked = true;
	fail("something ran in the vDSO that was none of ours");
}

/* RSEQ_SIG must stand before the place where a section is aborted to. */
asm(".pushsection .text\n .byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n"
    "abort_here: and $-16, %rsp\n call caught_there\n .popsection\n");
void abort_here(void);
void __attribute__((used, noreturn)) caught_there(void);
void caught_there(void)
{
	caught();
}

/* The kernel forgets the section when the thread is not in it, so it is told again all the time. */
static void lies_in_wait(void *arg)
{
	volatile struct rseq *rseq = (void *)((char *)__builtin_thread_pointer() + __rseq_offset);
	static struct section s;

	if (!__rseq_size || (int)rseq->cpu_id < 0)
		skip("no rseq in this libc or kernel");
	s.start = getauxval(AT_SYSINFO_EHDR);
	s.len = 2 * E2E_PAGE;
	s.abort = (uint64_t)abort_here;
	e2e_child_ready();
	while (!e2e_time_to_check())
		for (int i = 0; i < 1000000; i++)
			rseq->rseq_cs = (uint64_t)&s;
	rseq->rseq_cs = 0;
	must(!hijacked);
	_exit(0);
}

static void count(int sig)
{
	signals++;
}

static void handles_all(void *arg)
{
	struct sigaction action = { .sa_handler = count };
	sigset_t none;

	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && sig != 32 && sig != 33)
			must(!sigaction(sig, &action, NULL));
	sigemptyset(&none);
	must(!sigprocmask(SIG_SETMASK, &none, NULL));
	e2e_child_ready();
	e2e_wait();
	same(signals, 0);
	raise(SIGURG);
	raise(SIGWINCH);
	raise(SIGTRAP);
	same(signals, 3);
	_exit(0);
}

static void *odd_flags(void *arg)
{
	uint64_t flags;

	spinning = true;
	asm volatile("pushf\n pop %%rax\n or $0x40400, %%rax\n push %%rax\n popf\n" /* AC, DF */
		     "1: pause\n cmpb $0, %[stop]\n je 1b\n"
		     "pushf\n pop %[flags]\n mov %[flags], %%rax\n and $~0x40400, %%rax\n push %%rax\n popf\n"
		     : [flags] "=&r"(flags)
		     : [stop] "m"(stop)
		     : "rax", "memory", "cc");
	same(flags & 0x40400, 0x40400);
	return NULL;
}

static void spins(void *arg)
{
	pthread_t t;

	must(!pthread_create(&t, NULL, odd_flags, NULL));
	while (!spinning)
		e2e_sleep_ms(1);
	e2e_child_ready();
	e2e_wait();
	stop = true;
	pthread_join(t, NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	static void (*const children[])(void *) = { lies_in_wait, handles_all, spins };
	pid_t pid[3];

	e2e_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		pid[i] = e2e_fork(children[i], NULL);

	e2e_wait();

	for (int i = 0; i < 3; i++)
		e2e_join(pid[i]);
	return 0;
}
