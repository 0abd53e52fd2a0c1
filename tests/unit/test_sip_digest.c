#include "sip/digest.h"

#include "tests/unit/test.h"

#define NONCE_7616  "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
#define CNONCE_7616 "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
#define HEAD_7616                                                                                      \
	"Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "       \
	"nonce=\"" NONCE_7616 "\", nc=00000001, cnonce=\"" CNONCE_7616 "\", qop=auth, "                \
	"opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\", "

static int set_up(void **state)
{
	static const uint8_t key[16] = "sixteen octets .";

	(void)state;
	return digest_init(key);
}

static struct digest_secret secret_of(const char *user, const char *realm, const char *password)
{
	struct digest_secret secret;

	assert_int_equal(digest_secret_make(&secret, slice_str(user), slice_str(realm), slice_str(password)), 0);
	return secret;
}

/* Decoded from a copy of the exact size, which the caller frees. */
static enum digest_verdict decode(const char *value, struct digest_credentials *c, char **copy)
{
	*copy = exact_copy(value, strlen(value));
	return digest_credentials_decode(slice_of(*copy, strlen(value)), c);
}

static const struct {
	const char *what, *user, *realm, *password, *method, *value;
	enum digest_name name;
	bool is_right;
} vectors[] = {
	{ "RFC 7616 3.9.1, MD5", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\"", DIGEST_NAME_USER, true },
	{ "the same without algorithm", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "response=\"8ca523f5e9506fed4657c9700eebdbec\"", DIGEST_NAME_USER, true },
	{ "RFC 7616 3.9.1, SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=SHA-256, "
		    "response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\"",
	  DIGEST_NAME_USER, true },
	{ "RFC 2617 3.5", "Mufasa", "testrealm@host.com", "Circle Of Life", "GET",
	  "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
	  "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
	  "response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
	  DIGEST_NAME_USER, true },
	{ "capitals in the response, quoted algorithm and qop", "Mufasa", "testrealm@host.com", "Circle Of Life", "GET",
	  "digest username=\"Mufasa\",realm=\"testrealm@host.com\",nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\","
	  "uri=\"/dir/index.html\",qop=\"auth\",nc=00000001,cnonce=\"0a4f113b\",algorithm=\"md5\","
	  "response=\"6629FAE49393A05397450978507C4EF1\"",
	  DIGEST_NAME_USER, true },
	{ "another password", "Mufasa", "testrealm@host.com", "circle Of Life", "GET",
	  "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", "
	  "uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", "
	  "response=\"6629fae49393a05397450978507c4ef1\"",
	  DIGEST_NAME_USER, false },
	{ "another method", "Mufasa", "http-auth@example.org", "Circle of Life", "PUT",
	  HEAD_7616 "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\"", DIGEST_NAME_USER, false },
	{ "the other name", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\"", DIGEST_NAME_USER_AT_REALM, false },
	{ "the MD5 response said to be SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=SHA-256, response=\"8ca523f5e9506fed4657c9700eebdbec\"", DIGEST_NAME_USER, false },
	{ "no hexadecimal response", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbeg\"", DIGEST_NAME_USER, false },
	{ "a response one digit short", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbe\"", DIGEST_NAME_USER, false },
	{ "an empty response", "Mufasa", "http-auth@example.org", "Circle of Life", "GET",
	  HEAD_7616 "algorithm=MD5, response=\"\"", DIGEST_NAME_USER, false },
};

static void published_vectors(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct digest_secret secret = secret_of(vectors[i].user, vectors[i].realm, vectors[i].password);
		struct digest_credentials c;
		char *copy;

		CHECK(decode(vectors[i].value, &c, &copy) == DIGEST_OK, "%s: not read\n", vectors[i].what);
		CHECK(digest_verify(&c, &secret, vectors[i].name, slice_str(vectors[i].method)) ==
			      vectors[i].is_right, "%s\n", vectors[i].what);
		free(copy);
	}
}

