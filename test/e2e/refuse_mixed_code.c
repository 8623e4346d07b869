/* A 64-bit program with a thread in 32-bit code (as Wine has them): it is refused, and named. */
#include "e2e.h"

#include <pthread.h>

#define CODE 0x10000000 /* 32-bit code can get to below 4 GiB only */
#define NARROW 64
#define WIDE 128
#define HOME 256 /* the address behind the jump */

static const unsigned char narrow[] = {
	0x83,
	0x3b,
	0x00, /* cmpl $0,(%ebx) */
	0x74,
	0xfb, /* je to it */
	0xea,
	CODE & 0xff,
	CODE >> 8 & 0xff,
	CODE >> 16 & 0xff,
	CODE >> 24,
	0x33,
	0x00, /* ljmp $0x33,$CODE */
};
static const unsigned char wide[] = { 0xff, 0x24, 0x25, 0, 0, 0, 0 }; /* jmp *address */

static struct {
	unsigned int ip;
	unsigned short cs;
} __attribute__((packed)) target = { CODE + NARROW, 0x23 };

static volatile int *stop;
static volatile pid_t tid;

static void *thread(void *unused)
{
	tid = gettid();
	/* a return to 32-bit code from the kernel keeps only the lower half of registers */
	__asm__ volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, %c[home](%%rbx)\n\tmov %%rsp, %c[home]+8(%%rbx)\n\t"
			 "mov $0x2b, %%eax\n\tmov %%eax, %%ds\n\tljmp *%[target]\n"
			 "1:\txor %%eax, %%eax\n\tmov %%eax, %%ds\n\tmov %c[home]+8(%%rbx), %%rsp"
			 :
			 : [target] "m"(target), [home] "i"(HOME), "b"(stop)
			 : "rax", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
			   "r15", "memory", "cc");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t id;

	e2e_begin(argc, argv);
	char *page = mmap((void *)CODE, E2E_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	must(page == (void *)CODE);
	stop = (int *)page;
	memcpy(page + NARROW, narrow, sizeof(narrow));
	memcpy(page + NARROW + 6, (unsigned int[]){ CODE + WIDE }, 4);
	memcpy(page + WIDE, wide, sizeof(wide));
	memcpy(page + WIDE + 3, (unsigned int[]){ CODE + HOME }, 4);
	must(!pthread_create(&id, NULL, thread, NULL));
	while (!tid)
		e2e_sleep_ms(1);
	e2e_sleep_ms(20);
	e2e_expect("task %d thread %d mixed code", getpid(), tid);

	e2e_wait();

	*stop = 1;
	must(!pthread_join(id, NULL));
	return 0;
}
