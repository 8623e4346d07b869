/*
 * Mappings of deleted files: private with written pages, shared with a child, of a library; and a program whose own
 * file is deleted, another whose file was replaced.
 */
#include "e2e.h"

#include <sys/wait.h>

static char *shared, *mine;

static void copy_self(const char *name)
{
	static char buf[1 << 20];
	int from = open("/proc/self/exe", O_RDONLY), to = open(name, O_CREAT | O_WRONLY, 0755);
	ssize_t n;

	must(from >= 0 && to >= 0);
	while ((n = read(from, buf, sizeof(buf))) > 0)
		must(write(to, buf, n) == n);
	must(!close(from) && !close(to));
}

static pid_t run_copy(const char *name, bool replace)
{
	char path[PATH_MAX];

	copy_self(name);
	snprintf(path, sizeof(path), "./%s", name);
	pid_t pid = fork();
	if (!pid) {
		execl(path, path, e2e_dir, NULL);
		_exit(1);
	}
	snprintf(path, sizeof(path), "%s-runs", name);
	while (access(path, F_OK))
		e2e_sleep_ms(1);
	if (replace) {
		copy_self("another");
		must(!rename("another", name));
	} else {
		must(!unlink(name));
	}
	return pid;
}

/* The program whose file is gone. */
static int be_copy(const char *name)
{
	char exe[PATH_MAX] = "";

	/* whoever sees the name may take a picture: nothing is open any more */
	bool deleted = name + 1 == strstr(name, "deleted");
	e2e_touch(deleted ? "deleted-begins" : "replaced-begins");
	must(!rename(deleted ? "deleted-begins" : "replaced-begins", deleted ? "deleted-runs" : "replaced-runs"));
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
	must(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	must(strstr(exe, name) && strstr(exe, " (deleted)"));
	return 0;
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	strcpy(shared + E2E_PAGE, "child");
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	const char *name = strrchr(argv[0], '/');
	if (name && (!strcmp(name, "/deleted") || !strcmp(name, "/replaced")))
		return be_copy(name);
	int fd = open("mapped", O_CREAT | O_RDWR, 0600), other = open("other", O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && other >= 0 && !ftruncate(fd, 64 * E2E_PAGE) && !ftruncate(other, 4 * E2E_PAGE));
	shared = mmap(NULL, 64 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	mine = mmap(NULL, 8 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, other, 0);
	must(shared != MAP_FAILED && mine != MAP_FAILED);
	e2e_fill(shared + 8 * E2E_PAGE, 8 * E2E_PAGE, 1);
	must(pwrite(other, "untouched", 10, 0) == 10);
	e2e_fill(mine + E2E_PAGE, E2E_PAGE, 2);
	must(!close(fd) && !close(other) && !unlink("mapped") && !unlink("other"));
	pid_t pid = e2e_fork(child, NULL), deleted = run_copy("deleted", false), replaced = run_copy("replaced", true);

	e2e_wait();

	must(access("mapped", F_OK) && access("other", F_OK) && access("deleted", F_OK) && !access("replaced", F_OK));
	e2e_join(pid);
	e2e_join(deleted);
	e2e_join(replaced);
	must(!strcmp(shared + E2E_PAGE, "child") && !strcmp(mine, "untouched"));
	e2e_verify(shared + 8 * E2E_PAGE, 8 * E2E_PAGE, 1, "shared");
	e2e_verify(mine + E2E_PAGE, E2E_PAGE, 2, "private, written");
	return 0;
}
