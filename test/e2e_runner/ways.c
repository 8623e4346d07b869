/* The ways in which a program is run. */
#include "runner.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Takes the picture to compare with, unless the program changes all the time. */
static void picture(struct run *r, struct lines *lines)
{
	if (!r->program->traits->busy)
		snapshot(r, lines);
}

static void same_picture(struct run *r, const struct lines *before, const char *when)
{
	if (!r->program->traits->busy)
		expect_same(r, before, when);
}

static void way_none(struct run *r)
{
	start_program(r);
	finish_program(r);
}

static void way_plain(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, false);
	verify_ok(r);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	finish_program(r);
}

static void way_running(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, true);
	same_picture(r, &before, "after the first dump that left it running");
	dump_ok(r, NULL, true);
	same_picture(r, &before, "after the second dump that left it running");
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	finish_program(r);
}

/*
 * The same with live copies and snapshots; other tools have none. What was taken of a tree that ran on is restored, if
 * that left its files alone since.
 */
static void way_live(struct run *r)
{
	bool goes_on = r->program->traits->busy || r->program->traits->option;
	struct lines before = { 0 };

	r->live = true;
	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, true);
	same_picture(r, &before, "after the first dump that left it running");
	dump_ok(r, NULL, true);
	same_picture(r, &before, "after the second dump that left it running");
	if (goes_on)
		dump_ok(r, NULL, false);
	else
		drop_program(r);
	wait_gone(r, 20);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	finish_program(r);
}

static unsigned long huge_kb(const struct run *r)
{
	char *text = read_text("/proc/%d/smaps_rollup", r->root), *line = text ? strstr(text, "AnonHugePages:") : NULL;
	unsigned long kb = line ? strtoul(line + strlen("AnonHugePages:"), NULL, 10) : 0;

	free(text);
	return kb;
}

/* A tree that runs on has the huge pages that it had. */
static void way_huge_pages(struct run *r)
{
	r->live = true;
	start_program(r);
	unsigned long before = huge_kb(r);
	if (!before)
		skip_case(r, "no huge pages");
	for (int i = 0; i < 3; i++) {
		dump_ok(r, NULL, true);
		unsigned long after = huge_kb(r);
		if (after < before)
			fail_case(r, "%lu KiB in huge pages before, %lu after dump %u", before, after, r->dumps);
	}
	finish_program(r);
}

/* Again and again; now and then the tree goes back to what was last taken of it. */
static void way_snapshots(struct run *r)
{
	int rounds = settings.full ? 1000 : 12;

	r->live = true;
	start_program(r);
	for (int i = 1; i <= rounds; i++) {
		dump_ok(r, NULL, true);
		if (i % 4 == 0) {
			drop_program(r);
			wait_gone(r, 20);
			sleep_ms(50); /* the numbers of threads are free a moment after those of their process */
			restore_ok(r, NULL);
		}
		if (!settings.keep)
			remove_tree(image_dir(r));
	}
	finish_program(r);
}

/* Incremental dumps: ahead of the dump, of a tree that stays, and the last one, all in one chain. */
static void way_incremental(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	r->chain_begin = 1;
	r->pre_dump = true;
	dump_ok(r, NULL, true);
	dump_ok(r, NULL, true);
	r->pre_dump = false;
	dump_ok(r, NULL, true);
	dump_ok(r, NULL, true);
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	r->chain_begin = r->dumps + 1;
	r->live = true;
	dump_ok(r, NULL, true); /* without one ahead */
	r->live = false;
	dump_ok(r, NULL, true);
	r->chain_begin = 0;
	dump_ok(r, NULL, true); /* one that has nothing to do with the chain */
	r->chain_begin = r->dumps;
	dump_ok(r, NULL, true); /* refers to a set that is not of the chain */
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the second restore");
	finish_program(r);
}

/* Restores with --track-mem. */
static void restore_tracked(struct run *r)
{
	struct tool_call call = { .extra = { "--track-mem" } };

	if (restore(r, &call))
		fail_case(r, "restore %u with --track-mem failed", r->restores);
	remember_pids(r);
}

