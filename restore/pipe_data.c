/* What was in pipes and FIFOs (pipes-data.img, fifo-data.img): entries with their bytes behind them. */
#include "pipe_data.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"

struct pipe_data {
	uint32_t pipe_id;
	uint32_t place; /* in the image */
	uint32_t size; /* capacity; 0: not known */
	uint32_t bytes;
	uint8_t *data;
};

struct pipes {
	size_t n;
	struct pipe_data *list; /* ascending by pipe, then as they came: packets keep their order */
};

#define PIPE_SIZE_DEFAULT 65536

static int add_pipe(struct plan *plan, struct image_reader *r, const void *entry, void *element)
{
	const PipeDataEntry *e = entry;
	struct pipe_data *p = element;
	const uint8_t *bytes;
	int err = image_get_bytes(r, e->bytes, &bytes);

	if (err)
		return err;
	*p = (struct pipe_data){ .pipe_id = e->pipe_id, .size = e->has_size ? e->size : 0, .bytes = e->bytes };
	if (e->bytes > (p->size ? p->size : PIPE_SIZE_DEFAULT))
		return image_bad(r, "pipe 0x%x holds %u bytes, more than its size", e->pipe_id, e->bytes);
	p->data = plan_alloc(plan, e->bytes + 1);
	if (!p->data)
		return -ENOMEM;
	memcpy(p->data, bytes, e->bytes);
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct pipe_data *x = a, *y = b;

	if (x->pipe_id != y->pipe_id)
		return x->pipe_id < y->pipe_id ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

int pipe_data_read(struct plan *plan, enum image_kind kind, void **all)
{
	struct pipes *pipes = plan_alloc(plan, sizeof(*pipes));

	*all = pipes;
	if (!pipes)
		return -ENOMEM;
	int err = plan_read_with_bytes(plan, kind, sizeof(*pipes->list), add_pipe, &pipes->list, &pipes->n);
	for (size_t i = 0; !err && i < pipes->n; i++)
		pipes->list[i].place = i;
	if (!err)
		plan_sort(pipes->list, pipes->n, sizeof(*pipes->list), compare);
	return err;
}

/* The entries of a pipe: the first, and how many. */
static const struct pipe_data *find(const struct pipes *pipes, uint32_t id, size_t *n)
{
	size_t low = 0, high = pipes->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (pipes->list[middle].pipe_id < id)
			low = middle + 1;
		else
			high = middle;
	}
	while (high < pipes->n && pipes->list[high].pipe_id == id)
		high++;
	*n = high - low;
	return pipes->list + low;
}

uint64_t pipe_data_bytes(const void *all, uint32_t id)
{
	size_t n;
	const struct pipe_data *list = find(all, id, &n);
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += list[i].bytes;
	return bytes;
}

void pipe_data_check(struct plan *plan, const void *all, uint32_t id)
{
	size_t n;
	const struct pipe_data *list = find(all, id, &n);
	uint64_t bytes = pipe_data_bytes(all, id), size = PIPE_SIZE_DEFAULT;

	for (size_t i = 0; i < n; i++)
		size = list[i].size ? list[i].size : size;
	if (bytes > size)
		plan_refuse(plan, "pipe 0x%x holds %llu bytes, more than its size of %llu", id,
			    (unsigned long long)bytes, (unsigned long long)size);
}

/* Writes one entry; in packet mode this is a packet. */
static int write_data(int fd, const struct pipe_data *data)
{
	if (data->size && fcntl(fd, F_GETPIPE_SZ) != (int)data->size && fcntl(fd, F_SETPIPE_SZ, data->size) < 0)
		return log_errno(errno, "can't make pipe 0x%x %u bytes large (see /proc/sys/fs/pipe-max-size)",
				 data->pipe_id, data->size);
	for (uint32_t done = 0; done < data->bytes;) {
		ssize_t n = write(fd, data->data + done, data->bytes - done);

		if (n < 0)
			return log_errno(errno, "can't write %u bytes into pipe 0x%x", data->bytes - done,
					 data->pipe_id);
		done += n;
	}
	return 0;
}

int pipe_data_put(const void *all, uint32_t id, const struct plan_file *first, int fd)
{
	size_t n;
	const struct pipe_data *list = find(all, id, &n);
	int packets = 0, err = 0;
	uint64_t bytes = pipe_data_bytes(all, id);

	for (const struct plan_file *f = first; f; f = f->with_next)
		packets |= f->flags & O_DIRECT;
	/* The writer that was in packet mode may be gone. */
	if (n > 1)
		packets = O_DIRECT;
	if (bytes && fcntl(fd, F_SETFL, O_NONBLOCK | packets))
		return log_errno(errno, "can't set the mode of pipe 0x%x", id);
	for (size_t i = 0; !err && i < n; i++)
		err = write_data(fd, &list[i]);
	return err;
}
