/*
 * System V shared memory. A segment outlives the processes that had it attached: one that is still there, with nobody
 * attached, is filled anew; one that is gone is made with its old number (kernel.shm_next_id), key, owner and mode.
 *
 * A segment that was made must go again when the restore fails, whoever is killed: a helper process makes them, and
 * removes them unless it is told, over its socket, that all went well.
 */
#include "sysv_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block.h"
#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "shmem.h"

#define MODE_BITS 0777
#define SIZE_LIMIT (1ul << 46)

/* System V segments in front, in the order of the list. */
static struct plan_segment *next_sysv(struct plan_segment *s)
{
	while (s && !s->sysv)
		s = s->next;
	return s;
}

int sysv_read(struct plan *plan)
{
	const TaskKobjIdsEntry *ids = plan->inventory->root_ids;
	IpcShmEntry **entries;
	size_t n;

	if (!ids || !ids->has_ipc_ns_id)
		return 0;
	int err = plan_read_all(plan, IMG_IPCNS_SHM, ids->ipc_ns_id, &entries, &n);
	if (err == -ENOENT)
		return 0;
	if (err)
		return err;
	plan->sysv = (const IpcShmEntry **)entries;
	plan->n_sysv = n;
	for (size_t i = 0; i < n; i++) {
		if (entries[i]->size && entries[i]->size < SIZE_LIMIT && entries[i]->desc->id <= INT32_MAX)
			continue;
		log_err("ipcns-shm-%u.img: segment %u has a size or number that makes no sense", ids->ipc_ns_id,
			entries[i]->desc->id);
		return -EBADMSG;
	}
	return 0;
}

int sysv_find(struct plan *plan, const struct plan_task *task, struct plan_area *area)
{
	const VmaEntry *v = area->vma;
	const IpcShmEntry *e = NULL;

	for (size_t i = 0; i < plan->n_sysv && !e; i++)
		if (plan->sysv[i]->desc->id == v->shmid)
			e = plan->sysv[i];
	uint64_t len = e ? (e->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE : 0;
	if (!e || (e->has_hugetlb_flag && e->hugetlb_flag) || v->pgoff > v->start || v->pgoff >= len ||
	    v->end - v->start > len - v->pgoff) {
		plan_refuse(
			plan,
			"memory 0x%llx-0x%llx of task %d: System V segment %llu is not in the images, is smaller, or "
			"has huge pages",
			(unsigned long long)v->start, (unsigned long long)v->end, task->pid,
			(unsigned long long)v->shmid);
		return 0;
	}
	area->segment = plan_segment(plan, v->shmid);
	if (!area->segment)
		return -ENOMEM;
	area->segment->sysv = e;
	area->segment->size = e->size;
	area->segment->sized = true;
	return 0;
}

static bool is_same(const struct shmid_ds *ds, const IpcShmEntry *e)
{
	return (uint32_t)ds->shm_perm.__key == e->desc->key && ds->shm_segsz == e->size &&
	       ds->shm_perm.uid == e->desc->uid && ds->shm_perm.gid == e->desc->gid;
}

static void check_segment(struct plan *plan, struct plan_segment *s)
{
	const IpcShmEntry *e = s->sysv;
	struct shmid_ds ds;

	if (plan->offline)
		return;
	s->exists = !shmctl(e->desc->id, IPC_STAT, &ds);
	if (s->exists && !is_same(&ds, e))
		plan_refuse(plan, "System V segment %u is another one now: remove it (ipcrm -m %u)", e->desc->id,
			    e->desc->id);
	else if (s->exists && ds.shm_nattch)
		plan_refuse(plan, "System V segment %u is attached %lu times: end who uses it", e->desc->id,
			    ds.shm_nattch);
	else if (!s->exists && (key_t)e->desc->key != IPC_PRIVATE && !(e->desc->mode & SHM_DEST) &&
		 shmget(e->desc->key, 0, 0) >= 0)
		plan_refuse(plan,
			    "the key 0x%x of System V segment %u belongs to another one now: remove it (ipcrm -M 0x%x)",
			    e->desc->key, e->desc->id, e->desc->key);
}

void sysv_check(struct plan *plan)
{
	for (struct plan_segment *s = next_sysv(plan->segments); s; s = next_sysv(s->next))
		check_segment(plan, s);
}

static int choose_id(int id)
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/shm_next_id", O_WRONLY | O_CLOEXEC);
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", id);

	return fd >= 0 && write(fd, text, n) == n ? 0 : -errno;
}

