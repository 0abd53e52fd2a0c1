/* config_reload(): what a reload takes, what it leaves for a restart, and what it refuses. */
#include "tests/unit/test_config_common.h"

/* *config: what `yaml` becomes for a server that runs with `running`; the lines it prints and the keys it names,
 * which the caller frees. */
static char *reload(const char *yaml, const struct config *running, bool insecure, struct config **config)
{
	struct config_source source = { "test.yaml", NULL, 0, insecure };
	struct config_errors errors = { 0 };
	struct text_list restart;
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	*config = NULL;
	config_write_file(yaml, strlen(yaml));
	int err = config_reload(config, &source, running, &restart, &errors);
	assert_int_equal(err, errors.errors ? EINVAL : 0);
	assert_int_equal(*config == NULL, err != 0);
	config_errors_print(&errors, out);
	for (unsigned i = 0; i < restart.count; i++)
		fprintf(out, "restart %s\n", restart.list[i]);
	assert_int_equal(fclose(out), 0);
	text_list_free(&restart);
	config_errors_free(&errors);
	return text;
}

#define UDP "{proto: udp, address: \"127.0.0.1:5060\"}"
#define MSRP "{proto: msrp, address: \"127.0.0.1:2855\"}"
#define TWO "listen: [" UDP ", " MSRP "]\n"

static const struct {
	const char *what, *before, *after, *want;
} reloads[] = {
	{ "nothing changes", TWO, TWO, "" },
	{ "a key that may", "", "limits: {unbound: 7s}\n", "" },
	{ "the same, written in another way", "runtime: {recv_buffer_size: 64KiB}\n",
	  "runtime: {recv_buffer_size: 65536}\n", "" },
	{ "one that may not", "", "domain: {home: example.org}\n", "restart domain.home\n" },
	{ "some, in the order of the schema", "",
	  "store: {path: other.db}\nruntime: {workers: 3, io: epoll}\ndomain: {aliases: [a.example]}\n",
	  "restart runtime.workers\nrestart runtime.io\nrestart domain.aliases\nrestart store.path\n" },
	{ "keys of a list", TWO, "listen: [" UDP ", {proto: msrp, address: \"127.0.0.1:2856\", advertise: a.example}]\n",
	  "restart listen[1].address\nrestart listen[1].advertise\n" },
	{ "an entry more", "listen: [" UDP "]\n", TWO, "restart listen\n" },
	{ "refused as at the start", "", "limits: {unbound: 1}\ncore: {mode: ims}\n",
	  "test.yaml:1: limits.unbound: \"1\": expected a time from 100ms to 3600s, such as 5s\n"
	  "test.yaml:2: core.mode: ims needs core.next_hop: sip:HOST[:PORT][;transport=udp|tcp|tls]\n" },
	{ "not YAML", "", "limits: [", "test.yaml:2: not YAML: did not find expected node content while parsing a flow node\n" },
	/* good by itself and good after a restart, but not with the listeners that are there */
	{ "what stays forbids it", "core: {authenticate: digest}\nlisten: [{proto: tcp, address: \"192.0.2.1:5060\"}, " MSRP "]\n",
	  "core: {authenticate: none}\nlisten: [{proto: tcp, address: \"127.0.0.1:5060\"}, " MSRP "]\n",
	  "in force until a restart: listen[0].address: \"192.0.2.1:5060\" is not loopback and core.authenticate is none: "
	  "anybody could speak for any user (--insecure permits it)\nrestart listen[0].address\n" },
	{ "a certificate that a listener still names",
	  "tls: [{name: a, cert: main.pem, key: main.key}]\n"
	  "listen: [{proto: tls, address: \"127.0.0.1:5061\", tls: a}, " MSRP "]\n",
	  TWO, "in force until a restart: listen[0].tls: \"a\": expected the name of an entry of tls\n"
	  "restart listen[0].proto\nrestart listen[0].address\nrestart listen[0].tls\n" },
};

static void table(void **state)
{
	for (size_t i = 0; i < sizeof(reloads) / sizeof(reloads[0]); i++) {
		struct config *running, *config;
		char *text = config_try(reloads[i].before, NULL, 0, false, &running);

		CHECK(running, "%s: %s", reloads[i].what, text);
		free(text);
		text = reload(reloads[i].after, running, false, &config);
		CHECK(strcmp(text, reloads[i].want) == 0, "%s: got\n%s\nwant\n%s\n", reloads[i].what, text, reloads[i].want);
		free(text);
		config_free(config);
		config_free(running);
	}
}

