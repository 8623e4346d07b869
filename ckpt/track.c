/* userfaultfd(2) with UFFD_FEATURE_WP_ASYNC, on anonymous memory. */
#include "track.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "kernel_features.h"
#include "log.h"
#include "pagemap.h"

#define WORTH_IT (128ul << 10) /* bytes of an area; smaller ones are copied when the tree stands still */
#define STEP (64ul << 20) /* bytes whose tracking ends at once: the task cannot change its areas meanwhile */

bool tracking_possible(void)
{
	return kernel_feature_find("mem_dirty_track")->probe();
}

bool tracking_by_soft_dirty(void)
{
	static enum { UNKNOWN, NO, YES } known;

	if (known == UNKNOWN)
		known = kernel_feature_find("uffd_wp_async")->probe() ? NO : YES;
	return known == YES;
}

bool task_may_be_tracked(const struct dump_task *t)
{
	struct proc_status st = {};

	if (t->state == TASK_DEAD || t->main_exited)
		return false;
	bool free = !proc_status(t->proc, "status", &st) && !st.seccomp;
	proc_status_free(&st);
	return free;
}

/* proc becomes the tracker's. */
static int open_files(struct tracker *tr, int proc)
{
	tr->proc = proc;
	tr->mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	tr->pagemap = openat(proc, "pagemap", O_RDONLY | O_CLOEXEC);
	return tr->proc < 0 || tr->mem < 0 || tr->pagemap < 0 ? -errno : 0;
}

static int begin_tracking(int uffd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED };

	return ioctl(uffd, UFFDIO_API, &api) ? -errno : 0;
}

/* Returns the userfaultfd, or what there is instead, or -errno. */
static int get_uffd(struct dump_task *t)
{
	if (tracking_by_soft_dirty()) {
		int fd = fcntl(t->pidfd, F_DUPFD_CLOEXEC, 0);

		return fd < 0 ? -errno : fd;
	}
	_cleanup_close_ int fd = parasite_get_uffd(&t->parasite);
	int err = fd < 0 ? fd : begin_tracking(fd);

	return err ? err : take_fd(&fd);
}

int tracker_open(struct tracker *tr, struct dump_task *t)
{
	*tr = (struct tracker){ .pid = t->pid, .start_time = t->stat.start_time, .proc = -1, .mem = -1, .pagemap = -1 };
	tr->uffd = get_uffd(t);
	int err = tr->uffd < 0 ? tr->uffd : open_files(tr, fcntl(t->proc, F_DUPFD_CLOEXEC, 0));
	if (!err)
		return 0;
	log_info("task %d cannot be tracked: %s", t->pid, strerror(-err));
	tracker_close(tr, true);
	return err;
}

int tracker_make(struct tracker *tr, pid_t pid, uint64_t start_time, int uffd)
{
	int err = begin_tracking(uffd);

	if (err)
		close(uffd);
	else
		err = tracker_take(tr, pid, start_time, uffd);
	return err;
}

int tracker_take(struct tracker *tr, pid_t pid, uint64_t start_time, int uffd)
{
	struct proc_stat st;

	*tr = (struct tracker){ pid, start_time, .proc = -1, .mem = -1, .pagemap = -1, .uffd = uffd };
	int proc = proc_open(pid), err = proc < 0 ? proc : open_files(tr, proc);
	if (!err)
		err = proc_stat(tr->proc, "stat", &st);
	if (!err && st.start_time != start_time)
		err = -ESRCH;
	if (err)
		tracker_close(tr, true);
	return err;
}

bool tracking_is_worth_it(const struct vma *v)
{
	return memory_is_private(v) && !v->ino && v->end - v->start >= WORTH_IT;
}

static int add(const struct tracker *tr, uint64_t start, uint64_t end)
{
	struct uffdio_register r = { .range = { start, end - start }, .mode = UFFDIO_REGISTER_MODE_WP };

	return ioctl(tr->uffd, UFFDIO_REGISTER, &r) ? -errno : 0;
}

