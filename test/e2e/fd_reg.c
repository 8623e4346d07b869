/*
 * Regular files: position, flags, descriptors that share an open file (in one task, between tasks) and descriptors
 * that do not, close-on-exec, append, large offsets.
 */
#include "e2e.h"

static int shared, child_only_dup;

static void child(void *arg)
{
	close(20); /* this descriptor is the parent's only */
	child_only_dup = dup(shared);
	e2e_child_ready();
	e2e_wait();
	must(lseek(child_only_dup, 11, SEEK_CUR) == 111); /* the parent sees this one */
	_exit(0);
}

int main(int argc, char **argv)
{
	char buf[8] = "";

	e2e_begin(argc, argv);
	const char *path = e2e_path("file");
	int rw = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	must(rw >= 0 && write(rw, "0123456789", 10) == 10 && !ftruncate(rw, 1ul << 33));
	must(lseek(rw, 1ul << 32, SEEK_SET) == 1l << 32);
	int ro = open(path, O_RDONLY | O_NOATIME), wo = open(path, O_WRONLY | O_APPEND | O_NONBLOCK);
	int append = open(e2e_path("log"), O_CREAT | O_WRONLY | O_APPEND, 0600);
	shared = open(path, O_RDONLY);
	must(ro >= 0 && wo >= 0 && append >= 0 && shared >= 0);
	must(dup2(shared, 20) == 20 && dup3(shared, 777, O_CLOEXEC) == 777);
	must(lseek(ro, 5, SEEK_SET) == 5 && lseek(shared, 100, SEEK_SET) == 100);
	must(write(append, "one\n", 4) == 4);
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	same(lseek(rw, 0, SEEK_CUR), 1l << 32);
	same(fcntl(rw, F_GETFD), FD_CLOEXEC);
	same(fcntl(777, F_GETFD), FD_CLOEXEC);
	same(fcntl(20, F_GETFD), 0);
	same(fcntl(rw, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_RDWR);
	same(fcntl(wo, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK), O_WRONLY | O_APPEND | O_NONBLOCK);
	same(fcntl(ro, F_GETFL) & (O_ACCMODE | O_NOATIME), O_RDONLY | O_NOATIME);
	must(read(ro, buf, 5) == 5 && !strcmp(buf, "56789"));
	e2e_join(pid);
	same(lseek(shared, 0, SEEK_CUR), 111);
	same(lseek(20, 0, SEEK_CUR), 111);
	same(lseek(777, 3, SEEK_CUR), 114);
	same(lseek(shared, 0, SEEK_CUR), 114);
	same(lseek(ro, 0, SEEK_CUR), 10);
	must(lseek(append, 0, SEEK_SET) == 0 && write(append, "two\n", 4) == 4);
	struct stat st;
	must(!fstat(append, &st));
	same(st.st_size, 8);
	return 0;
}
