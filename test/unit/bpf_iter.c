/* BPF iterators: what they say of ourselves is what the process itself knows. */
#include "bpf_iter.h"
#include "suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

START_TEST(not_there)
{
	struct bpf_iter it;

	ck_assert_int_eq(bpf_iter_load(&it, types, "no_such", (const char *[]){ "task.pid", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.no_such", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.pid.x", NULL }), -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task", "task.real_cred.", NULL }),
			 -ENOENT);
	ck_assert_int_eq(bpf_iter_load(&it, types, "task", (const char *[]){ "task.mm.pgd.x", NULL }), -ENOENT);
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
		tcase_add_test(t, not_there);
	}
	bpf_iter_close(&it);
	suite_add_tcase(s, t);
	int status = suite_run(s);
	bpf_types_free(types);
	return status;
}
