/* Memory that is not supported yet: System V shared memory, a mapping of a deleted file. */
#include "e2e.h"

#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	int id = shmget(IPC_PRIVATE, 4 * E2E_PAGE, IPC_CREAT | 0600);
	if (id < 0)
		skip("no System V shared memory: %s", strerror(errno));
	char *shm = shmat(id, NULL, 0);
	shmctl(id, IPC_RMID, NULL); /* goes when we go */
	must(shm != (void *)-1);
	int file = open("gone", O_CREAT | O_RDWR, 0600);
	must(!ftruncate(file, 4 * E2E_PAGE) && !unlink("gone"));
	char *deleted = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	must(deleted != MAP_FAILED);
	close(file);
	strcpy(shm, "shm");
	strcpy(deleted, "deleted");
	e2e_expect("%d %lx", getpid(), (long)shm);
	e2e_expect("%d %lx", getpid(), (long)deleted);

	e2e_wait();

	must(!strcmp(shm, "shm") && !strcmp(deleted, "deleted"));
	return 0;
}
