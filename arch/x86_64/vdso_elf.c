/*
 * Reads the dynamic symbols of a vDSO: program headers, dynamic section, symbol and string table (man 5 elf), of either
 * class. Does not handle: symbol versions, of which every vDSO has one.
 */
#include "vdso_elf.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define STUB_MAX 32

struct view {
	const uint8_t *bytes;
	size_t size;
	bool wide; /* ELFCLASS64 */
	uint64_t base; /* the address at which the file says it begins */
	uint64_t symbols, strings, strings_size, hash; /* offsets; 0: not there */
};

/* A number of 1 to 8 bytes at an offset; 0 and *ok = false when it is not all there. */
static uint64_t number(const struct view *v, uint64_t at, unsigned int len, bool *ok)
{
	uint64_t value = 0;

	if (at > v->size || len > v->size - at) {
		*ok = false;
		return 0;
	}
	memcpy(&value, v->bytes + at, len);
	return value;
}

#define FIELD(v, at, type, member, ok)                                                                                 \
	((v)->wide ? number(v, (at) + offsetof(Elf64_##type, member), sizeof(((Elf64_##type *)0)->member), ok)         \
		   : number(v, (at) + offsetof(Elf32_##type, member), sizeof(((Elf32_##type *)0)->member), ok))
#define SIZE(v, type) ((v)->wide ? sizeof(Elf64_##type) : sizeof(Elf32_##type))

static bool read_dynamic(struct view *v, uint64_t at, uint64_t size)
{
	bool ok = true;

	for (uint64_t end = size > v->size ? 0 : at + size; at < end; at += SIZE(v, Dyn)) {
		uint64_t tag = FIELD(v, at, Dyn, d_tag, &ok), value = FIELD(v, at, Dyn, d_un.d_ptr, &ok);

		if (!ok || tag == DT_NULL)
			break;
		if (tag == DT_SYMTAB)
			v->symbols = value - v->base;
		else if (tag == DT_STRTAB)
			v->strings = value - v->base;
		else if (tag == DT_STRSZ)
			v->strings_size = value;
		else if (tag == DT_HASH)
			v->hash = value - v->base;
	}
	return ok && v->symbols && v->strings && v->strings < v->size && v->strings_size <= v->size - v->strings;
}

static bool open_view(struct view *v, const uint8_t *bytes, size_t size)
{
	bool ok = true, loaded = false;
	uint64_t dynamic = 0, dynamic_size = 0;

	*v = (struct view){ .bytes = bytes, .size = size };
	if (size < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) || bytes[EI_DATA] != ELFDATA2LSB)
		return false;
	v->wide = bytes[EI_CLASS] == ELFCLASS64;
	uint64_t at = FIELD(v, 0, Ehdr, e_phoff, &ok), n = FIELD(v, 0, Ehdr, e_phnum, &ok);
	if (at > size || FIELD(v, 0, Ehdr, e_machine, &ok) != (v->wide ? EM_X86_64 : EM_386))
		return false;
	for (uint64_t i = 0; ok && i < n; i++, at += SIZE(v, Phdr)) {
		uint64_t type = FIELD(v, at, Phdr, p_type, &ok), offset = FIELD(v, at, Phdr, p_offset, &ok);

		if (type == PT_LOAD && !loaded) {
			v->base = FIELD(v, at, Phdr, p_vaddr, &ok) - offset;
			loaded = true;
		} else if (type == PT_DYNAMIC) {
			dynamic = offset;
			dynamic_size = FIELD(v, at, Phdr, p_filesz, &ok);
		}
	}
	return ok && loaded && dynamic < size && read_dynamic(v, dynamic, dynamic_size);
}

/* How many symbols there are: a hash table tells; without one they end where the strings begin. */
static uint64_t count_symbols(const struct view *v)
{
	bool ok = true;
	uint64_t n = v->hash ? number(v, v->hash + 4, 4, &ok) : 0;

	if (!n && v->strings > v->symbols)
		n = (v->strings - v->symbols) / SIZE(v, Sym);
	return n < v->size / SIZE(v, Sym) ? n : v->size / SIZE(v, Sym);
}

int vdso_functions(const uint8_t *bytes, size_t size, struct vdso_function list[VDSO_FUNCTIONS])
{
	struct view v;
	int n = 0;

	if (!open_view(&v, bytes, size))
		return -EBADMSG;
	uint64_t count = count_symbols(&v);
	for (uint64_t i = 1; i < count && n < VDSO_FUNCTIONS; i++) {
		uint64_t at = v.symbols + i * SIZE(&v, Sym);
		bool ok = true;
		uint64_t info = FIELD(&v, at, Sym, st_info, &ok), section = FIELD(&v, at, Sym, st_shndx, &ok);
		uint64_t name = FIELD(&v, at, Sym, st_name, &ok), length = FIELD(&v, at, Sym, st_size, &ok);
		uint64_t offset = FIELD(&v, at, Sym, st_value, &ok) - v.base;

		if (!ok || name >= v.strings_size)
			return -EBADMSG;
		/* the three of 32-bit signals and calls have no type before 5.x */
		if ((ELF64_ST_TYPE(info) != STT_FUNC && ELF64_ST_TYPE(info) != STT_NOTYPE) || section == SHN_UNDEF ||
		    section == SHN_ABS)
			continue;
		const char *text = (const char *)bytes + v.strings + name;
		if (!memchr(text, 0, v.strings_size - name) || offset > size || length > size - offset)
			return -EBADMSG;
		list[n++] = (struct vdso_function){ text, offset, length };
	}
	return n;
}

/* The system call that a function stands for, by its number in 64-bit and 32-bit programs. */
static const struct {
	const char *name;
	int wide, narrow; /* -1: there is none */
} calls[] = {
	{ "gettimeofday", 96, 78 },   { "clock_gettime", 228, 265 },	  { "clock_gettime64", -1, 403 },
	{ "clock_getres", 229, 266 }, { "clock_getres_time64", -1, 406 }, { "time", 201, 13 },
	{ "getcpu", 309, 318 },	      { "getrandom", 318, 355 },
};

static const char *plain_name(const char *name)
{
	static const char prefix[] = "__vdso_";

	return strncmp(name, prefix, sizeof(prefix) - 1) ? name : name + sizeof(prefix) - 1;
}

static size_t emit(uint8_t *to, const uint8_t *code, size_t len)
{
	memcpy(to, code, len);
	return len;
}

/* Code that makes the call with the arguments of the function. Returns its length, 0 when there is none. */
static size_t make_stub(uint8_t stub[STUB_MAX], const char *name, bool wide)
{
	static const uint8_t syscall_ret[] = { 0x0f, 0x05, 0xc3 };
	/* push %ebx; mov 8(%esp),%ebx; mov 12(%esp),%ecx; mov 16(%esp),%edx */
	static const uint8_t load[] = { 0x53, 0x8b, 0x5c, 0x24, 8, 0x8b, 0x4c, 0x24, 12, 0x8b, 0x54, 0x24, 16 };
	static const uint8_t int80_ret[] = { 0xcd, 0x80, 0x5b, 0xc3 }; /* int $0x80; pop %ebx; ret */
	/* getrandom with an opaque_len of -1 asks for the size of its state, which no call tells */
	static const uint8_t no_state[] = { 0x49, 0x83, 0xf8, 0xff, 0x75, 8 }; /* cmp $-1,%r8; jne behind enosys */
	static const uint8_t enosys[] = { 0x48, 0xc7, 0xc0, 0xda, 0xff, 0xff, 0xff, 0xc3 }; /* mov $-ENOSYS,%rax; ret */
	size_t len = 0;

	if (!strcmp(name, "sgx_enter_enclave")) /* without it there are no enclaves */
		return emit(stub, enosys, sizeof(enosys));
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		int nr = wide ? calls[i].wide : calls[i].narrow;
		const uint8_t mov[] = { 0xb8, nr, nr >> 8, 0, 0 };

		if (strcmp(name, calls[i].name) || nr < 0)
			continue;
		if (wide && !strcmp(name, "getrandom")) {
			len += emit(stub, no_state, sizeof(no_state));
			len += emit(stub + len, enosys, sizeof(enosys));
		}
		len += wide ? 0 : emit(stub + len, load, sizeof(load));
		len += emit(stub + len, mov, sizeof(mov));
		return len + (wide ? emit(stub + len, syscall_ret, sizeof(syscall_ret))
				   : emit(stub + len, int80_ret, sizeof(int80_ret)));
	}
	return 0;
}

static const struct vdso_function *find(const struct vdso_function *list, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(plain_name(list[i].name), plain_name(name)))
			return &list[i];
	return NULL;
}

/* Whether the bytes that the function's new start takes belong to it alone. */
static bool has_room(const struct vdso_function *list, int n, const struct vdso_function *f, size_t len)
{
	for (int i = 0; i < n; i++)
		if (list[i].offset > f->offset && list[i].offset - f->offset < len)
			return false;
	return f->size >= len;
}

int vdso_redirect(const struct vdso_code *old, const struct vdso_code *new, const char **lacking)
{
	struct vdso_function from[VDSO_FUNCTIONS], to[VDSO_FUNCTIONS];
	int n_from = vdso_functions(old->bytes, old->size, from), n_to = vdso_functions(new->bytes, new->size, to);
	struct view v;

	if (n_from < 0 || n_to < 0 || !open_view(&v, old->bytes, old->size))
		return -EBADMSG;
	/* the names lie among the bytes that change: first all jumps are made, then they are put in place */
	uint8_t code[VDSO_FUNCTIONS][STUB_MAX];
	size_t len[VDSO_FUNCTIONS];
	for (int i = 0; i < n_from; i++) {
		const struct vdso_function *f = &from[i], *t = find(to, n_to, f->name);
		int64_t distance = t ? new->address + t->offset - (old->address + f->offset + VDSO_JUMP) : 0;
		int32_t jump = distance;

		if (jump != distance)
			return -ERANGE;
		len[i] = t ? VDSO_JUMP : make_stub(code[i], plain_name(f->name), v.wide);
		if (t) {
			code[i][0] = 0xe9; /* jmp rel32 */
			memcpy(code[i] + 1, &jump, sizeof(jump));
		}
		*lacking = f->name;
		if (!len[i] || !has_room(from, n_from, f, len[i]))
			return -ENOTSUP;
	}
	for (int i = 0; i < n_from; i++)
		memcpy(old->bytes + from[i].offset, code[i], len[i]);
	return 0;
}

int vdso_unmark(uint8_t *bytes)
{
	static const uint8_t mark[] = { 'C', 'R', 'I', 'U', 'v', 'D', 'S', 'O' };
	/* what the linker writes for every 64-bit vDSO: no entry point, the program headers behind this one */
	const Elf64_Ehdr header = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
	};

	if (memcmp(bytes, mark, sizeof(mark)))
		return 0;
	memcpy(bytes, &header, VDSO_MARK);
	return 1;
}
