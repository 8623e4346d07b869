/*
 * Regular files, directories and plain devices (null, zero, full, random, urandom, kmsg is not one): kept as
 * the path that leads to them. Also what tasks map, execute, and have as working and root directory.
 *
 * What has no name any more is a ghost (ghost.c), what has others than that by which it was opened: link_remap.c. A
 * renamed file has its new name.
 *
 * What --external names comes from outside at a restore: its name is only a key. Programs and libraries have their
 * build-id, too.
 *
 * Does not handle: paths that now lead to something else, like one below a mount that came later (judged).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "build_id.h"
#include "cleanup.h"
#include "dump.h"
#include "fd_seen.h"
#include "known_dirs.h"
#include "log.h"
#include "remap-file-path.pb-c.h"
#include "opts.h"
#include "unsupported.h"

struct reg {
	long fs; /* kind of the file system: man 2 statfs */
	const struct ghost *ghost; /* NULL: it has its name */
	pid_t dead; /* a file of /proc/PID of this process, which is gone; 0: none */
	bool other_names; /* it has only names that it was not opened by */
	const struct link_remap *link; /* then, with --link-remap */
	uint64_t dir; /* inode of the directory that has its name; 0: not known */
	bool external;
	char key[40]; /* then: of --external */
	char device[64]; /* another path to the device, --evasive-devices; "": none */
	mode_t mode; /* then: of what that leads to; else as it was opened */
	size_t build_id_len; /* bytes; 0: none */
	uint32_t build_id[BUILD_ID_MAX / 4];
};

static bool is_plain_device(const struct stat *st)
{
	static const unsigned int minors[] = { 3, 5, 7, 8, 9 }; /* null, zero, full, random, urandom: man 4 */

	if (!S_ISCHR(st->st_mode) || major(st->st_rdev) != 1)
		return false;
	for (size_t i = 0; i < sizeof(minors) / sizeof(minors[0]); i++)
		if (minor(st->st_rdev) == minors[i])
			return true;
	return false;
}

static bool match(const struct fd_info *info)
{
	const struct stat *st = &info->st;

	if (info->link[0] != '/')
		return false;
	if (!strncmp(info->link, "/memfd:", 7) || !strncmp(info->link, "/dev/zero (deleted)", 19))
		return false;
	return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode) || is_plain_device(st) ||
	       (((info->flags & O_PATH) || info->number < 0) && (S_ISCHR(st->st_mode) || S_ISFIFO(st->st_mode)));
}

/* The process whose file in /proc it is, if that is gone: then nothing is left of it but the name. */
static pid_t dead_owner(const struct dump_file *f)
{
	char path[PATH_MAX], *end;
	struct stat st;

	if (strncmp(f->link, "/proc/", 6) || f->link[6] < '1' || f->link[6] > '9')
		return 0;
	pid_t pid = strtol(f->link + 6, &end, 10);
	snprintf(path, sizeof(path), "%.*s", (int)ghost_name_length(f->link), f->link);
	if (!strncmp(end, "/task/", 6) || (!stat(path, &st) && st.st_ino == f->st.st_ino))
		return 0;
	return pid;
}

/* Whether --external names it, by its mount and inode. */
static bool is_external(const struct dump *d, const struct fd_info *info, struct reg *r)
{
	const char *line = info->text ? strstr(info->text, "mnt_id:") : NULL;
	int mount;

	if (!d->opts->outside_count || !line || sscanf(line, "mnt_id: %d", &mount) != 1)
		return false;
	snprintf(r->key, sizeof(r->key), "file[%x:%lx]", mount, (long)info->st.st_ino);
	return opts_find_outside(d->opts, r->key, false);
}

