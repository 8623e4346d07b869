/*
 * What ckpt needs of the kernel and of its own permissions, found out by trying. Only `ckpt check` asks: a dump or
 * a restore tries what it needs and says what is missing, so that nobody pays for what is not used.
 */
#ifndef CKPT_KERNEL_FEATURES_H
#define CKPT_KERNEL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

struct kernel_feature {
	const char *name; /* CRIU's name where it has one */
	const char *since; /* version of Linux, or the configuration or capability that gives it */
	bool required; /* without it, no tree can be dumped or no tree restored */
	bool (*probe)(void); /* true: it is there. Changes nothing; may fork a short-lived child */
	const char *cost; /* what is lost without it */
};

extern const struct kernel_feature kernel_features[];
extern const size_t kernel_feature_count;

/* NULL: not one of these. */
const struct kernel_feature *kernel_feature_find(const char *name);

#endif
