/* Parsers of /proc/PID/fdinfo/N: lines of "name: value", in any order. */
#include "proc_fdinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image_consts.h"

/* What follows "name:" at the start of a line, or NULL. */
static const char *value_of(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, name, len) && line[len] == ':')
			return line + len + 1;
	}
	return NULL;
}

int fdinfo_parse_eventfd(const char *text, struct fdinfo_eventfd *e)
{
	const char *count = value_of(text, "eventfd-count"), *semaphore = value_of(text, "eventfd-semaphore");

	e->semaphore = semaphore && atoi(semaphore);
	e->mode_known = semaphore;
	return count && sscanf(count, "%" SCNx64, &e->count) == 1 ? 0 : -EBADMSG;
}

int fdinfo_parse_timerfd(const char *text, struct fdinfo_timerfd *t)
{
	const char *clock = value_of(text, "clockid"), *ticks = value_of(text, "ticks");
	const char *flags = value_of(text, "settime flags"), *value = value_of(text, "it_value");
	const char *interval = value_of(text, "it_interval");

	if (!clock || !ticks || !flags || !value || !interval)
		return -EBADMSG;
	if (sscanf(clock, "%d", &t->clock) != 1 || sscanf(ticks, "%" SCNu64, &t->ticks) != 1 ||
	    sscanf(flags, "%o", &t->flags) != 1 ||
	    sscanf(value, " (%" SCNu64 ", %" SCNu64 ")", &t->value_sec, &t->value_nsec) != 2 ||
	    sscanf(interval, " (%" SCNu64 ", %" SCNu64 ")", &t->interval_sec, &t->interval_nsec) != 2)
		return -EBADMSG;
	return 0;
}

int fdinfo_parse_signalfd(const char *text, uint64_t *mask)
{
	const char *value = value_of(text, "sigmask");

	return value && sscanf(value, "%" SCNx64, mask) == 1 ? 0 : -EBADMSG;
}

int fdinfo_parse_pidfd(const char *text, int *pid)
{
	const char *value = value_of(text, "Pid");

	return value && sscanf(value, "%d", pid) == 1 && *pid >= -1 ? 0 : -EBADMSG;
}

int fdinfo_parse_bpfmap(const char *text, struct fdinfo_bpfmap *m)
{
	const struct {
		const char *name;
		uint32_t *value;
	} numbers[] = { { "map_type", &m->type },	  { "key_size", &m->key_size },
			{ "value_size", &m->value_size }, { "max_entries", &m->max_entries },
			{ "map_flags", &m->flags },	  { "map_id", &m->id },
			{ "frozen", &m->frozen } };
	const char *memlock = value_of(text, "memlock"), *extra = value_of(text, "map_extra");

	*m = (struct fdinfo_bpfmap){ .memlock = memlock ? strtoull(memlock, NULL, 0) : 0,
				     .extra = extra ? strtoull(extra, NULL, 0) : 0 }; /* the latter since 5.16 */
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		const char *value = value_of(text, numbers[i].name);

		if (!value || sscanf(value, "%" SCNi32, (int32_t *)numbers[i].value) != 1)
			return -EBADMSG;
	}
	return 0;
}

static const struct {
	const char *word;
	unsigned int value;
} lock_kinds[] = { { "POSIX", LOCK_KIND_POSIX },
		   { "FLOCK", LOCK_KIND_FLOCK },
		   { "OFDLCK", LOCK_KIND_OFD },
		   { "LEASE", LOCK_KIND_LEASE } },
  lock_types[] = { { "READ", F_RDLCK }, { "WRITE", F_WRLCK }, { "UNLCK", F_UNLCK } };

int fdinfo_parse_lock(const char *text, struct fdinfo_lock *lock)
{
	char kind[16], state[16], type[16], end[24];

	*lock = (struct fdinfo_lock){ .type = -1 };
	if (sscanf(text, "lock: %*d: %15s %15s %15s %d %*x:%*x:%*u %" SCNu64 " %23[0-9EOF]", kind, state, type,
		   &lock->pid, &lock->start, end) != 6)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(lock_kinds) / sizeof(lock_kinds[0]); i++)
		if (!strcmp(kind, lock_kinds[i].word))
			lock->kind = lock_kinds[i].value;
	for (size_t i = 0; i < sizeof(lock_types) / sizeof(lock_types[0]); i++)
		if (!strcmp(type, lock_types[i].word))
			lock->type = lock_types[i].value;
	if (lock->type == -1u)
		lock->kind = 0;
	else if (lock->kind == LOCK_KIND_LEASE && !strcmp(state, "BREAKING"))
		lock->type |= LOCK_BREAKING;
	if (!strcmp(end, "EOF"))
		return 0;
	uint64_t last = strtoull(end, NULL, 10);
	lock->len = last - lock->start + 1;
	return last >= lock->start ? 0 : -EBADMSG;
}

