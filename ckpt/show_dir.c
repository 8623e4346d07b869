/*
 * The summary of a directory of images: what it is, the process tree; memory and files are in show_dir_memory.c
 * and show_dir_files.c. What is broken is told, what is whole is shown.
 */
#include "show_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "cleanup.h"
#include "log.h"

void free_entries(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		protobuf_c_message_free_unpacked(entries->message[i], NULL);
	free(entries->message);
	*entries = (struct entries){};
}

void read_entries(struct dir_info *info, enum image_kind kind, unsigned long id, struct entries *entries)
{
	_cleanup_image_ struct image_reader r = {};
	ProtobufCMessage *message;
	size_t room = 0;
	int err = image_open(&r, &info->dir, kind, id), got = 0;

	*entries = (struct entries){};
	while (!err && (got = image_get(&r, &message)) > 0) {
		if (entries->count == room) {
			size_t more = room ? room * 2 : 16;
			ProtobufCMessage **grown = realloc(entries->message, more * sizeof(*grown));

			if (!grown) {
				protobuf_c_message_free_unpacked(message, NULL);
				err = -ENOMEM;
				break;
			}
			entries->message = grown;
			room = more;
		}
		entries->message[entries->count++] = message;
	}
	err = err ?: got;
	if (err && err != -ENOENT && !info->err)
		info->err = err;
}

/* Takes from the images of a task what the tree shows. */
static void read_task(struct dir_info *info, struct dir_task *task)
{
	_cleanup_entries_ struct entries core = {}, ids = {};

	read_entries(info, IMG_CORE, task->tree->pid, &core);
	if (core.count) {
		const CoreEntry *c = (const CoreEntry *)core.message[0];

		if (c->tc) {
			task->state = c->tc->task_state;
			task->exit_code = c->tc->exit_code;
			snprintf(task->comm, sizeof(task->comm), "%s", c->tc->comm);
		}
		if (c->ids)
			task->files_id = c->ids->files_id;
	}
	read_entries(info, IMG_IDS, task->tree->pid, &ids);
	if (ids.count)
		task->files_id = ((const TaskKobjIdsEntry *)ids.message[0])->files_id;
}

/* Links each task to the task before it that is its parent. */
static void link_task(struct dir_info *info, size_t i)
{
	struct dir_task *task = &info->tasks[i];

	task->parent = task->first_child = task->next_sibling = -1;
	for (size_t j = i; j-- > 0 && task->parent < 0;)
		if (info->tasks[j].tree->pid == task->tree->ppid)
			task->parent = j;
	if (task->parent < 0)
		return;
	long *link = &info->tasks[task->parent].first_child;
	while (*link >= 0)
		link = &info->tasks[*link].next_sibling;
	*link = i;
}

static int read_directory(struct dir_info *info)
{
	int err = image_read_one(&info->dir, IMG_INVENTORY, 0, (ProtobufCMessage **)&info->inventory);

	if (err == -ENOENT)
		log_err("%s holds no set of images: there is no inventory.img", info->dir.path);
	if (err)
		return err;
	read_entries(info, IMG_PSTREE, 0, &info->pstree);
	info->tasks = calloc(info->pstree.count + 1, sizeof(*info->tasks));
	if (!info->tasks)
		return log_errno(ENOMEM, "can't show %s", info->dir.path);
	for (size_t i = 0; i < info->pstree.count; i++) {
		info->tasks[i].tree = (const PstreeEntry *)info->pstree.message[i];
		read_task(info, &info->tasks[i]);
		link_task(info, i);
	}
	return 0;
}

static const char *state_word(uint32_t state)
{
	switch (state) {
	case 1:
		return "alive";
	case 2:
		return "dead";
	case 3:
		return "stopped";
	case 6:
		return "zombie";
	case 0x80:
		return "helper";
	default:
		return "unknown";
	}
}

static void show_task(struct show_out *out, const struct dir_task *task, unsigned int depth)
{
	const PstreeEntry *t = task->tree;

	if (out->json) {
		out_object(out, NULL, 0);
		out_value(out, "pid", "%u", t->pid);
		out_value(out, "ppid", "%u", t->ppid);
		out_value(out, "pgid", "%u", t->pgid);
		out_value(out, "sid", "%u", t->sid);
		out_value(out, "state", "\"%s\"", state_word(task->state));
		out_string(out, "comm", task->comm);
		if (task->state == 2)
			out_value(out, "exit_code", "%u", task->exit_code);
		out_list(out, "threads");
		for (size_t i = 0; i < t->n_threads; i++)
			out_value(out, NULL, "%u", t->threads[i]);
		out_list_end(out);
		out_object_end(out);
		return;
	}
	out_text(out, "  %*s%u ", (int)(depth < 40 ? depth : 40) * 2, "", t->pid);
	out_quoted(out->to.file, task->comm);
	out_text(out, " %s, group %u, session %u", state_word(task->state), t->pgid, t->sid);
	if (task->state != 2)
		out_text(out, ", %zu thread%s", t->n_threads, t->n_threads == 1 ? "" : "s");
	else if (WIFSIGNALED(task->exit_code))
		out_text(out, ", by signal %d", WTERMSIG(task->exit_code));
	else
		out_text(out, ", status %d", WEXITSTATUS(task->exit_code));
	out_text(out, "\n");
}

