/* A page server and its client: what is sent arrives; hostile and broken clients leave nothing. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../ckpt/page_server.h"
#include "../../ckpt/page_xfer.h"
#include "image_consts.h"
#include "image_messages.h"
#include "log.h"
#include "page_chain.h"
#include "page_protocol.h"
#include "suite.h"

#define PAGE IMAGE_PAGE_SIZE
#define TASK PAGE_ID(PAGES_OF_TASK, 7)
#define PRESENT(pages, at) PAGE_COMMAND(PAGE_ADD_F, PE_PRESENT), 0, pages, at, TASK

static char path[64];
static struct image_dir dir;
static int ends[2];
static int served;

static void *serve(void *source)
{
	const struct page_server server = { .sock = ends[1], .images = &dir, .source = source };

	served = page_server_run(&server);
	shutdown(ends[1], SHUT_RDWR);
	return NULL;
}

static pthread_t begin(struct page_source *source)
{
	pthread_t thread;

	log_mute(true);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	ck_assert_int_eq(pthread_create(&thread, NULL, serve, source), 0);
	return thread;
}

/* Returns what the server returned. */
static int end(pthread_t thread)
{
	shutdown(ends[0], SHUT_WR);
	pthread_join(thread, NULL);
	close(ends[0]);
	close(ends[1]);
	log_mute(false);
	return served;
}

static void put(const void *bytes, size_t len)
{
	send(ends[0], bytes, len, MSG_NOSIGNAL); /* it may have gone already: that is what is tested */
}

static void put_message(uint32_t command, uint32_t unused, uint64_t pages, uint64_t vaddr, uint64_t id)
{
	const struct page_message m = { command, unused, pages, vaddr, id };

	put(&m, sizeof(m));
}

static void put_page(char letter)
{
	char page[PAGE];

	memset(page, letter, PAGE);
	put(page, PAGE);
}

static int get(void *bytes, size_t len)
{
	return recv(ends[0], bytes, len, MSG_WAITALL);
}

