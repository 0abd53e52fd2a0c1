#include "config/command_line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
	int argc, at;
	char **argv;
	struct command_line *line;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct cursor *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(c->line->error, sizeof(c->line->error), format, ap);
	va_end(ap);
	return EXIT_USAGE;
}

/* The value of option `name`: joined with `=` or, for one letter, with nothing, else the next
 * argument.  NULL and *is_it when there is none. */
static const char *value_of(struct cursor *c, const char *name, bool *is_it)
{
	const char *argument = c->argv[c->at];
	size_t n = strlen(name);
	bool is_letter = n == 2;

	*is_it = strncmp(argument, name, n) == 0 &&
		 (argument[n] == '\0' || argument[n] == '=' || is_letter);
	if (!*is_it)
		return NULL;
	if (argument[n])
		return argument + n + (is_letter ? 0 : 1);
	return c->at + 1 < c->argc ? c->argv[++c->at] : NULL;
}

static int take_command(struct cursor *c, enum command command)
{
	if (c->line->command != COMMAND_RUN && c->line->command != command)
		return refuse(c, "%s: expected one command", c->argv[c->at]);
	c->line->command = command;
	return 0;
}

static int take_file(struct cursor *c, const char *file)
{
	if (!file || !*file)
		return refuse(c, "-c: expected a file");
	if (c->line->source.file)
		return refuse(c, "-c %.100s: expected one file", file);
	c->line->source.file = file;
	return 0;
}

static int take_set(struct cursor *c, const char *option)
{
	struct config_source *source = &c->line->source;

	if (!option)
		return refuse(c, "--set: expected KEY=VALUE");
	((const char **)source->set)[source->set_count++] = option;
	return 0;
}

static int take(struct cursor *c)
{
	static const struct {
		const char *name;
		enum command command;
	} commands[] = { { "--check-config", COMMAND_CHECK_CONFIG },
			 { "--print-config", COMMAND_PRINT_CONFIG },
			 { "--version", COMMAND_VERSION },
			 { "--help", COMMAND_HELP },
			 { "-h", COMMAND_HELP } };
	const char *argument = c->argv[c->at], *value;
	bool is_it;

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(argument, commands[i].name) == 0)
			return take_command(c, commands[i].command);
	if (strcmp(argument, "--insecure") == 0) {
		c->line->source.insecure = true;
		return 0;
	}
	value = value_of(c, "--set", &is_it);
	if (is_it)
		return take_set(c, value);
	value = value_of(c, "--config", &is_it);
	if (is_it)
		return take_file(c, value);
	value = value_of(c, "-c", &is_it);
	if (is_it)
		return take_file(c, value);
	return refuse(c, "%.100s: unknown option", argument);
}

int config_command_line(int argc, char **argv, struct command_line *out)
{
	struct cursor c = { argc, 1, argv, out };
	int result = 0;

	*out = (struct command_line){ .command = COMMAND_RUN };
	out->source.set = calloc((size_t)argc + 1, sizeof(*out->source.set));
	if (!out->source.set)
		return refuse(&c, "out of memory");
	for (; c.at < argc && !result; c.at++)
		result = take(&c);
	if (out->command == COMMAND_CHECK_CONFIG)
		out->source.paths = CONFIG_PATHS_ALL;
	return result;
}

void command_line_free(struct command_line *line)
{
	free((void *)line->source.set);
	line->source = (struct config_source){ 0 };
}

void config_command_help(FILE *out)
{
	fputs("imservd [-c FILE] [--set KEY=VALUE]... [--insecure]\n"
	      "        [--check-config | --print-config | --version | --help]\n"
	      "\n"
	      "  -c, --config FILE  the configuration; without it the embedded default\n"
	      "  --set KEY=VALUE    change one key: --set limits.unbound=2s,\n"
	      "                     --set 'listen[0].address=\"127.0.0.1:0\"',\n"
	      "                     --set 'domain={home: a.org}'; VALUE is YAML flow syntax,\n"
	      "                     one past the last index of a list appends to it\n"
	      "  --insecure         let a standalone server without authentication listen\n"
	      "                     on addresses other than loopback\n"
	      "  --check-config     say what is wrong with the configuration, and stop\n"
	      "  --print-config     print every key with value, range and meaning, and stop\n"
	      "  --version          print the version, and stop\n"
	      "  -h, --help         print this, and stop\n"
	      "\n"
	      "Exit: 0 clean, 1 runtime (bind, store), 2 usage or configuration.\n"
	      "SIGTERM drains and stops; a second SIGTERM stops at once. SIGHUP reads the\n"
	      "configuration and its certificates again, all or nothing.\n",
	      out);
}
