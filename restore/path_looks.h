/*
 * What the paths of regular files lead to now. Where there are many, a thread looks at them while the other images are
 * read.
 */
#ifndef CKPT_RESTORE_PATH_LOOKS_H
#define CKPT_RESTORE_PATH_LOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct plan;
struct plan_file;

struct path_look {
	int error; /* errno of statx(2); 0: the rest is known */
	mode_t mode;
	uint64_t size;
	/* What it depends on whether it can be opened: two that have all in common can, or both cannot. */
	struct path_right {
		uint64_t mount;
		uint32_t mode, uid, gid;
		bool fixed; /* nobody may write there: chattr(1) i or a */
		int access; /* O_ACCMODE */
	} right;
};

/* All files are known by now. Ended when nobody asks any more, before anything is forked. */
void path_looks_begin(struct plan *plan);
void path_looks_end(struct plan *plan);
struct path_look path_look(struct plan *plan, const struct plan_file *file);
/*
 * Whether it can be opened as the image says, as far as that can be said without opening it; errno otherwise. Access
 * control lists of single files count only for the first one.
 */
bool path_may_open(struct plan *plan, const struct plan_file *file, const struct path_look *look);

#endif