/* Returns 0 or -errno. */
static int make(const IpcShmEntry *e)
{
	/* Whose removal is pending has no key any more. */
	key_t key = e->desc->mode & SHM_DEST ? IPC_PRIVATE : (key_t)e->desc->key;
	int err = choose_id(e->desc->id), id = -1;

	/* The creator is who makes it. */
	if (!err && (syscall(SYS_setresgid, -1, e->desc->cgid, -1) || syscall(SYS_setresuid, -1, e->desc->cuid, -1)))
		err = -errno;
	if (!err) {
		id = shmget(key, e->size, IPC_CREAT | IPC_EXCL | (e->desc->mode & MODE_BITS));
		err = id < 0 ? -errno : 0;
	}
	if (syscall(SYS_setresuid, -1, 0, -1) || syscall(SYS_setresgid, -1, 0, -1))
		err = err ? err : -errno;
	if (!err && id != (int)e->desc->id)
		err = -EEXIST;
	struct shmid_ds ds = { .shm_perm = {
				       .uid = e->desc->uid, .gid = e->desc->gid, .mode = e->desc->mode & MODE_BITS } };
	if (!err && shmctl(id, IPC_SET, &ds))
		err = -errno;
	if (!err && e->desc->mode & SHM_LOCKED && shmctl(id, SHM_LOCK, NULL))
		err = -errno;
	if (err && id >= 0)
		shmctl(id, IPC_RMID, NULL);
	return err;
}

struct answer {
	int err;
	uint32_t id;
};

/* Makes the segments from s on, and removes them unless it hears a byte. Returns whether it heard one. */
static bool serve(int sock, struct plan_segment *s)
{
	struct answer answer = {};
	char byte;

	while (s && s->exists)
		s = next_sysv(s->next);
	if (!s)
		return send(sock, &answer, sizeof(answer), MSG_NOSIGNAL) > 0 && read(sock, &byte, 1) == 1;
	answer = (struct answer){ make(s->sysv), s->sysv->desc->id };
	if (answer.err) {
		send(sock, &answer, sizeof(answer), MSG_NOSIGNAL);
		return false;
	}
	bool stay = serve(sock, next_sysv(s->next));
	if (!stay)
		shmctl(s->sysv->desc->id, IPC_RMID, NULL);
	return stay;
}

static int fork_helper(struct plan *plan)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return log_errno(errno, "can't make a socket");
	plan->sysv_helper = fork();
	if (!plan->sysv_helper) {
		close(pair[0]);
		serve(pair[1], next_sysv(plan->segments));
		_exit(0);
	}
	int err = errno;
	close(pair[1]);
	plan->sysv_sock = pair[0];
	return plan->sysv_helper < 0 ? log_errno(err, "can't fork who makes System V shared memory") : 0;
}

