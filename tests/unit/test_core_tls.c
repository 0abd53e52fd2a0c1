/* core/tls.c: two ends in one process, octets carried between them in memory. */
#include "core/tls.h"

#include <errno.h>

#include "tests/unit/test.h"
#include "tests/unit/tls_pem.h"

#define WIRE_MAX (1 << 20)

/* One end: what it put out, and what came of it. */
struct end {
	struct tls *tls;
	char *out;
	size_t out_n;
	int put_err;    /* what its output says from `put_after` octets on */
	size_t put_after;
	char text[65536];
	size_t text_n;
	enum tls_event last;
	bool was_ready;
};

struct pair {
	struct end server, client;
	size_t cut;     /* octets fed at a time; 0: all that there are */
};

static char directory[] = "/tmp/imserv-tls-XXXXXX";

static int enter(void **state)
{
	if (!mkdtemp(directory) || chdir(directory) != 0)
		return -1;
	tls_pems_write();
	return 0;
}

static int leave(void **state)
{
	tls_pems_remove();
	return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

/* ---- sets ---- */

static struct tls_options entry(const char *name, const char *min, const char *ca, int client_auth)
{
	static char texts[8][2][32];
	static unsigned next;
	char (*text)[32] = texts[next++ % 8];
	struct tls_options options = { .name = (char *)name, .min = (char *)min, .ca = (char *)ca };

	options.client_auth = client_auth;
	snprintf(text[0], sizeof(text[0]), "%s.pem", name);
	snprintf(text[1], sizeof(text[1]), "%s.key", name);
	options.cert = text[0];
	options.key = text[1];
	return options;
}

static void no_complaint(void *arg, unsigned index, const char *key, const char *text)
{
	fail_msg("entry %u: %s: %s", index, key, text);
}

static struct tls_set *open_set(const struct tls_options *entries, unsigned count)
{
	struct tls_set *set = NULL;

	assert_int_equal(tls_set_open(&set, entries, count, no_complaint, NULL), 0);
	return set;
}

/* ---- carrying ---- */

static int put(void *arg, struct slice ciphertext)
{
	struct end *end = arg;

	if (end->put_err && end->out_n >= end->put_after)
		return end->put_err;
	assert_true(ciphertext.n <= WIRE_MAX - end->out_n);
	memcpy(end->out + end->out_n, ciphertext.p, ciphertext.n);
	end->out_n += ciphertext.n;
	return 0;
}

static void begin(struct end *end, struct tls *tls)
{
	memset(end, 0, sizeof(*end));
	assert_non_null(tls);
	end->tls = tls;
	end->out = malloc(WIRE_MAX);
	assert_non_null(end->out);
	tls_set_output(tls, put, end);
}

static void read_all(struct end *end)
{
	char plain[TLS_PLAIN_MAX];
	size_t n;

	do {
		end->last = tls_read(end->tls, plain, sizeof(plain), &n);
		if (end->last == TLS_READY) {
			assert_false(end->was_ready);
			end->was_ready = true;
		}
		if (end->last == TLS_DATA) {
			assert_true(n <= sizeof(end->text) - end->text_n);
			memcpy(end->text + end->text_n, plain, n);
			end->text_n += n;
		}
	} while (end->last == TLS_READY || end->last == TLS_DATA);
	assert_false(tls_has_input(end->tls));
}

/* What `from` has put out, in exact copies, so that a read too far is seen. */
static void carry(struct end *from, struct end *to, size_t cut)
{
	size_t n = from->out_n, at = 0;
	char *wire = exact_copy(from->out, n);

	from->out_n = 0;
	while (at < n && to->last != TLS_BAD && to->last != TLS_CLOSED) {
		size_t part = cut && cut < n - at ? cut : n - at;
		char *piece = exact_copy(wire + at, part);
		tls_feed(to->tls, slice_of(piece, part));
		read_all(to);
		free(piece);
		at += part;
	}
	free(wire);
}

static void carry_all(struct pair *p)
{
	if (!p->client.was_ready && p->client.last == TLS_MORE && !p->client.out_n)
		read_all(&p->client);
	while (p->client.out_n || p->server.out_n) {
		carry(&p->client, &p->server, p->cut);
		carry(&p->server, &p->client, p->cut);
	}
}

static void end_pair(struct pair *p)
{
	tls_free(p->client.tls);
	tls_free(p->server.tls);
	free(p->client.out);
	free(p->server.out);
}

static void begin_pair(struct pair *p, struct tls *server, struct tls *client)
{
	memset(p, 0, sizeof(*p));
	begin(&p->server, server);
	begin(&p->client, client);
}

static bool is_good(const struct pair *p)
{
	return p->server.was_ready && p->client.was_ready && p->server.last == TLS_MORE && p->client.last == TLS_MORE;
}

/* ---- tests ---- */

static void text_goes_both_ways(void **state)
{
	static const size_t cuts[] = { 0, 1, 2, 3, 5, 100, 1460, 16384 };
	struct tls_options entries[] = { entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE),
		entry("main", "1.3", "ca.pem", TLS_CLIENT_NONE) };
	struct tls_set *set = open_set(entries, 2);
	static char large[50000];

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i * 7 + i / 256);
	for (unsigned use = 0; use < TLS_USES; use++)
		for (unsigned i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			struct pair p;
			begin_pair(&p, tls_accept(set, i % 2, use), tls_connect(set, use, "main.example.com"));
			p.cut = cuts[i];
			carry_all(&p);
			CHECK(is_good(&p), "use %u cut %zu: %s %s\n", use, p.cut, tls_error(p.server.tls), tls_error(p.client.tls));
			assert_true(tls_is_client(p.client.tls) && !tls_is_client(p.server.tls));
			assert_string_equal(tls_version(p.server.tls), "TLSv1.3");
			assert_int_equal(tls_write(p.client.tls, SLICE("hello")), 0);
			assert_int_equal(tls_write(p.server.tls, slice_of(large, sizeof(large))), 0);
			assert_int_equal(tls_write(p.server.tls, SLICE_EMPTY), 0);
			carry_all(&p);
			assert_int_equal(p.server.text_n, 5);
			assert_memory_equal(p.server.text, "hello", 5);
			assert_int_equal(p.client.text_n, sizeof(large));
			assert_memory_equal(p.client.text, large, sizeof(large));
			tls_shut(p.server.tls);
			carry_all(&p);
			assert_int_equal(p.client.last, TLS_CLOSED);
			end_pair(&p);
		}
	tls_set_drop(set);
}

