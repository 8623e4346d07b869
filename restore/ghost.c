/*
 * Files without a name: made by the lowest common ancestor of all who use them, in the directory where they were, so
 * that file system and name are what they were. A file that has the name now keeps it; the ghost gets another.
 *
 * The names must not stay, whoever is killed: a helper process makes and removes them. It waits for the end of its
 * pipe, which closes when the owner has opened the file, or is dead. All further opening goes through /proc/self/fd.
 */
#include "ghost.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "log.h"
#include "plan.h"
#include "stage.h"
#include "task.h"

#define TRIES 1000 /* other names */

/* What the helper says of a name. */
struct made {
	int error; /* errno, or 0 */
	char path[PATH_MAX];
};

/* Makes the directories above the path that are missing. Returns how many bytes of the path were there, or -1. */
static ssize_t make_parents(const char *path)
{
	char dir[PATH_MAX];
	ssize_t there = -1;

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *at = strchr(dir + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = 0;
		if (!mkdir(dir, 0700)) {
			if (there < 0)
				there = strrchr(dir, '/') - dir;
		} else if (errno != EEXIST) {
			return -1;
		}
		*at = '/';
	}
	return there < 0 ? strrchr(dir, '/') - dir : there;
}

static void remove_parents(const char *path, ssize_t there)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	for (char *at = strrchr(dir, '/'); there >= 0 && at - dir > there; at = strrchr(dir, '/')) {
		*at = 0;
		rmdir(dir);
	}
}

static int make(const struct plan_ghost *g, const char *path, const char *first)
{
	const GhostFileEntry *e = g->entry;

	if (g->linked)
		return link(g->linked, path);
	if (first && !S_ISDIR(e->mode))
		return link(first, path);
	if (S_ISDIR(e->mode))
		return mkdir(path, 0700);
	return mknod(path, (e->mode & S_IFMT) | 0600, e->has_rdev ? e->rdev : 0);
}

/* Gives the ghost the name, or one like it. first: a name that it has already, or NULL. */
static void make_name(const struct plan_ghost_name *n, const char *first, struct made *made)
{
	snprintf(made->path, sizeof(made->path), "%s", n->path);
	for (int i = 0; i < TRIES; i++) {
		if (i)
			snprintf(made->path, sizeof(made->path), "%s.ckpt-ghost-%d", n->path, i);
		made->error = make(n->ghost, made->path, first) ? errno : 0;
		if (made->error != EEXIST)
			return;
	}
}

/* Makes the name and those behind it, and removes them when the owner is done. */
static void serve(int sock, const struct plan_ghost_name *n, const char *first)
{
	ssize_t there = n ? make_parents(n->path) : 0;
	struct made made;
	char byte;

	if (!n) {
		while (read(sock, &byte, 1) < 0 && errno == EINTR)
			;
		return;
	}
	make_name(n, first, &made);
	bool done = !made.error && send(sock, &made, sizeof(made), MSG_NOSIGNAL) == sizeof(made);
	if (made.error)
		send(sock, &made, sizeof(made), MSG_NOSIGNAL);
	if (done)
		serve(sock, n->next, first ? first : made.path);
	if (!made.error && S_ISDIR(n->ghost->entry->mode))
		rmdir(made.path);
	else if (!made.error)
		unlink(made.path);
	remove_parents(n->path, there);
}

/* Forks the helper. Returns our end of its socket or -errno (logged). */
static int fork_helper(struct plan_ghost *g)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return log_errno(errno, "can't make a socket");
	pid_t pid = fork();
	if (!pid) {
		close(pair[0]);
		*g->helper = getpid();
		umask(0);
		serve(pair[1], g->names, NULL);
		_exit(0);
	}
	int err = errno;
	close(pair[1]);
	if (pid > 0) {
		*g->helper = pid;
		return pair[0];
	}
	close(pair[0]);
	return log_errno(err, "can't fork who removes the name of a deleted file");
}

