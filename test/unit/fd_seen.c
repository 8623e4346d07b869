/* What is known of descriptors by BPF iterators is what the process itself knows; tables of what is known already. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../ckpt/descriptions.h"
#include "../../ckpt/fd_seen.h"
#include "../../ckpt/known_dirs.h"
#include "../../ckpt/sk_seen.h"
#include "dump.h"
#include "suite.h"

static struct bpf_types *types;
static struct fd_programs programs;
static struct sk_alike *alike;
static struct fd_seen_list seen;

static const struct fd_seen *see(int fd)
{
	for (size_t i = 0; i < seen.n; i++)
		if (seen.list[i].number == fd)
			return &seen.list[i];
	ck_abort_msg("descriptor %d is not seen", fd);
}

static void read_all(void)
{
	fd_seen_free(&seen);
	ck_assert_int_eq(fd_seen_read(&programs, getpid(), &alike, &seen), 0);
	ck_assert(programs.sees_sockets);
}

START_TEST(regular)
{
	char path[] = "/dev/shm/fd_seen.XXXXXX";
	struct stat st, dir;
	int fd = mkstemp(path), again = fcntl(fd, F_DUPFD_CLOEXEC, 100), other = open(path, O_RDONLY | O_NONBLOCK);

	ck_assert(fd >= 0 && again >= 0 && other >= 0 && ftruncate(fd, 4711) == 0 && lseek(fd, 17, SEEK_SET) == 17);
	ck_assert(!fstat(fd, &st) && !stat("/dev/shm", &dir));
	read_all();
	const struct fd_seen *s = see(fd);
	ck_assert(s->plain && !s->locked && !s->owned && !s->cloexec && see(again)->cloexec);
	ck_assert(s->address == see(again)->address && s->address != see(other)->address);
	ck_assert_uint_eq(s->pos, 17);
	ck_assert_uint_eq(s->size, 4711);
	ck_assert(s->ino == st.st_ino && s->dev == st.st_dev && s->mode == st.st_mode && s->nlink == st.st_nlink);
	ck_assert_uint_eq(s->dir, dir.st_ino);
	ck_assert_str_eq(s->name, path);
	ck_assert_uint_eq(s->flags, (unsigned int)fcntl(fd, F_GETFL));
	ck_assert_uint_eq(see(other)->flags, (unsigned int)fcntl(other, F_GETFL));
	/* what takes a closer look */
	struct flock lock = { .l_type = F_WRLCK };
	ck_assert(!fcntl(fd, F_SETLK, &lock));
	read_all();
	ck_assert(!see(fd)->plain && see(fd)->locked);
	unlink(path);
	close(fd);
	fd = mkstemp(strcpy(path, "/dev/shm/fd_seen.XXXXXX"));
	unlink(path);
	int owned = open("/etc/passwd", O_RDONLY), link = open("/etc/passwd", O_PATH);
	ck_assert(fd >= 0 && owned >= 0 && link >= 0 && !fcntl(owned, F_SETSIG, SIGUSR1));
	read_all();
	ck_assert(!see(fd)->plain && !see(owned)->plain && see(owned)->owned && !see(link)->plain);
	close(fd);
	close(again);
	close(other);
	close(owned);
	close(link);
}
END_TEST

START_TEST(pipes_and_events)
{
	int ends[2], event = eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK);

	ck_assert(!pipe2(ends, O_CLOEXEC) && event >= 0);
	read_all();
	const struct fd_seen *s = see(ends[0]);
	ck_assert(s->plain && s->cloexec && s->pipe.empty && s->pipe.readers == 1 && s->pipe.writers == 1);
	ck_assert_int_eq((int)s->pipe.size, fcntl(ends[0], F_GETPIPE_SZ));
	s = see(event);
	ck_assert(s->plain && s->eventfd.semaphore && s->eventfd.count == 3 && s->flags & O_NONBLOCK);
	ck_assert(write(ends[1], "x", 1) == 1 && !close(ends[1]) && eventfd_write(event, 4) == 0);
	read_all();
	s = see(ends[0]);
	ck_assert(!s->pipe.empty && s->pipe.writers == 0);
	ck_assert_uint_eq(see(event)->eventfd.count, 7);
	close(ends[0]);
	close(event);
}
END_TEST