/* The last dump knew what was written since the images that it refers to. */
static void expect_reference(struct run *r)
{
	char *log = read_text("%s/dump-%u.log", r->dir, r->dumps);

	if (!log || strstr(log, "what was written since"))
		fail_case(r, "dump %u refers to no page of the images that were restored", r->dumps);
	free(log);
}

/* A chain of incremental dumps goes on behind restores. */
static void way_incremental_on(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, false);
	r->chain_begin = r->dumps;
	restore_tracked(r);
	dump_ok(r, NULL, true);
	expect_reference(r);
	dump_ok(r, NULL, false);
	expect_reference(r);
	restore_tracked(r);
	r->pre_dump = true;
	dump_ok(r, NULL, true);
	r->pre_dump = false;
	expect_reference(r);
	dump_ok(r, NULL, false);
	expect_reference(r);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	finish_program(r);
}

/* The images are good for any number of restores. */
static void way_again(struct run *r)
{
	struct lines before = { 0 }, files = { 0 }, files_after = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, false);
	list_images(r, &files);
	for (int i = 0; i < 3; i++) {
		restore_ok(r, NULL);
		same_picture(r, &before, "after a restore");
		list_images(r, &files_after);
		if (compare(r, &files, &files_after, true))
			fail_case(r, "restore %u changed the images", r->restores);
		free_lines(&files_after);
		if (i == 2)
			break;
		drop_program(r);
		wait_gone(r, 20);
	}
	finish_program(r);
}

static void way_twice(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the first restore");
	r->bpf = true;
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the second restore");
	finish_program(r);
}

/* In the middle of work that goes on in between: once it has come to its end there is nothing to dump. */
static void way_five(struct run *r)
{
	start_program(r);
	for (int i = 0; i < 5; i++) {
		sleep_ms(random() % 300);
		reap(r);
		if (r->root_ended)
			break;
		dump_ok(r, NULL, false);
		restore_ok(r, NULL);
	}
	finish_program(r);
}

/* Has a number for some milliseconds, in a child of its own, which it reaps. Ends by itself. */
static void hold_number(pid_t number, long ms)
{
	struct clone_args how = { .exit_signal = SIGCHLD, .set_tid = (uint64_t)&number, .set_tid_size = 1 };
	int held[2];
	char byte;

	if (pipe2(held, O_CLOEXEC))
		return;
	if (fork() == 0) {
		pid_t pid = syscall(SYS_clone3, &how, sizeof(how));
		close(held[0]);
		close(held[1]); /* taken */
		if (pid == 0) {
			sleep_ms(ms);
			_exit(0);
		}
		_exit(pid > 0 && waitpid(pid, NULL, 0) == pid ? 0 : 1);
	}
	close(held[1]);
	while (read(held[0], &byte, 1) > 0)
		;
	close(held[0]);
}

/* As by a helper of a neighbour's restore: who has the number now is gone in a moment. */
static void way_busy_pid(struct run *r)
{
	start_program(r);
	dump_ok(r, NULL, false);
	hold_number(r->root, 60);
	if (!process_exists(r->root))
		skip_case(r, "the number could not be taken");
	restore_ok(r, NULL);
	finish_program(r);
}

/* Images of incremental dumps. */
static void way_chain(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, NULL, false);
	make_chain(r);
	restore_ok(r, NULL);
	same_picture(r, &before, "after the restore");
	finish_program(r);
}

/* Between two tools the program's own verdict counts; what else differs in /proc is told. */
static void cross(struct run *r, const char *dumper, const char *restorer, bool chain)
{
	struct lines before = { 0 }, after = { 0 };

	start_program(r);
	picture(r, &before);
	dump_ok(r, dumper, false);
	verify_ok(r);
	if (chain)
		make_chain(r);
	restore_ok(r, restorer);
	picture(r, &after);
	size_t differ = compare(r, &before, &after, true);
	if (differ)
		say(r, "@differ %zu", differ);
	finish_program(r);
}

void way_peer_restores(struct run *r)
{
	cross(r, settings.tool, settings.peer, false);
}

