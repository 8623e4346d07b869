/* BPF iterators: what they say of ourselves is what the process itself knows. */
#include "bpf_iter.h"
#include "suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct bpf_types *types;
static uint64_t seen[BPF_ITER_FIELDS + 256], wanted;
static size_t records;

/* Keeps the record that begins with the wanted value. */
static int take(void *arg, const uint64_t *values)
{
	const struct bpf_iter *it = arg;

	records++;
	if (values[0] == wanted)
		memcpy(seen, values, it->n * sizeof(*values));
	return 0;
}

static void look(const char *iterator, const char *const *paths, pid_t pid, uint64_t first)
{
	struct bpf_iter it;

	wanted = first;
	records = 0;
	memset(seen, 0xff, sizeof(seen));
	ck_assert_int_eq(bpf_iter_load(&it, types, iterator, paths), 0);
	ck_assert_int_eq(bpf_iter_read(&it, pid, take, &it), 0);
	bpf_iter_close(&it);
}

START_TEST(thread)
{
	static char stack[65536];
	stack_t ss = { .ss_sp = stack, .ss_size = sizeof(stack) };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	ck_assert(!prctl(PR_SET_NAME, "bpf_iter_is_it?"));
	ck_assert(!sigaltstack(&ss, NULL) && !sigprocmask(SIG_BLOCK, &set, NULL));
	look("task",
	     (const char *[]){ "task.pid", "task.sas_ss_sp", "task.sas_ss_size", "task.blocked", "task.real_cred.uid",
			       "task.comm", "task.comm@0", "task.comm@8", "?task.no_such.x", "task.real_parent.tgid",
			       "task.group_leader.real_parent.tgid", NULL },
	     getpid(), gettid());
	ck_assert_uint_eq(records, 1);
	ck_assert_uint_eq(seen[0], gettid());
	ck_assert_uint_eq(seen[1], (uint64_t)stack);
	ck_assert_uint_eq(seen[2], sizeof(stack));
	ck_assert_uint_eq(seen[3] & 1ull << (SIGUSR2 - 1), 1ull << (SIGUSR2 - 1));
	ck_assert_uint_eq(seen[4], getuid());
	ck_assert_uint_eq(seen[5], 'b'); /* the first of sixteen letters */
	ck_assert_mem_eq(&seen[6], "bpf_iter_is_it?", 16);
	ck_assert_uint_eq(seen[8], 0);
	ck_assert_uint_eq(seen[9], getppid());
	ck_assert_uint_eq(seen[10], getppid());
}
END_TEST

START_TEST(block)
{
	struct sigaction action = { .sa_handler = (void (*)(int))0x1234567, .sa_flags = SA_RESTART };
	struct bpf_iter it;

	ck_assert(!sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGRTMAX, &action, NULL));
	look("task", (const char *[]){ "task.pid", "=task.tgid", "task.sighand.action#2048", NULL }, getpid(),
	     getpid());
	ck_assert_uint_eq(seen[2 + 4 * (SIGUSR1 - 1)], 0x1234567);
	ck_assert_uint_eq(seen[2 + 4 * (SIGUSR1 - 1) + 1] & SA_RESTART, SA_RESTART);
	ck_assert_uint_eq(seen[2 + 4 * (SIGUSR2 - 1)], 0);
	ck_assert_uint_eq(seen[2 + 4 * (SIGRTMAX - 1)], 0x1234567);
	look("task", (const char *[]){ "task.pid", "=task.exit_state", NULL }, getpid(), getpid());
	ck_assert_uint_eq(records, 0);
	ck_assert_int_eq(
		bpf_iter_load(&it, types, "task", (const char *[]){ "task.pid", "task.sighand.action#2040", NULL }),
		-ENOENT);
}
END_TEST

START_TEST(bits)
{
	ck_assert(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	look("task", (const char *[]){ "task.pid", "task.signal.is_child_subreaper", NULL }, getpid(), gettid());
	ck_assert_uint_eq(seen[1], 1);
	ck_assert(!prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0));
	look("task", (const char *[]){ "task.pid", "task.signal.is_child_subreaper", NULL }, getpid(), gettid());
	ck_assert_uint_eq(seen[1], 0);
}
END_TEST