int tracker_look(struct tracker *tr)
{
	vma_list_free(&tr->vmas);
	/* Without PAGEMAP_SCAN, what is empty should be known: looking for pages takes half a second a TiB. */
	int err = proc_vmas(tr->proc, tracking_by_soft_dirty(), &tr->vmas);

	for (size_t i = 0; i < tr->vmas.n && !err && !tracking_by_soft_dirty(); i++) {
		const struct vma *v = &tr->vmas.v[i];

		/* One that is tracked already stays so. EBUSY: it has a userfaultfd of its own; others cannot have one.
		 */
		if (tracking_is_worth_it(v) && !add(tr, v->start, v->end))
			err = run_add(&tr->areas, (struct run){ v->start, v->end });
	}
	return err;
}

static int clear_soft_dirty(const struct tracker *tr)
{
	_cleanup_close_ int fd = openat(tr->proc, "clear_refs", O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, CLEAR_SOFT_DIRTY, 1) == 1 ? 0 : -errno;
}

/* Whether the kernel may read a file into the task's memory without a fault. */
static bool is_direct(int proc, int fd)
{
	_cleanup_free_ char *text = NULL;
	char name[32], link[PATH_MAX];

	snprintf(name, sizeof(name), "fd/%d", fd);
	ssize_t n = readlinkat(proc, name, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = 0;
	snprintf(name, sizeof(name), "fdinfo/%d", fd);
	if (link[0] != '/' || proc_read(proc, name, &text, NULL))
		return strstr(link, "[io_uring]");
	const char *flags = strstr(text, "flags:");
	return flags && strtoul(flags + 6, NULL, 8) & O_DIRECT;
}

bool tracker_has_io(const struct tracker *tr)
{
	_cleanup_free_ int *fds = NULL;
	size_t n = 0;

	for (size_t i = 0; i < tr->vmas.n; i++)
		if (aio_is_ring(&tr->vmas.v[i]))
			return true;
	if (proc_list(tr->proc, "fd", &fds, &n))
		return false; /* it is dead */
	for (size_t i = 0; i < n; i++)
		if (is_direct(tr->proc, fds[i]))
			return true;
	return false;
}

int tracker_arm(struct tracker *tr, struct run_list *written)
{
	int err = tracking_by_soft_dirty() ? clear_soft_dirty(tr) : pages_arm(tr->pagemap, written);

	tr->unseen |= !err && tracker_has_io(tr);
	return err;
}

int tracker_arm_areas(struct tracker *tr, const struct vma_list *vmas)
{
	int err = tracking_by_soft_dirty() ? clear_soft_dirty(tr) : 0;

	for (size_t i = 0; i < vmas->n && !err && !tracking_by_soft_dirty(); i++)
		if (tracking_is_worth_it(&vmas->v[i]))
			err = pages_arm_run(tr->pagemap, (struct run){ vmas->v[i].start, vmas->v[i].end });
	tr->unseen |= !err && tracker_has_io(tr);
	return err;
}

bool tracker_has(const struct tracker *tr, const struct vma *v)
{
	return !tracking_by_soft_dirty() && !add(tr, v->start, v->end);
}

/* Areas were added in each round, and may have been cut, moved or unmapped since: what is gone is passed over. */
static void forget_area(const struct tracker *tr, const struct run *area)
{
	for (uint64_t at = area->start, end; at < area->end; at = end) {
		end = (at + STEP) & -STEP;
		if (end > area->end)
			end = area->end;
		ioctl(tr->uffd, UFFDIO_UNREGISTER, &(struct uffdio_range){ at, end - at });
	}
}

void tracker_close(struct tracker *tr, bool gone)
{
	if (!gone) {
		uint64_t done = 0;

		if (tr->areas.n)
			qsort(tr->areas.r, tr->areas.n, sizeof(*tr->areas.r), run_compare);
		for (size_t i = 0; i < tr->areas.n; i++) {
			struct run *r = &tr->areas.r[i];

			if (r->start < done)
				r->start = done;
			if (r->start < r->end)
				forget_area(tr, r);
			done = r->end > done ? r->end : done;
		}
	}
	for (int i = 0; i < 4; i++) {
		int fd = ((int[]){ tr->uffd, tr->proc, tr->mem, tr->pagemap })[i];

		if (fd >= 0)
			close(fd);
	}
	free(tr->areas.r);
	vma_list_free(&tr->vmas);
	early_areas_free(&tr->early);
	*tr = (struct tracker){ .proc = -1, .mem = -1, .pagemap = -1, .uffd = -1 };
}
