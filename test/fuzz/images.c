/*
 * Fuzzes the reader of every kind of image: the first byte of the input chooses the kind, the rest is what stands
 * behind the magic. Whatever is read is also printed, which touches every field.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../ckpt/show.h"
#include "image.h"
#include "log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int print_item(void *arg, const struct image_item *item)
{
	struct show_out *out = arg;

	out_object(out, NULL, 0);
	if (item->message)
		show_message(out, item->message);
	else
		out_bytes(out, item->what, item->bytes, item->len, SIZE_MAX);
	out_object_end(out);
	return 0;
}

static int ignore_item(void *arg, const struct image_item *item)
{
	return 0;
}

static void walk(enum image_kind kind, const uint8_t *image, size_t len, struct show_out *out)
{
	_cleanup_image_ struct image_reader r = {};

	if (!image_open_bytes(&r, kind, image, len))
		image_walk(&r, out ? print_item : ignore_item, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static FILE *nowhere;
	struct show_out text = {}, json = { .json = true };
	uint32_t magic[2];
	size_t head = sizeof(magic);

	if (!nowhere) {
		nowhere = fopen("/dev/null", "we");
		log_init(AT_FDCWD, NULL, LOG_MSG);
		log_mute(true);
	}
	text.to.file = json.to.file = nowhere;
	if (!size)
		return 0;
	enum image_kind kind = data[0] % IMG_KINDS;
	magic[0] = image_first_magic(kind);
	magic[1] = image_info[kind].magic;
	if (kind == IMG_INVENTORY)
		head = 4;
	uint8_t *image = malloc(head + size - 1);
	memcpy(image, magic, head);
	memcpy(image + head, data + 1, size - 1);
	walk(kind, image, head + size - 1, &text);
	walk(kind, image, head + size - 1, &json);
	free(image);
	return 0;
}
