/* Working directory, root directory and umask (fs-PID.img). */
#include <errno.h>
#include <fcntl.h>

#include "kernel_look.h"
#include "fs.pb-c.h"

static int collect(struct dump_task *t)
{
	t->cwd = task_link_of_parent(t, "cwd");
	t->root = task_link_of_parent(t, "root");
	int err = t->cwd ? 0 : files_add_link(t, "cwd", O_DIRECTORY, &t->cwd);

	return err || t->root ? err : files_add_link(t, "root", O_DIRECTORY, &t->root);
}

static int write_fs(struct dump_task *t)
{
	FsEntry e = FS_ENTRY__INIT;

	e.cwd_id = t->cwd->id;
	e.root_id = t->root->id;
	e.has_umask = true;
	e.umask = t->threads[0].status.umask;
	return image_write_one(&t->dump->images, IMG_FS, t->pid, &e.base);
}

const struct dump_part dump_part_fs = {
	.name = "fs",
	.collect = collect,
	.write = write_fs,
};
