/* /proc/PID: stat, status, limits, lists. Text that the kernel writes, yet names in it are the tasks' own. */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

int proc_open(pid_t pid)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? (errno == ENOENT ? -ESRCH : -errno) : fd;
}

int proc_read(int dir, const char *name, char **text, size_t *len)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	size_t size = 4096, used = 0;

	*text = NULL;
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	_cleanup_free_ char *buf = malloc(size);
	for (;;) {
		if (!buf)
			return -ENOMEM;
		ssize_t n = read(fd, buf + used, size - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += n;
		/* files of one record come whole; only long ones (maps, smaps) need to be asked again */
		if (used < size / 2 && size == 4096)
			break;
		if (size - used < 2048) {
			char *bigger = realloc(buf, size *= 4);

			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
	}
	buf[used] = 0;
	*text = take_ptr(buf);
	if (len)
		*len = used;
	return 0;
}

int proc_link(int dir, const char *name, char *buf, size_t size)
{
	ssize_t n = readlinkat(dir, name, buf, size - 1);

	if (n < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	buf[n] = 0;
	return 0;
}

/* The text of name, with failures logged; the caller frees it. */
static int read_logged(int dir, const char *name, char **text)
{
	int err = proc_read(dir, name, text, NULL);

	if (err && err != -ESRCH)
		log_err("can't read %s in /proc: %s", name, strerror(-err));
	return err;
}

int proc_parse_stat(const char *text, struct proc_stat *st)
{
	/* comm may hold spaces and parentheses: it ends at the last one */
	const char *open = strchr(text, '('), *close = strrchr(text, ')');

	memset(st, 0, sizeof(*st));
	if (!open || !close || close < open || (size_t)(close - open - 1) >= sizeof(st->comm))
		return -EBADMSG;
	memcpy(st->comm, open + 1, close - open - 1);
	int n = sscanf(close + 1,
		       " %c %d %d %d %d %d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %d %d %*d %lu %*u %*d %*u"
		       " %lu %lu %lu %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %*d %u %u %*u %*u %*d"
		       " %lu %lu %lu %lu %lu %lu %lu %d",
		       &st->state, &st->ppid, &st->pgid, &st->sid, &st->tty, &st->tty_pgrp, &st->flags, &st->nice,
		       &st->threads, &st->start_time, &st->start_code, &st->end_code, &st->start_stack,
		       &st->rt_priority, &st->policy, &st->start_data, &st->end_data, &st->start_brk, &st->arg_start,
		       &st->arg_end, &st->env_start, &st->env_end, &st->exit_code);
	return n == 23 ? 0 : -EBADMSG;
}

int proc_stat(int dir, const char *name, struct proc_stat *st)
{
	_cleanup_free_ char *text = NULL;
	int err = read_logged(dir, name, &text);

	if (!err && (err = proc_parse_stat(text, st)))
		log_err("can't make sense of /proc/.../%s: %s", name, text);
	return err;
}

static int parse_groups(const char *at, struct proc_status *st)
{
	char *end;

	for (;;) {
		uint32_t gid = strtoul(at, &end, 10);
		if (end == at)
			return 0;
		if (!(st->n_groups & (st->n_groups - 1))) {
			size_t room = st->n_groups ? st->n_groups * 2 : 1;
			uint32_t *groups = realloc(st->groups, room * sizeof(*groups));

			if (!groups)
				return -ENOMEM;
			st->groups = groups;
		}
		st->groups[st->n_groups++] = gid;
		at = end;
		if (*at == '\n')
			return 0;
	}
}

/* The name ends at the line; the kernel escapes line feeds (\\n) and backslashes in it. */
static void parse_name(const char *at, struct proc_status *st)
{
	size_t n = 0;

	while (*at == '\t')
		at++;
	for (; *at && *at != '\n' && n < sizeof(st->name) - 1; at++) {
		if (*at == '\\' && (at[1] == 'n' || at[1] == '\\'))
			st->name[n++] = *++at == 'n' ? '\n' : '\\';
		else
			st->name[n++] = *at;
	}
	st->name[n] = 0;
}

static int parse_ids(const char *at, uint32_t ids[4])
{
	char *end;

	for (int i = 0; i < 4; i++, at = end) {
		ids[i] = strtoul(at, &end, 10);
		if (end == at)
			return -EBADMSG;
	}
	return 0;
}

static bool parse_number(const char *line, struct proc_status *st)
{
	static const struct {
		const char *key;
		size_t len, offset;
		int base;
	} numbers[] = {
#define FIELD(key, field, base) { key, sizeof(key) - 1, offsetof(struct proc_status, field), base }
		FIELD("SigCgt:", caught, 16),	FIELD("CapInh:", cap_inh, 16),		FIELD("CapPrm:", cap_prm, 16),
		FIELD("CapEff:", cap_eff, 16),	FIELD("CapBnd:", cap_bnd, 16),		FIELD("CapAmb:", cap_amb, 16),
		FIELD("SigPnd:", pending, 16),	FIELD("ShdPnd:", shared_pending, 16),	FIELD("Umask:", umask, 8),
		FIELD("Seccomp:", seccomp, 10), FIELD("NoNewPrivs:", no_new_privs, 10), FIELD("TracerPid:", tracer, 10),
#undef FIELD
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (line[0] != numbers[i].key[0] || strncmp(line, numbers[i].key, numbers[i].len))
			continue;
		*(uint64_t *)((char *)st + numbers[i].offset) = strtoull(line + numbers[i].len, NULL, numbers[i].base);
		return true;
	}
	return false;
}

/* One line of status, which starts with the key. */
static int parse_status_line(const char *line, struct proc_status *st)
{
	if (parse_number(line, st))
		return 0;
	if (!strncmp(line, "Name:", 5))
		parse_name(line + 5, st);
	if (!strncmp(line, "Uid:", 4))
		return parse_ids(line + 4, st->uid);
	if (!strncmp(line, "Gid:", 4))
		return parse_ids(line + 4, st->gid);
	if (!strncmp(line, "x86_Thread_features:", 20))
		st->shadow_stack = memmem(line, strcspn(line, "\n"), "shstk", 5);
	return strncmp(line, "Groups:", 7) ? 0 : parse_groups(line + 7, st);
}

int proc_parse_status(const char *text, struct proc_status *st)
{
	int err = 0;

	memset(st, 0, sizeof(*st));
	/* the first line holds the name, in which the kernel escapes line feeds */
	for (const char *line = text; line && *line && !err;) {
		err = parse_status_line(line, st);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	if (err)
		proc_status_free(st);
	return err;
}

int proc_status(int dir, const char *name, struct proc_status *st)
{
	_cleanup_free_ char *text = NULL;
	int err = read_logged(dir, name, &text);

	if (!err && (err = proc_parse_status(text, st)))
		log_err("can't make sense of /proc/.../%s", name);
	return err;
}

void proc_status_free(struct proc_status *st)
{
	free(take_ptr(st->groups));
}

static uint64_t parse_limit(const char *word)
{
	return strncmp(word, "unlimited", 9) ? strtoull(word, NULL, 10) : ~0ull;
}

int proc_limits(int dir, struct proc_limit limits[PROC_LIMITS])
{
	static const char *const names[PROC_LIMITS] = {
		[RLIMIT_CPU] = "Max cpu time",
		[RLIMIT_FSIZE] = "Max file size",
		[RLIMIT_DATA] = "Max data size",
		[RLIMIT_STACK] = "Max stack size",
		[RLIMIT_CORE] = "Max core file size",
		[RLIMIT_RSS] = "Max resident set",
		[RLIMIT_NPROC] = "Max processes",
		[RLIMIT_NOFILE] = "Max open files",
		[RLIMIT_MEMLOCK] = "Max locked memory",
		[RLIMIT_AS] = "Max address space",
		[RLIMIT_LOCKS] = "Max file locks",
		[RLIMIT_SIGPENDING] = "Max pending signals",
		[RLIMIT_MSGQUEUE] = "Max msgqueue size",
		[RLIMIT_NICE] = "Max nice priority",
		[RLIMIT_RTPRIO] = "Max realtime priority",
		[RLIMIT_RTTIME] = "Max realtime timeout",
	};
	_cleanup_free_ char *text = NULL;
	int err = read_logged(dir, "limits", &text);

	if (err)
		return err;
	for (int i = 0; i < PROC_LIMITS; i++) {
		char soft[32], hard[32];
		const char *line = strstr(text, names[i]);

		if (!line || sscanf(line + strlen(names[i]), " %31s %31s", soft, hard) != 2) {
			log_err("/proc/.../limits has no line '%s'", names[i]);
			return -EBADMSG;
		}
		limits[i].soft = parse_limit(soft);
		limits[i].hard = parse_limit(hard);
	}
	return 0;
}

static int append(int **list, size_t *n, int value)
{
	if (!(*n & (*n - 1))) {
		int *bigger = realloc(*list, (*n ? *n * 2 : 1) * sizeof(int));

		if (!bigger)
			return -ENOMEM;
		*list = bigger;
	}
	(*list)[(*n)++] = value;
	return 0;
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

int proc_list(int dir, const char *name, int **list, size_t *n)
{
	_cleanup_free_ int *found = NULL;
	int err = 0, fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*list = NULL;
	*n = 0;
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : log_errno(errno, "can't open /proc/.../%s", name);
	_cleanup_closedir_ DIR *d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	for (struct dirent *e; !err && (e = readdir(d));)
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			err = append(&found, n, atoi(e->d_name));
	if (err)
		return err;
	qsort(found, *n, sizeof(int), compare_ints);
	*list = take_ptr(found);
	return 0;
}

int proc_numbers(int dir, const char *name, int **list, size_t *n)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_free_ int *found = NULL;
	int err = read_logged(dir, name, &text);

	*list = NULL;
	*n = 0;
	for (char *at = text, *end; !err; at = end) {
		long value = strtol(at, &end, 10);

		if (end == at)
			break;
		err = append(&found, n, value);
	}
	if (!err)
		*list = take_ptr(found);
	return err;
}
