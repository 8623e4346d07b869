/* What waits to be read at the two ends of a pseudo terminal. */
#ifndef CKPT_TTY_DATA_H
#define CKPT_TTY_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TTY_LINES 4096 /* as many characters as the kernel keeps for a slave */

struct tty_bytes {
	const uint8_t *data;
	size_t n;
};

struct tty_data {
	struct tty_bytes master, slave;
	const uint32_t *ends; /* of lines of the slave that end by no newline: offsets; ascending */
	size_t n_ends;
	void *memory;
};

/*
 * Copies it; index is the pty's in /dev/pts, slave whether its slave is open in the tree, packet the master's mode.
 * Nothing may use the terminal meanwhile. Returns 0, free it by tty_data_free(), or -errno (not logged).
 */
int tty_data_copy(int master, uint32_t index, bool slave, bool packet, struct tty_data *data);
void tty_data_free(struct tty_data *data);

#define _cleanup_tty_data_ __attribute__((cleanup(tty_data_free)))

#endif
