/* Pages for lazy restores: asked of a page server, or read from images. */
#include "page_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_consts.h"
#include "log.h"
#include "net.h"
#include "page_protocol.h"

static int gone(int err)
{
	return err == -ENODATA ? log_errno(ECONNRESET, "the page server went away: see its log") : err;
}

int page_source_ask(int sock, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf)
{
	const struct page_message ask = { .command = PAGE_GET, .pages = pages, .vaddr = vaddr, .id = pid };
	struct page_message answer;
	int err = net_send(sock, &ask, sizeof(ask), false);

	if (!err)
		err = gone(net_receive(sock, &answer, sizeof(answer)));
	if (err)
		return err;
	if ((answer.command & 0xffff) != PAGE_ADD_F || answer.vaddr != vaddr || answer.pages != pages) {
		log_err("the page server gave something else than the %llu pages at 0x%llx of task %llu",
			(unsigned long long)pages, (unsigned long long)vaddr, (unsigned long long)pid);
		return -EBADMSG;
	}
	return gone(net_receive(sock, buf, pages * IMAGE_PAGE_SIZE));
}

int page_source_end(int sock)
{
	const struct page_message end = { .command = PAGE_CLOSE };
	int32_t answer;
	int err = net_send(sock, &end, sizeof(end), false);

	return err ? err : gone(net_receive(sock, &answer, sizeof(answer)));
}

/* One page image. */
struct image_file {
	size_t depth;
	uint32_t id;
	int fd;
};

/* The pages of one task. */
struct image_pages {
	struct image_pages *next;
	uint64_t pid;
	const struct image_chain *chain;
	struct pagemap_piece *pieces; /* ascending */
	struct image_file *files; /* few */
	size_t n, room, n_files;
};

/* Finds the page image of a piece, opened. Returns the descriptor or -errno (logged). */
static int open_file(struct image_pages *t, const struct pagemap_piece *p)
{
	for (size_t i = 0; i < t->n_files; i++)
		if (t->files[i].depth == p->depth && t->files[i].id == p->pages_id)
			return t->files[i].fd;
	struct image_file *grown = realloc(t->files, (t->n_files + 1) * sizeof(*grown));
	if (!grown)
		return log_errno(ENOMEM, "page images");
	t->files = grown;
	int fd = image_open_raw(image_chain_dir(t->chain, p->depth), IMG_PAGES, p->pages_id);
	if (fd == -ENOENT)
		return log_errno(ENOENT, "pages-%u.img is gone", p->pages_id);
	if (fd >= 0)
		grown[t->n_files++] = (struct image_file){ p->depth, p->pages_id, fd };
	return fd;
}

static int add_piece(void *arg, const struct pagemap_piece *piece)
{
	struct image_pages *t = arg;

	if (t->n == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct pagemap_piece *grown = realloc(t->pieces, room * sizeof(*grown));

		if (!grown)
			return log_errno(ENOMEM, "page maps");
		t->pieces = grown;
		t->room = room;
	}
	t->pieces[t->n++] = *piece;
	return 0;
}

static void free_pages(struct image_pages *t)
{
	for (size_t i = 0; i < t->n_files; i++)
		close(t->files[i].fd);
	free(t->files);
	free(t->pieces);
	free(t);
}

/* Reads the page map of a task when it is first asked for. Returns 0 or -errno (logged). */
static int find_task(struct image_source *s, uint64_t pid, struct image_pages **found)
{
	for (struct image_pages *t = s->tasks; t; t = t->next) {
		if (t->pid != pid)
			continue;
		*found = t;
		return 0;
	}
	struct image_pages *t = calloc(1, sizeof(*t));
	if (!t)
		return log_errno(ENOMEM, "page maps");
	t->pid = pid;
	t->chain = s->chain;
	int err = pagemap_walk(s->chain, IMG_PAGEMAP, pid, add_piece, t);
	if (err) {
		free_pages(t);
		return err == -ENOENT ? log_errno(ENOENT, "there is no task %llu in %s", (unsigned long long)pid,
						  s->chain->first->path)
				      : err;
	}
	t->next = s->tasks;
	s->tasks = *found = t;
	return 0;
}

/* The first piece that ends above at. */
static size_t find_piece(const struct image_pages *t, uint64_t at)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (t->pieces[middle].end <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int read_images(struct page_source *source, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf)
{
	struct image_pages *t;
	uint64_t at = vaddr, end = vaddr + pages * IMAGE_PAGE_SIZE;
	int err = find_task((struct image_source *)source, pid, &t);

	for (size_t i = err ? 0 : find_piece(t, vaddr); !err && at < end; i++) {
		const struct pagemap_piece *p = i < t->n ? &t->pieces[i] : NULL;

		if (!p || p->start > at || p->away)
			return log_errno(ENOENT, "the images have no page 0x%llx of task %llu", (unsigned long long)at,
					 (unsigned long long)pid);
		uint64_t stop = p->end < end ? p->end : end;
		int fd = open_file(t, p);

		if (fd < 0)
			return fd;
		for (ssize_t n; at < stop; at += n) {
			n = pread(fd, (char *)buf + (at - vaddr), stop - at, p->offset + (at - p->start));
			if (n <= 0)
				return log_errno(n ? errno : ENODATA, "can't read pages-%u.img", p->pages_id);
		}
	}
	return err;
}

void image_source_init(struct image_source *s, const struct image_chain *chain)
{
	*s = (struct image_source){ .source = { read_images }, .chain = chain };
}

void image_source_free(struct image_source *s)
{
	for (struct image_pages *t = s->tasks, *next; t; t = next) {
		next = t->next;
		free_pages(t);
	}
	s->tasks = NULL;
}
