/*
 * Fault points: places where a test makes the program fail, to show that nothing is lost there.
 *
 * CKPT_FAULT=NAME makes the point return -EIO, CKPT_FAULT=NAME:kill sends SIGKILL to the process that
 * reaches it, CKPT_FAULT=NAME:int and NAME:term the signals SIGINT and SIGTERM to the process that the user started.
 * `ckpt check --fault-points` lists the names, a line each: "dump NAME" or "restore NAME".
 */
#ifndef CKPT_FAULT_H
#define CKPT_FAULT_H

enum fault_id {
#define FAULT(action, name, what) FAULT_##action##_##name,
#include "fault_points.def"
#undef FAULT
	FAULT_POINTS,
};

struct fault_info {
	const char *action; /* "dump" or "restore" */
	const char *name; /* "dump.frozen" */
	const char *what; /* where it is */
};

extern const struct fault_info fault_info[FAULT_POINTS];

/* Returns 0, or -EIO (logged) when the test asks for a failure here. */
int fault_point(enum fault_id id);
/* For points in code that cannot log: 0 when nothing is asked for here, -1 for an error, else the signal to send. */
int fault_asked(enum fault_id id);

/*
 * To be called before each operation on a thread of another process (ptrace, wait, memory, socket).
 * CKPT_FAULT=operation:K kills this process by SIGKILL before the K-th of them.
 */
void fault_operation(void);

#endif
