/* From the words of the user to struct opts: where options come from, in which order, and whether they make sense. */
#include "opts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cpuinfo.h"
#include "log.h"
#include "options.h"

#define SYSTEM_CONFIG "/etc/criu/default.conf"
#define USER_CONFIG ".criu/default.conf" /* in $HOME */

struct owned_string {
	struct owned_string *next;
	char text[];
};

void opts_init(struct opts *opts)
{
	*opts = (struct opts){
		.images_dir = ".",
		.verbosity = LOG_WARN,
		.timeout = 10,
		.ghost_limit = 1 << 20,
		.status_fd = -1,
		.ps_socket = -1,
		.cpu_caps = CPU_CAP_DEFAULT,
	};
}

void opts_free(struct opts *opts)
{
	for (struct owned_string *s = opts->owned, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	free(opts->close_fds);
	free(opts->outside);
	free(opts->args);
	opts_init(opts);
}

char *opts_own(struct opts *opts, const char *text)
{
	struct owned_string *s = malloc(sizeof(*s) + strlen(text) + 1);

	if (!s)
		return NULL;
	s->next = opts->owned;
	opts->owned = s;
	return strcpy(s->text, text);
}

/*
 * Whether the user's key means this one. CRIU's manual writes pipe[1] for what the kernel calls pipe:[1], and paths
 * without the first slash.
 */
static bool means(const char *user, const char *key)
{
	user += *user == '/';
	key += *key == '/';
	for (; *key; key++, user++) {
		if (*key == ':' && *user == '[' && key[1] == '[')
			key++;
		if (*key != *user)
			return false;
	}
	return !*user;
}

const struct outside *opts_find_outside(const struct opts *opts, const char *key, bool inherited)
{
	for (size_t i = 0; i < opts->outside_count; i++)
		if ((opts->outside[i].fd >= 0) == inherited && means(opts->outside[i].key, key))
			return &opts->outside[i];
	return NULL;
}

/* A file that was named must be there; the default ones need not. */
static int read_named_config(struct opts *opts, const char *path, const char *who)
{
	int err = config_read(opts, path);

	if (err == -ENOENT || err == -EACCES)
		log_err("can't open the configuration file %s, which %s names: %s", path, who, strerror(-err));
	return err;
}

/* One that need not be there; one that is not ours to read (HOME of another user) is as good as not there. */
static int read_default_config(struct opts *opts, const char *path)
{
	int err = config_read(opts, path);

	if (err == -EACCES)
		log_warn("the configuration file %s may not be read and is left out", path);
	return err == -ENOENT || err == -EACCES ? 0 : err;
}

static int read_default_configs(struct opts *opts)
{
	const char *home = getenv("HOME"), *named = getenv("CRIU_CONFIG_FILE");
	_cleanup_free_ char *user = NULL;
	int err = read_default_config(opts, SYSTEM_CONFIG), err2 = 0;

	if (home && *home) {
		if (asprintf(&user, "%s/" USER_CONFIG, home) < 0)
			return -ENOMEM;
		err2 = read_default_config(opts, user);
		err = err ?: err2;
	}
	if (named && *named) {
		err2 = read_named_config(opts, named, "CRIU_CONFIG_FILE");
		err = err ?: err2;
	}
	return err;
}

/* Is the first argument a process number, and the only one? Sets opts->tree from it. */
static int take_pid(struct opts *opts)
{
	char *end;

	if (opts->arg_count == 0 && opts->tree)
		return 0;
	long pid = opts->arg_count == 1 ? strtol(opts->args[0], &end, 10) : 0;
	if (pid <= 0 || pid > 1 << 22 || *end) { /* 1 << 22: the kernel's PID_MAX_LIMIT */
		log_err("explain needs one process: ckpt explain PID");
		return -EINVAL;
	}
	opts->tree = pid;
	return 0;
}

static int unknown_action(const struct opts *opts)
{
	if (!opts->action_name)
		log_err("no action given: one of dump, pre-dump, restore, explain, show, verify, check, cpuinfo, "
			"dedup, page-server, lazy-pages. See ckpt --help");
	else if (opts->action == ACTION_LATER)
		log_err("the action %s is not supported yet", opts->action_name);
	else
		log_err("unknown action %s: it is none of dump, pre-dump, restore, explain, show, verify, check, "
			"cpuinfo, dedup, page-server, lazy-pages. See ckpt --help",
			opts->action_name);
	return -EINVAL;
}

/* Whether it is known where pages go to or come from. */
static int check_connection(const struct opts *opts)
{
	bool serves = opts->action == ACTION_PAGE_SERVER,
	     dumps = opts->action == ACTION_DUMP || opts->action == ACTION_PRE_DUMP;

	if (opts->port > UINT16_MAX) {
		log_err("--port %u: ports end at %u", opts->port, UINT16_MAX);
		return -EINVAL;
	}
	if ((serves || (opts->page_server && (dumps || opts->action == ACTION_LAZY_PAGES))) && !opts->port &&
	    opts->ps_socket < 0) {
		log_err("%s needs to know where: --port PORT", serves ? "page-server" : "--page-server");
		return -EINVAL;
	}
	if (opts->lazy_pages && dumps && !opts->port && opts->ps_socket < 0) {
		log_err("--lazy-pages needs to know where to give memory out: --port PORT");
		return -EINVAL;
	}
	if (opts->lazy_pages && dumps && opts->page_server) {
		log_err("--lazy-pages and --page-server: memory either stays here or goes to a page server");
		return -EINVAL;
	}
	return 0;
}

/* What an action needs and what it can't have. */
static int check_action(struct opts *opts)
{
	switch (opts->action) {
	case ACTION_HELP:
	case ACTION_VERSION:
	case ACTION_SHOW:
		return 0;
	case ACTION_EXPLAIN:
		return take_pid(opts);
	case ACTION_VERIFY:
		if (opts->arg_count > 1) {
			log_err("verify takes one directory: \"%s\"", opts->args[1]);
			return -EINVAL;
		}
		if (opts->arg_count)
			opts->images_dir = opts->args[0];
		return 0;
	case ACTION_CPUINFO:
		if (opts->arg_count == 1 && (!strcmp(opts->args[0], "dump") || !strcmp(opts->args[0], "check")))
			return 0;
		log_err("cpuinfo needs to know what to do: ckpt cpuinfo dump, or ckpt cpuinfo check");
		return -EINVAL;
	case ACTION_DUMP:
	case ACTION_PRE_DUMP:
	case ACTION_RESTORE:
	case ACTION_CHECK:
	case ACTION_PAGE_SERVER:
	case ACTION_LAZY_PAGES:
	case ACTION_DEDUP:
		if (opts->arg_count) {
			log_err("%s takes no argument: \"%s\"", opts->action_name, opts->args[0]);
			return -EINVAL;
		}
		if ((opts->action == ACTION_DUMP || opts->action == ACTION_PRE_DUMP) && !opts->tree) {
			log_err("%s needs to know what to dump: -t PID", opts->action_name);
			return -EINVAL;
		}
		if (opts->packing && (opts->page_server || opts->lazy_pages)) {
			log_err("--compress: pages that go elsewhere (--page-server, --lazy-pages) are not compressed");
			return -EINVAL;
		}
		if (opts->action == ACTION_RESTORE && opts->track_mem && (opts->lazy_pages || opts->auto_dedup)) {
			log_err("--track-mem: the next dump would refer to pages that %s",
				opts->lazy_pages ? "have not come yet (--lazy-pages)"
						 : "--auto-dedup has cut out of the images");
			return -EINVAL;
		}
		return check_connection(opts);
	default:
		return unknown_action(opts);
	}
}

int opts_parse(struct opts *opts, int argc, char **argv)
{
	struct opts first;
	int err = 0, err2;

	/* The command line says which files to read before it, but the later wins: it is read twice. */
	opts_init(&first);
	log_mute(true);
	options_read(&first, "", argc, argv);
	log_mute(false);
	bool only_words = first.action == ACTION_HELP || first.action == ACTION_VERSION;
	if (!only_words && !first.no_default_config)
		err = read_default_configs(opts);
	if (!only_words && first.config) {
		err2 = read_named_config(opts, first.config, "--config");
		err = err ?: err2;
	}
	opts_free(&first);
	err2 = options_read(opts, "", argc, argv);
	err = err ?: err2;
	err2 = err && opts->action != ACTION_LATER ? 0 : check_action(opts);
	if (!opts->args)
		opts->args = calloc(1, sizeof(*opts->args));
	return !opts->args ? -ENOMEM : err ?: err2;
}
