/*
 * The directory of a set of images: all of them get their final names together, or none.
 *
 * They are made in a hidden directory inside. Committing moves the old inventory.img away first and the new one
 * in last, for without it no tool takes the directory for a set of images: a commit that is killed half-way
 * leaves none that is complete, and one that fails is undone, so that an earlier set stays as it was.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "image.h"
#include "log.h"

#define PARTIAL ".ckpt-partial"
#define INVENTORY "inventory.img"
#define OLD_INVENTORY "inventory.old" /* in PARTIAL while a commit runs */
#define OLD_CHECKSUMS "checksums.old" /* likewise */

static const char *partial_name(const struct image_dir *dir)
{
	return dir->partial ?: PARTIAL;
}

int image_dir_open(struct image_dir *dir, const char *path)
{
	dir->partial_fd = -1;
	dir->path = NULL;
	dir->partial = NULL;
	dir->unpacked = 0;
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return log_errno(errno, "can't open the image directory %s", path);
	dir->path = strdup(path);
	return dir->path ? 0 : log_errno(ENOMEM, "can't open the image directory %s", path);
}

void image_dir_close(struct image_dir *dir)
{
	image_dir_abort(dir);
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
	if (dir->unpacked > 0)
		close(dir->unpacked);
	dir->unpacked = 0;
	free(take_ptr(dir->path));
}

/* The files of the partial directory, in an array of owned strings. */
struct names {
	char **name;
	size_t count;
};

#define _cleanup_names_ __attribute__((cleanup(free_names)))

static void free_names(struct names *names)
{
	while (names->count)
		free(names->name[--names->count]);
	free(names->name);
}

static int list_partial(struct image_dir *dir, struct names *names)
{
	int fd = openat(dir->partial_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		int err = log_errno(errno, "can't list %s/%s", dir->path, partial_name(dir));

		if (fd >= 0)
			close(fd);
		return err;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		char **grown = realloc(names->name, (names->count + 1) * sizeof(*grown));
		if (!grown)
			return log_errno(ENOMEM, "can't list %s/%s", dir->path, partial_name(dir));
		names->name = grown;
		grown[names->count] = strdup(e->d_name);
		if (!grown[names->count])
			return log_errno(ENOMEM, "can't list %s/%s", dir->path, partial_name(dir));
		names->count++;
	}
	return 0;
}

static int remove_all(struct image_dir *dir)
{
	_cleanup_names_ struct names names = {};
	int err = list_partial(dir, &names);

	for (size_t i = 0; !err && i < names.count; i++)
		if (unlinkat(dir->partial_fd, names.name[i], 0))
			err = log_errno(errno, "can't remove %s/%s/%s", dir->path, partial_name(dir), names.name[i]);
	return err;
}

int image_dir_begin_as(struct image_dir *dir, const char *partial)
{
	dir->partial = partial;
	return image_dir_begin(dir);
}

