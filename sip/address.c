#include "sip/lexical.h"

/* Unquoted display names are tokens; octets above ASCII are common and harm nobody. */
static bool is_display(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!sip_is_lws(s.p[i]) && (unsigned char)s.p[i] < 0x80 &&
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

	while (n < s->n && s->p[n] != ';' && !sip_is_lws(s->p[n])) {
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
		address->display = sip_take_quoted(&s);
		s = sip_skip_lws(s);
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
	address->params = params = sip_skip_lws(s);
	while (sip_param_next(&params, &param)) {
		if (address->tag.p || !slice_case_eq(param.name, SLICE("tag")))
			continue;
		address->tag = param.value;
		/* it is compared and repeated as it stands: in quotes it could hold anything */
		if (!param.value.n || param.value.p[0] == '"')
			return false;
	}
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
		if (!sip_decode_seconds(value, &contact->expires))
			contact->expires = 3600;
	}
	if (sip_param_find(contact->address.params, "q", &value) && !decode_q(value, &contact->q))
		return SIP_ITEM_BAD;
	return SIP_ITEM_OK;
}
