/* The command line and the configuration files, without a process. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../ckpt/options.h"
#include "cpuinfo.h"
#include "log.h"
#include "packed.h"
#include "suite.h"

static struct opts opts;
static char config[] = "/tmp/ckpt-unit-config-XXXXXX";

/* Parses the words, which are separated by blanks, behind "ckpt". Returns what opts_parse does. */
static int parse(const char *words)
{
	static char line[65536], *argv[4096];
	int argc = 0;

	opts_free(&opts);
	opts_init(&opts);
	log_forget_error();
	snprintf(line, sizeof(line), "ckpt %s", words);
	for (char *rest = line, *word; (word = strsep(&rest, " "));)
		if (*word)
			argv[argc++] = word;
	argv[argc] = NULL;
	return opts_parse(&opts, argc, argv);
}

/* Parses "dump -t 5" with a configuration file of this text. */
static int parse_config(const char *text, const char *words)
{
	char line[256];
	int fd = open(config, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	snprintf(line, sizeof(line), "dump -t 5 --config %s %s", config, words);
	return parse(line);
}

#define ck_assert_good(words) ck_assert_msg(parse(words) == 0, "%s: %s", words, log_first_error() ?: "?")
/* The words are refused, with an error that holds the text. */
#define ck_assert_refused(words, text)                                                                                 \
	do {                                                                                                           \
		ck_assert_msg(parse(words) == -EINVAL, "%s is taken", words);                                          \
		ck_assert_msg(strstr(log_first_error(), text) != NULL, "%s: %s", words, log_first_error());            \
	} while (0)
#define ck_assert_config_refused(text, error)                                                                          \
	do {                                                                                                           \
		ck_assert_msg(parse_config(text, "") != 0, "%s is taken", text);                                       \
		ck_assert_msg(strstr(log_first_error(), error) != NULL, "%s: %s", text, log_first_error());            \
	} while (0)

START_TEST(options_stand_anywhere_and_in_every_form)
{
	static const char *const forms[] = {
		"dump -t 17 -D img -W work -o d.log -R -j",
		"-t 17 -D img dump -W work -o d.log -R -j",
		"--tree=17 --images-dir=img --work-dir=work --log-file=d.log --leave-running --shell-job dump",
		"dump --tree 17 --images-dir img --work-dir work --log-file d.log --leave-running --shell-job",
		"-Rjt17 -Dimg -Wwork -od.log dump",
		"dump --tre 17 --image img --work work --log-f d.log --leave-r --shell", /* as getopt_long abbreviates
											  */
		"-R -j -t 17 -D img -W work -o d.log -- dump",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		ck_assert_good(forms[i]);
		ck_assert_int_eq(opts.action, ACTION_DUMP);
		ck_assert_int_eq(opts.tree, 17);
		ck_assert_str_eq(opts.images_dir, "img");
		ck_assert_str_eq(opts.work_dir, "work");
		ck_assert_str_eq(opts.log_file, "d.log");
		ck_assert(opts.leave_running && opts.shell_job && !opts.leave_stopped);
	}
}
END_TEST

START_TEST(defaults)
{
	ck_assert_good("restore");
	ck_assert_int_eq(opts.action, ACTION_RESTORE);
	ck_assert_str_eq(opts.images_dir, ".");
	ck_assert_ptr_null(opts.work_dir);
	ck_assert_ptr_null(opts.log_file);
	ck_assert_int_eq(opts.verbosity, LOG_WARN);
	ck_assert_uint_eq(opts.timeout, 10);
	ck_assert_int_eq(opts.status_fd, -1);
	ck_assert(!opts.restore_detached && !opts.restore_sibling && !opts.json);
	ck_assert_ptr_null(opts.args[0]);
}
END_TEST

START_TEST(verbosity_as_in_criu)
{
	static const struct {
		const char *words;
		int level;
	} cases[] = {
		{ "", 2 },
		{ "-v", 3 },
		{ "-vv", 4 },
		{ "-vvvv", 6 },
		{ "-v -v", 4 },
		{ "-v0", 0 },
		{ "-v4", 4 },
		{ "-v 4", 3 },
		{ "--verbosity", 3 },
		{ "--verbosity=1", 1 },
		{ "-v3 -v", 4 },
		{ "-verbosity=0", 0 },
		{ "-verbosity=4", 4 },
		{ "-vv -v1", 1 },
	};
	char words[64];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* "-v 4" leaves a 4, which show takes for a file */
		snprintf(words, sizeof(words), "show %s", cases[i].words);
		ck_assert_good(words);
		ck_assert_msg(opts.verbosity == cases[i].level, "%s: %d", words, opts.verbosity);
	}
	ck_assert_refused("check -vx", "level");
	ck_assert_refused("check --verbosity=-1", "level");
	ck_assert_refused("check --verbosity=99999999999999999999", "level");
}
END_TEST

