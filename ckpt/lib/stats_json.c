/* The file of --stats-json: in --work-dir, as CRIU's statistics are, unless its name is absolute. */
#include "stats_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "time_us.h"
#include "version.h"

#define SCHEMA 1 /* more fields may come; what there is keeps its meaning */

bool stats_json_begin(struct stats_json *s, const struct opts *opts, const struct phases *phases, pid_t pid, int err)
{
	struct json *j = &s->json;

	*s = (struct stats_json){};
	if (!opts->stats_json)
		return false;
	j->file = open_memstream(&s->text, &s->size);
	if (!j->file) {
		log_warn("no memory for %s", opts->stats_json);
		return false;
	}
	json_open(j, NULL, '{');
	json_number(j, "schema", SCHEMA);
	json_string(j, "ckpt", CKPT_VERSION);
	json_string(j, "action", opts->action_name ?: "");
	json_number(j, "pid", pid);
	json_bool(j, "ok", !err);
	if (err)
		json_string(j, "error", log_first_error() ?: strerror(-err));
	json_number(j, "total_us", time_us() - phases->start);
	json_open(j, "phases", '[');
	for (size_t i = 0; i < phases->n; i++) {
		json_open(j, NULL, '{');
		json_string(j, "name", phases->list[i].name);
		json_number(j, "us", phases->list[i].us);
		json_close(j, '}');
	}
	json_close(j, ']');
	return true;
}

/* Returns 0 or -errno. */
static int write_file(const struct stats_json *s, const struct opts *opts)
{
	_cleanup_close_ int dir = open(opts->work_dir ?: opts->images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = openat(dir, opts->stats_json, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ssize_t n = fd < 0 ? -1 : write(fd, s->text, s->size);

	return n == (ssize_t)s->size ? 0 : n < 0 ? -errno : -ENOSPC;
}

void stats_json_end(struct stats_json *s, const struct opts *opts)
{
	json_close(&s->json, '}');
	int err = ferror(s->json.file) ? -ENOMEM : 0;

	if (fclose(s->json.file))
		err = -ENOMEM;
	if (!err)
		err = write_file(s, opts);
	if (err)
		log_warn("can't write the statistics into %s: %s", opts->stats_json, strerror(-err));
	free(s->text);
}
