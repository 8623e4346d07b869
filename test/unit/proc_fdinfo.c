/* Parsers of fdinfo: what the kernel writes, and the same cut off at every byte. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "image_consts.h"
#include "proc_fdinfo.h"
#include "suite.h"

#define HEAD "pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t1057\n"

static const char eventfd_text[] = HEAD "eventfd-count:                a\neventfd-id: 7\neventfd-semaphore: 1\n";
static const char timerfd_text[] = HEAD
	"clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (5, 6000)\nit_interval: (7, 80)\n";
static const char signalfd_text[] = HEAD "sigmask:\t0000000000004002\n";
static const char epoll_text[] = HEAD "tfd:        5 events:       1d data: ffffffffffffffff  pos:12 ino:421 sdev:f\n"
				      "tfd:        7 events: 40000019 data:                7  pos:0 ino:4a sdev:10\n";

START_TEST(eventfd)
{
	struct fdinfo_eventfd e;

	ck_assert_int_eq(fdinfo_parse_eventfd(eventfd_text, &e), 0);
	ck_assert_uint_eq(e.count, 10);
	ck_assert(e.semaphore && e.mode_known);
	ck_assert_int_eq(fdinfo_parse_eventfd(HEAD "eventfd-count: 0\n", &e), 0);
	ck_assert(!e.semaphore && !e.mode_known); /* before 6.6 nobody knows */
	ck_assert_int_eq(fdinfo_parse_eventfd(HEAD, &e), -EBADMSG);
	ck_assert_int_eq(fdinfo_parse_eventfd("eventfd-count:", &e), -EBADMSG);
}
END_TEST

START_TEST(timerfd)
{
	struct fdinfo_timerfd t;

	ck_assert_int_eq(fdinfo_parse_timerfd(timerfd_text, &t), 0);
	ck_assert_int_eq(t.clock, 1);
	ck_assert_uint_eq(t.ticks, 3);
	ck_assert_uint_eq(t.flags, 1);
	ck_assert_uint_eq(t.value_sec, 5);
	ck_assert_uint_eq(t.value_nsec, 6000);
	ck_assert_uint_eq(t.interval_sec, 7);
	ck_assert_uint_eq(t.interval_nsec, 80);
	/* The last ")" and the end of the line are not needed. */
	for (size_t len = 0; len < sizeof(timerfd_text) - 5; len++) {
		_cleanup_free_ char *cut = strndup(timerfd_text, len);

		ck_assert_int_eq(fdinfo_parse_timerfd(cut, &t), -EBADMSG);
	}
}
END_TEST

START_TEST(signalfd)
{
	uint64_t mask;

	ck_assert_int_eq(fdinfo_parse_signalfd(signalfd_text, &mask), 0);
	ck_assert_uint_eq(mask, 0x4002);
	ck_assert_int_eq(fdinfo_parse_signalfd(HEAD "sigmask:\tx", &mask), -EBADMSG);
	ck_assert_int_eq(fdinfo_parse_signalfd(HEAD, &mask), -EBADMSG);
}
END_TEST

START_TEST(pidfd)
{
	int pid;

	ck_assert_int_eq(fdinfo_parse_pidfd(HEAD "Pid:\t42\nNSpid:\t42\n", &pid), 0);
	ck_assert_int_eq(pid, 42);
	ck_assert_int_eq(fdinfo_parse_pidfd(HEAD "Pid:\t-1\nNSpid:\t-1\n", &pid), 0);
	ck_assert_int_eq(pid, -1);
	ck_assert_int_eq(fdinfo_parse_pidfd(HEAD "Pid:\t-2\n", &pid), -EBADMSG);
	ck_assert_int_eq(fdinfo_parse_pidfd(HEAD "Pid:\t", &pid), -EBADMSG);
	ck_assert_int_eq(fdinfo_parse_pidfd(HEAD "NSpid:\t42\n", &pid), -EBADMSG);
}
END_TEST

