/*
 * System V shared memory that the tree has attached, in the IPC namespace of ckpt: contents like those of shared
 * anonymous memory (shmem.c), the rest by shmctl(2) into ipcns-shm-N.img. The number of an area's inode is that of
 * its segment. Does not handle (judged): segments that others have attached too, those of huge pages; segments that
 * nobody has attached stay as they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "dump.h"
#include "ipc-shm.pb-c.h"
#include "log.h"

struct sysv_segment {
	int id;
	int error; /* errno of looking at it */
	struct shmid_ds ds;
	size_t areas; /* of the tree: what the kernel counts as attachments */
	bool told;
};

struct sysv {
	struct sysv_segment **list;
	size_t n;
	void *tree; /* tsearch(3) by id */
};

bool sysv_is_shm(const struct vma *v)
{
	return v->shared && !strncmp(v->name, "/SYSV", 5);
}

static int compare(const void *a, const void *b)
{
	const struct sysv_segment *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static struct sysv_segment *find(const struct dump *d, int id)
{
	const struct sysv_segment key = { .id = id };
	struct sysv_segment **found = d->sysv ? tfind(&key, &d->sysv->tree, compare) : NULL;

	return found ? *found : NULL;
}

/* Its number counts apart from those of other inodes. */
static struct stat identity(int id)
{
	return (struct stat){ .st_ino = id };
}

static int add(struct dump *d, int id, struct sysv_segment **segment)
{
	if (!d->sysv)
		d->sysv = calloc(1, sizeof(*d->sysv));
	if (!d->sysv)
		return -ENOMEM;
	struct sysv_segment **list = realloc(d->sysv->list, (d->sysv->n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	d->sysv->list = list;
	struct sysv_segment *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = id;
	if (!tsearch(s, &d->sysv->tree, compare)) {
		free(s);
		return -ENOMEM;
	}
	list[d->sysv->n++] = *segment = s;
	return 0;
}

int sysv_collect(struct dump_task *t, const struct vma *v)
{
	struct sysv_segment *s = find(t->dump, v->ino);
	char link[64];

	if (s) {
		s->areas++;
		return 0;
	}
	int err = add(t->dump, v->ino, &s);
	if (err)
		return log_errno(-err, "System V shared memory of task %d", t->pid);
	s->areas = 1;
	s->error = shmctl(s->id, IPC_STAT, &s->ds) ? errno : 0;
	if (s->error || v->hugetlb)
		return 0; /* judged */
	snprintf(link, sizeof(link), "map_files/%lx-%lx", v->start, v->end);
	int fd = openat(t->proc, link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open the shared memory at %#lx of task %d", v->start, t->pid);
	const struct stat st = identity(s->id);
	return shmem_add(t->dump, t->pid, &st, 0, fd);
}

int sysv_judge(struct dump_task *t, const struct vma *v)
{
	struct sysv_segment *s = find(t->dump, v->ino);
	const char *reason = NULL, *remedy = "detach it before the dump";
	char text[128];

	if (!s || s->told)
		return 0;
	if (s->error)
		reason = "it can't be looked at: it is in another IPC namespace, or was removed a moment ago";
	else if (v->hugetlb)
		reason = "segments of huge pages are not supported yet";
	else if (s->ds.shm_nattch > s->areas) {
		snprintf(text, sizeof(text), "segment %d is also attached by processes outside the tree (%lu of %lu)",
			 s->id, s->ds.shm_nattch - s->areas, s->ds.shm_nattch);
		reason = text;
		remedy = "dump these together, or detach it in one of them";
	} else if (shmem_id(t->dump, 0, s->id) != (uint32_t)s->id) {
		reason = "its number is that of another segment in the images";
	}
	if (!reason)
		return 0;
	s->told = true;
	return blocker_add(t->dump, t->pid, "SysV shared memory", reason, remedy, "area %lx-%lx %s", v->start, v->end,
			   v->name);
}

static void put_segment(struct image_writer *w, const struct sysv_segment *s)
{
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcShmEntry e = IPC_SHM_ENTRY__INIT;

	desc.key = s->ds.shm_perm.__key;
	desc.uid = s->ds.shm_perm.uid;
	desc.gid = s->ds.shm_perm.gid;
	desc.cuid = s->ds.shm_perm.cuid;
	desc.cgid = s->ds.shm_perm.cgid;
	desc.mode = s->ds.shm_perm.mode;
	desc.id = s->id;
	e.desc = &desc;
	e.size = s->ds.shm_segsz;
	e.has_in_pagemaps = e.in_pagemaps = true;
	image_put(w, &e.base);
}

int sysv_write(struct dump *d, uint32_t ipc_ns_id)
{
	struct image_writer w;

	if (!d->sysv)
		return 0;
	image_create(&w, &d->images, IMG_IPCNS_SHM, ipc_ns_id);
	for (size_t i = 0; i < d->sysv->n; i++)
		put_segment(&w, d->sysv->list[i]);
	return image_close(&w);
}

void sysv_free(struct dump *d)
{
	if (!d->sysv)
		return;
	tdestroy(d->sysv->tree, free);
	free(d->sysv->list);
	free(d->sysv);
	d->sysv = NULL;
}
