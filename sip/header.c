#include "sip/header.h"

/* LWS after indexing: a fold is CR LF and a blank, and nothing else of CR and LF is left. */
static bool is_lws(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct slice skip_lws(struct slice s)
{
	while (s.n && is_lws(s.p[0]))
		s = slice_skip(s, 1);
	return s;
}

/* Takes the longest token off *s; may be empty. */
static struct slice take_token(struct slice *s)
{
	size_t n = 0;

	while (n < s->n && sip_is_token(slice_of(s->p + n, 1)))
		n++;
	struct slice token = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return token;
}

/* Takes a quoted string off *s, quotes included (RFC 3261 25.1); empty when it does not end. */
static struct slice take_quoted(struct slice *s)
{
	struct slice quoted;

	for (size_t i = 1; i < s->n; i++) {
		if (s->p[i] == '\\')
			i++;
		else if (s->p[i] == '"') {
			quoted = slice_of(s->p, i + 1);
			*s = slice_skip(*s, i + 1);
			return quoted;
		}
	}
	return SLICE_EMPTY;
}

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
		return take_quoted(s);
	while (n < s->n && !is_lws(s->p[n]) && !strchr(";,\"<>", s->p[n]))
		n++;
	struct slice value = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return value;
}

bool sip_param_next(struct slice *params, struct sip_param *param)
{
	struct slice s = skip_lws(*params);

	if (!s.n) {
		*params = s;
		return false;
	}
	if (s.p[0] != ';')
		return false;
	s = skip_lws(slice_skip(s, 1));
	*param = (struct sip_param){ .name = take_token(&s), .value = SLICE_EMPTY };
	s = skip_lws(s);
	if (!param->name.n)
		return false;
	if (s.n && s.p[0] == '=') {
		s = skip_lws(slice_skip(s, 1));
		param->has_value = true;
		param->value = take_value(&s);
		s = skip_lws(s);
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

/* Length of what stands before the first `separator` outside quotes and <>. */
static size_t before(struct slice s, char separator)
{
	bool in_quotes = false, in_brackets = false;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (in_quotes) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_quotes = false;
		} else if (c == '"' && !in_brackets) {
			in_quotes = true;
		} else if (c == '<') {
			in_brackets = true;
		} else if (c == '>') {
			in_brackets = false;
		} else if (c == separator && !in_brackets) {
			return i;
		}
	}
	return s.n;
}

static bool next_part(struct slice *rest, char separator, struct slice *part)
{
	while (rest->n) {
		size_t n = before(*rest, separator);
		*part = slice_trim(slice_of(rest->p, n));
		*rest = slice_skip(*rest, n + 1);
		if (part->n)
			return true;
	}
	return false;
}

