/*
 * One or two URIs, a line each: comparing is symmetric, the canonical form is canonical, and URIs that
 * are equal are one user.
 */
#include "tests/fuzz/fuzz.h"

#include "sip/uri.h"

static const struct slice alias = { "alias.example", 13 };
static const struct sip_host_port literal = { { "192.0.2.1", 9 }, 5060 };
static const struct sip_home home = { .home = { "example.com", 11 }, .aliases = &alias, .alias_count = 1,
	.store_host = { "store.example.com", 17 }, .literals = &literal, .literal_count = 1 };

static bool canonical_of(const struct sip_uri *uri, char *text, size_t size, struct slice *canonical)
{
	struct buffer out = buffer_over(text, size);

	if (!sip_uri_canonical(&out, uri, &home)) {
		assert(out.n == 0);
		return false;
	}
	*canonical = buffer_slice(&out);
	return true;
}

static bool try_one(struct slice text, struct sip_uri *uri)
{
	static char first[65536], second[65536];
	struct slice canonical, again;
	struct sip_uri parsed;

	if (!sip_uri_parse(text, uri))
		return false;
	assert(fuzz_is_within(text, uri->user) && fuzz_is_within(text, uri->host));
	assert(fuzz_is_within(text, uri->params) && fuzz_is_within(text, uri->headers));
	assert(fuzz_is_one_line(text) && sip_uri_equal(uri, uri));
	bool has_transport = sip_uri_param(uri, "transport", NULL);
	assert(!has_transport || uri->params.n);
	memcpy(first, "sip:", 4);
	if (!canonical_of(uri, first + 4, sizeof(first) - 4, &canonical))
		return true;
	if (uri->scheme == SIP_SCHEME_SIPS && canonical.n && !sip_uri_is_home(uri, &home))
		return true; /* its default port is another's */
	assert(sip_uri_parse(slice_of(first, canonical.n + 4), &parsed));
	assert(canonical_of(&parsed, second, sizeof(second), &again) && slice_eq(canonical, again));
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	static char text_a[65536], text_b[65536];
	struct slice rest, line = slice_cut(slice_of((const char *)octets, n), '\n', &rest);
	struct slice a_text = fuzz_copy(line), b_text = fuzz_copy(rest), a_name, b_name;
	struct sip_uri a, b;

	if (try_one(a_text, &a) && try_one(b_text, &b)) {
		bool equal = sip_uri_equal(&a, &b);
		assert(equal == sip_uri_equal(&b, &a));
		if (equal && canonical_of(&a, text_a, sizeof(text_a), &a_name) &&
		    canonical_of(&b, text_b, sizeof(text_b), &b_name))
			assert(slice_eq(a_name, b_name));
	}
	fuzz_free(a_text);
	fuzz_free(b_text);
	return 0;
}
