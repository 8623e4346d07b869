/*
 * Judges whether a tree can be dumped: asks every kind and part, and collects all that stands in the way.
 * A dump that is refused says everything at once: which task, where, what it is, why not, and what helps.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "dump.h"
#include "fault.h"
#include "json.h"
#include "log.h"
#include "opts.h"
#include "restore.h"
#include "unsupported.h"

int blocker_add(struct dump *d, pid_t pid, const char *kind, const char *reason, const char *remedy, const char *fmt,
		...)
{
	struct blocker b = { .pid = pid };
	va_list args;

	struct blocker *list = realloc(d->blockers, (d->n_blockers + 1) * sizeof(b));
	if (!list)
		return log_errno(ENOMEM, "list of blockers");
	d->blockers = list;
	va_start(args, fmt);
	int n = vasprintf(&b.where, fmt, args);
	va_end(args);
	b.kind = strdup(kind);
	b.reason = strdup(reason);
	b.remedy = strdup(remedy);
	if (n < 0 || !b.kind || !b.reason || !b.remedy)
		return log_errno(ENOMEM, "list of blockers");
	list[d->n_blockers++] = b;
	return 0;
}

void blockers_free(struct dump *d)
{
	for (size_t i = 0; i < d->n_blockers; i++) {
		free(d->blockers[i].where);
		free(d->blockers[i].kind);
		free(d->blockers[i].reason);
		free(d->blockers[i].remedy);
	}
	free(take_ptr(d->blockers));
	d->n_blockers = 0;
}

/* Sessions and groups must be led from inside the tree; the terminal's session of a shell job is the exception. */
static int judge_session(struct dump *d, const struct dump_task *t)
{
	const struct dump_task *root = d->tasks[0];
	bool foreign_sid = true, foreign_pgid = true;

	for (size_t i = 0; i < d->n_tasks; i++) {
		foreign_sid &= d->tasks[i]->pid != t->stat.sid;
		foreign_pgid &= d->tasks[i]->pid != t->stat.pgid;
	}
	if (t == root && (foreign_sid || foreign_pgid) && !d->opts->shell_job)
		return blocker_add(d, t->pid, "session",
				   foreign_sid ? "its session leader is outside the tree"
					       : "its process group leader is outside the tree",
				   "dump from the session leader on, start the program with setsid, or use --shell-job",
				   "session %d, group %d", t->stat.sid, t->stat.pgid);
	/* a leader that is gone is no obstacle: session or group are made anew by a helper that ends */
	if (foreign_sid && t->stat.sid != root->stat.sid && !kill(t->stat.sid, 0))
		return blocker_add(d, t->pid, "session", "its session leader is outside the tree",
				   "dump from the session leader on", "session %d", t->stat.sid);
	if (foreign_pgid && t->stat.pgid != root->stat.pgid && !kill(t->stat.pgid, 0))
		return blocker_add(d, t->pid, "process group", "its leader is outside the tree",
				   "dump from the group leader on, or start the program with setsid", "group %d",
				   t->stat.pgid);
	return 0;
}

static void refuse_shape(void *dump, const char *reason)
{
	struct dump *d = dump;

	blocker_add(d, d->tasks[0]->pid, "sessions", reason, "dump the part of the tree that is needed, or report this",
		    "%zu tasks", d->n_tasks);
}

/* What every task allows for itself may still be impossible together: the restorer is asked. */
static int judge_shape(struct dump *d)
{
	_cleanup_free_ struct restore_shape *shape = calloc(d->n_tasks, sizeof(*shape));

	if (!shape)
		return log_errno(ENOMEM, "the shape of the tree");
	for (size_t i = 0; i < d->n_tasks; i++) {
		const struct dump_task *t = d->tasks[i];

		shape[i] = (struct restore_shape){ .pid = t->pid,
						   .pgid = t->stat.pgid,
						   .sid = t->stat.sid,
						   .dead = t->state == TASK_DEAD,
						   .files = t->files_of->pid,
						   .fs = t->fs_of->pid };
		while (i && shape[i].parent < i - 1 && d->tasks[shape[i].parent] != t->parent)
			shape[i].parent++;
	}
	return restore_judge_tree(d->opts, shape, d->n_tasks, refuse_shape, d);
}

static int judge_task(struct dump *d, struct dump_task *t)
{
	int err = judge_session(d, t);

	if (t->state == TASK_DEAD)
		return err;
	unsupported_warn_sysv(t);
	err = err ? err : namespaces_judge(t);
	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->judge ? dump_parts[i]->judge(t) : 0;
	return err ? err : memory_judge(t);
}

int judge_tree_outside(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		err = judge_task(d, d->tasks[i]);
	if (!err)
		err = sharing_judge(d);
	/* Blockers of single tasks would be told twice. */
	if (!err && !d->n_blockers)
		err = judge_shape(d);
	return err ? err : files_judge(d);
}

int judge_tree_inside(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		for (size_t j = 0; dump_parts[j] && !err; j++)
			if (dump_parts[j]->judge_inside && d->tasks[i]->parasite.thread)
				err = dump_parts[j]->judge_inside(d->tasks[i]);
	return err;
}

void blockers_log(const struct dump *d)
{
	if (d->n_blockers)
		log_warn("%zu thing%s in the tree of process %d cannot be dumped:", d->n_blockers,
			 d->n_blockers > 1 ? "s" : "", d->opts->tree);
	for (size_t i = 0; i < d->n_blockers; i++) {
		const struct blocker *b = &d->blockers[i];

		log_err("task %d, %s: %s: %s. Remedy: %s", b->pid, b->where, b->kind, b->reason, b->remedy);
	}
}

static void print_json(const struct dump *d, size_t tasks, size_t threads)
{
	struct json j = { .file = stdout };

	json_open(&j, NULL, '{');
	json_number(&j, "pid", d->opts->tree);
	json_number(&j, "tasks", tasks);
	json_number(&j, "threads", threads);
	json_bool(&j, "dumpable", !d->n_blockers);
	json_open(&j, "blockers", '[');
	for (size_t i = 0; i < d->n_blockers; i++) {
		const struct blocker *b = &d->blockers[i];

		json_open(&j, NULL, '{');
		json_number(&j, "pid", b->pid);
		json_string(&j, "where", b->where);
		json_string(&j, "kind", b->kind);
		json_string(&j, "reason", b->reason);
		json_string(&j, "remedy", b->remedy);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_close(&j, '}');
}

void blockers_print(const struct dump *d, size_t tasks, size_t threads)
{
	if (d->opts->json) {
		print_json(d, tasks, threads);
		return;
	}
	for (size_t i = 0; i < d->n_blockers; i++) {
		const struct blocker *b = &d->blockers[i];

		printf("task %d, %s: %s: %s.\n\tRemedy: %s\n", b->pid, b->where, b->kind, b->reason, b->remedy);
	}
	if (!d->n_blockers)
		printf("process %d with its %zu tasks and %zu threads can be dumped\n", d->opts->tree, tasks, threads);
}
