/*
 * Are the numbers free that the tree needs? Looks at /proc and at process groups. A zombie that holds one is
 * waited for: its parent is usually about to reap it.
 */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

#define WAIT_MS 5000
#define POLL_MS 10

struct holder {
	char comm[64];
	char state;
	pid_t ppid;
};

/* Who has the number? Returns false when nobody has. */
static bool find_holder(pid_t pid, struct holder *h)
{
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	*h = (struct holder){ .state = '?' };
	if (open_paren && close_paren) {
		snprintf(h->comm, sizeof(h->comm), "%.*s", (int)(close_paren - open_paren - 1), open_paren + 1);
		sscanf(close_paren + 1, " %c %d", &h->state, &h->ppid);
	}
	return true;
}

/* Waits for a zombie to go. Returns whether the number became free; *left is what remains of the patience. */
static bool wait_for_zombie(pid_t pid, struct holder *h, int *left)
{
	log_print(LOG_MSG, LOG_WHERE, "waiting for pid %d: %s is dead, but its parent %d has not reaped it yet", pid, h->comm,
		  h->ppid);
	for (; *left > 0; *left -= POLL_MS) {
		struct timespec nap = { .tv_nsec = POLL_MS * 1000000 };

		nanosleep(&nap, NULL);
		if (!find_holder(pid, h))
			return true;
		if (h->state != 'Z')
			return false;
	}
	return false;
}

static void check_pid(struct plan *plan, pid_t pid, const char *role, pid_t of, int *left)
{
	struct holder h;

	if (find_holder(pid, &h)) {
		if (h.state == 'Z' && !plan->problems && wait_for_zombie(pid, &h, left))
			return;
		if (h.state == 'Z')
			plan_refuse(plan, "pid %d, needed for %s of task %d, is held by the zombie %s: "
					  "its parent %d does not reap it",
				    pid, role, of, h.comm, h.ppid);
		else
			plan_refuse(plan, "pid %d, needed for %s of task %d, is in use by %s (child of %d): "
					  "end it, or restore in another pid namespace",
				    pid, role, of, h.comm, h.ppid);
	} else if (!kill(-pid, 0) || errno == EPERM) {
		plan_refuse(plan, "pid %d, needed for %s of task %d, is in use as a process group: "
				  "end the members of the group (pgrep -g %d)",
			    pid, role, of, pid);
	}
}

static int read_pid_max(void)
{
	char text[32] = "";
	_cleanup_close_ int fd = open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? atoi(text) : 4 * 1024 * 1024;
}

int plan_check_pids(struct plan *plan)
{
	int left = WAIT_MS, pid_max = read_pid_max();

	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		for (size_t t = 0; t < task->n_threads; t++) {
			pid_t tid = task->threads[t].tid;

			if (tid >= pid_max)
				plan_refuse(plan, "pid %d is above this system's limit: raise /proc/sys/kernel/pid_max (now %d)",
					    tid, pid_max);
			else
				check_pid(plan, tid, t ? "a thread" : "the leader", task->pid, &left);
		}
		if (task->makes_group)
			check_pid(plan, task->pgid, "the group", task->pid, &left);
		if (task->orphan_session)
			check_pid(plan, task->orphan_session, "the session", task->pid, &left);
	}
	return 0;
}
