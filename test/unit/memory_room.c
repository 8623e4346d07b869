/* How much memory is left: meminfo, and the limits of cgroups from that of the task up to the root. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../ckpt/memory_room.h"
#include "suite.h"

#define UNLIMITED (~0ul)

static char top[] = "/tmp/ckpt-memory-room-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	FILE *f = fopen(path, "w");
	ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

static void make_dir(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	ck_assert(!mkdir(path, 0700));
}

static uint64_t room(const char *type, const char *options, const char *cgroups, bool v2)
{
	char mountinfo[PATH_MAX];

	snprintf(mountinfo, sizeof(mountinfo),
		 "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
		 "31 22 0:28 / %s rw,relatime shared:9 - %s cgroup %s\n",
		 top, type, options);
	return memory_room_of_cgroups(mountinfo, cgroups, v2);
}

START_TEST(machine)
{
	ck_assert_uint_eq(memory_available("MemTotal: 10 kB\nMemAvailable:    4 kB\n"), 4096);
	ck_assert_uint_eq(memory_available("MemTotal: 10 kB\n"), UNLIMITED);
	ck_assert_uint_eq(memory_available(""), UNLIMITED);
}
END_TEST

START_TEST(second_version)
{
	put("a/memory.max", "1000\n");
	put("a/memory.current", "900\n");
	put("a/memory.stat", "anon 5\ninactive_file 50\n");
	put("a/b/memory.max", "max\n");
	put("a/b/memory.high", "700\n");
	put("a/b/memory.current", "10\n");
	ck_assert_uint_eq(room("cgroup2", "rw", "0::/a/b\n", true), 150); /* of a */
	put("a/b/memory.current", "650\n");
	ck_assert_uint_eq(room("cgroup2", "rw", "5:x:/\n0::/a/b\n", true), 50);
	put("a/b/memory.current", "800\n");
	ck_assert_uint_eq(room("cgroup2", "rw", "0::/a/b\n", true), 0);
	ck_assert_uint_eq(room("cgroup2", "rw", "0::/\n", true), UNLIMITED);
	ck_assert_uint_eq(room("cgroup2", "rw", "0::/elsewhere\n", true), UNLIMITED);
	ck_assert_uint_eq(room("cgroup", "rw,memory", "0::/a/b\n", true), UNLIMITED);
}
END_TEST

START_TEST(first_version)
{
	put("a/memory.limit_in_bytes", "1000\n");
	put("a/memory.usage_in_bytes", "900\n");
	put("a/memory.stat", "inactive_file 1\ntotal_inactive_file 90\n");
	ck_assert_uint_eq(room("cgroup", "rw,memory", "3:cpu:/\n4:memory:/a\n", false), 190);
	ck_assert_uint_eq(room("cgroup", "rw,cpu", "4:memory:/a\n", false), UNLIMITED);
	ck_assert_uint_eq(room("cgroup", "rw,memory", "", false), UNLIMITED);
}
END_TEST

static void make_dirs(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	make_dir("a");
	make_dir("a/b");
}

static void remove_dirs(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "rm -r '%s'", top);
	ck_assert(!system(command));
}

int main(void)
{
	Suite *s = suite_create("memory_room");
	TCase *tc = tcase_create("memory_room");

	tcase_add_unchecked_fixture(tc, make_dirs, remove_dirs);
	tcase_add_test(tc, machine);
	tcase_add_test(tc, second_version);
	tcase_add_test(tc, first_version);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