bool sip_list_next(struct slice *rest, struct slice *element)
{
	return next_part(rest, ',', element);
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

/* ---- Via ---- */

/* Takes `token` (without case) and the LWS around it off *s. */
static bool take_word(struct slice *s, const char *token)
{
	struct slice rest = skip_lws(*s);

	if (!slice_case_starts(rest, slice_str(token)))
		return false;
	*s = skip_lws(slice_skip(rest, strlen(token)));
	return true;
}

static bool take_host(struct slice *s, struct slice *host)
{
	size_t n = 0;

	if (s->n && s->p[0] == '[') {
		while (n < s->n && s->p[n] != ']')
			n++;
		n++;
	} else {
		while (n < s->n && !is_lws(s->p[n]) && !strchr(":;,\"<>@[]", s->p[n]))
			n++;
	}
	if (n == 0 || n > s->n)
		return false;
	*host = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return true;
}

static bool take_port(struct slice *s, uint16_t *port)
{
	uint64_t number;
	size_t n = 0;

	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (!slice_u64(slice_of(s->p, n), UINT16_MAX, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	*s = slice_skip(*s, n);
	return true;
}

static bool via_param(struct sip_via *via, const struct sip_param *param)
{
	uint64_t port = 0;

	if (slice_case_eq(param->name, SLICE("branch")))
		via->branch = param->value;
	else if (slice_case_eq(param->name, SLICE("received")))
		via->received = param->value;
	else if (slice_case_eq(param->name, SLICE("maddr")))
		via->maddr = param->value;
	else if (slice_case_eq(param->name, SLICE("ttl")))
		via->ttl = param->value;
	else if (slice_case_eq(param->name, SLICE("rport"))) {
		if (param->has_value && !slice_u64(param->value, UINT16_MAX, &port))
			return false;
		via->has_rport = true;
		via->rport = (uint16_t)port;
	}
	return true;
}

bool sip_via_decode(struct slice value, struct sip_via *via, struct slice *rest)
{
	struct slice s = SLICE_EMPTY, params;
	struct sip_param param;

	*via = (struct sip_via){ .port = 0 };
	if (!sip_list_next(&value, &s))
		return false;
	via->whole = s;
	if (!take_word(&s, "SIP") || !take_word(&s, "/") || !take_word(&s, "2.0") ||
	    !take_word(&s, "/"))
		return false;
	via->transport = take_token(&s);
	if (!via->transport.n || !s.n || !is_lws(s.p[0]))
		return false;
	s = skip_lws(s);
	if (!take_host(&s, &via->host))
		return false;
	s = skip_lws(s);
	if (s.n && s.p[0] == ':') {
		s = skip_lws(slice_skip(s, 1));
		if (!take_port(&s, &via->port))
			return false;
	}
	via->params = params = skip_lws(s);
	while (sip_param_next(&params, &param))
		if (!via_param(via, &param))
			return false;
	if (rest)
		*rest = value;
	return params.n == 0;
}

/* ---- addresses ---- */

/* Unquoted display names are tokens; octets above ASCII are common and harm nobody. */
static bool is_display(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_lws(s.p[i]) && (unsigned char)s.p[i] < 0x80 &&
		    !sip_is_token(slice_of(s.p + i, 1)))
			return false;
	return true;
}

static bool is_scheme_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '+' ||
	       c == '-' || c == '.';
}

/* A scheme, a colon, something behind it, and nothing that would need escaping (RFC 3986 2). */
static bool is_uri(struct slice uri)
{
	size_t colon = 0;

	while (colon < uri.n && is_scheme_char(uri.p[colon]))
		colon++;
	if (colon == 0 || colon + 1 >= uri.n || uri.p[colon] != ':')
		return false;
	for (size_t i = colon; i < uri.n; i++) {
		unsigned char c = (unsigned char)uri.p[i];
		if (c <= ' ' || c == 0x7f || c == '<' || c == '>' || c == '"')
			return false;
	}
	return true;
}

/* RFC 3261 20.10: without <> the first ';' ends the URI, ',' and '?' may not occur. */
static bool take_addr_spec(struct slice *s, struct sip_address *address)
{
	size_t n = 0;

	while (n < s->n && s->p[n] != ';' && !is_lws(s->p[n])) {
		if (s->p[n] == ',' || s->p[n] == '?')
			return false;
		n++;
	}
	address->uri = slice_of(s->p, n);
	*s = slice_skip(*s, n);
	return true;
}

static bool take_name_addr(struct slice *s, struct sip_address *address, size_t open)
{
	const char *close = memchr(s->p + open, '>', s->n - open);

	if (!close)
		return false;
	address->bracketed = true;
	address->uri = slice_of(s->p + open + 1, (size_t)(close - s->p) - open - 1);
	*s = slice_skip(*s, (size_t)(close - s->p) + 1);
	return true;
}

bool sip_address_decode(struct slice value, struct sip_address *address)
{
	struct slice s = slice_trim(value), params;
	struct sip_param param;

	*address = (struct sip_address){ .bracketed = false };
	if (!s.n)
		return false;
	if (s.p[0] == '"') {
		address->display = take_quoted(&s);
		s = skip_lws(s);
		if (!address->display.n || !s.n || s.p[0] != '<')
			return false;
	}
	const char *open = memchr(s.p, '<', s.n), *semicolon = memchr(s.p, ';', s.n);
	if (open && (!semicolon || open < semicolon)) {
		size_t at = (size_t)(open - s.p);
		struct slice display = slice_trim(slice_of(s.p, at));
		if (!is_display(display))
			return false;
		if (at)
			address->display = display;
		if (!take_name_addr(&s, address, at))
			return false;
	} else if (!take_addr_spec(&s, address)) {
		return false;
	}
	if (!is_uri(address->uri))
		return false;
	address->params = params = skip_lws(s);
	while (sip_param_next(&params, &param))
		if (!address->tag.p && slice_case_eq(param.name, SLICE("tag")))
			address->tag = param.value;
	return params.n == 0;
}

enum sip_item sip_address_next(struct sip_items *items, struct sip_address *address)
{
	struct slice element;

	if (!sip_items_next(items, &element))
		return SIP_ITEM_END;
	return sip_address_decode(element, address) ? SIP_ITEM_OK : SIP_ITEM_BAD;
}

/* qvalue, RFC 3261 25.1: 0 to 1 with up to three decimals. */
static bool decode_q(struct slice value, unsigned *q)
{
	static const unsigned scale[] = { 1000, 100, 10, 1 };
	struct slice decimals, whole = slice_cut(value, '.', &decimals);
	uint64_t units, thousandths = 0;

	if (whole.n != 1 || !slice_u64(whole, 1, &units) || decimals.n > 3)
		return false;
	if (decimals.n && !slice_u64(decimals, 999, &thousandths))
		return false;
	thousandths = units * 1000 + thousandths * scale[decimals.n];
	if (thousandths > 1000)
		return false;
	*q = (unsigned)thousandths;
	return true;
}

static bool is_number(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* delta-seconds that are too large are only a very long time (RFC 3261 20.19). */
static bool decode_seconds(struct slice value, uint32_t *seconds)
{
	uint64_t number;

	if (!is_number(value))
		return false;
	*seconds = slice_u64(value, UINT32_MAX, &number) ? (uint32_t)number : UINT32_MAX;
	return true;
}

static bool is_alone(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct slice element;
	unsigned count = 0;

	while (count < 2 && sip_items_next(&items, &element))
		count++;
	return count == 1;
}

enum sip_item sip_contact_next(struct sip_items *items, struct sip_contact *contact)
{
	struct slice element, value;

	*contact = (struct sip_contact){ .q = 1000 };
	if (!sip_items_next(items, &element))
		return SIP_ITEM_END;
	if (slice_eq(element, SLICE("*"))) {
		contact->star = true;
		return is_alone(items->message) ? SIP_ITEM_OK : SIP_ITEM_BAD;
	}
	if (!sip_address_decode(element, &contact->address))
		return SIP_ITEM_BAD;
	if (sip_param_find(contact->address.params, "expires", &value)) {
		contact->has_expires = true;
		if (!decode_seconds(value, &contact->expires))
			contact->expires = 3600;
	}
	if (sip_param_find(contact->address.params, "q", &value) && !decode_q(value, &contact->q))
		return SIP_ITEM_BAD;
	return SIP_ITEM_OK;
}

/* ---- single values ---- */

bool sip_cseq_decode(struct slice value, uint32_t *number, struct slice *method)
{
	struct slice s = slice_trim(value);
	size_t n = 0;
	uint64_t sequence;

	while (n < s.n && !is_lws(s.p[n]))
		n++;
	if (!n || !slice_u64(slice_of(s.p, n), INT32_MAX, &sequence))
		return false;
	s = skip_lws(slice_skip(s, n));
	if (!sip_is_token(s))
		return false;
	*number = (uint32_t)sequence;
	*method = s;
	return true;
}

bool sip_number_decode(struct slice value, uint64_t max, uint64_t *number)
{
	struct slice s = slice_trim(value), rest;
	size_t n = 0;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	if (!n)
		return false;
	rest = skip_lws(slice_skip(s, n));
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
	rest = skip_lws(slice_skip(rest, n));
	if (rest.n && rest.p[0] != ';' && rest.p[0] != '(')
		return false;
	return decode_seconds(slice_of(value.p, n), seconds);
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
	content_type->type = take_token(&s);
	if (!content_type->type.n || !take_word(&s, "/"))
		return false;
	content_type->subtype = take_token(&s);
	content_type->params = params = skip_lws(s);
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
	if (!decode_seconds(slice_of(s.p, n), &expires->seconds))
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
		while (next_part(&element, ';', &value))
			if (slice_case_eq(value, slice_str(wanted)))
				return true;
	return false;
}

bool sip_params_have_feature(struct slice params, const char *feature)
{
	struct slice part, value;

	while (next_part(&params, ';', &part)) {
		struct slice name = slice_trim(slice_cut(part, '=', &value));
		value = slice_trim(sip_unquote(slice_trim(value)));
		while (name.n && (name.p[name.n - 1] == '.' || is_lws(name.p[name.n - 1])))
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

/* ---- the mandatory ones ---- */

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
	if (!call_id.n)
		return "Bad Call-ID";
	for (size_t i = 0; i < call_id.n; i++)
		if (is_lws(call_id.p[i]))
			return "Bad Call-ID";
	if (!sip_cseq_decode(sip_header_value(m, SIP_HDR_CSEQ), &number, cseq_method))
		return "Bad CSeq";
	return NULL;
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
