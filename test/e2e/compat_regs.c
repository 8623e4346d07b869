/*
 * Registers of a 32-bit program: a thread keeps known values in all of them and compares, without a system call, until
 * it is told to stop; x87 and SSE control words; thread areas besides the one that libc uses.
 */
#include "compat.h"
#ifndef NO_COMPAT
#include "e2e.h"

#include <asm/ldt.h>
#include <pthread.h>

static volatile int stop, differs, runs;
static float singles[8][4], seen[8][4];
static const long double numbers[3] = { 3.25L, -1e300L, 1.0L / 3 };
static long double read_back[3];

/* Loads xmm0-7, the x87 stack and the general registers, and looks again and again whether they are as they were. */
static void spin(void)
{
	__asm__ volatile("pusha\n\t"
			 "fldt %[a]\n\tfldt %[b]\n\tfldt %[c]\n\t"
			 "movups 0(%[in]), %%xmm0\n\tmovups 16(%[in]), %%xmm1\n\tmovups 32(%[in]), %%xmm2\n\t"
			 "movups 48(%[in]), %%xmm3\n\tmovups 64(%[in]), %%xmm4\n\tmovups 80(%[in]), %%xmm5\n\t"
			 "movups 96(%[in]), %%xmm6\n\tmovups 112(%[in]), %%xmm7\n\t"
			 "mov $0x11111111, %%eax\n\tmov $0x22222222, %%ecx\n\tmov $0x33333333, %%edx\n\t"
			 "mov $0x44444444, %%esi\n\tmov $0x55555555, %%edi\n\tmov $0x66666666, %%ebp\n"
			 "1:\tcmp $0x11111111, %%eax\n\tjne 2f\n\tcmp $0x22222222, %%ecx\n\tjne 2f\n\t"
			 "cmp $0x33333333, %%edx\n\tjne 2f\n\tcmp $0x44444444, %%esi\n\tjne 2f\n\t"
			 "cmp $0x55555555, %%edi\n\tjne 2f\n\tcmp $0x66666666, %%ebp\n\tjne 2f\n\t"
			 "cmpl $0, (%%ebx)\n\tje 1b\n\tjmp 3f\n"
			 "2:\tmovl $2, (%%ebx)\n"
			 "3:\tpopa\n\t"
			 "movups %%xmm0, 0(%[out])\n\tmovups %%xmm1, 16(%[out])\n\tmovups %%xmm2, 32(%[out])\n\t"
			 "movups %%xmm3, 48(%[out])\n\tmovups %%xmm4, 64(%[out])\n\tmovups %%xmm5, 80(%[out])\n\t"
			 "movups %%xmm6, 96(%[out])\n\tmovups %%xmm7, 112(%[out])\n\t"
			 :
			 : [in] "S"(singles), [out] "D"(seen),
			   "b"(&stop), [a] "m"(numbers[0]), [b] "m"(numbers[1]), [c] "m"(numbers[2])
			 : "memory");
	__asm__ volatile("fstpt %0\n\tfstpt %1\n\tfstpt %2"
			 : "=m"(read_back[2]), "=m"(read_back[1]), "=m"(read_back[0]));
	differs = stop == 2;
}

static void *spinner(void *unused)
{
	runs = 1;
	spin();
	return NULL;
}

int main(int argc, char **argv)
{
	struct user_desc area = { .entry_number = -1, .base_addr = 0x12345000, .limit = 7, .seg_32bit = 1 }, now;
	unsigned int mxcsr = 0x9fc0, mxcsr_now;
	unsigned short control = 0x27f, control_now;
	unsigned long gs, gs_now;
	pthread_t id;

	e2e_begin(argc, argv);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++)
			singles[i][j] = i * 10.5f + j;
	must(!syscall(SYS_set_thread_area, &area));
	__asm__ volatile("mov %%gs, %0" : "=r"(gs));
	must(!pthread_create(&id, NULL, spinner, NULL));
	while (!runs)
		e2e_sleep_ms(1);
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(control));

	e2e_wait();

	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr_now), "=m"(control_now));
	same(mxcsr_now & ~0x3fu, mxcsr);
	same(control_now, control);
	__asm__ volatile("mov %%gs, %0" : "=r"(gs_now));
	same(gs_now, gs);
	now = (struct user_desc){ .entry_number = area.entry_number };
	must(!syscall(SYS_get_thread_area, &now));
	same(now.base_addr, area.base_addr);
	same(now.limit, area.limit);
	stop = 1;
	must(!pthread_join(id, NULL));
	must(!differs);
	must(!memcmp(seen, singles, sizeof(seen)));
	for (int i = 0; i < 3; i++)
		must(read_back[i] == numbers[i]);
	return 0;
}
#endif