START_TEST(the_calls_of_zdtm)
{
	ck_assert_good("check --no-default-config --no-default-config -verbosity=0 --feature userns --unprivileged");
	ck_assert_str_eq(opts.feature, "userns");
	ck_assert_good("dump --no-default-config --log-file dump.log --images-dir dump/zdtm/1 --verbosity=4 --tree 4 "
		       "--pidfile /abs/x.pid --timeout 10 --leave-stopped --pre-dump-mode splice");
	ck_assert(opts.leave_stopped);
	ck_assert_good("restore --no-default-config --log-file restore.log --images-dir d --verbosity=4 "
		       "--mntns-compat-mode --restore-sibling --pidfile /abs/x.pid --leave-stopped --restore-detached");
	ck_assert(opts.restore_sibling && opts.restore_detached && opts.leave_stopped && opts.no_default_config);
	ck_assert_str_eq(opts.pidfile, "/abs/x.pid");
}
END_TEST

START_TEST(negation)
{
	ck_assert_good("restore -d -S -j --display-stats --no-restore-detached --no-restore-sibling --no-shell-job "
		       "--no-display-stats");
	ck_assert(!opts.restore_detached && !opts.restore_sibling && !opts.shell_job && !opts.display_stats);
	ck_assert_good("restore --no-restore-detached -d");
	ck_assert(opts.restore_detached);
	ck_assert_good("dump -t1 --no-tcp-established --no-track-mem"); /* asks for nothing */
	ck_assert_good("restore --track-mem");
	ck_assert_refused("restore --track-mem --lazy-pages", "have not come yet");
	ck_assert_refused("restore --track-mem --auto-dedup", "cut out");
	ck_assert_refused("dump -t1 --no-leave-running", "unknown option"); /* in CRIU, too */
	ck_assert_refused("dump -t1 --no-tree", "unknown option");
}
END_TEST

START_TEST(the_later_of_two_that_contradict_wins)
{
	ck_assert_good("dump -t1 -R -s");
	ck_assert(opts.leave_stopped && !opts.leave_running);
	ck_assert_good("dump -t1 -s -R");
	ck_assert(!opts.leave_stopped && opts.leave_running);
}
END_TEST

START_TEST(unknown_and_later_are_told_apart)
{
	ck_assert_refused("dump -t1 --leave-runing", "unknown option --leave-runing. Did you mean --leave-running?");
	ck_assert_refused("dump -t1 --images_dir=x", "Did you mean --images-dir?");
	ck_assert_refused("dump -t1 --qwertzuiop", "unknown option --qwertzuiop. See");
	ck_assert_refused("dump -t1 --ms", "unknown option");
	ck_assert_refused("dump -t1 -Z", "unknown option -Z");
	ck_assert_refused("dump -t1 --tcp-established", "not supported yet");
	ck_assert_refused("dump -t1 --external=dev[1/2]:x", "not supported yet");
	ck_assert_refused("dump -t1 --action-script x", "is not supported yet");
	ck_assert_refused("restore --inherit-fd fd[x]:tty[8800:1a]", "is not fd[NUMBER]:RESOURCE");
	ck_assert_refused("restore --inherit-fd fd[-1]:tty[8800:1a]", "is not fd[NUMBER]:RESOURCE");
	ck_assert_refused("restore --inherit-fd fd[3]", "is not fd[NUMBER]:RESOURCE");
	ck_assert_refused("restore --inherit-fd fd[3]:", "is not fd[NUMBER]:RESOURCE");
	ck_assert_refused("dump -t1 --external file[1]", "not supported yet");
	ck_assert_refused("dump -t1 --external unix[1]x", "not supported yet");
	ck_assert_refused("dump -t1 --file-validation sha", "filesize or buildid");
	ck_assert_refused("dump -t1 --bpf no", "auto, always or never");
	ck_assert_refused("swrk -t1", "the action swrk is not supported yet");
	ck_assert_refused("swrk 3", "the action swrk is not supported yet");
	ck_assert_refused("dumb -t1", "unknown action dumb");
	ck_assert_refused("", "no action");
}
END_TEST

