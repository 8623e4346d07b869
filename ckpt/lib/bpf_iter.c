/*
 * BPF iterators (bpf(2): BPF_PROG_LOAD, BPF_LINK_CREATE, BPF_ITER_CREATE), with a program that is put together here:
 * for each thing that the kernel comes by, it loads the values one by one and hands them over with bpf_seq_write().
 * What the iterator shows is loaded directly, as the kernel knows its type, and what lies behind further pointers, too:
 * that takes a nanosecond or two. Behind a task it is loaded by bpf_probe_read_kernel() instead, which takes fifty:
 * tasks are such that the kernel trusts, and for each pointer in them it looks through all its types for the name of
 * one that says whether that is to be trusted, too, which costs a millisecond when the program is loaded. A load
 * through a pointer that is not valid gives zero either way.
 *
 * Registers of the program: 6 the iterator's context, 7 the socket, 8 the struct with a block, 1 to 5 what is at hand.
 */
#include "bpf_iter.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_types.h"

struct bpf_types {
	struct kernel_types k;
};

struct bpf_types *bpf_types_load(void)
{
	struct bpf_types *types = malloc(sizeof(*types));

	if (types && kernel_types_load(&types->k))
		free(take_ptr(types));
	return types;
}

void bpf_types_free(struct bpf_types *types)
{
	if (types)
		kernel_types_free(&types->k);
	free(types);
}

/* A program as it grows. */
struct program {
	const struct kernel_types *types;
	struct bpf_insn code[BPF_ITER_FIELDS * 32];
	size_t n;
	bool numbers; /* all pointers are taken for numbers, as those behind tasks are */
	int socket; /* its type; 0: register 7 has none */
	int name_map; /* room for a name; -1: none is asked for */
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
struct place {
	uint32_t offset;
	uint8_t bits, shift; /* bits 0: it is none */
};

/* A member by its name, in unnamed members too. Returns its type or -ENOENT, and adds its offset. */
static int find_member(const struct kernel_types *types, int type, const char *name, size_t len, struct place *place)
{
	const struct btf_type *t = kernel_type(types, type);
	const struct btf_member *m = btf_members(t);

	for (int i = 0; btf_is_composite(t) && i < btf_vlen(t); i++, m++) {
		const char *its = kernel_type_name(types, m->name_off);
		uint32_t bit = btf_member_bit_offset(t, i);
		struct place at = { place->offset + bit / 8, btf_member_bitfield_size(t, i), bit % 8 };
		int inner = kernel_type_resolve(types, m->type);

		if (!*its) {
			int found = find_member(types, inner, name, len, &at);

			if (found < 0)
				continue;
			inner = found;
		} else if (strlen(its) != len || strncmp(its, name, len)) {
			continue;
		}
		*place = at;
		return at.bits + at.shift > 8 ? -ENOENT : inner;
	}
	return -ENOENT;
}

/* Bytes of a value, or of the elements of an array: 1, 2, 4 or 8; else -ENOENT. */
static int value_size(const struct kernel_types *types, uint32_t type)
{
	for (;;) {
		long size = kernel_type_size(types, type);
		const struct btf_type *t = kernel_type(types, type);

		if (size == 1 || size == 2 || size == 4 || size == 8)
			return size;
		if (!btf_is_array(t))
			return -ENOENT;
		type = kernel_type_resolve(types, btf_array(t)->type);
	}
}

static void emit_move(struct program *p, uint8_t dst, uint8_t src, int32_t add)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
	if (add)
		emit(p, BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, add);
}

static void emit_call(struct program *p, int32_t function)
{
	emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

/* A null pointer in the register ends the program: there is no record. See emit_end(). */
static void emit_end_unless(struct program *p, uint8_t reg)
{
	emit(p, BPF_JMP | BPF_JEQ | BPF_K, reg, 0, 0, 0);
}

/*
 * Loads behind a pointer that the kernel takes for a number, so that it does not check what it leads to: by a function,
 * which gives zero if it leads nowhere, into the slot of the value (an offset from register 10), and from there.
 */
static void emit_probe(struct program *p, int size, uint8_t dst, uint8_t src, uint32_t off, int slot)
{
	emit_move(p, BPF_REG_3, src, off);
	emit(p, BPF_ST | BPF_DW | BPF_MEM, BPF_REG_10, 0, slot, 0);
	emit_move(p, BPF_REG_1, BPF_REG_10, slot);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, size);
	emit_call(p, BPF_FUNC_probe_read_kernel);
	emit_load(p, 8, dst, BPF_REG_10, slot);
}