START_TEST(areas)
{
	/* More than the kernel has room for at once. */
	size_t n = 4000;
	char *at = mmap(NULL, n * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(at != MAP_FAILED);
	for (size_t i = 0; i < n; i += 2)
		ck_assert(!mprotect(at + i * 4096, 4096, PROT_READ | PROT_WRITE));
	look("task_vma", (const char *[]){ "vma.vm_start", "vma.vm_end", "vma.vm_file", NULL }, getpid(),
	     (uint64_t)at + 4096 * (n - 2));
	ck_assert_uint_eq(seen[1], (uint64_t)at + 4096 * (n - 1));
	ck_assert_uint_eq(seen[2], 0);
	ck_assert_uint_gt(records, n);
	munmap(at, n * 4096);
}
END_TEST

START_TEST(descriptors)
{
	FILE *f = tmpfile();

	ck_assert(f && fseek(f, 7, SEEK_SET) == 0);
	look("task_file", (const char *[]){ "fd", "file.f_pos", NULL }, getpid(), fileno(f));
	ck_assert_uint_eq(seen[1], 7);
	fclose(f);
}
END_TEST

/* Keeps the name that comes behind the values. */
static char name[4096];

static int take_name(void *arg, const uint64_t *values)
{
	const struct bpf_iter *it = arg;

	if (values[0] == wanted)
		snprintf(name, sizeof(name), "%.*s", (int)values[it->name], (const char *)(values + it->n));
	return 0;
}

START_TEST(names)
{
	struct bpf_iter it;
	char path[3200], dir[256];
	int fds[300], top = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), at = fcntl(top, F_DUPFD_CLOEXEC, 0);

	/* names long enough that records end in the midst of what is read at once */
	memset(dir, 'd', 250);
	dir[250] = 0;
	for (int i = 0; i < 8; i++) {
		mkdirat(at, dir, 0700);
		int next = openat(at, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(next, 0);
		close(at);
		at = next;
	}
	for (int i = 0; i < 300; i++)
		fds[i] = openat(at, "f", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	snprintf(path, sizeof(path), "/tmp");
	for (int i = 0; i < 8; i++)
		snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", dir);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task_file", (const char *[]){ "fd", BPF_ITER_NAME, NULL }), 0);
	for (int i = 0; i < 300; i += 50) {
		wanted = fds[i];
		name[0] = 0;
		ck_assert_int_eq(bpf_iter_read_thread(&it, getpid(), take_name, &it), 0);
		ck_assert_int_eq(strncmp(name, path, strlen(path)), 0);
		ck_assert_str_eq(name + strlen(path), "/f");
	}
	wanted = top; /* a directory, a pipe, and so on, have none */
	strcpy(name, "none");
	ck_assert_int_eq(bpf_iter_read_thread(&it, getpid(), take_name, &it), 0);
	ck_assert_str_eq(name, "");
	bpf_iter_close(&it);
	for (int i = 0; i < 300; i++)
		close(fds[i]);
	unlinkat(at, "f", 0);
	close(at);
	for (int i = 8; i; i--) { /* from within */
		path[strlen("/tmp") + 251 * i] = 0;
		ck_assert_int_eq(rmdir(path), 0);
	}
	close(top);
}
END_TEST

START_TEST(bits_and_casts)
{
	int event = eventfd(7, EFD_CLOEXEC), pair[2], on = 1;

	ck_assert(event >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	ck_assert(!setsockopt(pair[0], SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)));
	look("task_file",
	     (const char *[]){ "fd", "task.files.fdt.close_on_exec[fd]", "file.private_data(eventfd_ctx).count", NULL },
	     getpid(), event);
	ck_assert(seen[1] == 1 && seen[2] == 7);
	look("task_file", (const char *[]){ "fd", "task.files.fdt.close_on_exec[fd]", NULL }, getpid(), pair[0]);
	ck_assert_uint_eq(seen[1], 0);
	look("task_file",
	     (const char *[]){ "fd", "socket.sk.__sk_common.skc_reuse", "socket.sk.__sk_common.skc_family",
			       "socket.sk(unix_sock).addr", NULL },
	     getpid(), pair[0]);
	ck_assert(seen[1] == 1 && seen[2] == AF_UNIX && seen[3] == 0);
	close(event);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(not_there)
{
	struct bpf_iter it;

	ck_assert_int_eq(bpf_iter_load(&it, types, "no_such", (const char *[]){ "task.pid", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.no_such", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.pid.x", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task", "task.real_cred.", NULL }),
			 -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.mm.pgd.x", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task_file", (const char *[]){ "file.private_data(no).x", NULL }),
			 -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task_file", (const char *[]){ "file.private_data(file", NULL }),
			 -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task_file", (const char *[]){ "file.f_flags[fd]", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.files[fd]", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.files[2]", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "socket.sk", NULL }), -ENOENT);
	bpf_iter_close(&it);
	look("task", (const char *[]){ "task.pid", NULL }, 1 << 22, 0);
	ck_assert_uint_eq(records, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bpf_iter");
	TCase *t = tcase_create("bpf_iter");
	struct bpf_iter it = { .prog = -1 };

	types = bpf_types_load();
	if (!types || bpf_iter_load(&it, types, "task", (const char *[]){ "task.pid", NULL })) {
		printf("skipped: this kernel, or these permissions, do not let BPF iterators run\n");
	} else {
		tcase_add_test(t, thread);
		tcase_add_test(t, block);
		tcase_add_test(t, bits);
		tcase_add_test(t, areas);
		tcase_add_test(t, descriptors);
		tcase_add_test(t, names);
		tcase_add_test(t, bits_and_casts);
		tcase_add_test(t, not_there);
	}
	bpf_iter_close(&it);
	suite_add_tcase(s, t);
	int status = suite_run(s);
	bpf_types_free(types);
	return status;
}
