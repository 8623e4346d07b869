/*
 * Reads the images into the plan, in an order in which each can be checked against those before. Only what
 * belongs to no task stands here: memory of the plan, the inventory, images that are not supported.
 */
#include "plan.h"
#include "path_looks.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "checksums.h"
#include "cleanup.h"
#include "dedup.h"
#include "locks.h"
#include "log.h"
#include "opts.h"
#include "packed.h"
#include "sysv_shm.h"

void plan_refuse_at(struct plan *plan, const char *where, const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	plan->problems++;
	if (plan->say) {
		plan->say(plan->say_arg, text);
		return;
	}
	log_print(LOG_ERR, where, "%s", text);
}

void *plan_alloc(struct plan *plan, size_t size)
{
	return arena_get(&plan->arena, size ? size : 1);
}

void *plan_alloc_fixed(struct plan *plan, size_t size)
{
	return arena_get(&plan->fixed, size ? size : 1);
}

void *plan_alloc_common(struct plan *plan, size_t size)
{
	return arena_get(&plan->common, size);
}

static void free_nothing(void *node)
{
}

void plan_close(struct plan *plan)
{
	for (size_t i = 0; plan->tasks && i < plan->n_tasks; i++)
		for (size_t t = 0; t < plan->tasks[i].n_threads; t++)
			if (plan->tasks[i].threads[t].core && !plan->tasks[i].threads[t].kept)
				core_entry__free_unpacked(plan->tasks[i].threads[t].core, NULL);
	tdestroy(plan->segment_tree, free_nothing);
	plan->segment_tree = NULL;
	arena_free(&plan->arena);
	arena_free(&plan->fixed);
	arena_free(&plan->common);
	if (plan->regs)
		munmap(plan->regs, plan->regs_size);
	plan->regs = NULL;
	image_chain_close(&plan->chain);
	if (plan->images.path)
		image_dir_close(&plan->images);
	if (plan->tty_fd >= 0)
		close(plan->tty_fd);
	plan->tty_fd = -1;
}

int plan_read_one(struct plan *plan, enum image_kind kind, unsigned long id, const void *message)
{
	ProtobufCMessage *read = NULL;
	int err = image_read_one_into(&plan->fixed, &plan->images, kind, id, &read);

	if (!err)
		*(ProtobufCMessage **)message = read;
	return err;
}

int plan_read_all(struct plan *plan, enum image_kind kind, unsigned long id, void *list, size_t *n)
{
	_cleanup_image_ struct image_reader r = {};
	_cleanup_free_ ProtobufCMessage **grown = NULL;
	size_t room = 0;
	int err = image_open(&r, &plan->images, kind, id);

	*n = 0;
	if (err)
		return err;
	r.arena = &plan->fixed;
	for (ProtobufCMessage *m; (err = image_get(&r, &m)) > 0;) {
		if (*n == room) {
			room = room ? 2 * room : 64;
			void *larger = realloc(grown, room * sizeof(*grown));
			if (!larger)
				return -ENOMEM;
			grown = larger;
		}
		grown[(*n)++] = m;
	}
	if (err)
		return err;
	void *kept = plan_alloc_fixed(plan, *n * sizeof(*grown) + 1);
	if (!kept)
		return -ENOMEM;
	if (*n)
		memcpy(kept, grown, *n * sizeof(*grown));
	*(void **)list = kept;
	return 0;
}

int plan_read_with_bytes(struct plan *plan, enum image_kind kind, size_t size, plan_add *add, void *list, size_t *n)
{
	_cleanup_image_ struct image_reader r = {};
	char *elements = NULL;
	size_t room = 0;
	int err = image_open(&r, &plan->images, kind, 0);

	*n = 0;
	if (err)
		return err == -ENOENT ? 0 : err;
	r.arena = &plan->fixed;
	for (ProtobufCMessage *m; (err = image_get(&r, &m)) > 0; ++*n) {
		if (*n == room) {
			char *old = elements;

			room = room ? 2 * room : 16;
			elements = plan_alloc(plan, room * size);
			if (elements && *n)
				memcpy(elements, old, *n * size);
		}
		err = elements ? add(plan, &r, m, elements + *n * size) : -ENOMEM;
		if (err)
			break;
	}
	memcpy(list, &elements, sizeof(elements));
	return err;
}