/* Every option that CRIU knows is taken or told to be missing, never unknown. */
START_TEST(every_option_of_the_table)
{
	const struct option_def *def = &option_defs[_i];
	char words[256], *bar;

	snprintf(words, sizeof(words), "check --%s%s%s", def->name, def->arg == ARG_NONE ? "" : "=",
		 def->arg == ARG_NONE					 ? ""
		 : def->type == TYPE_NOOP				 ? def->value
		 : def->type == TYPE_STRING				 ? "word"
		 : def->type == TYPE_CPU_CAP				 ? "all"
		 : def->type == TYPE_PROGRESS				 ? "json"
		 : def->type == TYPE_PACKING				 ? "zstd"
		 : def->type == TYPE_VALIDATION || def->type == TYPE_BPF ? def->value
		 : def->type == TYPE_EXTERNAL				 ? "tty[8800:1a]"
		 : def->type == TYPE_INHERIT_FD				 ? "fd[0]:tty[8800:1a]"
									 : "1");
	bar = strchr(words, '|');
	if (bar)
		*bar = 0;
	if (!strcmp(def->name, "config"))
		return;
	if (def->type == TYPE_LATER)
		ck_assert_refused(words, "not supported yet");
	else
		ck_assert_good(words);
	ck_assert_ptr_eq(option_nearest(def->name), def);
	if (!def->negatable)
		return;
	snprintf(words, sizeof(words), "check --no-%s", def->name);
	ck_assert_good(words);
	ck_assert(def->arg == ARG_NONE || def->type == TYPE_PROGRESS);
}
END_TEST

START_TEST(names_and_letters_are_unique)
{
	for (size_t i = 0; i < option_count; i++)
		for (size_t j = 0; j < i; j++) {
			ck_assert_str_ne(option_defs[i].name, option_defs[j].name);
			ck_assert(!option_defs[i].letter || option_defs[i].letter != option_defs[j].letter);
		}
}
END_TEST

START_TEST(values_without_effect_are_checked)
{
	ck_assert_good("dump -t1 --pre-dump-mode read --network-lock=nftables --manage-cgroups=ignore");
	ck_assert_refused("dump -t1 --pre-dump-mode=fast", "none of splice|read");
	ck_assert_refused("dump -t1 --pre-dump-mode=", "none of");
	ck_assert_refused("dump -t1 --pre-dump-mode=splice|read", "none of");
	ck_assert_refused("dump -t1 --manage-cgroups", "not supported yet, only ignore");
	ck_assert_refused("dump -t1 --manage-cgroups=soft", "not supported yet, only ignore");
}
END_TEST

START_TEST(progress_and_statistics)
{
	ck_assert_good("dump -t1");
	ck_assert(opts.progress == PROGRESS_AUTO && !opts.stats_json);
	ck_assert_good("dump -t1 --progress --stats-json s.json");
	ck_assert_int_eq(opts.progress, PROGRESS_TEXT);
	ck_assert_str_eq(opts.stats_json, "s.json");
	ck_assert_good("restore --progress=json");
	ck_assert_int_eq(opts.progress, PROGRESS_JSON);
	ck_assert_good("restore --progress=json --no-progress");
	ck_assert_int_eq(opts.progress, PROGRESS_OFF);
	ck_assert_refused("dump -t1 --progress=xml", "is not json");
	ck_assert_refused("dump -t1 --stats-json=", "--stats-json");
}
END_TEST

START_TEST(verify_takes_a_directory)
{
	ck_assert_good("verify");
	ck_assert_str_eq(opts.images_dir, ".");
	ck_assert_good("verify some/dir");
	ck_assert_str_eq(opts.images_dir, "some/dir");
	ck_assert_good("verify -D dir --progress=json");
	ck_assert_str_eq(opts.images_dir, "dir");
	ck_assert_refused("verify a b", "takes one directory");
	ck_assert_good("dump -t1 --compress lz4");
	ck_assert_uint_eq(opts.packing, PACK_LZ4);
	ck_assert_refused("dump -t1 --compress gzip", "lz4 or zstd");
	ck_assert_refused("dump -t1 --compress lz4 --page-server --port 1", "are not compressed");
	ck_assert_good("dump -t1 --checksum");
	ck_assert(opts.checksum && !opts.no_checksum);
	ck_assert_good("restore --no-checksum");
	ck_assert(opts.no_checksum && !opts.checksum);
}
END_TEST

