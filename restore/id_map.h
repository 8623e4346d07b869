/* Files by a number that is not their id: inode of a socket, id of a pipe. */
#ifndef CKPT_RESTORE_ID_MAP_H
#define CKPT_RESTORE_ID_MAP_H

#include <stddef.h>
#include <stdint.h>

struct plan;
struct plan_file;

struct id_map {
	size_t size; /* a power of two, at least twice the number of files of the plan; 0: nothing is in it yet */
	struct id_map_slot {
		uint32_t id;
		struct plan_file *file; /* NULL: free */
	} * slots;
};

/* The file with the number; when there is none, file (if not NULL) is from now on. NULL: none, or out of memory. */
struct plan_file *id_map_get(struct plan *plan, struct id_map *map, uint32_t id, struct plan_file *file);

#endif
