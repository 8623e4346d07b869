/*
 * Sends page maps and page images to a page server (page_protocol.h). They are sent as files, when they are complete:
 * how they were made is the dump's affair.
 */
#include "page_xfer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "image_consts.h"
#include "log.h"
#include "net.h"
#include "opts.h"
#include "page_chain.h"
#include "page_protocol.h"

#define SEND_MAX (8ul << 20) /* bytes between two looks at signals */

int page_xfer_begin(struct page_xfer *x, const struct opts *opts)
{
	x->sock = opts->page_server ? net_connect(opts) : -1;
	return opts->page_server && x->sock < 0 ? x->sock : 0;
}

void page_xfer_close(struct page_xfer *x)
{
	cleanup_close(&x->sock);
	x->sock = -1;
}

static uint64_t page_id(enum image_kind kind, uint64_t id)
{
	return PAGE_ID(kind == IMG_PAGEMAP ? PAGES_OF_TASK : PAGES_OF_SHMEM, id);
}

/* Waits for an answer; meanwhile the user can interrupt us. */
static int receive(struct page_xfer *x, void *answer, size_t len)
{
	struct pollfd poll_fd = { .fd = x->sock, .events = POLLIN };
	int err = 0;

	while (!err && poll(&poll_fd, 1, 100) <= 0)
		err = interrupted();
	if (!err)
		err = net_receive(x->sock, answer, len);
	/* It says why in its own log. */
	return err == -ENODATA ? log_errno(ECONNRESET, "the page server went away: see its log") : err;
}

int page_xfer_has_parent(struct page_xfer *x, enum image_kind kind, uint64_t id)
{
	const struct page_message m = { .command = PAGE_PARENT, .id = page_id(kind, id) };
	int32_t answer;
	int err = net_send(x->sock, &m, sizeof(m), false);

	if (!err)
		err = receive(x, &answer, sizeof(answer));
	return err ? err : answer != 0;
}

static int send_pages(struct page_xfer *x, int fd, uint64_t offset, uint64_t len)
{
	off_t at = offset;

	while (len) {
		ssize_t n = sendfile(x->sock, fd, &at, len < SEND_MAX ? len : SEND_MAX);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return log_errno(n ? errno : ENODATA, "can't send pages to the page server");
		len -= n;
		if (x->progress) {
			progress_add(x->progress, n);
			progress_look(x->progress);
		}
		int err = interrupted();
		if (err)
			return err;
	}
	return 0;
}

static int send_ranges(struct page_xfer *x, const struct pagemap *map, uint64_t id, int fd)
{
	for (size_t i = 0; i < map->n; i++) {
		const struct pagemap_range *r = &map->ranges[i];
		const struct page_message m = {
			.command = PAGE_COMMAND(PAGE_ADD_F, r->flags),
			.pages = (r->end - r->start) / IMAGE_PAGE_SIZE,
			.vaddr = r->start,
			.id = id,
		};
		bool present = r->flags & PE_PRESENT;
		int err = net_send(x->sock, &m, sizeof(m), present);

		if (!err && present)
			err = send_pages(x, fd, r->offset, r->end - r->start);
		if (err)
			return err;
	}
	return 0;
}

static int send_map(struct page_xfer *x, const struct image_dir *dir, const struct pagemap *map, uint64_t id)
{
	const struct page_message open = { .command = PAGE_OPEN2, .id = id };
	_cleanup_close_ int fd = map->bytes ? pagemap_open_pages(map, dir, O_RDONLY) : -1;
	uint8_t has_parent;
	int err = map->bytes && fd < 0 ? fd : net_send(x->sock, &open, sizeof(open), false);

	if (x->progress)
		progress_more(x->progress, map->bytes);
	if (!err)
		err = receive(x, &has_parent, sizeof(has_parent));
	for (size_t i = 0; !err && i < map->n && !has_parent; i++) {
		if (!(map->ranges[i].flags & PE_PARENT))
			continue;
		log_err("pages of %s are in the dump before, of which the page server has nothing: give it the "
			"directory of that (--prev-images-dir)",
			map->name);
		err = -EINVAL;
	}
	return err ? err : send_ranges(x, map, id, fd);
}

/* Takes what was sent out of the directory: the server has it. */
static int remove_sent(const struct image_dir *dir, enum image_kind kind, uint64_t id, const struct pagemap *map)
{
	char name[64], pages[64];

	image_name(name, sizeof(name), kind, id);
	image_name(pages, sizeof(pages), IMG_PAGES, map->pages_id);
	if (unlinkat(dir->fd, name, 0) || (unlinkat(dir->fd, pages, 0) && errno != ENOENT))
		return log_errno(errno, "can't remove %s and %s, which the page server has", name, pages);
	return 0;
}

int page_xfer_send(struct page_xfer *x, const struct image_dir *dir, enum image_kind kind, uint64_t id)
{
	const struct image_dir partial = { .fd = dir->partial_fd, .partial_fd = -1, .path = dir->path };
	struct pagemap map;
	int err = pagemap_read(&map, &partial, kind, id);

	if (err)
		return err == -ENOENT ? log_errno(ENOENT, "a page map of %s is gone", dir->path) : err;
	err = send_map(x, &partial, &map, page_id(kind, id));
	if (!err)
		err = remove_sent(&partial, kind, id, &map);
	pagemap_free(&map);
	return err;
}

static int send_all(struct page_xfer *x, const struct image_dir *dir)
{
	int fd = openat(dir->partial_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return log_errno(errno, "can't list the new images in %s", dir->path);
	for (struct dirent *e; !err && (e = readdir(d));) {
		enum image_kind kind;
		unsigned long id;

		if (pagemap_file_id(e->d_name, &kind, &id))
			err = page_xfer_send(x, dir, kind, id);
	}
	return err;
}

int page_xfer_finish(struct page_xfer *x, const struct image_dir *dir)
{
	const struct page_message end = { .command = PAGE_CLOSE };
	int32_t answer = 0;

	if (x->sock < 0)
		return 0;
	if (x->progress)
		progress_phase(x->progress, "sending", 0);
	int err = send_all(x, dir);
	if (!err)
		err = net_send(x->sock, &end, sizeof(end), false);
	if (!err)
		err = receive(x, &answer, sizeof(answer));
	page_xfer_close(x);
	if (!err && answer) {
		log_err("the page server could not keep the pages (%d): see its log", answer);
		err = -EIO;
	}
	return err;
}
