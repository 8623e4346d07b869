/* The compiled schema and the table of images against the fact tables of CRIU's format, field by field. */
#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "image_messages.h"
#include "suite.h"

#define TABLES "test/unit/criu-format/" /* tests run in the top directory */
#define OURS 1000 /* field numbers from here on are ckpt's own */

/* Cuts a line at its tabs. Returns how many fields there are. */
static int cut(char *line, char **field, int max)
{
	int n = 0;

	line[strcspn(line, "\n")] = 0;
	while (n < max && line)
		field[n++] = strsep(&line, "\t");
	return n;
}

static FILE *open_table(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), TABLES "%s", name);
	FILE *f = fopen(path, "re");
	ck_assert_msg(f != NULL, "can't open %s: run the tests in the top directory", path);
	return f;
}

/* "core_entry.march" -> core_entry__march__descriptor, "TtyType" -> tty_type__descriptor. */
static const void *find_descriptor(const char *name)
{
	char symbol[256];
	size_t n = 0;

	for (const char *c = name; *c && n < sizeof(symbol) - 20; c++) {
		if (*c == '.') {
			symbol[n++] = '_';
			symbol[n++] = '_';
			continue;
		}
		if (isupper((unsigned char)*c) && c > name && c[-1] != '.' && c[-1] != '_')
			symbol[n++] = '_';
		symbol[n++] = tolower((unsigned char)*c);
	}
	strcpy(symbol + n, "__descriptor");
	return dlsym(RTLD_DEFAULT, symbol);
}

static const char *const scalar_names[] = {
	[PROTOBUF_C_TYPE_INT32] = "int32",	 [PROTOBUF_C_TYPE_SINT32] = "sint32",
	[PROTOBUF_C_TYPE_SFIXED32] = "sfixed32", [PROTOBUF_C_TYPE_INT64] = "int64",
	[PROTOBUF_C_TYPE_SINT64] = "sint64",	 [PROTOBUF_C_TYPE_SFIXED64] = "sfixed64",
	[PROTOBUF_C_TYPE_UINT32] = "uint32",	 [PROTOBUF_C_TYPE_FIXED32] = "fixed32",
	[PROTOBUF_C_TYPE_UINT64] = "uint64",	 [PROTOBUF_C_TYPE_FIXED64] = "fixed64",
	[PROTOBUF_C_TYPE_FLOAT] = "float",	 [PROTOBUF_C_TYPE_DOUBLE] = "double",
	[PROTOBUF_C_TYPE_BOOL] = "bool",	 [PROTOBUF_C_TYPE_STRING] = "string",
	[PROTOBUF_C_TYPE_BYTES] = "bytes",
};

static const char *type_name(const ProtobufCFieldDescriptor *f)
{
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return ((const ProtobufCMessageDescriptor *)f->descriptor)->name;
	if (f->type == PROTOBUF_C_TYPE_ENUM)
		return ((const ProtobufCEnumDescriptor *)f->descriptor)->name;
	return scalar_names[f->type];
}

static const char *label_name(const ProtobufCFieldDescriptor *f)
{
	return f->label == PROTOBUF_C_LABEL_REQUIRED   ? "required"
	       : f->label == PROTOBUF_C_LABEL_OPTIONAL ? "optional"
						       : "repeated";
}

/* Writes the default of a field as the table has it, "" when there is none. */
static void format_default(char *buf, size_t size, const ProtobufCFieldDescriptor *f)
{
	const ProtobufCEnumValue *v;

	*buf = 0;
	if (!f->default_value)
		return;
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		snprintf(buf, size, "default=%s", *(const protobuf_c_boolean *)f->default_value ? "true" : "false");
		break;
	case PROTOBUF_C_TYPE_UINT32:
		snprintf(buf, size, "default=%u", *(const uint32_t *)f->default_value);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		v = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)f->default_value);
		snprintf(buf, size, "default=%s", v ? v->name : "?");
		break;
	default:
		snprintf(buf, size, "default=%d", *(const int32_t *)f->default_value);
	}
}

