/*
 * FIFOs with what is in them. All that have one open are opened together, while a descriptor for both directions keeps
 * the opening from waiting for the other side, and takes the bytes. What that is called, and whether it was deleted,
 * says an entry of the kind REG, which belongs to each.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "outside.h"
#include "pipe_data.h"
#include "plan.h"

static int fifo_begin(struct plan *plan)
{
	return pipe_data_read(plan, IMG_FIFO_DATA, &plan->fifos);
}

static int fifo_read(struct plan *plan, struct plan_file *file)
{
	const FifoEntry *e = file->entry->fifo;
	struct plan_file *reg = e && e->has_regf_id ? plan_file_by_id(plan, e->regf_id) : NULL;

	if (!reg || reg->entry->type != FD_TYPES__REG || !reg->entry->reg) {
		log_err("files.img: file 0x%x is of the kind FIFO, but no file tells its name", file->id);
		return -EBADMSG;
	}
	pipe_data_check(plan, plan->fifos, e->pipe_id);
	file->flags = reg->entry->reg->flags;
	file->fown = reg->entry->reg->fown;
	file->data = reg;
	return 0;
}

static struct plan_file *fifo_needs(struct plan *plan, struct plan_file *file)
{
	struct plan_file *first = id_map_get(plan, &plan->fifos_by_id, file->entry->fifo->pipe_id, file);

	return first == file ? NULL : first;
}

static int fifo_resolve(struct plan *plan, struct plan_file *file)
{
	struct plan_file *reg = file->data;
	const RegFileEntry *e = reg->entry->reg;
	struct stat st;

	if (!file->with->owner || reg->outside >= 0)
		return 0;
	plan_check_file(plan, reg);
	if (reg->ghost ? !S_ISFIFO(reg->ghost->ghost->entry->mode) : !stat(e->name, &st) && !S_ISFIFO(st.st_mode))
		plan_refuse_here(plan, "%s is no FIFO any more: put it back", e->name);
	return 0;
}

static void fifo_used_by(struct plan *plan, struct plan_file *file, struct plan_task *ancestor)
{
	restore_fd_reg.used_by(plan, file->data, ancestor);
}

/* When somebody else has it open, it may have kept what was in it. */
static int put_data(struct plan *plan, const struct plan_file *first, int fd)
{
	const RegFileEntry *e = ((const struct plan_file *)first->data)->entry->reg;
	struct stat st;
	int bytes;

	if (fstat(fd, &st) || !S_ISFIFO(st.st_mode) || ioctl(fd, FIONREAD, &bytes))
		return log_errno(EINVAL, "%s is no FIFO", e->name);
	if (!bytes)
		return pipe_data_put(plan->fifos, first->entry->fifo->pipe_id, first, fd);
	log_warn("%s is held open by another process and has %d bytes: they stay, those of the images are not added",
		 e->name, bytes);
	return 0;
}

/* What --inherit-fd gives is taken as it is. */
static int take_given(struct plan *plan, struct plan_file *first)
{
	int err = 0;

	for (struct plan_file *f = first; !err && f; f = f->with_next) {
		f->fd = outside_take(plan, f->data);
		err = f->fd < 0 ? f->fd : 0;
	}
	return err;
}

static int fifo_open(struct plan *plan, struct plan_file *first)
{
	if (((const struct plan_file *)first->data)->outside >= 0)
		return take_given(plan, first);
	_cleanup_close_ int both = reg_open(plan, first->data, O_RDWR | O_NONBLOCK);
	int err = both < 0 ? both : put_data(plan, first, both);

	for (struct plan_file *f = first; !err && f; f = f->with_next) {
		f->fd = reg_open(plan, f->data, f->flags & ~O_DIRECT); /* of a FIFO, F_SETFL takes it only */
		err = f->fd < 0 ? f->fd : 0;
		if (!err && f->flags & O_DIRECT && fcntl(f->fd, F_SETFL, f->flags & (O_NONBLOCK | O_DIRECT)))
			err = log_errno(errno, "can't set the flags 0%o of file 0x%x", f->flags, f->id);
	}
	return err;
}

const struct restore_fd_kind restore_fd_fifo = {
	.name = "FIFO",
	.type = FD_TYPES__FIFO,
	.begin = fifo_begin,
	.read = fifo_read,
	.needs = fifo_needs,
	.resolve = fifo_resolve,
	.used_by = fifo_used_by,
	.open = fifo_open,
};
