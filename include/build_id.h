/* Build-ids of ELF files. */
#ifndef CKPT_BUILD_ID_H
#define CKPT_BUILD_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUILD_ID_MAX 64 /* bytes; usual are 20 */

/* Reads the build-id of the file. Returns its length in bytes, or 0: it has none, is no ELF file or can't be read. */
size_t build_id_read(int fd, uint8_t id[BUILD_ID_MAX]);

#endif