static const struct {
	const char *what, *name, *error;
} servers[] = {
	{ "its name", "main.example.com", NULL },
	{ "its name in capitals", "MAIN.example.com", NULL },
	{ "its address", "127.0.0.1", NULL },
	{ "another name", "example.com", "certificate: hostname mismatch" },
	{ "another address", "127.0.0.2", "certificate: hostname mismatch" },
	{ "a name under it", "a.main.example.com", "certificate: hostname mismatch" },
	{ "the other's, for which it changes", "other.example.com", NULL },
	{ "the other's SIP URI (RFC 5922 7.1)", "uri.example.com", NULL },
	{ "no wildcards (RFC 5922 7.2)", "a.wild.example.com", "certificate: hostname mismatch" },
};

static void servers_must_bear_the_name(void **state)
{
	struct tls_options entries[] = { entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE),
		entry("other", "1.2", NULL, TLS_CLIENT_NONE) };
	struct tls_set *set = open_set(entries, 2);

	assert_true(tls_set_can_verify(set));
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++) {
		struct pair p;
		begin_pair(&p, tls_accept(set, 0, TLS_SIP), tls_connect(set, TLS_SIP, servers[i].name));
		carry_all(&p);
		CHECK(is_good(&p) == !servers[i].error, "%s: %s\n", servers[i].what, tls_error(p.client.tls));
		if (servers[i].error)
			assert_string_equal(tls_error(p.client.tls), servers[i].error);
		else
			assert_true(tls_peer_is_verified(p.client.tls));
		if (servers[i].error) /* the alert has told the server */
			assert_int_equal(p.server.last, TLS_BAD);
		end_pair(&p);
	}
	tls_set_drop(set);
}

static void strangers_are_refused(void **state)
{
	struct tls_options mine = entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE),
			   theirs = entry("stranger", "1.2", NULL, TLS_CLIENT_NONE);
	struct tls_set *set = open_set(&mine, 1), *stranger = open_set(&theirs, 1);
	struct pair p;

	begin_pair(&p, tls_accept(stranger, 0, TLS_SIP), tls_connect(set, TLS_SIP, "main.example.com"));
	carry_all(&p);
	assert_int_equal(p.client.last, TLS_BAD);
	assert_non_null(strstr(tls_error(p.client.tls), "self-signed"));
	end_pair(&p);
	/* without a ca there is nothing to verify by */
	assert_false(tls_set_can_verify(stranger));
	assert_null(tls_connect(stranger, TLS_SIP, "main.example.com"));
	tls_set_drop(set);
	tls_set_drop(stranger);
}