START_TEST(lock)
{
	static const char line[] = "lock:\t2: POSIX  ADVISORY  READ 940 fe:00:1095 10 29\n";
	struct fdinfo_lock l;

	ck_assert_int_eq(fdinfo_parse_lock(line, &l), 0);
	ck_assert(l.kind == LOCK_KIND_POSIX && l.type == F_RDLCK && l.pid == 940 && l.start == 10 && l.len == 20);
	ck_assert_int_eq(fdinfo_parse_lock("lock:\t1: OFDLCK ADVISORY  WRITE -1 fe:00:1095 100 EOF\n", &l), 0);
	ck_assert(l.kind == LOCK_KIND_OFD && l.type == F_WRLCK && l.pid == -1 && l.start == 100 && !l.len);
	ck_assert_int_eq(fdinfo_parse_lock("lock:\t1: LEASE  BREAKING  UNLCK 81 fe:00:10 0 EOF\n", &l), 0);
	ck_assert(l.kind == LOCK_KIND_LEASE && l.type == (F_UNLCK | LOCK_BREAKING));
	ck_assert_int_eq(fdinfo_parse_lock("lock:\t1: DELEG  ACTIVE    READ 81 fe:00:10 0 EOF\n", &l), 0);
	ck_assert_int_eq(l.kind, 0);
	ck_assert_int_eq(fdinfo_parse_lock("lock:\t2: POSIX  ADVISORY  READ 940 fe:00:1095 10 2\n", &l), -EBADMSG);
	for (size_t len = 0; len < sizeof(line) - 4; len++) {
		_cleanup_free_ char *cut = strndup(line, len);

		ck_assert_int_eq(fdinfo_parse_lock(cut, &l), -EBADMSG);
	}
}
END_TEST

