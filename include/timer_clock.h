/* Clocks of POSIX timers (man 2 timer_create), as numbers. */
#ifndef CKPT_TIMER_CLOCK_H
#define CKPT_TIMER_CLOCK_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

/* A clock of CPU time is negative and has the number of a process or thread in it: man 3 clock_getcpuclockid. */
#define CPU_CLOCK_PID(clock) (~((clock) >> 3))
#define CPU_CLOCK_THREAD 4
#define CPU_CLOCK_KIND(clock) ((clock)&3) /* what it counts; 3: a device, which has no timers */

static inline bool is_cpu_clock(clockid_t clock)
{
	return clock < 0 && CPU_CLOCK_KIND(clock) != 3;
}

/* One of those that all processes share. */
static inline bool is_system_clock(clockid_t clock)
{
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_PROCESS_CPUTIME_ID:
	case CLOCK_THREAD_CPUTIME_ID:
	case CLOCK_BOOTTIME:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
	case CLOCK_TAI:
		return true;
	default:
		return false;
	}
}

#endif