/* Of programs and libraries: what is mapped or executed. */
static void read_build_id(const struct dump *d, const struct fd_info *info, struct reg *r)
{
	char path[32];

	if (d->opts->by_size_only || info->number >= 0 || !S_ISREG(info->st.st_mode))
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", info->fd);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		r->build_id_len = build_id_read(fd, (uint8_t *)r->build_id);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct reg *r = calloc(1, sizeof(*r));
	struct statfs fs;

	if (!r)
		return log_errno(ENOMEM, "%s", f->link);
	f->data = r;
	if (info->seen) {
		r->fs = info->seen->magic;
		r->dir = info->seen->dir;
		return 0;
	}
	r->external = is_external(d, info, r);
	if (r->external)
		return 0;
	read_build_id(d, info, r);
	if (fstatfs(info->fd, &fs))
		return log_errno(errno, "can't tell the file system of %s", f->link);
	r->fs = fs.f_type;
	if (r->fs == PROC_SUPER_MAGIC) {
		r->dead = dead_owner(f);
		return 0;
	}
	if (unsupported_is_on(r->fs, &f->st))
		return 0;
	if (!f->st.st_nlink)
		return ghost_add(d, f, info->fd, &r->ghost);
	r->other_names = link_remap_is_one(f);
	return r->other_names && d->opts->link_remap ? link_remap_add(d, f, info->fd, &r->link) : 0;
}

/* Files of tasks of the tree come back with them; those of threads would be opened before these exist. */
static int judge_proc(struct dump *d, const struct dump_file *f)
{
	char reason[PATH_MAX + 128], *end;
	const struct dump_task *t = dump_task_by_pid(d, strtol(f->link + 6, &end, 10));
	struct stat st;

	if (!t || t->state == TASK_DEAD)
		snprintf(reason, sizeof(reason), "%s belongs to a process %s", f->link,
			 t ? "that is dead" : "outside the tree, or one that is gone");
	else if (!strncmp(end, "/task/", 6) && atoi(end + 6) != t->pid)
		snprintf(reason, sizeof(reason), "%s belongs to a thread: not supported yet", f->link);
	else if (stat(f->link, &st) || st.st_ino != f->st.st_ino)
		snprintf(reason, sizeof(reason), "%s is now another file", f->link);
	else
		return 0;
	return blocker_add(d, f->pid, "proc file", reason, "close it before the dump", "%s", f->where);
}

