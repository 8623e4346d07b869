/* Directories: a reading position in the middle, O_PATH descriptors of a directory and of a file. */
#include "e2e.h"

#include <dirent.h>

#define FILES 3000

static bool seen[FILES];
static int count;

static void note(struct dirent *d)
{
	int i;

	if (sscanf(d->d_name, "entry-%d", &i) != 1)
		return;
	if (seen[i])
		fail("%s was read twice", d->d_name);
	seen[i] = true;
	count++;
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	must(!mkdir("many", 0700));
	for (int i = 0; i < FILES; i++) {
		char name[64];
		snprintf(name, sizeof(name), "many/entry-%d", i);
		int fd = open(name, O_CREAT | O_WRONLY, 0600);
		must(fd >= 0);
		close(fd);
	}
	DIR *dir = opendir("many");
	struct dirent *d;
	must(dir);
	while (count < FILES / 3 && (d = readdir(dir)))
		note(d);
	int path = open("many", O_PATH | O_DIRECTORY), file = open("many/entry-7", O_PATH);
	must(path >= 0 && file >= 0);

	e2e_wait();

	while ((d = readdir(dir)))
		note(d);
	same(count, FILES);
	must(fcntl(path, F_GETFL) & O_PATH && fcntl(file, F_GETFL) & O_PATH);
	int fd = openat(path, "entry-8", O_RDONLY);
	must(fd >= 0);
	char c;
	must(read(file, &c, 1) == -1 && errno == EBADF);
	return 0;
}
