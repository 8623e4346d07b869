/* Memory areas from /proc/PID/smaps or maps. */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/*
 * The kernel fills a page with areas, and throws away the one that does not fit any more: it walks through its memory
 * once again for the next read. It stops before that when it has as much as was asked for.
 */
#define AT_ONCE 2800 /* bytes */

/* Hexadecimal digits at *at; moves *at behind them. Much faster than sscanf, and areas are many. */
static uint64_t hex(const char **at)
{
	uint64_t value = 0;

	for (;; ++*at) {
		char c = **at;

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + c - 'a' + 10;
		else
			return value;
	}
}

/* Most areas of a process that has very many. */
static char no_name[1];

/* "start-end rwxp pgoff major:minor inode   name", ended by a zero byte. */
static int parse_area(const char *line, struct vma *v)
{
	memset(v, 0, sizeof(*v));
	v->start = hex(&line);
	if (*line++ != '-')
		return -EBADMSG;
	v->end = hex(&line);
	if (*line++ != ' ' || strlen(line) < 5)
		return -EBADMSG;
	v->prot = (line[0] == 'r' ? PROT_READ : 0) | (line[1] == 'w' ? PROT_WRITE : 0) |
		  (line[2] == 'x' ? PROT_EXEC : 0);
	v->shared = line[3] == 's';
	line += 5;
	v->pgoff = hex(&line);
	if (*line++ != ' ')
		return -EBADMSG;
	unsigned int major = hex(&line);
	if (*line++ != ':')
		return -EBADMSG;
	unsigned int minor = hex(&line);
	v->dev = makedev(major, minor);
	char *end;
	v->ino = strtoull(line, &end, 10);
	end += strspn(end, " ");
	if (v->start >= v->end)
		return -EBADMSG;
	v->name = *end ? strdup(end) : no_name;
	return v->name ? 0 : -ENOMEM;
}

static bool is(const char *at, const char *flag)
{
	return at[0] == flag[0] && at[1] == flag[1];
}

/* "VmFlags: rd wr mr ..." (Documentation/filesystems/proc.rst). */
static void parse_flags(const char *at, struct vma *v)
{
	static const struct {
		char name[3];
		int advice;
	} advices[] = {
		{ "sr", MADV_SEQUENTIAL }, { "rr", MADV_RANDOM },     { "dc", MADV_DONTFORK },
		{ "dd", MADV_DONTDUMP },   { "mg", MADV_MERGEABLE },  { "hg", MADV_HUGEPAGE },
		{ "nh", MADV_NOHUGEPAGE }, { "wf", MADV_WIPEONFORK },
	};

	for (; at[0] && at[1]; at += 3) {
		for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++)
			if (is(at, advices[i].name))
				v->madv |= 1u << advices[i].advice;
		v->grows_down |= is(at, "gd");
		v->io |= is(at, "io") || is(at, "pf");
		v->may_write |= is(at, "mw");
		v->droppable |= is(at, "dp");
		v->noreserve |= is(at, "nr");
		v->locked |= is(at, "lo");
		v->lock_on_fault |= is(at, "lf");
		v->hugetlb |= is(at, "ht");
		v->uffd |= is(at, "um") || is(at, "uw") || is(at, "ui");
		if (!at[2])
			break;
	}
}