static const struct {
	int client_auth;
	enum tls_use use;
	bool is_known_welcome, is_stranger_welcome;
} asked[] = {
	{ TLS_CLIENT_NONE, TLS_SIP, true, true },
	{ TLS_CLIENT_OPTIONAL, TLS_SIP, true, false },
	{ TLS_CLIENT_REQUIRED, TLS_SIP, true, false },
	{ TLS_CLIENT_NONE, TLS_MSRP, true, true },
	{ TLS_CLIENT_OPTIONAL, TLS_MSRP, true, false },
	{ TLS_CLIENT_REQUIRED, TLS_MSRP, true, false },
};

static void clients_show_what_is_asked(void **state)
{
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		for (unsigned is_stranger = 0; is_stranger < 2; is_stranger++) {
			struct tls_options listener = entry("main", "1.2", "ca.pem", asked[i].client_auth),
					   phone = entry(is_stranger ? "stranger" : "other", "1.2", NULL, TLS_CLIENT_NONE);
			struct tls_set *set = open_set(&listener, 1), *other = open_set(&phone, 1);
			struct tls_certificate shown;
			struct pair p;
			begin_pair(&p, tls_accept(set, 0, asked[i].use), tls_connect(other, TLS_MSRP, "main.example.com"));
			carry_all(&p);
			bool is_welcome = is_stranger ? asked[i].is_stranger_welcome : asked[i].is_known_welcome;
			CHECK(is_good(&p) == is_welcome, "case %zu: %s\n", i, tls_error(p.server.tls));
			/* the client has no ca, so that it is not sure of the server, and goes on all the same */
			assert_false(tls_peer_is_verified(p.client.tls));
			tls_peer_certificate(p.server.tls, &shown);
			bool is_asked = asked[i].client_auth != TLS_CLIENT_NONE || asked[i].use == TLS_MSRP;
			if (is_welcome) {
				assert_int_equal(shown.is_shown, is_asked);
				assert_int_equal(tls_certificate_is(&shown, slice_str(tls_set_fingerprint(other, 0))), is_asked);
				assert_int_equal(tls_peer_is_verified(p.server.tls), is_asked && !is_stranger);
			}
			end_pair(&p);
			tls_set_drop(set);
			tls_set_drop(other);
		}
}

static void fingerprints_are_compared(void **state)
{
	struct tls_certificate shown = { .is_tls = true, .is_shown = true, .sha1 = { 0xab, 1 }, .sha256 = { 0xcd, 2 } };
	char sha1[80] = "SHA-1 AB:01", sha256[120] = "sha-256 cd:02";

	for (unsigned i = 2; i < 20; i++)
		strcat(sha1, ":00");
	for (unsigned i = 2; i < 32; i++)
		strcat(sha256, ":00");
	assert_true(tls_certificate_is(&shown, slice_str(sha1)));
	assert_true(tls_certificate_is(&shown, slice_str(sha256)));
	sha256[strlen(sha256) - 1] = '1';
	assert_false(tls_certificate_is(&shown, slice_str(sha256)));
	static const char *const wrong[] = { "", "SHA-1", "SHA-1 ", "SHA-256 AB:01", "MD5 AB:01", "SHA-1 AB:01:", "AB:01" };
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK(!tls_certificate_is(&shown, slice_str(wrong[i])), "\"%s\" was taken\n", wrong[i]);
	shown.is_shown = false;
	assert_false(tls_certificate_is(&shown, slice_str(sha1)));
}

static void what_is_not_tls_is_bad(void **state)
{
	static const char *const wires[] = { "OPTIONS sip:a SIP/2.0\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\xff\xff\x01" };
	struct tls_options options = entry("main", "1.2", NULL, TLS_CLIENT_NONE);
	struct tls_set *set = open_set(&options, 1);

	for (size_t i = 0; i < sizeof(wires) / sizeof(wires[0]); i++) {
		struct end end;
		char *wire = exact_copy(wires[i], strlen(wires[i]));
		begin(&end, tls_accept(set, 0, TLS_SIP));
		tls_feed(end.tls, slice_of(wire, strlen(wires[i])));
		read_all(&end);
		CHECK(end.last == TLS_BAD && tls_error(end.tls)[0], "%zu: %d\n", i, end.last);
		/* lost is lost */
		tls_feed(end.tls, SLICE_EMPTY);
		read_all(&end);
		assert_int_equal(end.last, TLS_BAD);
		assert_int_equal(tls_write(end.tls, SLICE("x")), EPROTO);
		tls_shut(end.tls);
		free(wire);
		tls_free(end.tls);
		free(end.out);
	}
	tls_set_drop(set);
}

