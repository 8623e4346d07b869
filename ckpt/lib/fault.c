/* Fault points. Costs one comparison when no fault is asked for. */
#include "fault.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

const struct fault_info fault_info[FAULT_POINTS] = {
#define FAULT(action, name, what) [FAULT_##action##_##name] = { #action, #action "." #name, what },
#include "fault_points.def"
#undef FAULT
};

int fault_asked(enum fault_id id)
{
	const char *asked = getenv("CKPT_FAULT");
	const char *name = fault_info[id].name;
	size_t len = strlen(name);

	if (!asked || strncmp(asked, name, len) || (asked[len] && asked[len] != ':'))
		return 0;
	if (!asked[len])
		return -1;
	return !strcmp(asked + len, ":kill") ? SIGKILL : !strcmp(asked + len, ":int") ? SIGINT : SIGTERM;
}

int fault_point(enum fault_id id)
{
	int asked = fault_asked(id);

	if (asked > 0)
		kill(getpid(), asked);
	if (asked >= 0)
		return 0;
	log_err("fault injected at %s: %s", fault_info[id].name, fault_info[id].what);
	return -EIO;
}

void fault_operation(void)
{
	static long left = -1; /* -1: not asked yet, 0: nothing asked for */

	if (left < 0) {
		const char *asked = getenv("CKPT_FAULT");

		left = asked && !strncmp(asked, "operation:", 10) ? atol(asked + 10) : 0;
	}
	if (left > 0 && --left == 0)
		kill(getpid(), SIGKILL);
}