/* md5("alice@example.com:example.com:secret"), by md5sum */
static void the_name_with_the_domain_has_a_secret_of_its_own(void **state)
{
	static const uint8_t with_domain[DIGEST_MD5_OCTETS] = { 0xc7, 0x96, 0x56, 0xe4, 0xf0, 0x6d, 0xba, 0xe9, 0xfd, 0xf6, 0x72, 0x76, 0x54, 0x27, 0x3c, 0x65 };
	struct digest_secret secret = secret_of("alice", "example.com", "secret");

	assert_memory_equal(secret.md5[DIGEST_NAME_USER_AT_REALM], with_domain, sizeof(with_domain));
	assert_memory_not_equal(secret.md5[0], secret.md5[1], DIGEST_MD5_OCTETS);
	struct digest_secret whole = secret_of("alice@example.com", "example.com", "secret");
	assert_memory_equal(secret.md5[DIGEST_NAME_USER_AT_REALM], whole.md5[DIGEST_NAME_USER], DIGEST_MD5_OCTETS);
	assert_memory_equal(secret.sha256[DIGEST_NAME_USER_AT_REALM], whole.sha256[DIGEST_NAME_USER],
		DIGEST_SHA256_OCTETS);
}

#define GOOD                                                                                       \
	"username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:b@c\", response=\"00\", cnonce=\"c\", nc=00000001"

static const struct {
	const char *what, *value;
	enum digest_verdict want;
} headers[] = {
	{ "everything", "Digest " GOOD ", qop=auth", DIGEST_OK },
	{ "blanks and folds", "Digest\r\n username = \"a\" ,\trealm=\"r\",nonce=\"n\",uri=\"u\",response=\"00\",cnonce=\"c\",nc=0000000a,qop=auth", DIGEST_OK },
	{ "unknown directives", "Digest " GOOD ", qop=auth, x=y, auts=\"z\"", DIGEST_OK },
	{ "a comma at the end", "Digest " GOOD ", qop=auth,", DIGEST_OK },
	{ "SHA-256", "Digest " GOOD ", qop=auth, algorithm=SHA-256", DIGEST_OK },
	{ "an escaped quote", "Digest " GOOD ", qop=auth, x=\"\\\"\"", DIGEST_OK },
	{ "another scheme", "Basic YTpi", DIGEST_OTHER },
	{ "nobody's scheme", "NoOneKnowsThisScheme opaque-data=here", DIGEST_OTHER },
	{ "no qop", "Digest " GOOD, DIGEST_UNSUPPORTED },
	{ "auth-int", "Digest " GOOD ", qop=auth-int", DIGEST_UNSUPPORTED },
	{ "MD5-sess", "Digest " GOOD ", qop=auth, algorithm=MD5-sess", DIGEST_UNSUPPORTED },
	{ "SHA-512-256", "Digest " GOOD ", qop=auth, algorithm=SHA-512-256", DIGEST_UNSUPPORTED },
	{ "nothing", "", DIGEST_BAD },
	{ "only the scheme", "Digest", DIGEST_BAD },
	{ "no username", "Digest realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0\"", DIGEST_BAD },
	{ "no nonce", "Digest username=\"a\", realm=\"r\", uri=\"u\", response=\"0\"", DIGEST_BAD },
	{ "qop without cnonce", "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0\", qop=auth, nc=00000001", DIGEST_BAD },
	{ "qop without nc", "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0\", qop=auth, cnonce=\"c\"", DIGEST_BAD },
	{ "nc of seven digits", "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0\", qop=auth, cnonce=\"c\", nc=0000001", DIGEST_BAD },
	{ "nc that is no number", "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"u\", response=\"0\", qop=auth, cnonce=\"c\", nc=0000000g", DIGEST_BAD },
	{ "username twice", "Digest " GOOD ", qop=auth, username=\"b\"", DIGEST_BAD },
	{ "an open quote", "Digest " GOOD ", qop=auth, x=\"y", DIGEST_BAD },
	{ "a backslash at the end", "Digest " GOOD ", qop=auth, x=\"y\\", DIGEST_BAD },
	{ "no equals sign", "Digest " GOOD ", qop=auth, x", DIGEST_BAD },
	{ "no value", "Digest " GOOD ", qop=auth, x=", DIGEST_BAD },
	{ "no comma", "Digest " GOOD " qop=auth", DIGEST_BAD },
};

