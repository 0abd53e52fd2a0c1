#include "sip/lexical.h"

struct slice sip_unquote(struct slice s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return slice_of(s.p + 1, s.n - 2);
	return s;
}

/* ---- parameters ---- */

/* gen-value: token, host or quoted string; an IPv6 address may stand without brackets. */
static struct slice take_value(struct slice *s)
{
	size_t n = 0;

	if (s->n && s->p[0] == '"')
		return sip_take_quoted(s);
	while (n < s->n && !sip_is_lws(s->p[n]) && !strchr(";,\"<>", s->p[n]))
		n++;
	struct slice value = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return value;
}

bool sip_param_next(struct slice *params, struct sip_param *param)
{
	struct slice s = sip_skip_lws(*params);

	if (!s.n) {
		*params = s;
		return false;
	}
	if (s.p[0] != ';')
		return false;
	s = sip_skip_lws(slice_skip(s, 1));
	*param = (struct sip_param){ .name = sip_take_token(&s), .value = SLICE_EMPTY };
	s = sip_skip_lws(s);
	if (!param->name.n)
		return false;
	if (s.n && s.p[0] == '=') {
		s = sip_skip_lws(slice_skip(s, 1));
		param->has_value = true;
		param->value = take_value(&s);
		s = sip_skip_lws(s);
		if (!param->value.n)
			return false;
	}
	if (s.n && s.p[0] != ';')
		return false;
	*params = s;
	return true;
}

bool sip_param_find(struct slice params, const char *name, struct slice *value)
{
	struct sip_param param;

	while (sip_param_next(&params, &param))
		if (slice_case_eq(param.name, slice_str(name))) {
			if (value)
				*value = param.value;
			return true;
		}
	return false;
}

/* ---- lists ---- */

bool sip_list_next(struct slice *rest, struct slice *element)
{
	return sip_next_part(rest, ',', element);
}

struct sip_items sip_items_of(const struct sip_message *m, enum sip_header_id id)
{
	const struct sip_header *header = sip_header_first(m, id);

	return (struct sip_items){ m, header, header ? header->value : SLICE_EMPTY };
}

bool sip_items_next(struct sip_items *items, struct slice *element)
{
	while (items->header) {
		if (sip_list_next(&items->rest, element))
			return true;
		items->header = sip_header_next(items->message, items->header);
		if (items->header)
			items->rest = items->header->value;
	}
	return false;
}

bool sip_items_have(const struct sip_message *m, enum sip_header_id id, const char *token)
{
	struct sip_items items = sip_items_of(m, id);
	struct slice element;

	while (sip_items_next(&items, &element))
		if (slice_case_eq(element, slice_str(token)))
			return true;
	return false;
}

/* ---- single values ---- */

bool sip_cseq_decode(struct slice value, uint32_t *number, struct slice *method)
{
	struct slice s = slice_trim(value);
	size_t n = 0;
	uint64_t sequence;

	while (n < s.n && !sip_is_lws(s.p[n]))
		n++;
	if (!n || !slice_u64(slice_of(s.p, n), INT32_MAX, &sequence))
		return false;
	s = sip_skip_lws(slice_skip(s, n));
	if (!sip_is_token(s))
		return false;
	*number = (uint32_t)sequence;
	*method = s;
	return true;
}

bool sip_rack_decode(struct slice value, struct sip_rack *rack)
{
	struct slice s = slice_trim(value);
	size_t n = 0;
	uint64_t rseq;

	while (n < s.n && !sip_is_lws(s.p[n]))
		n++;
	if (!n || !slice_u64(slice_of(s.p, n), UINT32_MAX, &rseq) || rseq == 0)
		return false;
	rack->rseq = (uint32_t)rseq;
	return sip_cseq_decode(sip_skip_lws(slice_skip(s, n)), &rack->cseq, &rack->method);
}

bool sip_number_decode(struct slice value, uint64_t max, uint64_t *number)
{
	struct slice s = slice_trim(value), rest;
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (!n)
		return false;
	rest = sip_skip_lws(slice_skip(s, n));
	return (!rest.n || rest.p[0] == ';' || rest.p[0] == '(') &&
	       slice_u64(slice_of(s.p, n), max, number);
}

