/*
 * What comes from outside of a tree, and may be another at the restore: --external, --inherit-fd, --file-validation,
 * --skip-file-rwx-check, --evasive-devices; and file locks, of which the whole system has one list.
 *
 *   outside CKPT
 *
 * Each case has a process that holds something at descriptor FD, is dumped and restored with the options of the case,
 * and then finds what it should. TAP on stdout. All but the first in a PID and a mount namespace of their own.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define FD 5 /* what it is about, in the target */
#define GIVEN 7 /* what takes its place, in ckpt restore */
#define DIR_NAME "/mnt/outside" /* on a tmpfs of our own */

static const char *ckpt;
static int passed, failed;

#define must(cond)                                                                                                     \
	do {                                                                                                           \
		if (!(cond)) {                                                                                         \
			printf("Bail out! %s:%d: %s: %s\n", __FILE__, __LINE__, #cond, strerror(errno));               \
			exit(1);                                                                                       \
		}                                                                                                      \
	} while (0)

static void verdict(bool good, const char *name, const char *what)
{
	printf("%sok %d - outside %s%s%s\n", good ? "" : "not ", passed + failed + 1, name, good ? "" : ": ",
	       good ? "" : what);
	passed += good;
	failed += !good;
}

/* Runs ckpt; fd becomes GIVEN. Returns its exit status. */
static int run(const char *action, pid_t target, const char *option, const char *value, int fd)
{
	char pid[16];
	int status;

	snprintf(pid, sizeof(pid), "%d", target);
	pid_t tool = fork();
	if (!tool) {
		if (fd >= 0)
			dup2(fd, GIVEN);
		freopen(DIR_NAME "/log", "a", stderr);
		if (!strcmp(action, "dump"))
			execl(ckpt, ckpt, action, "-t", pid, "-D", DIR_NAME "/images", option, value, NULL);
		execl(ckpt, ckpt, action, "-d", "-D", DIR_NAME "/images", option, value, NULL);
		_exit(127);
	}
	must(waitpid(tool, &status, 0) == tool);
	return status;
}

/* A process that waits until it shall look, and then reads what it expects from FD; "" is the end of it. */
static pid_t start(int fd, const char *expected)
{
	int ready[2];
	char byte;

	must(!pipe2(ready, O_CLOEXEC));
	pid_t pid = fork();
	if (pid) {
		close(ready[1]);
		must(pid > 0 && !read(ready[0], &byte, 1)); /* closed */
		close(ready[0]);
		return pid;
	}
	must(fcntl(ready[1], F_DUPFD_CLOEXEC, 100) >= 100 && !close(ready[1]));
	setsid();
	int null = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	must(dup2(fd, FD) == FD && !close_range(3, FD - 1, 0) && !close_range(FD + 1, ~0u, 0));
	while (access(DIR_NAME "/go", F_OK))
		usleep(1000);
	char buf[16] = "";
	ssize_t n = read(FD, buf, sizeof(buf) - 1);
	_exit(n == (ssize_t)strlen(expected) && !strcmp(buf, expected) ? 0 : 1);
}

static void begin(void)
{
	must(!system("rm -rf " DIR_NAME "/*") && !mkdir(DIR_NAME "/images", 0700));
}

static bool dump(pid_t pid, const char *option, const char *value)
{
	int status = run("dump", pid, option, value, -1);

	if (!status)
		must(waitpid(pid, NULL, 0) == pid);
	return !status;
}

static bool ends_well(pid_t pid)
{
	int status = 1;

	must(close(open(DIR_NAME "/go", O_CREAT | O_WRONLY, 0600)) == 0 && waitpid(pid, &status, 0) == pid);
	return !status;
}

/* The whole of a case in which FD is given anew. */
static void replace(const char *name, pid_t pid, const char *external, const char *key, int given)
{
	char inherit[128];

	snprintf(inherit, sizeof(inherit), "fd[%d]:%s", GIVEN, key);
	if (!dump(pid, external ? "--external" : NULL, external)) {
		verdict(false, name, "the dump failed");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		return;
	}
	if (external && strncmp(external, "unix", 4) && !run("restore", 0, NULL, NULL, -1))
		return verdict(false, name, "restored without anything in its place");
	if (run("restore", 0, "--inherit-fd", inherit, given))
		return verdict(false, name, "the restore failed");
	verdict(ends_well(pid), name, "it did not find what was put in its place");
}

static void pipes(const char *format)
{
	int old[2], new[2];
	char key[64];
	struct stat st;

	begin();
	must(!pipe(old) && !pipe(new) && !fstat(old[0], &st) && write(new[1], "new", 3) == 3);
	snprintf(key, sizeof(key), "pipe%s[%lu]", format, (long)st.st_ino);
	replace(*format ? "pipe" : "pipe, as CRIU's manual writes it", start(old[0], "new"), NULL, key, new[0]);
	for (int i = 0; i < 2; i++)
		close(old[i]), close(new[i]);
}

static void sockets(bool by_peer)
{
	int old[2], new[2];
	char key[64], external[64];
	struct stat st, peer;

	begin();
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, old) && !socketpair(AF_UNIX, SOCK_STREAM, 0, new));
	must(!fstat(old[0], &st) && !fstat(old[1], &peer) && write(new[1], "new", 3) == 3);
	snprintf(key, sizeof(key), "socket:[%lu]", (long)st.st_ino);
	snprintf(external, sizeof(external), "unix[%lu]", (long)(by_peer ? peer : st).st_ino);
	replace(by_peer ? "socket, named by its peer" : "socket", start(old[0], "new"), external, key, new[0]);
	for (int i = 0; i < 2; i++)
		close(old[i]), close(new[i]);
}

