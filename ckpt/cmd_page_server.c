/*
 * ckpt page-server: takes the pages of one dump over a connection and writes them into --images-dir, or, with
 * --lazy-pages, gives those that are there to who restores them.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "log.h"
#include "net.h"
#include "opts.h"
#include "page_chain.h"
#include "page_server.h"
#include "page_source.h"

/* What comes builds on the images of a dump before. */
static int link_parent(const struct opts *opts, const struct image_dir *images)
{
	if (!opts->prev_images_dir)
		return 0;
	if (!symlinkat(opts->prev_images_dir, images->fd, PARENT_LINK) || errno == EEXIST)
		return 0;
	return log_errno(errno, "can't make %s/" PARENT_LINK, images->path);
}

static int serve(const struct opts *opts, struct image_dir *images, struct page_source *source)
{
	struct page_server server = { .images = images, .source = source, .auto_dedup = opts->auto_dedup };
	bool connected;
	_cleanup_close_ int listener = net_listen(opts, &connected);
	int err = listener < 0 ? listener : link_parent(opts, images);

	if (!err)
		err = net_daemonize(opts);
	if (!err)
		err = net_tell_ready(opts);
	if (err)
		return err;
	server.sock = connected ? take_fd(&listener) : net_accept(listener);
	/* One client, and nobody else. */
	cleanup_close(&listener);
	listener = -1;
	if (server.sock < 0)
		return server.sock;
	err = page_server_run(&server);
	close(server.sock);
	return err;
}

int cmd_page_server(const struct opts *opts)
{
	_cleanup_chain_ struct image_chain chain = {};
	struct image_source source;
	struct image_dir images;
	int err = image_dir_open(&images, opts->images_dir);

	if (err)
		return 1;
	image_source_init(&source, &chain);
	if (opts->lazy_pages)
		err = image_chain_open(&chain, &images);
	if (!err)
		err = serve(opts, &images, opts->lazy_pages ? &source.source : NULL);
	image_source_free(&source);
	image_dir_close(&images);
	return err ? 1 : 0;
}
