/*
 * Makes images look as if another kernel had made them: its vDSO has other bytes, its symbols stand in another
 * order, its data has one page less, and, where there is room behind it, its code one page more. Changes the bytes of
 * mm-, pagemap- and pages- images in place, by what they must contain: the tool under test is not asked.
 */
#include "runner.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 4096ul
#define VARINT_MAX 10

struct file {
	char path[PATH_MAX];
	uint8_t *bytes;
	size_t len;
};

static void load(struct run *r, struct file *f)
{
	int fd = open(f->path, O_RDONLY | O_CLOEXEC);
	off_t len = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	f->bytes = len > 0 ? malloc(len + PAGE) : NULL;
	f->len = len;
	if (!f->bytes || pread(fd, f->bytes, len, 0) != len)
		fail_case(r, "can't read %s: %s", f->path, strerror(errno));
	close(fd);
}

static void store(struct run *r, struct file *f)
{
	int fd = open(f->path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || write(fd, f->bytes, f->len) != (ssize_t)f->len)
		fail_case(r, "can't write %s: %s", f->path, strerror(errno));
	close(fd);
	free(f->bytes);
}

/* A field of a message as bytes. */
static size_t encode(uint8_t to[VARINT_MAX + 1], uint8_t tag, uint64_t value)
{
	size_t n = 0;

	to[n++] = tag;
	for (; value >= 0x80; value >>= 7)
		to[n++] = value | 0x80;
	to[n++] = value;
	return n;
}

/* Replaces the value of a field, which must be there behind "from" bytes. Returns where it stands. */
static size_t replace(struct run *r, struct file *f, size_t from, uint8_t tag, uint64_t old, uint64_t value)
{
	uint8_t before[VARINT_MAX + 1], after[VARINT_MAX + 1];
	size_t len = encode(before, tag, old);
	uint8_t *at = memmem(f->bytes + from, f->len - from, before, len);

	if (!at || encode(after, tag, value) != len)
		fail_case(r, "%s holds no field %d of %#lx", f->path, tag >> 3, (unsigned long)old);
	memcpy(at, after, len);
	return at - f->bytes;
}

struct layout {
	unsigned long data, code, end, next; /* next: where the area behind it begins */
};

static void find_vdso(struct run *r, pid_t pid, struct layout *l)
{
	char *maps = read_text("/proc/%d/maps", pid), *rest = NULL;

	*l = (struct layout){ 0 };
	for (char *line = maps ? strtok_r(maps, "\n", &rest) : NULL; line && !l->next;
	     line = strtok_r(NULL, "\n", &rest)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		if (l->code)
			l->next = start;
		else if (strstr(line, "[vdso]"))
			l->code = start, l->end = end;
		else if (strstr(line, "[vvar") && !l->data)
			l->data = start;
	}
	free(maps);
	if (!l->code || !l->data)
		fail_case(r, "process %d has no vDSO", pid);
}

/* Bytes that no function needs, and in a 64-bit one two symbols that change places. */
static void change_code(uint8_t *code, size_t size)
{
	const Elf64_Ehdr *e = (const Elf64_Ehdr *)code;
	const Elf64_Phdr *p = (const Elf64_Phdr *)(code + e->e_phoff);

	code[size - 1] ^= 0x55;
	for (int i = 0; e->e_ident[EI_CLASS] == ELFCLASS64 && i < e->e_phnum; i++) {
		if (p[i].p_type != PT_DYNAMIC)
			continue;
		for (const Elf64_Dyn *d = (const Elf64_Dyn *)(code + p[i].p_offset); d->d_tag; d++) {
			Elf64_Sym *sym = (Elf64_Sym *)(code + d->d_un.d_ptr), first;

			if (d->d_tag != DT_SYMTAB)
				continue;
			first = sym[1];
			sym[1] = sym[2];
			sym[2] = first;
		}
	}
}

static void change_pages(struct run *r, const uint8_t *own, bool larger)
{
	char pattern[PATH_MAX];
	glob_t found;
	size_t changed = 0;

	snprintf(pattern, sizeof(pattern), "%s/pages-*.img", image_dir(r));
	if (glob(pattern, 0, NULL, &found))
		fail_case(r, "no page images");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct file f;

		snprintf(f.path, sizeof(f.path), "%s", found.gl_pathv[i]);
		load(r, &f);
		for (size_t at = 0; at + 2 * PAGE <= f.len; at += PAGE) {
			if (memcmp(f.bytes + at, own, 2 * PAGE))
				continue;
			change_code(f.bytes + at, 2 * PAGE);
			if (larger) {
				memmove(f.bytes + at + 3 * PAGE, f.bytes + at + 2 * PAGE, f.len - at - 2 * PAGE);
				memset(f.bytes + at + 2 * PAGE, 0, PAGE);
				f.len += PAGE;
			}
			changed++;
			break;
		}
		store(r, &f);
	}
	globfree(&found);
	if (!changed)
		fail_case(r, "no page image holds the vDSO");
}

static void change_images(struct run *r, pid_t pid, const struct layout *l, bool larger)
{
	struct file mm, map;

	snprintf(mm.path, sizeof(mm.path), "%s/mm-%d.img", image_dir(r), pid);
	load(r, &mm);
	replace(r, &mm, replace(r, &mm, 0, 0x08, l->data, l->data), 0x10, l->code, l->code - PAGE);
	if (larger)
		replace(r, &mm, replace(r, &mm, 0, 0x08, l->code, l->code), 0x10, l->end, l->end + PAGE);
	store(r, &mm);
	if (!larger)
		return;
	snprintf(map.path, sizeof(map.path), "%s/pagemap-%d.img", image_dir(r), pid);
	load(r, &map);
	replace(r, &map, replace(r, &map, 0, 0x08, l->code, l->code), 0x28, 2, 3);
	store(r, &map);
}

/* The vDSO of a task, which is the same in all programs of its kind. */
static void read_code(struct run *r, pid_t pid, unsigned long address, uint8_t code[2 * PAGE])
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, code, 2 * PAGE, address) != 2 * PAGE)
		fail_case(r, "can't read the vDSO of process %d: %s", pid, strerror(errno));
	close(fd);
}

static void dump_elsewhere(struct run *r)
{
	struct layout before[16], after;
	uint8_t code[2 * PAGE];
	bool larger = true;

	remember_pids(r);
	if (r->n_pids > 16)
		fail_case(r, "the program has %zu processes", r->n_pids);
	for (size_t i = 0; i < r->n_pids; i++) {
		find_vdso(r, r->pids[i], &before[i]);
		larger = larger && before[i].next > before[i].end && before[i].end - before[i].code == 2 * PAGE;
	}
	read_code(r, r->pids[0], before[0].code, code);
	dump_ok(r, NULL, false);
	for (size_t i = 0; i < r->n_pids; i++)
		change_images(r, r->pids[i], &before[i], larger);
	change_pages(r, code, larger);
	restore_ok(r, NULL);
	for (size_t i = 0; i < r->n_pids; i++) {
		find_vdso(r, r->pids[i], &after);
		if (after.code == before[i].code)
			fail_case(r, "the vDSO of another kernel was taken for this one's");
	}
}

/* Twice: the functions of the first lead to the second, and those to this kernel's. */
void way_other_kernel(struct run *r)
{
	struct lines before = { 0 };

	start_program(r);
	dump_elsewhere(r);
	snapshot(r, &before);
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	expect_same(r, &before, "after a restore on the same kernel");
	dump_elsewhere(r);
	finish_program(r);
}
