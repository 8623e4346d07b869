/*
 * The vDSO of a task (man 7 vdso). It belongs to the kernel, but the program knows the addresses of its functions.
 *
 * When the image holds the same code as this kernel's, the kernel is told to map it, and its areas are moved to where
 * the task had them. When it does not, the image was made on another kernel: the old code stays at its address as
 * ordinary memory, and the first instructions of each function become a jump to this kernel's, which is mapped near by.
 * Such a task is nothing special at its next dump: the old code is memory, and the kernel's vDSO is where it is.
 *
 * Who was interrupted inside of the old code (ckpt/vdso.c lets threads out before they are dumped; but a signal handler
 * may return to there) finds zeros where the kernel's data was. To every vDSO since 5.3 that means that the clock
 * cannot be read there: it makes the system call, or begins anew and then makes it. Not handled: one between the first
 * instruction and the reading of a coarse clock gets 0.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "log.h"
#include "page_files.h"
#include "plan.h"
#include "vdso.h"
#include "vdso_elf.h"

#define NEAR (1ul << 30) /* bytes: jumps reach twice as far */
#define SPACE_START 0x100000ul
#define ADDRESS_MASK ~(IMAGE_PAGE_SIZE - 1)

static void refuse(struct plan *plan, const struct plan_task *task, const char *what)
{
	plan_refuse(plan, "the vDSO of task %d, memory 0x%llx-0x%llx: %s", task->pid,
		    (unsigned long long)task->vdso.code->start, (unsigned long long)task->vdso.code->end, what);
}

bool plan_vdso_takes(struct plan_task *task, const VmaEntry *v)
{
	struct plan_vdso *vdso = &task->vdso;

	if (v->status & VMA_AREA_VVAR) {
		if (vdso->n_data < VDSO_PARTS - 1)
			vdso->data[vdso->n_data] = v;
		vdso->n_data++;
	} else if (v->status & VMA_AREA_VDSO) {
		vdso->code = vdso->n_code++ ? vdso->code : v;
	} else {
		return false;
	}
	return true;
}

int plan_vdso_read(struct plan *plan, struct plan_task *task, const struct pagemap_piece *piece)
{
	struct plan_vdso *vdso = &task->vdso;
	const struct plan_page_file file = { piece->depth, piece->pages_id };
	uint64_t start = piece->start, end = piece->end;

	if (vdso->code->end - vdso->code->start > VDSO_MAX) {
		refuse(plan, task, "it is larger than any");
		return 0;
	}
	if (!vdso->bytes) {
		vdso->size = vdso->code->end - vdso->code->start;
		vdso->bytes = plan_alloc_fixed(plan, vdso->size);
	}
	if (!vdso->bytes)
		return -ENOMEM;
	_cleanup_close_ int fd = page_file_open(plan, &file);
	if (fd < 0)
		return fd;
	if (pread(fd, vdso->bytes + (start - vdso->code->start), end - start, piece->offset) !=
	    (ssize_t)(end - start)) {
		log_err("pages-%u.img can't be read, or is too short", file.id);
		return -EBADMSG;
	}
	for (uint64_t at = start; at < end; at += IMAGE_PAGE_SIZE)
		vdso->pages |= 1ull << (at - vdso->code->start) / IMAGE_PAGE_SIZE;
	return 0;
}

static bool complete(const struct plan_vdso *vdso)
{
	return vdso->size && vdso->pages == (~0ull >> (64 - vdso->size / IMAGE_PAGE_SIZE));
}

/* The middle of the largest hole near an address, where size bytes fit; 0: there is none. */
static uint64_t find_hole(const struct plan_task *task, uint64_t near, uint64_t size)
{
	uint64_t low = near > NEAR + SPACE_START ? near - NEAR : SPACE_START, high = near + NEAR, from = low;
	uint64_t best = 0, best_size = size;

	if (high > task->space_end)
		high = task->space_end;
	for (size_t i = 0; i <= task->n_areas; i++) {
		uint64_t to = i < task->n_areas ? task->areas[i].vma->start : high;

		to = to < high ? to : high;
		if (to > from && to - from > best_size) {
			best_size = to - from;
			best = (from + (best_size - size) / 2) & ADDRESS_MASK;
		}
		if (i < task->n_areas && task->areas[i].vma->end > from)
			from = task->areas[i].vma->end;
	}
	return best;
}

