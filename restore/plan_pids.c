/*
 * Are the numbers free that the tree needs? Looks at /proc and at process groups. A zombie that holds one is
 * waited for: its parent is usually about to reap it. One that lives is waited for a moment: it may be as short-lived
 * as the helpers that the restore of a neighbour chooses numbers for (tree_fork_anonymous()).
 */
#include "plan.h"

#include <dirent.h>
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
#define MOMENT_MS 200 /* of these, for holders that live */
#define POLL_MS 10

struct holder {
	pid_t pid; /* not the number in question when that is in use as a group */
	char comm[64];
	char state;
	pid_t ppid, pgid, sid;
};

static bool read_holder(pid_t pid, struct holder *h)
{
	char path[32], text[512];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = 0;
	char *open_paren = strchr(text, '('), *close_paren = strrchr(text, ')');
	*h = (struct holder){ .pid = pid, .state = '?' };
	if (open_paren && close_paren) {
		snprintf(h->comm, sizeof(h->comm), "%.*s", (int)(close_paren - open_paren - 1), open_paren + 1);
		sscanf(close_paren + 1, " %c %d %d %d", &h->state, &h->ppid, &h->pgid, &h->sid);
	}
	return true;
}

/* A member of the group, one that lives if there is any. */
static bool find_member(pid_t pgid, struct holder *h)
{
	_cleanup_closedir_ DIR *d = opendir("/proc");
	bool found = false;

	for (struct dirent *e; d && (e = readdir(d));) {
		struct holder other;

		if (e->d_name[0] < '1' || e->d_name[0] > '9' || !read_holder(atoi(e->d_name), &other))
			continue;
		if (other.pgid != pgid && other.sid != pgid)
			continue;
		if (!found || h->state == 'Z')
			*h = other;
		found = true;
	}
	return found;
}

/* Who has the number, as its own or as that of its group? Returns false when nobody has. */
static bool find_holder(pid_t pid, struct holder *h)
{
	/* The usual case costs least. */
	bool is_group = !kill(-pid, 0) || errno != ESRCH;
	if (!is_group && kill(pid, 0) && errno == ESRCH)
		return false;
	if (read_holder(pid, h))
		return true;
	return is_group && find_member(pid, h);
}

/* Waits until the number is free. Returns whether it is; *left is what remains of the patience, in milliseconds. */
static bool wait_for_end(pid_t pid, struct holder *h, int *left)
{
	for (int stop = h->state == 'Z' ? 0 : WAIT_MS - MOMENT_MS; *left > stop; *left -= POLL_MS) {
		struct timespec nap = { .tv_nsec = POLL_MS * 1000000 };

		nanosleep(&nap, NULL);
		if (!find_holder(pid, h))
			return true;
		if (stop && h->state == 'Z')
			return wait_for_end(pid, h, left);
	}
	return false;
}

static void check_pid(struct plan *plan, pid_t pid, const char *role, pid_t of, int *left)
{
	struct holder h;

	if (!find_holder(pid, &h))
		return;
	if (h.state == 'Z' && !plan->problems)
		log_print(LOG_MSG, LOG_WHERE,
			  "waiting for pid %d: %s (%d) is dead, but its parent %d has not reaped it yet", pid, h.comm,
			  h.pid, h.ppid);
	if (!plan->problems && wait_for_end(pid, &h, left))
		return;
	const char *as = h.pid == pid ? "" : " as its group or session";
	if (h.state == 'Z')
		plan_refuse(plan,
			    "pid %d, needed for %s of task %d, is held%s by the zombie %s (%d): its parent %d does not "
			    "reap it",
			    pid, role, of, as, h.comm, h.pid, h.ppid);
	else
		plan_refuse(plan,
			    "pid %d, needed for %s of task %d, is in use%s by %s (%d, child of %d): end it, or restore "
			    "in another pid namespace",
			    pid, role, of, as, h.comm, h.pid, h.ppid);
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
				plan_refuse(
					plan,
					"pid %d is above this system's limit: raise /proc/sys/kernel/pid_max (now %d)",
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
