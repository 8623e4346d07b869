/*
 * The command line: getopt_long(3) over one table of all options that CRIU knows (options_table.def), so that
 * letters, --option=value, abbreviations and the order of words are as CRIU's callers are used to.
 */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "cpuinfo.h"
#include "log.h"
#include "packed.h"

const struct option_def option_defs[] = {
#define OPTION(...) { __VA_ARGS__ },
#include "options_table.def"
#undef OPTION
};
const size_t option_count = sizeof(option_defs) / sizeof(option_defs[0]);

const struct action_def action_defs[] = {
#define ACTION(name, action, args, what) { name, ACTION_##action, args, what },
#include "options_table.def"
#undef ACTION
};
const size_t action_count = sizeof(action_defs) / sizeof(action_defs[0]);

/* What getopt_long returns: index of the option above these, "no-" forms above the latter. */
#define LONG_BASE 0x100
#define LONG_NO 0x10000
#define NAMES_MAX (2 * sizeof(option_defs) / sizeof(option_defs[0]) + 1)

struct getopt_table {
	struct option longs[NAMES_MAX];
	char negated[NAMES_MAX][32]; /* "no-NAME" */
	char letters[NAMES_MAX * 3];
};

static void fill_table(struct getopt_table *t)
{
	size_t n = 0;
	char *letter = t->letters;

	*letter++ = '-'; /* words that are no options come in their place */
	*letter++ = ':'; /* a missing argument is told from an unknown option */
	for (size_t i = 0; i < option_count; i++) {
		const struct option_def *def = &option_defs[i];

		t->longs[n++] = (struct option){ def->name, def->arg, NULL, LONG_BASE + i };
		if (def->negatable) {
			stpcpy(stpcpy(t->negated[i], "no-"), def->name);
			t->longs[n++] = (struct option){ t->negated[i], no_argument, NULL, LONG_NO + i };
		}
		if (!def->letter)
			continue;
		*letter++ = def->letter;
		for (int colons = def->arg; colons; colons--)
			*letter++ = ':';
	}
	*letter = 0;
	t->longs[n] = (struct option){};
}

/* The number of single-letter edits between two words. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[64];
	size_t len = strlen(b);

	if (len >= 64)
		return UINT_MAX;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; *a; a++, i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			unsigned int best = diagonal + (*a != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[len];
}

const struct option_def *option_nearest(const char *name)
{
	const struct option_def *nearest = NULL;
	unsigned int best = strlen(name) / 3 + 1; /* further away, a guess does not help */

	for (size_t i = 0; i < option_count; i++) {
		unsigned int d = distance(name, option_defs[i].name);

		if (d < best) {
			best = d;
			nearest = &option_defs[i];
		}
	}
	return nearest;
}

/* Is the word one of "a|b|c"? */
static bool is_one_of(const char *words, const char *word)
{
	size_t len = strlen(word);

	if (strchr(word, '|'))
		return false;
	for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
		if (len && !strncmp(w, word, len) && (!w[len] || w[len] == '|'))
			return true;
	return false;
}

/* A decimal number of at most max, and nothing else. */
static bool parse_number(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	if (*text < '0' || *text > '9') /* strtoul takes blanks and signs */
		return false;
	errno = 0;
	*number = strtoul(text, &end, 10);
	return !errno && !*end && *number <= max;
}

/* A number of bytes, kibibytes (K), mebibytes (M) or gibibytes (G). */
static bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMG";
	char number[32];
	size_t len = strlen(text);
	const char *unit = len ? strchr(units, text[len - 1] & ~0x20) : NULL;
	unsigned int shift = unit && *unit ? 10 * (unit - units + 1) : 0;

	snprintf(number, sizeof(number), "%.*s", (int)(len - !!shift), text);
	if (len >= sizeof(number) || !parse_number(number, UINT64_MAX >> shift, size))
		return false;
	*size <<= shift;
	return true;
}

/*
 * -v and --verbosity count up; -vvv too; -v4 and --verbosity=4 set; -verbosity=0, with one dash, is what CRIU's
 * own test suite writes, and what getopt makes of it, -v with the argument "erbosity=0", works in CRIU.
 */