/* Prints each root and what is below it, depth first. */
static void show_tree(struct show_out *out, const struct dir_info *info)
{
	out_text(out, "\nProcesses: %zu\n", info->pstree.count);
	out_list(out, "tasks");
	for (size_t root = 0; root < info->pstree.count; root++) {
		unsigned int depth = 0;
		long at = root;

		if (info->tasks[root].parent >= 0)
			continue;
		while (at >= 0) {
			show_task(out, &info->tasks[at], depth);
			if (info->tasks[at].first_child >= 0) {
				at = info->tasks[at].first_child;
				depth++;
				continue;
			}
			while (at >= 0 && at != (long)root && info->tasks[at].next_sibling < 0) {
				at = info->tasks[at].parent;
				depth--;
			}
			at = at == (long)root ? -1 : info->tasks[at].next_sibling;
		}
	}
	out_list_end(out);
}

struct totals {
	uint64_t files, bytes, page_bytes;
};

static struct totals count_files(const struct dir_info *info)
{
	struct totals t = {};
	int fd = openat(info->dir.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));) {
		size_t len = strlen(e->d_name);
		struct stat st;

		if (len < 4 || strcmp(e->d_name + len - 4, ".img") || fstatat(info->dir.fd, e->d_name, &st, 0))
			continue;
		t.files++;
		t.bytes += st.st_size;
		if (!strncmp(e->d_name, "pages-", 6))
			t.page_bytes += st.st_size;
	}
	return t;
}

static const char *packing_word(const struct dir_info *info)
{
	return enum_word(&page_compression__descriptor, info->inventory->page_compression) ?: "unknown";
}

static void show_head(struct show_out *out, const struct dir_info *info)
{
	struct totals t = count_files(info);
	char all[32], pages[32], date[64] = "";
	struct stat st;
	struct tm tm;

	if (!fstatat(info->dir.fd, "inventory.img", &st, 0) && localtime_r(&st.st_mtime, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S %z", &tm);
	if (out->json) {
		out_string(out, "directory", info->dir.path);
		out_value(out, "image_version", "%u", info->inventory->img_version);
		if (info->inventory->has_page_compression)
			out_string(out, "page_compression", packing_word(info));
		out_string(out, "written", date);
		if (info->inventory->has_dump_uptime)
			out_value(out, "dump_uptime", "%" PRIu64, info->inventory->dump_uptime);
		out_value(out, "files", "%" PRIu64, t.files);
		out_value(out, "bytes", "%" PRIu64, t.bytes);
		out_value(out, "page_bytes", "%" PRIu64, t.page_bytes);
		return;
	}
	out_text(out, "%s: images of version %u, written %s", info->dir.path, info->inventory->img_version, date);
	if (info->inventory->has_page_compression)
		out_text(out, ", pages compressed (%s)", packing_word(info));
	if (info->inventory->has_dump_uptime)
		out_text(out, ", uptime %" PRIu64, info->inventory->dump_uptime);
	out_text(out, "\n%" PRIu64 " files, %s, of which %s are pages\n", t.files,
		 format_size(all, sizeof(all), t.bytes), format_size(pages, sizeof(pages), t.page_bytes));
}

int show_directory(struct show_out *out, const char *path)
{
	struct dir_info info = {};
	int err = image_dir_open(&info.dir, path);

	if (!err)
		err = read_directory(&info);
	if (!err) {
		if (out->json)
			out_object(out, NULL, 0);
		show_head(out, &info);
		show_tree(out, &info);
		show_parents(out, &info);
		show_memory(out, &info);
		show_files(out, &info);
		if (out->json)
			out_object_end(out);
	}
	free(info.tasks);
	free_entries(&info.pstree);
	if (info.inventory)
		inventory_entry__free_unpacked(info.inventory, NULL);
	image_dir_close(&info.dir);
	return err ?: info.err;
}
