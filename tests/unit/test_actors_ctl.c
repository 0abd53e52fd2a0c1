/* What imservctl prints, and how a trace becomes JSON. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "actors/ctl.h"

int ctl_usage(const struct ctl *ctl, const char *format, ...) /* of the program, which is not here */
{
	(void)ctl;
	(void)format;
	return CTL_USAGE;
}

static const char *duration(double seconds)
{
	static char text[64];
	struct buffer out = buffer_over(text, sizeof(text));

	ctl_put_duration(&out, seconds);
	buffer_char(&out, 0);
	return text;
}

static const char *octets(long long n)
{
	static char text[64];
	struct buffer out = buffer_over(text, sizeof(text));

	ctl_put_octets(&out, n);
	buffer_char(&out, 0);
	return text;
}

static void figures_are_short(void **state)
{
	assert_string_equal(duration(-1), "0s");
	assert_string_equal(duration(59.9), "59s");
	assert_string_equal(duration(60), "1m00s");
	assert_string_equal(duration(3599), "59m59s");
	assert_string_equal(duration(3600), "1h00m");
	assert_string_equal(duration(86399), "23h59m");
	assert_string_equal(duration(1040400), "12d01h");
	assert_string_equal(octets(0), "0");
	assert_string_equal(octets(1023), "1023");
	assert_string_equal(octets(1024), "1.0K");
	assert_string_equal(octets(1536 * 1024), "1.5M");
	assert_string_equal(octets(INT64_MAX), "8192.0P");
}

static void paths_are_escaped(void **state)
{
	char path[CTL_PATH_MAX], longest[CTL_PATH_MAX + 1];

	assert_true(ctl_path(path, (const char *[]){ "users", "a b/c?d#e%\xc3\xbc", NULL }));
	assert_string_equal(path, "users/a%20b%2Fc%3Fd%23e%25%C3%BC");
	assert_true(ctl_path(path, (const char *[]){ "docs", "x", "sip:a@b.org", "i", NULL }));
	assert_string_equal(path, "docs/x/sip:a@b.org/i");
	memset(longest, 'x', sizeof(longest));
	longest[CTL_PATH_MAX - 1] = 0; /* with its end it just fits */
	assert_true(ctl_path(path, (const char *[]){ longest, NULL }));
	longest[CTL_PATH_MAX - 1] = 'x';
	longest[CTL_PATH_MAX] = 0;
	assert_false(ctl_path(path, (const char *[]){ longest, NULL }));
}

static void nothing_moves_the_cursor(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	ctl_print_clean(out, "a\x1b[2Jb\nc\x7f" "d\xc2\x9b" "e\xc3\xbc\xc2\xa0" "f\xc2");
	fclose(out);
	assert_string_equal(text, "a [2Jb c d e\xc3\xbc\xc2\xa0" "f\xc2");
	free(text);
}

/* In a copy of its exact size, so that the sanitizer sees an octet too many. */
static char *as_json(const char *lines)
{
	size_t n = strlen(lines);
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, lines, n);
	json_t *json = ctl_trace_json(slice_of(copy, n));
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	free(copy);
	return text;
}

static void a_trace_becomes_objects(void **state)
{
	static const struct { const char *lines, *json; } cases[] = {
		{ "# trace of alice@a.org\n", "{\"note\":\"trace of alice@a.org\"}" },
		{ "T in udp 192.0.2.1:5060 MESSAGE sip:b@a.org\n\tTo: <sip:b@a.org>;x=1\n\tSubject:  \n\t(6 octets of content)\n",
		  "{\"time\":\"T\",\"way\":\"in\",\"transport\":\"udp\",\"peer\":\"192.0.2.1:5060\",\"start\":\"MESSAGE sip:b@a.org\","
		  "\"content_octets\":6,\"headers\":[{\"name\":\"To\",\"value\":\"<sip:b@a.org>;x=1\"},"
		  "{\"name\":\"Subject\",\"value\":\"\"}]}" },
		{ "T out tls [::1]:5 200 OK\n\tVia: x\n\t| v=0\n\t| a=path:msrp://h:1/x;tcp\n",
		  "{\"time\":\"T\",\"way\":\"out\",\"transport\":\"tls\",\"peer\":\"[::1]:5\",\"start\":\"200 OK\","
		  "\"headers\":[{\"name\":\"Via\",\"value\":\"x\"}],\"sdp\":[\"v=0\",\"a=path:msrp://h:1/x;tcp\"]}" },
		{ "T refused method=INVITE status=403 reason=identity why=\"nobody says so\" call_id=a \"b=c\n",
		  "{\"time\":\"T\",\"way\":\"refused\",\"method\":\"INVITE\",\"status\":403,\"reason\":\"identity\","
		  "\"why\":\"nobody says so\",\"call_id\":\"a \\\"b=c\"}" },
		{ "T in udp p \xff\xc3\xbcx\n", /* no UTF-8: what is no ASCII is lost */
		  "{\"time\":\"T\",\"way\":\"in\",\"transport\":\"udp\",\"peer\":\"p\",\"start\":\"???x\",\"headers\":[]}" },
		/* nothing that a server of ours says */
		{ "", "{\"time\":\"\",\"way\":\"\",\"transport\":\"\",\"peer\":\"\",\"start\":\"\",\"headers\":[]}" },
		{ "T refused status=x why=\"open", "{\"time\":\"T\",\"way\":\"refused\",\"status\":\"x\",\"why\":\"open\"}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = as_json(cases[i].lines);
		assert_non_null(text);
		assert_string_equal(text, cases[i].json);
		free(text);
	}
}

/* Cut anywhere, it is some object. */
static void half_a_message_is_no_crash(void **state)
{
	static const char whole[] = "T in udp p INVITE x\n\tA: b\n\t| v=0\n\t(12 octets of content)\n"
		"T refused method=x status=4 why=\"a b\" call_id=c\n# x\n";

	for (size_t from = 0; from < sizeof(whole) - 1; from++)
		for (size_t to = from; to < sizeof(whole); to++) {
			char part[sizeof(whole)];
			memcpy(part, whole + from, to - from);
			part[to - from] = 0;
			char *text = as_json(part);
			assert_non_null(text);
			assert_int_equal(text[0], '{');
			free(text);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_are_short), cmocka_unit_test(paths_are_escaped),
		cmocka_unit_test(nothing_moves_the_cursor), cmocka_unit_test(a_trace_becomes_objects),
		cmocka_unit_test(half_a_message_is_no_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
