/*
 * POSIX message queues: one with a message, one whose name is gone, one that a thread waits in. Each is named; the
 * message stays, the thread gets its own.
 */
#include "e2e.h"

#include <mqueue.h>
#include <pthread.h>

static mqd_t waiting;
static bool ready;

static void *wait_for_message(void *arg)
{
	char text[64] = "";
	struct mq_attr attr;

	must(!mq_getattr(waiting, &attr) && attr.mq_msgsize == 64);
	__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	must(mq_receive(waiting, text, sizeof(text), NULL) == 5 && !strcmp(text, "late"));
	return NULL;
}

static mqd_t open_queue(const char *name)
{
	struct mq_attr attr = { .mq_maxmsg = 2, .mq_msgsize = 64 };
	mqd_t q = mq_open(name, O_CREAT | O_RDWR, 0600, &attr);

	if (q < 0)
		skip("no message queues: %s", strerror(errno));
	return q;
}

static void expect(int fd, const char *name)
{
	e2e_expect("%d fd %d POSIX message queue %s", getpid(), fd, name);
}

int main(int argc, char **argv)
{
	char text[64] = "", name[64];
	pthread_t thread;

	e2e_begin(argc, argv);
	snprintf(name, sizeof(name), "/ckpt-%d", getpid());
	mqd_t full = open_queue(name);
	mqd_t deleted = open_queue("/ckpt-deleted");
	must(!mq_unlink("/ckpt-deleted"));
	waiting = open_queue("/ckpt-waiting");
	must(!mq_unlink("/ckpt-waiting"));
	must(!mq_send(full, "kept", 5, 3) && !mq_send(deleted, "kept", 5, 3));
	expect(full, name + 1);
	expect(deleted, "deleted");
	expect(waiting, "waiting");
	must(!pthread_create(&thread, NULL, wait_for_message, NULL));
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		usleep(1000);

	e2e_wait();

	must(!mq_unlink(name));
	must(mq_receive(full, text, sizeof(text), NULL) == 5 && !strcmp(text, "kept"));
	must(mq_receive(deleted, text, sizeof(text), NULL) == 5 && !strcmp(text, "kept"));
	must(!mq_send(waiting, "late", 5, 0));
	must(!pthread_join(thread, NULL));
	return 0;
}
