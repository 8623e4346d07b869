/*
 * A page server: writes the pages that come over a connection into page maps and page images, or sends those that are
 * asked for. What has come gets its final names when the client says that all is done; a client that is gone before
 * leaves nothing. Everything that comes is checked: a client cannot write anywhere but into images of this directory.
 */
#include "page_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dedup.h"
#include "image_consts.h"
#include "image_messages.h"
#include "log.h"
#include "net.h"
#include "page_chain.h"
#include "page_protocol.h"

#define FIRST_PAGES_ID 0x10001u /* those below are the dump's own, which may write into the same directory */
#define BUFFER (1ul << 20)
#define GET_MAX 16384 /* pages; an answer is held in memory */
#define SPACE_END (1ul << 47)
#define PARTIAL ".ckpt-partial-pages"

struct session {
	const struct page_server *server;
	struct image_chain chain; /* the directory and its parents */
	struct stat inventory; /* of an older set; st_ino 0: there is none */
	bool begun; /* images are being written */
	bool open; /* a set of pages is */
	struct image_writer map;
	int out; /* its page image; -1: not made yet */
	uint32_t pages_id;
	uint64_t next; /* address behind its last range */
	struct pagemap parent; /* what the parent has of it */
	size_t parent_next;
	uint8_t *buffer;
	uint64_t buffer_size;
};

static int bad(const char *what, const struct page_message *m)
{
	log_err("the client of the page server sent nonsense: %s (command 0x%x, %llu pages at 0x%llx, id 0x%llx)", what,
		m->command, (unsigned long long)m->pages, (unsigned long long)m->vaddr, (unsigned long long)m->id);
	return -EBADMSG;
}

static bool decode_id(uint64_t id, enum image_kind *kind, unsigned long *number)
{
	*kind = (id & 0xff) == PAGES_OF_TASK ? IMG_PAGEMAP : IMG_SHMEM_PAGEMAP;
	*number = id >> 8;
	return (id & 0xff) == PAGES_OF_TASK || (id & 0xff) == PAGES_OF_SHMEM;
}

/* Reads what the parent has of a set; *has says whether that is anything. */
static int read_parent(const struct session *s, uint64_t id, struct pagemap *map, bool *has)
{
	enum image_kind kind;
	unsigned long number;
	int err = -ENOENT;

	*map = (struct pagemap){};
	if (!decode_id(id, &kind, &number))
		return -EBADMSG;
	if (s->chain.n_parents)
		err = pagemap_read(map, &s->chain.parents[0], kind, number);
	*has = !err;
	return err == -ENOENT ? 0 : err;
}

static int close_set(struct session *s)
{
	if (!s->open)
		return 0;
	s->open = false;
	cleanup_close(&s->out);
	s->out = -1;
	pagemap_free(&s->parent);
	return image_close(&s->map);
}

static int begin_images(struct session *s)
{
	struct image_dir *images = s->server->images;

	if (s->begun)
		return 0;
	int err = image_dir_begin_as(images, PARTIAL);
	if (err)
		return err;
	s->begun = true;
	if (fstatat(images->fd, "inventory.img", &s->inventory, AT_SYMLINK_NOFOLLOW))
		s->inventory.st_ino = 0;
	return 0;
}

/* Begins a set of pages. *has_parent: the parent has some of it. */
static int open_set(struct session *s, const struct page_message *m, bool *has_parent)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	enum image_kind kind;
	unsigned long number;

	if (!decode_id(m->id, &kind, &number))
		return bad("an unknown owner of pages", m);
	int err = close_set(s);
	if (!err)
		err = begin_images(s);
	if (!err)
		err = read_parent(s, m->id, &s->parent, has_parent);
	if (err)
		return err;
	s->parent_next = s->next = 0;
	head.pages_id = s->pages_id++;
	image_create(&s->map, s->server->images, kind, number);
	image_put(&s->map, &head.base);
	s->open = true;
	s->out = image_create_raw(s->server->images, IMG_PAGES, head.pages_id);
	log_debug("pages of %s %lu go into pages-%u.img", kind == IMG_PAGEMAP ? "task" : "shared memory", number,
		  head.pages_id);
	return s->out < 0 ? s->out : 0;
}

static int answer_open(struct session *s, const struct page_message *m)
{
	bool has_parent = false;
	int err = open_set(s, m, &has_parent);
	uint8_t answer = has_parent;

	return err ? err : net_send(s->server->sock, &answer, sizeof(answer), false);
}

static int answer_parent(struct session *s, const struct page_message *m)
{
	struct pagemap map;
	bool has = false;
	int err = read_parent(s, m->id, &map, &has);
	int32_t answer = has;

	if (err == -EBADMSG && !map.name[0])
		return bad("an unknown owner of pages", m);
	pagemap_free(&map);
	return err ? err : net_send(s->server->sock, &answer, sizeof(answer), false);
}

/* Pages that the client says are in the parent must be there. */
static int check_hole(struct session *s, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct pagemap_range *r = pagemap_find(&s->parent, &s->parent_next, start);

		if (!r || r->start > start || !(r->flags & (PE_PRESENT | PE_PARENT | PE_LAZY))) {
			log_err("the client of the page server leaves out the page 0x%llx, but the parent of %s has "
				"none: give the page server the directory of the dump before (--prev-images-dir)",
				(unsigned long long)start, s->server->images->path);
			return -EBADMSG;
		}
		start = r->end;
	}
	return 0;
}

