/*
 * Any request that the server would take, as a deferred message: what is kept of it is lines of a message again, has a
 * Date and none of what is never stored, and does not name who asked not to be named.
 */
#include "tests/fuzz/fuzz.h"

#include "actors/deferred.h"
#include "core/worker.h"
#include "sip/header.h"

static const enum sip_header_id never[] = { SIP_HDR_ROUTE, SIP_HDR_RECORD_ROUTE, SIP_HDR_AUTHORIZATION,
	SIP_HDR_PROXY_AUTHORIZATION, SIP_HDR_P_CHARGING_VECTOR, SIP_HDR_P_CHARGING_FUNCTION_ADDRESSES,
	SIP_HDR_P_ACCESS_NETWORK_INFO, SIP_HDR_PATH, SIP_HDR_SERVICE_ROUTE, SIP_HDR_P_SERVED_USER };
static const enum sip_header_id never_of_anonymous[] = { SIP_HDR_VIA, SIP_HDR_CONTACT, SIP_HDR_P_ASSERTED_IDENTITY,
	SIP_HDR_P_PREFERRED_IDENTITY, SIP_HDR_USER_AGENT, SIP_HDR_REPLY_TO, SIP_HDR_ORGANIZATION, SIP_HDR_CALL_INFO,
	SIP_HDR_REFERRED_BY };

static enum sip_verdict parse(struct sip_message *m, struct slice text)
{
	struct sip_limits limits = { 65536, 65536, 0 };
	size_t used;

	return sip_message_parse(m, text, &limits, SIP_DATAGRAM, &used);
}

static uint64_t wall_us(struct ring *ring)
{
	return 1000000000000000;
}

static void check_kept(struct slice head, const struct sip_message *of, bool is_anonymous)
{
	char *text = malloc(head.n + 2 + of->body.n);
	struct buffer out = buffer_over(text, head.n + 2 + of->body.n);
	struct sip_message m;

	assert(text);
	buffer_put(&out, head);
	buffer_lit(&out, "\r\n");
	buffer_put(&out, of->body);
	if (of->header_count <= SIP_HEADERS_MOST - 2) { /* as many are added */
		assert(parse(&m, buffer_slice(&out)) == SIP_PARSE_OK);
		assert(sip_header_first(&m, SIP_HDR_DATE) && slice_eq(m.body, of->body));
		for (unsigned i = 0; i < sizeof(never) / sizeof(never[0]); i++)
			assert(!sip_header_first(&m, never[i]));
		for (unsigned i = 0; is_anonymous && i < sizeof(never_of_anonymous) / sizeof(never_of_anonymous[0]); i++)
			assert(!sip_header_first(&m, never_of_anonymous[i]));
		assert(!is_anonymous || identity_from_is_anonymous(&m));
	}
	free(text);
}

static void try_as(struct im *im, const struct sip_message *m, enum deferred_kind kind, bool is_anonymous)
{
	struct identity who = { .is_anonymous = is_anonymous, .canonical = "alice@example.com", .canonical_n = 17 };
	size_t room = deferred_head_max(m) / 2;
	char *head_text = malloc(room), *summary_text = malloc(room);
	struct buffer head = buffer_over(head_text, room), summary = buffer_over(summary_text, room);

	assert(head_text && summary_text);
	assert(deferred_write_head(&head, &summary, im, &who, m, kind, 1000000000000000));
	if (kind == DEFERRED_PAGER)
		check_kept(buffer_slice(&head), m, is_anonymous);
	struct slice rest = buffer_slice(&summary);
	while (rest.n) {
		struct slice line = slice_cut(rest, '\n', &rest);
		assert(line.n > 4 && line.p[line.n - 1] == '\r' && fuzz_is_one_line(slice_of(line.p, line.n - 1)));
	}
	free(head_text);
	free(summary_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	static const struct ring_ops ops = { .wall_us = wall_us };
	struct ring ring = { .ops = &ops };
	struct worker *worker = calloc(1, sizeof(*worker));
	struct config config = { .deferred = { .expires_default_ms = 7000, .expires_max_ms = 100000 } };
	struct im im = { .worker = worker, .config = &config };
	struct slice input = fuzz_copy(slice_of((const char *)octets, n));
	struct sip_message m;

	assert(worker);
	worker->ring = &ring;
	if (parse(&m, input) == SIP_PARSE_OK && m.is_request && !sip_request_check(&m)) {
		for (unsigned i = 0; i < 8; i++) {
			config.core.mode = i & 1 ? MODE_IMS : MODE_STANDALONE;
			try_as(&im, &m, i & 2 ? DEFERRED_LARGE : DEFERRED_PAGER, i & 4);
		}
		struct deferred_times times = deferred_times_of(&im, &m, DEFERRED_PAGER);
		assert(times.expires_at_s <= 1000000000 + 60 + 100 || times.expires_at_s <= 1000000000 + 7);
		(void)deferred_is_expired(&im, &m);
		(void)deferred_is_for_now_only(&m);
	}
	fuzz_free(input);
	free(worker);
	return 0;
}
