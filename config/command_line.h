/*
 * The command line of imservd (design.md 8):
 *   imservd [-c FILE] [--set KEY=VALUE]... [--insecure]
 *           [--check-config | --print-config | --version | --help]
 *
 * Thread: main.  The strings are those of argv; only the list is allocated.
 */
#ifndef CONFIG_COMMAND_LINE_H
#define CONFIG_COMMAND_LINE_H

#include <stdio.h>

#include "config/config.h"

#define EXIT_CLEAN   0 /* design.md 8 */
#define EXIT_RUNTIME 1 /* bind, store */
#define EXIT_USAGE   2 /* command line or configuration */

enum command { COMMAND_RUN, COMMAND_CHECK_CONFIG, COMMAND_PRINT_CONFIG, COMMAND_VERSION, COMMAND_HELP };

struct command_line {
	enum command command;
	struct config_source source; /* ready for config_load */
	char error[160];	     /* why EXIT_USAGE, for a person */
};

/* 0, or EXIT_USAGE with ->error set (out of memory too).  End with command_line_free in both cases.
 * `-c FILE`, `-cFILE`, `--config FILE`, `--set KEY=VALUE` and `--set=KEY=VALUE` are understood. */
int config_command_line(int argc, char **argv, struct command_line *out);

void command_line_free(struct command_line *line);

/* What --help prints; also after a usage error. */
void config_command_help(FILE *out);

#endif
