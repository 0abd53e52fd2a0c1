/* config/command_line.c: a table of command lines. */
#include "tests/unit/test.h"

#include "config/command_line.h"

static const struct {
	const char *arguments[6];
	int result;
	enum command command;
	const char *file, *set[2], *error;
	bool is_insecure;
} cases[] = {
	{ .arguments = { NULL } },
	{ .arguments = { "-c", "a.yaml" }, .file = "a.yaml" },
	{ .arguments = { "-ca.yaml" }, .file = "a.yaml" },
	{ .arguments = { "--config", "a.yaml" }, .file = "a.yaml" },
	{ .arguments = { "--config=a.yaml" }, .file = "a.yaml" },
	{ .arguments = { "--set", "a.b=c", "--set=d.e=f" }, .set = { "a.b=c", "d.e=f" } },
	{ .arguments = { "--set", "--insecure" }, .set = { "--insecure" } },
	{ .arguments = { "--insecure" }, .is_insecure = true },
	{ .arguments = { "--check-config" }, .command = COMMAND_CHECK_CONFIG },
	{ .arguments = { "-c", "a", "--print-config", "--set", "b=c", "--insecure" },
	  .command = COMMAND_PRINT_CONFIG, .file = "a", .set = { "b=c" }, .is_insecure = true },
	{ .arguments = { "--version" }, .command = COMMAND_VERSION },
	{ .arguments = { "--help" }, .command = COMMAND_HELP },
	{ .arguments = { "--help", "-h" }, .command = COMMAND_HELP },

	{ .arguments = { "-c" }, .result = EXIT_USAGE, .error = "-c: expected a file" },
	{ .arguments = { "-c", "" }, .result = EXIT_USAGE, .error = "-c: expected a file" },
	{ .arguments = { "-c", "a", "-c", "b" }, .result = EXIT_USAGE,
	  .error = "-c b: expected one file" },
	{ .arguments = { "--set" }, .result = EXIT_USAGE, .error = "--set: expected KEY=VALUE" },
	{ .arguments = { "--setx=1" }, .result = EXIT_USAGE, .error = "--setx=1: unknown option" },
	{ .arguments = { "--frobnicate" }, .result = EXIT_USAGE,
	  .error = "--frobnicate: unknown option" },
	{ .arguments = { "a.yaml" }, .result = EXIT_USAGE, .error = "a.yaml: unknown option" },
	{ .arguments = { "" }, .result = EXIT_USAGE, .error = ": unknown option" },
	{ .arguments = { "--check-config", "--print-config" }, .result = EXIT_USAGE,
	  .error = "--print-config: expected one command" },
};

static void check(size_t i)
{
	char *argv[8] = { (char[]){ "imservd" } };
	struct command_line line;
	int argc = 1;
	unsigned count = 0;

	while (argc < 7 && cases[i].arguments[argc - 1]) {
		argv[argc] = (char *)cases[i].arguments[argc - 1];
		argc++;
	}
	CHECK(config_command_line(argc, argv, &line) == cases[i].result, "case %zu: \"%s\"\n", i, line.error);
	assert_string_equal(line.error, cases[i].error ? cases[i].error : "");
	if (!cases[i].result) {
		assert_int_equal(line.command, cases[i].command);
		assert_int_equal(line.source.insecure, cases[i].is_insecure);
		CHECK(slice_eq(slice_str(line.source.file), slice_str(cases[i].file)), "case %zu\n", i);
		for (; count < 2 && cases[i].set[count]; count++)
			assert_string_equal(line.source.set[count], cases[i].set[count]);
		assert_int_equal(line.source.set_count, count);
	}
	command_line_free(&line);
}

static void every_command_line(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(i);
}

static void help_names_every_option(void **state)
{
	static const char *const names[] = { "-c FILE", "--set KEY=VALUE", "--insecure", "--check-config",
					     "--print-config", "--version", "--help" };
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	config_command_help(out);
	assert_int_equal(fclose(out), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CHECK(strstr(text, names[i]), "%s is not in the help\n", names[i]);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_line),
		cmocka_unit_test(help_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