static bool exists(const char *name)
{
	return !faccessat(dir.fd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

START_TEST(what_is_sent_is_written)
{
	pthread_t thread = begin(NULL);
	uint8_t parent = 9;
	int32_t answer = 9;
	char pages[3 * PAGE];
	struct pagemap map;

	put_message(PAGE_PARENT, 0, 0, 0, TASK);
	ck_assert_int_eq(get(&answer, 4), 4);
	ck_assert_int_eq(answer, 0);
	put_message(PAGE_OPEN2, 0, 0, 0, TASK);
	ck_assert_int_eq(get(&parent, 1), 1);
	ck_assert_uint_eq(parent, 0);
	put_message(PRESENT(1, 5 * PAGE));
	put_page('a');
	put_message(PAGE_COMMAND(PAGE_ADD_F, PE_LAZY), 0, 4, 10 * PAGE, TASK);
	put_message(PAGE_ADD, 0, 2, 20 * PAGE, TASK);
	put_page('b');
	put_page('c');
	put_message(PAGE_OPEN, 0, 0, 0, PAGE_ID(PAGES_OF_SHMEM, 123));
	put_message(PRESENT(1, 0));
	put_page('s');
	ck_assert(!exists("pagemap-7.img"));
	put_message(PAGE_CLOSE, 0, 0, 0, 0);
	ck_assert_int_eq(get(&answer, 4), 4);
	ck_assert_int_eq(answer, 0);
	ck_assert_int_eq(end(thread), 0);
	ck_assert(exists("pagemap-shmem-123.img"));
	ck_assert_int_eq(pagemap_read(&map, &dir, IMG_PAGEMAP, 7), 0);
	ck_assert_uint_eq(map.n, 3);
	ck_assert_uint_eq(map.bytes, 3 * PAGE);
	ck_assert_uint_eq(map.ranges[1].flags, PE_LAZY);
	int fd = pagemap_open_pages(&map, &dir, O_RDONLY);
	ck_assert_int_eq(read(fd, pages, sizeof(pages)), sizeof(pages));
	ck_assert(pages[0] == 'a' && pages[PAGE] == 'b' && pages[3 * PAGE - 1] == 'c');
	close(fd);
	pagemap_free(&map);
	ck_assert(!exists(".ckpt-partial-pages"));
}
END_TEST

/* What a client must not do, alone or behind a good beginning. */
static void misbehave(int i)
{
	switch (i) {
	case 0:
		put("short", 5);
		break;
	case 1:
		put_message(99, 0, 0, 0, TASK);
		break;
	case 2:
		put_message(PAGE_OPEN, 0, 0, 0, PAGE_ID(9, 7));
		break;
	case 3:
		put_message(PAGE_PARENT, 0, 0, 0, PAGE_ID(0, 7));
		break;
	case 4:
		put_message(PRESENT(1, 5 * PAGE + 1));
		put_page('x');
		break;
	case 5:
		put_message(PRESENT(1, 3 * PAGE)); /* below what came */
		put_page('x');
		break;
	case 6:
		put_message(PRESENT(0, 50 * PAGE));
		break;
	case 7:
		put_message(PRESENT(~0ul, 50 * PAGE));
		break;
	case 8:
		put_message(PRESENT(1ul << 52, 50 * PAGE));
		break;
	case 9:
		put_message(PRESENT(1, 1ul << 47));
		put_page('x');
		break;
	case 10:
		put_message(PAGE_COMMAND(PAGE_ADD_F, PE_PRESENT | PE_PARENT), 0, 1, 50 * PAGE, TASK);
		put_page('x');
		break;
	case 11:
		put_message(PAGE_COMMAND(PAGE_ADD_F, 0), 0, 1, 50 * PAGE, TASK);
		break;
	case 12:
		put_message(PAGE_HOLE, 0, 1, 50 * PAGE, TASK); /* of no parent */
		break;
	case 13:
		put_message(PAGE_GET, 0, 1, 50 * PAGE, 7);
		break;
	case 14: /* too few bytes */
		put_message(PRESENT(2, 50 * PAGE));
		put_page('x');
		break;
	default: /* no end */
		break;
	}
}

START_TEST(a_client_that_misbehaves_leaves_nothing)
{
	pthread_t thread = begin(NULL);
	uint8_t parent;

	if (_i >= 16)
		put_message(PRESENT(1, 5 * PAGE)); /* whose? */
	else
		put_message(PAGE_OPEN2, 0, 0, 0, TASK), get(&parent, 1);
	put_message(PRESENT(1, 5 * PAGE));
	put_page('a');
	misbehave(_i);
	ck_assert_int_lt(end(thread), 0);
	ck_assert(!exists("pagemap-7.img") && !exists("pages-65537.img") && !exists(".ckpt-partial-pages"));
}
END_TEST

static int give(struct page_source *source, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf)
{
	if (pid != 7 || vaddr != 0x5000)
		return -ENOENT;
	memset(buf, 'g', pages * PAGE);
	return 0;
}

START_TEST(pages_are_given_to_who_asks)
{
	struct page_source source = { give };
	pthread_t thread = begin(&source);
	struct page_message m;
	char page[2 * PAGE];

	put_message(PAGE_GET, 0, 2, 0x5000, 7);
	ck_assert_int_eq(get(&m, sizeof(m)), sizeof(m));
	ck_assert_uint_eq(m.command, PAGE_COMMAND(PAGE_ADD_F, PE_PRESENT));
	ck_assert(m.pages == 2 && m.vaddr == 0x5000 && m.id == 7);
	ck_assert_int_eq(get(page, sizeof(page)), sizeof(page));
	ck_assert(page[0] == 'g' && page[2 * PAGE - 1] == 'g');
	switch (_i) {
	case 0:
		put_message(PAGE_GET, 0, 1, 0x6000, 7); /* it has none */
		break;
	case 1:
		put_message(PAGE_GET, 0, 1, 0x5001, 7);
		break;
	case 2:
		put_message(PAGE_GET, 0, ~0ul, 0x5000, 7);
		break;
	case 3:
		put_message(PAGE_GET, 0, 0, 0x5000, 7);
		break;
	}
	ck_assert_int_lt(end(thread), 0);
}
END_TEST

/* A small set in the partial directory, as a dump leaves it. */
static void put_images(struct image_dir *from, uint32_t flags)
{
	struct image_writer w;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	PagemapEntry e = PAGEMAP_ENTRY__INIT;
	char page[PAGE];

	ck_assert_int_eq(image_dir_begin(from), 0);
	head.pages_id = 1;
	image_create(&w, from, IMG_PAGEMAP, 7);
	image_put(&w, &head.base);
	e.vaddr = 5 * PAGE;
	e.has_nr_pages = e.has_flags = true;
	e.nr_pages = 1;
	e.flags = PE_PRESENT | PE_LAZY;
	image_put(&w, &e.base);
	e.vaddr = 6 * PAGE;
	e.flags = flags;
	image_put(&w, &e.base);
	ck_assert_int_eq(image_close(&w), 0);
	int fd = image_create_raw(from, IMG_PAGES, 1);
	memset(page, 'p', PAGE);
	ck_assert_int_eq(write(fd, page, PAGE), PAGE);
	close(fd);
}

START_TEST(our_client_and_our_server_understand_each_other)
{
	char other[] = "/tmp/ckpt-unit-XXXXXX", page[PAGE];
	struct image_dir from;
	pthread_t thread = begin(NULL);
	struct page_xfer xfer = { dup(ends[0]) };
	struct pagemap map;

	ck_assert_ptr_nonnull(mkdtemp(other));
	ck_assert_int_eq(image_dir_open(&from, other), 0);
	put_images(&from, PE_LAZY);
	ck_assert_int_eq(page_xfer_has_parent(&xfer, IMG_PAGEMAP, 7), 0);
	ck_assert_int_eq(page_xfer_finish(&xfer, &from), 0);
	ck_assert_int_eq(end(thread), 0);
	ck_assert_int_eq(pagemap_read(&map, &dir, IMG_PAGEMAP, 7), 0);
	ck_assert(map.n == 2 && map.ranges[0].flags == (PE_PRESENT | PE_LAZY) && map.ranges[1].flags == PE_LAZY);
	int fd = pagemap_open_pages(&map, &dir, O_RDONLY);
	ck_assert_int_eq(read(fd, page, PAGE), PAGE);
	ck_assert_int_eq(page[17], 'p');
	close(fd);
	pagemap_free(&map);
	/* Nothing is left where they came from. */
	image_dir_close(&from);
	ck_assert_int_eq(rmdir(other), 0);
}
END_TEST

/* The client leaves pages out that the server has never seen. */
START_TEST(a_client_whose_parent_the_server_lacks_fails)
{
	char other[] = "/tmp/ckpt-unit-XXXXXX";
	struct image_dir from;
	pthread_t thread = begin(NULL);
	struct page_xfer xfer = { dup(ends[0]) };

	ck_assert_ptr_nonnull(mkdtemp(other));
	ck_assert_int_eq(image_dir_open(&from, other), 0);
	put_images(&from, PE_PARENT);
	ck_assert_int_lt(page_xfer_finish(&xfer, &from), 0);
	ck_assert_int_lt(end(thread), 0);
	ck_assert(!exists("pagemap-7.img"));
	image_dir_close(&from);
	ck_assert_int_eq(rmdir(other), 0);
}
END_TEST

static void setup(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
}

static void teardown(void)
{
	char command[96];

	image_dir_close(&dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

int main(void)
{
	Suite *s = suite_create("page_server");
	TCase *tc = tcase_create("page_server");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_sent_is_written);
	tcase_add_loop_test(tc, a_client_that_misbehaves_leaves_nothing, 0, 17);
	tcase_add_loop_test(tc, pages_are_given_to_who_asks, 0, 4);
	tcase_add_test(tc, our_client_and_our_server_understand_each_other);
	tcase_add_test(tc, a_client_whose_parent_the_server_lacks_fails);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
