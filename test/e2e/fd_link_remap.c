/*
 * Files whose name was removed while they have another one: they are the same file afterwards, and have no more names
 * than before. And a file that was renamed.
 */
#include "e2e.h"

#include <dirent.h>

static int count_names(void)
{
	DIR *d = opendir(e2e_path("."));
	int n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += !strncmp(e->d_name, "link_remap", 10);
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	struct stat was, now;
	char buf[8];

	e2e_begin(argc, argv);
	int fd = open(e2e_path("gone"), O_RDWR | O_CREAT, 0600),
	    renamed = open(e2e_path("old"), O_RDWR | O_CREAT, 0600);
	must(fd >= 0 && renamed >= 0 && write(fd, "hello", 5) == 5 && write(renamed, "other", 5) == 5);
	must(!link(e2e_path("gone"), e2e_path("other")) && !unlink(e2e_path("gone")));
	must(!rename(e2e_path("old"), e2e_path("new")));
	char *map = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map != MAP_FAILED && !stat(e2e_path("other"), &was));

	e2e_wait();

	must(!fstat(fd, &now));
	same(now.st_ino, was.st_ino);
	same(lseek(fd, 0, SEEK_CUR), 5);
	must(!memcmp(map, "hello", 5) && write(fd, "again", 5) == 5);
	same(map[9], 'n');
	must(!stat(e2e_path("other"), &now) && now.st_size == 10);
	same(now.st_nlink, 1 + count_names());
	must(access(e2e_path("gone"), F_OK) && errno == ENOENT);
	must(pread(renamed, buf, 8, 0) == 5 && !memcmp(buf, "other", 5));
	must(!fstat(renamed, &now) && !stat(e2e_path("new"), &was) && now.st_ino == was.st_ino);
	return 0;
}
