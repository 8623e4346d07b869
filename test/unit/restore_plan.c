/* The plan of a restore: good images are taken, all others are refused, and none makes it crash. */
#include "restore_set.h"
#include "suite.h"

/* Makes it a 32-bit program. */
static void narrow(void)
{
	s.regs.general.cs = 0x23;
	s.regs.general.has_mode = true;
	s.regs.general.mode = USER_X86_REGS_MODE__COMPAT;
	s.regs.general.gs = 0x63;
	s.regs.tls[0].entry_number = 12;
	s.regs.tls[0].base_addr = AREA;
	s.regs.tls[0].usable = true;
	s.action.has_compat_sigaction = s.action.compat_sigaction = true;
	s.thread.futex_rla_len = 12;
}

/* What can be wrong: each change alone must be refused. */
static uint32_t other_build[] = { 1 };
static char *relative_links[] = { "relative" };
static uint64_t other_filter[4097]; /* BPF_LD of nothing */

#define CHANGES(X)                                                                                                     \
	X(version, s.inventory.img_version = 9)                                                                        \
	X(no_root_ids, s.inventory.root_ids = NULL)                                                                    \
	X(namespace, s.ids.has_net_ns_id = true; s.ids.net_ns_id = 77)                                                 \
	X(other_cpu, s.has_cpu = true; s.cpu.words[9] = s.cpu.words[11] = ~0u)                                         \
	X(cpu_of_unknown_version, s.has_cpu = true; s.cpu.x86.capability_ver = 9)                                      \
	X(no_task, s.n_pstree = 0)                                                                                     \
	X(same_pid_twice, s.n_pstree = 2; s.pstree[1].ppid = s.pid)                                                    \
	X(own_parent, s.n_pstree = 2; s.pstree[1].pid = s.pstree[1].ppid = s.pid + 1)                                  \
	X(pid_0, s.pstree[0].pid = 0)                                                                                  \
	X(huge_pid, s.pstree[0].pid = 0x7fffffff)                                                                      \
	X(threads_without_leader, s.pstree[0].n_threads = 2; s.threads[0] = s.pid + 1; s.threads[1] = s.pid + 2)       \
	X(thread_twice, s.pstree[0].n_threads = 2)                                                                     \
	X(foreign_session, s.pstree[0].sid = 1)                                                                        \
	X(pid_in_use, s.pid = s.pstree[0].pgid = s.pstree[0].sid = s.pstree[0].pid = s.threads[0] = 1)                 \
	X(other_machine, s.core.mtype = CORE_ENTRY__MARCH__ARM)                                                        \
	X(no_state, s.core.tc = NULL)                                                                                  \
	X(no_registers, s.core.thread_info = NULL)                                                                     \
	X(code_32_bit, s.regs.general.cs = 0x23)                                                                       \
	X(narrow_high_area, narrow(); s.vma[1].end = s.vma[1].start = 1ul << 32; s.vma[1].end += 0x1000)               \
	X(narrow_last_page, narrow(); s.vma[1].start = 0xffffe000; s.vma[1].end = 0xfffff000)                          \
	X(narrow_code_is_wide, narrow(); s.regs.general.cs = 0x33)                                                     \
	X(narrow_robust_length, narrow(); s.thread.futex_rla = AREA; s.thread.futex_rla_len = 24)                      \
	X(narrow_wide_handler, narrow(); s.action.compat_sigaction = false; s.action.sigaction = AREA)                 \
	X(wide_narrow_handler, s.action.has_compat_sigaction = s.action.compat_sigaction = true;                       \
	  s.action.sigaction = AREA)                                                                                   \
	X(selector, s.regs.general.gs = 0x7b)                                                                          \
	X(thread_area, s.regs.tls[0].usable = true; s.regs.tls[0].entry_number = 11)                                   \
	X(kernel_fs_base, s.regs.general.fs_base = 0xffff800000000000)                                                 \
	X(few_xmm, s.regs.fp.n_xmm_space = 3)                                                                          \
	X(main_thread_exited_alone, s.tc.task_state = 0x6)                                                             \
	X(stopped_without_threads, s.tc.task_state = TASK_STOPPED; s.tc.has_main_thread_exited = true;                 \
	  s.tc.main_thread_exited = true)                                                                              \
	X(dead_root, s.tc.task_state = TASK_DEAD)                                                                      \
	X(unknown_state, s.tc.task_state = 0x55)                                                                       \
	X(seccomp_mode, use_filters(0); s.thread.seccomp_mode = 7)                                                     \
	X(seccomp_no_image, use_filters(0); s.n_filters = 0)                                                           \
	X(seccomp_unknown, use_filters(9))                                                                             \
	X(seccomp_unknown_prev, use_filters(1); s.filters[1].prev = 2)                                                 \
	X(seccomp_circle, use_filters(1); s.filters[0].has_prev = true; s.filters[0].prev = 1)                         \
	X(seccomp_flags, use_filters(1); s.filters[1].flags = SECCOMP_FILTER_FLAG_NEW_LISTENER)                        \
	X(seccomp_empty, use_filters(1); s.filters[0].filter.len = 0)                                                  \
	X(seccomp_cut, use_filters(1); s.filters[0].filter.len = 9)                                                    \
	X(seccomp_too_long, use_filters(1); s.filters[0].filter.len = sizeof(s.code))                                  \
	X(no_creds, s.thread.creds = NULL)                                                                             \
	X(unknown_capability, s.creds.n_cap_prm = 2; s.caps[1] = 1u << 31; s.creds.cap_prm = s.caps)                   \
	X(few_actions, s.tc.n_sigactions = 3)                                                                          \
	X(robust_length, s.thread.futex_rla = AREA; s.thread.futex_rla_len = 25)                                       \
	X(timer_twice, s.posix[1].it_id = 9)                                                                           \
	X(timer_id, s.posix[0].it_id = 1u << 31)                                                                       \
	X(timer_clock, s.posix[0].clock_id = 4)                                                                        \
	X(timer_device_clock, s.posix[0].clock_id = -5)                                                                \
	X(timer_foreign_clock, s.posix[0].clock_id = ~1u << 3 | 2)                                                     \
	X(timer_foreign_thread_clock, s.posix[0].clock_id = ~1u << 3 | 6)                                              \
	X(timer_signal, s.posix[0].si_signo = 65)                                                                      \
	X(timer_no_signal, s.posix[0].si_signo = 0)                                                                    \
	X(timer_notify, s.posix[0].it_sigev_notify = 5)                                                                \
	X(timer_no_thread, s.posix[0].it_sigev_notify = 4)                                                             \
	X(timer_foreign_thread, s.posix[0].it_sigev_notify = 4; s.posix[0].has_notify_thread_id = true;                \
	  s.posix[0].notify_thread_id = 1)                                                                             \
	X(timer_nsec, s.posix[0].vnsec = 1000000000)                                                                   \
	X(timer_sec, s.posix[1].isec = 1ul << 62)                                                                      \
	X(timer_range, s.timer.iusec = 1000000)                                                                        \
	X(deadline, s.thread.has_sched_policy = true; s.thread.sched_policy = 6)                                       \
	X(deadline_runtime, s.thread.has_sched_policy = true; s.thread.sched_policy = 6;                               \
	  s.thread.has_sched_runtime = s.thread.has_sched_deadline = s.thread.has_sched_period = true;                 \
	  s.thread.sched_runtime = 2; s.thread.sched_deadline = 1; s.thread.sched_period = 3)                          \
	X(thp_bits, s.tc.has_thp_disable = true; s.tc.thp_disable = 5)                                                 \
	X(autogroup, s.tc.has_autogroup_nice = true; s.tc.autogroup_nice = 20)                                         \
	X(affinity_of_none, s.thread.has_cpu_affinity = true; s.thread.cpu_affinity.len = 2;                           \
	  s.thread.cpu_affinity.data = s.mask)                                                                         \
	X(affinity_too_long, s.thread.has_cpu_affinity = true; s.thread.cpu_affinity.len = sizeof(s.mask);             \
	  s.thread.cpu_affinity.data = s.mask; s.mask[sizeof(s.mask) - 1] = 1)                                         \
	X(coredump_filter, s.tc.has_coredump_filter = true; s.tc.coredump_filter = 0x10000)                            \
	X(mdwe_bits, s.tc.has_mdwe = true; s.tc.mdwe = 4)                                                              \
	X(mdwe_inherit_alone, s.tc.has_mdwe = true; s.tc.mdwe = 2)                                                     \
	X(io_class, s.thread.has_io_priority = true; s.thread.io_priority = 4 << 13)                                   \
	X(io_level_of_none, s.thread.has_io_priority = true; s.thread.io_priority = 1)                                 \
	X(vdso_in_part, s.vma[0].status |= VMA_AREA_VDSO)                                                              \
	X(vdso_no_elf, s.vma[0].status |= VMA_AREA_VDSO; s.vma[0].end = AREA + 0x2000)                                 \
	X(vdso_in_pieces, s.vma[0].status |= VMA_AREA_VDSO; s.vma[1] = s.vma[0]; s.vma[1].start += 0x10000;            \
	  s.vma[1].end += 0x10000)                                                                                     \
	X(vdso_huge, s.vma[0].status |= VMA_AREA_VDSO; s.vma[0].end = AREA + 0x11000)                                  \
	X(two_files_one_id, s.files[1].id = 1)                                                                         \
	X(relative_path, s.reg[2].name = "dev/null")                                                                   \
	X(missing_file, s.reg[2].name = "/nowhere/at/all")                                                             \
	X(changed_size, s.reg[0].has_size = true; s.reg[0].size = 1)                                                   \
	X(changed_permissions, s.reg[2].has_mode = true; s.reg[2].mode = S_IFCHR | 0111)                               \
	X(another_build, s.reg[0].n_build_id = 1; s.reg[0].build_id = other_build)                                     \
	X(file_from_outside_not_given, s.reg[2].has_ext = s.reg[2].ext = true; s.reg[2].name = "file[1:2]")            \
	X(program_from_outside_not_given, s.reg[0].has_ext = s.reg[0].ext = true)                                      \
	X(changed_type, s.reg[2].has_mode = true; s.reg[2].mode = S_IFDIR)                                             \
	X(entry_of_other_kind, s.files[2].type = FD_TYPES__PIPE)                                                       \
	X(unsupported_kind, s.files[2].type = s.fds[0].type = s.fds[1].type = FD_TYPES__TUNF)                          \
	X(eventfd_without_entry, s.files[3].efd = NULL)                                                                \
	X(eventfd_counter, s.eventfd.counter = ~0ul)                                                                   \
	X(timerfd_without_entry, s.files[4].tfd = NULL)                                                                \
	X(timerfd_clock, s.timerfd.clockid = 77)                                                                       \
	X(timerfd_flags, s.timerfd.settime_flags = 8)                                                                  \
	X(timerfd_nsec, s.timerfd.vnsec = 1000000000)                                                                  \
	X(timerfd_sec, s.timerfd.isec = 1ul << 63)                                                                     \
	X(signalfd_without_entry, s.files[5].sgfd = NULL)                                                              \
	X(netlink_without_entry, s.files[9].nlsk = NULL)                                                               \
	X(netlink_type, s.nlsk.has_type = true; s.nlsk.type = 5)                                                       \
	X(netlink_protocol, s.nlsk.protocol = 0x80000000)                                                              \
	X(netlink_groups, s.nlsk.n_groups = 65; s.nlsk.groups = (uint32_t *)s.mask)                                    \
	X(tty_without_entry, s.files[10].tty = NULL)                                                                   \
	X(tty_without_info, s.tty[0].tty_info_id = 77)                                                                 \
	X(tty_without_number, s.tty_info[0].pty = NULL)                                                                \
	X(tty_huge_number, s.pty.index = 1 << 20)                                                                      \
	X(tty_huge_size, s.winsize.ws_col = 65536)                                                                     \
	X(tty_master_twice, s.tty_info[1].rdev = 0x502)                                                                \
	X(tty_console_nowhere, s.tty_info[0].type = TTY_TYPE__CONSOLE)                                                 \
	X(tty_console_is_another, s.tty_info[0].type = TTY_TYPE__CONSOLE; s.tty[0].has_regf_id = true;                 \
	  s.tty[0].regf_id = 3)                                                                                        \
	X(tty_unknown_type, s.tty_info[0].type = TTY_TYPE__UNKNOWN)                                                    \
	X(tty_external_not_given, s.tty_info[0].type = TTY_TYPE__EXT_TTY)                                              \
	X(tty_master_outside, s.tty_info[0].rdev = 136 << 8)                                                           \
	X(tty_line_ends_behind, s.tty_ends[1] = 9)                                                                     \
	X(tty_line_ends_backwards, s.tty_ends[0] = 2; s.tty_ends[1] = 1)                                               \
	X(unix_without_entry, s.files[7].usk = NULL)                                                                   \
	X(unix_type, s.usk[0].type = s.usk[1].type = 3)                                                                \
	X(unix_state, s.usk[0].state = 5)                                                                              \
	X(unix_listens_nameless, s.usk[0].state = 10)                                                                  \
	X(unix_datagram_listens, s.usk[0].state = 10; s.usk[0].type = 2)                                               \
	X(unix_long_name, s.usk[0].name.len = 200; s.usk[0].name.data = s.mask)                                        \
	X(unix_relative_dir, s.usk[0].name_dir = "tmp")                                                                \
	X(unix_relative_path, s.usk[0].path = "tmp")                                                                   \
	X(unix_unknown_peer, s.usk[0].peer = 77)                                                                       \
	X(unix_own_peer, s.usk[0].peer = 100)                                                                          \
	X(unix_peer_of_another, s.usk[1].peer = 0)                                                                     \
	X(unix_peer_of_other_type, s.usk[1].type = 5)                                                                  \
	X(socket_filter_without_end, s.sk_opts.n_so_filter = 1; s.sk_opts.so_filter = other_filter)                    \
	X(socket_filter_too_long, s.sk_opts.n_so_filter = 4097; s.sk_opts.so_filter = other_filter)                    \
	X(unix_peer_number, s.usk[0].has_peer_pid = true; s.usk[0].peer_pid = 1u << 31)                                \
	X(unix_relative_link, s.usk[0].n_links = 1; s.usk[0].links = relative_links)                                   \
	X(unix_external_stream, s.usk[0].uflags = 1)                                                                   \
	X(unix_unknown_uflags, s.usk[0].uflags = 16)                                                                   \
	X(unix_huge_buffer, s.sk_opts.so_sndbuf = 0xffffffff)                                                          \
	X(unix_timeout, s.sk_opts.so_rcv_tmo_usec = 1000000)                                                           \
	X(epoll_without_entry, s.files[6].epfd = NULL)                                                                 \
	X(epoll_unknown_number, s.watch.tfd = 77)                                                                      \
	X(epoll_unknown_file, s.watch.has_file_id = true; s.watch.file_id = 99)                                        \
	X(epoll_itself, s.watch.has_file_id = true; s.watch.file_id = 7)                                               \
	X(epoll_huge_number, s.watch.tfd = 0x7ffffffe)                                                                 \
	X(epoll_negative_number, s.watch.tfd = 0xffffffff)                                                             \
	X(fifo_without_entry, use_fifo(); s.files[7].fifo = NULL)                                                      \
	X(fifo_without_name, use_fifo(); s.fifo.regf_id = 99)                                                          \
	X(fifo_with_name_of_a_pair, use_fifo(); s.fifo.regf_id = 8)                                                    \
	X(fifo_that_is_a_device, use_fifo())                                                                           \
	X(pidfd_without_entry, use_pidfd(s.pid); s.files[7].pidfd = NULL)                                              \
	X(pidfd_of_foreign_process, use_pidfd(1))                                                                      \
	X(pidfd_flags, use_pidfd(s.pid); s.pidfd.flags = 1)                                                            \
	X(lock_of_unknown_descriptor, s.n_locks = 1; s.lock.fd = 77)                                                   \
	X(lock_of_unknown_task, s.n_locks = 1; s.lock.pid = 1)                                                         \
	X(lock_of_unknown_kind, s.n_locks = 1; s.lock.flag = 3)                                                        \
	X(lock_of_unknown_type, s.n_locks = 1; s.lock.type = 2)                                                        \
	X(lock_before_start, s.n_locks = 1; s.lock.start = -1)                                                         \
	X(lock_overflow, s.n_locks = 1; s.lock.start = 2; s.lock.len = INT64_MAX)                                      \
	X(lease_type, s.n_locks = 1; s.lock.flag = LOCK_KIND_LEASE; s.lock.type = 5)                                   \
	X(inotify_without_entry, use_inotify(); s.files[7].ify = NULL)                                                 \
	X(inotify_of_missing_file, use_inotify(); s.fh.path = "/nowhere/at/all")                                       \
	X(inotify_of_unknown_file, use_inotify(); s.fh.path = NULL)                                                    \
	X(inotify_short_handle, use_inotify(); s.fh.path = NULL; s.fh.bytes = 128)                                     \
	X(inotify_number_0, use_inotify(); s.wd.wd = 0)                                                                \
	X(inotify_number, use_inotify(); s.wd.wd = 0x7fffffff)                                                         \
	X(ns_without_entry, use_ns(0x40000000, 0); s.files[7].nsf = NULL)                                              \
	X(ns_of_unknown_kind, use_ns(3, 0))                                                                            \
	X(ns_of_another, use_ns(0x40000000, 77))                                                                       \
	X(type_differs, s.fds[0].type = FD_TYPES__TTY)                                                                 \
	X(unknown_file, s.fds[0].id = 99)                                                                              \
	X(same_fd_twice, s.fds[1].fd = 0)                                                                              \
	X(huge_fd, s.fds[1].fd = 0x7ffffffe)                                                                           \
	X(negative_fd, s.fds[1].fd = 0xffffffff)                                                                       \
	X(unknown_cwd, s.fs.cwd_id = 99)                                                                               \
	X(unknown_exe, s.mm.exe_file_id = 99)                                                                          \
	X(unaligned, s.vma[0].end -= 1)                                                                                \
	X(backwards, s.vma[0].end = s.vma[0].start - 0x1000)                                                           \
	X(kernel_space, s.vma[0].end = 0xffff800000000000)                                                             \
	X(overlap, s.vma[0].end = s.vma[1].start + 0x1000)                                                             \
	X(two_kinds, s.vma[0].status |= VMA_ANON_SHARED)                                                               \
	X(shared_and_private, s.vma[0].flags |= 1)                                                                     \
	X(unknown_flags, s.vma[0].flags |= 1u << 30)                                                                   \
	X(lock_future, s.mm.has_lock_future = true; s.mm.lock_future = 1)                                              \
	X(aio_without_area, s.mm.n_aios = 1; s.mm.aios = s.aios)                                                       \
	X(aio_without_context, s.vma[0].status = VMA_AREA_AIORING; s.vma[0].flags = 1)                                 \
	X(aio_of_other_size, s.vma[0].status = VMA_AREA_AIORING; s.vma[0].flags = 1; s.mm.n_aios = 1;                  \
	  s.mm.aios = s.aios; s.aio.id = AREA; s.aio.ring_len = 4096)                                                  \
	X(unaligned_huge, s.vma[0].flags |= 0x40000)                                                                   \
	X(size_of_huge, s.vma[0].flags |= 0x40000 | 1u << 26)                                                          \
	X(memfd_without_inode, s.files[2].type = s.fds[0].type = s.fds[1].type = FD_TYPES__MEMFD;                      \
	  s.files[2].reg = NULL; s.files[2].memfd = &s.memfd)                                                          \
	X(remap_of_unknown_file, s.n_remaps = 1; s.remap.orig_id = 99)                                                 \
	X(remap_to_link, s.n_remaps = 1; s.remap.remap_type = REMAP_TYPE__LINKED)                                      \
	X(remap_to_proc, s.n_remaps = 1; s.remap.remap_type = REMAP_TYPE__PROCFS)                                      \
	X(ghost_missing, s.n_remaps = 1; s.n_ghosts = 0)                                                               \
	X(ghost_socket, s.n_remaps = 1; s.ghost.mode = S_IFSOCK)                                                       \
	X(ghost_without_size, s.n_remaps = 1; s.ghost.has_size = false)                                                \
	X(ghost_too_large, s.n_remaps = 1; s.ghost.size = 1ull << 63)                                                  \
	X(ghost_chunk_behind_end, s.n_remaps = 1; s.chunk.off = 8190)                                                  \
	X(ghost_chunk_overflow, s.n_remaps = 1; s.chunk.off = -50ull)                                                  \
	X(ghost_chunk_cut, s.n_remaps = 1; s.ghost_bytes = 99)                                                         \
	X(ghost_name, s.n_remaps = 1; s.reg[2].name = "/proc/self/exe/x")                                              \
	X(sysv_private, s.vma[0].status |= VMA_AREA_SYSVIPC)                                                           \
	X(sysv_unknown, s.vma[0].flags = 0x21;                                                                         \
	  s.vma[0].status = VMA_AREA_REGULAR | VMA_ANON_SHARED | VMA_AREA_SYSVIPC)                                     \
	X(mapped_file_unknown, s.vma[1].shmid = 99)                                                                    \
	X(pages_outside, s.page.vaddr = AREA + 0x3000)                                                                 \
	X(pages_unaligned, s.page.vaddr = AREA + 1)                                                                    \
	X(pages_overflow, s.page.nr_pages = 1ul << 52)                                                                 \
	X(pages_none, s.page.nr_pages = 0)                                                                             \
	X(pages_missing, s.pages = 1)                                                                                  \
	X(pages_image_unknown, s.head.pages_id = 7)                                                                    \
	X(pages_in_parent, s.page.flags = PE_PARENT)

