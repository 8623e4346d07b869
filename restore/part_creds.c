/*
 * Credentials: user and group ids, capabilities, securebits, no_new_privs, of each thread. They can only be
 * what the restorer itself has, or less. Not handled: LSM labels, other user namespaces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "log.h"
#include "plan.h"
#include "privileges.h"

#define GROUPS_MAX 65536 /* NGROUPS_MAX */

/* The i-th word of a capability set of an image. */
static uint32_t word(size_t n, const uint32_t *set, size_t i)
{
	return i < n ? set[i] : 0;
}

static void check_set(struct plan *plan, pid_t tid, const char *name, size_t n, const uint32_t *set,
		      const uint32_t have[2])
{
	for (size_t i = 0; i < n; i++) {
		uint32_t missing = set[i] & ~(i < 2 ? have[i] : 0);

		if (missing)
			plan_refuse_here(plan,
					 "thread %d had %s capabilities that ckpt restore lacks (word %zu, bits 0x%x): "
					 "run it with these capabilities",
					 tid, name, i, missing);
	}
}

static int creds_read(struct plan *plan, struct plan_task *task)
{
	const struct privileges *mine = privileges_get(plan);

	if (!mine)
		return -EIO;
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *tc = task->threads[i].core->thread_core;
		const CredsEntry *e = tc ? tc->creds : NULL;
		pid_t tid = task->threads[i].tid;

		if (!tc)
			continue;
		if (!e) {
			plan_refuse(plan, "core-%d.img: no credentials in it: the images are of a CRIU older than 3",
				    tid);
			continue;
		}
		check_set(plan, tid, "permitted", e->n_cap_prm, e->cap_prm, mine->permitted);
		check_set(plan, tid, "effective", e->n_cap_eff, e->cap_eff, mine->permitted);
		check_set(plan, tid, "bounding", e->n_cap_bnd, e->cap_bnd, mine->bounding);
		if (e->n_groups > GROUPS_MAX)
			plan_refuse(plan, "core-%d.img: %zu supplementary groups", tid, e->n_groups);
		if (mine->no_new_privs && !e->no_new_privs)
			plan_refuse_here(plan,
					 "ckpt restore runs with no_new_privs, which thread %d had not: run it without",
					 tid);
		if (e->lsm_profile || e->lsm_sockcreate || e->has_apparmor_data)
			log_info("thread %d: its security label %s is not restored", tid,
				 e->lsm_profile ? e->lsm_profile : "");
	}
	return 0;
}

static int fill_one(const CredsEntry *e, const struct privileges *mine, struct block *block, struct restorer_creds *c)
{
	c->uid = e->uid;
	c->euid = e->euid;
	c->suid = e->suid;
	c->fsuid = e->fsuid;
	c->gid = e->gid;
	c->egid = e->egid;
	c->sgid = e->sgid;
	c->fsgid = e->fsgid;
	c->securebits = e->secbits;
	c->no_new_privs = e->has_no_new_privs && e->no_new_privs;
	c->last_cap = mine->last_cap;
	for (size_t i = 0; i < 2; i++) {
		c->inheritable[i] = word(e->n_cap_inh, e->cap_inh, i);
		c->permitted[i] = word(e->n_cap_prm, e->cap_prm, i);
		c->effective[i] = word(e->n_cap_eff, e->cap_eff, i);
		c->bounding[i] = word(e->n_cap_bnd, e->cap_bnd, i);
		c->ambient[i] = word(e->n_cap_amb, e->cap_amb, i);
	}
	c->n_groups = e->n_groups;
	c->groups = block_alloc(block, (e->n_groups + 1) * sizeof(*c->groups));
	if (!c->groups)
		return -ENOMEM;
	if (e->n_groups)
		memcpy(c->groups, e->groups, e->n_groups * sizeof(*c->groups));
	return 0;
}

/* Most tasks of root have just what we have: nothing to do for them. */
static bool is_ours(const struct restorer_creds *c, const struct privileges *p)
{
	const uid_t uid[4] = { c->uid, c->euid, c->suid, c->fsuid };
	const gid_t gid[4] = { c->gid, c->egid, c->sgid, c->fsgid };

	return !memcmp(uid, p->uid, sizeof(uid)) && !memcmp(gid, p->gid, sizeof(gid)) &&
	       c->securebits == p->securebits && !memcmp(c->inheritable, p->inheritable, sizeof(p->inheritable)) &&
	       !memcmp(c->permitted, p->permitted, sizeof(p->permitted)) &&
	       !memcmp(c->effective, p->effective, sizeof(p->effective)) &&
	       !memcmp(c->bounding, p->bounding, sizeof(p->bounding)) &&
	       !memcmp(c->ambient, p->ambient, sizeof(p->ambient)) && c->n_groups == p->n_groups &&
	       !memcmp(c->groups, p->groups, p->n_groups * sizeof(*p->groups));
}

static bool same(const CredsEntry *a, const CredsEntry *b)
{
	size_t len = protobuf_c_message_get_packed_size(&a->base);

	if (protobuf_c_message_get_packed_size(&b->base) != len)
		return false;
	uint8_t x[1024], y[1024];
	if (len > sizeof(x))
		return false;
	protobuf_c_message_pack(&a->base, x);
	protobuf_c_message_pack(&b->base, y);
	return !memcmp(x, y, len);
}

static int creds_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	const struct privileges *mine = privileges_get(plan);
	const CredsEntry *leader = task->threads[0].core->thread_core->creds;

	for (size_t i = 0; i < task->n_threads; i++) {
		const CredsEntry *e = task->threads[i].core->thread_core->creds;
		struct restorer_thread *t = &block->args->threads[i];

		if (i && same(e, leader)) {
			t->creds = block->args->threads[0].creds;
			continue;
		}
		struct restorer_creds *c = block_alloc(block, sizeof(*c));
		int err = c ? fill_one(e, mine, block, c) : -ENOMEM;
		if (err)
			return err;
		c->change = !is_ours(c, mine);
		t->creds = c;
	}
	return 0;
}

const struct restore_part restore_part_creds = { .name = "credentials", .read = creds_read, .fill = creds_fill };
