/*
 * Build-ids of ELF files (ld --build-id): a note of a PT_NOTE segment that names the build. Of 32-bit and 64-bit files
 * of this byte order. The file is not trusted.
 */
#include "build_id.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define HEADERS 4096 /* bytes at the begin of a file, where program headers stand in those that linkers make */
#define NOTES 4096 /* bytes of a segment of notes that are looked at */
#define SEGMENTS 64

/* A segment of notes: where it stands in the file. */
struct notes {
	uint64_t offset, len;
};

static size_t align4(size_t n)
{
	return (n + 3) & ~3ul;
}

/* Finds the note in a segment. Returns the bytes of the build-id, or 0. */
static size_t find_note(const uint8_t *at, size_t len, uint8_t id[BUILD_ID_MAX])
{
	Elf64_Nhdr note; /* that of 32-bit files is the same */

	while (len >= sizeof(note)) {
		memcpy(&note, at, sizeof(note));
		if (note.n_namesz > len || note.n_descsz > len)
			return 0;
		size_t desc = sizeof(note) + align4(note.n_namesz), whole = desc + align4(note.n_descsz);
		if (whole > len)
			return 0;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && !memcmp(at + sizeof(note), "GNU", 4) &&
		    note.n_descsz && note.n_descsz <= BUILD_ID_MAX) {
			memcpy(id, at + desc, note.n_descsz);
			return note.n_descsz;
		}
		at += whole;
		len -= whole;
	}
	return 0;
}

/* The segments of notes that the program headers tell. Returns how many. */
static size_t list_notes(const uint8_t *head, size_t len, struct notes *list)
{
	bool wide = head[EI_CLASS] == ELFCLASS64;
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;
	size_t found = 0;

	memcpy(&e64, head, sizeof(e64));
	memcpy(&e32, head, sizeof(e32));
	uint64_t at = wide ? e64.e_phoff : e32.e_phoff;
	size_t n = wide ? e64.e_phnum : e32.e_phnum, size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if ((wide ? e64.e_phentsize : e32.e_phentsize) != size)
		return 0;
	for (size_t i = 0; i < n && i < SEGMENTS && at <= len && size <= len - at; i++, at += size) {
		Elf64_Phdr p64;
		Elf32_Phdr p32;

		memcpy(&p32, head + at, sizeof(p32));
		if (wide)
			memcpy(&p64, head + at, sizeof(p64));
		if ((wide ? p64.p_type : p32.p_type) == PT_NOTE)
			list[found++] = (struct notes){ wide ? p64.p_offset : p32.p_offset,
							wide ? p64.p_filesz : p32.p_filesz };
	}
	return found;
}

size_t build_id_read(int fd, uint8_t id[BUILD_ID_MAX])
{
	uint8_t head[HEADERS], buf[NOTES];
	struct notes list[SEGMENTS];
	ssize_t len = pread(fd, head, sizeof(head), 0);
	size_t size = 0;

	if (len < (ssize_t)sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG) ||
	    (head[EI_CLASS] != ELFCLASS64 && head[EI_CLASS] != ELFCLASS32) || head[EI_DATA] != ELFDATA2LSB)
		return 0;
	size_t n = list_notes(head, len, list);
	for (size_t i = 0; i < n && !size; i++) {
		size_t wanted = list[i].len < sizeof(buf) ? list[i].len : sizeof(buf);
		bool here = list[i].offset <= (size_t)len && wanted <= len - list[i].offset;
		ssize_t got = here ? (ssize_t)wanted : pread(fd, buf, wanted, list[i].offset);

		if (got > 0)
			size = find_note(here ? head + list[i].offset : buf, got, id);
	}
	return size;
}
