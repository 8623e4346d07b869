/* Progress, see progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format_size.h"
#include "json.h"
#include "log.h"
#include "opts.h"
#include "time_us.h"

#define FIRST_US 500000 /* what is done sooner needs no words */
#define EVERY_US 200000
#define CLEAR_LINE "\r\033[K"

void progress_begin(struct progress *p, const struct opts *opts)
{
	*p = (struct progress){ .action = opts->action_name ?: "", .json = opts->progress == PROGRESS_JSON };
	p->terminal = !p->json && isatty(STDERR_FILENO);
	/* A log that tells of each step on the same terminal is progress enough. */
	p->on = opts->progress == PROGRESS_AUTO
			? p->terminal && opts->verbosity > LOG_MSG && (opts->log_file || opts->verbosity < LOG_INFO)
			: opts->progress != PROGRESS_OFF;
	p->start = p->on ? time_us() : 0;
	p->next = p->start + FIRST_US;
}

void progress_phase(struct progress *p, const char *phase, unsigned int round)
{
	if (!p->on)
		return;
	p->phase = phase;
	p->round = round;
	p->phase_start = time_us();
	p->total = 0;
	progress_set(p, 0);
}

void progress_more(struct progress *p, uint64_t bytes)
{
	p->total += bytes;
}

void progress_add(struct progress *p, uint64_t bytes)
{
	__atomic_fetch_add(&p->done, bytes, __ATOMIC_RELAXED);
}

void progress_set(struct progress *p, uint64_t bytes)
{
	__atomic_store_n(&p->done, bytes, __ATOMIC_RELAXED);
}

/*
 * Writes without waiting. A terminal of which we are not in the foreground is left alone: it could stop us.
 */
static bool put(const struct progress *p, const char *text, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	if (p->terminal && tcgetpgrp(STDERR_FILENO) != getpgrp())
		return false;
	return poll(&out, 1, 0) == 1 && out.revents == POLLOUT && write(STDERR_FILENO, text, len) > 0;
}

static uint64_t rate_of(const struct progress *p, uint64_t done, uint64_t now)
{
	return now > p->phase_start ? done * 1000000.0 / (now - p->phase_start) : 0;
}

static void show_text(struct progress *p, uint64_t now)
{
	uint64_t done = __atomic_load_n(&p->done, __ATOMIC_RELAXED), left = p->total > done ? p->total - done : 0;
	uint64_t rate = rate_of(p, done, now);
	char text[256], a[32], b[32], c[32], round[24] = "", end[32] = "";

	if (p->round)
		snprintf(round, sizeof(round), ", round %u", p->round);
	if (rate)
		snprintf(end, sizeof(end), ", %.1f s left", (double)left / rate);
	int n = snprintf(text, sizeof(text), "%s%s: %s%s: %s of %s, %s/s%s%s", p->terminal ? CLEAR_LINE : "", p->action,
			 p->phase, round, format_size(a, sizeof(a), done), format_size(b, sizeof(b), p->total),
			 format_size(c, sizeof(c), rate), end, p->terminal ? "" : "\n");
	if (put(p, text, n) && p->terminal)
		log_clears_line(p->line = true);
}

/* ok: the last one; NULL: it goes on. */
static void show_json(struct progress *p, uint64_t now, const bool *ok)
{
	uint64_t done = __atomic_load_n(&p->done, __ATOMIC_RELAXED);
	char text[512];
	struct json j = { .file = fmemopen(text, sizeof(text), "w"), .one_line = true };

	if (!j.file)
		return;
	json_open(&j, NULL, '{');
	json_string(&j, "action", p->action);
	json_string(&j, "phase", ok ? "end" : p->phase);
	json_number(&j, "us", now - p->start);
	if (ok) {
		json_bool(&j, "ok", *ok);
	} else {
		json_number(&j, "round", p->round);
		json_number(&j, "bytes", done);
		json_number(&j, "total", p->total);
		json_number(&j, "left", p->total > done ? p->total - done : 0);
		json_number(&j, "rate", rate_of(p, done, now));
	}
	json_close(&j, '}');
	long len = ftell(j.file);
	fclose(j.file);
	if (len > 0)
		put(p, text, len);
}

void progress_look(struct progress *p)
{
	uint64_t now;

	if (!p->on || !p->phase || (now = time_us()) < p->next)
		return;
	p->next = now + EVERY_US;
	if (p->json)
		show_json(p, now, NULL);
	else
		show_text(p, now);
}

void progress_end(struct progress *p, int err)
{
	bool ok = !err;

	if (p->on && p->json)
		show_json(p, time_us(), &ok);
	if (p->line)
		put(p, CLEAR_LINE, strlen(CLEAR_LINE));
	log_clears_line(false);
	*p = (struct progress){};
}
