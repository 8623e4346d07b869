/*
 * ckpt cpuinfo dump: writes what this CPU can do into cpuinfo.img. ckpt cpuinfo check: whether this CPU can do what the
 * one of the image could, as far as --cpu-cap asks. Exit status 0: it can.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "cpuinfo.h"
#include "image.h"
#include "log.h"
#include "opts.h"

/* Right among the images that may be there: it belongs to none of their tasks. */
static int dump(struct image_dir *images)
{
	struct image_dir in_place = { images->fd, images->fd, images->path };
	struct cpuinfo info;

	cpuinfo_own(&info, true);
	return image_write_one(&in_place, IMG_CPUINFO, 0, &info.entry.base);
}

static void tell(void *unused, const char *what)
{
	log_err("cpuinfo.img: %s", what);
}

static int check(const struct image_dir *images, unsigned int caps)
{
	ProtobufCMessage *message;
	struct cpuinfo own;
	int err = image_read_one(images, IMG_CPUINFO, 0, &message);

	if (err == -ENOENT)
		log_err("%s holds no cpuinfo.img: make one with ckpt cpuinfo dump", images->path);
	if (err)
		return err;
	cpuinfo_own(&own, false);
	if (cpuinfo_compare((CpuinfoEntry *)message, &own.x86, caps, tell, NULL))
		err = -ENOTSUP;
	protobuf_c_message_free_unpacked(message, NULL);
	return err;
}

int cmd_cpuinfo(const struct opts *opts)
{
	struct image_dir images = { -1, -1, NULL };
	bool checks = !strcmp(opts->args[0], "check");
	int err = image_dir_open(&images, opts->images_dir);

	if (!err)
		err = checks ? check(&images, opts->cpu_caps) : dump(&images);
	if (!err && checks)
		puts("This CPU can do what that of the image could.");
	if (images.path)
		image_dir_close(&images);
	return err ? 1 : 0;
}
