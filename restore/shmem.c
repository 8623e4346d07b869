/*
 * Shared memory: made and filled by the lowest common ancestor of all who use it. Anonymous segments are mapped
 * again through a descriptor from /proc/self/map_files, so that they are what they were, "/dev/zero (deleted)",
 * and no memfd.
 */
#include "shmem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "page_files.h"
#include "plan.h"

/* Reads the pages of one run of the page image to where they belong in the segment mapped at base. */
static int read_run(int fd, const struct restorer_read *r, uint8_t *base)
{
	uint64_t offset = r->offset;

	for (uint64_t i = 0; i < r->count; i++) {
		uint8_t *to = base + r->pages[i].addr;
		uint64_t left = r->pages[i].len;

		while (left) {
			ssize_t n = pread(fd, to, left, offset);

			if (n <= 0)
				return n ? -errno : -ENODATA;
			to += n;
			offset += n;
			left -= n;
		}
	}
	return 0;
}

int shmem_fill(struct plan *plan, const struct plan_segment *s, uint8_t *base)
{
	if (!s->pages.n_reads)
		return 0;
	_cleanup_page_files_ struct page_files files = { plan, &s->pages, NULL };
	for (size_t i = 0; i < s->pages.n_reads; i++) {
		uint32_t file = s->pages.reads[i].file;
		int fd = page_files_get(&files, file);
		int err = fd < 0 ? fd : read_run(fd, &s->pages.reads[i], base);

		if (err)
			return log_errno(-err, "can't read the pages of shared memory %llu from pages-%u.img",
					 (unsigned long long)s->id, s->pages.files[file].id);
	}
	return 0;
}

static int open_mapping(struct plan *plan, const uint8_t *base, uint64_t size)
{
	char path[80];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)base, (unsigned long)base + size);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return log_errno(
			errno,
			"can't open %s (needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE in the initial user namespace)",
			path);
	return fd_to_temporary(plan, fd);
}

static int failed_mapping(const struct plan_segment *s)
{
	return log_errno(errno, "can't map %llu bytes of %sshared memory%s", (unsigned long long)s->size,
			 s->huge ? "huge pages of " : "",
			 s->huge && errno == ENOMEM ? "; there are not enough huge pages: raise vm.nr_hugepages" : "");
}

static int create_anonymous(struct plan *plan, struct plan_segment *s)
{
	/* The size of huge pages stands at the same place as in the flags of memfd_create(). */
	int flags = s->huge ? MAP_HUGETLB | (s->huge & (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT) : MAP_NORESERVE;
	uint64_t len = s->size ? (s->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE : IMAGE_PAGE_SIZE;
	uint8_t *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);

	if (base == MAP_FAILED)
		return failed_mapping(s);
	int err = shmem_fill(plan, s, base);
	if (!err) {
		s->fd = open_mapping(plan, base, len);
		err = s->fd < 0 ? s->fd : 0;
	}
	munmap(base, len);
	/* Who opens /proc/PID/map_files can do that, too. */
	if (!err && len != s->size && ftruncate(s->fd, s->size))
		err = log_errno(errno, "can't make shared memory %llu %llu bytes large", (unsigned long long)s->id,
				(unsigned long long)s->size);
	return err;
}

static int new_memfd(const struct plan_segment *s)
{
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | s->huge;
	bool never = s->memfd->seals & F_SEAL_EXEC && s->memfd->has_mode && !(s->memfd->mode & 0111);
	int fd = memfd_create(s->memfd->name, flags | (never ? MFD_NOEXEC_SEAL : MFD_EXEC));

	if (fd < 0 && errno == EINVAL && !never) /* these came with 6.3 */
		fd = memfd_create(s->memfd->name, flags);
	if (fd < 0)
		return log_errno(errno, "can't make the memfd \"%s\"%s", s->memfd->name,
				 s->huge ? ": check /sys/kernel/mm/hugepages for the size of its pages" : "");
	return fd;
}

static int fill_memfd(struct plan *plan, const struct plan_segment *s, int fd)
{
	uint64_t len = (s->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE;

	if (ftruncate(fd, s->size))
		return log_errno(errno, "can't make the memfd \"%s\" %llu bytes large", s->memfd->name,
				 (unsigned long long)s->size);
	if (!s->pages.n_reads)
		return 0;
	uint8_t *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return failed_mapping(s);
	int err = shmem_fill(plan, s, base);
	munmap(base, len);
	return err;
}

/* Owner, mode and seals; the former are forbidden by the latter. */
static int set_inode(struct plan_segment *s, int fd)
{
	const MemfdInodeEntry *m = s->memfd;

	if (fchown(fd, m->uid, m->gid) || (m->has_mode && fchmod(fd, m->mode & 07777)))
		return log_errno(errno, "can't set owner and mode of the memfd \"%s\"", m->name);
	s->sealed = !(m->seals & F_SEAL_FUTURE_WRITE); /* else its writers map it first */
	if (s->sealed && m->seals && fcntl(fd, F_ADD_SEALS, m->seals))
		return log_errno(errno, "can't seal the memfd \"%s\" (seals 0x%x)", m->name, m->seals);
	return 0;
}

static int create_memfd(struct plan *plan, struct plan_segment *s)
{
	_cleanup_close_ int fd = new_memfd(s);
	int err = fd < 0 ? fd : fill_memfd(plan, s, fd);

	if (!err)
		err = set_inode(s, fd);
	if (err)
		return err;
	s->fd = fd_to_temporary(plan, take_fd(&fd));
	return s->fd < 0 ? s->fd : 0;
}

int shmem_create(struct plan *plan, struct plan_segment *s)
{
	return s->memfd ? create_memfd(plan, s) : create_anonymous(plan, s);
}
