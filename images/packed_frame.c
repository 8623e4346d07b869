/* Frames of liblz4 and libzstd, with checksums of their content. */
#include "packed_frame.h"

#include <errno.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LZ4_MAGIC 0x184d2204u
#define ZSTD_MAGIC 0xfd2fb528u
#define LEVEL 3 /* of zstd: its default */

int frame_codec_make(struct frame_codec *c)
{
	LZ4F_dctx *lz4 = NULL;

	*c = (struct frame_codec){ malloc(PACKED_FRAME), malloc(PACKED_MAX) };
	if (LZ4F_isError(LZ4F_createDecompressionContext(&lz4, LZ4F_VERSION)))
		return -ENOMEM;
	c->lz4 = lz4;
	c->zstd_in = ZSTD_createDCtx();
	c->zstd_out = ZSTD_createCCtx();
	return c->plain && c->packed && c->zstd_in && c->zstd_out ? 0 : -ENOMEM;
}

void frame_codec_free(struct frame_codec *c)
{
	LZ4F_freeDecompressionContext(c->lz4);
	ZSTD_freeDCtx(c->zstd_in);
	ZSTD_freeCCtx(c->zstd_out);
	free(c->plain);
	free(c->packed);
}

long frame_pack(struct frame_codec *c, enum packing how, size_t size)
{
	const LZ4F_preferences_t lz4 = {
		.frameInfo = { .blockSizeID = LZ4F_max256KB,
			       .blockMode = LZ4F_blockIndependent,
			       .contentChecksumFlag = LZ4F_contentChecksumEnabled,
			       .contentSize = size },
	};
	size_t n;

	if (how == PACK_LZ4) {
		n = LZ4F_compressFrame(c->packed, PACKED_MAX, c->plain, size, &lz4);
		return LZ4F_isError(n) ? -1 : (long)n;
	}
	ZSTD_CCtx_setParameter(c->zstd_out, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(c->zstd_out, ZSTD_c_checksumFlag, 1);
	n = ZSTD_compress2(c->zstd_out, c->packed, PACKED_MAX, c->plain, size);
	return ZSTD_isError(n) ? -1 : (long)n;
}

static long unpack_lz4(struct frame_codec *c, size_t size)
{
	size_t in = size, out = PACKED_FRAME;

	LZ4F_resetDecompressionContext(c->lz4);
	size_t more = LZ4F_decompress(c->lz4, c->plain, &out, c->packed, &in, NULL);
	/* 0: the frame is complete, and its checksum right */
	return more || in != size ? -1 : (long)out;
}

long frame_unpack(struct frame_codec *c, size_t size)
{
	uint32_t magic = 0;

	if (size < sizeof(magic))
		return -1;
	memcpy(&magic, c->packed, sizeof(magic));
	if (magic == LZ4_MAGIC)
		return unpack_lz4(c, size);
	if (magic != ZSTD_MAGIC || ZSTD_findFrameCompressedSize(c->packed, size) != size)
		return -1;
	size_t n = ZSTD_decompressDCtx(c->zstd_in, c->plain, PACKED_FRAME, c->packed, size);
	return ZSTD_isError(n) ? -1 : (long)n;
}
