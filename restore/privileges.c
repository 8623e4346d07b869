/* Our own credentials, from /proc/self/status and prctl(2). */
#include "privileges.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"

static void read_set(const char *line, const char *key, uint32_t set[2])
{
	unsigned long long bits;
	char format[32];

	snprintf(format, sizeof(format), "%s:", key);
	if (strncmp(line, format, strlen(format)))
		return;
	bits = strtoull(line + strlen(format), NULL, 16);
	set[0] = bits;
	set[1] = bits >> 32;
}

static int read_status(struct privileges *p)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	if (!f)
		return log_errno(errno, "can't read /proc/self/status: is /proc mounted?");
	while (getline(&line, &size, f) > 0) {
		int nnp;

		read_set(line, "CapInh", p->inheritable);
		read_set(line, "CapPrm", p->permitted);
		read_set(line, "CapEff", p->effective);
		read_set(line, "CapBnd", p->bounding);
		read_set(line, "CapAmb", p->ambient);
		sscanf(line, "Uid: %u %u %u %u", &p->uid[0], &p->uid[1], &p->uid[2], &p->uid[3]);
		sscanf(line, "Gid: %u %u %u %u", &p->gid[0], &p->gid[1], &p->gid[2], &p->gid[3]);
		if (sscanf(line, "NoNewPrivs: %d", &nnp) == 1)
			p->no_new_privs = nnp;
	}
	return 0;
}

const struct privileges *privileges_get(struct plan *plan)
{
	struct privileges *p = plan->privileges;

	if (p)
		return p;
	p = plan_alloc(plan, sizeof(*p));
	if (!p || read_status(p))
		return NULL;
	while (p->last_cap < 63 && prctl(PR_CAPBSET_READ, p->last_cap + 1, 0, 0, 0) >= 0)
		p->last_cap++;
	p->securebits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (getrlimit(i, &p->limits[i]))
			p->limits[i].rlim_max = RLIM_INFINITY;
	int n = getgroups(0, NULL);
	p->groups = plan_alloc(plan, (n + 1) * sizeof(*p->groups));
	if (n < 0 || !p->groups || getgroups(n, p->groups) != n) {
		log_errno(errno, "can't read our supplementary groups");
		return NULL;
	}
	p->n_groups = n;
	plan->privileges = p;
	return p;
}

bool privileges_has(const struct privileges *p, int cap)
{
	return p->effective[cap / 32] >> cap % 32 & 1;
}
