/* Page images, found by directory and number, and opened when pages are read from them. */
#include "page_files.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"

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
