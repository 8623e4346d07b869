/*
 * Credentials: real, effective, saved and file-system ids, groups, capabilities of all sets, securebits, no_new_privs;
 * in several tasks that differ, and (by the bare system calls) in a thread that differs from its process.
 */
#include "e2e.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sys/fsuid.h>

struct caps {
	struct __user_cap_data_struct set[2];
};

static struct caps get_caps(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct caps caps;

	must(!syscall(SYS_capget, &head, caps.set));
	return caps;
}

static void set_caps(const struct caps *caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };

	must(!syscall(SYS_capset, &head, caps->set));
}

static void user_with_groups(void *arg)
{
	gid_t groups[] = { 10, 20, 4000000000u }, now[8];
	uid_t r, e, s;

	must(!setgroups(3, groups) && !setresgid(101, 102, 103) && !setresuid(201, 202, 203));
	must(!prctl(PR_SET_DUMPABLE, 1));
	e2e_child_ready();
	e2e_wait();
	must(!getresuid(&r, &e, &s) && r == 201 && e == 202 && s == 203);
	must(!getresgid(&r, &e, &s) && r == 101 && e == 102 && s == 103);
	same(getgroups(8, now), 3);
	must(!memcmp(groups, now, sizeof(groups)));
	same(setfsuid(-1), 202);
	struct caps caps = get_caps();
	must(!caps.set[0].effective && !caps.set[1].effective);
	_exit(0);
}

static void root_with_fewer_caps(void *arg)
{
	struct caps caps = get_caps(), now;

	must(!prctl(PR_CAPBSET_DROP, CAP_SYS_TIME));
	must(!prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_KEEP_CAPS_LOCKED));
	caps.set[0].effective &= ~((1u << CAP_NET_RAW) | (1u << CAP_SYS_TIME));
	caps.set[0].permitted &= ~(1u << CAP_SYS_TIME);
	caps.set[0].inheritable = 1u << CAP_CHOWN;
	set_caps(&caps);
	must(!prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
	caps = get_caps();
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	e2e_child_ready();
	e2e_wait();
	now = get_caps();
	must(!memcmp(&now, &caps, sizeof(caps)));
	same(prctl(PR_CAPBSET_READ, CAP_SYS_TIME), 0);
	same(prctl(PR_GET_SECUREBITS), SECBIT_NOROOT | SECBIT_KEEP_CAPS_LOCKED);
	same(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0), 1);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	_exit(0);
}

/* It is about to give up being root, but not its capabilities. */
static void keeps_caps(void *arg)
{
	must(!prctl(PR_SET_KEEPCAPS, 1));
	e2e_child_ready();
	e2e_wait();
	same(prctl(PR_GET_KEEPCAPS), 1);
	struct caps before = get_caps();
	must(!setresuid(5, 5, 5));
	struct caps after = get_caps();
	same(after.set[0].permitted, before.set[0].permitted);
	_exit(0);
}

/* Another user than ckpt's, undumpable: nobody but root may look into it. */
static void undumpable(void *arg)
{
	must(!setresgid(400, 400, 400) && !setresuid(401, 401, 401));
	must(!prctl(PR_SET_DUMPABLE, 0));
	e2e_child_ready();
	e2e_wait();
	same(prctl(PR_GET_DUMPABLE), 0);
	same(getuid(), 401);
	_exit(0);
}

static volatile bool thread_ready;

static void *other_thread(void *arg)
{
	gid_t groups[2] = { 8, 9 };
	uid_t r, e, s;

	must(!syscall(SYS_setgroups, 2, groups));
	must(!syscall(SYS_setresgid, 6, 7, -1));
	must(!prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS));
	must(!syscall(SYS_setresuid, 300, 301, 302));
	struct caps caps = get_caps(), now;
	caps.set[0].effective = caps.set[0].permitted = 1u << CAP_CHOWN | 1u << CAP_KILL;
	caps.set[1].effective = caps.set[1].permitted = 0;
	set_caps(&caps);
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	thread_ready = true;
	e2e_wait();
	must(!syscall(SYS_getresgid, &r, &e, &s) && r == 6 && e == 7 && s == 0);
	must(!syscall(SYS_getresuid, &r, &e, &s) && r == 300 && e == 301 && s == 302);
	must(syscall(SYS_getgroups, 2, groups) == 2 && groups[0] == 8 && groups[1] == 9);
	same(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS);
	same(prctl(PR_GET_KEEPCAPS), 1);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	now = get_caps();
	must(!memcmp(&now, &caps, sizeof(caps)));
	return NULL;
}

static void threads_that_differ(void *arg)
{
	pthread_t thread;

	must(!pthread_create(&thread, NULL, other_thread, NULL));
	while (!thread_ready)
		e2e_sleep_ms(1);
	e2e_child_ready();
	e2e_wait();
	same(syscall(SYS_getegid), 0);
	same(syscall(SYS_geteuid), 0);
	same(prctl(PR_GET_SECUREBITS), 0);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	pthread_join(thread, NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t pid[5];

	e2e_begin(argc, argv);
	if (geteuid())
		skip("needs root");
	pid[0] = e2e_fork(user_with_groups, NULL);
	pid[1] = e2e_fork(root_with_fewer_caps, NULL);
	pid[2] = e2e_fork(threads_that_differ, NULL);
	pid[3] = e2e_fork(keeps_caps, NULL);
	pid[4] = e2e_fork(undumpable, NULL);

	e2e_wait();

	for (int i = 0; i < 5; i++)
		e2e_join(pid[i]);
	same(getuid(), 0);
	return 0;
}
