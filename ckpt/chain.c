/* Incremental images: --track-mem, --prev-images-dir, the link "parent". */
#include "chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cleanup.h"
#include "inventory.pb-c.h"
#include "log.h"
#include "opts.h"
#include "pagemap.h"

#define PARENT "parent"

void chain_new_id(char id[RUN_ID])
{
	uint8_t r[16] = {};

	if (getrandom(r, sizeof(r), 0) != sizeof(r))
		log_warn("no random numbers: %s", strerror(errno));
	r[6] = (r[6] & 0x0f) | 0x40;
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(id, RUN_ID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2],
		 r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
}

/* The id of the set in --prev-images-dir, which counts from the image directory. "": it has none. */
static int previous_id(const struct dump *d, char id[RUN_ID])
{
	_cleanup_close_ int fd = openat(d->images.fd, d->opts->prev_images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct image_dir dir = { fd, -1, (char *)d->opts->prev_images_dir };
	ProtobufCMessage *m;

	id[0] = 0;
	if (fd < 0)
		return log_errno(errno, "can't open --prev-images-dir %s (it counts from the image directory)",
				 d->opts->prev_images_dir);
	int err = image_read_one(&dir, IMG_INVENTORY, 0, &m);
	if (err == -ENOENT)
		return log_errno(ENOENT, "--prev-images-dir %s holds no images", d->opts->prev_images_dir);
	if (err)
		return err;
	const InventoryEntry *e = (const InventoryEntry *)m;
	if (e->dump_criu_run_id)
		snprintf(id, RUN_ID, "%s", e->dump_criu_run_id);
	protobuf_c_message_free_unpacked(m, NULL);
	return 0;
}

int chain_begin(struct dump *d)
{
	char previous[RUN_ID] = "";
	int err = d->opts->prev_images_dir ? previous_id(d, previous) : 0;

	if (err)
		return err;
	d->chain = calloc(1, sizeof(*d->chain));
	if (!d->chain)
		return log_errno(ENOMEM, "trackers");
	err = keeper_take(d->opts->tree, d->chain);
	if (err || !d->opts->prev_images_dir)
		return err;
	d->chain->usable = d->chain->last[0] && !strcmp(previous, d->chain->last);
	if (!d->chain->usable)
		log_warn("what was written since the images in %s is not known%s: all pages are written",
			 d->opts->prev_images_dir,
			 d->chain->n ? ", they are not the last ones that were made"
				     : " (was it made with --track-mem?)");
	return 0;
}

struct tracker *chain_tracker(const struct dump *d, const struct dump_task *t)
{
	for (size_t i = 0; d->chain && i < d->chain->n; i++)
		if (d->chain->trackers[i].pid == t->pid && d->chain->trackers[i].start_time == t->stat.start_time)
			return &d->chain->trackers[i];
	return NULL;
}

bool chain_tracks(const struct dump_task *t, const struct vma *v)
{
	const struct tracker *tr = chain_tracker(t->dump, t);

	return tr && tracker_has(tr, v);
}

int chain_add(struct chain *c, struct tracker tracker)
{
	struct tracker *t = c->n < c->room ? c->trackers : realloc(c->trackers, (c->room += 16) * sizeof(*t));

	if (!t) {
		tracker_close(&tracker, true);
		return log_errno(ENOMEM, "trackers");
	}
	c->trackers = t;
	c->trackers[c->n++] = tracker;
	return 0;
}

int chain_track(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];
		struct tracker tr;

		if (t->parasite.thread && !chain_tracker(d, t) && !tracker_open(&tr, t))
			err = chain_add(d->chain, tr);
	}
	return err;
}

void chain_check(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++) {
		if (!c->trackers[i].unseen || !c->last[0])
			continue;
		log_warn("task %d has direct or asynchronous I/O, which writes into its memory unseen: the next images "
			 "will hold all pages",
			 c->trackers[i].pid);
		c->last[0] = 0;
	}
}

/* Whether an area begins below where it began when the set was written: the parasite has made a stack grow. */
static bool has_grown(const struct tracker *tr, const struct dump_task *t)
{
	for (size_t i = 0; i < tr->vmas.n; i++) {
		const struct vma *now = &tr->vmas.v[i], *before = vma_find(&t->vmas, now->end - 1);

		if (tracking_is_worth_it(now) && before && now->start < before->start)
			return true;
	}
	return false;
}

/*
 * In the areas of the set only: pages that are in none of them are in no image, and count as written. Sets *all when
 * they cannot be told apart.
 */
static int arm_task(struct tracker *tr, const struct dump_task *t, bool *all)
{
	int err = tracker_look(tr);

	if (!err)
		err = tracker_arm_areas(tr, &t->vmas);
	*all |= !err && tracking_by_soft_dirty() && has_grown(tr, t);
	return err;
}

int chain_arm(struct dump *d)
{
	struct chain *c = d->chain;
	bool all = false;
	int err = 0;

	c->last[0] = 0;
	for (size_t i = 0; i < c->n && !err; i++) {
		const struct dump_task *t = dump_task_by_pid(d, c->trackers[i].pid);

		err = t ? arm_task(&c->trackers[i], t, &all) : 0;
		if (err == -ESRCH) /* it has ended meanwhile */
			err = 0;
	}
	if (all)
		log_info("a stack has grown: the next images will hold all pages");
	else if (!err)
		memcpy(c->last, d->id, RUN_ID);
	chain_check(c);
	return err ? log_errno(-err, "can't track what the tree writes") : 0;
}

/* Trackers go back to a keeper as long as they know since which set they track. */
void chain_end(struct dump *d)
{
	struct chain *c = d->chain;

	if (c && c->n && c->last[0] && !d->killed && (d->committed || strcmp(c->last, d->id))) {
		int err = keeper_start(d->opts->tree, c);

		if (err)
			log_warn("writes are not tracked any more (%s): the next images will hold all pages",
				 strerror(-err));
	}
	for (size_t i = 0; c && i < c->n; i++)
		tracker_close(&c->trackers[i], true);
	if (c)
		free(c->trackers);
	free(take_ptr(d->chain));
}

static int make_link(const struct dump *d, int dir)
{
	if (symlinkat(d->opts->prev_images_dir, dir, PARENT))
		return log_errno(errno, "can't make the link %s/" PARENT, d->images.path);
	return 0;
}

int chain_link_early(struct dump *d)
{
	if (!d->opts->prev_images_dir || !d->opts->page_server)
		return 0;
	if (!unlinkat(d->images.fd, PARENT, 0))
		log_info("the older link %s/" PARENT " is replaced", d->images.path);
	int err = make_link(d, d->images.fd);
	d->linked = !err;
	return err;
}

void chain_unlink(struct dump *d)
{
	if (d->linked && !d->committed && unlinkat(d->images.fd, PARENT, 0))
		log_warn("can't remove the link %s/" PARENT ": %s", d->images.path, strerror(errno));
	d->linked = false;
}

int chain_link(struct dump *d)
{
	return d->opts->prev_images_dir && !d->linked ? make_link(d, d->images.partial_fd) : 0;
}
