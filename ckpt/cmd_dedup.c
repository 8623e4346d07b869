/* ckpt dedup: cuts out of the parents of a set of incremental images what the set has itself. */
#include <inttypes.h>

#include "cmd.h"
#include "dedup.h"
#include "log.h"
#include "opts.h"

int cmd_dedup(const struct opts *opts)
{
	struct image_dir images;
	uint64_t bytes = 0;
	int err = image_dir_open(&images, opts->images_dir);

	if (err)
		return 1;
	err = dedup_parents(&images, &bytes);
	log_info("%" PRIu64 " pages were cut out of the parents of %s", bytes / IMAGE_PAGE_SIZE, opts->images_dir);
	image_dir_close(&images);
	return err ? 1 : 0;
}
