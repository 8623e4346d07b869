/* semtimedop(2) and semop(2) of System V. The set outlives the program unless it removes it. */
#include "call.h"

#include <sys/sem.h>

static int set;

static void setup(void)
{
	set = semget(IPC_PRIVATE, 2, 0600);
	must(set >= 0);
}

static long timed(void)
{
	struct sembuf op = { .sem_num = 0, .sem_op = -1 };
	struct timespec t = call_time();

	return semtimedop(set, &op, 1, &t);
}

static long endless(void)
{
	struct sembuf op = { .sem_num = 1, .sem_op = -1 };

	return semop(set, &op, 1);
}

static void wake(void)
{
	struct sembuf op = { .sem_num = 1, .sem_op = 1 };

	must(!semop(set, &op, 1));
	pthread_join(endless_thread, NULL);
	must(!semctl(set, 0, IPC_RMID));
	exit(0);
}

static const struct call call = {
	"semop", .setup = setup, .timed = timed, .timed_result = -EAGAIN, .endless = endless, .wake = wake,
};