/* Another path to the device, in /dev, by the name that the kernel gives it. */
static bool find_device(const struct dump_file *f, struct reg *r)
{
	char path[64], line[64], name[48];
	struct stat st;

	snprintf(path, sizeof(path), "/sys/dev/char/%u:%u/uevent", major(f->st.st_rdev), minor(f->st.st_rdev));
	_cleanup_fclose_ FILE *uevent = fopen(path, "re");
	while (uevent && fgets(line, sizeof(line), uevent))
		if (sscanf(line, "DEVNAME=%47[^\n]", name) == 1) {
			snprintf(r->device, sizeof(r->device), "/dev/%s", name);
			if (stat(r->device, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != f->st.st_rdev)
				continue;
			r->mode = st.st_mode;
			return true;
		}
	r->device[0] = 0;
	return false;
}

/* A device that its path does not lead to: another inode of the same device will do, with --evasive-devices. */
static bool evades(struct dump *d, const struct dump_file *f, const struct stat *now)
{
	struct reg *r = f->data;

	if (!d->opts->evasive_devices || !S_ISCHR(f->st.st_mode))
		return false;
	if (!now || !S_ISCHR(now->st_mode) || now->st_rdev != f->st.st_rdev)
		return find_device(f, r);
	r->mode = now->st_mode;
	return true;
}

/* Most files have their names in few directories. */
static bool is_in_known_dir(struct dump *d, const struct dump_file *f, uint64_t dir)
{
	if (!d->known_dirs)
		d->known_dirs = known_dirs_new();
	return d->known_dirs && known_dirs_lead(d->known_dirs, f->link, f->st.st_dev, dir);
}

static int judge_file(struct dump *d, const struct dump_file *f)
{
	const struct reg *r = f->data;
	char reason[PATH_MAX + 128];
	struct stat st;

	if (r->dead || r->external)
		return 0;
	if (unsupported_is_on(r->fs, &f->st))
		return unsupported_judge_on(d, f, r->fs);
	if (r->fs == PROC_SUPER_MAGIC && !strncmp(f->link, "/proc/", 6) && f->link[6] >= '0' && f->link[6] <= '9')
		return judge_proc(d, f);
	if (r->ghost)
		return ghost_judge(d, f, r->ghost);
	if (r->other_names)
		return link_remap_judge(d, f, r->link);
	if (r->dir && is_in_known_dir(d, f, r->dir))
		return 0;
	int missing = stat(f->link, &st) ? errno : 0;
	if (!missing && st.st_ino == f->st.st_ino && st.st_dev == f->st.st_dev)
		return 0;
	if (evades(d, f, missing ? NULL : &st))
		return 0;
	snprintf(reason, sizeof(reason), "%s %s", f->link,
		 missing ? "is not reachable by this path" : "is now another file");
	return blocker_add(d, f->pid, "hidden file", reason,
			   S_ISCHR(f->st.st_mode)
				   ? "--evasive-devices, or make it reachable by its path again before the dump"
				   : "close it, or make it reachable by its path again before the dump, or name it by "
				     "--external 'file[MNT_ID:INODE]'",
			   "%s", f->where);
}

/* It is not opened by its name alone. */
static bool is_remapped(const struct reg *r)
{
	return r->ghost || r->link || r->dead;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	RegFileEntry *r = arena_get(arena, sizeof(*r));
	char *name = arena_strdup(arena, f->link);

	if (!r || !name)
		return -ENOMEM;
	const struct reg *now = f->data;
	if (is_remapped(now))
		name[ghost_name_length(name)] = 0;
	if (now->external || now->device[0])
		name = (char *)(now->external ? now->key : now->device);
	reg_file_entry__init(r);
	r->id = f->id;
	r->flags = f->number >= 0 ? f->flags : f->flags & O_ACCMODE;
	r->pos = f->pos;
	r->fown = (FownEntry *)&f->fown;
	r->name = name;
	r->has_mode = true;
	r->mode = now->mode ? now->mode : f->st.st_mode;
	r->has_size = S_ISREG(f->st.st_mode) && !now->external;
	r->size = f->st.st_size;
	r->has_ext = r->ext = now->external;
	r->n_build_id = (now->build_id_len + 3) / 4;
	r->build_id = (uint32_t *)now->build_id;
	e->reg = r;
	return 0;
}

struct remaps {
	struct image_writer w;
	bool any;
	bool directories; /* are meant, all others are written: CRIU removes them in this order */
};

static int put_remap(struct dump *d, struct dump_file *f, void *arg)
{
	const struct reg *r = f->data;
	struct remaps *all = arg;

	if (!is_remapped(r) || !S_ISDIR(f->st.st_mode) == all->directories)
		return 0;
	if (!all->any)
		image_create(&all->w, &d->images, IMG_REMAP_FPATH, 0);
	all->any = true;
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	e.orig_id = f->id;
	e.remap_id = r->dead ? (uint32_t)r->dead : r->link ? link_remap_id(r->link) : ghost_id(r->ghost);
	e.has_remap_type = true;
	e.remap_type = r->dead ? REMAP_TYPE__PROCFS : r->link ? REMAP_TYPE__LINKED : REMAP_TYPE__GHOST;
	image_put(&all->w, &e.base);
	return 0;
}

static int write_ghosts(struct dump *d)
{
	struct remaps all = {};
	const struct dump_file *f = NULL;

	while ((f = files_next_of(d, &dump_fd_reg, f)) && !is_remapped(f->data))
		;
	int err = f ? files_each(d, &dump_fd_reg, put_remap, &all) : 0;
	all.directories = true;
	if (!err && f)
		err = files_each(d, &dump_fd_reg, put_remap, &all);
	int closed = all.any ? image_close(&all.w) : 0;

	return err ? err : closed ? closed : ghosts_write(d);
}

const struct dump_fd_kind dump_fd_reg = {
	.name = "reg",
	.type = FD_TYPES__REG,
	.match = match,
	.collect = collect,
	.judge = judge_file,
	.fill = fill,
	.write = write_ghosts,
};
