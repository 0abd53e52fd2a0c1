#include "actors/offered.h"

#include "sip/header.h"

enum offer offered_find(const struct im *im, const struct sip_message *m, bool for_us, struct offered *o)
{
	enum sip_header_id id = for_us ? SIP_HDR_AUTHORIZATION : SIP_HDR_PROXY_AUTHORIZATION;
	const struct sip_header *header = sip_header_first(m, id);
	enum offer best = OFFER_NONE;

	for (unsigned count = 0; header; header = sip_header_next(m, header)) {
		struct digest_credentials c = { 0 };
		if (++count > DIGEST_HEADERS_MAX)
			return OFFER_BAD;
		enum digest_verdict verdict = digest_credentials_decode(header->value, &c);
		if (verdict == DIGEST_BAD)
			return OFFER_BAD;
		if (verdict == DIGEST_OTHER || !slice_eq(c.realm, slice_str(im->config->domain.home)))
			continue;
		if (verdict == DIGEST_UNSUPPORTED) {
			best = OFFER_USELESS;
			continue;
		}
		o->credentials = c;
		o->header = header->value;
		return OFFER_GOOD;
	}
	return best;
}

bool offered_uri_is(const struct im *im, struct slice given, const struct sip_message *m)
{
	char texts[2][IM_CANONICAL_MAX];
	struct buffer a = buffer_over(texts[0], IM_CANONICAL_MAX), b = buffer_over(texts[1], IM_CANONICAL_MAX);
	const struct sip_home *home = &im->server->sip.home;
	struct sip_uri one, two;

	if (slice_eq(given, m->uri))
		return true;
	if (!sip_uri_parse(given, &one) || !sip_uri_parse(m->uri, &two))
		return false;
	/* a client may leave out of one what it wrote into the other: port, transport */
	return sip_uri_equal(&one, &two) ||
	       (one.scheme == two.scheme && sip_uri_canonical(&a, &one, home) &&
		       sip_uri_canonical(&b, &two, home) && slice_eq(buffer_slice(&a), buffer_slice(&b)));
}

/* A username as people write it, without the escapes of a URI. */
static void write_escaped(struct buffer *out, struct slice user)
{
	static const char plain[] = "-_.!~*'()&=+$,;?/";

	for (size_t i = 0; i < user.n; i++) {
		unsigned char c = (unsigned char)user.p[i];
		bool is_plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
				(c && strchr(plain, c));
		if (is_plain)
			buffer_char(out, (char)c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

bool offered_name(const struct im *im, struct offered *o)
{
	char text[IM_CANONICAL_MAX];
	struct buffer uri = buffer_over(text, sizeof(text)), out = buffer_over(o->canonical, sizeof(o->canonical));
	struct slice user = o->credentials.username, home = slice_str(im->config->domain.home);
	const char *at = user.p && user.n ? memrchr(user.p, '@', user.n) : NULL;
	struct sip_uri parsed;

	o->name = DIGEST_NAME_USER;
	if (at) {
		size_t n = (size_t)(at - user.p);
		if (!slice_eq(slice_skip(user, n + 1), home))
			return false;
		o->name = DIGEST_NAME_USER_AT_REALM;
		user.n = n;
	}
	buffer_lit(&uri, "sip:");
	write_escaped(&uri, user);
	buffer_char(&uri, '@');
	buffer_put(&uri, home);
	if (user.n == 0 || uri.overflow || !sip_uri_parse(buffer_slice(&uri), &parsed) ||
	    !sip_uri_canonical(&out, &parsed, &im->server->sip.home))
		return false;
	o->canonical_n = out.n;
	return true;
}
