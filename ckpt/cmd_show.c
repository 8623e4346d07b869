/*
 * ckpt show: image files and directories of them for people (text) and programs (JSON). Only reads, so that it
 * may be given files of strangers.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "cmd.h"
#include "log.h"
#include "opts.h"
#include "packed.h"
#include "show.h"

#define TEXT_SHOWN 256 /* bytes of raw data, in text */
#define JSON_SHOWN 1048576 /* and in JSON */

struct printer {
	struct show_out *out;
	long entries;
	bool in_entry, in_behind;
};

static void end_entry(struct printer *p)
{
	if (p->in_behind)
		out_list_end(p->out);
	if (p->in_entry)
		out_object_end(p->out);
	p->in_behind = p->in_entry = false;
}

static int print_item(void *arg, const struct image_item *item)
{
	struct printer *p = arg;
	struct show_out *out = p->out;

	if (!item->behind) {
		end_entry(p);
		out_object(out, "entry", p->entries++);
		p->in_entry = true;
		show_message(out, item->message);
		return 0;
	}
	if (!p->in_behind)
		out_list(out, "behind");
	p->in_behind = true;
	if (item->message) {
		out_object(out, "behind", 0);
		show_message(out, item->message);
		out_object_end(out);
		return 0;
	}
	if (out->json)
		out_object(out, NULL, 0);
	out_bytes(out, item->what, item->bytes, item->len, out->json ? JSON_SHOWN : TEXT_SHOWN);
	if (out->json)
		out_object_end(out);
	return 0;
}

/* How many bytes of pages it holds. */
static int show_packed(struct show_out *out, const struct image_reader *r, const char *path)
{
	_cleanup_free_ char *dir_path = strdup(path);
	_cleanup_close_ int fd = dir_path ? open(dirname(dir_path), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const struct image_dir dir = { .fd = fd, .partial_fd = -1, .path = dir_path };
	uint64_t bytes;
	int err = fd < 0 ? log_errno(errno, "can't open the directory of %s", path) : packed_size(&dir, r->id, &bytes);

	if (!err)
		out_value(out, "page_bytes", "%" PRIu64, bytes);
	return err;
}

int show_image(struct show_out *out, const char *path)
{
	_cleanup_image_ struct image_reader r = {};
	struct printer p = { .out = out };
	int err = image_open_path(&r, AT_FDCWD, path);

	if (err)
		return err;
	const struct image_info *info = &image_info[r.kind];
	out_object(out, path, out->json ? 0 : NO_INDEX);
	if (out->json)
		out_string(out, "file", path);
	out_value(out, "magic", out->json ? "\"%s\"" : "%s", info->kind);
	out_value(out, "size", "%zu", r.len);
	if (info->shape == IMAGE_RAW) {
		if (r.kind == IMG_PAGES_PACKED)
			err = show_packed(out, &r, path);
		if (err && out->json)
			out_value(out, "broken", "true");
		out_object_end(out);
		return err;
	}
	out_list(out, "entries");
	err = image_walk(&r, print_item, &p);
	end_entry(&p);
	out_list_end(out);
	if (err && out->json)
		out_value(out, "broken", "true");
	out_object_end(out);
	return err;
}

static int show_path(struct show_out *out, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return log_errno(errno, "can't show %s", path);
	return S_ISDIR(st.st_mode) ? show_directory(out, path) : show_image(out, path);
}

int cmd_show(const struct opts *opts)
{
	struct show_out out = { .to.file = stdout, .json = opts->json };
	bool many = opts->arg_count > 1;
	int status = 0;

	if (many)
		out_list(&out, NULL);
	for (size_t i = 0; i < opts->arg_count; i++)
		if (show_path(&out, opts->args[i]))
			status = 1;
	if (!opts->arg_count && show_path(&out, opts->images_dir))
		status = 1;
	if (many)
		out_list_end(&out);
	if (fflush(stdout) || ferror(stdout)) {
		log_errno(errno, "can't write to stdout");
		return 1;
	}
	return status;
}
