/*
 * sip:, sips: and tel: URIs (RFC 3261 19.1, RFC 3966) and the canonical form
 * that owners and users are found by (design.md 2).  Slices into the text
 * given; owns nothing.  Any thread.
 */
#ifndef SIP_URI_H
#define SIP_URI_H

#include "core/buffer.h"
#include "core/slice.h"

enum sip_scheme {
	SIP_SCHEME_SIP,
	SIP_SCHEME_SIPS,
	SIP_SCHEME_TEL,
	SIP_SCHEME_OTHER, /* ->user is all that follows the colon; a request to it gets 416 */
};

struct sip_uri {
	enum sip_scheme scheme;
	struct slice scheme_name;
	struct slice user;     /* as written; of tel: the number; empty when there is none */
	struct slice password; /* as written */
	struct slice host;     /* as written, IPv6 in brackets; empty in tel: */
	uint16_t port;         /* 0 = none given */
	struct slice params;   /* ";transport=tcp", starts with ';' or is empty */
	struct slice headers;  /* what follows '?', without it */
};

/* The whole of `text`, without <>.  False when it is no URI, or a sip, sips or tel URI against
 * the grammar (blanks, controls and quotes, half an escape, no host, port above 65535). */
bool sip_uri_parse(struct slice text, struct sip_uri *uri);

/* The first parameter of that name, without case; *value (may be NULL) is empty without '='. */
bool sip_uri_param(const struct sip_uri *uri, const char *name, struct slice *value);

/* RFC 3261 19.1.4; tel: by RFC 3966 4 (visual separators ignored).  Other schemes: octets. */
bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b);

/* Host and port as an operator wrote them.  IPv6 in brackets. */
struct sip_host_port {
	struct slice host;
	uint16_t port; /* 0 = any */
};

/* Who we are.  Belongs to config, read-only. */
struct sip_home {
	struct slice home; /* domain.home */
	const struct slice *aliases;
	unsigned alias_count;
	struct slice store_host;
	const struct sip_host_port *literals; /* our listeners, by address and by `advertise` */
	unsigned literal_count;
};

/* Is the host ours?  home, aliases and the store host without or with the default port, a
 * listener with its own port or none.  A tel: URI and user=phone are numbers of ours. */
bool sip_uri_is_home(const struct sip_uri *uri, const struct sip_home *home);

/* Is it tel:, or does it say user=phone? */
bool sip_uri_is_number(const struct sip_uri *uri);

/*
 * Writes `user@host`, `user@host:port` or, without a user, `host` or `host:port`:
 * - user: escaped unreserved characters decoded, the hex digits of the remaining escapes in upper
 *   case; case kept (RFC 3261 19.1.4); no password;
 * - host: lower case, without a trailing dot, IPv6 in RFC 5952 form in brackets; any host of ours
 *   is written as `home`, without port;
 * - port: only if it is not the default of the scheme (5060, sips 5061);
 * - no scheme, parameters and headers: sip and sips of one name are one user;
 * - tel: and user=phone: `number@home`, the number without visual separators, its `+` kept, so
 *   that sip:+49301@home is the same user without user=phone; phone-context does not count, the
 *   # of a local number is written %23.
 * False for SIP_SCHEME_OTHER and when `out` overflowed; then nothing was written.
 */
bool sip_uri_canonical(struct buffer *out, const struct sip_uri *uri, const struct sip_home *home);

/* The escapes decoded, all of them: for what is no URI any more.  What is no whole escape stays. */
void sip_unescape(struct buffer *out, struct slice s);

/* Compares two hosts without case; IPv6 by address, a trailing dot does not count. */
bool sip_host_equal(struct slice a, struct slice b);

#endif
