/*
 * Shared anonymous memory: made and filled by the lowest common ancestor of all who map it. They map it again
 * through a descriptor from /proc/self/map_files, so that it is what it was, "/dev/zero (deleted)", and no
 * memfd.
 */
#include "shmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "log.h"
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

static int fill_segment(struct plan *plan, const struct plan_segment *s, uint8_t *base)
{
	if (!s->pages.n_reads)
		return 0;
	_cleanup_close_ int fd = image_open_raw(&plan->images, IMG_PAGES, s->pages.image);
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < s->pages.n_reads; i++) {
		int err = read_run(fd, &s->pages.reads[i], base);

		if (err)
			return log_errno(-err, "can't read the pages of shared memory %llu from pages-%u.img",
					 (unsigned long long)s->id, s->pages.image);
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

int shmem_create(struct plan *plan, struct plan_segment *s)
{
	uint8_t *base = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return log_errno(errno, "can't make %llu bytes of shared memory", (unsigned long long)s->size);
	int err = fill_segment(plan, s, base);
	if (!err) {
		s->fd = open_mapping(plan, base, s->size);
		err = s->fd < 0 ? s->fd : 0;
	}
	munmap(base, s->size);
	return err;
}
