/*
 * What cannot be kept: System V shared memory that a process outside the tree has attached, a deleted file that is
 * larger than --ghost-limit, a file that lost its name but has another one.
 */
#include "e2e.h"

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/shm.h>

/* Nobody's child: it attaches the segment and waits. */
static void attach_outside(int id)
{
	int p[2];
	char c;

	must(!pipe(p));
	pid_t pid = fork();
	if (!pid) {
		if (fork())
			_exit(0);
		char *shm = shmat(id, NULL, 0);
		close(p[0]);
		close(p[1]);
		while (shm != (void *)-1 && !e2e_time_to_check())
			e2e_sleep_ms(3);
		_exit(0);
	}
	close(p[1]);
	must(waitpid(pid, NULL, 0) == pid && read(p[0], &c, 1) == 0);
	close(p[0]);
}

static void watch_memory(void)
{
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	char *at = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = { { (uint64_t)at, 4 * E2E_PAGE }, UFFDIO_REGISTER_MODE_MISSING, 0 };

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &area))
		return; /* this kernel has none */
	e2e_expect("%d %lx userfaultfd", getpid(), (long)at);
	e2e_expect("%d fd %d userfaultfd", getpid(), fd);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	int id = shmget(IPC_PRIVATE, 4 * E2E_PAGE, IPC_CREAT | 0600);
	if (id < 0)
		skip("no System V shared memory: %s", strerror(errno));
	char *shm = shmat(id, NULL, 0);
	attach_outside(id);
	shmctl(id, IPC_RMID, NULL); /* goes when we go */
	must(shm != (void *)-1);
	char *data = malloc(3 << 20);
	int file = open("gone", O_CREAT | O_RDWR, 0600), linked = open("linked", O_CREAT | O_RDWR, 0600);
	e2e_fill(data, 3 << 20, 1);
	must(file >= 0 && write(file, data, 3 << 20) == 3 << 20 && !unlink("gone"));
	char *deleted = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	must(deleted != MAP_FAILED && !close(file));
	must(linked >= 0 && !link("linked", "other") && !unlink("linked"));
	watch_memory();
	strcpy(shm, "shm");
	strcpy(deleted, "deleted");
	e2e_expect("%d %lx SysV outside the tree", getpid(), (long)shm);
	e2e_expect("%d %lx deleted file", getpid(), (long)deleted);
	e2e_expect("%d fd %d deleted file other names", getpid(), linked);

	e2e_wait();

	must(!strcmp(shm, "shm") && !strcmp(deleted, "deleted"));
	must(!memcmp(deleted + E2E_PAGE, data + E2E_PAGE, E2E_PAGE));
	return 0;
}
