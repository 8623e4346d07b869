/*
 * Configuration files: an option a line, as on the command line but without dashes. Each line is cut into
 * words here and goes through the same parser as the command line.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "options.h"

#define CONFIG_LINE_MAX 65536 /* longer lines are not what somebody wrote */

static int bad_line(const char *place, const char *what)
{
	log_err("%s%s", place, what);
	return -EINVAL;
}

/*
 * Takes a value off the front of *text, which may be quoted, and ends it with a zero byte. Within quotes \"
 * stands for a quote, all else for itself. Returns NULL when a quote is not closed.
 */
static char *take_value(char **text)
{
	char *from = *text, *to = *text, *value = *text;

	if (*from != '"') {
		from += strcspn(from, " \t#");
		if (*from == '#')
			from[0] = from[1] = 0; /* the rest is a comment */
		*text = *from ? from + 1 : from;
		*from = 0;
		return value;
	}
	for (from++; *from && *from != '"'; from++) {
		if (from[0] == '\\' && from[1] == '"')
			from++;
		*to++ = *from;
	}
	if (!*from)
		return NULL;
	*to = 0;
	*text = from + 1;
	return value;
}

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

/* line has no newline; it is changed. */
static int read_line(struct opts *opts, const char *place, char *line)
{
	char *name = skip_blanks(line), *value = NULL;
	_cleanup_free_ char *option = NULL;

	if (!*name || *name == '#')
		return 0;
	if (*name == '-')
		return bad_line(place, "options are written without dashes here");
	char *rest = name + strcspn(name, " \t=#");
	char sign = *rest;
	*rest = 0;
	if (sign && sign != '#') {
		rest = skip_blanks(rest + 1);
		if (sign != '=' && *rest == '=') {
			sign = '=';
			rest = skip_blanks(rest + 1);
		}
		if (*rest && *rest != '#') {
			value = take_value(&rest);
			if (!value)
				return bad_line(place, "a quote is not closed");
			rest = skip_blanks(rest);
			if (*rest && *rest != '#')
				return bad_line(place, "more than one value: put it into double quotes");
		}
	}
	if (sign == '=' && !value)
		return bad_line(place, "no value after =");
	if (asprintf(&option, "--%s%s%s", name, value ? "=" : "", value ?: "") < 0)
		return -ENOMEM;
	char *kept = opts_own(opts, option);
	char *argv[] = { "", kept, NULL };
	return kept ? options_read(opts, place, 2, argv) : -ENOMEM;
}

int config_read(struct opts *opts, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int first_err = 0;
	ssize_t len;

	if (!f && errno == ENOTDIR)
		return -ENOENT;
	if (!f)
		return errno == ENOENT || errno == EACCES
			       ? -errno
			       : log_errno(errno, "can't open the configuration file %s", path);
	errno = 0;
	for (unsigned int number = 1; (len = getline(&line, &size, f)) >= 0; number++) {
		char place[512];
		int err;

		snprintf(place, sizeof(place), "%s:%u: ", path, number);
		while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			line[--len] = 0;
		if (len >= CONFIG_LINE_MAX || memchr(line, 0, len))
			err = bad_line(place, "not a line of text");
		else
			err = read_line(opts, place, line);
		first_err = first_err ?: err;
		errno = 0;
	}
	if (ferror(f))
		return log_errno(errno, "can't read the configuration file %s", path);
	return first_err;
}