/* What is in it now belongs to nobody. */
static int fill(struct plan *plan, const struct plan_segment *s)
{
	uint64_t len = (s->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE;
	uint8_t *base = shmat(s->sysv->desc->id, NULL, 0);

	if (base == (void *)-1)
		return log_errno(errno, "can't attach System V segment %u", s->sysv->desc->id);
	int err = s->exists && madvise(base, len, MADV_REMOVE)
			  ? log_errno(errno, "can't empty System V segment %u", s->sysv->desc->id)
			  : shmem_fill(plan, s, base);
	shmdt(base);
	return err;
}

int sysv_make(struct plan *plan)
{
	struct plan_segment *first = next_sysv(plan->segments);
	struct answer answer;

	if (!first)
		return 0;
	int err = fork_helper(plan);
	if (err)
		return err;
	if (recv(plan->sysv_sock, &answer, sizeof(answer), 0) != sizeof(answer))
		return log_errno(ECHILD, "can't make System V shared memory");
	if (answer.err)
		return log_errno(-answer.err, "can't make System V segment %u%s", answer.id,
				 answer.err == -EEXIST	 ? ": its number or its key was taken"
				 : answer.err == -ENOSPC ? "; raise kernel.shmmni or kernel.shmall"
							 : "");
	for (struct plan_segment *s = first; !err && s; s = next_sysv(s->next))
		err = fill(plan, s);
	return err;
}

void sysv_finish(struct plan *plan, int err)
{
	if (plan->sysv_helper <= 0)
		return;
	for (struct plan_segment *s = next_sysv(plan->segments); !err && s; s = next_sysv(s->next))
		if (s->sysv->desc->mode & SHM_DEST && shmctl(s->sysv->desc->id, IPC_RMID, NULL))
			log_warn("can't remove System V segment %u: %s", s->sysv->desc->id, strerror(errno));
	if (!err && send(plan->sysv_sock, "", 1, MSG_NOSIGNAL) != 1)
		log_warn("who watched over System V shared memory is gone: %s", strerror(errno));
	close(plan->sysv_sock);
	while (waitpid(plan->sysv_helper, NULL, 0) < 0 && errno == EINTR)
		;
	plan->sysv_helper = 0;
}

static uint64_t base_of(const struct plan_area *area)
{
	return area->vma->start - area->vma->pgoff;
}

static bool is_sysv(const struct plan_area *area)
{
	return area->segment && area->segment->sysv;
}

/* The attachment that the area is part of; a new one when there is none yet. */
static struct restorer_attach *find_attach(struct restorer_args *args, struct restorer_attach *list,
					   const struct plan_area *area)
{
	for (uint64_t i = args->n_attach; i-- > 0;)
		if (list[i].id == area->segment->sysv->desc->id && list[i].base == base_of(area))
			return &list[i];
	list[args->n_attach] = (struct restorer_attach){
		.id = area->segment->sysv->desc->id,
		.base = base_of(area),
		.flags = area->writes ? 0 : SHM_RDONLY,
		.end = base_of(area),
	};
	return &list[args->n_attach++];
}

int sysv_fill(const struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	size_t n = 0;

	for (size_t i = 0; i < task->n_areas; i++)
		n += is_sysv(&task->areas[i]);
	if (!n)
		return 0;
	struct restorer_attach *list = block_alloc(block, n * sizeof(*list));
	struct restorer_range *holes = block_alloc(block, 2 * n * sizeof(*holes));
	if (!list || !holes)
		return -ENOMEM;
	/* Areas ascend: what lies between those of one attachment, and behind the last, was unmapped. */
	for (size_t i = 0; i < task->n_areas; i++) {
		const struct plan_area *area = &task->areas[i];

		if (!is_sysv(area))
			continue;
		struct restorer_attach *a = find_attach(args, list, area);
		if (area->vma->prot & PROT_EXEC)
			a->flags |= SHM_EXEC;
		if (area->vma->start > a->end)
			holes[args->n_holes++] = (struct restorer_range){ a->end, area->vma->start - a->end };
		a->end = area->vma->end;
		a->whole_end = a->base + ((area->segment->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE);
	}
	for (uint64_t i = 0; i < args->n_attach; i++)
		if (list[i].end < list[i].whole_end)
			holes[args->n_holes++] =
				(struct restorer_range){ list[i].end, list[i].whole_end - list[i].end };
	args->attach = list;
	args->holes = holes;
	return 0;
}