/* Each octet of a record of text changed once: no text comes of it. */
static void changed_records_are_bad(void **state)
{
	struct tls_options options = entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE);
	struct tls_set *set = open_set(&options, 1);

	for (size_t at = 0; at < 5 + 5 + 17; at += 2) {
		struct pair p;
		begin_pair(&p, tls_accept(set, 0, TLS_MSRP), tls_connect(set, TLS_MSRP, "main.example.com"));
		carry_all(&p);
		assert_int_equal(tls_write(p.client.tls, SLICE("hello")), 0);
		assert_true(at < p.client.out_n);
		p.client.out[at] ^= 0x40;
		carry(&p.client, &p.server, 0);
		CHECK(p.server.text_n == 0 && (p.server.last == TLS_BAD || at == 3 || at == 4), "octet %zu\n", at);
		end_pair(&p);
	}
	tls_set_drop(set);
}

static void no_room_ends_it(void **state)
{
	struct tls_options options = entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE);
	struct tls_set *set = open_set(&options, 1);
	struct pair p;

	/* in the handshake, at each octet from which on there is none */
	for (size_t after = 0; after < 2; after++) {
		begin_pair(&p, tls_accept(set, 0, TLS_SIP), tls_connect(set, TLS_SIP, "main.example.com"));
		p.server.put_err = ENOMEM;
		p.server.put_after = after;
		read_all(&p.client);
		carry(&p.client, &p.server, 0);
		if (p.server.last == TLS_BAD)
			assert_string_equal(tls_error(p.server.tls), strerror(ENOMEM));
		else
			assert_int_equal(after, 1); /* a flight goes out in one piece */
		end_pair(&p);
	}
	/* and afterwards */
	begin_pair(&p, tls_accept(set, 0, TLS_SIP), tls_connect(set, TLS_SIP, "main.example.com"));
	carry_all(&p);
	assert_true(is_good(&p));
	p.client.put_err = ENOBUFS;
	assert_int_equal(tls_write(p.client.tls, SLICE("hello")), ENOBUFS);
	assert_int_equal(tls_write(p.client.tls, SLICE("hello")), EPROTO);
	end_pair(&p);
	tls_set_drop(set);
}

/* A set lives as long as the connections that began with it; another may have taken its place. */
static void sets_outlive_their_owner(void **state)
{
	struct tls_options options = entry("main", "1.2", "ca.pem", TLS_CLIENT_NONE);
	struct tls_set *set = open_set(&options, 1), *again = tls_set_share(set);
	struct pair p;

	begin_pair(&p, tls_accept(set, 0, TLS_SIP), tls_connect(set, TLS_SIP, "main.example.com"));
	tls_set_drop(set);
	tls_set_drop(again);
	tls_set_drop(NULL);
	carry_all(&p);
	assert_true(is_good(&p));
	end_pair(&p);
}

struct complaints {
	char text[1000];
};

static void on_complaint(void *arg, unsigned index, const char *key, const char *text)
{
	struct complaints *c = arg;
	size_t n = strlen(c->text);

	snprintf(c->text + n, sizeof(c->text) - n, "%u %s %s\n", index, key, text);
}

static void all_files_are_complained_about(void **state)
{
	struct tls_options entries[] = { entry("main", "1.2", "nothing.pem", TLS_CLIENT_NONE),
		entry("nothing", "1.2", "ca.pem", TLS_CLIENT_NONE), entry("other", "1.2", NULL, TLS_CLIENT_NONE) };
	struct complaints complaints = { "" };
	struct tls_set *set = NULL;

	entries[2].key = (char *)"main.key";
	assert_int_equal(tls_set_open(&set, entries, 3, on_complaint, &complaints), EINVAL);
	assert_null(set);
	assert_string_equal(complaints.text, "0 ca \"nothing.pem\": No such file or directory\n"
					     "1 cert \"nothing.pem\": No such file or directory\n"
					     "1 key \"nothing.key\": No such file or directory\n"
					     "2 key \"main.key\": is not the key of tls[2].cert\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_goes_both_ways),
		cmocka_unit_test(servers_must_bear_the_name),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(clients_show_what_is_asked),
		cmocka_unit_test(fingerprints_are_compared),
		cmocka_unit_test(what_is_not_tls_is_bad),
		cmocka_unit_test(changed_records_are_bad),
		cmocka_unit_test(no_room_ends_it),
		cmocka_unit_test(sets_outlive_their_owner),
		cmocka_unit_test(all_files_are_complained_about),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
