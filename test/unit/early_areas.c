/* Areas that are read twice: what is seen of a change in between, by maps alone and by smaps. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../ckpt/early_areas.h"
#include "suite.h"

#define PAGE 4096ul

static int to_child[2], from_child[2];
static pid_t child;
static char *area;

/* A child that has an area, and does to it what it is told. */
static void start(void)
{
	int advice;

	area = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert(area != MAP_FAILED && !mprotect(area + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE));
	area += PAGE;
	ck_assert(!pipe(to_child) && !pipe(from_child));
	child = fork();
	while (!child) {
		if (read(to_child[0], &advice, sizeof(advice)) != sizeof(advice))
			_exit(1);
		int err = advice < 0 ? mprotect(area, PAGE, PROT_READ) : madvise(area, 2 * PAGE, advice);
		if (write(from_child[1], &err, sizeof(err)) != sizeof(err))
			_exit(1);
	}
	ck_assert_int_gt(child, 0);
}

/* An advice, or -1: another protection. */
static void tell(int advice)
{
	int err;

	ck_assert_int_eq(write(to_child[1], &advice, sizeof(advice)), sizeof(advice));
	ck_assert_int_eq(read(from_child[0], &err, sizeof(err)), sizeof(err));
	ck_assert_int_eq(err, 0);
}

static void end(void)
{
	ck_assert(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
}

START_TEST(unchanged)
{
	int proc = proc_open(child);
	struct early_areas e = {};
	struct vma_list list = {};

	early_areas_read(&e, NULL, proc, child);
	ck_assert(early_areas_recall(&e, proc, &list));
	ck_assert_uint_eq(e.list.n, 0);
	ck_assert_int_eq(early_areas_confirm(&list, NULL, proc, child), 0);
	vma_list_free(&list);
	early_areas_free(&e);
	close(proc);
}
END_TEST

START_TEST(other_layout)
{
	int proc = proc_open(child);
	struct early_areas e = {};
	struct vma_list list = {};

	early_areas_read(&e, NULL, proc, child);
	tell(-1);
	ck_assert(!early_areas_recall(&e, proc, &list));
	early_areas_free(&e);
	close(proc);
}
END_TEST

START_TEST(other_flags)
{
	static const int advices[] = { MADV_DONTDUMP, MADV_WIPEONFORK, MADV_DONTFORK, MADV_SEQUENTIAL };
	int proc = proc_open(child);
	struct early_areas e = {};
	struct vma_list list = {};

	early_areas_read(&e, NULL, proc, child);
	tell(advices[_i]);
	ck_assert(early_areas_recall(&e, proc, &list));
	ck_assert_int_eq(early_areas_confirm(&list, NULL, proc, child), -EAGAIN);
	ck_assert_int_eq(early_areas_correct(&list, NULL, proc, child), 0);
	const struct vma *v = vma_find(&list, (uintptr_t)area);
	ck_assert(v && v->madv == 1u << advices[_i]);
	ck_assert_int_eq(early_areas_confirm(&list, NULL, proc, child), 0);
	vma_list_free(&list);
	early_areas_free(&e);
	close(proc);
}
END_TEST

/* What a fork would not have cannot be confirmed by one. */
START_TEST(not_inherited)
{
	int proc = proc_open(child);
	struct early_areas e = {};

	tell(MADV_DONTFORK);
	early_areas_read(&e, NULL, proc, child);
	ck_assert_uint_eq(e.list.n, 0);
	close(proc);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("early_areas");
	TCase *tc = tcase_create("early_areas");

	tcase_add_checked_fixture(tc, start, end);
	tcase_add_test(tc, unchanged);
	tcase_add_test(tc, other_layout);
	tcase_add_loop_test(tc, other_flags, 0, 4);
	tcase_add_test(tc, not_inherited);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
