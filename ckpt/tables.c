/* The tables of kinds and parts, from their .def files: the only place that knows them all. */
#include "dump.h"

const struct dump_fd_kind *const dump_fd_kinds[] = {
#define FD_KIND(name, type) &dump_fd_##name,
#include "fd_kinds.def"
#undef FD_KIND
	NULL,
};

const struct dump_part *const dump_parts[] = {
#define TASK_PART(name) &dump_part_##name,
#include "task_parts.def"
#undef TASK_PART
	NULL,
};
