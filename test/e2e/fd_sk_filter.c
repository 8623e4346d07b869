/* Packet filters of UNIX sockets (SO_ATTACH_FILTER): one of them is locked, one socket has packets that it would drop.
 */
#include "e2e.h"

#include <linux/filter.h>
#include <sys/socket.h>

/* Lets packets through that begin with a letter, as they are or cut to 3 bytes. */
static struct sock_filter by_letter(char letter, unsigned int rest, int i)
{
	const struct sock_filter code[] = {
		{ BPF_LD | BPF_B | BPF_ABS, 0, 0, 0 },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, letter },
		{ BPF_RET | BPF_K, 0, 0, rest },
		{ BPF_RET | BPF_K, 0, 0, 0 },
	};

	return code[i];
}

static void attach(int fd, char letter, unsigned int rest)
{
	struct sock_filter code[4];
	struct sock_fprog filter = { 4, code };

	for (int i = 0; i < 4; i++)
		code[i] = by_letter(letter, rest, i);
	must(!setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)));
}

static void check(int fd, char letter, unsigned int rest)
{
	struct sock_filter now[16];
	socklen_t n = 16;

	must(!getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, now, &n));
	same(n, 4);
	for (int i = 0; i < 4; i++) {
		struct sock_filter wanted = by_letter(letter, rest, i);

		must(!memcmp(&now[i], &wanted, sizeof(wanted)));
	}
}

static int is_locked(int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	must(!getsockopt(fd, SOL_SOCKET, SO_LOCK_FILTER, &value, &size));
	return value;
}

static void expect(int fd, const char *packet)
{
	char buf[32] = "";

	must(recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT) == (ssize_t)strlen(packet) && !strcmp(buf, packet));
}

int main(int argc, char **argv)
{
	int cut[2], locked[2], on = 1;

	e2e_begin(argc, argv);
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, cut) && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, locked));
	must(send(cut[1], "before", 6, 0) == 6);
	attach(cut[0], 'a', 3);
	attach(locked[0], 'l', 0x7fffffff);
	must(!setsockopt(locked[0], SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)));
	must(send(cut[1], "another", 7, 0) == 7);

	e2e_wait();

	check(cut[0], 'a', 3);
	check(locked[0], 'l', 0x7fffffff);
	same(is_locked(cut[0]), 0);
	same(is_locked(locked[0]), 1);
	same(is_locked(locked[1]), 0);
	expect(cut[0], "before");
	expect(cut[0], "ano");
	send(cut[1], "back", 4, 0);
	must(send(cut[1], "abcdef", 6, 0) == 6);
	expect(cut[0], "abc");
	must(send(locked[1], "letter", 6, 0) == 6);
	expect(locked[0], "letter");
	must(setsockopt(locked[0], SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)) && errno == EPERM);
	must(!setsockopt(cut[0], SOL_SOCKET, SO_DETACH_FILTER, &on, sizeof(on)));
	return 0;
}