START_TEST(good)
{
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

START_TEST(good_narrow)
{
	narrow();
	s.thread.futex_rla = AREA;
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

START_TEST(takes_pidfds)
{
	use_pidfd(s.pid);
	write_set();
	ck_assert_int_eq(try_plan(), 0);
	s.pidfd.nspid = -1;
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

START_TEST(takes_lock)
{
	s.n_locks = 1;
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

START_TEST(takes_inotify)
{
	use_inotify();
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

/* A descriptor's file may grow if the user says so; never shrink, and not what is mapped. */
START_TEST(takes_grown_file)
{
	s.reg[2].name = "/proc/self/exe";
	s.reg[2].has_size = true;
	s.reg[2].size = 1;
	write_set();
	ck_assert_int_lt(try_plan(), 0);
	allow_grown = true;
	ck_assert_int_eq(try_plan(), 0);
	s.reg[2].size = INT64_MAX;
	write_set();
	ck_assert_int_lt(try_plan(), 0);
	s.reg[2].has_size = false;
	s.reg[0].has_size = true;
	s.reg[0].size = 1;
	write_set();
	ck_assert_int_lt(try_plan(), 0);
}
END_TEST

START_TEST(takes_filters)
{
	use_filters(1);
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

/* An image of a machine with more CPUs than this one: that is told, and restored. */
START_TEST(takes_ghost)
{
	s.n_remaps = 1;
	s.reg[2].name = "/tmp/ckpt-unit-ghost/in/directories/that/are/gone";
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

START_TEST(takes_foreign_affinity)
{
	s.thread.has_cpu_affinity = true;
	s.thread.cpu_affinity = (ProtobufCBinaryData){ 1024, s.mask };
	s.mask[1023] = 0x80;
	write_set();
	ck_assert_int_eq(try_plan(), 0);
}
END_TEST

static void count(void *arg, const char *reason)
{
	++*(int *)arg;
}

/* What a dump asks: whether anybody could fork such a tree. */
START_TEST(judges_shapes)
{
	const struct opts opts = { .status_fd = -1 };
	struct restore_shape tree[] = {
		{ .pid = 10, .pgid = 10, .sid = 10 },
		{ .pid = 11, .pgid = 99, .sid = 99, .parent = 0 },
		{ .pid = 12, .pgid = 10, .sid = 10, .parent = 0 },
		{ .pid = 13, .pgid = 10, .sid = 10, .parent = 2, .dead = true },
	};
	int reasons = 0;

	ck_assert_int_eq(restore_judge_tree(&opts, tree, 4, count, &reasons), 0);
	ck_assert_int_eq(reasons, 0);
	/* A second member of a session without leader, under a parent that cannot have been in it. */
	tree[3] = (struct restore_shape){ .pid = 13, .pgid = 99, .sid = 99, .parent = 2 };
	ck_assert_int_eq(restore_judge_tree(&opts, tree, 4, count, &reasons), 0);
	ck_assert_int_gt(reasons, 0);
	reasons = 0;
	tree[3] = (struct restore_shape){ .pid = 13, .pgid = 10, .sid = 13, .parent = 2 };
	ck_assert_int_eq(restore_judge_tree(&opts, tree, 4, count, &reasons), 0);
	ck_assert_int_gt(reasons, 0);
}
END_TEST

/* Tables that tasks share must reach them through the tree. */
START_TEST(judges_shared_tables)
{
	const struct opts opts = { 0 };
	struct restore_shape tree[] = {
		{ .pid = 10, .pgid = 10, .sid = 10, .files = 10, .fs = 10 },
		{ .pid = 11, .pgid = 10, .sid = 10, .parent = 0, .files = 11, .fs = 10 },
		{ .pid = 12, .pgid = 10, .sid = 10, .parent = 1, .files = 10, .fs = 12 },
		{ .pid = 13, .pgid = 10, .sid = 10, .parent = 2, .files = 13, .fs = 12 },
		{ .pid = 14, .pgid = 10, .sid = 10, .parent = 0, .files = 10, .fs = 14 },
	};
	int reasons = 0;

	ck_assert_int_eq(restore_judge_tree(&opts, tree, 5, count, &reasons), 0);
	ck_assert_int_eq(reasons, 0);
	/* 10 and 12 have one, 11 and 13 another: what is between 11 and 12 would have to pass on both. */
	tree[3].files = 11;
	ck_assert_int_eq(restore_judge_tree(&opts, tree, 5, count, &reasons), 0);
	ck_assert_int_eq(reasons, 1);
	/* 12 has directories of its own and passes on those of others. */
	tree[3].files = 13;
	tree[3].fs = 10;
	ck_assert_int_eq(restore_judge_tree(&opts, tree, 5, count, &reasons), 0);
	ck_assert_int_eq(reasons, 1);
}
END_TEST

#define X(name, change)                                                                                                \
	START_TEST(refuses_##name)                                                                                     \
	{                                                                                                              \
		change;                                                                                                \
		write_set();                                                                                           \
		ck_assert_int_lt(try_plan(), 0);                                                                       \
	}                                                                                                              \
	END_TEST
CHANGES(X)
#undef X

/* Calls fn for each image with its bytes; fn may write to it. */
static void each_image(void (*fn)(int fd, const uint8_t *bytes, size_t len))
{
	DIR *d = opendir(path);

	for (struct dirent *e; (e = readdir(d));) {
		char name[384];
		static uint8_t bytes[65536];

		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		int fd = open(name, O_RDWR);
		ssize_t len = read(fd, bytes, sizeof(bytes));
		ck_assert(len > 0);
		fn(fd, bytes, len);
		ck_assert_int_eq(pwrite(fd, bytes, len, 0), len);
		close(fd);
	}
	closedir(d);
}

static void truncate_image(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t n = len > 4096 ? len - 64 : 0; n < len; n++) {
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		ck_assert_int_eq(pwrite(fd, bytes, n, 0), n);
		try_plan();
	}
}

static void damage_image(int fd, const uint8_t *bytes, size_t len)
{
	for (size_t n = 0; n < len && n < 4096; n++) {
		const uint8_t values[] = { bytes[n] ^ 0x80, bytes[n] ^ 1, 0xff };

		for (size_t v = 0; v < sizeof(values); v++) {
			ck_assert_int_eq(pwrite(fd, &values[v], 1, n), 1);
			try_plan();
		}
		ck_assert_int_eq(pwrite(fd, &bytes[n], 1, n), 1);
	}
}

START_TEST(survives_truncated_images)
{
	use_filters(1);
	write_set();
	each_image(truncate_image);
}
END_TEST

START_TEST(survives_damaged_images)
{
	use_filters(1);
	write_set();
	each_image(damage_image);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("restore_plan");
	TCase *refuse = tcase_create("refuse"), *hostile = tcase_create("hostile");

	log_init(AT_FDCWD, "/dev/null", LOG_ERR);
	tcase_set_timeout(refuse, 60); /* only against hangs */
	tcase_add_checked_fixture(refuse, setup, teardown);
	tcase_add_test(refuse, good);
	tcase_add_test(refuse, good_narrow);
	tcase_add_test(refuse, takes_foreign_affinity);
	tcase_add_test(refuse, judges_shapes);
	tcase_add_test(refuse, judges_shared_tables);
	tcase_add_test(refuse, takes_filters);
	tcase_add_test(refuse, takes_grown_file);
	tcase_add_test(refuse, takes_inotify);
	tcase_add_test(refuse, takes_lock);
	tcase_add_test(refuse, takes_pidfds);
	tcase_add_test(refuse, takes_ghost);
#define X(name, change) tcase_add_test(refuse, refuses_##name);
	CHANGES(X)
#undef X
	tcase_add_checked_fixture(hostile, setup, teardown);
	tcase_set_timeout(hostile, 300);
	tcase_add_test(hostile, survives_truncated_images);
	tcase_add_test(hostile, survives_damaged_images);
	suite_add_tcase(suite, refuse);
	suite_add_tcase(suite, hostile);
	return suite_run(suite);
}
