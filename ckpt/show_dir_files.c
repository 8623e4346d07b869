/* The open files in a directory of images: kind, name, and which descriptors of whom refer to them. */
#include "show_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define HOLDERS_SHOWN 6 /* in text */

/* One descriptor. */
struct holder {
	uint32_t file, pid, fd;
};

struct holders {
	struct holder *holder;
	size_t count;
};

static void add_table(struct holders *h, struct dir_info *info, const struct dir_task *task)
{
	_cleanup_entries_ struct entries fds = {};

	read_entries(info, IMG_FDINFO, task->files_id, &fds);
	if (!fds.count)
		return;
	struct holder *grown = realloc(h->holder, (h->count + fds.count) * sizeof(*grown));
	if (!grown) {
		info->err = info->err ?: -ENOMEM;
		return;
	}
	h->holder = grown;
	for (size_t i = 0; i < fds.count; i++) {
		const FdinfoEntry *fd = (const FdinfoEntry *)fds.message[i];

		grown[h->count++] = (struct holder){ fd->id, task->tree->pid, fd->fd };
	}
}

/* Tables that several tasks share are counted for the first of them. */
static bool is_first_with_table(const struct dir_info *info, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (info->tasks[j].files_id == info->tasks[i].files_id)
			return false;
	return info->tasks[i].files_id;
}

/* The message of the kind in a file entry, or NULL. */
static const ProtobufCMessage *kind_message(const FileEntry *file)
{
	const ProtobufCMessageDescriptor *type = file->base.descriptor;

	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		const ProtobufCMessage *m = NULL;

		if (f->type == PROTOBUF_C_TYPE_MESSAGE)
			m = *(ProtobufCMessage *const *)((const char *)file + f->offset);
		if (m)
			return m;
	}
	return NULL;
}

/* What a file is called: its path, or the id that tells it from others of its kind. The caller frees it. */
static char *file_name(const FileEntry *file)
{
	const ProtobufCMessage *m = kind_message(file);
	const ProtobufCMessageDescriptor *type = m ? m->descriptor : NULL;
	char *name = NULL;

	for (unsigned int i = 0; type && i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		const char *at = (const char *)m + f->offset;
		size_t len = strlen(f->name);

		if (f->type == PROTOBUF_C_TYPE_STRING && (!strcmp(f->name, "name") || !strcmp(f->name, "path")))
			return strdup(*(char *const *)at ?: "");
		if (f->type == PROTOBUF_C_TYPE_BYTES && !strcmp(f->name, "name")) {
			const ProtobufCBinaryData *bytes = (const ProtobufCBinaryData *)at;

			if (bytes->len) /* of a socket; an abstract one begins with a zero byte */
				return bytes->data[0] ? strndup((char *)bytes->data, bytes->len)
						      : strndup((char *)bytes->data + 1, bytes->len - 1);
		}
		if (!name && f->type == PROTOBUF_C_TYPE_UINT32 && len > 3 && !strcmp(f->name + len - 3, "_id") &&
		    asprintf(&name, "%s %u", f->name, *(const uint32_t *)at) < 0)
			return NULL;
	}
	return name ?: strdup("");
}

static void show_holders(struct show_out *out, const struct holders *h, uint32_t id)
{
	size_t shown = 0;

	out_list(out, "holders");
	for (size_t i = 0; i < h->count; i++) {
		if (h->holder[i].file != id)
			continue;
		if (out->json) {
			out_object(out, NULL, 0);
			out_value(out, "pid", "%u", h->holder[i].pid);
			out_value(out, "fd", "%u", h->holder[i].fd);
			out_object_end(out);
		} else if (shown < HOLDERS_SHOWN) {
			out_text(out, " %u:%u", h->holder[i].pid, h->holder[i].fd);
		}
		shown++;
	}
	if (shown > HOLDERS_SHOWN)
		out_text(out, " and %zu more", shown - HOLDERS_SHOWN);
	out_list_end(out);
}

static void show_file(struct show_out *out, const struct holders *h, const FileEntry *file)
{
	const char *word = enum_word(&fd_types__descriptor, file->type) ?: "?";
	_cleanup_free_ char *name = file_name(file);

	if (out->json) {
		out_object(out, NULL, 0);
		out_value(out, "id", "%u", file->id);
		out_value(out, "type", "\"%s\"", word);
		out_string(out, "name", name ?: "");
	} else {
		out_text(out, "  %-9s ", word);
		out_quoted(out->to.file, name ?: "");
	}
	show_holders(out, h, file->id);
	if (out->json)
		out_object_end(out);
	out_text(out, "\n");
}

static int by_type(const void *a, const void *b)
{
	const FileEntry *x = *(const FileEntry *const *)a, *y = *(const FileEntry *const *)b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

void show_files(struct show_out *out, struct dir_info *info)
{
	_cleanup_entries_ struct entries files = {};
	struct holders h = {};

	for (size_t i = 0; i < info->pstree.count; i++)
		if (is_first_with_table(info, i))
			add_table(&h, info, &info->tasks[i]);
	read_entries(info, IMG_FILES, 0, &files);
	if (files.count)
		qsort(files.message, files.count, sizeof(*files.message), by_type);
	out_text(out, "\nFiles: %zu (with pid:fd of those who have them open; none: mapped, executed, directory)\n",
		 files.count);
	out_list(out, "open_files");
	for (size_t i = 0; i < files.count; i++)
		show_file(out, &h, (const FileEntry *)files.message[i]);
	out_list_end(out);
	free(h.holder);
}
