/*
 * Files whose name was removed while they have others (--link-remap): the dump gives each a name that the restore
 * knows, link_remap.N beside the one that it had (remap-fpath.img, LINKED). The restore opens it by its old name, and
 * removes both. Names stay only when the dump succeeds, or when ckpt is killed after it made them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "opts.h"

#define TRIES 1000

struct link_remap {
	char path[PATH_MAX]; /* of the new name */
	uint32_t id; /* of its entry in files.img */
	int fd; /* O_PATH */
	ino_t ino;
	dev_t dev;
	bool made;
};

static int fill_link(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	RegFileEntry *r = arena_get(arena, sizeof(*r));

	if (!r)
		return -ENOMEM;
	reg_file_entry__init(r);
	r->id = f->id;
	r->fown = (FownEntry *)&f->fown;
	r->name = ((struct link_remap *)f->data)->path;
	e->reg = r;
	return 0;
}

static const struct dump_fd_kind link_kind = { .name = "link remap", .type = FD_TYPES__REG, .fill = fill_link };

bool link_remap_is_one(const struct dump_file *f)
{
	return f->st.st_nlink && S_ISREG(f->st.st_mode) && ghost_name_length(f->link) < strlen(f->link) &&
	       access(f->link, F_OK) && errno == ENOENT;
}

static const struct link_remap *find(const struct dump *d, const struct dump_file *f)
{
	for (const struct dump_file *at = NULL; (at = files_next_of(d, &link_kind, at));) {
		const struct link_remap *l = at->data;

		if (l->ino == f->st.st_ino && l->dev == f->st.st_dev)
			return l;
	}
	return NULL;
}

int link_remap_add(struct dump *d, const struct dump_file *f, int fd, const struct link_remap **link)
{
	char path[32];

	*link = find(d, f);
	if (*link)
		return 0;
	struct link_remap *l = calloc(1, sizeof(*l));
	if (!l)
		return log_errno(ENOMEM, "%s", f->link);
	l->ino = f->st.st_ino;
	l->dev = f->st.st_dev;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	l->fd = open(path, O_PATH | O_CLOEXEC);
	int err = l->fd < 0 ? log_errno(errno, "can't open %s", f->link) : 0;
	if (!err)
		err = files_add_made(d, &link_kind, f->pid, f->where, l);
	if (err) {
		cleanup_close(&l->fd);
		free(l);
		return err;
	}
	const struct dump_file *made = NULL;
	for (const struct dump_file *at = files_next(d, f); at; at = files_next(d, at))
		made = at;
	l->id = made->id;
	memcpy(l->path, f->link, ghost_name_length(f->link));
	*link = l;
	return 0;
}

/* Where its name was there must still be a directory. */
int link_remap_judge(struct dump *d, const struct dump_file *f, const struct link_remap *l)
{
	char reason[PATH_MAX + 128], dir[PATH_MAX];

	if (!l) {
		snprintf(reason, sizeof(reason), "%s was removed, but the file has %lu other names", f->link,
			 (unsigned long)f->st.st_nlink);
		return blocker_add(d, f->pid, "deleted file", reason,
				   "--link-remap, which gives it one more name until the restore", "%s", f->where);
	}
	strcpy(dir, l->path);
	*(strrchr(dir, '/') + 1) = 0;
	if (!access(dir, W_OK | X_OK))
		return 0;
	snprintf(reason, sizeof(reason), "%s can't get another name: %s: %s", f->link, dir, strerror(errno));
	return blocker_add(d, f->pid, "deleted file", reason, "close it before the dump", "%s", f->where);
}

static int make(struct link_remap *l)
{
	char from[32], *name = strrchr(l->path, '/') + 1;
	size_t room = l->path + sizeof(l->path) - name;

	snprintf(from, sizeof(from), "/proc/self/fd/%d", l->fd);
	for (uint32_t i = 0; i < TRIES; i++) {
		if (snprintf(name, room, i ? "link_remap.%u.%u" : "link_remap.%u", l->id, i) >= (int)room)
			return log_errno(ENAMETOOLONG, "%s", l->path);
		l->made = !linkat(AT_FDCWD, from, AT_FDCWD, l->path, AT_SYMLINK_FOLLOW);
		if (l->made)
			return 0;
		if (errno != EEXIST)
			break;
	}
	return log_errno(errno, "can't make the name %s for a deleted file", l->path);
}

int link_remaps_make(struct dump *d)
{
	int err = 0;

	for (struct dump_file *f = NULL; !err && (f = files_next_of(d, &link_kind, f));)
		err = make(f->data);
	return err;
}

void link_remaps_free(struct dump *d, bool keep)
{
	for (struct dump_file *f = NULL; (f = files_next_of(d, &link_kind, f));) {
		struct link_remap *l = f->data;

		if (l->made && !keep)
			unlink(l->path);
		cleanup_close(&l->fd);
	}
}

uint32_t link_remap_id(const struct link_remap *l)
{
	return l->id;
}
