/* Files of rare kinds in the plan of a restore: good images are taken, all others are refused. */
#pragma GCC diagnostic ignored "-Wunused-function" /* of what the tests of plans have in common */
#include "restore_set.h"
#include "suite.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>

/* The file of descriptor 6 becomes one of a kind. */
static FileEntry *use_file(FdTypes type)
{
	file_entry__init(&s.files[7]);
	s.files[7].id = s.fds[6].id = 8;
	s.files[7].type = s.fds[6].type = type;
	s.n_files = 8;
	s.n_fds = 7;
	return &s.files[7];
}

static IoUringFileEntry ring;
static IoUringBufferEntry buffer[2], *buffers[2] = { &buffer[0], &buffer[1] };
static IoUringSlotEntry slot, *slots[1] = { &slot };
static struct io_uring_params params;
static bool lacks; /* this machine cannot have the file */

static void use_ring(void)
{
	static uint8_t bytes[65536];

	params = (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = 64 };
	int fd = syscall(SYS_io_uring_setup, 8, &params);
	lacks = fd < 0;
	if (fd >= 0)
		close(fd);
	io_uring_file_entry__init(&ring);
	use_file(FD_TYPES__IO_URING)->io_uring = &ring;
	ring.id = 8;
	ring.fown = &s.fown;
	ring.features = params.features;
	ring.sq_entries = 8;
	ring.cq_entries = 64;
	ring.sq_head = ring.cq_tail = 5;
	ring.n_offsets = 20;
	ring.offsets = (uint32_t *)&params.sq_off;
	ring.rings = (ProtobufCBinaryData){ 100, bytes };
	ring.sqes = (ProtobufCBinaryData){ 512, bytes };
	ring.has_buffer_slots = true;
	ring.buffer_slots = 3;
	ring.n_buffers = 2;
	ring.buffers = buffers;
	io_uring_slot_entry__init(&slot);
	slot.index = 1;
	slot.file_id = 3;
	ring.has_file_slots = true;
	ring.file_slots = 2;
	ring.n_files = 1;
	ring.files = slots;
	for (size_t i = 0; i < 2; i++) {
		io_uring_buffer_entry__init(&buffer[i]);
		buffer[i].index = 1 + i;
		buffer[i].addr = AREA;
		buffer[i].len = 4096;
	}
}

/* The second area becomes one of the ring. */
static void map_ring(void)
{
	use_ring();
	s.vma[1].status = VMA_AREA_REGULAR | VMA_FILE_SHARED;
	s.vma[1].flags = 1; /* MAP_SHARED */
	s.vma[1].shmid = 8;
}

static BpfmapFileEntry map;
static BpfmapDataEntry data;
static size_t n_data, data_bytes;

static void use_map(void)
{
	bpfmap_file_entry__init(&map);
	bpfmap_data_entry__init(&data);
	use_file(FD_TYPES__BPFMAP)->bpf = &map;
	map.id = 8;
	map.fown = &s.fown;
	map.map_id = data.map_id = 77;
	map.map_type = 1;
	map.key_size = 4;
	map.value_size = 8;
	map.max_entries = 3;
	map.map_name = "name";
	data.count = 2;
	data.keys_bytes = 8;
	data.values_bytes = 16;
	n_data = 1;
	data_bytes = 24;
}

static FanotifyFileEntry group;
static FanotifyMarkEntry mark[2], *marks[2] = { &mark[0], &mark[1] };
static FanotifyInodeMarkEntry inode_mark;
static FanotifyMountMarkEntry mount_mark;
static FhEntry handle;

static void use_group(void)
{
	fanotify_file_entry__init(&group);
	fanotify_mark_entry__init(&mark[0]);
	fanotify_mark_entry__init(&mark[1]);
	fanotify_inode_mark_entry__init(&inode_mark);
	fanotify_mount_mark_entry__init(&mount_mark);
	fh_entry__init(&handle);
	use_file(FD_TYPES__FANOTIFY)->ffy = &group;
	group.id = 8;
	group.fown = &s.fown;
	group.n_mark = 2;
	group.mark = marks;
	mark[0].type = MARK_TYPE__INODE;
	mark[0].ie = &inode_mark;
	mark[0].mask = 1;
	inode_mark.f_handle = &handle;
	handle.path = "/";
	mark[1].type = MARK_TYPE__MOUNT;
	mark[1].me = &mount_mark;
	mount_mark.path = "/";
}

/* What stands in no other test's set. */
static void write_all(void)
{
	static const char zeros[64];
	struct image_dir dir = { .path = path, .fd = open(path, O_RDONLY | O_DIRECTORY), .partial_fd = -1 };
	struct image_writer w;

	write_set();
	if (n_data) {
		dir.partial_fd = dir.fd;
		image_create(&w, &dir, IMG_BPFMAP_DATA, 0);
		image_put(&w, &data.base);
		image_put_bytes(&w, zeros, data_bytes);
		ck_assert_int_eq(image_close(&w), 0);
	}
	close(dir.fd);
}

