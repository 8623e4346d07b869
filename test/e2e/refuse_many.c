/*
 * Two tasks that hold one of everything that is not supported, among what is: every one is named once, with the reason
 * and what helps, and none is harmed. What this machine lacks is left out; what has programs of its own (terminals,
 * UNIX sockets, seccomp, namespaces, rings, ...) is not here again.
 */
#include "e2e.h"

#include <linux/bpf.h>
#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/perf_event.h>
#include <linux/rtnetlink.h>
#include <linux/userfaultfd.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#define MEMFD_SECRET 447 /* x86_64 */
#define LANDLOCK_CREATE_RULESET 444

struct held {
	int pair[2], event, epoll, inotify, timer, signals; /* these are supported */
	int tcp, secret, map;
	char *secret_page, *map_page, *missing, *locked;
};

static pid_t outside; /* a process that is not in the tree */

/* A descriptor that ckpt must name with these words; -1: this machine cannot have it. Returns it. */
static int expect(int fd, const char *words)
{
	if (fd >= 0)
		e2e_expect("%d fd %d %s", getpid(), fd, words);
	return fd;
}

static char *expect_area(void *page, const char *words)
{
	if (page == MAP_FAILED)
		return NULL;
	e2e_expect("%d area %lx %s", getpid(), (long)page, words);
	return page;
}

static void hold_supported(struct held *h)
{
	struct itimerspec soon = { { 0, 0 }, { 0, 1000000 } };
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set;

	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, h->pair) && write(h->pair[0], "in flight", 9) == 9);
	h->event = eventfd(5, 0);
	h->epoll = epoll_create1(0);
	must(!epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->event, &event));
	h->inotify = inotify_init1(IN_NONBLOCK);
	must(inotify_add_watch(h->inotify, e2e_dir, IN_CREATE) > 0);
	h->timer = timerfd_create(CLOCK_MONOTONIC, 0);
	must(!timerfd_settime(h->timer, 0, &soon, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	h->signals = signalfd(-1, &set, 0);
	must(!kill(getpid(), SIGUSR1));
}

static void hold_devices(void)
{
	expect(open("/dev/net/tun", O_RDWR), "TUN network");
	expect(open("/dev/rtc0", O_RDONLY), "real-time clock plugin");
	expect(open("/dev/fuse", O_RDWR), "FUSE connection");
	expect(open("/dev/kvm", O_RDWR), "virtual machine");
	expect(open("/dev/kmsg", O_RDONLY | O_NONBLOCK), "character device 1:11");
	expect(open("/dev/loop0", O_RDONLY), "block device 7:0");
}

static void hold_sockets(struct held *h)
{
	struct {
		struct nlmsghdr head;
		struct rtgenmsg message;
	} request = { { sizeof(request), RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, 0 }, { AF_UNSPEC } };
	struct sockaddr_in local = { .sin_family = AF_INET };
	int links = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	h->tcp = expect(socket(AF_INET, SOCK_STREAM, 0), "TCP socket");
	must(h->tcp < 0 || (!bind(h->tcp, (struct sockaddr *)&local, sizeof(local)) && !listen(h->tcp, 1)));
	expect(socket(AF_INET6, SOCK_DGRAM, 0), "UDP socket IPv6");
	expect(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), "raw socket");
	expect(socket(AF_PACKET, SOCK_DGRAM, 0), "packet socket");
	expect(socket(AF_VSOCK, SOCK_STREAM, 0), "VM socket");
	expect(socket(AF_ALG, SOCK_SEQPACKET, 0), "crypto socket");
	must(send(links, &request, sizeof(request), 0) == sizeof(request));
	expect(links, "netlink socket messages wait");
}

static int bpf(int command, union bpf_attr attr)
{
	return syscall(SYS_bpf, command, &attr, sizeof(attr));
}

