/* When it pays to ask the kernel by BPF iterators: its types are loaded once a dump, for the first who has so much. */
#include <errno.h>

#include "bpf_iter.h"
#include "dump.h"
#include "log.h"
#include "opts.h"

const struct bpf_types *dump_bpf_types(struct dump *d, size_t things, size_t worth)
{
	if (d->opts->bpf == BPF_NEVER || (d->opts->bpf == BPF_AUTO && things < worth))
		return NULL;
	if (!d->bpf_tried) {
		d->bpf_tried = true;
		d->bpf_types = bpf_types_load();
		if (!d->bpf_types)
			log_info("no types of the kernel (BTF), or no permission to see them: /proc is read instead");
	}
	return d->bpf_types;
}
