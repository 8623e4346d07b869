/*
 * What no kind of descriptor knows, or a kind cannot do by its nature: what it is, why not, and what helps. Names are
 * those of man pages and of /proc; what is not in the tables is called as /proc does.
 */
#include "unsupported.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "compat.h"
#include "dump.h"
#include "kernel_abi.h"
#include "log.h"

#define CLOSE "have the program close it before the dump"
#define NOT_YET "descriptors of this kind are not supported yet"

struct known {
	const char *kind, *reason, *remedy;
};

/* By what the link in /proc/PID/fd begins with. */
static const struct {
	const char *link;
	struct known what;
} by_link[] = {
	{ "anon_inode:[userfaultfd]",
	  { "userfaultfd", "nothing shows what it is registered for, and who waits for a page",
	    CLOSE ", or run it without (QEMU: no postcopy; Java, Android: another garbage collector)" } },
	{ "anon_inode:[perf_event]", { "performance counter", NOT_YET, "end the measurement before the dump" } },
	{ "anon_inode:bpf-prog", { "BPF program", "programs in the kernel can't be read back", CLOSE } },
	{ "anon_inode:bpf_link", { "BPF link", "programs in the kernel can't be read back", CLOSE } },
	{ "anon_inode:btf", { "BPF type information", NOT_YET, CLOSE } },
	{ "anon_inode:seccomp notify",
	  { "seccomp listener", "it answers for system calls of others", "dump the program without its supervisor" } },
	{ "anon_inode:[landlock-ruleset]",
	  { "Landlock ruleset", "nothing shows its rules", CLOSE ", when it has put them on" } },
	{ "anon_inode:kvm-",
	  { "virtual machine", "its state is in the kernel", "save it by the means of its monitor" } },
	{ "anon_inode:[fscontext]", { "mount that is being made", NOT_YET, "dump the program when it is mounted" } },
	{ "anon_inode:sync_file", { "GPU fence", "what a GPU does can't be read", CLOSE } },
	{ "/dmabuf:", { "GPU buffer", "what a GPU holds can't be read", CLOSE } },
	{ "/dev/dri/", { "GPU", "what a GPU holds can't be read", "use CRIU with its plugin for this GPU" } },
	{ "/dev/kfd", { "GPU", "what a GPU holds can't be read", "use CRIU with its plugin for this GPU" } },
	{ "/dev/nvidia", { "GPU", "what a GPU holds can't be read", "use CRIU with its plugin for this GPU" } },
	{ "/dev/net/tun",
	  { "TUN device", "network devices are not supported yet",
	    "stop the program that uses it (VPN, virtual machine) and start it anew instead" } },
	{ "/dev/rtc",
	  { "real-time clock", "only its driver knows its alarms",
	    CLOSE ", or use CRIU with a plugin for it: ckpt takes none yet" } },
	{ "/dev/fuse",
	  { "FUSE connection", "the kernel waits for answers of this process",
	    "unmount its file system before the dump, and mount it after the restore" } },
	{ "/dev/kvm", { "virtual machine", "its state is in the kernel", "save it by the means of its monitor" } },
	{ "/dev/vhost-", { "vhost device", "its state is in the kernel", CLOSE } },
};

/* By the domain of a socket; what is not known is told by its number. */
static const struct {
	int domain;
	const char *kind;
} by_domain[] = {
	{ AF_PACKET, "packet socket" }, { AF_VSOCK, "VM socket" },  { AF_ALG, "crypto socket (AF_ALG)" },
	{ AF_KEY, "IPsec key socket" }, { AF_CAN, "CAN socket" },   { AF_BLUETOOTH, "Bluetooth socket" },
	{ AF_TIPC, "TIPC socket" },	{ AF_XDP, "XDP socket" },   { AF_RDS, "RDS socket" },
	{ AF_QIPCRTR, "QRTR socket" },	{ AF_PPPOX, "PPP socket" },
};

static int judge_as(struct dump *d, const struct dump_file *f, const char *kind, const char *reason, const char *remedy)
{
	char told[PATH_MAX + 256];

	snprintf(told, sizeof(told), "%s (%s)", reason, f->link);
	return blocker_add(d, f->pid, kind, told, remedy, "%s", f->where);
}

static void name_internet_socket(int domain, int type, int protocol, char *kind, size_t size)
{
	const char *name = protocol == IPPROTO_TCP	 ? "TCP"
			   : protocol == IPPROTO_UDP	 ? "UDP"
			   : protocol == IPPROTO_UDPLITE ? "UDP-Lite"
			   : protocol == IPPROTO_MPTCP	 ? "MPTCP"
			   : protocol == IPPROTO_SCTP	 ? "SCTP"
			   : type == SOCK_RAW		 ? "raw"
							 : "internet";

	snprintf(kind, size, "%s socket%s", name, domain == AF_INET6 ? " (IPv6)" : "");
}

