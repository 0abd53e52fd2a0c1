#include "actors/header_rules.h"

#include "sip/write.h"

enum {
	REQUESTS = HEADER_IN_REQUEST,
	ANSWERS = HEADER_IN_ANSWER,
	FAILURES = HEADER_IN_FAILURE,
	CORE = 8,
	OURS = 16,
	NOT = 32,
	BODY = 64,
};
enum of_whom { SENDER, NEUTRAL };

struct rule {
	uint8_t where; /* 0: no row */
	enum of_whom of_whom;
};

static const struct rule known[SIP_HDR_COUNT] = {
#define HEADER(id, where, of_whom) [SIP_HDR_##id] = { where, of_whom },
#define NAMED_HEADER(name, where, of_whom)
#include "actors/header_rules.def"
};

static const struct {
	const char *name;
	struct rule rule;
} named[] = {
#define HEADER(id, where, of_whom)
#define NAMED_HEADER(name, where, of_whom) { name, { where, of_whom } },
#include "actors/header_rules.def"
};

static struct rule rule_of(const struct sip_header *header)
{
	if (known[header->id].where)
		return known[header->id];
	for (size_t i = 0; header->id == SIP_HDR_OTHER && i < sizeof(named) / sizeof(named[0]); i++)
		if (slice_case_eq(header->name, slice_str(named[i].name)))
			return named[i].rule;
	return (struct rule){ REQUESTS | ANSWERS | FAILURES, SENDER };
}

bool header_rules_pass(const struct sip_header *header, const struct header_passage *passage)
{
	struct rule rule = rule_of(header);

	return (rule.where & passage->place) && (passage->is_ims || !(rule.where & CORE)) &&
	       !(passage->without_body && (rule.where & BODY)) &&
	       !(passage->sender_hides && rule.of_whom == SENDER);
}

static enum header_place place_of(const struct sip_message *m)
{
	if (m->is_request)
		return HEADER_IN_REQUEST;
	return m->status < 300 ? HEADER_IN_ANSWER : HEADER_IN_FAILURE;
}

void header_rules_copy(struct buffer *out, const struct sip_message *m, const struct header_passage *passage)
{
	struct header_passage here = *passage;

	here.place = place_of(m);

	for (unsigned i = 0; i < m->header_count; i++)
		/* a name that is none ("To\x01") harms nobody here, but might behind us */
		if (header_rules_pass(&m->headers[i], &here) && sip_is_token(m->headers[i].name))
			sip_copy_header(out, &m->headers[i]);
}