/* What can be wrong: each change alone must be refused. */
#define CHANGES(X)                                                                                                     \
	X(ring_without_entry, use_ring(); s.files[7].io_uring = NULL)                                                  \
	X(ring_of_no_entries, use_ring(); ring.sq_entries = 0)                                                         \
	X(ring_of_odd_entries, use_ring(); ring.sq_entries = 7)                                                        \
	X(ring_of_many_entries, use_ring(); ring.sq_entries = ring.cq_entries = 1 << 17)                               \
	X(ring_of_few_completions, use_ring(); ring.cq_entries = 4)                                                    \
	X(ring_with_flags, use_ring(); ring.setup_flags = IORING_SETUP_SQPOLL)                                         \
	X(ring_deferred_for_many, use_ring(); ring.setup_flags = 1 << 13)                                              \
	X(ring_with_features, use_ring(); ring.features = ~0u)                                                         \
	X(ring_of_other_layout, use_ring(); params.cq_off.cqes += 64)                                                  \
	X(ring_without_layout, use_ring(); ring.n_offsets = 19)                                                        \
	X(ring_with_long_contents, use_ring(); ring.rings.len = 4096)                                                  \
	X(ring_with_long_entries, use_ring(); ring.sqes.len = 513)                                                     \
	X(ring_that_counts_back, use_ring(); ring.cq_tail = 6)                                                         \
	X(ring_of_many_files, use_ring(); ring.file_slots = ~0u)                                                       \
	X(ring_of_many_buffers, use_ring(); ring.buffer_slots = ~0u)                                                   \
	X(ring_file_outside, use_ring(); slot.index = 2)                                                               \
	X(ring_file_missing, use_ring(); slot.file_id = 77)                                                            \
	X(ring_file_itself, use_ring(); slot.file_id = 8)                                                              \
	X(ring_buffer_outside, use_ring(); ring.buffer_slots = 2)                                                      \
	X(ring_buffer_twice, use_ring(); buffer[1].index = 1)                                                          \
	X(ring_buffer_high, use_ring(); buffer[1].addr = 1ul << 63)                                                    \
	X(ring_buffer_long, use_ring(); buffer[1].len = -1ul)                                                          \
	X(ring_nobody_holds, map_ring(); s.n_fds = 6)                                                                  \
	X(group_without_entry, use_group(); s.files[7].ffy = NULL)                                                     \
	X(group_with_flags, use_group(); group.faflags = 1u << 31)                                                     \
	X(group_that_decides, use_group(); mark[0].mask = 0x10000)                                                     \
	X(mark_without_inode, use_group(); mark[0].ie = NULL)                                                          \
	X(mark_without_mount, use_group(); mark[1].me = NULL)                                                          \
	X(mark_without_path, use_group(); mount_mark.path = NULL)                                                      \
	X(mark_of_missing_mount, use_group(); mount_mark.path = "/nowhere/at/all")                                     \
	X(mark_of_missing_file, use_group(); handle.path = "/nowhere/at/all")                                          \
	X(mark_of_unknown_file, use_group(); handle.path = NULL)                                                       \
	X(mark_short_handle, use_group(); handle.path = NULL; handle.bytes = 128)                                      \
	X(map_without_entry, use_map(); s.files[7].bpf = NULL)                                                         \
	X(map_of_unknown_type, use_map(); map.map_type = 9)                                                            \
	X(map_with_flags, use_map(); map.map_flags = 1 << 12)                                                          \
	X(map_of_device, use_map(); map.ifindex = 1)                                                                   \
	X(map_without_keys, use_map(); map.key_size = data.keys_bytes = 0)                                             \
	X(map_with_huge_values, use_map(); map.value_size = ~0u)                                                       \
	X(map_without_room, use_map(); map.max_entries = 0)                                                            \
	X(map_too_full, use_map(); map.max_entries = 1)                                                                \
	X(map_with_long_name, use_map(); map.map_name = "0123456789abcdef")                                            \
	X(map_keys_too_short, use_map(); data.keys_bytes = 7)                                                          \
	X(map_values_too_long, use_map(); data.values_bytes = 17; data_bytes = 25)                                     \
	X(map_values_cut, use_map(); data_bytes = 23)                                                                  \
	X(map_keys_behind_end, use_map(); data.keys_bytes = ~0u)

#define TAKEN(X)                                                                                                       \
	X(ring, use_ring())                                                                                            \
	X(ring_of_one, use_ring(); ring.setup_flags = 1 << 12)                                                         \
	X(ring_area, map_ring())                                                                                       \
	X(group, use_group())                                                                                          \
	X(map, use_map())                                                                                              \
	X(map_without_data, use_map(); n_data = 0)

#define X(name, change)                                                                                                \
	START_TEST(takes_##name)                                                                                       \
	{                                                                                                              \
		change;                                                                                                \
		write_all();                                                                                           \
		ck_assert(!try_plan() != lacks);                                                                       \
	}                                                                                                              \
	END_TEST
TAKEN(X)
#undef X

#define X(name, change)                                                                                                \
	START_TEST(refuses_##name)                                                                                     \
	{                                                                                                              \
		change;                                                                                                \
		write_all();                                                                                           \
		ck_assert_int_lt(try_plan(), 0);                                                                       \
	}                                                                                                              \
	END_TEST
CHANGES(X)
#undef X

int main(void)
{
	Suite *suite = suite_create("restore_files");
	TCase *c = tcase_create("restore_files");

	log_init(AT_FDCWD, "/dev/null", LOG_ERR);
	tcase_set_timeout(c, 60); /* only against hangs */
	tcase_add_checked_fixture(c, setup, teardown);
#define X(name, change) tcase_add_test(c, takes_##name);
	TAKEN(X)
#undef X
#define X(name, change) tcase_add_test(c, refuses_##name);
	CHANGES(X)
#undef X
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
