/*
 * What goes over the connection between a page server and its clients: the protocol of CRIU 4.2. All numbers are
 * little-endian. A client sends messages; page data stands behind those that announce it. Each set of pages (of a task
 * or of shared memory) is opened before its pages are sent, in ascending order.
 *
 *   OPEN2   the server answers with a byte: are there pages of it in a parent of its images?
 *   OPEN    the same without an answer
 *   PARENT  the same question alone; the answer is an int32
 *   ADD_F   a range of pages with its flags of the page map (PE_*); their bytes follow if they have PE_PRESENT
 *   ADD     the same with PE_PRESENT; HOLE: with PE_PARENT
 *   GET     asks for pages; the answer is a message ADD_F (PE_PRESENT) for the same range, and their bytes
 *   CLOSE, FORCE_CLOSE   the end; the server answers with an int32, 0: all is well
 */
#ifndef CKPT_PAGE_PROTOCOL_H
#define CKPT_PAGE_PROTOCOL_H

#include <stdint.h>

enum page_command {
	PAGE_ADD = 1,
	PAGE_HOLE = 2,
	PAGE_OPEN = 3,
	PAGE_OPEN2 = 4,
	PAGE_PARENT = 5,
	PAGE_ADD_F = 6,
	PAGE_GET = 7,
	PAGE_CLOSE = 0x1023,
	PAGE_FORCE_CLOSE = 0x1024,
};

/* What a set of pages belongs to: the lowest byte of page_message.id (but that of GET is the bare pid). */
enum page_owner {
	PAGES_OF_TASK = 1, /* a pid */
	PAGES_OF_SHMEM = 2, /* a shmid */
};

struct page_message {
	uint32_t command; /* enum page_command, and 16 bits above: PE_* of ADD_F */
	uint32_t unused;
	uint64_t pages; /* how many */
	uint64_t vaddr; /* of the first; in shared memory its offset */
	uint64_t id; /* pid or shmid << 8 | enum page_owner */
};

#define PAGE_COMMAND(command, flags) ((uint32_t)(flags) << 16 | (command))
#define PAGE_ID(owner, id) ((uint64_t)(id) << 8 | (owner))

#endif
