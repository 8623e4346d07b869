/* The daemon of a lazy restore: what is no restore of this version ends it, with an error. */
#include "../../ckpt/lazy_daemon.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lazy_protocol.h"
#include "log.h"

static int ends[2];
static struct image_dir images = { .fd = -1, .partial_fd = -1, .path = "nowhere" };
static struct image_chain chain = { .first = &images };

static void put(const struct lazy_task *task, size_t len, const int *fds, size_t n)
{
	struct iovec iov = { (void *)task, len };
	char control[CMSG_SPACE(8 * sizeof(int))] __attribute__((aligned(8))) = {};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (n) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(header), fds, n * sizeof(int));
	}
	ck_assert_int_eq(sendmsg(ends[0], &msg, 0), len);
}

/* What the daemon returns, which is a process of its own: its threads end with it. stays: the restore is there. */
static int run(bool stays)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		const struct lazy_options options = { .chain = &chain, .restore = ends[1], .page_server = -1 };

		close(ends[0]);
		log_mute(true);
		_exit(-lazy_daemon_run(&options));
	}
	if (!stays)
		close(ends[0]);
	close(ends[1]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static int list_of(const struct lazy_range *ranges, size_t n)
{
	int fd = memfd_create("list", 0);

	ck_assert_int_eq(write(fd, ranges, n * sizeof(*ranges)), n * sizeof(*ranges));
	return fd;
}

START_TEST(a_restore_without_lazy_memory_is_done_at_once)
{
	const struct lazy_task done = { LAZY_VERSION, LAZY_DONE, 0, 0 };
	const struct lazy_task other = { LAZY_VERSION, LAZY_TASK, 7, 0 };
	int fd = open("/dev/null", O_RDONLY);

	put(&other, sizeof(other), &fd, 1);
	put(&done, sizeof(done), NULL, 0);
	ck_assert_int_eq(run(true), 0);
}
END_TEST

START_TEST(nonsense_ends_it)
{
	static const struct lazy_range range = { .start = 0x1000, .len = 0x1000 };
	static const struct lazy_range descending[] = { { .start = 0x5000, .len = 0x1000 },
							{ .start = 0x1000, .len = 0x1000 } };
	static const struct lazy_range odd = { .start = 0x1001, .len = 0x1000 };
	static const struct lazy_range beyond = { .start = -0x1000ul, .len = 0x2000 };
	static const struct lazy_range no_parent = { .start = 0x1000, .len = 0x1000, .depth = 3 };
	static const struct lazy_range away = { .start = 0x1000, .len = 0x1000, .away = 1 };
	struct lazy_task task = { LAZY_VERSION, LAZY_TASK, 7, 1 };
	int null = open("/dev/null", O_RDONLY), err = -EPROTO;
	int fds[LAZY_FDS] = { [LAZY_FD_PID] = null, [LAZY_FD_USERFAULT] = null, [LAZY_FD_RANGES] = null };

	switch (_i) {
	case 0: /* nobody there */
		ck_assert_int_eq(run(false), -ECANCELED);
		return;
	case 1:
		task.version++;
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 2:
		put(&task, sizeof(task) - 1, fds, LAZY_FDS);
		break;
	case 3:
		put(&task, sizeof(task), fds, 1);
		break;
	case 4:
		put(&task, sizeof(task), NULL, 0);
		break;
	case 5:
		task.what = 9;
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 6:
		task.n_ranges = LAZY_RANGES_MAX + 1;
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 7: /* shorter than it says */
		task.n_ranges = 2;
		fds[LAZY_FD_RANGES] = list_of(&range, 1);
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 8:
		task.n_ranges = 2;
		fds[LAZY_FD_RANGES] = list_of(descending, 2);
		put(&task, sizeof(task), fds, LAZY_FDS);
		err = -EBADF; /* of the first, which is right, there are no images here */
		break;
	case 9:
		fds[LAZY_FD_RANGES] = list_of(&odd, 1);
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 10:
		fds[LAZY_FD_RANGES] = list_of(&beyond, 1);
		put(&task, sizeof(task), fds, LAZY_FDS);
		break;
	case 11:
		fds[LAZY_FD_RANGES] = list_of(&no_parent, 1);
		put(&task, sizeof(task), fds, LAZY_FDS);
		err = -EBADMSG;
		break;
	case 12: /* from which page server? */
		fds[LAZY_FD_RANGES] = list_of(&away, 1);
		put(&task, sizeof(task), fds, LAZY_FDS);
		err = -EINVAL;
		break;
	}
	int got = run(true);
	ck_assert_msg(got == err || (_i == 7 && got < 0), "%d instead of %d", got, err);
}
END_TEST

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

int main(void)
{
	Suite *s = suite_create("lazy_daemon");
	TCase *tc = tcase_create("lazy_daemon");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, a_restore_without_lazy_memory_is_done_at_once);
	tcase_add_loop_test(tc, nonsense_ends_it, 0, 13);
	suite_add_tcase(s, tc);
	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
