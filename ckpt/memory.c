/*
 * Memory areas: what each is, from /proc/PID/smaps and map_files, and mm-PID.img.
 * Does not handle (judged): device mappings, userfaultfd, protection keys.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "chain.h"
#include "cleanup.h"
#include "dump.h"
#include "io_uring.h"
#include "kernel_abi.h"
#include "kernel_look.h"
#include "log.h"
#include "mm.pb-c.h"
#include "precopy.h"

static bool is_vvar(const struct vma *v)
{
	return !strcmp(v->name, "[vvar]") || !strcmp(v->name, "[vvar_vclock]"); /* the latter since 6.13 */
}

static bool is_kernel_area(const struct vma *v)
{
	return is_vvar(v) || !strcmp(v->name, "[vdso]") || !strcmp(v->name, "[vsyscall]");
}

static bool is_shared_anonymous(const struct vma *v)
{
	return v->shared && (!strcmp(v->name, "/dev/zero (deleted)") || !strncmp(v->name, "[anon_shmem:", 12));
}

/* Private anonymous memory of huge pages has a file in the kernel, which is nobody else's. */
static bool is_private_huge(const struct vma *v)
{
	return v->hugetlb && !v->shared && !strncmp(v->name, "/anon_hugepage", 14);
}

static bool is_memfd(const struct vma *v)
{
	return !strncmp(v->name, "/memfd:", 7) || (v->hugetlb && !strncmp(v->name, "/anon_hugepage", 14)) ||
	       (!v->shared && !strcmp(v->name, "/dev/zero (deleted)"));
}

static bool is_file(const struct vma *v)
{
	static const char *const others[] = { "/SYSV", "/[aio]", "/[uprobes]" };

	if (!v->ino || v->name[0] != '/' || is_shared_anonymous(v) || is_private_huge(v))
		return false;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (!strncmp(v->name, others[i], strlen(others[i])))
			return false;
	return true;
}

bool memory_is_private(const struct vma *v)
{
	return !v->shared && !v->droppable && !is_vvar(v) && strcmp(v->name, "[vsyscall]");
}

static uint32_t file_flags(const struct vma *v)
{
	return v->shared && v->may_write ? O_RDWR : O_RDONLY;
}

int memory_collect(struct dump_task *t)
{
	t->exe = task_link_of_parent(t, "exe");
	int err = t->exe ? 0 : files_add_link(t, "exe", O_RDONLY, &t->exe);

	t->vma_files = calloc(t->vmas.n + 1, sizeof(*t->vma_files));
	if (!t->vma_files)
		return log_errno(ENOMEM, "areas of task %d", t->pid);
	for (size_t i = 0; i < t->vmas.n && !err; i++) {
		if (sysv_is_shm(&t->vmas.v[i]))
			err = sysv_collect(t, &t->vmas.v[i]);
		else if (is_shared_anonymous(&t->vmas.v[i]))
			err = shmem_collect(t, &t->vmas.v[i]);
		else if (is_file(&t->vmas.v[i]))
			err = files_add_mapping(t, &t->vmas.v[i], file_flags(&t->vmas.v[i]), &t->vma_files[i]);
	}
	return err;
}

static int judge_area(struct dump_task *t, const struct vma *v, struct dump_file **file)
{
	static const struct {
		const char *prefix, *kind;
	} named[] = {
		{ "/[uprobes]", "uprobes area" },    { "[uprobes]", "uprobes area" },
		{ "socket:", "packet socket ring" }, { "anon_inode:bpf-map", "mapped BPF map" },
		{ "anon_inode:", "device memory" },
	};
	const char *kind = NULL;

	if (io_uring_is_area(v))
		return io_uring_judge_area(t, v, file);
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]) && *v->name && !kind; i++)
		if (!strncmp(v->name, named[i].prefix, strlen(named[i].prefix)))
			kind = named[i].kind;
	if (v->uffd && !precopy_tracks(t, v) && !chain_tracks(t, v))
		kind = "userfaultfd area";
	else if (!kind && v->io && !is_kernel_area(v))
		kind = "device memory";
	else if (!kind && v->start >= 1ul << 47 && strcmp(v->name, "[vsyscall]"))
		kind = "address above 47 bits";
	if (!kind && sysv_is_shm(v))
		return sysv_judge(t, v);
	/* memory that can be executed only has one, which the kernel gives to it itself at mprotect(2): pkeys(7) */
	if (v->protection_key && v->prot != PROT_EXEC)
		kind = "memory with a protection key";
	if (!kind)
		return 0;
	return blocker_add(t->dump, t->pid, kind, "memory of this kind is not supported yet",
			   "dump the program when it has unmapped it", "area %lx-%lx %s", v->start, v->end, v->name);
}

int memory_judge(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->vmas.n && !err; i++)
		err = judge_area(t, &t->vmas.v[i], &t->vma_files[i]);
	return err;
}

static uint32_t area_status(const struct vma *v)
{
	if (!*v->name && !v->ino && !v->shared) /* most of those who have very many */
		return VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
	if (!strcmp(v->name, "[vsyscall]"))
		return VMA_AREA_VSYSCALL | VMA_ANON_PRIVATE;
	if (aio_is_ring(v))
		return VMA_AREA_AIORING;
	if (!strcmp(v->name, "[vdso]"))
		return VMA_AREA_REGULAR | VMA_AREA_VDSO | VMA_ANON_PRIVATE;
	if (is_vvar(v))
		return VMA_AREA_REGULAR | VMA_AREA_VVAR | VMA_ANON_PRIVATE;
	if (sysv_is_shm(v))
		return VMA_AREA_REGULAR | VMA_AREA_SYSVIPC | VMA_ANON_SHARED;
	if (is_shared_anonymous(v))
		return VMA_AREA_REGULAR | VMA_ANON_SHARED;
	if (v->ino && !is_private_huge(v))
		return VMA_AREA_REGULAR | (v->shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE) |
		       (is_memfd(v) ? VMA_AREA_MEMFD : 0);
	return VMA_AREA_REGULAR | VMA_ANON_PRIVATE | (!strcmp(v->name, "[heap]") ? VMA_AREA_HEAP : 0);
}