START_TEST(things_from_outside)
{
	ck_assert_good("dump -t1 --external file[1f:2a] --external unix[12] --external tty[8800:1a]");
	ck_assert_ptr_nonnull(opts_find_outside(&opts, "file[1f:2a]", false));
	ck_assert_ptr_null(opts_find_outside(&opts, "file[1f:2a]", true));
	ck_assert_good("restore --inherit-fd fd[3]:pipe[12] --inherit-fd fd[4]:socket:[13] --inherit-fd fd[5]:a/b");
	ck_assert_int_eq(opts_find_outside(&opts, "pipe:[12]", true)->fd, 3);
	ck_assert_int_eq(opts_find_outside(&opts, "socket:[13]", true)->fd, 4);
	ck_assert_int_eq(opts_find_outside(&opts, "/a/b", true)->fd, 5);
	ck_assert_ptr_null(opts_find_outside(&opts, "pipe:[123]", true));
	ck_assert_ptr_null(opts_find_outside(&opts, "/a", true));
	ck_assert_ptr_null(opts_find_outside(&opts, "/a/bc", true));
}
END_TEST

START_TEST(cpu_capabilities)
{
	ck_assert_good("restore");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_DEFAULT);
	ck_assert_good("restore --cpu-cap");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_ALL);
	ck_assert_good("restore --cpu-cap=none");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_NONE);
	ck_assert_good("cpuinfo check --cpu-cap=cpu");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_ALL);
	ck_assert_good("cpuinfo dump --cpu-cap=^fpu");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_INS);
	ck_assert_good("restore --cpu-cap=none,fpu");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_FPU);
	ck_assert_good("restore --cpu-cap=^all");
	ck_assert_uint_eq(opts.cpu_caps, CPU_CAP_NONE);
	ck_assert_refused("restore --cpu-cap=gpu", "--cpu-cap");
	ck_assert_refused("restore --cpu-cap=fp", "--cpu-cap");
	ck_assert_refused("restore --cpu-cap=,", "--cpu-cap");
	ck_assert_refused("restore --cpu-cap=^", "--cpu-cap");
	ck_assert_refused("cpuinfo", "cpuinfo dump, or");
	ck_assert_refused("cpuinfo look", "cpuinfo dump, or");
	ck_assert_refused("cpuinfo dump check", "cpuinfo dump, or");
}
END_TEST

START_TEST(numbers_are_checked)
{
	static const char *const bad[] = { "0",	 "-1", "abc", "1x", "0x10", "+1", "2147483648", "99999999999999999999",
					   "1e3" };
	char words[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(words, sizeof(words), "dump --tree=%s", bad[i]);
		ck_assert_refused(words, "--tree");
	}
	ck_assert_refused("dump --tree=", "--tree");
	ck_assert_good("dump -t 2147483647 --timeout 0 --status-fd 0");
	ck_assert_uint_eq(opts.timeout, 0);
	ck_assert_int_eq(opts.status_fd, 0);
	ck_assert_good("dump -t1 --timeout 4294967295");
	ck_assert_refused("dump -t1 --timeout 4294967296", "--timeout");
	ck_assert_good("dump -t1 --ghost-limit 3g");
	ck_assert_uint_eq(opts.ghost_limit, 3ul << 30);
	ck_assert_good("dump -t1 --ghost-limit=512");
	ck_assert_uint_eq(opts.ghost_limit, 512);
	ck_assert_refused("dump -t1 --ghost-limit 18446744073709551615K", "--ghost-limit");
	ck_assert_refused("dump -t1 --ghost-limit K", "--ghost-limit");
	ck_assert_refused("dump -t1 --ghost-limit 1T", "--ghost-limit");
	ck_assert_refused("dump -t1 --timeout -1", "--timeout");
	ck_assert_refused("dump -t1 --status-fd -1", "--status-fd");
	ck_assert_refused("dump -t1 --status-fd abc", "--status-fd");
	ck_assert_good("check --close 5 --close 7");
	ck_assert_uint_eq(opts.close_count, 2);
	ck_assert_int_eq(opts.close_fds[1], 7);
}
END_TEST

START_TEST(values_are_demanded_and_refused)
{
	ck_assert_refused("dump -t", "-t needs a value");
	ck_assert_refused("dump -t1 --images-dir", "--images-dir needs a value: DIR");
	ck_assert_refused("dump -t1 --images-dir=", "--images-dir");
	ck_assert_refused("dump -t1 --leave-running=yes", "takes no value");
	ck_assert_refused("dump -t1 --no-shell-job=yes", "takes no value");
	ck_assert_refused("dump -t1 --leave", "ambiguous");
}
END_TEST

