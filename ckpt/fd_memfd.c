/*
 * Memory with a descriptor (memfd_create(2)), of small or huge pages, and what the kernel has behind shared anonymous
 * memory, where it is of huge pages or was opened by /proc/PID/map_files: name, size, mode, owner and seals of each
 * inode (memfd.img). Its pages are written like those of shared memory (shmem.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "memfd.pb-c.h"

#define PREFIX "/memfd:"
#define DELETED " (deleted)"

/* One of its descriptors or mappings, with what is known of the inode. */
struct memfd {
	int seals;
	uint32_t huge_flag; /* MFD_HUGETLB and the size, or 0 */
};

static bool match(const struct fd_info *info)
{
	struct statfs fs;

	if (!S_ISREG(info->st.st_mode) || info->st.st_nlink ||
	    (strncmp(info->link, PREFIX, strlen(PREFIX)) && strcmp(info->link, "/anon_hugepage" DELETED) &&
	     strcmp(info->link, "/dev/zero" DELETED)))
		return false;
	return !fstatfs(info->fd, &fs) && (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

static uint32_t huge_flag(uint64_t page_size)
{
	return MFD_HUGETLB | (uint32_t)__builtin_ctzl(page_size) << MFD_HUGE_SHIFT;
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct memfd *m = calloc(1, sizeof(*m));
	struct statfs fs;
	char path[32];

	if (!m)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	f->data = m;
	/* A description of our own: theirs may not be readable. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", info->fd);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs))
		return log_errno(errno, "can't look at %s of task %d (%s)", f->where, f->pid, f->link);
	uint64_t huge = fs.f_type == HUGETLBFS_MAGIC ? fs.f_bsize : 0;
	m->huge_flag = huge ? huge_flag(huge) : 0;
	m->seals = fcntl(fd, F_GET_SEALS);
	if (m->seals < 0)
		return log_errno(errno, "can't read the seals of %s of task %d", f->where, f->pid);
	return shmem_id(d, f->st.st_dev, f->st.st_ino) ? 0 : shmem_add(d, f->pid, &f->st, huge, take_fd(&fd));
}

/* The number of its inode in memfd.img: that of its contents. */
static uint32_t inode_id(struct dump *d, const struct dump_file *f)
{
	return shmem_id(d, f->st.st_dev, f->st.st_ino);
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	MemfdFileEntry *m = arena_get(arena, sizeof(*m));

	if (!m)
		return -ENOMEM;
	memfd_file_entry__init(m);
	m->id = f->id;
	m->flags = f->number >= 0 ? f->flags : f->flags & O_ACCMODE;
	m->pos = f->pos;
	m->fown = (FownEntry *)&f->fown;
	m->inode_id = inode_id(d, f);
	e->memfd = m;
	return 0;
}

struct inodes {
	struct image_writer w;
	uint32_t last; /* the one written last, 0: none yet. Files come in the order of their inodes */
};

static int put_inode(struct dump *d, struct dump_file *f, void *arg)
{
	struct inodes *all = arg;
	const struct memfd *m = f->data;
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	uint32_t id = inode_id(d, f);
	size_t skip = strncmp(f->link, PREFIX, strlen(PREFIX)) ? 0 : strlen(PREFIX), len = strlen(f->link) - skip;

	if (id == all->last)
		return 0;
	if (!all->last)
		image_create(&all->w, &d->images, IMG_MEMFD_INODE, 0);
	all->last = id;
	_cleanup_free_ char *name = strdup(f->link + skip);
	if (!name)
		return log_errno(ENOMEM, "memfd");
	if (len >= strlen(DELETED) && !strcmp(name + len - strlen(DELETED), DELETED))
		name[len - strlen(DELETED)] = 0;
	e.name = name;
	e.uid = f->st.st_uid;
	e.gid = f->st.st_gid;
	e.size = f->st.st_size;
	e.shmid = id;
	e.seals = m->seals;
	e.inode_id = id;
	e.has_hugetlb_flag = m->huge_flag;
	e.hugetlb_flag = m->huge_flag;
	e.has_mode = true;
	e.mode = f->st.st_mode;
	image_put(&all->w, &e.base);
	return 0;
}

static int write_inodes(struct dump *d)
{
	struct inodes all = {};

	int err = files_each(d, &dump_fd_memfd, put_inode, &all);
	int closed = all.last ? image_close(&all.w) : 0;
	return err ? err : closed;
}

const struct dump_fd_kind dump_fd_memfd = {
	.name = "memfd",
	.type = FD_TYPES__MEMFD,
	.match = match,
	.collect = collect,
	.fill = fill,
	.write = write_inodes,
};
