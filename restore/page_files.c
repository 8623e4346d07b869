/* Page images, found by directory and number, and opened when pages are read from them. */
#include "page_files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cleanup.h"
#include "dedup.h"
#include "log.h"
#include "packed.h"

int page_file_open(const struct plan *plan, const struct plan_page_file *file)
{
	const struct image_dir *dir = image_chain_dir(&plan->chain, file->depth);
	int fd = image_open_raw(dir, IMG_PAGES, file->id);

	if (fd == -ENOENT)
		return log_errno(ENOENT, "%s/pages-%u.img is gone", dir->path, file->id);
	return fd;
}

int page_files_get(struct page_files *files, uint32_t file)
{
	size_t n = files->pages->n_files;

	if (!files->fds) {
		files->fds = malloc(n * sizeof(*files->fds));
		if (!files->fds)
			return log_errno(ENOMEM, "no memory for %zu page images", n);
		memset(files->fds, 0xff, n * sizeof(*files->fds));
	}
	if (files->fds[file] < 0)
		files->fds[file] = page_file_open(files->plan, &files->pages->files[file]);
	return files->fds[file];
}

void page_files_close(struct page_files *files)
{
	for (size_t i = 0; files->fds && i < files->pages->n_files; i++)
		cleanup_close(&files->fds[i]);
	free(take_ptr(files->fds));
}

static int punch_read(const struct plan *plan, const struct plan_pages *pages, const struct restorer_read *r, int fd)
{
	const struct plan_page_file *file = &pages->files[r->file];
	char name[64];
	uint64_t len = 0;

	for (uint64_t i = 0; i < r->count; i++)
		len += r->pages[i].len;
	return dedup_punch(fd, r->offset, len, image_name(name, sizeof(name), IMG_PAGES, file->id));
}

/* Returns 0 or -errno (logged). */
static int punch_pages(const struct plan *plan, const struct plan_pages *pages)
{
	int err = 0;

	for (size_t f = 0; !err && f < pages->n_files; f++) {
		const struct image_dir *dir = image_chain_dir(&plan->chain, pages->files[f].depth);
		char name[64];

		if (packed_is(dir, pages->files[f].id)) {
			log_warn("%s: its pages are compressed, and stay as they are", dir->path);
			continue;
		}
		image_name(name, sizeof(name), IMG_PAGES, pages->files[f].id);
		_cleanup_close_ int fd = openat(dir->fd, name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return log_errno(errno, "can't open %s/%s to cut pages out of it", dir->path, name);
		err = dedup_is_marked(dir) ? 0 : dedup_mark(dir);
		for (size_t i = 0; !err && i < pages->n_reads; i++)
			if (pages->reads[i].file == f)
				err = punch_read(plan, pages, &pages->reads[i], fd);
	}
	return err;
}

void page_files_punch(struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; !err && i < plan->n_tasks; i++)
		err = punch_pages(plan, &plan->tasks[i].pages);
	for (const struct plan_segment *s = plan->segments; !err && s; s = s->next)
		err = punch_pages(plan, &s->pages);
	if (err)
		log_warn("the tree is restored, but not all of it was cut out of the images");
}
