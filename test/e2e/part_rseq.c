/*
 * Restartable sequences: the registration of each thread (the kernel goes on to write the CPU number), and a thread
 * that spends its time inside a critical section, which may be aborted but never broken off in the middle.
 */
#include "e2e.h"

#include <pthread.h>
#include <sched.h>
#include <stddef.h>
#include <sys/rseq.h>

static volatile bool stop;
static volatile long rounds, aborts;

static struct rseq *my_rseq(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

/* Counts down inside a critical section; returns whether it came to its end. a and b are equal at every commit. */
static bool critical_section(struct rseq *rseq, volatile long *a, volatile long *b)
{
	long done = 0;

	asm volatile(".pushsection __rseq_cs, \"aw\"\n .balign 32\n"
		     "9: .long 0, 0\n .quad 1f, 2f - 1f, 4f\n .popsection\n"
		     "lea 9b(%%rip), %%rax\n mov %%rax, %[cs]\n"
		     "1: mov (%[a]), %%rax\n inc %%rax\n mov $20000, %%ecx\n"
		     "3: dec %%ecx\n jnz 3b\n"
		     "mov $1, %[done]\n"
		     "mov %%rax, (%[a])\n"
		     "2: jmp 5f\n"
		     ".byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n" /* RSEQ_SIG */
		     "4: xor %k[done], %k[done]\n"
		     "5:\n"
		     : [done] "+r"(done), [cs] "=m"(rseq->rseq_cs)
		     : [a] "r"(a)
		     : "rax", "rcx", "memory", "cc");
	if (done)
		*b += 1;
	return done;
}

static void *run(void *arg)
{
	long a = 0, b = 0;

	while (!stop) {
		if (critical_section(my_rseq(), &a, &b))
			rounds++;
		else
			aborts++;
		if (a != b)
			fail("a critical section was broken off: %ld commits, %ld counted", a, b);
	}
	return NULL;
}

/* Pinned to each CPU in turn, the thread finds its number in the registered area. */
static void check_cpu_numbers(void)
{
	cpu_set_t all, one;

	must(!sched_getaffinity(0, sizeof(all), &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		must(!sched_setaffinity(0, sizeof(one), &one));
		same(*(volatile uint32_t *)&my_rseq()->cpu_id, cpu);
	}
	must(!sched_setaffinity(0, sizeof(all), &all));
}

int main(int argc, char **argv)
{
	pthread_t thread;

	e2e_begin(argc, argv);
	if (!__rseq_size || (int)my_rseq()->cpu_id < 0)
		skip("no rseq in this libc or kernel");
	must(!pthread_create(&thread, NULL, run, NULL));
	while (rounds < 10)
		e2e_sleep_ms(1);

	e2e_wait();

	check_cpu_numbers();
	long before = rounds;
	for (int i = 0; rounds < before + 10; i++) {
		if (i > 60000)
			fail("the thread with the critical section hangs");
		e2e_sleep_ms(1);
	}
	stop = true;
	pthread_join(thread, NULL);
	return 0;
}