static int parse_handle(const char *line, struct fdinfo_inotify *w)
{
	int at = 0;

	const char *handle = strstr(line, " fhandle-bytes:"), *end = strchr(line, '\n');
	if (!handle || (end && handle > end))
		return 0; /* none */
	if (sscanf(handle, " fhandle-bytes:%x fhandle-type:%x f_handle:%n", &w->handle_bytes, &w->handle_type, &at) !=
		    2 ||
	    !at || w->handle_bytes > sizeof(w->handle))
		return -EBADMSG;
	for (unsigned int i = 0; i < w->handle_bytes; i++)
		if (sscanf(handle + at + 2 * i, "%2hhx", &w->handle[i]) != 1)
			return -EBADMSG;
	return 0;
}

static int parse_inotify(const char *line, struct fdinfo_inotify *w)
{
	*w = (struct fdinfo_inotify){};
	if (sscanf(line, "inotify wd:%x ino:%" SCNx64 " sdev:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%" SCNx32,
		   &w->wd, &w->ino, &w->dev, &w->mask, &w->ignored_mask) != 5)
		return -EBADMSG;
	return parse_handle(line, w);
}

int fdinfo_parse_inotify(const char *text, struct fdinfo_inotify **list, size_t *n)
{
	int err = 0;

	*n = 0;
	*list = NULL;
	for (const char *line = text; line && !err; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "inotify ", 8))
			continue;
		struct fdinfo_inotify *larger = realloc(*list, (*n + 1) * sizeof(*larger));
		if (larger)
			*list = larger;
		err = larger ? parse_inotify(line, &larger[*n]) : -ENOMEM;
		*n += !err;
	}
	if (err) {
		free(*list);
		*list = NULL;
		*n = 0;
	}
	return err;
}

static int parse_mark(const char *line, struct fanotify_mark_info *m)
{
	struct fdinfo_inotify *w = &m->file;

	*m = (struct fanotify_mark_info){ .type = FANOTIFY_OTHER };
	if (sscanf(line,
		   "fanotify ino:%" SCNx64 " sdev:%" SCNx32 " mflags:%" SCNx32 " mask:%" SCNx32
		   " ignored_mask:%" SCNx32,
		   &w->ino, &w->dev, &m->mflags, &w->mask, &w->ignored_mask) == 5) {
		m->type = FANOTIFY_INODE;
		return parse_handle(line, w);
	}
	if (sscanf(line, "fanotify mnt_id:%" SCNx32 " mflags:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%" SCNx32,
		   &m->mount, &m->mflags, &w->mask, &w->ignored_mask) == 4)
		m->type = FANOTIFY_MOUNT;
	else if (sscanf(line, "fanotify sdev:%" SCNx32 " mflags:%" SCNx32 " mask:%" SCNx32 " ignored_mask:%" SCNx32,
			&w->dev, &m->mflags, &w->mask, &w->ignored_mask) == 4)
		m->type = FANOTIFY_FILESYSTEM;
	return 0;
}

int fdinfo_parse_fanotify(const char *text, struct fdinfo_fanotify *f)
{
	const char *flags = strstr(text, "\nfanotify flags:");
	int err = 0;

	*f = (struct fdinfo_fanotify){};
	if (!flags ||
	    sscanf(flags + 1, "fanotify flags:%" SCNx32 " event-flags:%" SCNx32, &f->flags, &f->event_flags) != 2)
		return -EBADMSG;
	for (const char *line = strchr(flags + 1, '\n'); line && !err; line = strchr(line, '\n')) {
		line++;
		if (strncmp(line, "fanotify ", 9))
			continue;
		struct fanotify_mark_info *larger = realloc(f->marks, (f->n + 1) * sizeof(*larger));
		if (larger)
			f->marks = larger;
		err = larger ? parse_mark(line, &larger[f->n]) : -ENOMEM;
		f->n += !err;
	}
	if (err) {
		free(f->marks);
		*f = (struct fdinfo_fanotify){};
	}
	return err;
}

static int parse_watch(const char *line, struct fdinfo_watch *w)
{
	return sscanf(line,
		      "tfd: %d events: %" SCNx32 " data: %" SCNx64 " pos:%" SCNu64 " ino:%" SCNx64 " sdev:%" SCNx32,
		      &w->fd, &w->events, &w->data, &w->pos, &w->ino, &w->dev) == 6
		       ? 0
		       : -EBADMSG;
}

int fdinfo_parse_epoll(const char *text, struct fdinfo_watch **list, size_t *n)
{
	size_t room = 0;
	int err = 0;

	*list = NULL;
	*n = 0;
	for (const char *line = text; line && !err; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "tfd:", 4))
			continue;
		if (*n == room) {
			room = room ? 2 * room : 16;
			struct fdinfo_watch *larger = realloc(*list, room * sizeof(*larger));

			if (!larger) {
				err = -ENOMEM;
				break;
			}
			*list = larger;
		}
		err = parse_watch(line, &(*list)[*n]);
		*n += !err;
	}
	if (err) {
		free(*list);
		*list = NULL;
		*n = 0;
	}
	return err;
}
