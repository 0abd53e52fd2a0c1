/*
 * Any octets as the value of each header that is decoded: the slices lie in the value, what is written
 * of them is one line, and what was written decodes to the same again.
 */
#include "tests/fuzz/fuzz.h"

#include "sip/digest.h"
#include "sip/header.h"
#include "sip/write.h"

enum { WRITTEN_MAX = 65536 };

static char written[WRITTEN_MAX];

static void try_via(struct slice value)
{
	struct slice rest = value;
	struct sip_via via;

	while (rest.n && sip_via_decode(rest, &via, &rest)) {
		assert(fuzz_is_within(value, via.host) && fuzz_is_within(value, via.branch));
		assert(fuzz_is_within(value, via.whole) && fuzz_is_within(value, rest));
		assert(via.transport.n && via.host.n && fuzz_is_one_line(via.host));
	}
}

static void try_params(struct slice value, struct slice params)
{
	struct sip_param param;

	while (sip_param_next(&params, &param)) {
		assert(fuzz_is_within(value, param.name) && fuzz_is_within(value, param.value));
		assert(sip_is_token(param.name) && (param.has_value || !param.value.n));
		assert(fuzz_is_within(param.value, sip_unquote(param.value)));
	}
}

static void try_address(struct slice value)
{
	struct buffer out = buffer_over(written, sizeof(written));
	struct sip_address address, again;

	if (!sip_address_decode(value, &address))
		return;
	assert(fuzz_is_within(value, address.uri) && fuzz_is_within(value, address.display));
	assert(address.uri.n && fuzz_is_one_line(address.uri) && fuzz_is_one_line(address.tag));
	try_params(value, address.params);
	/* as a B2BUA passes it on */
	sip_write_text(&out, address.display);
	buffer_lit(&out, " <");
	sip_write_text(&out, address.uri);
	buffer_char(&out, '>');
	sip_write_text(&out, address.params);
	assert(out.overflow || fuzz_is_one_line(buffer_slice(&out)));
	if (out.overflow)
		return;
	assert(sip_address_decode(buffer_slice(&out), &again));
	assert(slice_eq(again.uri, address.uri) && slice_eq(again.tag, address.tag));
}

static void try_single(struct slice value)
{
	struct sip_session_expires expires;
	struct sip_content_type type;
	struct slice method;
	uint64_t number;
	uint32_t sequence;

	if (sip_cseq_decode(value, &sequence, &method))
		assert(sequence <= INT32_MAX && sip_is_token(method) && fuzz_is_within(value, method));
	if (sip_number_decode(value, 1000, &number))
		assert(number <= 1000);
	if (sip_session_expires_decode(value, &expires))
		assert(expires.refresher <= SIP_REFRESHER_UAS);
	if (sip_content_type_decode(value, &type)) {
		assert(sip_is_token(type.type) && sip_is_token(type.subtype));
		try_params(value, type.params);
	}
	(void)sip_params_have_feature(value, "+g.oma.sip-im"); /* any answer, as long as it comes back */
}

static void try_digest(struct slice value)
{
	static const struct digest_secret secret;
	struct digest_credentials credentials;
	uint64_t minted_ms;

	if (digest_credentials_decode(value, &credentials) != DIGEST_OK)
		return;
	assert(fuzz_is_within(value, credentials.username) && fuzz_is_within(value, credentials.response));
	assert(fuzz_is_within(value, credentials.nonce) && fuzz_is_within(value, credentials.cnonce));
	assert(credentials.algorithm < DIGEST_ALGORITHMS);
	(void)digest_nonce_decode(credentials.nonce, &minted_ms);
	(void)digest_verify(&credentials, &secret, DIGEST_NAME_USER, SLICE("REGISTER"));
}

static void try_list(struct slice value)
{
	struct slice rest = value, element;
	size_t count = 0;

	while (sip_list_next(&rest, &element)) {
		assert(element.n && fuzz_is_within(value, element));
		try_address(element);
		count++;
	}
	assert(rest.n == 0 && count <= value.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	struct slice value = fuzz_copy(slice_of((const char *)octets, n));
	struct buffer out = buffer_over(written, sizeof(written));

	sip_write_text(&out, value);
	assert(out.overflow || fuzz_is_one_line(buffer_slice(&out)));
	try_via(value);
	try_address(value);
	try_params(value, value);
	try_single(value);
	try_digest(value);
	try_list(value);
	fuzz_free(value);
	return 0;
}
