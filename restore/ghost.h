/* Files without a name. */
#ifndef CKPT_RESTORE_GHOST_H
#define CKPT_RESTORE_GHOST_H

#define GHOST_SUFFIX 24 /* bytes that a name may grow by while another file has it */

struct plan;
struct plan_ghost;

/* In the owner: makes the file and opens it by each of its names. Returns 0 or -errno (logged); no name is left. */
int ghost_create(struct plan *plan, struct plan_ghost *ghost);
/* In the coordinator, when all tasks are dead: waits until no name is left. */
void ghosts_clean_up(const struct plan *plan);

/* In the coordinator, when the restore has succeeded: removes the names that the dump made (--link-remap). */
void ghosts_remove_links(const struct plan *plan);

#endif