/* There is room for one more. */
static int make_room(struct vma_list *list)
{
	if (!(list->n & (list->n - 1)) && (list->n >= 64 || !list->n)) {
		struct vma *v = realloc(list->v, (list->n ? list->n * 2 : 64) * sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
	}
	return 0;
}

struct vma *vma_list_add(struct vma_list *list)
{
	if (make_room(list))
		return NULL;
	struct vma *v = &list->v[list->n++];
	*v = (struct vma){ .name = no_name };
	return v;
}

int vma_set_name(struct vma *v, const char *name)
{
	char *copy = strdup(name);

	v->name = copy ? copy : no_name;
	return copy ? 0 : -ENOMEM;
}

static int append(struct vma_list *list, const char *line)
{
	int err = make_room(list);

	if (!err)
		err = parse_area(line, &list->v[list->n]);
	if (!err)
		list->n++;
	return err;
}

/* A line of smaps below that of its area. There are twenty of them, of which few matter. */
static void parse_detail(const char *line, struct vma *v)
{
	if (line[0] == 'V' && !strncmp(line, "VmFlags: ", 9))
		parse_flags(line + 9, v);
	else if (line[0] == 'K' && !strncmp(line, "KernelPageSize:", 15))
		v->page_size = strtoul(line + 15, NULL, 10) << 10;
	else if (line[0] == 'R' && !strncmp(line, "Rss:", 4))
		v->empty = !strtoul(line + 4, NULL, 10);
	else if (line[0] == 'S' && !strncmp(line, "Swap:", 5))
		v->empty &= !strtoul(line + 5, NULL, 10);
	else if (line[0] == 'P' && !strncmp(line, "ProtectionKey:", 14))
		v->protection_key = strtoul(line + 14, NULL, 10);
}

static int parse_line(struct vma_list *list, const char *line)
{
	if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'))
		return append(list, line);
	if (!list->n)
		return -EBADMSG;
	parse_detail(line, &list->v[list->n - 1]);
	return 0;
}

/* Parses whole lines, up to the zero byte. Returns 0 with *rest where one begins that is not whole, or -errno. */
static int parse_lines(struct vma_list *list, char *text, char **rest)
{
	int err = 0;

	for (char *end; !err && (end = strchr(text, '\n')); text = end + 1) {
		*end = 0;
		err = parse_line(list, text);
	}
	*rest = text;
	return err;
}

int proc_parse_vmas(char *text, struct vma_list *list)
{
	*list = (struct vma_list){};
	int err = parse_lines(list, text, &text);

	if (!err && *text)
		err = parse_line(list, text);
	if (err)
		vma_list_free(list);
	return err;
}

/* Parsed as it comes: smaps has 700 bytes an area. -E2BIG: the list has more than most already. */
static int read_vmas(int fd, size_t most, struct vma_list *list)
{
	char buf[32768], *rest = buf;
	size_t left = 0;

	for (;;) {
		size_t room = sizeof(buf) - 1 - left;
		ssize_t n = read(fd, buf + left, room < AT_ONCE ? room : AT_ONCE);

		if (n <= 0)
			return n ? -errno : left ? -EBADMSG : 0;
		buf[left + n] = 0;
		int err = parse_lines(list, buf, &rest);

		if (err)
			return err;
		if (list->n > most)
			return -E2BIG;
		left = buf + left + n - rest;
		memmove(buf, rest, left);
	}
}

int proc_vmas_few(int dir, bool flags, size_t most, struct vma_list *list)
{
	const char *name = flags ? "smaps" : "maps";
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	*list = (struct vma_list){};
	int err = fd < 0 ? (errno == ENOENT ? -ESRCH : -errno) : read_vmas(fd, most, list);
	if (err && err != -E2BIG)
		vma_list_free(list);
	if (err && err != -E2BIG && err != -ESRCH &&
	    err != -EACCES) /* what cannot be read cannot be traced: that will be said */
		log_err("can't read /proc/.../%s: %s", name, strerror(-err));
	return err;
}

int proc_vmas(int dir, bool flags, struct vma_list *list)
{
	return proc_vmas_few(dir, flags, SIZE_MAX, list);
}

void vma_list_free(struct vma_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i].name != no_name ? list->v[i].name : NULL);
	free(take_ptr(list->v));
	list->n = 0;
}

const struct vma *vma_find(const struct vma_list *list, uint64_t address)
{
	size_t low = 0, high = list->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address >= list->v[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->n && list->v[low].start <= address ? &list->v[low] : NULL;
}
