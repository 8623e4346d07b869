/* Private mappings of files: untouched pages, pages that were written (copied), pages beyond the end of the file. */
#include "e2e.h"

#define PAGES 32

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	size_t len = PAGES * E2E_PAGE;
	char *data = malloc(len);
	e2e_fill(data, len, 1);
	int fd = open(e2e_path("file"), O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && write(fd, data, len - 100) == (ssize_t)len - 100);
	char *rw = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *ro = mmap(NULL, 4 * E2E_PAGE, PROT_READ, MAP_PRIVATE, fd, 5 * E2E_PAGE);
	char *was_rw = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 7 * E2E_PAGE);
	must(rw != MAP_FAILED && ro != MAP_FAILED && was_rw != MAP_FAILED);
	close(fd);
	for (size_t i = 0; i < PAGES; i += 3)
		e2e_fill(rw + i * E2E_PAGE, E2E_PAGE, 100 + i);
	strcpy(was_rw + E2E_PAGE, "written, then made read-only");
	mprotect(was_rw, 4 * E2E_PAGE, PROT_READ);

	e2e_wait();

	for (size_t i = 0; i < PAGES; i++) {
		if (i % 3 == 0)
			e2e_verify(rw + i * E2E_PAGE, E2E_PAGE, 100 + i, "copied page");
		else if (memcmp(rw + i * E2E_PAGE, data + i * E2E_PAGE, i == PAGES - 1 ? E2E_PAGE - 100 : E2E_PAGE))
			fail("page %zu is not that of the file", i);
	}
	must(!memcmp(ro, data + 5 * E2E_PAGE, 4 * E2E_PAGE));
	must(!strcmp(was_rw + E2E_PAGE, "written, then made read-only"));
	must(!memcmp(was_rw, data + 7 * E2E_PAGE, E2E_PAGE));
	/* Pages that were not copied still show the file, those that were do not. */
	fd = open(e2e_path("file"), O_RDWR);
	must(pwrite(fd, "new", 3, E2E_PAGE) == 3 && pwrite(fd, "new", 3, 3 * E2E_PAGE) == 3);
	must(!memcmp(rw + E2E_PAGE, "new", 3));
	e2e_verify(rw + 3 * E2E_PAGE, E2E_PAGE, 103, "copied page after a write to the file");
	/* And writes still do not reach it. */
	memset(rw + 4 * E2E_PAGE, 1, E2E_PAGE);
	char *page = malloc(E2E_PAGE);
	must(pread(fd, page, E2E_PAGE, 4 * E2E_PAGE) == (ssize_t)E2E_PAGE);
	must(!memcmp(page, data + 4 * E2E_PAGE, E2E_PAGE));
	return 0;
}