/* Nothing is given: it is cut off, but what waited in it is there. */
static void lonely_socket(void)
{
	int old[2];
	char external[64];
	struct stat st;

	begin();
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, old) && !fstat(old[0], &st) && write(old[1], "waited", 6) == 6);
	snprintf(external, sizeof(external), "unix[%lu]", (long)st.st_ino);
	pid_t pid = start(old[0], "waited");
	bool refused = !dump(pid, NULL, NULL);
	bool good = refused && dump(pid, "--external", external) && !run("restore", 0, NULL, NULL, -1);
	verdict(good && ends_well(pid), "socket without another end",
		refused ? "no" : "it was dumped without --external");
	close(old[0]);
	close(old[1]);
}

static int make_file(const char *path, const char *text)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !lseek(fd, 0, SEEK_SET));
	return fd;
}

static void files(void)
{
	begin();
	int old = make_file(DIR_NAME "/old", "old"), new = make_file(DIR_NAME "/new", "new");
	pid_t pid = start(old, "new");
	replace("file by its path", pid, NULL, DIR_NAME "/old" + 1, new);
	close(old);
	close(new);
}

static int mount_of(int fd)
{
	char path[64], line[64];
	int mount = -1;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "mnt_id: %d", &mount);
	fclose(f);
	return mount;
}

/* Of a mount that nobody sees any more. */
static void external_file(bool fifo)
{
	char external[64];
	struct stat st;

	begin();
	must(!mkdir(DIR_NAME "/mount", 0700) && !mount("none", DIR_NAME "/mount", "tmpfs", 0, NULL));
	must(!fifo || !mkfifo(DIR_NAME "/mount/file", 0600));
	int old = fifo ? open(DIR_NAME "/mount/file", O_RDWR) : make_file(DIR_NAME "/mount/file", "old"), new[2];
	must(old >= 0 && !umount2(DIR_NAME "/mount", MNT_DETACH) && !fstat(old, &st) && !pipe(new));
	must(write(new[1], "new", 3) == 3);
	snprintf(external, sizeof(external), "file[%x:%lx]", mount_of(old), (long)st.st_ino);
	if (fifo) {
		close(new[0]);
		must(!mkfifo(DIR_NAME "/new", 0600) && (new[0] = open(DIR_NAME "/new", O_RDWR)) >= 0);
		must(write(new[0], "new", 3) == 3);
	} else {
		close(new[0]);
		new[0] = make_file(DIR_NAME "/new", "new");
	}
	replace(fifo ? "FIFO of a lost mount" : "file of a lost mount", start(old, "new"), external, external, new[0]);
	close(old);
	close(new[0]);
	close(new[1]);
}

static void memfds(void)
{
	int old = memfd_create("of the tree", 0), new = memfd_create("other", 0);

	begin();
	must(old >= 0 && write(new, "new", 3) == 3 && !lseek(new, 0, SEEK_SET));
	replace("memfd", start(old, "new"), NULL, "/memfd:of the tree", new);
	close(old);
	close(new);
}

static void terminals(void)
{
	int old[2], new[2];
	char external[64];
	struct stat st;

	begin();
	must(!openpty(&old[0], &old[1], NULL, NULL, NULL) && !openpty(&new[0], &new[1], NULL, NULL, NULL));
	must(!fstat(old[1], &st) && write(new[0], "new\n", 4) == 4);
	snprintf(external, sizeof(external), "tty[%lx:%lx]", (long)st.st_rdev, (long)st.st_dev);
	replace("terminal", start(old[1], "new\n"), external, external, new[1]);
	for (int i = 0; i < 2; i++)
		close(old[i]), close(new[i]);
}

/* Changes the build-id of an ELF file. */
static void change_build(const char *path)
{
	int fd = open(path, O_RDWR);
	struct stat st;

	must(fd >= 0 && !fstat(fd, &st));
	char *at = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(at != MAP_FAILED);
	Elf64_Nhdr *note = memmem(at, st.st_size, "\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU", 16);
	must(note);
	((char *)(note + 1))[4] ^= 1;
	munmap(at, st.st_size);
	close(fd);
}

