#include "sip/lexical.h"

static bool take_host(struct slice *s, struct slice *host)
{
	size_t n = 0;

	if (s->n && s->p[0] == '[') {
		for (n = 1; n < s->n && s->p[n] != ']'; n++) /* IPv6 and nothing else, folds least of all */
			if (!strchr("0123456789abcdefABCDEF:.", s->p[n]) || !s->p[n])
				return false;
		n++;
	} else {
		while (n < s->n && !sip_is_lws(s->p[n]) && !strchr(":;,\"<>@[]", s->p[n]))
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
	if (!sip_take_word(&s, "SIP") || !sip_take_word(&s, "/") || !sip_take_word(&s, "2.0") ||
	    !sip_take_word(&s, "/"))
		return false;
	via->transport = sip_take_token(&s);
	if (!via->transport.n || !s.n || !sip_is_lws(s.p[0]))
		return false;
	s = sip_skip_lws(s);
	if (!take_host(&s, &via->host))
		return false;
	s = sip_skip_lws(s);
	if (s.n && s.p[0] == ':') {
		s = sip_skip_lws(slice_skip(s, 1));
		if (!take_port(&s, &via->port))
			return false;
	}
	via->params = params = sip_skip_lws(s);
	while (sip_param_next(&params, &param))
		if (!via_param(via, &param))
			return false;
	if (rest)
		*rest = value;
	return params.n == 0;
}