START_TEST(inotify)
{
	static const char line[] = HEAD "inotify wd:b ino:a7 sdev:fe00000 mask:fff ignored_mask:0 fhandle-bytes:8 "
					"fhandle-type:1 f_handle:0ea0a7002863e56c\n"
					"inotify wd:1 ino:9 sdev:2c mask:300 ignored_mask:0 \n";
	struct fdinfo_inotify *list;
	size_t n;

	ck_assert_int_eq(fdinfo_parse_inotify(line, &list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert(list[0].wd == 11 && list[0].ino == 0xa7 && list[0].dev == 0xfe00000 && list[0].mask == 0xfff);
	ck_assert(list[0].handle_bytes == 8 && list[0].handle_type == 1 && list[0].handle[7] == 0x6c);
	ck_assert(list[1].wd == 1 && !list[1].handle_bytes);
	free(list);
	for (size_t len = 0; len < sizeof(line); len++) {
		_cleanup_free_ char *cut = strndup(line, len);
		int err = fdinfo_parse_inotify(cut, &list, &n);

		ck_assert(err == 0 || err == -EBADMSG);
		ck_assert(err == 0 || !list);
		free(list);
	}
}
END_TEST

static const char uring_text[] = HEAD
	"SqMask:\t0x7\nSqHead:\t9\nSqTail:\t10\nCachedSqHead:\t9\nCqMask:\t0xf\nCqHead:\t4\nCqTail:\t6\nCachedCqTail:"
	"\t6\n"
	"SQEs:\t1\n    1: opcode:READ, fd:5, flags:0, off:0\nCQEs:\t2\n    4: user_data:0, res:-4, flags:0\n"
	"    5: user_data:0, res:1, flags:0\nSqThread:\t-1\nSqThreadCpu:\t-1\nUserFiles:\t3\n    0: <none>\n    1: "
	"/PollList:\\040x\n"
	"UserBufs:\t10001\n    0: <none>\n    2: 0x7f00/4096\n10000: 0x8000/1\n"
	"PollList:\n  op=22, task_works=0\nCqOverflowList:\n  user_data=1, res=2, flags=0\nNAPI:\tdisabled\n";

START_TEST(uring)
{
	struct fdinfo_uring u;

	ck_assert_int_eq(fdinfo_parse_uring(uring_text, &u), 0);
	ck_assert(u.sq_mask == 7 && u.sq_head == 9 && u.sq_tail == 10 && u.cached_sq_head == 9);
	ck_assert(u.cq_mask == 15 && u.cq_head == 4 && u.cq_tail == 6 && u.cached_cq_tail == 6);
	ck_assert(u.sq_thread == -1 && u.n_files == 3 && u.files == 1 && u.n_buffers == 10001 && u.buffers == 2);
	ck_assert(u.buffer[0].index == 2 && u.buffer[0].addr == 0x7f00 && u.buffer[0].len == 4096);
	ck_assert(u.buffer[1].index == 10000 && u.buffer[1].addr == 0x8000 && u.buffer[1].len == 1);
	ck_assert(u.polls == 1 && u.overflows == 1 && !u.personalities);
	ck_assert(u.file[0].index == 1 && !strcmp(u.file[0].path, "/PollList: x"));
	fdinfo_free_uring(&u);
	ck_assert_int_eq(fdinfo_parse_uring(HEAD, &u), -EAGAIN); /* somebody is at work on it */
	for (size_t len = 0; len < sizeof(uring_text); len++) {
		_cleanup_free_ char *cut = strndup(uring_text, len);
		int err = fdinfo_parse_uring(cut, &u);

		ck_assert(err == 0 || err == -EAGAIN || err == -EBADMSG);
		ck_assert(err == 0 || (!u.buffer && !u.file));
		fdinfo_free_uring(&u);
	}
}
END_TEST

START_TEST(bpfmap)
{
	static const char text[] = HEAD
		"map_type:\t1\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t5\nmap_flags:\t0x400\n"
		"map_extra:\t0x0\nmemlock:\t960\nmap_id:\t26\nfrozen:\t1\n";
	struct fdinfo_bpfmap m;

	ck_assert_int_eq(fdinfo_parse_bpfmap(text, &m), 0);
	ck_assert(m.type == 1 && m.key_size == 4 && m.value_size == 8 && m.max_entries == 5 && m.flags == 0x400);
	ck_assert(m.id == 26 && m.frozen == 1 && m.memlock == 960 && !m.extra);
	for (size_t len = 0; len < sizeof(text) - 2; len++) {
		_cleanup_free_ char *cut = strndup(text, len);

		ck_assert_int_eq(fdinfo_parse_bpfmap(cut, &m), -EBADMSG);
	}
}
END_TEST

START_TEST(fanotify)
{
	static const char text[] = HEAD
		"fanotify flags:12 event-flags:8000\nfanotify sdev:1b mflags:0 mask:40000020 ignored_mask:0\n"
		"fanotify mnt_id:1b mflags:40 mask:40000018 ignored_mask:3\nfanotify mnt_ns:7 mflags:0\n"
		"fanotify ino:a7 sdev:fe00000 mflags:440 mask:0 ignored_mask:40000001 fhandle-bytes:8 "
		"fhandle-type:1 f_handle:12c0a7004bd3adb3\n";
	struct fdinfo_fanotify f;

	ck_assert_int_eq(fdinfo_parse_fanotify(text, &f), 0);
	ck_assert(f.flags == 0x12 && f.event_flags == 0x8000 && f.n == 4);
	ck_assert(f.marks[0].type == FANOTIFY_FILESYSTEM && f.marks[0].file.dev == 0x1b);
	ck_assert(f.marks[1].type == FANOTIFY_MOUNT && f.marks[1].mount == 0x1b && f.marks[1].mflags == 0x40);
	ck_assert(f.marks[1].file.mask == 0x40000018 && f.marks[1].file.ignored_mask == 3);
	ck_assert(f.marks[2].type == FANOTIFY_OTHER && f.marks[3].type == FANOTIFY_INODE);
	ck_assert(f.marks[3].file.ino == 0xa7 && f.marks[3].file.handle[7] == 0xb3);
	free(f.marks);
	for (size_t len = 0; len < sizeof(text); len++) {
		_cleanup_free_ char *cut = strndup(text, len);
		int err = fdinfo_parse_fanotify(cut, &f);

		ck_assert(err == 0 || err == -EBADMSG);
		ck_assert(err == 0 || !f.marks);
		free(f.marks);
	}
}
END_TEST

START_TEST(epoll)
{
	struct fdinfo_watch *list;
	size_t n;

	ck_assert_int_eq(fdinfo_parse_epoll(epoll_text, &list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq(list[0].fd, 5);
	ck_assert_uint_eq(list[0].events, 0x1d);
	ck_assert_uint_eq(list[0].data, ~0ull);
	ck_assert_uint_eq(list[0].pos, 12);
	ck_assert_uint_eq(list[0].ino, 0x421);
	ck_assert_uint_eq(list[0].dev, 0xf);
	ck_assert_int_eq(list[1].fd, 7);
	ck_assert_uint_eq(list[1].events, 0x40000019);
	free(list);
	ck_assert_int_eq(fdinfo_parse_epoll(HEAD, &list, &n), 0);
	ck_assert_uint_eq(n, 0);
	for (size_t len = 0; len < sizeof(epoll_text); len++) {
		_cleanup_free_ char *cut = strndup(epoll_text, len);
		int err = fdinfo_parse_epoll(cut, &list, &n);

		ck_assert(err == 0 || err == -EBADMSG);
		ck_assert(err == 0 || !list);
		free(list);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proc_fdinfo");
	TCase *c = tcase_create("proc_fdinfo");

	tcase_add_test(c, eventfd);
	tcase_add_test(c, timerfd);
	tcase_add_test(c, signalfd);
	tcase_add_test(c, pidfd);
	tcase_add_test(c, lock);
	tcase_add_test(c, inotify);
	tcase_add_test(c, epoll);
	tcase_add_test(c, fanotify);
	tcase_add_test(c, uring);
	tcase_add_test(c, bpfmap);
	suite_add_tcase(s, c);
	return suite_run(s);
}