void way_restores_peer(struct run *r)
{
	cross(r, settings.peer, settings.tool, false);
}

void way_peer_restores_chain(struct run *r)
{
	cross(r, settings.tool, settings.peer, true);
}

const struct way ways[] = {
	{ "none", way_none, "no dump at all: is the program right?" },
	{ "plain", way_plain, "dump, restore" },
	{ "running", way_running, "dump -R, dump -R, dump, restore" },
	{ "live", way_live, "dump -R, dump -R with a live copy and snapshots, restore" },
	{ "snapshots", way_snapshots, "dump -R with snapshots, many times; some of them are restored" },
	{ "huge-pages", way_huge_pages, "dump -R with snapshots: huge pages stay huge" },
	{ "incremental", way_incremental, "pre-dumps, dump -R, dump, in a chain, restore; the same without pre-dumps" },
	{ "incremental-on", way_incremental_on, "dump, restore --track-mem, dump -R, dump, in a chain, twice" },
	{ "twice", way_twice, "dump, restore, dump by BPF iterators, restore" },
	{ "again", way_again, "dump, restore, kill, restore the same images, kill, restore" },
	{ "busy-pid", way_busy_pid, "dump, restore while the number is taken for a moment" },
	{ "faults-dump", way_faults_dump, "a fault at every fault point of a dump" },
	{ "faults-restore", way_faults_restore, "a fault at every fault point of a restore" },
	{ "five", way_five, "dump, restore, five times with the work going on in between" },
	{ "kills", way_kills, "dump -R is killed at random moments" },
	{ "operations", way_operations, "the dumper dies before its K-th operation, for every K" },
	{ "operations-live", way_operations_live, "the same with a live copy and snapshots" },
	{ "signals", way_signals, "signals to the dump at random moments" },
	{ "full-disk", way_full_disk, "the file system of the images is full" },
	{ "full-disk-copy", way_full_disk_copy, "it gets full in the middle of a live copy, and of a late one" },
	{ "refuse", way_refuse, "the tree must be refused" },
	{ "explain", way_explain, "explain has nothing against it" },
	{ "other-kernel", way_other_kernel, "dump, images as of another kernel, restore, twice" },
	{ "chain", way_chain, "dump, images split into a chain of three incremental sets, restore" },
	{ "dedup", way_dedup, "a chain without its duplicates, restored with --auto-dedup" },
	{ "verify", way_verify, "a chain with checksums: damage is found, and nothing restored" },
	{ "compress", way_compress, "a chain with compressed pages: it is restored, and damage is found" },
	{ "page-server", way_page_server, "the pages go to a page server" },
	{ "page-server-dies", way_page_server_dies, "the page server is killed at random moments of dumps" },
	{ "lazy", way_lazy, "memory comes late, from the images" },
	{ "lazy-chain", way_lazy_chain, "the same from a chain of incremental images" },
	{ "lazy-remote", way_lazy_remote, "the same from a page server" },
	{ "lazy-migrate", way_lazy_migrate, "the tree is restored elsewhere while the dump still has its memory" },
	{ "lazy-migrate-fails", way_lazy_migrate_fails, "nobody takes the memory that a dump gives out" },
	{ "lazy-faults", way_lazy_faults, "a fault at every fault point of a restore whose memory comes late" },
	{ "lazy-dies", way_lazy_dies, "the daemon of a lazy restore is killed" },
	{ "peer-restores", way_peer_restores, "the peer restores our images" },
	{ "restores-peer", way_restores_peer, "we restore the peer's images" },
	{ "peer-restores-chain", way_peer_restores_chain, "the peer restores our images, split into a chain" },
	{ "pages-to-peer", way_pages_to_peer, "our pages go to the peer's page server, and the peer restores" },
	{ "pages-from-peer", way_pages_from_peer, "the peer's pages go to our page server, and we restore" },
	{ "lazy-remote-peer", way_lazy_remote_peer, "the peer restores late from our page server" },
	{ "lazy-migrate-peer", way_lazy_migrate_peer, "the peer restores while our dump still has the memory" },
	{ 0 },
};
