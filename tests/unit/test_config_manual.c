/* config/manual.c: every key is there once, with all that its row says, and nothing in it is taken for markup. */
#include "tests/unit/test.h"

#include "config/manual.h"
#include "config/schema.h"

static char *page;

static int write_page(void **state)
{
	size_t n;
	FILE *out = open_memstream(&page, &n);

	if (!out)
		return -1;
	config_manual(out);
	return fclose(out);
}

static int free_page(void **state)
{
	free(page);
	return 0;
}

static unsigned count_of(const char *text)
{
	unsigned n = 0;

	for (const char *p = page; (p = strstr(p, text)); p += strlen(text))
		n++;
	return n;
}

/* As the page writes it. */
static const char *quoted(const char *text)
{
	static char to[600];
	char *p = to;

	for (; *text && p < to + sizeof(to) - 3; text++) {
		if (*text == '-')
			*p++ = '\\';
		*p++ = *text;
	}
	*p = '\0';
	return to;
}

static void every_key_once(void **state)
{
	char line[160];
	unsigned not_yet = 0, restart = 0, all = 0;

	for (const struct schema_section *s = schema_sections; s->name; s++) {
		snprintf(line, sizeof(line), "\n.SS %s\n", s->name);
		assert_int_equal(count_of(line), 1);
		for (const struct schema_key *k = s->keys; k->name; k++) {
			snprintf(line, sizeof(line), "\n.B %s%s.%s\n", s->name, s->entry_size ? "[]" : "", k->name);
			CHECK(count_of(line) == 1, "%s.%s is there %u times\n", s->name, k->name, count_of(line));
			CHECK(count_of(quoted(k->help)) >= 1, "help of %s.%s\n", s->name, k->name);
			not_yet += (k->flags & NOT_YET) != 0;
			restart += (k->flags & RESTART_ONLY) != 0;
			all++;
		}
	}
	assert_int_equal(count_of("Not yet in effect"), not_yet);
	assert_int_equal(count_of("a change takes a\n.BR restart"), restart);
	assert_int_equal(count_of(".B reload\nchanges it."), all - restart);
}

/* A line that begins with a dot is a request that is meant; a dash is a minus, so that it can be copied. */
static void only_our_markup(void **state)
{
	static const char *const ours[] = { ".\\\" ", ".TH ", ".nh", ".ad ", ".SH ", ".SS ", ".TP", ".B ", ".BR ", ".PP",
		".br", ".nf", ".fi", NULL };

	for (const char *line = page; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		bool is_ours = *line != '.' && *line != '\'';
		for (const char *const *o = ours; *o; o++)
			is_ours = is_ours || strncmp(line, *o, strlen(*o)) == 0;
		CHECK(is_ours, "markup: %.40s\n", line);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_once),
		cmocka_unit_test(only_our_markup),
	};

	return cmocka_run_group_tests(tests, write_page, free_page);
}
