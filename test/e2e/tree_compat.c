/*
 * A tree of 64-bit and 32-bit programs: this one executes its counterpart of the other kind (compat_tree_compat) as a
 * child, which sets up a handler and thread-local data of its own and checks them.
 */
#include "e2e.h"

#include <libgen.h>
#include <pthread.h>

static __thread int own;
static volatile sig_atomic_t caught;
static volatile bool runs;

static void on_signal(int number)
{
	caught++;
}

static void *thread(void *gone)
{
	own = 7;
	runs = true;
	while (!*(volatile bool *)gone)
		e2e_sleep_ms(3);
	return (void *)(long)own;
}

static void state(void (*wait)(void))
{
	bool gone = false;
	pthread_t id;
	void *result;

	own = 5;
	must(signal(SIGUSR1, on_signal) != SIG_ERR);
	must(!pthread_create(&id, NULL, thread, &gone));
	while (!runs)
		e2e_sleep_ms(1);
	wait();
	raise(SIGUSR1);
	same(caught, 1);
	same(own, 5);
	gone = true;
	must(!pthread_join(id, &result));
	same((long)result, 7);
}

static void child_wait(void)
{
	e2e_touch("child-ready");
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
}

/* The program beside this one that has the other kind of code. */
static const char *counterpart(void)
{
	static char path[PATH_MAX + 16], self[PATH_MAX];

	must(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	bool narrow = strstr(basename(strdupa(self)), "compat_tree_compat");
	snprintf(path, sizeof(path), "%s/%s", dirname(self), narrow ? "tree_compat" : "compat_tree_compat");
	return path;
}

int main(int argc, char **argv)
{
	bool is_child = argc == 3;

	e2e_begin(is_child ? 2 : argc, argv);
	if (is_child) {
		state(child_wait);
		return 0;
	}
	const char *other = counterpart();
	pid_t pid = fork();
	must(pid >= 0);
	if (!pid) {
		execl(other, other, argv[1], "child", NULL);
		fail("can't execute %s: %s", other, strerror(errno));
	}
	while (access(e2e_path("child-ready"), F_OK)) {
		int status;

		if (waitpid(pid, &status, WNOHANG) == pid)
			_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
		e2e_sleep_ms(3);
	}
	state(e2e_wait);
	e2e_join(pid);
	return 0;
}
