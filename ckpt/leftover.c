/* Parasites that lost their dumper, which was killed, and are still on their way out. */
#include <errno.h>
#include <time.h>

#include "dump.h"
#include "log.h"
#include "time_us.h"

#define LEFTOVER_SECONDS 5 /* for a parasite to undo itself */

/* The task in which a parasite of another dumper still works, or NULL. */
static const struct dump_task *find_parasite(const struct dump *d)
{
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->n_threads && parasite_is_in(d->tasks[i]->threads[0].tid))
			return d->tasks[i];
	return NULL;
}

/*
 * Stops the tree. When another dumper was killed a moment ago, its parasites may still be on their way out: then they
 * get the time that they need.
 */
int freeze_without_parasites(struct dump *d)
{
	static const struct timespec nap = { .tv_nsec = 10000000 };
	uint64_t deadline = time_us() + LEFTOVER_SECONDS * 1000000ull;
	size_t mark = d->undo.n;

	for (;;) {
		int err = freeze_tree(d);
		const struct dump_task *t = err ? NULL : find_parasite(d);

		if (!t)
			return err;
		if (time_us() > deadline)
			return log_errno(EBUSY,
					 "a dump of task %d was killed, and its parasite is still there: if the task "
					 "is stopped, let it go on (kill -CONT), then try again",
					 t->pid);
		log_info("task %d still has the parasite of a dump that was killed: waiting", t->pid);
		undo_to(&d->undo, mark);
		blockers_free(d);
		nanosleep(&nap, NULL);
		err = interrupted();
		if (err)
			return err;
	}
}