static void make_pair(int ends[2])
{
	ck_assert(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
}

START_TEST(sockets)
{
	int first[2], second[2], third[2], on = 1;
	struct stat st;

	make_pair(first);
	make_pair(second);
	make_pair(third);
	ck_assert(!setsockopt(third[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) && write(second[0], "x", 1) == 1);
	ck_assert(!fstat(first[1], &st) && !shutdown(third[1], SHUT_RD));
	read_all();
	/* somebody has to be asked */
	ck_assert(!see(first[0])->plain && see(first[1])->plain && !see(second[0])->plain && !see(second[1])->plain);
	ck_assert(!see(third[0])->plain && !see(third[1])->plain);
	const struct sk_seen *s = see(first[0])->socket;
	ck_assert(s && s->at_rest && s->family == AF_UNIX && s->type == SOCK_STREAM && s->peer == st.st_ino);
	ck_assert_ptr_eq(s->alike, see(first[1])->socket->alike);
	read_all();
	ck_assert(see(first[0])->plain);
	/* a filter has to be read */
	struct sock_filter all = { BPF_RET | BPF_K, 0, 0, -1 };
	struct sock_fprog filter = { 1, &all };
	ck_assert(!setsockopt(first[0], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
	read_all();
	ck_assert(!see(first[0])->plain && !see(first[0])->socket->at_rest && see(first[1])->plain);
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
		close(third[i]);
	}
}
END_TEST

/* No kernel is needed for these. */
START_TEST(addresses)
{
	struct descriptions all = {};
	struct dump_file files[200] = {}, probe = { .address = 0x1000, .st.st_ino = 1 };

	ck_assert_ptr_null(descriptions_find(&all, &probe));
	for (int i = 0; i < 200; i++) {
		files[i] = (struct dump_file){ .address = 0x1000 + 192 * i, .member = getpid(), .number = i };
		files[i].st.st_ino = i + 1;
		ck_assert_int_eq(descriptions_add(&all, &files[i]), 0);
	}
	for (int i = 0; i < 200; i++) {
		probe.address = files[i].address;
		ck_assert_ptr_eq(descriptions_find(&all, &probe), &files[i]);
	}
	probe.address++;
	ck_assert_ptr_null(descriptions_find(&all, &probe));
	/* one whose address is not known: from now on the kernel is asked */
	probe = (struct dump_file){ .member = getpid(), .number = 8, .st.st_ino = 9 };
	ck_assert_ptr_eq(descriptions_find(&all, &probe), &files[8]);
	probe.st.st_ino = 1000;
	ck_assert_ptr_null(descriptions_find(&all, &probe));
	ck_assert_int_eq(errno, 0);
	probe = files[9];
	ck_assert_ptr_eq(descriptions_find(&all, &probe), &files[9]);
	descriptions_free(&all);
}
END_TEST

START_TEST(directories)
{
	struct known_dirs *dirs = known_dirs_new();
	char top[] = "/tmp/fd_seen.XXXXXX", path[PATH_MAX];
	struct stat st, file;

	ck_assert(dirs && mkdtemp(top) && !stat(top, &st));
	snprintf(path, sizeof(path), "%s/x", top);
	int fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert(fd >= 0 && !fstat(fd, &file));
	ck_assert(known_dirs_lead(dirs, path, st.st_dev, st.st_ino));
	ck_assert(!known_dirs_lead(dirs, path, st.st_dev, st.st_ino + 1));
	ck_assert(!known_dirs_lead(dirs, path, st.st_dev + 1, st.st_ino));
	ck_assert(!known_dirs_lead(dirs, "/no/such/x", st.st_dev, st.st_ino));
	ck_assert(!known_dirs_lead(dirs, "x", st.st_dev, st.st_ino));
	/* something is mounted there */
	ck_assert(!stat("/", &st));
	ck_assert(!known_dirs_lead(dirs, "/x", st.st_dev, st.st_ino));
	known_dirs_free(dirs);
	close(fd);
	unlink(path);
	rmdir(top);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fd_seen");
	TCase *t = tcase_create("fd_seen");

	types = bpf_types_load();
	if (!types || fd_programs_load(&programs, types)) {
		printf("skipped: this kernel, or these permissions, do not let BPF iterators run\n");
	} else {
		tcase_add_test(t, regular);
		tcase_add_test(t, pipes_and_events);
		tcase_add_test(t, sockets);
	}
	tcase_add_test(t, addresses);
	tcase_add_test(t, directories);
	suite_add_tcase(s, t);
	int status = suite_run(s);
	if (types)
		fd_programs_close(&programs);
	bpf_types_free(types);
	return status;
}