static bool set_verbosity(struct opts *opts, const char *text)
{
	unsigned long number;

	if (!text) {
		opts->verbosity++;
		return true;
	}
	if (!strncmp(text, "erbosity=", 9))
		text += 9;
	size_t more = strspn(text, "v");
	if (more && !text[more]) {
		opts->verbosity += 1 + (more < 100 ? more : 100);
		return true;
	}
	if (!parse_number(text, INT_MAX / 2, &number))
		return false;
	opts->verbosity = number;
	return true;
}

static int add_close(struct opts *opts, int fd)
{
	int *fds = realloc(opts->close_fds, (opts->close_count + 1) * sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	opts->close_fds = fds;
	fds[opts->close_count++] = fd;
	return 0;
}

static int set_noop(const char *place, const struct option_def *def, const char *value)
{
	if (def->arg == ARG_NONE || (value && is_one_of(def->value, value)))
		return 0;
	if (!value || is_one_of(def->later, value)) {
		log_err("%s--%s%s%s is not supported yet, only %s", place, def->name, value ? " " : "", value ?: "",
			def->value);
		return -EINVAL;
	}
	log_err("%s--%s: \"%s\" is none of %s%s%s", place, def->name, value, def->value, def->later ? "|" : "",
		def->later ?: "");
	return -EINVAL;
}

static int set_flag(struct opts *opts, const struct option_def *def, bool on)
{
	bool *flag = (bool *)((char *)opts + def->offset);

	*flag = on;
	if (flag == &opts->leave_running && on)
		opts->leave_stopped = false;
	if (flag == &opts->leave_stopped && on)
		opts->leave_running = false;
	return 0;
}

/* "fpu,^ins": what is compared besides what is by default, and what is not. No value: all. */
static bool set_cpu_caps(struct opts *opts, const char *value)
{
	static const struct {
		const char *name;
		unsigned int caps;
	} known[] = { { "fpu", CPU_CAP_FPU }, { "ins", CPU_CAP_INS }, { "cpu", CPU_CAP_CPU }, { "all", CPU_CAP_ALL } };
	unsigned int caps = value && *value ? CPU_CAP_DEFAULT : CPU_CAP_ALL;

	for (size_t len; value && *value; value += len + (value[len] == ',')) {
		bool without = *value == '^', found = false;

		value += without;
		len = strcspn(value, ",");
		if (len == 4 && !strncmp(value, "none", len)) {
			caps = without ? CPU_CAP_ALL : CPU_CAP_NONE;
			continue;
		}
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
			if (strlen(known[i].name) != len || strncmp(value, known[i].name, len))
				continue;
			caps = without ? caps & ~known[i].caps : caps | known[i].caps;
			found = true;
		}
		if (!found)
			return false;
	}
	opts->cpu_caps = caps;
	opts->cpu_cap_given = true;
	return true;
}

static int bad_value(const char *place, const struct option_def *def, const char *value, const char *wanted)
{
	log_err("%s--%s: \"%s\" is not %s", place, def->name, value ?: "", wanted);
	return -EINVAL;
}

/* Sets a number: of a process, of a descriptor, of seconds, of bytes. */
static int set_number(struct opts *opts, const char *place, const struct option_def *def, const char *value)
{
	void *to = (char *)opts + def->offset;
	unsigned long number;

	switch (def->type) {
	case TYPE_SIZE:
		if (!parse_size(value, (uint64_t *)to))
			return bad_value(place, def, value, "a number of bytes, or one with K, M or G behind it");
		return 0;
	case TYPE_PID:
		if (!parse_number(value, INT_MAX, &number) || !number)
			return bad_value(place, def, value, "the number of a process");
		*(pid_t *)to = number;
		return 0;
	case TYPE_UINT:
		if (!parse_number(value, UINT_MAX, &number))
			return bad_value(place, def, value, "a number");
		*(unsigned int *)to = number;
		return 0;
	default:
		if (!parse_number(value, INT_MAX, &number))
			return bad_value(place, def, value, "the number of a descriptor");
		if (def->type == TYPE_CLOSE)
			return add_close(opts, number);
		*(int *)to = number;
		return 0;
	}
}

/* What --external may name: one of a file system, of a terminal, a socket. */
static bool is_external_key(const char *key)
{
	int n = 0;

	if (sscanf(key, "tty[%*x:%*x]%n", &n) == EOF || !n)
		if (sscanf(key, "file[%*x:%*x]%n", &n) == EOF || !n)
			sscanf(key, "unix[%*u]%n", &n);
	return n && !key[n];
}

