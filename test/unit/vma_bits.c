/* What is inferred of bits of areas: nothing that does not follow. And what is learned of this kernel is true. */
#include "../../ckpt/vma_bits.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../ckpt/areas.h"
#include "bpf_iter.h"
#include "dump.h"
#include "opts.h"
#include "proc.h"
#include "suite.h"

#define SEQ (1u << MADV_SEQUENTIAL)

static struct vma_bits b;

static void learn(uint64_t bits, uint32_t madv, bool io)
{
	vma_bits_learn(&b, bits, &(struct vma){ .madv = madv, .io = io });
}

/* -1: not known; else the advice, with 1 added for a device. */
static int apply(uint64_t bits)
{
	struct vma v = {};

	return vma_bits_apply(&b, bits, &v) ? (int)v.madv + v.io : -1;
}

START_TEST(inferred)
{
	vma_bits_begin(&b);
	ck_assert_int_eq(apply(0), 0);
	ck_assert_int_eq(apply(1), -1);
	learn(0x1, 0, false);
	learn(0x3, SEQ, false);
	ck_assert_int_eq(apply(0x1), 0);
	ck_assert_int_eq(apply(0x2), SEQ);
	ck_assert_int_eq(apply(0x3), SEQ);
	ck_assert_int_eq(apply(0x7), -1); /* a bit that nobody has seen */
	ck_assert_int_eq(apply(1ull << 63), -1);
}
END_TEST

START_TEST(undecided)
{
	vma_bits_begin(&b);
	learn(0x30, 0, true); /* the one or the other of them, or both */
	ck_assert_int_eq(apply(0x30), 1);
	ck_assert_int_eq(apply(0x10), -1);
	ck_assert_int_eq(apply(0x20), -1);
	learn(0x20, 0, false);
	ck_assert_int_eq(apply(0x10), 1);
	ck_assert_int_eq(apply(0x20), 0);
}
END_TEST

START_TEST(two_at_once)
{
	vma_bits_begin(&b);
	learn(0x1, SEQ, true);
	ck_assert_int_eq(apply(0x1), SEQ + 1);
	learn(0x3, SEQ, true);
	learn(0x2, SEQ, false);
	ck_assert_int_eq(apply(0x2), SEQ);
	ck_assert_int_eq(apply(0x1), SEQ + 1);
}
END_TEST

/* smaps knows more of such areas than their bits. */
START_TEST(left_to_smaps)
{
	vma_bits_begin(&b);
	vma_bits_learn(&b, 0x1, &(struct vma){ .hugetlb = true });
	vma_bits_learn(&b, 0x2, &(struct vma){ .protection_key = 1 });
	ck_assert_int_eq(apply(0x1), -1);
	ck_assert_int_eq(apply(0x2), -1);
}
END_TEST

/* More than there is room for is left out, which loses nothing that was known. */
START_TEST(very_many)
{
	vma_bits_begin(&b);
	learn(0x3, SEQ, false);
	learn(0x1, 0, false);
	for (int i = 0; i < 2 * VMA_BITS_KNOWN; i++)
		learn(0x1, 0, false);
	ck_assert_int_eq(apply(0x3), SEQ);
	ck_assert_int_eq(apply(0x1), 0);
}
END_TEST

static uint64_t number(const struct vma *v)
{
	return (uint64_t)v->madv << 32 | v->grows_down << 0 | v->io << 1 | v->locked << 2 | v->noreserve << 3 |
	       v->may_write << 4 | v->droppable << 5 | v->uffd << 6 | v->lock_on_fault << 7 | v->hugetlb << 8 |
	       v->shared << 9 | v->prot << 10;
}

/* This process by both ways, with some advice in it. */
START_TEST(like_smaps)
{
	struct opts opts = { .bpf = BPF_ALWAYS };
	struct dump d = { .opts = &opts };
	struct vma_list by_bpf = {}, by_smaps = {};
	char *at = mmap(NULL, 9 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int self = proc_open(getpid());

	ck_assert(at != MAP_FAILED && self >= 0);
	madvise(at + 4096, 4096, MADV_DONTFORK);
	madvise(at + 3 * 4096, 4096, MADV_WIPEONFORK);
	madvise(at + 5 * 4096, 4096, MADV_RANDOM);
	mlock2(at + 7 * 4096, 4096, MLOCK_ONFAULT);
	ck_assert_int_eq(areas_read(&d, self, getpid(), &by_bpf), 0);
	ck_assert_int_eq(proc_vmas(self, true, &by_smaps), 0);
	for (size_t i = 0; i < by_bpf.n; i++) {
		const struct vma *v = &by_bpf.v[i], *s = vma_find(&by_smaps, v->start);

		if (s && s->end == v->end) { /* the heap may have grown */
			ck_assert_uint_eq(number(v), number(s));
			ck_assert_uint_eq(v->page_size, s->page_size);
			ck_assert_str_eq(v->name, s->name);
		}
	}
	ck_assert(vma_find(&by_bpf, (uint64_t)at + 4096)->madv == 1u << MADV_DONTFORK);
	munmap(at, 9 * 4096);
	vma_list_free(&by_bpf);
	vma_list_free(&by_smaps);
	areas_forget(&d);
	bpf_types_free(d.bpf_types);
	close(self);
}
END_TEST

static bool is_own(struct dump *d, int self, const void *at)
{
	struct vma_list list = {};

	ck_assert_int_eq(areas_read(d, self, getpid(), &list), 0);
	const struct vma *v = vma_find(&list, (uint64_t)at);
	ck_assert_ptr_nonnull(v);
	bool own = v->own;
	vma_list_free(&list);
	return own;
}

/* Pages that a fork shares are not our own, as long as there is a child. */
START_TEST(shared_by_fork)
{
	struct opts opts = { .bpf = BPF_ALWAYS };
	struct dump d = { .opts = &opts };
	int self = proc_open(getpid());
	char *at = mmap(NULL, 3 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(at != MAP_FAILED && self >= 0 && !mprotect(at + 4096, 4096, PROT_READ | PROT_WRITE));
	at[4096] = 1;
	bool known = is_own(&d, self, at + 4096); /* not where there are no such iterators */
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	ck_assert_int_gt(child, 0);
	ck_assert(!is_own(&d, self, at + 4096));
	ck_assert(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	ck_assert(is_own(&d, self, at + 4096) == known);
	munmap(at, 3 * 4096);
	areas_forget(&d);
	bpf_types_free(d.bpf_types);
	close(self);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vma_bits");
	TCase *tc = tcase_create("vma_bits");

	tcase_add_test(tc, inferred);
	tcase_add_test(tc, undecided);
	tcase_add_test(tc, two_at_once);
	tcase_add_test(tc, left_to_smaps);
	tcase_add_test(tc, very_many);
	tcase_add_test(tc, like_smaps);
	tcase_add_test(tc, shared_by_fork);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
