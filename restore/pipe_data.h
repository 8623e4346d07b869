/* What was in pipes and FIFOs when they were dumped. */
#ifndef CKPT_RESTORE_PIPE_DATA_H
#define CKPT_RESTORE_PIPE_DATA_H

#include <stdint.h>

#include "image.h"

struct plan;
struct plan_file;

/* Reads an image of the kind into the plan; *all is for the others. Returns 0 or -errno (logged). */
int pipe_data_read(struct plan *plan, enum image_kind kind, void **all);
/* How many bytes waited in a pipe. */
uint64_t pipe_data_bytes(const void *all, uint32_t id);
/* Checks all entries of a pipe together: a pipe in packet mode has one for each packet. */
void pipe_data_check(struct plan *plan, const void *all, uint32_t id);
/*
 * Puts the bytes back that nobody had read, through fd, which can write. first: the files of the pipe. Does not
 * block: they fit. Returns 0 or -errno (logged).
 */
int pipe_data_put(const void *all, uint32_t id, const struct plan_file *first, int fd);

#endif
