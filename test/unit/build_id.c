/* Build-ids: of this program itself, and of files that are no ELF files, cut or damaged. */
#include "build_id.h"
#include "suite.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t file[1024];
static size_t size;

/* An ELF file of one segment with two notes, of which the second is the build-id. */
static void make(bool wide)
{
	static const char notes[] = "\x04\0\0\0\x02\0\0\0\x01\0\0\0GNU\0xx\0\0"
				    "\x04\0\0\0\x08\0\0\0\x03\0\0\0GNU\0build-id";
	Elf64_Ehdr e64 = { .e_phoff = sizeof(e64), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1 };
	Elf32_Ehdr e32 = { .e_phoff = sizeof(e32), .e_phentsize = sizeof(Elf32_Phdr), .e_phnum = 1 };
	Elf64_Phdr p64 = { .p_type = PT_NOTE, .p_offset = 512, .p_filesz = sizeof(notes) - 1 };
	Elf32_Phdr p32 = { .p_type = PT_NOTE, .p_offset = 512, .p_filesz = sizeof(notes) - 1 };

	memset(file, 0, sizeof(file));
	memcpy(file, wide ? (void *)&e64 : (void *)&e32, wide ? sizeof(e64) : sizeof(e32));
	memcpy(file + (wide ? sizeof(e64) : sizeof(e32)), wide ? (void *)&p64 : (void *)&p32,
	       wide ? sizeof(p64) : sizeof(p32));
	memcpy(file, ELFMAG, SELFMAG);
	file[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
	file[EI_DATA] = ELFDATA2LSB;
	memcpy(file + 512, notes, sizeof(notes) - 1);
	size = 512 + sizeof(notes) - 1;
}

static size_t read_it(uint8_t id[BUILD_ID_MAX])
{
	int fd = memfd_create("elf", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, file, size), size);
	size_t len = build_id_read(fd, id);
	close(fd);
	return len;
}

START_TEST(finds_it)
{
	uint8_t id[BUILD_ID_MAX];

	for (int wide = 0; wide < 2; wide++) {
		make(wide);
		ck_assert_uint_eq(read_it(id), 8);
		ck_assert(!memcmp(id, "build-id", 8));
	}
}
END_TEST

START_TEST(survives_cut_files)
{
	uint8_t id[BUILD_ID_MAX];

	make(true);
	for (size_t whole = size; size-- > 0;)
		ck_assert_uint_eq(read_it(id), size >= whole ? 8 : 0);
}
END_TEST

/* Whatever is changed, it reads nothing that is not there. */
START_TEST(survives_damaged_files)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint8_t id[BUILD_ID_MAX];

	for (int wide = 0; wide < 2; wide++) {
		make(wide);
		for (size_t i = 0; i < size; i++)
			for (size_t v = 0; v < sizeof(values); v++) {
				uint8_t old = file[i];

				file[i] = values[v];
				ck_assert_uint_le(read_it(id), BUILD_ID_MAX);
				file[i] = old;
			}
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("build_id");
	TCase *t = tcase_create("build_id");

	tcase_add_test(t, finds_it);
	tcase_add_test(t, survives_cut_files);
	tcase_add_test(t, survives_damaged_files);
	suite_add_tcase(s, t);
	return suite_run(s);
}
