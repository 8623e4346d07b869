/* Rings of io_uring(7): what their threads and areas have to do with them (fd_io_uring.c). */
#ifndef CKPT_IO_URING_H
#define CKPT_IO_URING_H

#include <stdbool.h>

struct dump_file;
struct dump_task;
struct dump_thread;
struct vma;

bool io_uring_is_area(const struct vma *v);
/* Finds the ring behind an area. Says what cannot be dumped; then *file is NULL. Returns 0 or -errno (logged). */
int io_uring_judge_area(struct dump_task *t, const struct vma *v, struct dump_file **file);
/* Whether the task has any ring that ckpt could see. */
bool io_uring_has(struct dump_task *t);
/* Lets the main thread say what only it may, of rings that only one thread may use. Returns 0 or -errno (logged). */
int io_uring_ask_main(struct dump_thread *th);
/* Waits for requests of its rings that are on the way, and says which do not end. Returns 0 or -errno (logged). */
int io_uring_wait(struct dump_task *t);

#endif
