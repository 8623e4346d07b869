/* The parents of a directory of incremental images, and how many of its pages stand in each of them. */
#include "show_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "page_chain.h"

struct sums {
	uint64_t *bytes; /* by depth in the chain */
};

static int add_piece(void *arg, const struct pagemap_piece *piece)
{
	struct sums *sums = arg;

	if (!piece->away)
		sums->bytes[piece->depth] += piece->end - piece->start;
	return 0;
}

/* All page maps of the directory. Returns 0 or -errno (logged): of the first that is broken. */
static int sum_up(const struct image_chain *chain, struct sums *sums)
{
	int fd = openat(chain->first->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));) {
		enum image_kind kind;
		unsigned long id;
		int walked = 0;

		if (pagemap_file_id(e->d_name, &kind, &id))
			walked = pagemap_walk(chain, kind, id, add_piece, sums);
		err = err ?: walked;
	}
	return err;
}

static void show_parent(struct show_out *out, const struct image_chain *chain, size_t depth, uint64_t bytes)
{
	char link[PATH_MAX] = "", size[32];

	if (readlinkat(image_chain_dir(chain, depth - 1)->fd, PARENT_LINK, link, sizeof(link) - 1) < 0)
		*link = 0;
	if (out->json) {
		out_object(out, NULL, 0);
		out_string(out, "directory", image_chain_dir(chain, depth)->path);
		out_string(out, "link", link);
		out_value(out, "image_bytes", "%" PRIu64, bytes);
		out_object_end(out);
		return;
	}
	out_text(out, "  %10s  in %s -> ", format_size(size, sizeof(size), bytes), image_chain_dir(chain, depth)->path);
	out_quoted(out->to.file, link);
	out_text(out, "\n");
}

void show_parents(struct show_out *out, struct dir_info *info)
{
	_cleanup_chain_ struct image_chain chain = {};
	int err = image_chain_open(&chain, &info->dir);

	if (!err && !chain.n_parents)
		return;
	_cleanup_free_ uint64_t *bytes = calloc(chain.n_parents + 1, sizeof(*bytes));
	struct sums sums = { bytes };
	int summed = bytes ? sum_up(&chain, &sums) : log_errno(ENOMEM, "parents");
	info->err = info->err ?: err ?: summed;
	if (!bytes)
		return;
	out_text(out, "\nParents: %zu\n", chain.n_parents);
	out_list(out, "parents");
	for (size_t i = 1; i <= chain.n_parents; i++)
		show_parent(out, &chain, i, bytes[i]);
	out_list_end(out);
}
