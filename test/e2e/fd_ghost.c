/*
 * Deleted files that are still open: with holes, empty, with two hard-linked names, for reading, writing and appending,
 * with the same description in a child, renamed over, in a deleted directory, directories themselves, and one that the
 * child works in. No name may come back.
 */
#include "e2e.h"

#include <dirent.h>

#define MTIME 1234567890

static int data, reader, second, over, dir, inside, empty;
static bool tmpfile_works;

static void expect_text(int fd, const char *text)
{
	char buf[64] = "";

	must(pread(fd, buf, sizeof(buf) - 1, 0) == (ssize_t)strlen(text));
	if (strcmp(buf, text))
		fail("fd %d holds \"%s\", not \"%s\"", fd, buf, text);
}

static void expect_link(int fd, const char *name)
{
	char path[32], buf[PATH_MAX] = "", wanted[PATH_MAX + 64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(wanted, sizeof(wanted), "%s (deleted)", e2e_path(name));
	must(readlink(path, buf, sizeof(buf) - 1) > 0);
	if (strcmp(buf, wanted))
		fail("fd %d is \"%s\", not \"%s\"", fd, buf, wanted);
}

static int make(const char *name, const char *text, int flags)
{
	int fd = open(name, O_CREAT | flags, 0600);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	return fd;
}

static void child(void *arg)
{
	char cwd[PATH_MAX];

	must(!mkdir("work", 0711) && !chdir("work") && !rmdir("../work"));
	e2e_child_ready();
	e2e_wait();
	must(!getcwd(cwd, sizeof(cwd)) && errno == ENOENT);
	must(lseek(data, 0, SEEK_CUR) == 777 && lseek(data, 888, SEEK_SET) == 888);
	_exit(0);
}

static void check_names(void)
{
	static const char *const names[] = { ".", "..", "over", "ready", "check", "out" };
	DIR *d = opendir(".");
	struct dirent *e;

	while ((e = readdir(d))) {
		bool known = false;

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			known |= !strcmp(e->d_name, names[i]);
		if (!known)
			fail("there is a file %s", e->d_name);
	}
	closedir(d);
}

static void make_all(void)
{
	const struct timespec times[2] = { { MTIME, 5000 }, { MTIME, 7000 } };

	data = make("data", "begin", O_RDWR);
	must(!ftruncate(data, 40 << 20) && pwrite(data, "middle", 6, 20 << 20) == 6);
	must(!fchmod(data, 0640) && !fchown(data, 12, 34) && !link("data", "second"));
	reader = open("data", O_RDONLY);
	second = open("second", O_WRONLY | O_APPEND);
	must(reader >= 0 && second >= 0 && !unlink("data") && !unlink("second"));
	must(lseek(data, 777, SEEK_SET) == 777 && !futimens(data, times));
	over = make("over", "old", O_RDWR);
	close(make("new", "new one", O_RDWR));
	must(!rename("new", "over"));
	must(!mkdir("dir", 0750) && !mkdir("dir/below", 0700));
	inside = make("dir/below/inside", "inside", O_RDWR);
	dir = open("dir", O_RDONLY | O_DIRECTORY);
	must(dir >= 0 && !unlink("dir/below/inside") && !rmdir("dir/below") && !rmdir("dir"));
	empty = open(".", O_TMPFILE | O_RDWR, 0600);
	tmpfile_works = empty >= 0;
	if (!tmpfile_works)
		empty = open("empty", O_CREAT | O_RDWR, 0600);
	unlink("empty");
}

int main(int argc, char **argv)
{
	struct stat st;
	char buf[64] = "";

	e2e_begin(argc, argv);
	make_all();
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	check_names();
	e2e_join(pid);
	same(lseek(data, 0, SEEK_CUR), 888);
	must(!fstat(data, &st));
	same(st.st_size, 40 << 20);
	same(st.st_nlink, 0);
	same(st.st_mode, S_IFREG | 0640);
	same(st.st_uid * 100 + st.st_gid, 1234);
	same(st.st_mtim.tv_sec, MTIME);
	same(st.st_mtim.tv_nsec, 7000);
	must(st.st_blocks < 64); /* holes are holes */
	expect_link(data, "data");
	expect_link(second, "second");
	expect_link(inside, "dir/below/inside");
	expect_link(dir, "dir");
	must(pread(reader, buf, 5, 0) == 5 && !memcmp(buf, "begin", 5));
	must(pread(reader, buf, 6, 20 << 20) == 6 && !memcmp(buf, "middle", 6));
	must(write(reader, "x", 1) == -1 && write(second, "end", 3) == 3);
	must(pread(data, buf, 9, 40 << 20) == 3 && !memcmp(buf, "end", 3));
	same(fcntl(second, F_GETFL) & (O_ACCMODE | O_APPEND), O_WRONLY | O_APPEND);
	expect_text(over, "old");
	expect_text(inside, "inside");
	expect_text(empty, "");
	must(!fstat(dir, &st) && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0750 && !st.st_nlink);
	must(openat(dir, "x", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
	must(write(empty, "more", 4) == 4);
	char path[32];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", empty);
	must(tmpfile_works == !linkat(AT_FDCWD, path, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
	int fd = open("over", O_RDONLY);
	expect_text(fd, "new one");
	return 0;
}