static bool same_default(const char *in_table, const ProtobufCFieldDescriptor *f)
{
	char ours[64];

	format_default(ours, sizeof(ours), f);
	if (!strcmp(in_table, ours))
		return true;
	/* protobuf-c gives no default to a field whose default is the zero that it has anyway */
	return !*ours && (!strcmp(in_table, "default=0") || !strcmp(in_table, "default=false"));
}

/* Fields that we leave out: core_entry of other architectures. */
static bool is_left_out(const char *message, const char *field)
{
	return !strcmp(message, "core_entry") && !strncmp(field, "ti_", 3);
}

static const ProtobufCFieldDescriptor *check_row(char **row)
{
	const ProtobufCMessageDescriptor *type = find_descriptor(row[1]);

	ck_assert_msg(type != NULL, "there is no message %s", row[1]);
	ck_assert_str_eq(type->name, row[1]);
	const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(type, atoi(row[2]));
	ck_assert_msg(f != NULL, "%s has no field %s (%s)", row[1], row[2], row[5]);
	ck_assert_msg(!strcmp(f->name, row[5]), "%s.%s is called %s", row[1], row[5], f->name);
	ck_assert_msg(!strcmp(label_name(f), row[3]), "%s.%s is %s", row[1], row[5], label_name(f));
	/* The table gives nested enums as their short or their full name. */
	const char *name = type_name(f), *dot = strrchr(name, '.');
	ck_assert_msg(!strcmp(name, row[4]) || (dot && !strcmp(dot + 1, row[4])), "%s.%s is a %s", row[1], row[5],
		      name);
	ck_assert_msg(same_default(row[6], f), "%s.%s: another default than \"%s\"", row[1], row[5], row[6]);
	return f;
}

START_TEST(messages_have_the_fields_of_the_table)
{
	char line[1024], *row[7], last[128] = "";
	FILE *f = open_table("messages.tsv");
	unsigned int rows = 0, in_message = 0;

	ck_assert(fgets(line, sizeof(line), f) != NULL); /* heading */
	while (fgets(line, sizeof(line), f)) {
		ck_assert_int_eq(cut(line, row, 7), 7);
		if (is_left_out(row[1], row[5]))
			continue;
		check_row(row);
		rows++;
		if (strcmp(last, row[1]))
			in_message = 0;
		in_message++;
		snprintf(last, sizeof(last), "%s", row[1]);
	}
	fclose(f);
	ck_assert_uint_gt(rows, 900);
}
END_TEST

/* Is the field of the message in the table? */
static bool in_table(const char *message, const ProtobufCFieldDescriptor *field)
{
	char line[1024], *row[7];
	FILE *f = open_table("messages.tsv");
	bool found = false;

	while (!found && fgets(line, sizeof(line), f))
		if (cut(line, row, 7) == 7)
			found = !strcmp(row[1], message) && (unsigned int)atoi(row[2]) == field->id;
	fclose(f);
	return found;
}

START_TEST(messages_have_no_other_fields)
{
	char line[1024], *row[7], last[128] = "";
	FILE *f = open_table("messages.tsv");

	ck_assert(fgets(line, sizeof(line), f) != NULL);
	while (fgets(line, sizeof(line), f)) {
		ck_assert_int_eq(cut(line, row, 7), 7);
		const ProtobufCMessageDescriptor *type = find_descriptor(row[1]);
		if (!type || !strcmp(last, row[1]))
			continue;
		snprintf(last, sizeof(last), "%s", row[1]);
		for (unsigned int i = 0; i < type->n_fields; i++)
			ck_assert_msg(type->fields[i].id >= OURS || in_table(row[1], &type->fields[i]),
				      "CRIU knows no %s.%s: our own fields begin at %d", row[1], type->fields[i].name,
				      OURS);
	}
	fclose(f);
}
END_TEST