static int add_outside(struct opts *opts, const char *place, const struct option_def *def, const char *value)
{
	int fd = -1, n = 0;

	if (def->type == TYPE_INHERIT_FD && (sscanf(value, "fd[%d]:%n", &fd, &n) != 1 || !n || fd < 0))
		return bad_value(place, def, value, "fd[NUMBER]:RESOURCE");
	if (!value[n])
		return bad_value(place, def, value, "fd[NUMBER]:RESOURCE");
	if (def->type == TYPE_EXTERNAL && !is_external_key(value)) {
		log_err("%s--%s %s is not supported yet: only tty[RDEV:DEV], file[MNT_ID:INODE] and unix[INODE]", place,
			def->name, value);
		return -EINVAL;
	}
	struct outside *list = realloc(opts->outside, (opts->outside_count + 1) * sizeof(*list));
	if (!list)
		return log_errno(ENOMEM, "--%s", def->name);
	opts->outside = list;
	list[opts->outside_count++] = (struct outside){ .key = value + n, .fd = fd };
	return 0;
}

/* Which of the words, separated by bars, it is: from 0; -1: none. */
static int choice(const char *words, const char *value)
{
	size_t len = strlen(value);

	for (int i = 0;; i++) {
		size_t n = strcspn(words, "|");

		if (n == len && !strncmp(words, value, n))
			return i;
		if (!words[n])
			return -1;
		words += n + 1;
	}
}

/* Applies one option. value is NULL without argument; on is false for --no-NAME. Returns 0 or -errno (logged). */
static int set_option(struct opts *opts, const char *place, const struct option_def *def, const char *value, bool on)
{
	switch (def->type) {
	case TYPE_FLAG:
		return set_flag(opts, def, on);
	case TYPE_STRING:
		if (!*value)
			return bad_value(place, def, value, "a name");
		*(const char **)((char *)opts + def->offset) = value;
		return 0;
	case TYPE_IRMAP_PATH:
		if (!*value)
			return bad_value(place, def, value, "a path");
		if (opts->irmap_path_count == IRMAP_PATHS)
			return bad_value(place, def, value, "one of at most 16 paths");
		opts->irmap_paths[opts->irmap_path_count++] = value;
		return 0;
	case TYPE_EXT_UNIX:
		if (value && strspn(value, "0123456789,") != strlen(value))
			return bad_value(place, def, value, "numbers of inodes");
		opts->ext_unix_any |= !value || !*value;
		opts->ext_unix = value && *value ? value : opts->ext_unix;
		return 0;
	case TYPE_VALIDATION:
		opts->by_size_only = choice(def->value, value) == 0;
		return choice(def->value, value) >= 0 ? 0 : bad_value(place, def, value, "filesize or buildid");
	case TYPE_BPF:
		opts->bpf = choice(def->value, value);
		return choice(def->value, value) >= 0 ? 0 : bad_value(place, def, value, "auto, always or never");
	case TYPE_EXTERNAL:
	case TYPE_INHERIT_FD:
		return add_outside(opts, place, def, value);
	case TYPE_VERBOSITY:
		return set_verbosity(opts, value) ? 0 : bad_value(place, def, value, "a level: 0 to 4");
	case TYPE_CPU_CAP:
		return set_cpu_caps(opts, value) ? 0
						 : bad_value(place, def, value, "a list of fpu, ins, cpu, all, none");
	case TYPE_PACKING:
		opts->packing = !strcmp(value, "lz4") ? PACK_LZ4 : !strcmp(value, "zstd") ? PACK_ZSTD : PACK_NOT;
		return opts->packing ? 0 : bad_value(place, def, value, "lz4 or zstd");
	case TYPE_PROGRESS:
		if (value && strcmp(value, "json"))
			return bad_value(place, def, value, "json");
		opts->progress = !on ? PROGRESS_OFF : value ? PROGRESS_JSON : PROGRESS_TEXT;
		return 0;
	case TYPE_ACTION:
		opts->action = def->letter == 'h' ? ACTION_HELP : ACTION_VERSION;
		return 0;
	case TYPE_NOOP:
		return set_noop(place, def, value);
	case TYPE_LATER:
		if (!on)
			return 0;
		log_err("%s--%s (%s) is not supported yet", place, def->name, def->what);
		return -EINVAL;
	default:
		return set_number(opts, place, def, value);
	}
}