bool plan_lives(const struct plan_task *task)
{
	return task->state == TASK_ALIVE || task->state == TASK_STOPPED;
}

struct plan_task *plan_common_ancestor(struct plan_task *a, struct plan_task *b)
{
	if (!a || !b)
		return a ? a : b;
	while (a != b) {
		if (a->depth < b->depth)
			b = b->parent;
		else
			a = a->parent;
	}
	return a;
}

void plan_sort(void *array, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	const char *at = array;

	for (size_t i = 1; i < n; i++, at += size) {
		if (compare(at, at + size) > 0) {
			qsort(array, n, size, compare);
			return;
		}
	}
}

static int compare_pid(const void *key, const void *element)
{
	pid_t pid = *(const pid_t *)key, other = (*(struct plan_task *const *)element)->pid;

	return pid < other ? -1 : pid > other;
}

struct plan_task *plan_task_by_pid(const struct plan *plan, pid_t pid)
{
	struct plan_task **found = bsearch(&pid, plan->by_pid, plan->n_tasks, sizeof(*plan->by_pid), compare_pid);

	return found ? *found : NULL;
}

/* Whether a descriptor of ours leads to a file in the image directory. */
static bool image_exists(const struct plan *plan, const char *name)
{
	return !faccessat(plan->images.fd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

static int read_inventory(struct plan *plan)
{
	int err = plan_read_one(plan, IMG_INVENTORY, 0, &plan->inventory);

	if (err == -ENOENT)
		log_err("%s holds no images (inventory.img is missing): check the path, and that the dump succeeded",
			plan->images.path);
	if (err)
		return err;
	const InventoryEntry *inv = plan->inventory;
	if (dedup_is_marked(&plan->images))
		plan_refuse(plan,
			    "%s has lost pages (by ckpt dedup, or --auto-dedup of a dump or restore): only images that "
			    "build on it can be restored",
			    plan->images.path);
	if (inv->img_version != 1 && inv->img_version != IMAGE_VERSION && inv->img_version != IMAGE_VERSION_PACKED) {
		log_err("the images in %s have version %u: this program reads versions 1, %d and %d", plan->images.path,
			inv->img_version, IMAGE_VERSION, IMAGE_VERSION_PACKED);
		return -ENOTSUP;
	}
	if (!inv->root_ids || !inv->has_fdinfo_per_id || !inv->fdinfo_per_id)
		plan_refuse(
			plan,
			"inventory.img: the images were written by a CRIU older than 3; dump again with a newer one");
	if (inv->has_lsmtype && inv->lsmtype != LSMTYPE__NO_LSM)
		log_info("the tasks ran under the security module %u: their labels are not restored", inv->lsmtype);
	if (inv->plugins_entry && inv->plugins_entry->n_plugins)
		plan_refuse(plan,
			    "inventory.img: the dump used the plugin %s; plugins are not supported, restore with CRIU",
			    inv->plugins_entry->plugins[0]);
	return 0;
}

/* Images that describe state which nothing in the other images refers to. */
static const struct {
	enum image_kind kind;
	const char *what, *remedy;
} unsupported[] = {
	{ IMG_APPARMOR, "AppArmor policies", "restore with CRIU" },
};

static int check_unsupported_images(struct plan *plan)
{
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		ProtobufCMessage **list;
		size_t n;
		char name[64];
		int err = plan_read_all(plan, unsupported[i].kind, 0, &list, &n);

		if (err && err != -ENOENT)
			return err;
		if (!err && n)
			plan_refuse(plan, "%s: %s (%zu) are not supported yet; %s",
				    image_name(name, sizeof(name), unsupported[i].kind, 0), unsupported[i].what, n,
				    unsupported[i].remedy);
	}
	if (image_exists(plan, "cgroup.img"))
		log_info("cgroup.img: cgroups are not restored, the tasks get the cgroup of ckpt restore");
	return 0;
}

/* What is left of the cores, now that all have looked at them. */
static int keep_cores(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		struct plan_thread *thread = &task->threads[i];

		thread->kept = true;
		if (plan_keep(plan, &thread->core))
			return -ENOMEM;
	}
	task->core = task->threads[0].core->tc;
	return 0;
}

