/* The daemon of a lazy restore: what is no restore of this version ends it, with an error. */
#include "../../ckpt/lazy_daemon.h"

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
#include "suite.h"

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

#define RANGE(...)                                                                                                     \
	{                                                                                                              \
		{                                                                                                      \
			.start = 0x1000, .len = 0x1000, __VA_ARGS__                                                    \
		}                                                                                                      \
	}

/* One that the daemon must not take. */
static const struct {
	struct lazy_task task;
	size_t len, n_fds, n_ranges; /* of the message; sent; in the list */
	struct lazy_range ranges[2];
	int err;
} bad[] = {
	{ { LAZY_VERSION + 1, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task) - 1, LAZY_FDS, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), 1, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), 0, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 0 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, 9, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, LAZY_RANGES_MAX + 1 },
	  sizeof(struct lazy_task),
	  LAZY_FDS,
	  1,
	  RANGE(),
	  -EPROTO },
	/* an empty list, one that is not aligned, one that ends behind all addresses */
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 0, RANGE(), -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, { { 0x1001, 0x1000 } }, -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 },
	  sizeof(struct lazy_task),
	  LAZY_FDS,
	  1,
	  { { -0x1000ul, 0x2000 } },
	  -EPROTO },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, { { 0x1000, 0 } }, -EPROTO },
	/* pages in a parent that is not there, on a page server that nobody knows, in a directory that is none */
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(.depth = 3), -EBADMSG },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(.away = 1), -EINVAL },
	{ { LAZY_VERSION, LAZY_TASK, 7, 1 }, sizeof(struct lazy_task), LAZY_FDS, 1, RANGE(), -EBADF },
};
#define BAD (sizeof(bad) / sizeof(bad[0]))

START_TEST(nonsense_ends_it)
{
	int null = open("/dev/null", O_RDONLY);
	const int fds[LAZY_FDS] = { [LAZY_FD_PID] = null,
				    [LAZY_FD_USERFAULT] = null,
				    [LAZY_FD_RANGES] = list_of(bad[_i].ranges, bad[_i].n_ranges) };

	put(&bad[_i].task, bad[_i].len, fds, bad[_i].n_fds);
	ck_assert_int_eq(run(true), bad[_i].err);
}
END_TEST

START_TEST(a_restore_that_is_gone_has_failed)
{
	ck_assert_int_eq(run(false), -ECANCELED);
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
	tcase_add_test(tc, a_restore_that_is_gone_has_failed);
	tcase_add_loop_test(tc, nonsense_ends_it, 0, BAD);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