START_TEST(enums_have_the_values_of_the_table)
{
	char line[1024], *row[4];
	FILE *f = open_table("enums.tsv");
	unsigned int rows = 0;

	ck_assert(fgets(line, sizeof(line), f) != NULL);
	for (; fgets(line, sizeof(line), f); rows++) {
		ck_assert_int_eq(cut(line, row, 4), 4);
		const ProtobufCEnumDescriptor *type = find_descriptor(row[1]);
		ck_assert_msg(type != NULL, "there is no enum %s", row[1]);
		const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(type, row[2]);
		ck_assert_msg(v != NULL, "enum %s has no %s", row[1], row[2]);
		ck_assert_msg(v->value == (int)strtol(row[3], NULL, 0), "%s is %d", row[2], v->value);
	}
	fclose(f);
	ck_assert_uint_gt(rows, 100);
}
END_TEST

/* Is our file name, "core-%lu.img", the one of the table, "core-%u.img"? */
static bool same_name(const char *ours, const char *in_table)
{
	const char *p = strchr(ours, '%'), *q = strchr(in_table, '%');

	if (!p || !q)
		return !p && !q && !strcmp(ours, in_table);
	if (p - ours != q - in_table || strncmp(ours, in_table, p - ours))
		return false;
	bool hex = p[2] == 'x', table_hex = q[1] == 'x';
	q += q[1] == 'l' ? 3 : 2;
	return hex == table_hex && !strcmp(p + 3, q);
}

static enum image_kind find_kind(const char *kind, const char *name)
{
	for (enum image_kind k = 0; k < IMG_KINDS; k++) {
		/* One row for both files of statistics. */
		if (!strcmp(kind, "STATS") && !strncmp(image_info[k].kind, "STATS_", 6))
			return k;
		if (!strcmp(image_info[k].kind, kind)) {
			ck_assert_msg(same_name(image_info[k].name, name), "%s is %s", name, image_info[k].name);
			return k;
		}
	}
	ck_abort_msg("there is no image %s", kind);
	return IMG_KINDS;
}

static void check_image_row(char **row)
{
	static const char *const shapes[] = {
		[IMAGE_ONE] = "one", [IMAGE_MANY] = "many", [IMAGE_HEAD] = "1+many", [IMAGE_RAW] = "raw"
	};
	const struct image_info *info = &image_info[find_kind(row[1], row[0])];

	ck_assert_msg(info->magic == strtoul(row[2], NULL, 0), "%s: magic 0x%x", row[1], info->magic);
	ck_assert_msg(!strcmp(shapes[info->shape], row[4]), "%s is %s", row[1], shapes[info->shape]);
	if (info->shape == IMAGE_RAW) {
		ck_assert_ptr_null(info->entry);
		return;
	}
	const char *payload = !strncmp(row[3], "pagemap_head then ", 18) ? row[3] + 18 : row[3];
	size_t len = strlen(info->entry->name);
	ck_assert_msg(!strncmp(payload, info->entry->name, len) && (!payload[len] || payload[len] == ' '),
		      "%s holds %s", row[1], info->entry->name);
}

START_TEST(images_are_those_of_the_table)
{
	char line[1024], *row[6];
	FILE *f = open_table("images.tsv");
	unsigned int rows = 0;

	ck_assert(fgets(line, sizeof(line), f) != NULL);
	for (; fgets(line, sizeof(line), f); rows++) {
		ck_assert_int_ge(cut(line, row, 6), 5);
		check_image_row(row);
	}
	fclose(f);
	ck_assert_uint_eq(rows + 3, IMG_KINDS); /* stats-dump and stats-restore share a row; two are ours */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("schema");
	TCase *tc = tcase_create("schema");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, messages_have_the_fields_of_the_table);
	tcase_add_test(tc, messages_have_no_other_fields);
	tcase_add_test(tc, enums_have_the_values_of_the_table);
	tcase_add_test(tc, images_are_those_of_the_table);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