int image_dir_begin(struct image_dir *dir)
{
	bool is_new = !mkdirat(dir->fd, partial_name(dir), 0700);

	if (!is_new && errno != EEXIST)
		return log_errno(errno, "can't make %s/%s", dir->path, partial_name(dir));
	dir->partial_fd = openat(dir->fd, partial_name(dir), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->partial_fd < 0)
		return log_errno(errno, "can't open %s/%s", dir->path, partial_name(dir));
	if (flock(dir->partial_fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
		close(dir->partial_fd);
		dir->partial_fd = -1; /* not ours to remove */
		log_err("another dump writes to %s right now: give each dump a directory of its own", dir->path);
		return -EBUSY;
	}
	/* Killed in the middle of a commit, the dump before this one left the older inventory here. Its set is mixed.
	 */
	return is_new ? 0 : remove_all(dir);
}

/*
 * Gives a file its final name; an older one of that name goes to PARTIAL, where undo finds it. Returns 0 or -errno.
 */
static int move_in(struct image_dir *dir, const char *name)
{
	struct stat st;

	if (!renameat2(dir->partial_fd, name, dir->fd, name, RENAME_NOREPLACE))
		return 0;
	if (errno == EEXIST && !fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode))
		return -EISDIR;
	if (errno == EEXIST && !renameat2(dir->partial_fd, name, dir->fd, name, RENAME_EXCHANGE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without the flags (NFS): the older file is lost if the commit fails. */
	return renameat(dir->partial_fd, name, dir->fd, name) ? -errno : 0;
}

/* Takes a file back out; the older one of that name, if any, comes back. */
static void move_out(struct image_dir *dir, const char *name)
{
	if (renameat2(dir->fd, name, dir->partial_fd, name, RENAME_EXCHANGE) &&
	    renameat(dir->fd, name, dir->partial_fd, name))
		log_warn("can't take %s/%s back: %s", dir->path, name, strerror(errno));
}

/* The name of a page image in its other form, compressed or not; false: it is none. */
static bool other_form(const char *name, char *other, size_t size)
{
	const char *number = strncmp(name, "pages-packed-", 13) ? name + 6 : name + 13;

	if (strncmp(name, "pages-", 6) || *number < '0' || *number > '9')
		return false;
	snprintf(other, size, "pages-%s%s", number == name + 6 ? "packed-" : "", number);
	return true;
}

/* Page images of the older set in the form that the new ones do not have would be taken for these. */
static void move_other_forms(struct image_dir *dir, const struct names *names, int from, int to)
{
	char other[300];

	for (size_t i = 0; i < names->count; i++)
		if (other_form(names->name[i], other, sizeof(other)) && renameat(from, other, to, other) &&
		    errno != ENOENT)
			log_warn("can't move %s of %s: %s", other, dir->path, strerror(errno));
}

/* Moves all in, the inventory last, or none. */
static int move_all_in(struct image_dir *dir, const struct names *names)
{
	size_t done = 0;
	int err = 0;

	for (; done < names->count; done++) {
		if (!strcmp(names->name[done], INVENTORY))
			continue;
		err = move_in(dir, names->name[done]);
		if (err)
			break;
	}
	if (!err && !faccessat(dir->partial_fd, INVENTORY, F_OK, 0))
		err = move_in(dir, INVENTORY);
	if (!err)
		return 0;
	log_errno(-err, "can't give the images in %s their final names", dir->path);
	while (done-- > 0)
		if (strcmp(names->name[done], INVENTORY))
			move_out(dir, names->name[done]);
	return err;
}

/* drop_old: an inventory that is there belongs to an older set. */
static int commit(struct image_dir *dir, bool drop_old)
{
	_cleanup_names_ struct names names = {};
	int err = list_partial(dir, &names);

	if (err)
		return err;
	bool had_old = drop_old && !renameat(dir->fd, INVENTORY, dir->partial_fd, OLD_INVENTORY);
	if (drop_old && !had_old && errno != ENOENT)
		return log_errno(errno, "can't move the older %s/" INVENTORY " away", dir->path);
	/* They are of the older set, and a new one may have none. */
	bool had_sums = drop_old && !renameat(dir->fd, CHECKSUMS_NAME, dir->partial_fd, OLD_CHECKSUMS);
	move_other_forms(dir, &names, dir->fd, dir->partial_fd);
	err = move_all_in(dir, &names);
	if (err)
		move_other_forms(dir, &names, dir->partial_fd, dir->fd);
	if (err && had_sums && renameat(dir->partial_fd, OLD_CHECKSUMS, dir->fd, CHECKSUMS_NAME))
		log_warn("can't move the older %s/" CHECKSUMS_NAME " back: %s", dir->path, strerror(errno));
	if (err && had_old && renameat(dir->partial_fd, OLD_INVENTORY, dir->fd, INVENTORY))
		log_warn("can't move the older %s/" INVENTORY " back: %s", dir->path, strerror(errno));
	if (!err)
		unlinkat(dir->fd, DEDUP_MARK, 0);
	if (!err)
		image_dir_abort(dir); /* what is left is the older set */
	return err;
}

int image_dir_commit(struct image_dir *dir)
{
	return commit(dir, true);
}

int image_dir_commit_pages(struct image_dir *dir, const struct stat *old_inventory)
{
	struct stat st;

	return commit(dir, old_inventory->st_ino && !fstatat(dir->fd, INVENTORY, &st, AT_SYMLINK_NOFOLLOW) &&
				   st.st_ino == old_inventory->st_ino && st.st_dev == old_inventory->st_dev);
}

void image_dir_abort(struct image_dir *dir)
{
	if (dir->partial_fd < 0)
		return;
	bool gone = !unlinkat(dir->fd, partial_name(dir), AT_REMOVEDIR); /* as after most commits: nothing is in it */

	if (!gone)
		remove_all(dir);
	close(dir->partial_fd);
	dir->partial_fd = -1;
	if (!gone && unlinkat(dir->fd, partial_name(dir), AT_REMOVEDIR))
		log_warn("can't remove %s/%s: %s", dir->path, partial_name(dir), strerror(errno));
}