START_TEST(arguments_of_actions)
{
	ck_assert_refused("dump", "-t PID");
	ck_assert_refused("dump -t1 more", "takes no argument: \"more\"");
	ck_assert_refused("restore more", "takes no argument");
	ck_assert_refused("dump dump -t1", "takes no argument");
	ck_assert_good("explain 12 --json");
	ck_assert_int_eq(opts.tree, 12);
	ck_assert_good("explain -t 13");
	ck_assert_int_eq(opts.tree, 13);
	ck_assert_refused("explain", "explain needs one process");
	ck_assert_refused("explain 1 2", "explain needs one process");
	ck_assert_refused("explain 12x", "explain needs one process");
	ck_assert_refused("explain -5", "unknown option");
	ck_assert_good("show a b --json c");
	ck_assert_uint_eq(opts.arg_count, 3);
	ck_assert_str_eq(opts.args[2], "c");
	ck_assert_good("show -- --odd-name");
	ck_assert_str_eq(opts.args[0], "--odd-name");
}
END_TEST

START_TEST(help_and_version_come_first)
{
	ck_assert_good("--version");
	ck_assert_int_eq(opts.action, ACTION_VERSION);
	ck_assert_good("dump -V --bogus");
	ck_assert_int_eq(opts.action, ACTION_VERSION);
	ck_assert_good("-h");
	ck_assert_int_eq(opts.action, ACTION_HELP);
	ck_assert_good("--config /nonexistent/file --help");
}
END_TEST

START_TEST(the_log_file_is_known_after_errors)
{
	ck_assert_refused("dump --bogus -D dir -o d.log", "unknown option --bogus");
	ck_assert_str_eq(opts.log_file, "d.log");
	ck_assert_str_eq(opts.images_dir, "dir");
}
END_TEST

START_TEST(hostile_words)
{
	char *words = malloc(60010);
	unsigned int seed = 1;

	strcpy(words, "dump --");
	memset(words + 7, 'a', 60000);
	words[60007] = 0;
	ck_assert_refused(words, "unknown option");
	log_mute(true);
	for (int i = 0; i < 20000; i++) {
		static const char letters[] = "-=no tvdDWoRsj19:|%[]#\"\\\xff\n";
		size_t len = rand_r(&seed) % 40;

		for (size_t j = 0; j < len; j++)
			words[j] = letters[rand_r(&seed) % (sizeof(letters) - 1)];
		words[len] = 0;
		parse(words);
	}
	log_mute(false);
	free(words);
}
END_TEST

START_TEST(config_lines)
{
	ck_assert_int_eq(parse_config("# a comment\n"
				      "\n"
				      "   \t \n"
				      "images-dir first # and a comment\n"
				      "images-dir\t=\tsecond\r\n"
				      "work-dir \"a \\\"b\\\" \\c # d\"\n"
				      "log-file=x#y\n"
				      "leave-running\n"
				      "no-shell-job # off\n"
				      "verbosity=4\n"
				      "timeout 3",
				      ""),
			 0);
	ck_assert_str_eq(opts.images_dir, "second");
	ck_assert_str_eq(opts.work_dir, "a \"b\" \\c # d");
	ck_assert_str_eq(opts.log_file, "x");
	ck_assert(opts.leave_running && !opts.shell_job);
	ck_assert_int_eq(opts.verbosity, 4);
	ck_assert_uint_eq(opts.timeout, 3);
}
END_TEST

START_TEST(config_errors_name_file_and_line)
{
	char place[64];

	ck_assert_config_refused("timeout 1\nbogus\n", "unknown option --bogus");
	snprintf(place, sizeof(place), "%s:2: ", config);
	ck_assert_ptr_nonnull(strstr(log_first_error(), place));
	ck_assert_config_refused("tcp-established\n", "not supported yet");
	ck_assert_config_refused("timeout\n", "needs a value");
	ck_assert_config_refused("timeout =\n", "no value");
	ck_assert_config_refused("timeout abc\n", "not a number");
	ck_assert_config_refused("timeout 1 2\n", "more than one value");
	ck_assert_config_refused("leave-running yes\n", "takes no value");
	ck_assert_config_refused("--leave-running\n", "without dashes");
	ck_assert_config_refused("-R\n", "without dashes");
	ck_assert_config_refused("log-file \"a b\n", "quote");
	ck_assert_config_refused("config other\n", "configuration file");
	ck_assert_config_refused("no-default-config\n", "configuration file");
	ck_assert_config_refused("help\n", "configuration file");
	ck_assert_config_refused("dump\n", "unknown option");
	ck_assert_config_refused("=\n", ":1: ");
}
END_TEST