/* Has the task each area where the kernel maps it, one right behind the other? */
static bool is_whole(const struct plan_vdso *vdso, const struct vdso_layout *here)
{
	if (!vdso->code || vdso->code->prot != (PROT_READ | PROT_EXEC))
		return false;
	uint64_t start = vdso->n_data ? vdso->data[0]->start : vdso->code->start, at = start;

	for (size_t i = 0; i < vdso->n_data; i++) {
		if (vdso->data[i]->start != at)
			return false;
		at = vdso->data[i]->end;
	}
	return vdso->code->start == at && at - start == here->code;
}

static void add_move(struct plan_vdso *vdso, uint64_t offset, uint64_t len, uint64_t to, uint32_t prot)
{
	vdso->moves[vdso->n_moves++] = (struct restorer_vdso_move){ offset, len, to, prot };
}

/*
 * Which of the kernel's data areas are those of the image? An area of the image may be several of the kernel's that
 * follow each other. Returns false when that cannot be told.
 */
static bool match_data(struct plan_vdso *vdso, const struct vdso_layout *here)
{
	size_t part = 0;
	uint64_t offset = 0;

	for (size_t i = 0; i < vdso->n_data; i++) {
		uint64_t at = vdso->data[i]->start, left = vdso->data[i]->end - at;

		for (; left && part < here->n_data; offset += here->data[part++]) {
			uint64_t len = here->data[part];

			if (len > left) { /* the task has unmapped this one */
				add_move(vdso, offset, len, 0, 0);
				continue;
			}
			add_move(vdso, offset, len, at, 0);
			at += len;
			left -= len;
		}
		if (left)
			return false;
	}
	for (; part < here->n_data; offset += here->data[part++])
		add_move(vdso, offset, here->data[part], 0, 0);
	return true;
}

/* The same code as this kernel's: to the place that the task knows. Returns false when its data areas are strange. */
static bool place_same(struct plan *plan, struct plan_task *task)
{
	struct plan_vdso *vdso = &task->vdso;
	const struct vdso_layout *here = plan->vdso[task->compat];

	if (is_whole(vdso, here)) {
		vdso->hint = vdso->code->start - here->code;
		return true;
	}
	if (!match_data(vdso, here)) {
		vdso->n_moves = 0;
		return false;
	}
	if (vdso->code)
		add_move(vdso, here->code, here->code_size, vdso->code->start, vdso->code->prot);
	else
		add_move(vdso, here->code, here->code_size, 0, 0);
	vdso->hint = find_hole(task, vdso->code ? vdso->code->start : vdso->data[0]->start, vdso->total);
	if (!vdso->hint)
		plan_refuse(plan, "task %d: no room for %llu bytes near its vDSO", task->pid,
			    (unsigned long long)vdso->total);
	return true;
}

static bool is_time(const char *name)
{
	return !strcmp(name, "__vdso_time") || !strcmp(name, "time");
}

/* Whether a thread can go on there: not in the midst of a new jump, nor in time(), which never looks for a clock. */
static bool may_go_on(const struct plan_vdso *vdso, const struct vdso_function *functions, int n, uint64_t ip)
{
	for (int i = 0; i < n; i++) {
		uint64_t into = ip - vdso->code->start - functions[i].offset;

		if (into && into < (is_time(functions[i].name) ? functions[i].size : VDSO_JUMP))
			return false;
	}
	return true;
}

static void check_threads(struct plan *plan, const struct plan_task *task)
{
	struct vdso_function functions[VDSO_FUNCTIONS];
	int n = vdso_functions(task->vdso.bytes, task->vdso.size, functions);

	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadInfoX86 *info = task->threads[i].core->thread_info;

		if (info && !may_go_on(&task->vdso, functions, n, info->gpregs->ip))
			plan_refuse(plan,
				    "thread %d was interrupted inside the vDSO, which is another one on this kernel: "
				    "dump it again, or restore it on the kernel of the dump",
				    task->threads[i].tid);
	}
}