/* What it will run with: the new where it may, the old where it must. */
static void values(void **state)
{
	static const char before[] = "runtime: {workers: 2}\ndomain: {home: a.example, aliases: [b.example]}\n" TWO
		"limits: {sessions: 10}\ncore: {trusted: [10.0.0.0/8]}\n";
	static const char after[] = "runtime: {workers: 3}\ndomain: {home: c.example, store_host: d.example}\n"
		"limits: {sessions: 20}\ncore: {trusted: [192.0.2.0/24]}\n";
	struct config *running, *config;

	free(config_try(before, NULL, 0, false, &running));
	free(reload(after, running, false, &config));
	assert_non_null(config);
	assert_int_equal(config->runtime.workers, 2);
	assert_string_equal(config->domain.home, "a.example");
	assert_string_equal(config->domain.store_host, "store.example.com");
	assert_int_equal(config->domain.aliases.count, 1);
	assert_string_equal(config->domain.aliases.list[0], "b.example");
	assert_int_equal(config->listen.count, 2);
	assert_int_equal(config->listen.list[1].proto, LISTEN_MSRP);
	assert_int_equal(config->listen.list[1].bind.ss_family, AF_INET);
	assert_int_equal(config->limits.sessions, 20);
	assert_string_equal(config->core.trusted.list[0].text, "192.0.2.0/24");
	char *texts[2] = { config_text(config), NULL };
	config_free(running);
	/* the same again for what runs now: nothing of it belongs to what ran before */
	running = config;
	free(reload(after, running, false, &config));
	texts[1] = config_text(config);
	assert_string_equal(texts[0], texts[1]);
	free(texts[0]);
	free(texts[1]);
	config_free(config);
	config_free(running);
}

/* --set lies over the file again, in its order. */
static void options_stay(void **state)
{
	static const char *const set[] = { "limits.unbound=9s", "listen[0].address=127.0.0.1:5070" };
	struct config_source source = { "test.yaml", set, 2, false };
	struct config_errors errors = { 0 };
	struct config *running, *config = NULL;
	struct text_list restart;

	free(config_try("limits: {unbound: 3s}\n", set, 2, false, &running));
	config_write_file("limits: {unbound: 4s, leg_low: 1KiB}\n", 37);
	assert_int_equal(config_reload(&config, &source, running, &restart, &errors), 0);
	assert_int_equal(restart.count, 0);
	assert_int_equal(config->limits.unbound_ms, 9000);
	assert_int_equal(config->limits.leg_low, 1024);
	assert_string_equal(config->listen.list[0].address, "127.0.0.1:5070");
	text_list_free(&restart);
	config_errors_free(&errors);
	config_free(config);
	config_free(running);
}

/* Good and bad in turn, 10 000 of them with IMSERV_TEST_LONG: each becomes the one that the next keeps values of, and
 * the leak checker looks at the end. */
static void again_and_again(void **state)
{
	struct config *running, *config;
	struct config_errors errors;
	struct text_list restart;
	unsigned count = getenv("IMSERV_TEST_LONG") ? 10000 : 300;

	free(config_try("", NULL, 0, false, &running));
	for (unsigned i = 0; i < count; i++) {
		char set[2][64];
		const char *const sets[] = { set[0], set[1] };
		struct config_source source = { NULL, sets, 2, false };

		errors = (struct config_errors){ 0 };
		config = NULL;
		snprintf(set[0], sizeof(set[0]), "domain.home=%u.example", i);
		snprintf(set[1], sizeof(set[1]), i % 2 ? "limits.sessions=none" : "limits.sessions=%u", i + 1);
		int err = config_reload(&config, &source, running, &restart, &errors);
		assert_int_equal(err, i % 2 ? EINVAL : 0);
		assert_int_equal(restart.count, i % 2 ? 0 : 1);
		if (!err) {
			assert_int_equal(config->limits.sessions, i + 1);
			assert_string_equal(config->domain.home, "example.com");
			config_free(running);
			running = config;
		}
		text_list_free(&restart);
		config_errors_free(&errors);
	}
	config_free(running);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(values),
		cmocka_unit_test(options_stay),
		cmocka_unit_test(again_and_again),
	};

	return cmocka_run_group_tests(tests, config_enter, config_leave);
}
