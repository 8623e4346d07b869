/* Descriptors through sockets: what comes is what was sent; too much of anything leaves nothing open. */
#include "fds.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "suite.h"

static int pair[2], file;

static void begin(void)
{
	ck_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(file, 0);
}

static void end(void)
{
	close(pair[0]);
	close(pair[1]);
	close(file);
}

static size_t open_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

START_TEST(some)
{
	int fds[3], got[3];
	char text[8] = "";

	for (size_t n = 0; n <= 3; n++) {
		for (size_t i = 0; i < n; i++)
			fds[i] = i == 1 ? pair[0] : file;
		ck_assert(!fds_send(pair[0], "hello", 6, fds, n));
		ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, 3), 6);
		ck_assert_str_eq(text, "hello");
		for (size_t i = 0; i < 3; i++) {
			ck_assert_int_eq(got[i] >= 0, i < n);
			if (i >= n)
				continue;
			ck_assert_int_eq(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, got[i], fds[i]), 0);
			ck_assert(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
			close(got[i]);
		}
	}
	close(pair[0]);
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, 3), 0);
	ck_assert_int_eq(fds_send(pair[1], text, 1, NULL, 0), -EPIPE);
}
END_TEST

START_TEST(too_much)
{
	int fds[FDS_MAX + 1], got[FDS_MAX + 1];
	size_t before = open_descriptors();
	char text[4];

	for (size_t i = 0; i <= FDS_MAX; i++)
		fds[i] = file;
	ck_assert_int_eq(fds_send(pair[0], "a", 1, fds, FDS_MAX + 1), -EINVAL);
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, FDS_MAX + 1), -EINVAL);
	ck_assert(!fds_send(pair[0], "a", 1, fds, 4));
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, 2), -EBADMSG);
	ck_assert(!fds_send(pair[0], "a", 1, fds, 2));
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, 0), -EBADMSG);
	ck_assert(!fds_send(pair[0], "longer", 7, fds, 2));
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), got, 2), -EBADMSG);
	ck_assert_int_eq(got[0], -1);
	ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

START_TEST(no_room)
{
	struct rlimit limit;
	char text[4];
	int got;

	ck_assert(!fds_send(pair[0], "a", 1, &file, 1));
	ck_assert(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 3;
	ck_assert(!setrlimit(RLIMIT_NOFILE, &limit));
	ck_assert_int_eq(fds_receive(pair[1], text, sizeof(text), &got, 1), -EMFILE);
	ck_assert_int_eq(got, -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fds");
	TCase *tests = tcase_create("fds");

	tcase_add_checked_fixture(tests, begin, end);
	tcase_add_test(tests, some);
	tcase_add_test(tests, too_much);
	tcase_add_test(tests, no_room);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
