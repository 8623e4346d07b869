/*
 * BPF iterators (bpf(2): BPF_PROG_LOAD, BPF_LINK_CREATE, BPF_ITER_CREATE), with a program that is put together here:
 * for each thing that the kernel comes by, it loads the values one by one and hands them over with bpf_seq_write().
 * What the iterator shows itself is loaded directly, whose type the kernel knows; what lies behind further pointers by
 * bpf_probe_read_kernel(), for each pointer whose type it must keep costs half a millisecond when the program is
 * loaded. A load through a pointer that is not valid gives zero.
 */
#include "bpf_iter.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_types.h"

struct bpf_types {
	struct kernel_types kernel;
};

struct bpf_types *bpf_types_load(void)
{
	struct bpf_types *types = malloc(sizeof(*types));

	if (!types || !kernel_types_load(&types->kernel))
		return types;
	free(types);
	return NULL;
}

void bpf_types_free(struct bpf_types *types)
{
	if (types)
		kernel_types_free(&types->kernel);
	free(types);
}

/* A program as it grows. */
struct program {
	const struct kernel_types *kernel;
	struct bpf_insn code[BPF_ITER_FIELDS * 32];
	size_t n;
};

static void emit(struct program *p, uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm)
{
	p->code[p->n++] = (struct bpf_insn){ .code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm };
}

static void emit_load(struct program *p, int size, uint8_t dst, uint8_t src, uint32_t off)
{
	static const uint8_t sizes[] = { [1] = BPF_B, [2] = BPF_H, [4] = BPF_W, [8] = BPF_DW };

	emit(p, BPF_LDX | sizes[size] | BPF_MEM, dst, src, off, 0);
}

/* Where a value is: bytes behind a pointer, and of a bit field, which has to lie within a byte, its bits there. */
struct spot {
	uint32_t offset;
	uint8_t bits, shift; /* bits 0: it is none */
};

/* A member by its name, in unnamed members too. Returns its type or -ENOENT, and adds its offset. */
static int find_member(const struct kernel_types *k, int type, const char *name, size_t len, struct spot *spot)
{
	const struct btf_type *t = kernel_type(k, type);
	const struct btf_member *m = btf_members(t);

	for (int i = 0; btf_is_composite(t) && i < btf_vlen(t); i++, m++) {
		const char *its = kernel_type_name(k, m->name_off);
		uint32_t bit = btf_member_bit_offset(t, i);
		struct spot at = { spot->offset + bit / 8, btf_member_bitfield_size(t, i), bit % 8 };
		int inner = kernel_type_resolve(k, m->type);

		if (!*its) {
			int found = find_member(k, inner, name, len, &at);

			if (found < 0)
				continue;
			inner = found;
		} else if (strlen(its) != len || strncmp(its, name, len)) {
			continue;
		}
		*spot = at;
		return at.bits + at.shift > 8 ? -ENOENT : inner;
	}
	return -ENOENT;
}

/* Bytes of a value, or of the elements of an array: 1, 2, 4 or 8; else -ENOENT. */
static int value_size(const struct kernel_types *k, int type)
{
	for (;;) {
		long size = kernel_type_size(k, type);
		const struct btf_type *t = kernel_type(k, type);

		if (size == 1 || size == 2 || size == 4 || size == 8)
			return size;
		if (!btf_is_array(t))
			return -ENOENT;
		type = kernel_type_resolve(k, btf_array(t)->type);
	}
}

#define SCRATCH (-8 * BPF_ITER_FIELDS - 8) /* below all values */

/* Loads what lies that far from where register 1 points into that register, whatever it is there. */
static void emit_probe(struct program *p, int size, uint32_t off)
{
	emit(p, BPF_ST | BPF_DW | BPF_MEM, BPF_REG_10, 0, SCRATCH, 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_1, 0, 0);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, off);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, SCRATCH);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, size);
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel);
	emit_load(p, 8, BPF_REG_1, BPF_REG_10, SCRATCH);
}

