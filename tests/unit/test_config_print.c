/* config/print.c: what is printed loads again to the same, and says what an operator must know. */
#include "tests/unit/test_config_common.h"

#include "config/schema.h"

static const struct {
	const char *what, *yaml;
} cases[] = {
	{ "the default", "{}" },
	{ "all kinds of listeners",
	  "core: {mode: ims, next_hop: \"sip:core.example.com;transport=tcp\", trusted: [\"10.0.0.0/8\"]}\n"
	  "listen:\n- {proto: udp, address: \"0.0.0.0:0\", role: originating, advertise: a.example.com}\n"
	  "- {proto: tcp, address: \"[::]:5060\", role: terminating}\n"
	  "- {proto: msrp, address: \"[::1]:2855\", per_worker_ports: true}\n"
	  "- {proto: http, address: \"127.0.0.1:9090\", serve: [xcap]}\n"
	  "- {proto: http, address: \"127.0.0.1:9091\", serve: []}\n" },
	{ "certificates", "tls: [{name: a, cert: main.pem, key: ./main.key, ca: ca.pem, min: \"1.3\", client_auth: "
			  "required}, {name: b, cert: other.pem, key: other.key}]\n" },
	{ "texts that need quoting",
	  "domain: {groups: [\"a\\\"b\\\\c: #d\", \"- x\", \"\xc3\xa4*\", \"null\", \"5\"]}\n"
	  "log: {trace_dir: \"C:\\\\ {}\", sink: \"# no comment\"}\n" },
	{ "odd numbers",
	  "limits: {unbound: 1001ms, header_bytes: 16385, leg_high: 3MiB, conns_per_ip: 0, invite_rate: "
	  "7/s, max_size_file: 5GiB}\n"
	  "timers: {im_idle: 90m, session_expires: 25h}\n"
	  "store: {group_commit: 1500us}\ndeferred: {expires_max: 36h, expires_default: 1d}\n" },
	{ "words", "policy: {unavailable_session_code: 480, feature_tag: always, content_types: []}\n"
		   "runtime: {workers: 4, io: epoll, pin_cpus: true}\n"
		   "deferred: {push_on_register: true, prune: [P-Secret]}\n" },
};

static struct config *load(const char *yaml)
{
	struct config *config;
	char *got = config_try(yaml, NULL, 0, false, &config);

	CHECK(config, "%s\n%s\n", got, yaml);
	free(got);
	return config;
}

static void printed_loads_to_the_same(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct config *first = load(cases[i].yaml), *second;
		char *text = config_text(first), *again;

		second = load(text);
		again = config_text(second);
		CHECK(!strcmp(text, again), "%s:\n%s\n---\n%s\n", cases[i].what, text, again);
		assert_int_equal(first->listen.count, second->listen.count);
		assert_int_equal(first->policy.unavailable_session_code,
				 second->policy.unavailable_session_code);
		for (unsigned j = 0; j < first->listen.count; j++)
			assert_memory_equal(&first->listen.list[j].bind, &second->listen.list[j].bind,
					    sizeof(first->listen.list[j].bind));
		free(text);
		free(again);
		config_free(first);
		config_free(second);
	}
}

static void values_are_not_lost_on_the_way(void **state)
{
	struct config *first = load(cases[3].yaml), *second;
	char *text = config_text(first);

	second = load(text);
	assert_string_equal(second->domain.groups.list[0], "a\"b\\c: #d");
	assert_string_equal(second->domain.groups.list[3], "null");
	assert_string_equal(second->log.trace_dir, "C:\\ {}");
	assert_string_equal(second->log.sink, "# no comment");
	free(text);
	config_free(first);
	config_free(second);
	first = load(cases[4].yaml);
	text = config_text(first);
	second = load(text);
	assert_int_equal(second->limits.unbound_ms, 1001);
	assert_int_equal(second->limits.header_bytes, 16385);
	assert_int_equal(second->limits.conns_per_ip, 0);
	assert_int_equal(second->limits.max_size_file, 5ull << 30);
	assert_int_equal(second->timers.im_idle_ms, 5400000);
	assert_int_equal(second->store.group_commit_us, 1500);
	free(text);
	config_free(first);
	config_free(second);
}

/* Each row once: its value, its range or words, its sentence, its mark. */
static void every_key_is_printed_with_its_meaning(void **state)
{
	struct config *config = load("{}");
	char *text = config_text(config);

	for (const struct schema_section *s = schema_sections; s->name; s++)
		for (const struct schema_key *k = s->keys; k->name; k++) {
			char *at = strstr(text, k->help), *start = at, *end;
			char name[80], line[600];

			CHECK(at, "%s.%s is not printed\n", s->name, k->name);
			while (start > text && start[-1] != '\n')
				start--;
			end = strchr(at, '\n');
			assert_non_null(end);
			snprintf(line, sizeof(line), "%.*s", (int)(end - start), start);
			snprintf(name, sizeof(name), "%s", k->name);
			CHECK(strstr(line, name), "%s.%s: \"%s\"\n", s->name, k->name, line);
			CHECK(!!strstr(line, "# not yet in effect") == !!(k->flags & NOT_YET),
			      "%s.%s: \"%s\"\n", s->name, k->name, line);
			CHECK(!!strstr(line, "for off") == !!(k->flags & ZERO_IS_OFF),
			      "%s.%s: \"%s\"\n", s->name, k->name, line);
		}
	assert_non_null(strstr(text, "\n  unbound: 5s  # a time from 100ms to 3600s; how long an MSRP "
				     "connection may take to name its session\n"));
	assert_non_null(strstr(text, "\n  session_expires: 1800s  #"));
	assert_non_null(strstr(text, "\n  expires_max: 30d  #"));
	assert_non_null(strstr(text, "\n  unavailable_session_code: auto  #"));
	assert_non_null(strstr(text, "\n  - proto: udp  #"));
	assert_non_null(strstr(text, "\ntls: []\n"));
	free(text);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printed_loads_to_the_same),
		cmocka_unit_test(values_are_not_lost_on_the_way),
		cmocka_unit_test(every_key_is_printed_with_its_meaning),
	};

	return cmocka_run_group_tests(tests, config_enter, config_leave);
}