static void hold_kernel_objects(struct held *h)
{
	static const struct bpf_insn code[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K },
						{ .code = BPF_JMP | BPF_EXIT } };
	struct perf_event_attr counter = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(counter) };
	uint64_t rights = 1;

	expect(bpf(BPF_PROG_LOAD, (union bpf_attr){ .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
						    .insns = (uint64_t)code,
						    .insn_cnt = 2,
						    .license = (uint64_t) "GPL" }),
	       "BPF program");
	expect(bpf(BPF_MAP_CREATE,
		   (union bpf_attr){
			   .map_type = BPF_MAP_TYPE_LRU_HASH, .key_size = 4, .value_size = 4, .max_entries = 4 }),
	       "BPF map type");
	h->map = bpf(BPF_MAP_CREATE, (union bpf_attr){ .map_type = BPF_MAP_TYPE_ARRAY,
						       .key_size = 4,
						       .value_size = 8,
						       .max_entries = 1,
						       .map_flags = BPF_F_MMAPABLE });
	h->map_page = expect_area(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, h->map, 0), "mapped BPF map");
	expect(syscall(SYS_perf_event_open, &counter, 0, -1, -1, 0), "performance counter");
	expect(syscall(LANDLOCK_CREATE_RULESET, &rights, sizeof(rights), 0), "Landlock ruleset");
	expect(pidfd_open(outside, 0), "pidfd outside");
}

static void hold_memory(struct held *h)
{
	struct uffdio_api api = { .api = UFFD_API };
	int faults = syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);

	expect(faults, "userfaultfd registered");
	h->missing = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register r = { .range = { (uint64_t)h->missing, 4096 }, .mode = UFFDIO_REGISTER_MODE_MISSING };
	must(h->missing != MAP_FAILED);
	if (faults >= 0 && !ioctl(faults, UFFDIO_API, &api) && !ioctl(faults, UFFDIO_REGISTER, &r))
		expect_area(h->missing, "userfaultfd area");
	h->secret = expect(syscall(MEMFD_SECRET, 0), "secret memory");
	if (h->secret >= 0) {
		must(!ftruncate(h->secret, 4096));
		h->secret_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, h->secret, 0);
		must(h->secret_page != MAP_FAILED && strcpy(h->secret_page, "secret"));
	}
	h->locked = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int key = pkey_alloc(0, 0);
	if (key > 0 && !pkey_mprotect(h->locked, 4096, PROT_READ | PROT_WRITE, key))
		expect_area(h->locked, "protection key");
}

static void hold_files(void)
{
	char name[64], path[PATH_MAX];

	snprintf(name, sizeof(name), "/ckpt-many-%d", getpid());
	int queue = expect(mq_open(name, O_CREAT | O_RDWR, 0600, NULL), "POSIX message queue");
	must(queue < 0 || !mq_unlink(name));
	snprintf(name, sizeof(name), "locked-%d", getpid());
	snprintf(path, sizeof(path), "%s", e2e_path(name));
	int locked = expect(open(path, O_RDWR | O_CREAT, 0600), "lock flock");
	must(locked >= 0 && !flock(locked, LOCK_SH));
	snprintf(name, sizeof(name), "first-%d", getpid());
	snprintf(path, sizeof(path), "%s", e2e_path(name));
	int linked = expect(open(path, O_RDWR | O_CREAT, 0600), "deleted file other names");
	snprintf(name, sizeof(name), "second-%d", getpid());
	must(linked >= 0 && !link(path, e2e_path(name)) && !unlink(path));
}

static void hold(struct held *h)
{
	hold_supported(h);
	hold_devices();
	hold_sockets(h);
	hold_kernel_objects(h);
	hold_memory(h);
	hold_files();
}

static void check(struct held *h)
{
	struct signalfd_siginfo info;
	struct epoll_event event;
	char buf[16] = "";
	uint64_t n = 0;

	must(read(h->pair[1], buf, 9) == 9 && !strcmp(buf, "in flight"));
	must(epoll_wait(h->epoll, &event, 1, 0) == 1);
	must(read(h->event, &n, 8) == 8 && n == 5);
	must(read(h->inotify, (char[4096]){ 0 }, 4096) > 0); /* "ready" and "check" were created */
	must(read(h->timer, &n, 8) == 8 && n == 1);
	must(read(h->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
	must(h->secret < 0 || !strcmp(h->secret_page, "secret"));
	must(!h->map_page || ++*h->map_page == 1);
	must(++*h->locked == 1);
}

static void child(void *arg)
{
	struct held h;

	hold(&h);
	e2e_child_ready();
	e2e_wait();
	check(&h);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct held h;

	e2e_begin(argc, argv);
	outside = getppid();
	pid_t pid = e2e_fork(child, NULL);
	hold(&h);

	e2e_wait();

	check(&h);
	e2e_join(pid);
	return 0;
}
