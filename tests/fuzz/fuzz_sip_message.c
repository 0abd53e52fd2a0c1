/*
 * Any octets as a datagram, as a stream and as a stream cut in two; whatever
 * parses goes through the decoders, the writers and the SDP.  Built with
 * -fsanitize=fuzzer it searches, with corpus_main.c it runs the corpus.
 */
#include <assert.h>
#include <stdlib.h>

#include "sip/header.h"
#include "sip/sdp.h"
#include "sip/uri.h"
#include "sip/write.h"

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n);

static const struct sip_limits limits = { .header_bytes = 4096, .body_bytes = 4096 };

static bool is_within(struct slice outer, struct slice s)
{
	return !s.n || (s.p >= outer.p && s.p + s.n <= outer.p + outer.n);
}

static void try_uri(struct slice text)
{
	static const struct sip_home home = { .home = { "example.com", 11 } };
	char first[8192], second[8192];
	struct buffer a = buffer_over(first, sizeof(first));
	struct buffer b = buffer_over(second, sizeof(second));
	struct sip_uri uri;
	size_t scheme_n;

	if (!sip_uri_parse(text, &uri))
		return;
	assert(is_within(text, uri.user) && is_within(text, uri.host));
	assert(is_within(text, uri.params) && is_within(text, uri.headers));
	assert(sip_uri_equal(&uri, &uri));
	buffer_str(&a, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	scheme_n = a.n;
	if (!sip_uri_canonical(&a, &uri, &home))
		return;
	assert(sip_uri_parse(buffer_slice(&a), &uri) && sip_uri_canonical(&b, &uri, &home));
	assert(slice_eq(slice_skip(buffer_slice(&a), scheme_n), buffer_slice(&b)));
}

static void try_headers(const struct sip_message *m)
{
	static const enum sip_header_id ids[] = { SIP_HDR_FROM, SIP_HDR_TO, SIP_HDR_ROUTE,
						  SIP_HDR_P_ASSERTED_IDENTITY, SIP_HDR_REFER_TO };
	struct sip_address address;
	struct sip_contact contact;
	struct sip_content_type content_type;
	struct sip_session_expires expires;
	enum sip_item item;
	uint32_t seconds;

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct sip_items items = sip_items_of(m, ids[i]);
		while ((item = sip_address_next(&items, &address)) != SIP_ITEM_END)
			if (item == SIP_ITEM_OK) {
				assert(is_within(m->wire, address.uri));
				try_uri(address.uri);
			}
	}
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	while (sip_contact_next(&items, &contact) != SIP_ITEM_END)
		assert(contact.q <= 1000 && is_within(m->wire, contact.address.params));
	if (sip_content_type_decode(sip_header_value(m, SIP_HDR_CONTENT_TYPE), &content_type))
		assert(is_within(m->wire, content_type.params));
	if (sip_session_expires_decode(sip_header_value(m, SIP_HDR_SESSION_EXPIRES), &expires))
		assert(expires.refresher <= SIP_REFRESHER_UAS);
	assert(!sip_seconds_of(m, SIP_HDR_EXPIRES, &seconds) || m->first[SIP_HDR_EXPIRES]);
	assert(!sip_accept_contact_has(m, "+g.oma.sip-im") || m->first[SIP_HDR_ACCEPT_CONTACT]);
	assert(!sip_privacy_has(m, "id") || m->first[SIP_HDR_PRIVACY]);
}

/* Whatever can be answered gets an answer that parses, with no header more than was written. */
static void try_response(const struct sip_message *m)
{
	static struct sip_message answer;
	static char memory[32768];
	struct buffer b = buffer_over(memory, sizeof(memory));
	struct sip_limits wide = { sizeof(memory), 0, 0 };
	struct sip_response response = { .status = 400, .reason = slice_str(m->error),
					 .to_tag = SLICE("t"), .source = { SLICE("::1"), 5 } };
	size_t used;

	sip_write_response(&b, m, &response);
	sip_write_end(&b, SLICE_EMPTY, SLICE_EMPTY);
	assert(!b.overflow);
	enum sip_verdict verdict =
		sip_message_parse(&answer, buffer_slice(&b), &wide, SIP_STREAM, &used);
	if (m->header_count > SIP_HEADERS_MOST - 2) /* as many Vias and a Content-Length */
		return;
	assert(verdict == SIP_PARSE_OK && used == b.n && answer.status == 400);
	const struct sip_header *to = sip_header_first(&answer, SIP_HDR_TO);
	assert(!to || !sip_header_next(&answer, to));
}

