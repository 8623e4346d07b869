/* --help and --version, from the table of options. */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "version.h"

static void print_actions(void)
{
	puts("Actions:");
	for (size_t i = 0; i < action_count; i++)
		if (action_defs[i].action != ACTION_LATER)
			printf("  %-8s %-15s %s\n", action_defs[i].name, action_defs[i].args, action_defs[i].what);
}

static void print_option(const struct option_def *def)
{
	char letter[4] = "   ", form[64];

	if (def->letter)
		snprintf(letter, sizeof(letter), "-%c,", def->letter);
	snprintf(form, sizeof(form), "--%s%s%s%s%s", def->negatable ? "[no-]" : "", def->name,
		 def->arg == ARG_NONE	    ? ""
		 : def->arg == ARG_OPTIONAL ? "[="
					    : " ",
		 def->arg == ARG_NONE ? "" : def->value, def->arg == ARG_OPTIONAL ? "]" : "");
	printf("  %s %-26s %s\n", letter, form, def->what);
}

/* Prints the supported options whose actions match all bits of want and none of those of unwanted. */
static void print_options(const char *title, unsigned int want, unsigned int unwanted)
{
	printf("\n%s\n", title);
	for (size_t i = 0; i < option_count; i++)
		if (option_defs[i].type < TYPE_NOOP && (option_defs[i].actions & want) &&
		    !(option_defs[i].actions & unwanted))
			print_option(&option_defs[i]);
}

static void print_names(const char *title, enum option_type type)
{
	int column = 80;

	printf("\n%s", title);
	for (size_t i = 0; i < option_count; i++) {
		if (option_defs[i].type != type)
			continue;
		if (column + strlen(option_defs[i].name) + 4 > 78)
			column = printf("\n  ") - 1;
		column += printf(" --%s", option_defs[i].name);
	}
	puts("");
}

void print_help(void)
{
	puts("Usage: ckpt ACTION [OPTION]...\n"
	     "Writes a running process tree into image files and rebuilds it from them. The images, the options and\n"
	     "the exit statuses are CRIU's (version " CRIU_VERSION ").\n");
	print_actions();
	print_options("Options of dump and restore:", FOR_TREES, FOR_OTHERS);
	print_options("Options of show, explain, check and cpuinfo:", FOR_SHOW | FOR_EXPLAIN | FOR_CHECK | FOR_CPUINFO,
		      FOR_TREES | FOR_OTHERS);
	print_options("Options of all actions:", FOR_OTHERS, 0);
	print_names("Accepted, and without effect for the trees that ckpt can dump now:", TYPE_NOOP);
	print_names("Options of CRIU that are not supported yet:", TYPE_LATER);
	puts("\nExit status: 0 when all went well; that of the root task for a restore that is not detached; else 1.\n"
	     "Options may also stand in /etc/criu/default.conf, $HOME/.criu/default.conf and the file that\n"
	     "$CRIU_CONFIG_FILE names, one a line and without dashes. See ckpt(8).");
}

void print_version(void)
{
	puts("Version: " CRIU_VERSION "\nckpt " CKPT_VERSION " (images and options of CRIU " CRIU_VERSION ")");
}
