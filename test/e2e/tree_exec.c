/* Children that executed another program (by vfork and exec), talking through pipes; and a new one after the restore.
 */
#include "e2e.h"

#include <spawn.h>

extern char **environ;

struct filter {
	pid_t pid;
	int in, out;
};

static struct filter start(const char *program, const char *arg)
{
	char *argv[] = { (char *)program, (char *)arg, NULL };
	posix_spawn_file_actions_t actions;
	struct filter f;
	int in[2], out[2];

	must(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	if (posix_spawnp(&f.pid, program, &actions, NULL, argv, environ))
		skip("no %s", program);
	close(in[0]);
	close(out[1]);
	f.in = in[1];
	f.out = out[0];
	return f;
}

static void expect(struct filter *f, const char *text, const char *answer)
{
	char buf[64] = "";
	size_t got = 0;

	must(write(f->in, text, strlen(text)) == (ssize_t)strlen(text));
	if (f->in >= 0 && *answer) {
		while (got < strlen(answer)) {
			ssize_t n = read(f->out, buf + got, sizeof(buf) - 1 - got);
			must(n > 0);
			got += n;
		}
		if (strcmp(buf, answer))
			fail("answer \"%s\", not \"%s\"", buf, answer);
	}
}

static void finish(struct filter *f)
{
	close(f->in);
	e2e_join(f->pid);
	close(f->out);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	struct filter cat = start("cat", NULL), shell = start("sh", "-s");
	expect(&cat, "before", "before");
	expect(&shell, "x=4; echo $x\n", "4\n");

	e2e_wait();

	expect(&cat, "after", "after");
	expect(&shell, "echo $((x + 38))\n", "42\n");
	finish(&cat);
	finish(&shell);
	struct filter late = start("cat", NULL);
	expect(&late, "new", "new");
	finish(&late);
	return 0;
}