static void try_sdp(struct slice text)
{
	static struct sdp sdp, again;
	static char memory[16384];
	struct buffer b = buffer_over(memory, sizeof(memory));

	if (sdp_parse(&sdp, text) != SDP_OK)
		return;
	const struct sdp_media *media = sdp_msrp_media(&sdp);
	struct sdp_own own = { .address = SLICE("::1"), .media = media, .port = 1,
			       .path = SLICE("msrp://me/x;tcp") };
	if (!sdp_rewrite(&b, &sdp, &own))
		return;
	assert(sdp_parse(&again, buffer_slice(&b)) == SDP_OK);
	assert(again.media_count == sdp.media_count);
	assert(!media || slice_eq(sdp_msrp_media(&again)->path, own.path));
}

static void try_message(const struct sip_message *m, enum sip_verdict verdict, struct slice in)
{
	assert(is_within(in, m->wire) && is_within(m->wire, m->body) && is_within(in, m->uri));
	assert(m->header_count <= SIP_HEADERS_MAX);
	for (unsigned i = 0; i < m->header_count; i++)
		assert(is_within(in, m->headers[i].name) && is_within(in, m->headers[i].value));
	if (verdict >= SIP_PARSE_BAD_400 && verdict != SIP_PARSE_DROP)
		try_response(m);
	if (verdict != SIP_PARSE_OK)
		return;
	const char *why = m->is_request ? sip_request_check(m) : sip_response_check(m);
	try_headers(m);
	try_sdp(m->body);
	if (m->is_request) {
		try_uri(m->uri);
		if (!why)
			try_response(m);
	}
}

/* Feeds `in` until there is nothing more to get; folds the verdicts into *sum. */
static size_t feed(struct sip_framer *framer, struct slice in, uint64_t *sum, bool *lost)
{
	static struct sip_message m;
	size_t used, all = 0;

	while (!*lost) {
		enum sip_verdict verdict =
			sip_stream_parse(framer, &m, slice_skip(in, all), &limits, &used);
		assert(used <= in.n - all);
		if (verdict == SIP_PARSE_MORE) {
			assert(used == 0);
			break;
		}
		try_message(&m, verdict, slice_skip(in, all));
		*lost = verdict >= SIP_PARSE_BAD_400 && !m.framed;
		*sum = *sum * 31 + verdict * 7 + (*lost ? 0 : used) + m.header_count;
		all += used;
	}
	return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	static struct sip_message m;
	char *copy = malloc(n ? n : 1); /* of the exact size, for the sanitizer */
	struct slice in = slice_of(copy, n);
	struct sip_framer whole = { 0 }, cut = { 0 };
	uint64_t sum = 0, cut_sum = 0;
	bool lost = false, cut_lost = false;
	size_t used;

	if (!copy)
		return 0;
	if (n)
		memcpy(copy, octets, n);
	enum sip_verdict verdict = sip_message_parse(&m, in, &limits, SIP_DATAGRAM, &used);
	assert(used == n && verdict != SIP_PARSE_MORE && verdict != SIP_PARSE_PING);
	try_message(&m, verdict, in);

	size_t at = n ? (octets[n / 2] * 257u + octets[n - 1]) % n : 0;
	feed(&whole, in, &sum, &lost);
	used = feed(&cut, slice_of(copy, at), &cut_sum, &cut_lost);
	feed(&cut, slice_skip(in, used), &cut_sum, &cut_lost);
	assert(sum == cut_sum && lost == cut_lost);
	free(copy);
	return 0;
}
