/*
 * ckpt lazy-pages: the daemon that a restore with --lazy-pages leaves the memory to. It takes one restore, and ends
 * when all pages have come.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "lazy_daemon.h"
#include "lazy_protocol.h"
#include "log.h"
#include "net.h"
#include "opts.h"
#include "page_chain.h"
#include "page_source.h"

/* Fills in where the restore finds us. Returns 0 or -errno (logged). */
static int make_address(const struct opts *opts, struct sockaddr_un *address)
{
	const char *dir = opts->work_dir ?: opts->images_dir;

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	int len = snprintf(address->sun_path, sizeof(address->sun_path), "%s/" LAZY_SOCKET, dir);
	if (len < (int)sizeof(address->sun_path))
		return 0;
	log_err("the path of %s/" LAZY_SOCKET " is longer than a socket can have (107 bytes): use a relative one", dir);
	return -ENAMETOOLONG;
}

/* A socket that nobody but this user can connect to. */
static int listen_at(const struct sockaddr_un *address)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	mode_t mask = umask(0177);

	if (fd < 0)
		return log_errno(errno, "can't make a socket");
	unlink(address->sun_path); /* of one that was killed */
	int err = bind(fd, (const struct sockaddr *)address, sizeof(*address)) || listen(fd, 1) ? errno : 0;
	umask(mask);
	return err ? log_errno(err, "can't listen at %s", address->sun_path) : take_fd(&fd);
}

static int accept_restore(const struct sockaddr_un *address, int listener)
{
	int fd;

	do
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	int err = fd < 0 ? log_errno(errno, "can't accept the restore") : 0;
	unlink(address->sun_path);
	return err ? err : fd;
}

static int serve(const struct opts *opts, struct lazy_options *lazy)
{
	struct sockaddr_un address;
	int err = make_address(opts, &address);
	_cleanup_close_ int listener = err ? -1 : listen_at(&address);

	if (listener < 0)
		return err ? err : listener;
	err = net_daemonize(opts);
	if (!err)
		err = net_tell_ready(opts);
	if (err)
		return err;
	lazy->restore = accept_restore(&address, listener);
	if (lazy->restore < 0)
		return lazy->restore;
	return lazy_daemon_run(lazy);
}

int cmd_lazy_pages(const struct opts *opts)
{
	struct lazy_options lazy = { .restore = -1, .page_server = -1 };
	_cleanup_chain_ struct image_chain chain = {};
	struct image_dir images;
	int err = image_dir_open(&images, opts->images_dir);

	if (err)
		return 1;
	err = image_chain_open(&chain, &images);
	lazy.chain = &chain;
	if (!err && opts->page_server) {
		lazy.page_server = net_connect(opts);
		err = lazy.page_server < 0 ? lazy.page_server : 0;
	}
	if (!err)
		err = serve(opts, &lazy);
	if (!err && lazy.page_server >= 0)
		err = page_source_end(lazy.page_server);
	/* The threads, and whatever is open, end with this process. */
	image_dir_close(&images);
	return err ? 1 : 0;
}
