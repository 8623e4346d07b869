/*
 * Names of UNIX sockets. The kernel keeps the words that bind(2) was given, for ever, whatever becomes of the file.
 * A name whose file shall not be seen is bound in an empty file system of our own, as root directory (man 2 fsmount,
 * chroot): no other file is in the way there, and nothing is left of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "plan.h"
#include "sk_unix.h"

socklen_t sk_unix_address(const UnixSkEntry *e, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(addr->sun_path, e->name.data, e->name.len);
	return offsetof(struct sockaddr_un, sun_path) + e->name.len;
}

bool sk_unix_has_path(const UnixSkEntry *e)
{
	return e->name.len && e->name.data[0];
}

/* Where its file is to be. */
static void file_path(const UnixSkEntry *e, char path[PATH_MAX])
{
	if (e->path)
		snprintf(path, PATH_MAX, "%s", e->path);
	else if (e->name.data[0] == '/')
		snprintf(path, PATH_MAX, "%.*s", (int)e->name.len, e->name.data);
	else
		snprintf(path, PATH_MAX, "%s/%.*s", e->name_dir ? e->name_dir : "", (int)e->name.len, e->name.data);
}

/*
 * Whether a socket lives behind the file. A SOCK_DGRAM socket asks: connecting one tells the other side nothing.
 */
static bool is_alive(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int file = open(path, O_PATH | O_CLOEXEC);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (file < 0 || fd < 0)
		return false;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d", file);
	return !connect(fd, (struct sockaddr *)&addr, sizeof(addr)) || errno == EPROTOTYPE;
}

void sk_unix_check_name(struct plan *plan, const struct plan_file *file, struct sk_unix *u)
{
	const UnixSkEntry *e = u->entry;
	char path[PATH_MAX], copy[PATH_MAX];
	struct stat st;

	if (!sk_unix_has_path(e) || u->listener != file || (e->has_deleted && e->deleted) || file->outside >= 0 ||
	    plan->offline)
		return;
	file_path(e, path);
	u->absent = lstat(path, &st) != 0;
	strcpy(copy, path);
	if (u->absent && access(dirname(copy), F_OK))
		plan_refuse(plan, "%s, the directory of UNIX socket 0x%x, is missing: make it", copy, file->id);
	else if (!u->absent && !S_ISSOCK(st.st_mode))
		plan_refuse(plan, "%s, the name of UNIX socket 0x%x, is now another file: move it away", path,
			    file->id);
	else if (!u->absent && is_alive(path))
		plan_refuse(plan, "%s, the name of UNIX socket 0x%x, is in use by another process: end it first", path,
			    file->id);
}

static int bind_name(const UnixSkEntry *e, int fd)
{
	struct sockaddr_un addr;
	socklen_t len = sk_unix_address(e, &addr);

	return bind(fd, (struct sockaddr *)&addr, len) ? -errno : 0;
}

/* Makes the directories of a path in the current one. */
static int make_directories(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", name);
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		if (*path && mkdir(path, 0700) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

static int empty_file_system(void)
{
	_cleanup_close_ int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	int mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	return mount < 0 ? -errno : mount;
}

static int bind_hidden(const UnixSkEntry *e, int fd)
{
	_cleanup_close_ int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int mount = empty_file_system();
	char name[PATH_MAX];

	if (root < 0 || cwd < 0 || mount < 0)
		return mount < 0 ? mount : -errno;
	snprintf(name, sizeof(name), "%.*s", (int)e->name.len, e->name.data);
	int err = fchdir(mount) || chroot(".") ? -errno : make_directories(name + strspn(name, "/"));
	if (!err)
		err = bind_name(e, fd);
	/* So that it looks deleted, which it is for everybody else. */
	if (!err && unlink(name))
		err = -errno;
	if (fchdir(root) || chroot(".") || fchdir(cwd))
		return -errno;
	return err;
}

/* In the place where it was; a file of a socket that is dead may still lie there. */
static int bind_visible(const UnixSkEntry *e, int fd)
{
	_cleanup_close_ int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char path[PATH_MAX];

	file_path(e, path);
	if (!e->path && unlink(path) && errno != ENOENT)
		return -errno;
	if (cwd < 0 || (e->name.data[0] != '/' && e->name_dir && chdir(e->name_dir)))
		return -errno;
	int err = bind_name(e, fd);
	if (fchdir(cwd))
		return -errno;
	return err;
}

int sk_unix_bind(const struct plan_file *file, const struct sk_unix *u, int fd, bool hidden)
{
	const UnixSkEntry *e = u->entry;
	bool deleted = e->has_deleted && e->deleted;

	if (!e->name.len)
		return 0;
	int err = !sk_unix_has_path(e) ? bind_name(e, fd)
		  : hidden || deleted  ? bind_hidden(e, fd)
				       : bind_visible(e, fd);
	if (!err)
		return 0;
	return log_errno(-err, "can't give UNIX socket 0x%x its name %s%.*s", file->id, e->name.data[0] ? "" : "@",
			 (int)(e->name.len - !e->name.data[0]), e->name.data + !e->name.data[0]);
}

static bool is_socket(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISSOCK(st.st_mode);
}

int sk_unix_place_file(const struct plan_file *file, const struct sk_unix *u)
{
	const UnixSkEntry *e = u->entry;
	char path[PATH_MAX], bound[PATH_MAX];

	if (!sk_unix_has_path(e) || u->listener != file || (e->has_deleted && e->deleted))
		return 0;
	file_path(e, path);
	if (e->path) {
		UnixSkEntry by_name = *e;

		by_name.path = NULL;
		file_path(&by_name, bound);
		if (rename(bound, path))
			return log_errno(errno, "can't rename %s to %s", bound, path);
	}
	for (size_t i = 0; i < e->n_links; i++) {
		/* Of the socket that is dead now. */
		if (is_socket(e->links[i]) && unlink(e->links[i]))
			return log_errno(errno, "can't remove %s", e->links[i]);
		if (link(path, e->links[i]))
			return log_errno(errno, "can't link %s to %s", e->links[i], path);
	}
	const FilePermsEntry *p = e->file_perms;
	if (p && (lchown(path, p->uid, p->gid) || chmod(path, p->mode & 07777)))
		return log_errno(errno, "can't set owner and mode of %s", path);
	return 0;
}

int sk_unix_reach_address(const struct plan_file *file, int fd, struct sockaddr_un *addr, int *hold)
{
	socklen_t len = sizeof(*addr);

	*hold = -1;
	if (getsockname(fd, (struct sockaddr *)addr, &len))
		return log_errno(errno, "can't tell the name of UNIX socket 0x%x", file->id);
	if (len <= offsetof(struct sockaddr_un, sun_path) || !addr->sun_path[0])
		return len;
	*hold = ioctl(fd, SIOCUNIXFILE);
	if (*hold < 0)
		return log_errno(errno, "can't find the file of UNIX socket 0x%x", file->id);
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d", *hold);
	return sizeof(*addr);
}

void sk_unix_remove_file(const struct sk_unix *u)
{
	char path[PATH_MAX];

	if (!u->absent)
		return;
	file_path(u->entry, path);
	if (is_socket(path))
		unlink(path);
	for (size_t i = 0; i < u->entry->n_links; i++)
		if (is_socket(u->entry->links[i]))
			unlink(u->entry->links[i]);
}
