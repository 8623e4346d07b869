/*
 * Regular files, directories and plain devices: opened by their path, as seen from our root. A regular file
 * must have the size that it had, as with CRIU: otherwise it is another one. Files that were removed while open are
 * opened through their ghost (ghost.c). Not handled: files of other mount namespaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "build_id.h"
#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "outside.h"
#include "path_looks.h"
#include "plan.h"
#include "proc_files.h"
#include "task.h"

/* Flags that make sense once only, or that open(2) does not know. */
#define NOT_FOR_OPEN (O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC | FASYNC | O_TMPFILE)

static int reg_read(struct plan *plan, struct plan_file *file)
{
	const RegFileEntry *e = file->entry->reg;

	bool external = e && e->has_ext && e->ext;

	if (!e || (e->name[0] != '/' && !external)) {
		log_err("files.img: file 0x%x is of the kind REG but has no absolute path", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	return outside_find(plan, file, e->name, 0);
}

/* A log that others have written to: its old bytes are where they were, and nobody has it mapped. */
static bool may_have_grown(const struct plan *plan, const struct plan_file *file, const struct path_look *now)
{
	const RegFileEntry *e = file->entry->reg;

	return plan->opts->allow_grown && file->first && now->size > e->size;
}

static void check_look(struct plan *plan, const struct plan_file *file, const struct path_look *now)
{
	const RegFileEntry *e = file->entry->reg;

	if (e->has_mode && e->mode && (e->mode & S_IFMT) != (now->mode & S_IFMT))
		plan_refuse(plan, "%s has another type than at the dump (mode 0%o instead of 0%o): put the file back",
			    e->name, now->mode, e->mode);
	else if (e->has_mode && e->mode && (e->mode ^ now->mode) & 07777 && !plan->opts->skip_file_rwx_check)
		plan_refuse(plan,
			    "%s has other permissions than at the dump (0%o instead of 0%o): chmod them, or, if they "
			    "may differ: --skip-file-rwx-check",
			    e->name, now->mode & 07777, e->mode & 07777);
	else if (S_ISREG(now->mode) && e->has_size && e->size != now->size && !may_have_grown(plan, file, now))
		plan_refuse(plan, "%s has changed since the dump (%lld bytes instead of %llu): put the old file back%s",
			    e->name, (long long)now->size, (unsigned long long)e->size,
			    file->first && now->size > e->size ? ", or, if it is a log: --allow-grown" : "");
}

/* A program or library may be another one of the same size. */
static void check_build_id(struct plan *plan, const struct plan_file *file)
{
	const RegFileEntry *e = file->entry->reg;
	uint32_t id[BUILD_ID_MAX / 4] = { 0 };

	if (!e->n_build_id || plan->opts->by_size_only)
		return;
	_cleanup_close_ int fd = open(e->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = build_id_read(fd, (uint8_t *)id);
	if ((len + 3) / 4 != e->n_build_id || memcmp(id, e->build_id, e->n_build_id * sizeof(*id)))
		plan_refuse(
			plan,
			"%s is another build than at the dump (its build-id differs): put the old file back, or, if "
			"it does not matter: --file-validation filesize",
			e->name);
}

void plan_check_file(struct plan *plan, struct plan_file *file)
{
	const RegFileEntry *e = file->entry->reg;

	if (file->checked || file->ghost || file->entry->type != FD_TYPES__REG || file->outside >= 0)
		return;
	file->checked = true;
	if (file->dead || proc_task(plan, e->name)) /* it does not exist yet */
		return;
	if (plan->offline)
		return;
	if (e->has_ext && e->ext) {
		plan_refuse(plan, "file 0x%x comes from outside: give one by --inherit-fd 'fd[N]:%s'", file->id,
			    e->name);
		return;
	}
	const struct path_look now = path_look(plan, file);
	if (now.error) {
		plan_refuse(plan, "%s is missing (%s): put it back", e->name, strerror(now.error));
		return;
	}
	check_look(plan, file, &now);
	/* Devices and pipes may do something when they are opened. */
	if (!S_ISREG(now.mode) && !S_ISDIR(now.mode))
		return;
	if (!path_may_open(plan, file, &now))
		plan_refuse(plan, "%s can't be opened (%s): check permissions and mounts", e->name, strerror(errno));
	else
		check_build_id(plan, file);
}

int reg_enter_dead(struct plan *plan, const struct plan_file *file)
{
	const char *rest = strchr(file->entry->reg->name + strlen("/proc/"), '/');
	const struct timespec now = {};
	char path[PATH_MAX];
	sigset_t child;
	pid_t pid = tree_fork_dead(plan, file->dead);

	if (pid < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d%s", pid, rest ? rest : "");
	int err = chdir(path) ? -errno : 0;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigtimedwait(&child, NULL, &now);
	return err;
}

/* While a process stands in for the one that is gone. */
static int open_dead(struct plan *plan, const struct plan_file *file, int flags)
{
	const RegFileEntry *e = file->entry->reg;
	const char *rest = strchr(e->name + strlen("/proc/"), '/');
	char path[PATH_MAX];
	pid_t pid = tree_fork_dead(plan, file->dead);

	if (pid < 0)
		return log_errno(errno, "can't fork a process in place of %d", file->dead);
	snprintf(path, sizeof(path), "/proc/%d%s", pid, rest ? rest : "");
	int fd = open(path, (flags & ~NOT_FOR_OPEN) | (flags & O_DIRECTORY) | O_NOCTTY | O_CLOEXEC), err = errno;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd < 0 ? log_errno(err, "can't open %s", path) : fd;
}

/*
 * A file of /proc/PID/fdinfo is that of a number of a descriptor, for as long as it is open: of ourselves we can have
 * that for a moment, for no final number is in use yet. Returns the descriptor, or -1: it is no such file.
 */
static int hold_number(const char *path)
{
	_cleanup_close_ int any = -1;
	int pid, number, end = 0;

	if (strncmp(path, "/proc/", 6) || sscanf(path, "/proc/%d/fdinfo/%d%n", &pid, &number, &end) != 2 || path[end] ||
	    pid != getpid() || !faccessat(AT_FDCWD, path, F_OK, 0))
		return -1;
	any = open("/", O_PATH | O_CLOEXEC);
	return any < 0 || any == number ? take_fd(&any) : dup3(any, number, O_CLOEXEC);
}

/* The same at whatever number. */
static int open_somewhere(struct plan *plan, struct plan_file *file, int flags, int cloexec)
{
	const RegFileEntry *e = file->entry->reg;
	const char *name = e->name;
	char link[32];
	int dir = AT_FDCWD;

	file->stays = file->outside < 0 && !file->dead && !cloexec;

	if (file->outside >= 0)
		return outside_take(plan, file);
	if (file->ghost) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", file->ghost->fd);
		name = link;
		flags &= ~O_NOFOLLOW;
		if ((flags & O_TMPFILE) == O_TMPFILE) /* it contains O_DIRECTORY */
			flags &= ~O_TMPFILE;
	}
	if (file->dead)
		return open_dead(plan, file, flags);
	_cleanup_close_ int held = hold_number(e->name);
	if (name == e->name && strncmp(name, "/proc/", 6))
		dir = near_dir_find(&plan->near, e->name, plan->fd_low, plan->fd_high, &name);
	int fd = openat(dir, name, (flags & ~NOT_FOR_OPEN) | (flags & O_DIRECTORY) | O_NOCTTY | cloexec);
	if (fd < 0)
		return log_errno(errno, "can't open %s", e->name);
	if (e->pos && !(flags & O_PATH) && lseek(fd, e->pos, SEEK_SET) < 0) {
		int err = errno;

		close(fd);
		return log_errno(err, "can't set the position of %s to %llu", e->name, (unsigned long long)e->pos);
	}
	return fd;
}

int reg_open(struct plan *plan, struct plan_file *file, int flags)
{
	int fd = open_somewhere(plan, file, flags, O_CLOEXEC);

	return fd < 0 ? fd : fd_to_temporary(plan, fd);
}

static int reg_resolve(struct plan *plan, struct plan_file *file)
{
	proc_find_late(plan, file);
	return 0;
}

static void reg_used_by(struct plan *plan, struct plan_file *file, struct plan_task *ancestor)
{
	struct plan_ghost *g = file->ghost ? file->ghost->ghost : NULL;

	if (!g)
		return;
	g->owner = plan_common_ancestor(g->owner, ancestor);
	if (!g->tmpfile && file->with->owner && (file->flags & O_TMPFILE) == O_TMPFILE)
		g->tmpfile = file;
}

/* Of a file that never had a name there is a description that may give it one, by linkat(2). */
static int take_tmpfile(struct plan *plan, struct plan_file *file)
{
	int fd = fcntl(file->ghost->ghost->tmpfile_fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return log_errno(errno, "can't duplicate the descriptor of %s", file->entry->reg->name);
	if (fcntl(fd, F_SETFL, file->flags & ~FASYNC) || lseek(fd, file->entry->reg->pos, SEEK_SET) < 0) {
		int err = errno;

		close(fd);
		return log_errno(err, "can't set flags and position of %s", file->entry->reg->name);
	}
	return fd;
}

static int reg_open_file(struct plan *plan, struct plan_file *file)
{
	const struct plan_ghost *g = file->ghost ? file->ghost->ghost : NULL;

	int fd = g && g->tmpfile == file && g->tmpfile_fd >= 0
			 ? take_tmpfile(plan, file)
			 : open_somewhere(plan, file, file->flags, fd_cloexec(file, NULL));
	file->fd = fd < 0 ? fd : fd_place(plan, file, fd);
	return file->fd < 0 ? file->fd : 0;
}

const struct restore_fd_kind restore_fd_reg = {
	.name = "regular file",
	.type = FD_TYPES__REG,
	.read = reg_read,
	.resolve = reg_resolve,
	.used_by = reg_used_by,
	.open = reg_open_file,
	.map = reg_open,
};
