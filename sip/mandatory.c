#include "sip/lexical.h"

/* Those that may stand only once in a message, and what to say when they do not. */
static const struct {
	enum sip_header_id id;
	bool mandatory;
	const char *missing, *repeated;
} single[] = {
	{ SIP_HDR_FROM, true, "Missing From", "Two From Headers" },
	{ SIP_HDR_TO, true, "Missing To", "Two To Headers" },
	{ SIP_HDR_CALL_ID, true, "Missing Call-ID", "Two Call-ID Headers" },
	{ SIP_HDR_CSEQ, true, "Missing CSeq", "Two CSeq Headers" },
	{ SIP_HDR_MAX_FORWARDS, false, "", "Two Max-Forwards Headers" },
	{ SIP_HDR_CONTENT_TYPE, false, "", "Two Content-Type Headers" },
	{ SIP_HDR_EXPIRES, false, "", "Two Expires Headers" },
	{ SIP_HDR_EVENT, false, "", "Two Event Headers" },
	{ SIP_HDR_SESSION_EXPIRES, false, "", "Two Session-Expires Headers" },
	{ SIP_HDR_MIN_SE, false, "", "Two Min-SE Headers" },
	{ SIP_HDR_DATE, false, "", "Two Date Headers" },
	{ SIP_HDR_CONTENT_DISPOSITION, false, "", "Two Content-Disposition Headers" },
	{ SIP_HDR_RACK, false, "", "Two RAck Headers" },
	{ SIP_HDR_REPLACES, false, "", "Two Replaces Headers" }, /* RFC 3891 3 */
	{ SIP_HDR_REFER_TO, false, "", "Two Refer-To Headers" }, /* RFC 3515 2.4.2 */
};

static const char *check_single(const struct sip_message *m)
{
	for (size_t i = 0; i < sizeof(single) / sizeof(single[0]); i++) {
		const struct sip_header *header = sip_header_first(m, single[i].id);
		if (!header && single[i].mandatory)
			return single[i].missing;
		if (header && sip_header_next(m, header))
			return single[i].repeated;
	}
	return NULL;
}

static const char *check_vias(const struct sip_message *m)
{
	const struct sip_header *header = sip_header_first(m, SIP_HDR_VIA);
	struct sip_via via;

	if (!header)
		return "Missing Via";
	for (; header; header = sip_header_next(m, header)) {
		struct slice rest = header->value;
		do {
			if (!sip_via_decode(rest, &via, &rest))
				return "Bad Via";
		} while (rest.n);
	}
	return NULL;
}

/* Any characters that are seen, which is more than the grammar has: it is only compared and repeated. */
static bool is_call_id(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0;
}

static const char *check_common(const struct sip_message *m, struct slice *cseq_method)
{
	struct sip_address address;
	struct slice call_id = sip_header_value(m, SIP_HDR_CALL_ID);
	uint32_t number;
	const char *why = check_single(m);

	if (!why)
		why = check_vias(m);
	if (why)
		return why;
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &address))
		return "Bad From";
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &address))
		return "Bad To";
	if (!is_call_id(call_id))
		return "Bad Call-ID";
	if (!sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &number, cseq_method))
		return "Bad CSeq";
	return NULL;
}

static bool are_tokens(const struct sip_message *m, enum sip_header_id id)
{
	struct sip_items items = sip_items_of(m, id);
	struct slice element;

	while (sip_items_next(&items, &element))
		if (!sip_is_token(element))
			return false;
	return true;
}

/* RFC 4028: who asks for a session timer must be understood; another method's are nobody's business. */
static bool has_readable_timer(const struct sip_message *m)
{
	const struct sip_header *expires = sip_header_first(m, SIP_HDR_SESSION_EXPIRES);
	struct sip_session_expires decoded;
	uint32_t least;

	if (m->method != SIP_INVITE && m->method != SIP_UPDATE)
		return true;
	return (!expires || sip_session_expires_decode(expires->value, &decoded)) &&
	       (!sip_header_first(m, SIP_HDR_MIN_SE) || sip_seconds_of(m, SIP_HDR_MIN_SE, &least));
}

const char *sip_request_check(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact;
	struct slice method;
	const char *why = check_common(m, &method);
	enum sip_item item;

	if (why)
		return why;
	if (!slice_eq(method, m->method_name))
		return "CSeq Method Mismatch";
	if (sip_max_forwards(m) == -2)
		return "Bad Max-Forwards";
	if (!has_readable_timer(m))
		return "Bad Session-Expires";
	if (!are_tokens(m, SIP_HDR_REQUIRE) || !are_tokens(m, SIP_HDR_PROXY_REQUIRE))
		return "Bad Require"; /* what is asked for comes back in Unsupported */
	while ((item = sip_contact_next(&items, &contact)) != SIP_ITEM_END)
		if (item == SIP_ITEM_BAD)
			return "Bad Contact";
	return NULL;
}

const char *sip_response_check(const struct sip_message *m)
{
	struct slice method;

	return check_common(m, &method);
}
