/* A hash table with open addressing: it never holds more than all files. */
#include "id_map.h"

#include "plan.h"

#define SPREAD 2654435761u /* an odd number near 2^32 over the golden ratio */

struct plan_file *id_map_get(struct plan *plan, struct id_map *map, uint32_t id, struct plan_file *file)
{
	if (!map->size) {
		size_t size = 4;

		while (size < 2 * plan->n_files)
			size *= 2;
		map->slots = plan_alloc_fixed(plan, size * sizeof(*map->slots)); /* tasks only look */
		if (!map->slots)
			return NULL;
		map->size = size;
	}
	for (size_t at = id * SPREAD % map->size;; at = (at + 1) % map->size) {
		struct id_map_slot *slot = &map->slots[at];

		if (slot->file && slot->id != id)
			continue;
		if (!slot->file && file)
			*slot = (struct id_map_slot){ id, file };
		return slot->file;
	}
}
