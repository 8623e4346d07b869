/* Phases, see phases.h. */
#include "phases.h"

#include "time_us.h"

void phases_begin(struct phases *p)
{
	*p = (struct phases){};
	p->start = p->last = time_us();
}

void phase_done(struct phases *p, const char *name, int err)
{
	uint64_t now = time_us();

	if (p->n < PHASES && !p->failed)
		p->list[p->n++] = (struct phase){ name, now - p->last };
	p->last = now;
	p->failed |= err != 0;
}
