/* timerfd_create(2): armed with what was left, and with the expirations that nobody had read. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include "kernel_abi.h"
#include "log.h"
#include "plan.h"

#define NSEC_MAX 999999999ull
#define KNOWN_FLAGS (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)

static int timerfd_read_entry(struct plan *plan, struct plan_file *file)
{
	const TimerfdEntry *e = file->entry->tfd;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind TIMERFD but has no timerfd entry", file->id);
		return -EBADMSG;
	}
	if (e->vnsec > NSEC_MAX || e->insec > NSEC_MAX || e->vsec > INT64_MAX / 2 || e->isec > INT64_MAX / 2 ||
	    e->settime_flags & ~KNOWN_FLAGS || e->clockid > CLOCK_BOOTTIME_ALARM)
		plan_refuse(plan, "files.img: the clock, flags or times of timerfd 0x%x are out of range", file->id);
	file->flags = e->flags;
	file->fown = e->fown;
	return 0;
}

static int arm(const struct plan_file *file)
{
	const TimerfdEntry *e = file->entry->tfd;
	struct itimerspec when = { { e->isec, e->insec }, { e->vsec, e->vnsec } };
	struct timespec now;

	/* Expired, periodic, and not looked at since: CRIU writes what fdinfo says, that nothing is left. */
	if (e->ticks && !e->vsec && !e->vnsec)
		when.it_value = when.it_interval;
	/* Disarmed (0) or not: the interval is kept. */
	if (e->settime_flags & TFD_TIMER_ABSTIME && (when.it_value.tv_sec || when.it_value.tv_nsec)) {
		if (clock_gettime(e->clockid, &now))
			return -errno;
		when.it_value.tv_sec += now.tv_sec;
		when.it_value.tv_nsec += now.tv_nsec;
		if (when.it_value.tv_nsec > (long)NSEC_MAX) {
			when.it_value.tv_sec++;
			when.it_value.tv_nsec -= NSEC_MAX + 1;
		}
	}
	return timerfd_settime(file->fd, e->settime_flags, &when, NULL) ? -errno : 0;
}

static int timerfd_open(struct plan *plan, struct plan_file *file)
{
	const TimerfdEntry *e = file->entry->tfd;
	int err = fd_take(plan, file, timerfd_create(e->clockid, TFD_CLOEXEC));

	if (err)
		return err;
	err = arm(file);
	if (err)
		return log_errno(-err, "can't arm timerfd 0x%x%s", file->id,
				 err == -EPERM ? ": alarms need CAP_WAKE_ALARM" : "");
	if (e->ticks && ioctl(file->fd, TFD_IOC_SET_TICKS, &e->ticks))
		return log_errno(errno, "can't set the expirations of timerfd 0x%x", file->id);
	return 0;
}

const struct restore_fd_kind restore_fd_timerfd = {
	.name = "timerfd",
	.type = FD_TYPES__TIMERFD,
	.read = timerfd_read_entry,
	.open = timerfd_open,
};
