/* Numbers of bytes for people. */
#ifndef CKPT_FORMAT_SIZE_H
#define CKPT_FORMAT_SIZE_H

#include <stddef.h>
#include <stdint.h>

/* Writes bytes for people: "1.2 MiB". Returns buf. */
const char *format_size(char *buf, size_t size, uint64_t bytes);

#endif
