/* Files of memory that were opened again: a memfd by O_PATH, shared anonymous memory by map_files, cut off in its page.
 */
#include "e2e.h"

int main(int argc, char **argv)
{
	char path[64];

	e2e_begin(argc, argv);
	int memfd = memfd_create("memory", 0);
	must(memfd >= 0 && write(memfd, "words", 5) == 5);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	int opath = open(path, O_PATH);
	must(opath >= 0 && !close(memfd));
	char *anon = mmap(NULL, 2 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(anon != MAP_FAILED);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)anon, (long)anon + 2 * E2E_PAGE);
	int fd = open(path, O_RDWR);
	if (fd < 0 && errno == EPERM)
		skip("no capability to open %s", path);
	must(fd >= 0 && !ftruncate(fd, E2E_PAGE + 5) && lseek(fd, 3, SEEK_SET) == 3);
	char *mine = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	must(mine != MAP_FAILED);
	strcpy(anon, "anonymous");
	strcpy(mine + 100, "private");

	e2e_wait();

	char buf[16] = "";
	must(read(fd, buf, 6) == 6 && !strcmp(buf, "nymous"));
	must(!strcmp(mine, "anonymous") && !strcmp(mine + 100, "private"));
	must(pwrite(fd, "A", 1, 0) == 1 && !strcmp(anon, "Anonymous"));
	same(lseek(fd, 0, SEEK_END), E2E_PAGE + 5);
	same(fcntl(opath, F_GETFL) & O_PATH, O_PATH);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", opath);
	memfd = open(path, O_RDONLY);
	must(memfd >= 0 && read(memfd, buf, 6) == 5 && !memcmp(buf, "words", 5));
	return 0;
}
