/* Reads what tasks inherit from the coordinator: limits, signal actions, scheduling, /proc/self. */
#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"

#define SPARE_MAPS 64

static long read_number(const char *path, int base)
{
	char text[32] = "";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? strtol(text, NULL, base) : 0;
}

int inherited_read_maps(struct plan *plan)
{
	struct inherited *in = &plan->inherited;
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0, room = 0;

	if (!f)
		return log_errno(errno, "can't read /proc/self/maps");
	in->n_maps = 0;
	while (getline(&line, &size, f) > 0) {
		unsigned long start, end;

		if (in->n_maps == room) {
			struct restorer_range *larger = plan_alloc(plan, (room + SPARE_MAPS) * sizeof(*larger));

			if (!larger)
				return -ENOMEM;
			if (in->n_maps)
				memcpy(larger, in->maps, in->n_maps * sizeof(*larger));
			in->maps = larger;
			room += SPARE_MAPS;
		}
		if (sscanf(line, "%lx-%lx", &start, &end) == 2)
			in->maps[in->n_maps++] = (struct restorer_range){ start, end - start };
	}
	return 0;
}

void own_cpus_read(struct own_cpus *own)
{
	unsigned long words[MASK_BYTES / sizeof(long)] = {};
	long len = syscall(SYS_sched_getaffinity, 0, sizeof(words), words), count = 0;

	for (size_t i = 0; i < MASK_BYTES / sizeof(long); i++)
		count += __builtin_popcountl(words[i]);
	own->any = len < 0 || count >= sysconf(_SC_NPROCESSORS_ONLN);
	memcpy(own->mask, words, MASK_BYTES);
	if (own->any) {
		memset(own->mask, 0xff, MASK_BYTES);
		len = MASK_BYTES;
	}
	while (len > 0 && !own->mask[len - 1])
		len--;
	own->len = len;
}

int inherited_read(struct plan *plan)
{
	struct inherited *in = &plan->inherited;

	in->oom_score_adj = read_number("/proc/self/oom_score_adj", 10);
	in->loginuid = read_number("/proc/self/loginuid", 10);
	in->coredump_filter = read_number("/proc/self/coredump_filter", 16);
	in->nice = getpriority(PRIO_PROCESS, 0);
	in->policy = sched_getscheduler(0);
	in->io_priority = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0);
	in->timer_slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
	own_cpus_read(&in->cpus);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit(i, &in->limits[i]))
			return log_errno(errno, "can't read our own resource limit %d", i);
	for (int sig = 1; sig <= SIGNALS; sig++)
		if (syscall(SYS_rt_sigaction, sig, NULL, &in->actions[sig - 1], sizeof(uint64_t)))
			return log_errno(errno, "can't read our own action of signal %d", sig);
	return inherited_read_maps(plan);
}
