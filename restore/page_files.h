/* The page images that pages are read from: those of an incremental dump lie in several directories. */
#ifndef CKPT_RESTORE_PAGE_FILES_H
#define CKPT_RESTORE_PAGE_FILES_H

#include "plan.h"

/* The page images of a task or of a segment, each opened when it is first needed. */
struct page_files {
	struct plan *plan;
	const struct plan_pages *pages;
	int *fds; /* NULL: none was opened yet */
};

#define _cleanup_page_files_ __attribute__((cleanup(page_files_close)))

/* Opens a page image. Returns the descriptor or -errno (logged). */
int page_file_open(const struct plan *plan, const struct plan_page_file *file);
/* The descriptor of one of them (restorer_read.file), which stays theirs, or -errno (logged). */
int page_files_get(struct page_files *files, uint32_t file);
void page_files_close(struct page_files *files);
/* --auto-dedup: in the end, cuts all that was restored out of the images. What fails is logged: the tree runs. */
void page_files_punch(struct plan *plan);

#endif
