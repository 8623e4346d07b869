/* The keeper of a tree's trackers: what it is not, or says wrong, is refused; what it holds comes back. */
#include "../../ckpt/chain.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "proc.h"
#include "suite.h"

/* As the keeper sends it. */
struct kept {
	pid_t pid;
	uint64_t start_time;
	char last[RUN_ID];
};

static uint64_t start_time;

static int listen_as_keeper(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), proc = proc_open(getpid());
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct proc_stat st;

	ck_assert(!proc_stat(proc, "stat", &st));
	close(proc);
	start_time = st.start_time;
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "ckpt-keeper-%d-%lu", getpid(), start_time);
	ck_assert(!bind(fd, (struct sockaddr *)&a, offsetof(struct sockaddr_un, sun_path) + 1 + n) && !listen(fd, 1));
	return fd;
}

static void put(int to, const void *bytes, size_t len, int fd)
{
	struct iovec iov = { (void *)bytes, len };
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {};
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ CMSG_LEN(sizeof(fd)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	ck_assert_int_eq(sendmsg(to, &m, MSG_NOSIGNAL), len);
}

static int open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A false keeper says what talk() says, and hangs up. Returns what keeper_take() does; nothing may stay open. */
static int take_from(void (*talk)(int to, pid_t root), struct chain *chain)
{
	int listener = listen_as_keeper(), status;
	pid_t root = getpid(), pid = fork();

	if (!pid) {
		int to = accept(listener, NULL, NULL);

		talk(to, root);
		_exit(0);
	}
	close(listener);
	int before = open_descriptors();
	log_mute(true);
	int err = keeper_take(root, chain);
	log_mute(false);
	for (size_t i = 0; i < chain->n; i++)
		tracker_close(&chain->trackers[i], true);
	ck_assert_int_eq(open_descriptors(), before);
	free(chain->trackers);
	chain->trackers = NULL;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(!status);
	return err;
}

static void say_nothing(int to, pid_t root)
{
	(void)to, (void)root;
}

static void say_half(int to, pid_t root)
{
	put(to, &(struct kept){ .pid = root, .start_time = start_time }, sizeof(struct kept) / 2, 0);
}

static void say_too_much(int to, pid_t root)
{
	char bytes[2 * sizeof(struct kept)] = { 1 };

	(void)root;
	put(to, bytes, sizeof(bytes), 0);
}

static void say_without_descriptor(int to, pid_t root)
{
	put(to, &(struct kept){ .pid = root, .start_time = start_time }, sizeof(struct kept), -1);
}

static void say_and_hang_up(int to, pid_t root)
{
	put(to, &(struct kept){ .pid = root, .start_time = start_time }, sizeof(struct kept), 0);
}

/* Tasks that are gone are passed over, and an id has an end. */
static void say_strange_things(int to, pid_t root)
{
	struct kept end = {};

	put(to, &(struct kept){ .pid = root, .start_time = start_time + 1 }, sizeof(struct kept), 0);
	put(to, &(struct kept){ .pid = -5, .start_time = 1 }, sizeof(struct kept), 0);
	put(to, &(struct kept){ .pid = 0x7fffffff }, sizeof(struct kept), 0);
	memset(end.last, 'x', sizeof(end.last));
	put(to, &end, sizeof(end), 0);
}

START_TEST(bad_keepers)
{
	void (*const talks[])(int, pid_t) = { say_nothing, say_half, say_too_much, say_without_descriptor,
					      say_and_hang_up };
	struct chain chain = {};

	ck_assert_int_lt(take_from(talks[_i], &chain), 0);
	ck_assert(!chain.last[0]);
}
END_TEST

START_TEST(strange_keeper)
{
	struct chain chain = {};

	ck_assert_int_eq(take_from(say_strange_things, &chain), 0);
	ck_assert_uint_eq(chain.n, 0);
	ck_assert_uint_eq(strlen(chain.last), RUN_ID - 1);
}
END_TEST

START_TEST(no_keeper)
{
	struct chain chain = {};

	ck_assert_int_eq(keeper_take(getpid(), &chain), 0);
	ck_assert_int_eq(keeper_take(0x7fffffff, &chain), 0);
	ck_assert_uint_eq(chain.n, 0);
}
END_TEST

/* What is given to a keeper comes back, once, and it ends. */
START_TEST(there_and_back)
{
	struct chain chain = {}, back = {};
	int status;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	int proc = proc_open(pid);
	struct proc_stat st;
	ck_assert(!proc_stat(proc, "stat", &st));
	close(proc);
	struct tracker tracker;
	ck_assert(!tracker_take(&tracker, pid, st.start_time, open("/dev/null", O_RDONLY | O_CLOEXEC)));
	ck_assert(!chain_add(&chain, tracker));
	chain_new_id(chain.last);
	ck_assert(!keeper_start(pid, &chain));
	tracker_close(&chain.trackers[0], true);

	ck_assert_int_eq(keeper_take(pid, &back), 0);
	ck_assert_uint_eq(back.n, 1);
	ck_assert_int_eq(back.trackers[0].pid, pid);
	ck_assert_str_eq(back.last, chain.last);
	tracker_close(&back.trackers[0], true);
	back.n = 0;
	ck_assert_int_eq(keeper_take(pid, &back), 0);
	ck_assert_uint_eq(back.n, 0);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	free(chain.trackers);
	free(back.trackers);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("keeper");
	TCase *t = tcase_create("keeper");

	tcase_add_loop_test(t, bad_keepers, 0, 5);
	tcase_add_test(t, strange_keeper);
	tcase_add_test(t, no_keeper);
	tcase_add_test(t, there_and_back);
	suite_add_tcase(suite, t);
	return suite_run(suite);
}