static void headers_are_judged(void **state)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct digest_credentials c;
		char *copy;
		enum digest_verdict got = decode(headers[i].value, &c, &copy);

		CHECK(got == headers[i].want, "%s: got %d\n", headers[i].what, got);
		free(copy);
		/* cut anywhere nothing is read beyond the end */
		for (size_t cut = 0; cut < strlen(headers[i].value); cut++) {
			copy = exact_copy(headers[i].value, cut);
			(void)digest_credentials_decode(slice_of(copy, cut), &c);
			free(copy);
		}
	}
}

static void long_values_are_refused(void **state)
{
	char text[DIGEST_VALUE_MAX + 2];
	struct digest_credentials c;
	struct buffer b = buffer_over(text, sizeof(text));

	buffer_lit(&b, "Digest " GOOD ", qop=auth, x=");
	memset(text + b.n, 'y', sizeof(text) - b.n);
	assert_int_equal(digest_credentials_decode(slice_of(text, DIGEST_VALUE_MAX), &c), DIGEST_OK);
	assert_int_equal(digest_credentials_decode(slice_of(text, DIGEST_VALUE_MAX + 1), &c), DIGEST_BAD);
}

static void nonces_are_ours_or_not(void **state)
{
	static const uint8_t other_key[16] = "another key of 1";
	char nonce[DIGEST_NONCE_CHARS], again[DIGEST_NONCE_CHARS];
	uint64_t minted_ms = 0;

	digest_nonce_make(nonce, 123456789, 42);
	digest_nonce_make(again, 123456789, 43);
	assert_memory_not_equal(nonce, again, sizeof(nonce));
	assert_true(digest_nonce_decode(slice_of(nonce, sizeof(nonce)), &minted_ms));
	assert_int_equal(minted_ms, 123456789);
	assert_false(digest_nonce_decode(slice_of(nonce, sizeof(nonce) - 1), &minted_ms));
	assert_false(digest_nonce_decode(SLICE("dcd98b7102dd2f0e8b11d0f600bfb0c093"), &minted_ms));
	for (size_t i = 0; i < sizeof(nonce); i++) { /* no digit can be changed */
		memcpy(again, nonce, sizeof(nonce));
		again[i] = again[i] == '7' ? '8' : '7';
		CHECK(!digest_nonce_decode(slice_of(again, sizeof(again)), &minted_ms), "digit %zu\n", i);
	}
	assert_int_equal(digest_init(other_key), 0);
	assert_false(digest_nonce_decode(slice_of(nonce, sizeof(nonce)), &minted_ms));
	assert_int_equal(set_up(state), 0);
}

static void challenges_offer_the_better_algorithm_first(void **state)
{
	char text[1024];
	struct buffer out = buffer_over(text, sizeof(text) - 1);

	digest_write_challenge(&out, "WWW-Authenticate", SLICE("example.com"), SLICE("n1"), false);
	text[out.n] = 0;
	const char *second = strstr(text, "\r\n") + 2;
	assert_int_equal(strncmp(text, "WWW-Authenticate: Digest realm=\"example.com\", nonce=\"n1\", opaque=\"", 66), 0);
	assert_int_equal(strncmp(second, "WWW-Authenticate: Digest realm=\"example.com\"", 44), 0);
	assert_true(strstr(text, "algorithm=SHA-256, qop=\"auth\"\r\n") < second);
	assert_non_null(strstr(second, "algorithm=MD5, qop=\"auth\"\r\n"));
	assert_null(strstr(text, "stale"));
	out = buffer_over(text, sizeof(text) - 1);
	digest_write_challenge(&out, "Proxy-Authenticate", SLICE("example.com"), SLICE("n1"), true);
	text[out.n] = 0;
	assert_int_equal(strncmp(text, "Proxy-Authenticate: Digest ", 27), 0);
	assert_non_null(strstr(text, "qop=\"auth\", stale=true\r\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(the_name_with_the_domain_has_a_secret_of_its_own),
		cmocka_unit_test(headers_are_judged),
		cmocka_unit_test(long_values_are_refused),
		cmocka_unit_test(nonces_are_ours_or_not),
		cmocka_unit_test(challenges_offer_the_better_algorithm_first),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
