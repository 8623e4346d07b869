/*
 * Memfds: each inode of memfd.img is a segment of shared memory (shmem.c), which its owner makes with contents and
 * seals before anybody opens it. The description that memfd_create() itself makes is not counted as a writer, so that
 * the file can be executed: it is used for mappings, and for the first description that writes. CRIU's images keep
 * shared anonymous memory as inodes with the names that the kernel gives it: these become what they were.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "outside.h"
#include "plan.h"

#define SIZE_MAX_BYTES (1ul << 47)
#define SEALS_KNOWN 0x3f /* F_SEAL_SEAL to F_SEAL_EXEC */
#define NAME_MAX_BYTES 249 /* NAME_MAX without "memfd:" */

static bool is_anonymous(const MemfdInodeEntry *m)
{
	return !strcmp(m->name, m->hugetlb_flag ? "/anon_hugepage" : "/dev/zero");
}

static const MemfdInodeEntry *find_inode(const struct plan *plan, uint32_t id)
{
	for (size_t i = 0; i < plan->n_memfds; i++)
		if (plan->memfds[i]->inode_id == id)
			return plan->memfds[i];
	return NULL;
}

static bool check_inode(struct plan *plan, const MemfdInodeEntry *m)
{
	uint64_t huge = m->hugetlb_flag ? plan_huge_size(m->hugetlb_flag) : 0;
	const char *what = NULL;

	if (m->size >= SIZE_MAX_BYTES)
		what = "its size";
	else if (m->seals & ~SEALS_KNOWN)
		what = "its seals";
	else if (m->has_mode && m->mode & ~(uint32_t)(S_IFMT | 07777))
		what = "its mode";
	else if (m->hugetlb_flag && (m->hugetlb_flag & ~((uint32_t)MFD_HUGE_MASK << MFD_HUGE_SHIFT) & ~MFD_HUGETLB))
		what = "its flags of huge pages";
	else if (m->hugetlb_flag && (!huge || m->size % huge))
		what = "its size in huge pages (does this kernel have them?)";
	else if (!is_anonymous(m) && strlen(m->name) > NAME_MAX_BYTES)
		what = "its name";
	plan->huge_pages |= huge;
	if (what)
		plan_refuse(plan, "memfd.img: inode %llu: %s makes no sense", (unsigned long long)m->inode_id, what);
	return !what;
}

static int memfd_read(struct plan *plan, struct plan_file *file)
{
	const MemfdFileEntry *e = file->entry->memfd;
	const MemfdInodeEntry *m = e ? find_inode(plan, e->inode_id) : NULL;

	if (!m) {
		log_err("files.img: file 0x%x is of the kind MEMFD but has no inode in memfd.img", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	if (!check_inode(plan, m))
		return 0;
	struct plan_segment *s = plan_segment(plan, m->shmid);
	if (!s)
		return -ENOMEM;
	s->size = m->size;
	s->sized = true;
	s->huge = m->hugetlb_flag;
	s->memfd = is_anonymous(m) ? NULL : m;
	file->data = s;
	char key[sizeof("/memfd:") + NAME_MAX_BYTES];
	snprintf(key, sizeof(key), "/memfd:%s", m->name);
	return outside_find(plan, file, key, 0);
}

/* The tree would have one file in its descriptors, and another in its memory. */
static int memfd_resolve(struct plan *plan, struct plan_file *file)
{
	if (file->outside >= 0 && (file->map[0].owner || file->map[1].owner))
		plan_refuse(plan, "memfd 0x%x is mapped, too: it can't be given by --inherit-fd", file->id);
	return 0;
}

static void memfd_used_by(struct plan *plan, struct plan_file *file, struct plan_task *ancestor)
{
	struct plan_segment *s = file->data;

	if (!s)
		return;
	s->owner = plan_common_ancestor(s->owner, ancestor);
	if (s->memfd && !s->first && file->with->owner && file->outside < 0 &&
	    (file->flags & (O_ACCMODE | O_PATH)) == O_RDWR)
		s->first = file;
}

static int take_first(struct plan *plan, const struct plan_segment *s)
{
	int fd = fcntl(s->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? log_errno(errno, "can't duplicate the memfd \"%s\"", s->memfd->name)
		      : fd_to_temporary(plan, fd);
}

static int reopen(struct plan *plan, struct plan_file *file, int flags)
{
	const struct plan_segment *s = file->data;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
	int fd = open(path, (flags & ~(O_CREAT | O_EXCL | O_TRUNC | FASYNC | O_TMPFILE)) | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open memory file 0x%x with the flags 0%o", file->id, flags);
	return fd_to_temporary(plan, fd);
}

static int memfd_map(struct plan *plan, struct plan_file *file, int flags)
{
	const struct plan_segment *s = file->data;

	return s->memfd && (flags & O_ACCMODE) == O_RDWR ? take_first(plan, s) : reopen(plan, file, flags);
}

static int memfd_open(struct plan *plan, struct plan_file *file)
{
	const struct plan_segment *s = file->data;
	uint64_t pos = file->entry->memfd->pos;

	if (file->outside >= 0) {
		file->fd = outside_take(plan, file);
		return file->fd < 0 ? file->fd : 0;
	}
	file->fd = s->first == file ? take_first(plan, s) : reopen(plan, file, file->flags);
	if (file->fd < 0)
		return file->fd;
	if (s->first == file && fcntl(file->fd, F_SETFL, file->flags & ~FASYNC))
		return log_errno(errno, "can't set the flags 0%o of memory file 0x%x", file->flags, file->id);
	if (pos && !(file->flags & O_PATH) && lseek(file->fd, pos, SEEK_SET) < 0)
		return log_errno(errno, "can't set the position of memory file 0x%x to %llu", file->id,
				 (unsigned long long)pos);
	return 0;
}

/* F_SEAL_FUTURE_WRITE forbids mappings that tasks had before: it comes when they have them again. */
static int memfd_last(struct plan *plan, struct plan_file *file)
{
	struct plan_segment *s = file->data;
	char path[80];

	if (file->outside >= 0 || !s->memfd || !(s->memfd->seals & F_SEAL_FUTURE_WRITE) || s->sealed ||
	    !plan_find_holder(plan, file, path, sizeof(path)))
		return 0;
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_ADD_SEALS, s->memfd->seals))
		return log_errno(errno, "can't seal the memfd \"%s\" (seals 0x%x)", s->memfd->name, s->memfd->seals);
	s->sealed = true;
	return 0;
}

const struct restore_fd_kind restore_fd_memfd = {
	.name = "memfd",
	.type = FD_TYPES__MEMFD,
	.read = memfd_read,
	.resolve = memfd_resolve,
	.used_by = memfd_used_by,
	.open = memfd_open,
	.map = memfd_map,
	.last = memfd_last,
};