/* A path on the way through the kernel's types. */
struct walk {
	int type; /* of what base leads to */
	uint8_t base;
	bool probed; /* base is a number to the kernel */
	bool numbers; /* so shall be what it leads to */
	struct place place; /* behind base */
	int slot;
};

/* Loads what the path has come to into register 1. A pointer is so, too, where what it leads to has a type. */
static void emit_step(struct program *p, const struct walk *w, int size)
{
	bool pointer = btf_is_ptr(kernel_type(p->types, w->type));

	if (w->probed || (pointer && w->numbers && w->base != BPF_REG_6))
		emit_probe(p, size, BPF_REG_1, w->base, w->place.offset, w->slot);
	else
		emit_load(p, size, BPF_REG_1, w->base, w->place.offset);
}

/* "(type)" behind a pointer says what it leads to. Returns the type of that or -ENOENT, and what follows. */
static int parse_cast(const struct kernel_types *types, const char **path)
{
	char name[64];
	size_t len = strcspn(*path + 1, ")");

	if ((*path)[len + 1] != ')' || len >= sizeof(name))
		return -ENOENT;
	snprintf(name, sizeof(name), "%.*s", (int)len, *path + 1);
	*path += len + 2;
	return kernel_type_find(types, name, BTF_KIND_STRUCT);
}

/* Of the bits that a pointer leads to, that of the descriptor. */
static int emit_bit(struct program *p, int context, struct walk *w)
{
	struct place fd = {};

	if (!btf_is_ptr(kernel_type(p->types, w->type)) || find_member(p->types, context, "fd", 2, &fd) < 0)
		return -ENOENT;
	emit_step(p, w, 8);
	emit_load(p, 4, BPF_REG_2, BPF_REG_6, fd.offset);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, 6);
	emit(p, BPF_ALU64 | BPF_LSH | BPF_K, BPF_REG_2, 0, 0, 3);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
	emit_probe(p, 8, BPF_REG_1, BPF_REG_1, 0, w->slot);
	emit_load(p, 4, BPF_REG_2, BPF_REG_6, fd.offset);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 63);
	emit(p, BPF_ALU64 | BPF_RSH | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, 1);
	return 0;
}

/* Through a pointer to what comes next. Returns 0 or -ENOENT. */
static int follow(struct program *p, struct walk *w, const char **path)
{
	const struct btf_type *t = kernel_type(p->types, w->type);
	bool cast = **path == '(';
	int to = cast ? parse_cast(p->types, path) : (int)kernel_type_resolve(p->types, t->type);

	if (to < 0)
		return -ENOENT;
	emit_step(p, w, 8);
	bool shown = w->base == BPF_REG_6;

	if (shown) /* what the context shows is null when the kernel is through with all of them */
		emit_end_unless(p, BPF_REG_1);
	*w = (struct walk){ .type = to,
			    .base = BPF_REG_1,
			    .probed = w->probed || cast || (w->numbers && !shown),
			    .numbers = w->numbers,
			    .slot = w->slot };
	return 0;
}

/* Code that goes along a path up to its last pointer. *end: what follows its last member. Returns 0 or -ENOENT. */
static int emit_way(struct program *p, int context, const char *path, struct walk *w, const char **end)
{
	w->numbers = p->numbers || !strncmp(path, "task.", 5);
	if (p->socket && !strncmp(path, "socket.", 7)) {
		w->type = p->socket;
		w->base = BPF_REG_7;
		path += 7;
	} else {
		w->type = context;
		w->base = BPF_REG_6;
	}
	for (;;) {
		size_t len = strcspn(path, ".([@#");

		w->type = find_member(p->types, w->type, path, len, &w->place);
		if (w->type < 0 || w->place.offset > INT16_MAX)
			return -ENOENT;
		path += len;
		*end = path;
		if (!*path || strchr("[@#", *path))
			return 0;
		if ((*path == '(' || btf_is_ptr(kernel_type(p->types, w->type))) && follow(p, w, &path))
			return -ENOENT;
		if (*path++ != '.')
			return -ENOENT;
	}
}

