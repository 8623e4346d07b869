/* msgrcv(2) of System V. The queue outlives the program unless it removes it. */
#include "call.h"

#include <sys/msg.h>

static int queue;

static void setup(void)
{
	queue = msgget(IPC_PRIVATE, 0600);
	must(queue >= 0);
}

static long endless(void)
{
	struct {
		long type;
		char text[8];
	} message;

	return msgrcv(queue, &message, sizeof(message.text), 0, 0);
}

static void wake(void)
{
	struct {
		long type;
		char text[3];
	} message = { 1, "abc" };

	must(!msgsnd(queue, &message, 3, 0));
	pthread_join(endless_thread, NULL);
	must(!msgctl(queue, IPC_RMID, NULL));
	exit(0);
}

static const struct call call = { "msgrcv", .setup = setup, .endless = endless, .wake = wake, .endless_result = 3 };
