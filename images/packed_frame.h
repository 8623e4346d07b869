/* One frame of a compressed page image: the part that knows LZ4 and Zstandard. */
#ifndef CKPT_PACKED_FRAME_H
#define CKPT_PACKED_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "packed.h"

#define PACKED_FRAME (256ul << 10) /* bytes of pages in each but the last: they stay in the cache */
#define PACKED_MAX (PACKED_FRAME + (16ul << 10)) /* bytes of a frame, whatever is in it */

/* What a thread needs to work. */
struct frame_codec {
	uint8_t *plain, *packed; /* a frame's worth of each */
	void *lz4, *zstd_in, *zstd_out;
};

/* Returns 0 or -ENOMEM. To be freed in any case. */
int frame_codec_make(struct frame_codec *codec);
void frame_codec_free(struct frame_codec *codec);
/* Compresses so many plain bytes. Returns how many they become, or -1. */
long frame_pack(struct frame_codec *codec, enum packing how, size_t size);
/* Decompresses so many packed bytes, which must be exactly one frame of either kind. Returns how many they become, or
 * -1. */
long frame_unpack(struct frame_codec *codec, size_t size);

#endif