static int emit_value(struct program *p, int context, const char *path, int slot)
{
	struct walk w = { .slot = slot };
	const char *end;

	if (emit_way(p, context, path, &w, &end))
		return -ENOENT;
	if (!strcmp(end, "[fd]"))
		return emit_bit(p, context, &w);
	if (*end == '@') {
		w.place.offset += strtoul(end + 1, NULL, 10);
		emit_probe(p, 8, BPF_REG_1, w.base, w.place.offset, slot);
		return 0;
	}
	int size = *end ? -ENOENT : w.place.bits ? 1 : value_size(p->types, w.type);
	if (size < 0)
		return size;
	emit_step(p, &w, size);
	if (w.place.bits) {
		emit(p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_1, 0, 0, w.place.shift);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, (1 << w.place.bits) - 1);
	}
	return 0;
}

/* Code that leaves the value of the path in register 1, or in it the zero of a pointer on the way. */
static int emit_path(struct program *p, int context, const char *path, int slot)
{
	size_t before = p->n;
	int err = emit_value(p, context, path + (*path == '?'), slot);

	if (err != -ENOENT || *path != '?')
		return err;
	p->n = before;
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 0);
	return 0;
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

/* The socket of the file into register 7; a file that is none has no record. */
static int emit_socket(struct program *p, int context)
{
	int err = emit_path(p, context, "file", 0);

	emit_end_unless(p, BPF_REG_1);
	emit_call(p, BPF_FUNC_sock_from_file);
	emit_end_unless(p, BPF_REG_0);
	emit_move(p, BPF_REG_7, BPF_REG_0, 0);
	p->socket = kernel_type_find(p->types, "socket", BTF_KIND_STRUCT);
	return err;
}

/* The address of the room for a name. */
static void emit_name_room(struct program *p, uint8_t dst)
{
	emit(p, BPF_LD | BPF_IMM | BPF_DW, dst, BPF_PSEUDO_MAP_VALUE, 0, p->name_map);
	emit(p, 0, 0, 0, 0, 0);
}

/* The name of a regular file into its room; its length, with the zero at its end, into register 1. */
static int emit_name(struct program *p, int context, int slot)
{
	struct place place = {};
	int err = emit_path(p, context, "file.f_inode.i_mode", slot);
	int file = kernel_type_find(p->types, "file", BTF_KIND_STRUCT);

	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_1, 0, 0, S_IFMT);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	struct bpf_insn *skip = &p->code[p->n];
	emit(p, BPF_JMP | BPF_JNE | BPF_K, BPF_REG_1, 0, 0, S_IFREG);
	if (!err)
		err = emit_path(p, context, "file", 0);
	if (err || file < 0 || find_member(p->types, file, "f_path", strlen("f_path"), &place) < 0)
		return -ENOENT;
	emit_end_unless(p, BPF_REG_1);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, place.offset);
	emit_name_room(p, BPF_REG_2);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, PATH_MAX);
	emit_call(p, BPF_FUNC_d_path);
	emit(p, BPF_JMP | BPF_JSGE | BPF_K, BPF_REG_0, 0, 1, 0);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0);
	skip->off = &p->code[p->n] - skip - 1;
	emit_move(p, BPF_REG_1, BPF_REG_0, 0);
	return 0;
}

/* bpf_seq_write(context->meta->seq, ...): registers 2 and 3 say what. The kernel must know the type of all of that. */
static int emit_write(struct program *p, int context)
{
	struct walk w = {};
	const char *end;
	int err = emit_way(p, context, "meta.seq", &w, &end);

	emit_load(p, 8, BPF_REG_1, w.base, w.place.offset);
	emit_call(p, BPF_FUNC_seq_write);
	return err;
}

#define PIECE (8 * BPF_ITER_FIELDS) /* bytes: the room of the values, which are written already */
#define BLOCK_MAX (8 * PIECE)

