/* A socket whose packets are filtered by an eBPF program, which nobody can read. */
#include "e2e.h"

#include <linux/bpf.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	/* r0 = 3, exit: packets are cut to three bytes */
	static const struct bpf_insn code[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 3 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = 2,
		.license = (uintptr_t) "GPL",
	};
	char buf[8] = "";
	int pair[2];

	e2e_begin(argc, argv);
	int program = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
	if (program < 0)
		skip("can't load an eBPF program: %s", strerror(errno));
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	must(!setsockopt(pair[0], SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)));
	must(!close(program));
	e2e_expect("%d fd %d packet filter eBPF", getpid(), pair[0]);

	e2e_wait();

	must(send(pair[1], "packet", 6, 0) == 6 && recv(pair[0], buf, sizeof(buf), 0) == 3 && !strcmp(buf, "pac"));
	return 0;
}