START_TEST(the_command_line_wins_over_files)
{
	ck_assert_int_eq(parse_config("timeout 3\nleave-running\nlog-file a\n", "--timeout 4 -s"), 0);
	ck_assert_uint_eq(opts.timeout, 4);
	ck_assert(opts.leave_stopped && !opts.leave_running);
	ck_assert_str_eq(opts.log_file, "a");
}
END_TEST

START_TEST(default_files)
{
	char home[] = "/tmp/ckpt-unit-home-XXXXXX", path[128], command[300];

	ck_assert_ptr_nonnull(mkdtemp(home));
	snprintf(command, sizeof(command),
		 "mkdir %s/.criu && echo timeout 7 > %s/.criu/default.conf && echo timeout 8 > %s/named", home, home,
		 home);
	ck_assert_int_eq(system(command), 0);
	setenv("HOME", home, 1);
	ck_assert_good("dump -t1");
	ck_assert_uint_eq(opts.timeout, 7);
	ck_assert_good("dump -t1 --no-default-config");
	ck_assert_uint_eq(opts.timeout, 10);
	snprintf(path, sizeof(path), "%s/named", home);
	setenv("CRIU_CONFIG_FILE", path, 1);
	ck_assert_good("dump -t1");
	ck_assert_uint_eq(opts.timeout, 8);
	setenv("CRIU_CONFIG_FILE", "/nonexistent/file", 1);
	ck_assert_int_eq(parse("dump -t1"), -ENOENT);
	ck_assert_ptr_nonnull(strstr(log_first_error(), "CRIU_CONFIG_FILE"));
	ck_assert_int_eq(parse("dump -t1 --no-default-config --config /nonexistent/file"), -ENOENT);
	snprintf(command, sizeof(command), "rm -r %s", home);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

START_TEST(hostile_config_files)
{
	unsigned int seed = 1;

	ck_assert_int_ne(parse_config("timeout 1\n\001\002\xff\xfe\n", ""), 0);
	log_mute(true);
	for (int i = 0; i < 3000; i++) {
		static const char letters[] = "timeou tlg-f=\"\\#\n\t\r1\xff";
		char text[80];
		size_t len = rand_r(&seed) % (sizeof(text) - 1);

		for (size_t j = 0; j < len; j++)
			text[j] = letters[rand_r(&seed) % (sizeof(letters) - 1)];
		text[len] = 0;
		parse_config(text, "");
	}
	log_mute(false);
}
END_TEST

static void quiet(void)
{
	unsetenv("CRIU_CONFIG_FILE");
	setenv("HOME", "/nonexistent", 1);
	close(mkstemp(config));
}

static void clean(void)
{
	opts_free(&opts);
	unlink(config);
}

int main(void)
{
	Suite *s = suite_create("options");
	TCase *tc = tcase_create("options");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, quiet, clean);
	tcase_add_test(tc, options_stand_anywhere_and_in_every_form);
	tcase_add_test(tc, defaults);
	tcase_add_test(tc, verbosity_as_in_criu);
	tcase_add_test(tc, the_calls_of_zdtm);
	tcase_add_test(tc, negation);
	tcase_add_test(tc, the_later_of_two_that_contradict_wins);
	tcase_add_test(tc, progress_and_statistics);
	tcase_add_test(tc, verify_takes_a_directory);
	tcase_add_test(tc, things_from_outside);
	tcase_add_test(tc, cpu_capabilities);
	tcase_add_test(tc, unknown_and_later_are_told_apart);
	tcase_add_loop_test(tc, every_option_of_the_table, 0, option_count);
	tcase_add_test(tc, names_and_letters_are_unique);
	tcase_add_test(tc, values_without_effect_are_checked);
	tcase_add_test(tc, numbers_are_checked);
	tcase_add_test(tc, values_are_demanded_and_refused);
	tcase_add_test(tc, arguments_of_actions);
	tcase_add_test(tc, help_and_version_come_first);
	tcase_add_test(tc, the_log_file_is_known_after_errors);
	tcase_add_test(tc, hostile_words);
	tcase_add_test(tc, config_lines);
	tcase_add_test(tc, config_errors_name_file_and_line);
	tcase_add_test(tc, the_command_line_wins_over_files);
	tcase_add_test(tc, default_files);
	tcase_add_test(tc, hostile_config_files);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
