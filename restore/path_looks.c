/*
 * The thread begins with the last file, who asks begins with the first one. Both may look at the same file: they find
 * the same.
 */
#include "path_looks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan.h"

#define MANY 256
#define RIGHTS 16

struct path_looks {
	pthread_t thread;
	bool running;
	atomic_bool stop;
	atomic_size_t first; /* that the thread has looked at: all from it on are known */
	struct path_look *list; /* by index of plan->files */
	struct path_right rights[RIGHTS]; /* to which files can be opened */
	size_t n_rights;
	struct near_dir near[2]; /* of the thread, of who asks */
};

/* Files of /proc/PID may belong to tasks that are still to come. */
static bool is_looked_at(const struct plan_file *file)
{
	const RegFileEntry *e = file->entry->type == FD_TYPES__REG ? file->entry->reg : NULL;

	return e && e->name[0] == '/' && strncmp(e->name, "/proc/", 6);
}

/* near: NULL: none. */
static struct path_look look(const struct plan_file *file, struct near_dir *near)
{
	const RegFileEntry *e = file->entry->reg;
	struct path_look l = {};
	struct statx st;
	const char *name = e->name;
	int dir = near ? near_dir_find(near, e->name, 0, INT_MAX, &name) : AT_FDCWD;

	if (statx(dir, name, 0, STATX_BASIC_STATS | STATX_MNT_ID, &st)) {
		l.error = errno;
		return l;
	}
	l.mode = l.right.mode = st.stx_mode;
	l.size = st.stx_size;
	l.right.mount = st.stx_mnt_id;
	l.right.uid = st.stx_uid;
	l.right.gid = st.stx_gid;
	l.right.fixed = st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND);
	l.right.access = e->flags & O_ACCMODE;
	return l;
}

static void *look_ahead(void *arg)
{
	const struct plan *plan = arg;
	struct path_looks *looks = plan->path_looks;

	for (size_t i = plan->n_files; i-- > 0 && !atomic_load(&looks->stop);) {
		if (is_looked_at(&plan->files[i]))
			looks->list[i] = look(&plan->files[i], &looks->near[0]);
		atomic_store(&looks->first, i);
	}
	return NULL;
}

void path_looks_begin(struct plan *plan)
{
	sigset_t all, before;

	plan->path_looks = plan_alloc(plan, sizeof(*plan->path_looks));
	if (!plan->path_looks)
		return;
	plan->path_looks->first = plan->n_files;
	plan->path_looks->list = plan_alloc(plan, (plan->n_files + 1) * sizeof(*plan->path_looks->list));
	if (!plan->path_looks->list || plan->offline || plan->n_files < MANY)
		return;
	sigfillset(&all); /* they are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	plan->path_looks->running = !pthread_create(&plan->path_looks->thread, NULL, look_ahead, plan);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void path_looks_end(struct plan *plan)
{
	struct path_looks *looks = plan->path_looks;

	if (!looks)
		return;
	if (looks->running) {
		atomic_store(&looks->stop, true);
		pthread_join(looks->thread, NULL);
		looks->running = false;
	}
	for (int i = 0; i < 2; i++)
		near_dir_close(&looks->near[i]);
}

struct path_look path_look(struct plan *plan, const struct plan_file *file)
{
	size_t i = file - plan->files;

	if (plan->path_looks && i >= atomic_load(&plan->path_looks->first) && is_looked_at(file))
		return plan->path_looks->list[i];
	return look(file, plan->path_looks && is_looked_at(file) ? &plan->path_looks->near[1] : NULL);
}

static bool is_same(const struct path_right *a, const struct path_right *b)
{
	return a->mount == b->mount && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->fixed == b->fixed && a->access == b->access;
}

bool path_may_open(struct plan *plan, const struct plan_file *file, const struct path_look *l)
{
	struct path_looks *looks = plan->path_looks;
	const RegFileEntry *e = file->entry->reg;

	if (e->flags & O_PATH)
		return true;
	for (size_t i = 0; looks && i < looks->n_rights; i++)
		if (is_same(&looks->rights[i], &l->right))
			return true;
	int access = l->right.access;
	if (faccessat(AT_FDCWD, e->name,
		      access == O_RDONLY   ? R_OK
		      : access == O_WRONLY ? W_OK
					   : R_OK | W_OK,
		      AT_EACCESS))
		return false;
	if (looks && looks->n_rights < RIGHTS)
		looks->rights[looks->n_rights++] = l->right;
	return true;
}
