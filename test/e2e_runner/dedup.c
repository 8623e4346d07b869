/*
 * Duplicates in incremental images: pages that the newest set has itself are cut out of its parents by `dedup`, which
 * alone cannot be restored then; `restore --auto-dedup` cuts out all that it has restored.
 */
#include "runner.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that the page images of the last dump and its parents take. */
static unsigned long page_bytes(struct run *r)
{
	char pattern[PATH_MAX];
	unsigned long bytes = 0;
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s*/pages-*.img", image_dir(r));
	if (glob(pattern, 0, NULL, &found))
		fail_case(r, "no page images");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct stat st;

		if (!stat(found.gl_pathv[i], &st))
			bytes += st.st_blocks * 512ul;
	}
	globfree(&found);
	return bytes;
}

static int run_tool(struct run *r, const char *label, const char *action, const char *dir)
{
	char log[80];
	struct tool_call call = { .label = label };

	snprintf(log, sizeof(log), "../%s.log", label);
	const char *argv[] = { settings.tool, action, "-D", dir, "-o", log, "-v4", NULL };
	return tool_wait(r, &call, tool_start(r, &call, argv));
}

void way_dedup(struct run *r)
{
	struct lines before = { 0 };
	struct tool_call call = { .extra = { "--auto-dedup" } };
	char parent[PATH_MAX];

	start_program(r);
	snapshot(r, &before);
	dump_ok(r, NULL, false);
	make_chain(r);
	unsigned long whole = page_bytes(r);
	if (run_tool(r, "dedup", "dedup", image_dir(r)))
		fail_case(r, "dedup failed");
	unsigned long cut = page_bytes(r);
	if (cut >= whole)
		fail_case(r, "dedup cut nothing out: %lu bytes of %lu", cut, whole);
	snprintf(parent, sizeof(parent), "%s.parent", image_dir(r));
	if (!run_tool(r, "restore-parent", "restore", parent))
		fail_case(r, "a parent without all its pages was restored");
	if (restore(r, &call))
		fail_case(r, "the restore with --auto-dedup failed");
	expect_same(r, &before, "after the restore");
	/* What is left is what no area takes: pages of the vDSO, and those that were stale. */
	unsigned long left = page_bytes(r);
	if (left >= cut)
		fail_case(r, "restore --auto-dedup cut nothing out: %lu bytes of %lu", left, cut);
	remember_pids(r);
	drop_program(r);
	wait_gone(r, 20);
	if (!run_tool(r, "restore-again", "restore", image_dir(r)))
		fail_case(r, "images without their pages were restored");
	end_case(r, 0);
}
