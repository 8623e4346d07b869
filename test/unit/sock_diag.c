/* Answers of sock_diag(7): a good one, the same cut off at every byte, and with lengths that lie. */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>

#include "sock_diag.h"
#include "suite.h"

static _Alignas(8) uint8_t answer[512];
static const uint8_t zeros[128];

static void add(uint16_t type, const void *data, size_t len)
{
	struct nlmsghdr *head = (struct nlmsghdr *)answer;
	struct rtattr *a = (struct rtattr *)(answer + NLMSG_ALIGN(head->nlmsg_len));

	a->rta_type = type;
	a->rta_len = RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	head->nlmsg_len = NLMSG_ALIGN(head->nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static size_t make(void)
{
	struct nlmsghdr *head = (struct nlmsghdr *)answer;
	const struct unix_diag_rqlen queues = { 1, 7 };
	const uint32_t peer = 12, icons[] = { 5, 6 };
	const uint8_t shutdown = 2;

	memset(answer, 0, sizeof(answer));
	*head = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(struct unix_diag_msg)),
				   .nlmsg_type = SOCK_DIAG_BY_FAMILY };
	*(struct unix_diag_msg *)NLMSG_DATA(head) = (struct unix_diag_msg){
		.udiag_family = AF_UNIX, .udiag_type = SOCK_STREAM, .udiag_state = 10, .udiag_ino = 99
	};
	add(UNIX_DIAG_NAME, "\0name", 5);
	add(UNIX_DIAG_PEER, &peer, sizeof(peer));
	add(UNIX_DIAG_ICONS, icons, sizeof(icons));
	add(UNIX_DIAG_RQLEN, &queues, sizeof(queues));
	add(UNIX_DIAG_SHUTDOWN, &shutdown, 1);
	return head->nlmsg_len;
}

START_TEST(whole)
{
	static struct unix_diag d;

	ck_assert_int_eq(sock_diag_parse_unix(answer, make(), &d), 0);
	ck_assert_uint_eq(d.type, SOCK_STREAM);
	ck_assert_uint_eq(d.state, 10);
	ck_assert_uint_eq(d.ino, 99);
	ck_assert_uint_eq(d.peer, 12);
	ck_assert_uint_eq(d.wqueue, 7);
	ck_assert_uint_eq(d.shutdown, 2);
	ck_assert_uint_eq(d.n_icons, 2);
	ck_assert_uint_eq(d.icons[1], 6);
	ck_assert_uint_eq(d.name_len, 5);
	ck_assert(!memcmp(d.name, "\0name", 5));
}
END_TEST

START_TEST(cut_off)
{
	static struct unix_diag d;

	for (size_t len = make(); len-- > 0;)
		ck_assert_int_eq(sock_diag_parse_unix(answer, len, &d), -EBADMSG);
}
END_TEST

START_TEST(damaged)
{
	static struct unix_diag d;
	size_t len = make();

	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			answer[i] ^= 1 << bit;
			sock_diag_parse_unix(answer, len, &d);
			answer[i] ^= 1 << bit;
		}
	}
	make();
	add(UNIX_DIAG_NAME, zeros, sizeof(d.name) + 1);
	ck_assert_int_eq(sock_diag_parse_unix(answer, ((struct nlmsghdr *)answer)->nlmsg_len, &d), -EBADMSG);
	make();
	add(UNIX_DIAG_PEER, zeros, 3);
	ck_assert_int_eq(sock_diag_parse_unix(answer, ((struct nlmsghdr *)answer)->nlmsg_len, &d), -EBADMSG);
}
END_TEST

START_TEST(error)
{
	struct nlmsghdr *head = (struct nlmsghdr *)answer;
	static struct unix_diag d;

	memset(answer, 0, sizeof(answer));
	*head = (struct nlmsghdr){ .nlmsg_len = NLMSG_LENGTH(sizeof(struct nlmsgerr)), .nlmsg_type = NLMSG_ERROR };
	((struct nlmsgerr *)NLMSG_DATA(head))->error = -ENOENT;
	ck_assert_int_eq(sock_diag_parse_unix(answer, head->nlmsg_len, &d), -ENOENT);
	((struct nlmsgerr *)NLMSG_DATA(head))->error = 0;
	ck_assert_int_eq(sock_diag_parse_unix(answer, head->nlmsg_len, &d), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sock_diag");
	TCase *c = tcase_create("sock_diag");

	tcase_add_test(c, whole);
	tcase_add_test(c, cut_off);
	tcase_add_test(c, damaged);
	tcase_add_test(c, error);
	suite_add_tcase(s, c);
	return suite_run(s);
}
