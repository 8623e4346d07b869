/*
 * The floor: how long that takes which no dump of a tree can leave out, done by a program that does nothing else. Each
 * thread is stopped, its registers are read, and it gets an image file; of each process, what it is and which areas it
 * has is read, and it gets some files; pages are found and copied; all is killed, and collected. Left out, though a
 * dump needs it: all that is judged, asked of the tree itself, or known of descriptors and of areas beyond their names,
 * and the start and the end of the program. Links in /proc/PID/fd are no part of it: BPF iterators tell more in a
 * fifth of the time.
 * It is one thread that does it: two can be faster.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "kernel_abi.h"

#define MAX_TASKS 20000
#define CHUNK (256ul << 10) /* bytes copied at once */
#define FILES 6 /* of a process: core, ids, mm, fs, fdinfo, pagemap; its pages come in one more */

struct task {
	pid_t pid, tid;
};

struct floor {
	struct task tasks[MAX_TASKS];
	size_t n;
	char *buf;
	int images;
};

/* Reads a file of /proc to its end. Returns the bytes of the first part, which buf has. */
static ssize_t read_proc(struct floor *f, pid_t pid, const char *name)
{
	char path[64];
	ssize_t first = 0;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	for (ssize_t n; fd >= 0 && (n = read(fd, f->buf, CHUNK - 1)) > 0; first = first ?: n)
		;
	close(fd);
	f->buf[first] = 0;
	return first;
}

static void make_file(struct floor *f, const char *name, int number, size_t len)
{
	char path[64];

	snprintf(path, sizeof(path), "%s-%d.img", name, number);
	int fd = openat(f->images, path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, f->buf, len) != (ssize_t)len)
		die("can't write", path);
	close(fd);
}

/* Stops all threads of a process, then those of its children. */
static void stop(struct floor *f, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && (e = readdir(dir));) {
		pid_t tid = atoi(e->d_name);

		if (!tid)
			continue;
		if (f->n == MAX_TASKS || ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_EXITKILL) ||
		    ptrace(PTRACE_INTERRUPT, tid, 0, 0))
			die("can't stop", path);
		f->tasks[f->n++] = (struct task){ pid, tid };
	}
	closedir(dir);
	snprintf(path, sizeof(path), "task/%d/children", pid);
	if (read_proc(f, pid, path) <= 0)
		return;
	char *children = strdup(f->buf);
	for (char *at = children, *end; (pid = strtol(at, &end, 10)) > 0; at = end)
		stop(f, pid);
	free(children);
}

static void look_at_thread(struct floor *f, const struct task *t)
{
	struct user_regs_struct regs;
	struct iovec xstate = { f->buf, CHUNK };
	uint64_t mask;
	int status;

	if (waitpid(t->tid, &status, __WALL) < 0 || ptrace(PTRACE_GETREGS, t->tid, 0, &regs) ||
	    ptrace(PTRACE_GETREGSET, t->tid, NT_X86_XSTATE, &xstate) ||
	    ptrace(PTRACE_GETSIGMASK, t->tid, sizeof(mask), &mask))
		die("can't read", "registers");
	make_file(f, "core", t->tid, 1024);
}

static void copy(int mem, int out, char *buf, uint64_t start, uint64_t end)
{
	for (ssize_t n; start < end; start += n) {
		n = pread(mem, buf, end - start < CHUNK ? end - start : CHUNK, start);
		if (n <= 0 || write(out, buf, n) != n)
			die("can't copy", "pages");
	}
}

/* Pages that only this process has, found by PAGEMAP_SCAN (Linux 6.7). */
static void copy_pages(struct floor *f, pid_t pid)
{
	static struct page_region regions[4096];
	struct pm_scan_arg scan = { .size = sizeof(scan),
				    .end = (1ul << 47) - 4096,
				    .vec = (uint64_t)regions,
				    .vec_len = sizeof(regions) / sizeof(regions[0]),
				    .category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
				    .category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_PRESENT,
				    .return_mask = PAGE_IS_PRESENT };
	char path[64];

	snprintf(path, sizeof(path), "pages-%d.img", pid);
	int out = openat(f->images, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int mem = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	int pagemap = open(path, O_RDONLY | O_CLOEXEC);

	for (int n = 1; n; scan.start = scan.walk_end) {
		n = ioctl(pagemap, PAGEMAP_SCAN, &scan);
		if (n < 0)
			die("can't find pages by", path);
		for (int i = 0; i < n; i++)
			copy(mem, out, f->buf, regions[i].start, regions[i].end);
	}
	close(pagemap);
	close(mem);
	close(out);
}

static void look_at_process(struct floor *f, pid_t pid)
{
	read_proc(f, pid, "stat");
	read_proc(f, pid, "status");
	read_proc(f, pid, "maps");
	for (int i = 1; i < FILES; i++)
		make_file(f, (const char *[]){ "core", "ids", "mm", "fs", "fdinfo", "pagemap" }[i], pid, 256);
	copy_pages(f, pid);
}

static void dump(struct floor *f, pid_t root, double *frozen)
{
	double start = now_ms();

	stop(f, root);
	for (size_t i = 0; i < f->n; i++)
		look_at_thread(f, &f->tasks[i]);
	for (size_t i = 0; i < f->n; i++)
		if (f->tasks[i].pid == f->tasks[i].tid)
			look_at_process(f, f->tasks[i].pid);
	*frozen = now_ms() - start;
	for (size_t i = 0; i < f->n; i++)
		if (f->tasks[i].pid == f->tasks[i].tid)
			kill(f->tasks[i].pid, SIGKILL);
	for (size_t i = f->n; i-- > 0;)
		waitpid(f->tasks[i].tid, NULL, __WALL);
}

double floor_dump(pid_t root, double *frozen)
{
	double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct floor *f = calloc(1, sizeof(*f));

		f->buf = malloc(CHUNK);
		memset(f->buf, 0, CHUNK);
		f->images = open(bench.images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		double start = now_ms();
		dump(f, root, &shared[1]);
		shared[0] = now_ms() - start;
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		die("no floor", "");
	double ms = shared[0];
	*frozen = shared[1];
	munmap(shared, 4096);
	return ms;
}
