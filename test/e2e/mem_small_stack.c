/*
 * Stacks too small to be lent to anybody, with other data right below them: a coroutine of the main thread, one of a
 * second thread, and an alternate signal stack in use.
 */
#include "e2e.h"

#include <pthread.h>
#include <ucontext.h>

#define DATA 65536
#define STACK 16384
#define LEFT 1024 /* bytes of the stack below its stack pointer */

static unsigned char *new_stack(void)
{
	unsigned char *area = mmap(NULL, DATA + STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED);
	for (size_t i = 0; i < DATA; i++)
		area[i] = i * 7 + 1;
	return area;
}

static void check(const unsigned char *area)
{
	for (size_t i = 0; i < DATA; i++)
		if (area[i] != (unsigned char)(i * 7 + 1))
			fail("the byte %zu below a small stack has changed", DATA - i);
}

static volatile bool enough;

/* Uses most of the stack and sleeps without a call of libc, which would need more. */
static void wait_deep(unsigned char *area)
{
	struct timespec t = { 0, 2000000 };
	long result;

	while (!enough)
		__asm__ volatile("mov %%rsp, %%rbx\n\t"
				 "lea %c[left](%[bottom]), %%rsp\n\t"
				 "syscall\n\t"
				 "mov %%rbx, %%rsp"
				 : "=a"(result)
				 : "a"(SYS_nanosleep), "D"(&t), "S"(0), [bottom] "d"(area + DATA), [left] "i"(LEFT)
				 : "rbx", "rcx", "r11", "memory");
}

static unsigned char *areas[3];
static ucontext_t back[2], coroutine[2];

static void run(int i)
{
	wait_deep(areas[i]);
}

static void start(int i)
{
	must(!getcontext(&coroutine[i]));
	coroutine[i].uc_stack.ss_sp = areas[i] + DATA;
	coroutine[i].uc_stack.ss_size = STACK;
	coroutine[i].uc_link = &back[i];
	makecontext(&coroutine[i], (void (*)(void))run, 1, i);
	must(!swapcontext(&back[i], &coroutine[i]));
}

static void *second(void *arg)
{
	start(1);
	return NULL;
}

static void on_signal(int sig)
{
	wait_deep(areas[2]);
}

static void *third(void *arg)
{
	stack_t stack = { .ss_sp = areas[2] + DATA, .ss_size = STACK };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };

	must(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
	return NULL;
}

static void *watch(void *arg)
{
	e2e_sleep_ms(50);
	e2e_first = gettid(); /* the first thread does not come to it */
	e2e_wait();
	for (int i = 0; i < 3; i++)
		check(areas[i]);
	enough = true;
	return NULL;
}

int main(int argc, char **argv)
{
	void *(*const bodies[])(void *) = { second, third, watch };
	pthread_t threads[3];

	e2e_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		areas[i] = new_stack();
	for (int i = 0; i < 3; i++)
		must(!pthread_create(&threads[i], NULL, bodies[i], NULL));
	start(0);
	for (int i = 0; i < 3; i++)
		must(!pthread_join(threads[i], NULL));
	return 0;
}
