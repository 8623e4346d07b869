/*
 * Registers: threads that keep known values in all general registers, in the x87 stack and in the widest vector
 * registers that the CPU has (SSE, AVX, AVX-512 with its masks), and check them continuously; MXCSR, the x87 control
 * word, fs and gs base.
 */
#include "e2e.h"

#include <asm/prctl.h>
#include <pthread.h>

static volatile bool stop;
static volatile unsigned long rounds[4];

/* Each checker loads its registers once, then compares and loops inside one asm block for a while. */
static void general(unsigned int who)
{
	unsigned long bad;

	asm volatile("mov $0x1111111111111111, %%rax\n mov $0x2222222222222222, %%rbx\n"
		     "mov $0x3333333333333333, %%rdx\n mov $0x4444444444444444, %%rsi\n"
		     "mov $0x5555555555555555, %%rdi\n mov $0x6666666666666666, %%r8\n"
		     "mov $0x7777777777777777, %%r9\n mov $0x8888888888888888, %%r10\n"
		     "mov $0x9999999999999999, %%r11\n mov $0xaaaaaaaaaaaaaaaa, %%r12\n"
		     "mov $0xbbbbbbbbbbbbbbbb, %%r13\n mov $0xcccccccccccccccc, %%r14\n"
		     "mov $2000000, %%rcx\n"
		     "1: dec %%rcx\n jnz 1b\n"
		     "mov $0x1111111111111111, %%rcx\n cmp %%rcx, %%rax\n jne 2f\n"
		     "mov $0x2222222222222222, %%rcx\n cmp %%rcx, %%rbx\n jne 2f\n"
		     "mov $0x3333333333333333, %%rcx\n cmp %%rcx, %%rdx\n jne 2f\n"
		     "mov $0x4444444444444444, %%rcx\n cmp %%rcx, %%rsi\n jne 2f\n"
		     "mov $0x5555555555555555, %%rcx\n cmp %%rcx, %%rdi\n jne 2f\n"
		     "mov $0x6666666666666666, %%rcx\n cmp %%rcx, %%r8\n jne 2f\n"
		     "mov $0x7777777777777777, %%rcx\n cmp %%rcx, %%r9\n jne 2f\n"
		     "mov $0x8888888888888888, %%rcx\n cmp %%rcx, %%r10\n jne 2f\n"
		     "mov $0x9999999999999999, %%rcx\n cmp %%rcx, %%r11\n jne 2f\n"
		     "mov $0xaaaaaaaaaaaaaaaa, %%rcx\n cmp %%rcx, %%r12\n jne 2f\n"
		     "mov $0xbbbbbbbbbbbbbbbb, %%rcx\n cmp %%rcx, %%r13\n jne 2f\n"
		     "mov $0xcccccccccccccccc, %%rcx\n cmp %%rcx, %%r14\n jne 2f\n"
		     "xor %%ecx, %%ecx\n jmp 3f\n 2: mov $1, %%ecx\n 3:\n"
		     : "=&c"(bad)
		     :
		     : "rax", "rbx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "cc");
	if (bad)
		fail("a general register changed");
}

static void x87(unsigned int who)
{
	double in[4] = { 1.25 + who, 2.5, -3.75, 1e100 }, out[4];
	unsigned short control;

	asm volatile("fninit\n fldcw %6\n fldl %2\n fldl %3\n fldl %4\n fldl %5\n"
		     "mov $2000000, %%ecx\n 1: dec %%ecx\n jnz 1b\n"
		     "fstpl 24+%0\n fstpl 16+%0\n fstpl 8+%0\n fstpl %0\n fnstcw %1\n"
		     : "=m"(out), "=m"(control)
		     : "m"(in[0]), "m"(in[1]), "m"(in[2]), "m"(in[3]), "m"((unsigned short){ 0x0c7f })
		     : "ecx", "cc");
	if (memcmp(in, out, sizeof(in)))
		fail("the x87 stack changed");
	same(control, 0x0c7f);
	asm volatile("fninit");
}

#define EACH16(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define ALL16                                                                                                          \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",     \
		"xmm13", "xmm14", "xmm15"

static uint8_t vectors_in[32 * 64], masks_in[64];

static __attribute__((target("avx"))) void avx(unsigned int who)
{
	uint8_t out[16 * 64];

#define LOAD(n) "vmovdqu " #n "*64(%0), %%ymm" #n "\n"
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*64(%1)\n"
	asm volatile(EACH16(LOAD) "mov $2000000, %%ecx\n 1: dec %%ecx\n jnz 1b\n" EACH16(STORE) "vzeroupper\n"
		     :
		     : "r"(vectors_in), "r"(out)
		     : "ecx", "cc", "memory", ALL16);
#undef LOAD
#undef STORE
	for (int i = 0; i < 16; i++)
		if (memcmp(out + i * 64, vectors_in + i * 64, 32))
			fail("ymm%d changed", i);
}

static __attribute__((target("avx512f,avx512bw"))) void avx512(unsigned int who)
{
	uint8_t out[32 * 64], masks[64];

#define EACH8(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7)
#define LOW(n) "vmovdqu64 " #n "*64(%0), %%zmm" #n "\n"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%1)\n"
#define MASK_IN(n) "kmovq " #n "*8(%2), %%k" #n "\n"
#define MASK_OUT(n) "kmovq %%k" #n ", " #n "*8(%3)\n"
#define EACH_HIGH(op)                                                                                                  \
	op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
	asm volatile(EACH16(LOW) EACH_HIGH(LOW)
			     EACH8(MASK_IN) "mov $2000000, %%ecx\n 1: dec %%ecx\n jnz 1b\n" EACH16(STORE)
				     EACH_HIGH(STORE) EACH8(MASK_OUT) "vzeroupper\n"
		     :
		     : "r"(vectors_in), "r"(out), "r"(masks_in), "r"(masks)
		     : "ecx", "cc", "memory", ALL16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22",
		       "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2",
		       "k3", "k4", "k5", "k6", "k7");
	for (int i = 0; i < 32; i++)
		if (memcmp(out + i * 64, vectors_in + i * 64, 64))
			fail("zmm%d changed", i);
	if (memcmp(masks, masks_in, sizeof(masks)))
		fail("a mask register changed");
}

static void *run(void *arg)
{
	static void (*const checks[])(unsigned int) = { general, x87, avx, avx512 };
	unsigned int who = (unsigned long)arg;

	while (!stop) {
		checks[who](who);
		rounds[who]++;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned int n = 2, mxcsr = 0x7f80 & ~0x0080, now; /* round to zero, flush to zero, a few exceptions unmasked */
	pthread_t thread[4];
	unsigned long before[4], gs = 0;

	e2e_begin(argc, argv);
	e2e_fill(vectors_in, sizeof(vectors_in), 1);
	e2e_fill(masks_in, sizeof(masks_in), 2);
	__builtin_cpu_init();
	n += !!__builtin_cpu_supports("avx");
	n += n == 3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
	for (unsigned long i = 0; i < n; i++)
		must(!pthread_create(&thread[i], NULL, run, (void *)i));
	must(!syscall(SYS_arch_prctl, ARCH_SET_GS, 0x123456789000ul));
	asm volatile("ldmxcsr %0" ::"m"(mxcsr));
	for (unsigned int i = 0; i < n; i++)
		while (!rounds[i])
			e2e_sleep_ms(1);

	e2e_wait();

	asm volatile("stmxcsr %0" : "=m"(now));
	same(now & 0xffc0, mxcsr & 0xffc0);
	must(!syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	same(gs, 0x123456789000ul);
	memcpy(before, (void *)rounds, sizeof(before));
	for (unsigned int i = 0; i < n; i++)
		for (int k = 0; rounds[i] < before[i] + 3; k++) {
			if (k > 60000)
				fail("the thread of register set %u hangs", i);
			e2e_sleep_ms(1);
		}
	stop = true;
	for (unsigned int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return 0;
}