/* Copies a large member. */
static int emit_block(struct program *p, int context, const char *path)
{
	struct walk w = { .slot = -PIECE };
	const char *end;
	int err = emit_way(p, context, path, &w, &end);
	long size = err ? 0 : atol(end + 1);

	if (err || w.base != BPF_REG_1 || size > BLOCK_MAX || kernel_type_size(p->types, w.type) != size)
		return -ENOENT;
	emit_move(p, BPF_REG_8, BPF_REG_1, 0);
	for (long done = 0; done < size && !err; done += PIECE) {
		long len = size - done < PIECE ? size - done : PIECE;

		emit_move(p, BPF_REG_1, BPF_REG_10, -PIECE);
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, len);
		emit_move(p, BPF_REG_3, BPF_REG_8, w.place.offset + done);
		emit_call(p, BPF_FUNC_probe_read_kernel);
		emit_move(p, BPF_REG_2, BPF_REG_10, -PIECE);
		emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, len);
		err = emit_write(p, context);
	}
	return err;
}

/* Behind the values, filled up to eight bytes. length: the slot with its length. */
static int emit_write_name(struct program *p, int context, int length)
{
	emit_load(p, 8, BPF_REG_3, BPF_REG_10, length);
	emit(p, BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_3, 0, 0, 7);
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, -8);
	emit_end_unless(p, BPF_REG_3);
	emit(p, BPF_JMP | BPF_JLE | BPF_K, BPF_REG_3, 0, 1, PATH_MAX);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, PATH_MAX);
	emit_name_room(p, BPF_REG_2);
	return emit_write(p, context);
}

/* With "=", only where the value in register 1 is the one before: see emit_end(). */
static void emit_end_unless_equal(struct program *p, int slot)
{
	emit_load(p, 8, BPF_REG_2, BPF_REG_10, slot - 8);
	emit(p, BPF_JMP | BPF_JNE | BPF_X, BPF_REG_1, BPF_REG_2, 0, 0);
}

/* paths: so many values, and behind them maybe a block. */
static int make_program(struct program *p, int context, const char *const *paths, size_t n)
{
	int err = 0, name = 0, last = -8 * (int)n;

	emit_move(p, BPF_REG_6, BPF_REG_1, 0);
	for (size_t i = 0; i < n && !p->socket && !err; i++)
		if (!strncmp(paths[i], "socket.", 7))
			err = emit_socket(p, context);
	for (size_t i = 0; i < n && !err; i++) {
		int slot = last + 8 * (int)i;
		bool equal = i && *paths[i] == '=';

		name = strcmp(paths[i], BPF_ITER_NAME) ? name : slot;
		err = name == slot ? emit_name(p, context, slot) : emit_path(p, context, paths[i] + equal, slot);
		if (equal)
			emit_end_unless_equal(p, slot);
		emit(p, BPF_STX | BPF_DW | BPF_MEM, BPF_REG_10, BPF_REG_1, slot, 0);
	}
	emit_move(p, BPF_REG_2, BPF_REG_10, last);
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 8 * n);
	if (!err)
		err = emit_write(p, context);
	if (!err && paths[n])
		err = emit_block(p, context, paths[n]);
	if (!err && name)
		err = emit_write_name(p, context, name);
	emit_end(p);
	return err;
}

/* Whether a name is asked for, and room for it is to be made. Returns 0 or -errno. */
static int make_name_room(struct bpf_iter *it, struct program *p, const char *const *paths)
{
	it->name = -1;
	p->name_map = -1;
	for (size_t i = 0; i < it->n; i++)
		if (!strcmp(paths[i], BPF_ITER_NAME))
			it->name = i;
	if (it->name >= 0)
		p->name_map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ckpt", 4, PATH_MAX, 1, NULL);
	return it->name >= 0 && p->name_map < 0 ? p->name_map : 0;
}