bool sip_seconds_of(const struct sip_message *m, enum sip_header_id id, uint32_t *seconds)
{
	struct slice value = sip_header_value(m, id), rest = value;
	size_t n = 0;

	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
		n++;
	if (!n)
		return false;
	rest = sip_skip_lws(slice_skip(rest, n));
	if (rest.n && rest.p[0] != ';' && rest.p[0] != '(')
		return false;
	return sip_decode_seconds(slice_of(value.p, n), seconds);
}

int sip_max_forwards(const struct sip_message *m)
{
	const struct sip_header *header = sip_header_first(m, SIP_HDR_MAX_FORWARDS);
	uint64_t hops;

	if (!header)
		return -1;
	return slice_u64(header->value, 255, &hops) ? (int)hops : -2;
}

bool sip_content_type_decode(struct slice value, struct sip_content_type *content_type)
{
	struct slice s = slice_trim(value), params;
	struct sip_param param;

	*content_type = (struct sip_content_type){ .type = s };
	if (!s.n)
		return false;
	content_type->type = sip_take_token(&s);
	if (!content_type->type.n || !sip_take_word(&s, "/"))
		return false;
	content_type->subtype = sip_take_token(&s);
	content_type->params = params = sip_skip_lws(s);
	while (sip_param_next(&params, &param))
		;
	return content_type->subtype.n && !params.n;
}

bool sip_content_type_is(struct slice value, const char *is)
{
	struct sip_content_type decoded;
	struct slice subtype, type = slice_cut(slice_str(is), '/', &subtype);

	return sip_content_type_decode(value, &decoded) && slice_case_eq(decoded.type, type) &&
	       slice_case_eq(decoded.subtype, subtype);
}

bool sip_session_expires_decode(struct slice value, struct sip_session_expires *expires)
{
	struct slice s = slice_trim(value), params, who;
	struct sip_param param;
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	*expires = (struct sip_session_expires){ .refresher = SIP_REFRESHER_NONE };
	if (!sip_decode_seconds(slice_of(s.p, n), &expires->seconds))
		return false;
	params = slice_skip(s, n);
	if (sip_param_find(params, "refresher", &who)) {
		if (slice_case_eq(who, SLICE("uac")))
			expires->refresher = SIP_REFRESHER_UAC;
		else if (slice_case_eq(who, SLICE("uas")))
			expires->refresher = SIP_REFRESHER_UAS;
	}
	while (sip_param_next(&params, &param))
		;
	return params.n == 0;
}

bool sip_privacy_has(const struct sip_message *m, const char *wanted)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_PRIVACY);
	struct slice element, value;

	while (sip_items_next(&items, &element)) /* commas are not the grammar, but are seen */
		while (sip_next_part(&element, ';', &value))
			if (slice_case_eq(value, slice_str(wanted)))
				return true;
	return false;
}

bool sip_privacy_is_wanted(const struct sip_message *m)
{
	return sip_header_first(m, SIP_HDR_PRIVACY) && (sip_privacy_has(m, "id") || sip_privacy_has(m, "header") ||
							       sip_privacy_has(m, "user") || sip_privacy_has(m, "critical"));
}

bool sip_params_have_feature(struct slice params, const char *feature)
{
	struct slice part, value;

	while (sip_next_part(&params, ';', &part)) {
		struct slice name = slice_trim(slice_cut(part, '=', &value));
		value = slice_trim(sip_unquote(slice_trim(value)));
		while (name.n && (name.p[name.n - 1] == '.' || sip_is_lws(name.p[name.n - 1])))
			name.n--;
		if (slice_case_eq(name, slice_str(feature)))
			return !slice_case_eq(value, SLICE("FALSE")) &&
			       !slice_case_eq(value, SLICE("!TRUE"));
	}
	return false;
}

bool sip_accept_contact_has(const struct sip_message *m, const char *feature)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ACCEPT_CONTACT);
	struct slice element;

	while (sip_items_next(&items, &element))
		if (sip_params_have_feature(element, feature))
			return true;
	return false;
}