static int add_word(struct opts *opts, char *word)
{
	if (!opts->action_name) {
		opts->action_name = word;
		for (size_t i = 0; i < action_count; i++)
			if (!strcmp(action_defs[i].name, word))
				opts->action = action_defs[i].action;
		return 0;
	}
	char **args = realloc(opts->args, (opts->arg_count + 2) * sizeof(*args));
	if (!args)
		return -ENOMEM;
	opts->args = args;
	args[opts->arg_count++] = word;
	args[opts->arg_count] = NULL;
	return 0;
}

/* Says which of the ways a --word can be wrong it is. */
static void complain_long(const char *place, const struct getopt_table *t, const char *word)
{
	size_t len = strcspn(word, "=");
	const char *first = NULL, *second = NULL;
	char name[64];

	for (const struct option *o = t->longs; o->name; o++) {
		if (strncmp(o->name, word, len))
			continue;
		second = first ? o->name : NULL;
		first = first ?: o->name;
	}
	if (second)
		log_err("%s--%.*s is ambiguous: --%s or --%s", place, (int)len, word, first, second);
	if (first)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	const struct option_def *nearest = option_nearest(name);
	if (nearest)
		log_err("%sunknown option --%.*s. Did you mean --%s?", place, (int)len, word, nearest->name);
	else
		log_err("%sunknown option --%.*s. See ckpt --help", place, (int)len, word);
}

static_assert(sizeof(option_defs) / sizeof(option_defs[0]) <= LONG_BASE, "LONG_BASE is too small");

/* c is what getopt_long said: ':' or '?'. */
static int complain(const char *place, const struct getopt_table *t, int c, char **argv)
{
	const char *word = optind > 0 ? argv[optind - 1] : "";

	if (c == ':' && optopt >= LONG_BASE)
		log_err("%s--%s needs a value: %s", place, option_defs[optopt - LONG_BASE].name,
			option_defs[optopt - LONG_BASE].value);
	else if (c == ':')
		log_err("%s-%c needs a value", place, optopt);
	else if (optopt >= LONG_BASE)
		log_err("%s%s: --%s%s takes no value", place, word, optopt >= LONG_NO ? "no-" : "",
			option_defs[optopt & (LONG_BASE - 1)].name);
	else if (optopt)
		log_err("%sunknown option -%c. See ckpt --help", place, optopt);
	else
		complain_long(place, t, word + strspn(word, "-"));
	return -EINVAL;
}

static const struct option_def *find_option(int c, bool *on)
{
	*on = c < LONG_NO;
	if (c >= LONG_BASE)
		return &option_defs[c >= LONG_NO ? c - LONG_NO : c - LONG_BASE];
	for (size_t i = 0; i < option_count; i++)
		if (option_defs[i].letter == c)
			return &option_defs[i];
	return NULL;
}

/* What may stand on the command line only. */
static bool for_command_line_only(const struct option_def *def)
{
	return def->type == TYPE_ACTION || def->offset == offsetof(struct opts, config) ||
	       def->offset == offsetof(struct opts, no_default_config);
}

static int not_in_file(const char *place, const struct option_def *def)
{
	log_err("%s--%s can't stand in a configuration file", place, def->name);
	return -EINVAL;
}

int options_read(struct opts *opts, const char *place, int argc, char **argv)
{
	struct getopt_table t;
	int first_err = 0, c;

	fill_table(&t);
	opterr = 0;
	optind = 0; /* glibc: forget what was being read */
	while ((c = getopt_long(argc, argv, t.letters, t.longs, NULL)) != -1) {
		bool on;
		const struct option_def *def = find_option(c, &on);
		int err;

		if (c == 1)
			err = add_word(opts, optarg);
		else if (!def)
			err = complain(place, &t, c, argv);
		else if (*place && for_command_line_only(def))
			err = not_in_file(place, def);
		else
			err = set_option(opts, place, def, optarg, on);
		first_err = first_err ?: err;
		if (opts->action == ACTION_HELP || opts->action == ACTION_VERSION)
			return first_err;
	}
	for (; !first_err && optind < argc; optind++)
		first_err = add_word(opts, argv[optind]);
	return first_err;
}