static int read_parts(struct plan *plan, struct plan_task *task)
{
	int err = plan_read_task(plan, task);

	if (err || !plan_lives(task) || !task->core)
		return err;
	err = plan_read_memory(plan, task);
	if (!err)
		err = plan_read_fds(plan, task);
	for (size_t i = 0; !err && restore_parts[i]; i++)
		if (restore_parts[i]->read)
			err = restore_parts[i]->read(plan, task);
	return err ? err : keep_cores(plan, task);
}

/* Reads all that is in the images, in the order in which they build on each other. */
static int read_images(struct plan *plan)
{
	int err = read_inventory(plan);

	if (!err)
		err = plan_check_cpu(plan);
	if (!err)
		err = plan_read_tree(plan);
	if (!err)
		err = plan_read_files(plan);
	if (!err)
		err = plan_read_remaps(plan);
	if (!err)
		err = sysv_read(plan);
	for (size_t i = 0; !err && i < plan->n_tasks; i++)
		err = read_parts(plan, &plan->tasks[i]);
	if (!err)
		err = plan_read_segments(plan);
	if (!err)
		err = plan_share_files(plan);
	if (!err)
		err = plan_read_locks(plan);
	if (!err)
		err = check_unsupported_images(plan);
	return err;
}

/*
 * Before anything else, and all of it: what is damaged is said in these words, and nothing is made from half of a set.
 * Reading the pages brings them into memory, where the tasks find them.
 */
static int check_checksums(struct plan *plan)
{
	struct checksum_work work = { .progress = &plan->progress };
	int err = 0, got = 0;

	if (plan->opts->no_checksum || plan->offline) /* verify has looked at them itself */
		return 0;
	progress_phase(&plan->progress, "checksums", 0);
	for (size_t i = 0; i <= plan->chain.n_parents; i++) {
		work.pages_only = i;
		got = checksums_verify(image_chain_dir(&plan->chain, i), &work);
		err = err ? err : got < 0 ? got : 0;
		if (got > 0)
			log_info("%s has its checksums", image_chain_dir(&plan->chain, i)->path);
	}
	if (err == -EBADMSG)
		log_print(LOG_MSG, LOG_WHERE,
			  "the images are not what the dump wrote: copy them again. Nothing was restored "
			  "(--no-checksum does not look)");
	return err;
}

/* Page images that are compressed: all tasks find them in memory. */
static int unpack_pages(struct plan *plan)
{
	const struct pack_work work = { .progress = &plan->progress };
	int err = 0;

	if (plan->offline)
		return 0;
	progress_phase(&plan->progress, "decompressing", 0);
	for (size_t i = 0; i <= plan->chain.n_parents && !err; i++)
		err = packed_unpack(i ? &plan->chain.parents[i - 1] : &plan->images, &work);
	return err;
}

int plan_open(struct plan *plan, const struct opts *opts)
{
	*plan = (struct plan){
		.opts = opts, .tty_fd = -1, .lazy_sock = -1, .guard_fd = -1, .images = { -1, -1, NULL }
	};
	plan->fixed.shared = plan->fixed.huge = true;
	plan->common.shared = true;
	plan->offline = opts->action == ACTION_VERIFY;
	progress_begin(&plan->progress, opts);

	int err = image_dir_open(&plan->images, opts->images_dir);
	if (!err)
		err = image_chain_open(&plan->chain, &plan->images);
	if (!err)
		err = check_checksums(plan);
	if (!err)
		err = unpack_pages(plan);
	if (!err)
		err = read_images(plan);
	path_looks_end(plan);
	if (!err)
		err = plan_order_sessions(plan);
	if (!err && !plan->problems)
		plan_share_memory(plan);
	if (!err)
		err = plan_choose_numbers(plan);
	/* Last: it may have to wait for a pid to become free, which is in vain when there are other problems. */
	if (!err && !plan->offline)
		err = plan_check_pids(plan);
	if (err)
		return err;
	if (plan->problems) {
		log_print(LOG_MSG, LOG_WHERE, "%u problem%s found%s", plan->problems, plan->problems > 1 ? "s" : "",
			  plan->offline ? "" : ", nothing was restored");
		return -ENOTSUP;
	}
	return 0;
}