static int judge_socket(struct dump *d, const struct dump_file *f)
{
	int domain = 0, type = 0, protocol = 0;
	socklen_t len = sizeof(int);
	char kind[64];

	_cleanup_close_ int fd = files_get(d, f);
	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) ||
	    getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len))
		return judge_as(d, f, "socket", NOT_YET, CLOSE);
	if (domain == AF_INET || domain == AF_INET6) {
		name_internet_socket(domain, type, protocol, kind, sizeof(kind));
		return judge_as(d, f, kind, "sockets of this kind are not supported yet",
				CLOSE ", or use UNIX sockets where it can");
	}
	snprintf(kind, sizeof(kind), "socket of family %d", domain);
	for (size_t i = 0; i < sizeof(by_domain) / sizeof(by_domain[0]); i++)
		if (by_domain[i].domain == domain)
			snprintf(kind, sizeof(kind), "%s", by_domain[i].kind);
	return judge_as(d, f, kind, "sockets of this kind are not supported yet", CLOSE);
}

static int judge_device(struct dump *d, const struct dump_file *f)
{
	char kind[64];

	snprintf(kind, sizeof(kind), "%s device %u:%u", S_ISCHR(f->st.st_mode) ? "character" : "block",
		 major(f->st.st_rdev), minor(f->st.st_rdev));
	return judge_as(d, f, kind, "only its driver knows its state", CLOSE);
}

/* The word that names what nobody knows: "eventfd" of "anon_inode:[eventfd]", "file" of a path. */
static int judge_other(struct dump *d, const struct dump_file *f)
{
	const char *at = f->link;
	char kind[64] = "file";

	if (!strncmp(at, "anon_inode:", 11))
		at += 11;
	if (*at == '[')
		at++;
	if (*at != '/')
		snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(at, "]:["), at);
	return judge_as(d, f, kind, NOT_YET, CLOSE);
}

int unsupported_judge(struct dump *d, const struct dump_file *f)
{
	for (size_t i = 0; i < sizeof(by_link) / sizeof(by_link[0]); i++)
		if (!strncmp(f->link, by_link[i].link, strlen(by_link[i].link)))
			return judge_as(d, f, by_link[i].what.kind, by_link[i].what.reason, by_link[i].what.remedy);
	if (S_ISSOCK(f->st.st_mode))
		return judge_socket(d, f);
	if (S_ISCHR(f->st.st_mode) || S_ISBLK(f->st.st_mode))
		return judge_device(d, f);
	return judge_other(d, f);
}

bool unsupported_is_on(long fs, const struct stat *st)
{
	return S_ISREG(st->st_mode) && (fs == MQUEUE_MAGIC || fs == SECRETMEM_MAGIC);
}

/* Whether a descriptor of the same file is told instead of an area. */
static bool has_descriptor(const struct dump *d, const struct dump_file *f)
{
	for (const struct dump_file *o = files_next(d, NULL); o; o = files_next(d, o))
		if (o->number >= 0 && o->st.st_ino == f->st.st_ino && o->st.st_dev == f->st.st_dev)
			return true;
	return false;
}

int unsupported_judge_on(struct dump *d, const struct dump_file *f, long fs)
{
	if (f->number < 0 && has_descriptor(d, f))
		return 0;
	if (fs == MQUEUE_MAGIC)
		return judge_as(d, f, "POSIX message queue",
				"what is in it, and who waits for it, is not supported until IPC namespaces are",
				"have the program close it (mq_close) before the dump");
	return judge_as(d, f, "secret memory", "memory of memfd_secret(2) is not to be read by others",
			"have the program give it back before the dump, or use memory that is locked (mlock)");
}

void unsupported_warn_sysv(const struct dump_task *t)
{
	for (size_t i = 0; i < t->n_threads; i++) {
		const struct remote *r = &t->threads[i].remote;
		bool queue = r->call_nr == SYS_msgsnd || r->call_nr == SYS_msgrcv;

		if (regs_compat(&r->regs) || (!queue && r->call_nr != SYS_semop && r->call_nr != SYS_semtimedop))
			continue;
		log_warn("task %d, thread %d waits in SysV %s %d, which stays in the system: it is not in the images, "
			 "and "
			 "must be there at the restore",
			 t->pid, t->threads[i].tid, queue ? "message queue" : "semaphore set", (int)r->regs.rdi);
	}
}
