/* What cannot be dumped: what it is, why not, what helps. */
#ifndef CKPT_UNSUPPORTED_H
#define CKPT_UNSUPPORTED_H

#include <stdbool.h>
#include <sys/stat.h>

struct dump;
struct dump_file;
struct dump_task;

/* Adds the blocker for a file that no kind knows. Returns 0 or -errno (logged). */
int unsupported_judge(struct dump *d, const struct dump_file *f);
/* Whether a regular file is something else, by its file system (f_type of statfs(2)): a message queue, secret memory.
 */
bool unsupported_is_on(long fs, const struct stat *st);
/* Adds the blocker for one of these. */
int unsupported_judge_on(struct dump *d, const struct dump_file *f, long fs);
/* Warns of threads that wait in SysV message queues and semaphores, which are no part of the images. */
void unsupported_warn_sysv(const struct dump_task *t);

#endif