static int receive_pages(struct session *s, uint64_t len)
{
	while (len) {
		size_t size = len < BUFFER ? len : BUFFER;
		int err = net_receive(s->server->sock, s->buffer, size);

		if (err)
			return err == -ENODATA ? log_errno(ECONNRESET, "the client of the page server is gone") : err;
		for (size_t done = 0; done < size;) {
			ssize_t n = write(s->out, s->buffer + done, size - done);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return log_errno(n ? errno : EIO, "can't write pages into %s", s->server->images->path);
			done += n;
		}
		len -= size;
	}
	return 0;
}

static int add_pages(struct session *s, const struct page_message *m, uint32_t flags)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	if (!s->open)
		return bad("pages before it said whose they are", m);
	if (m->vaddr % IMAGE_PAGE_SIZE || m->vaddr < s->next || m->vaddr >= SPACE_END || !m->pages ||
	    m->pages > (SPACE_END - m->vaddr) / IMAGE_PAGE_SIZE)
		return bad("pages that are not aligned, out of range or not ascending", m);
	if ((flags & PE_PRESENT && flags & PE_PARENT) || !(flags & (PE_PRESENT | PE_PARENT | PE_LAZY)))
		return bad("pages that are nowhere, or both here and in the parent", m);
	s->next = m->vaddr + m->pages * IMAGE_PAGE_SIZE;
	int err = flags & PE_PARENT ? check_hole(s, m->vaddr, s->next) : 0;
	if (err)
		return err;
	e.vaddr = m->vaddr;
	e.has_nr_pages = e.has_flags = true;
	e.nr_pages = m->pages;
	e.flags = flags;
	image_put(&s->map, &e.base);
	return flags & PE_PRESENT ? receive_pages(s, m->pages * IMAGE_PAGE_SIZE) : 0;
}

static int grow_buffer(struct session *s, uint64_t size)
{
	if (size <= s->buffer_size)
		return 0;
	free(take_ptr(s->buffer));
	s->buffer = malloc(size);
	s->buffer_size = s->buffer ? size : 0;
	return s->buffer ? 0 : log_errno(ENOMEM, "no memory for %llu bytes of pages", (unsigned long long)size);
}

static int answer_get(struct session *s, const struct page_message *m)
{
	struct page_source *source = s->server->source;
	struct page_message answer = *m;

	if (!source)
		return bad("it asks for pages, which takes --lazy-pages", m);
	if (m->vaddr % IMAGE_PAGE_SIZE || m->vaddr >= SPACE_END || !m->pages || m->pages > GET_MAX)
		return bad("it asks for pages that are not aligned, out of range or too many", m);
	int err = grow_buffer(s, m->pages * IMAGE_PAGE_SIZE);
	if (!err)
		err = source->read(source, m->id, m->vaddr, m->pages, s->buffer);
	answer.command = PAGE_COMMAND(PAGE_ADD_F, PE_PRESENT);
	if (!err)
		err = net_send(s->server->sock, &answer, sizeof(answer), true);
	return err ? err : net_send(s->server->sock, s->buffer, m->pages * IMAGE_PAGE_SIZE, false);
}

/* All has come: the images get their names before the client hears that it may rely on them. */
static int finish(struct session *s)
{
	uint64_t bytes;
	int32_t answer = 0;
	int err = close_set(s);

	if (!err && s->begun)
		err = image_dir_commit_pages(s->server->images, &s->inventory);
	if (!err)
		err = net_send(s->server->sock, &answer, sizeof(answer), false);
	return err || !s->server->auto_dedup ? err : dedup_parents(s->server->images, &bytes);
}

/* Serves one message. Returns 1 after the last. */
static int serve(struct session *s, const struct page_message *m)
{
	bool unused;
	int err;

	if (s->server->source && m->command != PAGE_GET && m->command != PAGE_CLOSE && m->command != PAGE_FORCE_CLOSE)
		return bad("it can only ask for pages here", m);
	switch (m->command & 0xffff) {
	case PAGE_OPEN:
		return open_set(s, m, &unused);
	case PAGE_OPEN2:
		return answer_open(s, m);
	case PAGE_PARENT:
		return answer_parent(s, m);
	case PAGE_ADD:
		return add_pages(s, m, PE_PRESENT);
	case PAGE_HOLE:
		return add_pages(s, m, PE_PARENT);
	case PAGE_ADD_F:
		return add_pages(s, m, m->command >> 16);
	case PAGE_GET:
		return answer_get(s, m);
	case PAGE_CLOSE:
	case PAGE_FORCE_CLOSE:
		err = finish(s);
		return err ? err : 1;
	default:
		return bad("an unknown command", m);
	}
}

/* Waits for the next message. */
static int await(const struct page_server *server)
{
	struct pollfd poll_fd = { .fd = server->sock, .events = POLLIN };
	int err = 0;

	while (server->stop && !err && poll(&poll_fd, 1, 100) <= 0)
		err = server->stop();
	return err;
}

int page_server_run(const struct page_server *server)
{
	struct session s = { .server = server, .out = -1, .pages_id = FIRST_PAGES_ID };
	struct page_message m;
	int err = image_chain_open(&s.chain, server->images);

	if (!err)
		err = grow_buffer(&s, BUFFER);
	while (!err) {
		err = await(server);
		if (!err)
			err = net_receive(server->sock, &m, sizeof(m));
		if (err == -ENODATA)
			log_errno(ECONNRESET, "the client of the page server went away without an end");
		if (!err)
			err = serve(&s, &m);
	}
	log_info("Session over");
	/* What is incomplete must not be written to its end. */
	if (s.open) {
		s.map.error = -ECANCELED;
		free(take_ptr(s.map.buf));
		cleanup_close(&s.map.fd);
		cleanup_close(&s.out);
		pagemap_free(&s.parent);
	}
	if (s.begun)
		image_dir_abort(server->images);
	image_chain_close(&s.chain);
	free(s.buffer);
	return err > 0 ? 0 : err;
}
