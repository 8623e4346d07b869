/* Shared mappings of files: writable, read-only through a read-only descriptor, at an offset, in two tasks. */
#include "e2e.h"

#define PAGES 16

static char *rw;

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	strcpy(rw + E2E_PAGE, "from the child");
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	size_t len = PAGES * E2E_PAGE;
	char *data = malloc(len);
	e2e_fill(data, len, 1);
	int fd = open(e2e_path("file"), O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
	rw = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int ro_fd = open(e2e_path("file"), O_RDONLY);
	char *ro = mmap(NULL, 4 * E2E_PAGE, PROT_READ, MAP_SHARED, ro_fd, E2E_PAGE);
	must(rw != MAP_FAILED && ro != MAP_FAILED);
	close(fd);
	close(ro_fd);
	strcpy(rw, "from the parent");
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	e2e_join(pid);
	must(!strcmp(ro, "from the child"));
	must(!strcmp(rw, "from the parent"));
	must(!memcmp(rw + 2 * E2E_PAGE, data + 2 * E2E_PAGE, len - 2 * E2E_PAGE));
	strcpy(rw + 15 * E2E_PAGE, "later");
	fd = open(e2e_path("file"), O_RDONLY);
	char buf[16] = "";
	must(pread(fd, buf, 14, 0) == 14 && !memcmp(buf, "from the paren", 14));
	must(pread(fd, buf, 6, 15 * E2E_PAGE) == 6 && !strcmp(buf, "later\0"));
	must(pread(fd, buf, 14, E2E_PAGE) == 14 && !memcmp(buf, "from the child", 14));
	/* A mapping of a descriptor without write access cannot be made writable. */
	must(mprotect(ro, E2E_PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	return 0;
}