static void fill_area(const struct dump *d, VmaEntry *e, const struct vma *v, const struct dump_file *file)
{
	vma_entry__init(e);
	e->start = v->start;
	e->end = v->end;
	e->status = area_status(v);
	e->prot = v->prot;
	e->flags = v->shared ? MAP_SHARED : v->droppable ? MAP_DROPPABLE : MAP_PRIVATE;
	if (e->status & (VMA_ANON_PRIVATE | VMA_ANON_SHARED))
		e->flags |= MAP_ANONYMOUS;
	if (v->grows_down)
		e->flags |= MAP_GROWSDOWN;
	if (v->noreserve)
		e->flags |= MAP_NORESERVE;
	if (v->locked)
		e->flags |= MAP_LOCKED;
	if (v->hugetlb && is_memfd(v))
		e->flags |= MAP_HUGETLB | (uint32_t)__builtin_ctzl(v->page_size) << MAP_HUGE_SHIFT;
	e->has_lock_on_fault = e->lock_on_fault = v->lock_on_fault;
	e->fd = -1;
	if (file) {
		e->pgoff = v->pgoff;
		e->shmid = file->id;
		e->has_fdflags = true;
		e->fdflags = file_flags(v);
	} else if (e->status & VMA_ANON_SHARED) {
		e->pgoff = v->pgoff;
		e->shmid = e->status & VMA_AREA_SYSVIPC ? v->ino : shmem_id(d, v->dev, v->ino);
		e->has_fdflags = true;
		e->fdflags = file_flags(v);
	}
	e->has_madv = v->madv != 0;
	e->madv = v->madv;
}

static int fill_areas(const struct dump_task *t, MmEntry *mm, struct arena *arena)
{
	size_t guards = t->guards_known ? t->guards.n : 0;
	VmaEntry *e = arena_get(arena, (t->vmas.n + guards) * sizeof(*e) + 1);

	mm->vmas = arena_get(arena, (t->vmas.n + guards) * sizeof(*mm->vmas) + 1);
	if (!e || !mm->vmas)
		return -ENOMEM;
	for (size_t i = 0; i < t->vmas.n; i++) {
		const struct vma *v = &t->vmas.v[i];
		VmaEntry *last = mm->n_vmas ? mm->vmas[mm->n_vmas - 1] : NULL;

		if (is_vvar(v) && last && (last->status & VMA_AREA_VVAR) && last->end == v->start) {
			last->end = v->end; /* one area in the image, however many the kernel shows */
			continue;
		}
		fill_area(t->dump, &e[i], v, t->vma_files[i]);
		mm->vmas[mm->n_vmas++] = &e[i];
	}
	e += t->vmas.n;
	for (size_t i = 0; i < guards; i++) {
		vma_entry__init(&e[i]);
		e[i].start = t->guards.r[i].start;
		e[i].end = t->guards.r[i].end;
		e[i].status = VMA_AREA_GUARD;
		e[i].fd = -1;
		mm->vmas[mm->n_vmas++] = &e[i];
	}
	return 0;
}

static void fill_numbers(const struct dump_task *t, MmEntry *mm)
{
	const struct proc_stat *st = &t->stat;

	mm->mm_start_code = st->start_code;
	mm->mm_end_code = st->end_code;
	mm->mm_start_data = st->start_data;
	mm->mm_end_data = st->end_data;
	mm->mm_start_stack = st->start_stack;
	mm->mm_start_brk = st->start_brk;
	mm->mm_brk = t->inside.brk;
	mm->mm_arg_start = st->arg_start;
	mm->mm_arg_end = st->arg_end;
	mm->mm_env_start = st->env_start;
	mm->mm_env_end = st->env_end;
	mm->exe_file_id = t->exe->id;
	mm->has_dumpable = true;
	mm->dumpable = creds_dumpable(t);
	mm->has_thp_disabled = true;
	mm->thp_disabled = t->inside.thp_disable > 0;
	mm->has_lock_future = t->inside.lock_future != 0;
	mm->lock_future = t->inside.lock_future;
}

int memory_write(struct dump_task *t)
{
	_cleanup_arena_ struct arena arena = {};
	_cleanup_free_ char *auxv = NULL;
	MmEntry mm = MM_ENTRY__INIT;
	size_t len = 0;

	int err = proc_read(t->proc, "auxv", &auxv, &len);
	if (err)
		return log_errno(-err, "can't read the auxiliary vector of task %d", t->pid);
	err = fill_areas(t, &mm, &arena);
	if (!err)
		err = aio_fill(t, &mm, &arena);
	if (err)
		return log_errno(-err, "areas of task %d", t->pid);
	fill_numbers(t, &mm);
	mm.mm_saved_auxv = (uint64_t *)auxv;
	mm.n_mm_saved_auxv = len / sizeof(uint64_t);
	if (mm.n_mm_saved_auxv >= 2 && !mm.mm_saved_auxv[mm.n_mm_saved_auxv - 2])
		mm.n_mm_saved_auxv -= 2; /* AT_NULL goes without saying */
	return image_write_one(&t->dump->images, IMG_MM, t->pid, &mm.base);
}