static int open_name(struct plan *plan, int sock, struct plan_ghost_name *n, char *path)
{
	struct made made;

	if (recv(sock, &made, sizeof(made), 0) != sizeof(made))
		return log_errno(ECHILD, "can't make the deleted file %s", n->path);
	if (made.error)
		return log_errno(made.error, "can't make the deleted file %s", n->path);
	int fd = open(made.path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open the deleted file %s", n->path);
	n->fd = fd_to_temporary(plan, fd);
	strcpy(path, made.path);
	return n->fd < 0 ? n->fd : 0;
}

static int copy(int from, int to, const struct plan_chunk *c)
{
	off_t at = c->at;

	if (lseek(to, c->offset, SEEK_SET) < 0)
		return -errno;
	while ((uint64_t)at < c->at + c->len) {
		ssize_t n = sendfile(to, from, &at, c->at + c->len - at);

		if (n <= 0)
			return n ? -errno : -EIO;
	}
	return 0;
}

static int fill(struct plan *plan, const struct plan_ghost *g, int fd)
{
	int err = ftruncate(fd, g->size) ? -errno : 0;

	if (!err && g->n_chunks) {
		_cleanup_close_ int from = image_open_raw(&plan->images, IMG_GHOST_FILE, g->id);

		err = from < 0 ? from : 0;
		for (size_t i = 0; !err && i < g->n_chunks; i++)
			err = copy(from, fd, &g->chunks[i]);
	}
	return err ? log_errno(-err, "can't write %llu bytes into the deleted file %s", (unsigned long long)g->size,
			       g->names->path)
		   : 0;
}

/* Contents, owner, mode and times. */
static int finish(struct plan *plan, const struct plan_ghost *g)
{
	const GhostFileEntry *e = g->entry;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->names->fd);
	if (S_ISREG(e->mode)) {
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
		int err = fd < 0 ? log_errno(errno, "can't open the deleted file %s", g->names->path)
				 : fill(plan, g, fd);

		if (err)
			return err;
	}
	if (chown(path, e->uid, e->gid) || chmod(path, e->mode & 07777))
		return log_errno(errno, "can't set owner and mode of the deleted file %s", g->names->path);
	if (!e->atim || !e->mtim)
		return 0;
	const struct timespec times[2] = { { e->atim->tv_sec, e->atim->tv_usec * 1000 },
					   { e->mtim->tv_sec, e->mtim->tv_usec * 1000 } };
	if (utimensat(AT_FDCWD, path, times, 0))
		return log_errno(errno, "can't set the times of the deleted file %s", g->names->path);
	return 0;
}

/* A file that never had a name: it may get one yet, as others may not. -ENOENT: not here, it is made like others. */
static int create_unnamed(struct plan *plan, struct plan_ghost *g)
{
	char dir[PATH_MAX], path[32];

	snprintf(dir, sizeof(dir), "%s", g->tmpfile->entry->reg->name);
	*strrchr(dir, '/') = 0;
	int fd = open(*dir ? dir : "/", (g->tmpfile->flags & (O_ACCMODE | O_EXCL)) | O_TMPFILE | O_CLOEXEC, 0600);
	g->tmpfile_fd = fd < 0 ? -1 : fd_to_temporary(plan, fd);
	if (g->tmpfile_fd < 0)
		return fd < 0 ? -ENOENT : g->tmpfile_fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->tmpfile_fd);
	for (struct plan_ghost_name *n = g->names; n; n = n->next) {
		fd = open(path, O_PATH | O_CLOEXEC);
		n->fd = fd < 0 ? -errno : fd_to_temporary(plan, fd);
		if (n->fd < 0)
			return fd < 0 ? log_errno(-n->fd, "can't open %s", path) : n->fd;
	}
	return finish(plan, g);
}

static int create_named(struct plan *plan, struct plan_ghost *g)
{
	_cleanup_close_ int sock = fork_helper(g);
	char path[PATH_MAX];
	int err = sock < 0 ? sock : 0;

	for (struct plan_ghost_name *n = g->names; !err && n; n = n->next)
		err = open_name(plan, sock, n, path);
	if (!err && !g->linked)
		err = finish(plan, g);
	if (!err)
		err = task_fault_point(plan, FAULT_restore_ghost_made);
	if (sock < 0)
		return err;
	cleanup_close(&sock);
	sock = -1;
	pid_t pid = *g->helper;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	*g->helper = 0;
	return err;
}

int ghost_create(struct plan *plan, struct plan_ghost *g)
{
	int err = g->tmpfile && !g->linked && S_ISREG(g->entry->mode) ? create_unnamed(plan, g) : -ENOENT;

	return err == -ENOENT ? create_named(plan, g) : err;
}

void ghosts_remove_links(const struct plan *plan)
{
	for (const struct plan_ghost *g = plan->ghosts; g; g = g->next)
		if (g->owner && g->linked && unlink(g->linked))
			log_warn("can't remove %s, which the dump made: %s", g->linked, strerror(errno));
}

void ghosts_clean_up(const struct plan *plan)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };

	for (const struct plan_ghost *g = plan->ghosts; g; g = g->next)
		for (int i = 0; i < 2000 && *g->helper && waitpid(*g->helper, NULL, WNOHANG) != *g->helper &&
				!stage_is_dead(*g->helper);
		     i++)
			nanosleep(&nap, NULL);
}
