/* When it pays to ask the kernel by BPF iterators: its types are loaded once a dump, for the first who has so much. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "bpf_iter.h"
#include "cleanup.h"
#include "dump.h"
#include "fd_seen.h"
#include "known_dirs.h"
#include "log.h"
#include "opts.h"
#include "sk_seen.h"

#define MANY_FDS 800 /* worth the types and the programs: 3 ms, before Linux 6.16 6 */

static bool is_worth(const struct dump *d, size_t things, size_t worth)
{
	return d->opts->bpf != BPF_NEVER && (d->opts->bpf != BPF_AUTO || things >= worth);
}

static void load_types(struct dump *d)
{
	if (d->bpf_tried)
		return;
	d->bpf_tried = true;
	d->bpf_types = bpf_types_load();
	if (!d->bpf_types)
		log_info("no types of the kernel (BTF), or no permission to see them: /proc is read instead");
}

static void load_fd_programs(struct dump *d)
{
	if (d->fd_programs_tried)
		return;
	d->fd_programs_tried = true;
	struct fd_programs *programs = d->bpf_types ? malloc(sizeof(*programs)) : NULL;
	int err = programs ? fd_programs_load(programs, d->bpf_types) : -ENOMEM;

	if (!err) {
		d->fd_programs = programs;
		return;
	}
	if (programs)
		log_info("BPF iterators do not tell of descriptors here (error %d): /proc is read instead", -err);
	free(programs);
}

static void *load(void *dump)
{
	load_types(dump);
	load_fd_programs(dump);
	return NULL;
}

void dump_bpf_begin(struct dump *d, size_t fds)
{
	sigset_t all, before;

	if (d->opts->bpf != BPF_AUTO || fds < MANY_FDS)
		return;
	sigfillset(&all); /* they are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	d->bpf_loading = !pthread_create(&d->bpf_loader, NULL, load, d);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void wait_for_loader(struct dump *d)
{
	if (d->bpf_loading)
		pthread_join(d->bpf_loader, NULL);
	d->bpf_loading = false;
}

const struct bpf_types *dump_bpf_types(struct dump *d, size_t things, size_t worth)
{
	if (!is_worth(d, things, worth))
		return NULL;
	wait_for_loader(d);
	load_types(d);
	return d->bpf_types;
}

struct fd_programs *dump_bpf_fds(struct dump *d, size_t fds)
{
	if (!dump_bpf_types(d, fds, MANY_FDS))
		return NULL;
	load_fd_programs(d);
	return d->fd_programs;
}

void dump_bpf_end(struct dump *d)
{
	wait_for_loader(d);
	if (d->fd_programs)
		fd_programs_close(d->fd_programs);
	free(take_ptr(d->fd_programs));
	bpf_types_free(take_ptr(d->bpf_types));
	sk_alike_free(&d->sk_alike);
	known_dirs_free(take_ptr(d->known_dirs));
}
