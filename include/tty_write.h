/*
 * Puts bytes into a pseudo terminal as if they had come the usual way, without any being taken for a command, echoed
 * or changed. The settings are the caller's to set again afterwards.
 */
#ifndef CKPT_TTY_WRITE_H
#define CKPT_TTY_WRITE_H

#include <asm/termbits.h>
#include <stddef.h>
#include <stdint.h>

/* The settings t in which no byte has a meaning, but newlines and the byte end (0: none), which end lines. */
struct termios tty_plain(const struct termios *t, uint8_t end);
/*
 * For the slave to read. Where it reads lines, ends are the offsets behind those that end by no newline, ascending.
 * t: the settings that it shall have then. Return 0 or -errno (not logged): -EAGAIN when there is no room.
 */
int tty_put_input(int master, int slave, const struct termios *t, const uint8_t *data, size_t n, const uint32_t *ends,
		  size_t n_ends);
/* For the master to read. */
int tty_put_output(int slave, const struct termios *t, const uint8_t *data, size_t n);

#endif