/* It becomes an area like others, at its place among them. */
static void add_area(struct plan_task *task, const VmaEntry *v)
{
	size_t at = task->n_areas++;

	for (; at && task->areas[at - 1].vma->start > v->start; at--)
		task->areas[at] = task->areas[at - 1];
	task->areas[at] = (struct plan_area){ .vma = v, .low = v->start, .has_pages = v == task->vdso.code };
}

static int keep_old(struct plan *plan, struct plan_task *task)
{
	struct plan_vdso *vdso = &task->vdso;
	const char *lacking = "";

	add_area(task, vdso->code);
	for (size_t i = 0; i < vdso->n_data; i++)
		add_area(task, vdso->data[i]);
	vdso->hint = find_hole(task, vdso->code->start, vdso->total);
	if (!vdso->hint) {
		refuse(plan, task, "it is not this kernel's, and there is no room for that near it");
		return 0;
	}
	struct vdso_code old = { vdso->bytes, vdso->size, vdso->code->start };
	const struct vdso_layout *here = plan->vdso[task->compat];
	struct vdso_code new = { (uint8_t *)here->bytes, here->code_size, vdso->hint + here->code };
	int err = vdso_redirect(&old, &new, &lacking);
	if (err == -ENOTSUP)
		plan_refuse(plan,
			    "the vDSO of task %d has a function %.64s, which that of this kernel lacks: restore on the "
			    "kernel of the dump",
			    task->pid, lacking);
	else if (err)
		refuse(plan, task, "it is not this kernel's, and its functions can't be found");
	vdso->kept = true;
	if (!err)
		check_threads(plan, task);
	log_info("task %d: the functions of its vDSO lead to this kernel's at 0x%llx", task->pid,
		 (unsigned long long)new.address);
	return 0;
}

static int find_own(struct plan *plan, bool compat)
{
	struct vdso_layout *layout = plan_alloc(plan, sizeof(*layout));

	plan->vdso[compat] = layout;
	if (!layout)
		return -ENOMEM;
	if (!compat)
		return vdso_find(layout);
	uint8_t *bytes = plan_alloc(plan, VDSO_MAX);
	return bytes ? vdso_find_compat(layout, bytes) : -ENOMEM;
}

int plan_vdso_place(struct plan *plan, struct plan_task *task)
{
	struct plan_vdso *vdso = &task->vdso;
	int err = plan->vdso[task->compat] ? 0 : find_own(plan, task->compat);
	const struct vdso_layout *here = plan->vdso[task->compat];

	if (err || (!vdso->code && !vdso->n_data))
		return err;
	vdso->total = here->code + here->code_size;
	if (vdso->n_code > 1 || vdso->n_data > VDSO_PARTS - 1) {
		plan_refuse(plan, "mm-%d.img: the vDSO is in %zu pieces, its data in %zu", task->pid, vdso->n_code,
			    vdso->n_data);
		return 0;
	}
	if (plan->offline)
		return 0;
	if (!here->code_size) {
		plan_refuse(plan, "task %d has a vDSO, but this kernel gives none: %s", task->pid,
			    task->compat ? "it runs no 32-bit programs (CONFIG_IA32_EMULATION)"
					 : "boot it without vdso=0");
		return 0;
	}
	if (vdso->size >= VDSO_MARK && !task->compat)
		vdso_unmark(vdso->bytes);
	/* data alone serves nobody, but is there to be seen */
	bool same = !vdso->code ||
		    (complete(vdso) && vdso->size == here->code_size && !memcmp(vdso->bytes, here->bytes, vdso->size));
	if (same && place_same(plan, task))
		return 0;
	if (!vdso->code)
		return 0;
	if (!complete(vdso)) {
		refuse(plan, task, "the image does not hold all of it, so that it can't be told which kernel's it is");
		return 0;
	}
	return keep_old(plan, task);
}