static void validation(void)
{
	begin();
	must(!system("cp /proc/self/exe " DIR_NAME "/program"));
	int fd = open(DIR_NAME "/program", O_RDONLY), old = make_file(DIR_NAME "/old", "old");
	void *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	must(at != MAP_FAILED);
	pid_t pid = start(old, "old");
	munmap(at, 4096);
	close(fd);
	must(dump(pid, NULL, NULL));
	change_build(DIR_NAME "/program");
	bool refused = run("restore", 0, NULL, NULL, -1);
	bool good = !run("restore", 0, "--file-validation", "filesize", -1) && ends_well(pid);
	verdict(refused && good, "file validation", refused ? "by size it was refused" : "another build was taken");
	close(old);
}

static void permissions(void)
{
	begin();
	int old = make_file(DIR_NAME "/old", "old");
	pid_t pid = start(old, "old");
	must(dump(pid, NULL, NULL) && !chmod(DIR_NAME "/old", 0600));
	bool refused = run("restore", 0, NULL, NULL, -1);
	bool good = !run("restore", 0, "--skip-file-rwx-check", NULL, -1) && ends_well(pid);
	verdict(refused && good, "file permissions", refused ? "not skipped" : "other permissions were taken");
	close(old);
}

/* Its device is below a mount that came later. */
static void devices(void)
{
	begin();
	must(!mkdir(DIR_NAME "/mount", 0700) && !mknod(DIR_NAME "/mount/nothing", S_IFCHR | 0666, makedev(1, 3)));
	int old = open(DIR_NAME "/mount/nothing", O_RDWR);
	must(old >= 0 && !mount("none", DIR_NAME "/mount", "tmpfs", 0, NULL));
	pid_t pid = start(old, "");
	bool refused = !dump(pid, NULL, NULL);
	bool good = dump(pid, "--evasive-devices", NULL) && !run("restore", 0, NULL, NULL, -1) && ends_well(pid);
	verdict(refused && good, "hidden device", refused ? "not evaded" : "it was dumped without --evasive-devices");
	must(!umount2(DIR_NAME "/mount", MNT_DETACH));
	close(old);
}

/*
 * Locks among many descriptors, in the PID namespace that this was started in: in the first one ckpt finds them in
 * /proc/locks. One of them has no setter any more.
 */
static void many_locks(void)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10 };
	char command[PATH_MAX + 64], line[512];
	int fds[400], ready[2], told = 0, right = 0;

	must(!pipe2(ready, O_CLOEXEC));
	pid_t pid = fork();
	if (!pid) {
		setsid();
		for (int i = 0; i < 400; i++)
			must((fds[i] = memfd_create("many", 0)) >= 0);
		if (!fork())
			_exit(flock(fds[100], LOCK_EX));
		wait(NULL);
		must(!flock(fds[200], LOCK_SH) && !fcntl(fds[300], F_SETLK, &range));
		dprintf(ready[1], "%d %d %d\n", fds[100], fds[200], fds[300]);
		pause();
	}
	must(read(ready[0], line, sizeof(line)) > 0 && sscanf(line, "%d %d %d", &fds[0], &fds[1], &fds[2]) == 3);
	snprintf(command, sizeof(command), "%s explain %d 2>/dev/null", ckpt, pid);
	FILE *f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		int fd = -1;

		told += strstr(line, "has a lock") != NULL;
		sscanf(line, "task %*d, fd %d: file lock:", &fd);
		right += fd == fds[0] || fd == fds[1] || fd == fds[2];
	}
	if (f)
		pclose(f);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	verdict(told == 3 && right == 3, "locks of many descriptors", "not those that were set");
}

static int run_inside(void)
{
	must(!mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) && !mount("proc", "/proc", "proc", 0, NULL));
	must(!mount("none", "/mnt", "tmpfs", 0, NULL) && !mkdir(DIR_NAME, 0700));
	pipes(":");
	pipes("");
	sockets(false);
	sockets(true);
	lonely_socket();
	files();
	external_file(false);
	external_file(true);
	memfds();
	terminals();
	validation();
	permissions();
	devices();
	if (failed)
		must(!system("sed 's/^/#   /' " DIR_NAME "/log 2>/dev/null || true"));
	printf("# outside: %d passed, %d failed, 0 skipped\n", passed, failed);
	return failed != 0;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc != 2 && argc != 3)
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3) {
		ckpt = argv[1];
		*(argv[2][0] == 'p' ? &passed : &failed) = 1;
		return run_inside();
	}
	if (geteuid()) {
		printf("# outside: 0 passed, 0 failed, 1 skipped\n");
		return 0;
	}
	ckpt = realpath(argv[1], NULL);
	must(ckpt);
	many_locks();
	must(!unshare(CLONE_NEWPID | CLONE_NEWNS));
	pid_t inside = fork();
	if (!inside) {
		/* Once more, with what came of the first case: in a chroot, what is mapped already has no path in the
		 * new mount namespace. */
		execl(argv[0], argv[0], ckpt, passed ? "passed" : "failed", NULL);
		exit(1);
	}
	must(waitpid(inside, &status, 0) == inside);
	return status != 0;
}
