/*
 * System V shared memory: with a key, attached by parent and child, at other addresses, read-only, in part; without a
 * key and removed already; of another owner. And the same after it was removed.
 */
#include "e2e.h"

#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGES 16

static int id, gone;
static char *area, *again, *removed;

static void child(void *arg)
{
	char *own = shmat(id, NULL, 0);

	must(own != (void *)-1);
	e2e_child_ready();
	e2e_wait();
	must(!strcmp(own, "parent"));
	strcpy(own + E2E_PAGE, "child");
	strcpy(removed, "child");
	must(!shmdt(own) && shmdt(own) == -1);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct shmid_ds ds;

	e2e_begin(argc, argv);
	key_t key = 0x636b0000 | getpid();
	id = shmget(key, PAGES * E2E_PAGE - 100, IPC_CREAT | IPC_EXCL | 0640);
	gone = shmget(IPC_PRIVATE, E2E_PAGE, 0600);
	if (id < 0 || gone < 0)
		skip("no System V shared memory: %s", strerror(errno));
	must(!shmctl(id, IPC_STAT, &ds));
	ds.shm_perm.uid = 12;
	ds.shm_perm.gid = 34;
	must(!shmctl(id, IPC_SET, &ds));
	area = shmat(id, NULL, 0);
	again = shmat(id, NULL, SHM_RDONLY);
	removed = shmat(gone, NULL, 0);
	must(area != (void *)-1 && again != (void *)-1 && removed != (void *)-1 && !shmctl(gone, IPC_RMID, NULL));
	strcpy(area, "parent");
	e2e_fill(area + 8 * E2E_PAGE, 4 * E2E_PAGE, 1);
	must(!munmap(area + 4 * E2E_PAGE, 2 * E2E_PAGE) && !mprotect(area + 12 * E2E_PAGE, E2E_PAGE, PROT_READ));
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	e2e_join(pid);
	must(!strcmp(again, "parent") && !strcmp(again + E2E_PAGE, "child") && !strcmp(removed, "child"));
	e2e_verify(again + 8 * E2E_PAGE, 4 * E2E_PAGE, 1, "attached again");
	must(mprotect(again, E2E_PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	must(!shmctl(id, IPC_STAT, &ds));
	same(ds.shm_perm.__key, key);
	same(ds.shm_perm.uid * 100 + ds.shm_perm.gid, 1234);
	same(ds.shm_perm.mode & 0777, 0640);
	same(ds.shm_segsz, PAGES * E2E_PAGE - 100);
	same(ds.shm_nattch, 5); /* four areas of one attachment, and the other */
	must(!shmctl(gone, IPC_STAT, &ds) && ds.shm_perm.mode & SHM_DEST);
	must(!shmdt(removed) && shmctl(gone, IPC_STAT, &ds) == -1);
	must(!shmdt(area) && !shmdt(again));
	must(!shmctl(id, IPC_STAT, &ds));
	same(ds.shm_nattch, 0);
	must(shmget(key, 0, 0) == id && !shmctl(id, IPC_RMID, NULL));
	return 0;
}
