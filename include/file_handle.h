/* Files by their handles (man 2 open_by_handle_at), which need CAP_DAC_READ_SEARCH. */
#ifndef CKPT_FILE_HANDLE_H
#define CKPT_FILE_HANDLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As the kernel counts devices, and CRIU with it: major << 20 | minor. */
uint32_t kernel_dev(dev_t dev);
/* Undoes the \\ooo in paths of /proc/PID/mountinfo, in place. */
void mountinfo_unescape(char *path);
/* Opens it with O_PATH, on any mount of the device. Returns the descriptor or -errno (not logged). */
int file_handle_open(uint32_t dev, int type, const void *handle, size_t bytes);

#endif