/* What a path leads to, seen from the last pointer on its way. */
struct place {
	int type;
	struct spot spot;
	uint8_t base; /* register with that pointer */
	bool typed; /* the kernel knows what it points to */
};

/* Follows a path up to its last pointer. Register 6 has the iterator's context. */
static int emit_way(struct program *p, int context, const char *path, struct place *at)
{
	*at = (struct place){ .type = context, .base = BPF_REG_6, .typed = true };
	for (;;) {
		size_t len = strcspn(path, ".@#");

		at->type = find_member(p->kernel, at->type, path, len, &at->spot);
		if (at->type < 0 || at->spot.offset > INT16_MAX)
			return -ENOENT;
		path += len;
		if (*path++ != '.')
			return 0;
		const struct btf_type *t = kernel_type(p->kernel, at->type);
		if (!btf_is_ptr(t))
			continue;
		at->typed = at->base == BPF_REG_6;
		if (at->typed) {
			emit_load(p, 8, BPF_REG_1, BPF_REG_6, at->spot.offset);
			/* it is null when the kernel is through with all of them */
			emit(p, BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_1, 0, 0, 0);
		} else {
			emit_probe(p, 8, at->spot.offset);
		}
		at->base = BPF_REG_1;
		at->spot = (struct spot){};
		at->type = kernel_type_resolve(p->kernel, t->type);
	}
}

/* Code that leaves the value of the path in register 1. */
static int emit_path(struct program *p, int context, const char *path)
{
	const char *bytes = strchr(path, '@');
	size_t before = p->n;
	struct place at;

	int err = emit_way(p, context, path + (*path == '?'), &at);
	if (err && *path == '?') {
		p->n = before;
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 0);
		return 0;
	}
	int size = err ? err : at.spot.bits ? 1 : bytes ? 8 : value_size(p->kernel, at.type);
	if (size < 0)
		return size;
	bool pointer = at.base == BPF_REG_1 && btf_is_ptr(kernel_type(p->kernel, at.type));
	if (at.typed && !bytes && !pointer)
		emit_load(p, size, BPF_REG_1, at.base, at.spot.offset);
	else
		emit_probe(p, size, at.spot.offset + (bytes ? strtoul(bytes + 1, NULL, 10) : 0));
	if (at.spot.bits) {
		emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_1, 0, 0, at.spot.shift);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (1 << at.spot.bits) - 1);
	}
	return 0;
}

/* Code that leaves context->meta->seq in register 1, whose type the kernel must know. */
static int emit_seq(struct program *p, int context)
{
	struct place at;
	int err = emit_way(p, context, "meta.seq", &at);

	if (!err)
		emit_load(p, 8, BPF_REG_1, at.base, at.spot.offset);
	return err;
}

/* Jumps that lead nowhere yet lead to the end, which follows. */
static void emit_end(struct program *p)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->code[i].code == (BPF_JMP | BPF_JEQ | BPF_K) || p->code[i].code == (BPF_JMP | BPF_JNE | BPF_X))
			p->code[i].off = p->n - i - 1;
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* bpf_seq_write(context->meta->seq, bytes of the stack from the slot on) */
static int emit_write(struct program *p, int context, int slot, size_t bytes)
{
	int err = emit_seq(p, context);

	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_2, BPF_REG_10, 0, 0);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, slot);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, bytes);
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_seq_write);
	return err;
}

#define PIECE (8 * BPF_ITER_FIELDS) /* bytes: the room of the values, which are written already */
#define BLOCK_MAX (8 * PIECE)

/* Copies a large member. Register 7 keeps the pointer to the struct that it is in. */
static int emit_block(struct program *p, int context, const char *path)
{
	long size = atol(strchr(path, '#') + 1);
	struct place at;

	int err = emit_way(p, context, path, &at);
	if (err || at.base != BPF_REG_1 || size > BLOCK_MAX || kernel_type_size(p->kernel, at.type) != size)
		return -ENOENT;
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_7, BPF_REG_1, 0, 0);
	for (long done = 0; done < size && !err; done += PIECE) {
		long len = size - done < PIECE ? size - done : PIECE;

		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0);
		emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -PIECE);
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, len);
		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_7, 0, 0);
		emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, at.spot.offset + done);
		emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_probe_read_kernel);
		err = emit_write(p, context, -PIECE, len);
	}
	return err;
}