/* The program itself; the kernel checks it. Returns 0 or -errno. */
static int load_program(struct bpf_iter *it, struct program *p, int context, int function, const char *const *paths)
{
	int err = make_program(p, context, paths, it->n);

	if (err)
		return err;
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .attach_btf_id = function, .expected_attach_type = BPF_TRACE_ITER);
	/* Only programs that say so may use what is below; ours is under both licenses. */
	it->prog = bpf_prog_load(BPF_PROG_TYPE_TRACING, "ckpt", "Dual MIT/GPL", p->code, p->n, &opts);
	return it->prog < 0 ? it->prog : 0;
}

int bpf_iter_load(struct bpf_iter *it, const struct bpf_types *types, const char *iterator, const char *const *paths)
{
	struct program p = { .types = &types->k };
	char name[64];

	*it = (struct bpf_iter){ .prog = -1 };
	while (paths[it->n] && !strchr(paths[it->n], '#'))
		it->n++;
	snprintf(name, sizeof(name), "bpf_iter__%s", iterator);
	int context = kernel_type_find(p.types, name, BTF_KIND_STRUCT);
	snprintf(name, sizeof(name), "bpf_iter_%s", iterator);
	int function = kernel_type_find(p.types, name, BTF_KIND_FUNC);
	if (context < 0 || function < 0 || it->n > BPF_ITER_FIELDS)
		return -ENOENT;
	int err = make_name_room(it, &p, paths);
	_cleanup_close_ int room = p.name_map; /* the program keeps it */
	if (!err)
		err = load_program(it, &p, context, function, paths);
	if (err == -EACCES || err == -EINVAL) { /* what a pointer leads to is not to be seen that way in this kernel */
		p = (struct program){ .types = p.types, .name_map = p.name_map, .numbers = true };
		err = load_program(it, &p, context, function, paths);
	}
	if (!err && paths[it->n])
		it->n += atol(strchr(paths[it->n], '#') + 1) / 8;
	return err;
}

void bpf_iter_close(struct bpf_iter *it)
{
	if (it->prog >= 0)
		close(it->prog);
	it->prog = -1;
}

/* Bytes of a record, whose values are there. */
static size_t record_size(const struct bpf_iter *it, const uint64_t *values)
{
	return 8 * it->n + (it->name < 0 ? 0 : (values[it->name] + 7) & ~7ull);
}

static int read_records(const struct bpf_iter *it, int fd, int (*take)(void *arg, const uint64_t *values), void *arg)
{
	uint64_t buf[4096]; /* as much as the kernel has room for */
	size_t have = 0;

	for (;;) {
		ssize_t got = read(fd, (char *)buf + have, sizeof(buf) - have);
		size_t at = 0, size;

		if (got < 0 && (errno == EAGAIN || errno == EINTR)) /* it comes by very many without a record */
			continue;
		if (got <= 0)
			return got ? -errno : have ? -EBADMSG : 0;
		have += got;
		for (; have - at >= it->n * 8; at += size) {
			size = record_size(it, buf + at / 8);
			if (size > sizeof(buf))
				return -EBADMSG;
			if (have - at < size)
				break;
			int err = take(arg, buf + at / 8);
			if (err)
				return err;
		}
		memmove(buf, (char *)buf + at, have - at);
		have -= at;
	}
}

static int read_of(const struct bpf_iter *it, pid_t pid, pid_t tid, int (*take)(void *arg, const uint64_t *values),
		   void *arg)
{
	union bpf_iter_link_info info = { .task = { .pid = pid, .tid = tid } };
	LIBBPF_OPTS(bpf_link_create_opts, opts, .iter_info = &info, .iter_info_len = sizeof(info));
	_cleanup_close_ int link = bpf_link_create(it->prog, 0, BPF_TRACE_ITER, &opts);
	_cleanup_close_ int fd = link < 0 ? -1 : bpf_iter_create(link);

	return link < 0 ? link : fd < 0 ? fd : read_records(it, fd, take, arg);
}

int bpf_iter_read(const struct bpf_iter *it, pid_t pid, int (*take)(void *arg, const uint64_t *values), void *arg)
{
	return read_of(it, pid, 0, take, arg);
}

int bpf_iter_read_thread(const struct bpf_iter *it, pid_t tid, int (*take)(void *arg, const uint64_t *values),
			 void *arg)
{
	return read_of(it, 0, tid, take, arg);
}
