/* The tables of kinds and parts, from their .def files: the only place that knows them all. */
#include "plan.h"

#define FD_KIND(name, type) extern const struct restore_fd_kind restore_fd_##name;
#include "fd_kinds.def"
#undef FD_KIND
#define TASK_PART(name) extern const struct restore_part restore_part_##name;
#include "task_parts.def"
#undef TASK_PART

const struct restore_fd_kind *const restore_fd_kinds[] = {
#define FD_KIND(name, type) &restore_fd_##name,
#include "fd_kinds.def"
#undef FD_KIND
	NULL,
};

const struct restore_part *const restore_parts[] = {
#define TASK_PART(name) &restore_part_##name,
#include "task_parts.def"
#undef TASK_PART
	NULL,
};
