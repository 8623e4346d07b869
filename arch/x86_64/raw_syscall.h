/* System calls by number, for code without libc. Results are the kernel's: -errno on failure. */
#ifndef CKPT_RAW_SYSCALL_H
#define CKPT_RAW_SYSCALL_H

#include <asm/unistd.h>

static inline long raw_syscall6(long nr, long a1, long a2, long a3, long a4, long a5, long a6)
{
	long ret;
	register long r10 __asm__("r10") = a4;
	register long r8 __asm__("r8") = a5;
	register long r9 __asm__("r9") = a6;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a1), "S"(a2), "d"(a3), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

/* A call by the number of 32-bit programs; what its arguments point to must lie below 4 GiB. */
static inline long raw_compat4(long nr, long a1, long a2, long a3, long a4)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a1), "c"(a2), "d"(a3), "S"(a4)
			 : "r8", "r9", "r10", "r11", "memory");
	return ret;
}

#define RAW_SYSCALL_N(_0, _1, _2, _3, _4, _5, _6, n, ...) raw_syscall##n
#define raw_syscall0(nr) raw_syscall6(nr, 0, 0, 0, 0, 0, 0)
#define raw_syscall1(nr, a) raw_syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define raw_syscall2(nr, a, b) raw_syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define raw_syscall3(nr, a, b, c) raw_syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define raw_syscall4(nr, a, b, c, d) raw_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define raw_syscall5(nr, a, b, c, d, e) raw_syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* sys(read, fd, buf, len): the arguments of the call as its man page has them, at most five; sys6 for six. */
#define sys(name, ...) RAW_SYSCALL_N(0, ##__VA_ARGS__, 6, 5, 4, 3, 2, 1, 0)(__NR_##name, ##__VA_ARGS__)
#define sys6(name, a, b, c, d, e, f)                                                                                   \
	raw_syscall6(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#endif