/* paths: so many values, and behind them maybe a block. */
static int make_program(struct program *p, int context, const char *const *paths, size_t n)
{
	int err = 0, last = -8 * (int)n;

	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0);
	for (size_t i = 0; i < n && !err; i++) {
		bool equal = *paths[i] == '=';

		err = emit_path(p, context, paths[i] + equal);
		if (equal && i) {
			emit_load(p, 8, BPF_REG_2, BPF_REG_10, last + 8 * (int)(i - 1));
			emit(p, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
		}
		emit(p, BPF_STX | BPF_DW | BPF_MEM, BPF_REG_10, BPF_REG_1, last + 8 * (int)i, 0);
	}
	if (!err)
		err = emit_write(p, context, last, 8 * n);
	if (!err && paths[n])
		err = emit_block(p, context, paths[n]);
	emit_end(p);
	return err;
}

int bpf_iter_load(struct bpf_iter *it, const struct bpf_types *types, const char *iterator, const char *const *paths)
{
	struct program p = { .kernel = &types->kernel };
	char name[64];

	*it = (struct bpf_iter){ .prog = -1 };
	while (paths[it->n] && !strchr(paths[it->n], '#'))
		it->n++;
	snprintf(name, sizeof(name), "bpf_iter__%s", iterator);
	int context = kernel_type_find(p.kernel, name, BTF_KIND_STRUCT);
	snprintf(name, sizeof(name), "bpf_iter_%s", iterator);
	int function = kernel_type_find(p.kernel, name, BTF_KIND_FUNC);
	if (context < 0 || function < 0 || it->n > BPF_ITER_FIELDS)
		return -ENOENT;
	int err = make_program(&p, context, paths, it->n);
	if (err)
		return err;
	if (paths[it->n])
		it->n += atol(strchr(paths[it->n], '#') + 1) / 8;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .attach_btf_id = function, .expected_attach_type = BPF_TRACE_ITER);
	/* Only programs that say so may use what is below; ours is under both licenses. */
	it->prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "ckpt", "Dual MIT/GPL", p.code, p.n, &opts);
	return it->prog < 0 ? it->prog : 0;
}

void bpf_iter_close(struct bpf_iter *it)
{
	if (it->prog >= 0)
		close(it->prog);
	it->prog = -1;
}

static int read_records(int fd, size_t n, int (*take)(void *arg, const uint64_t *values), void *arg)
{
	uint64_t buf[4096]; /* as much as the kernel has room for */
	size_t have = 0;

	for (;;) {
		ssize_t got = read(fd, (char *)buf + have, sizeof(buf) - have);
		size_t at = 0;

		if (got < 0 && (errno == EAGAIN || errno == EINTR)) /* it comes by very many without a record */
			continue;
		if (got <= 0)
			return got ? -errno : have ? -EBADMSG : 0;
		have += got;
		for (; have - at >= n * 8; at += n * 8) {
			int err = take(arg, buf + at / 8);

			if (err)
				return err;
		}
		memmove(buf, (char *)buf + at, have - at);
		have -= at;
	}
}

int bpf_iter_read(const struct bpf_iter *it, pid_t pid, int (*take)(void *arg, const uint64_t *values), void *arg)
{
	union bpf_iter_link_info info = { .task = { .pid = pid } };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	_cleanup_close_ int link = bpf_link_create(it->prog, 0, BPF_TRACE_ITER, &opts);
	_cleanup_close_ int fd = link < 0 ? -1 : bpf_iter_create(link);

	return link < 0 ? link : fd < 0 ? fd : read_records(fd, it->n, take, arg);
}
