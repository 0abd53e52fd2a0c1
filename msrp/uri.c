/* MSRP URIs: see uri.h. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "msrp/uri.h"

enum {
	UNRESERVED = 1, /* RFC 3986: letters, digits, - . _ ~   */
	SUB_DELIM = 2,  /* ! $ & ' ( ) * + , =   but not ;      */
	TOKEN = 4,      /* RFC 3261, for parameters             */
	HEX = 8,
};

/* isalnum() and its like ask the locale; protocol text is ASCII wherever we run. */
static unsigned class_of(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
		return UNRESERVED | TOKEN | HEX;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return UNRESERVED | TOKEN;
	switch (c) {
	case '-': case '.': case '_': case '~':
		return UNRESERVED | TOKEN;
	case '!': case '\'': case '*': case '+':
		return SUB_DELIM | TOKEN;
	case '$': case '&': case '(': case ')': case ',': case '=':
		return SUB_DELIM;
	case '`':
		return TOKEN;
	default:
		return 0;
	}
}

static unsigned hex_value(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Only characters of these classes, of `also`, and whole percent-escapes. */
static bool consists_of(struct slice s, unsigned classes, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '%' && i + 2 < s.n && (class_of(s.p[i + 1]) & HEX) &&
			(class_of(s.p[i + 2]) & HEX)) {
			i += 2;
			continue;
		}
		if (!(class_of(c) & classes) && (c == '\0' || !strchr(also, c)))
			return false;
	}
	return true;
}

static bool is_ipv6(struct slice s, struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET6, text, address) == 1;
}

/* host and what follows it up to the path: "" or ":port". */
static bool parse_host(struct slice s, struct msrp_uri *uri)
{
	struct in6_addr address;
	struct slice port = SLICE_EMPTY;
	uint64_t number;

	if (s.n && s.p[0] == '[') {
		uri->host = slice_cut(slice_skip(s, 1), ']', &port);
		uri->host_is_ipv6 = true;
		if (!port.p || !is_ipv6(uri->host, &address) || (port.n && port.p[0] != ':'))
			return false;
		if (port.n == 0)
			return true;
		port = slice_skip(port, 1);
	} else {
		uri->host = slice_cut(s, ':', &port);
		if (uri->host.n == 0 || !consists_of(uri->host, UNRESERVED | SUB_DELIM, ""))
			return false;
		if (!port.p)
			return true;
	}
	if (!slice_u64(port, UINT16_MAX, &number) || number == 0)
		return false;
	uri->port = (uint16_t)number;
	return true;
}

static bool parse_authority(struct slice s, struct msrp_uri *uri)
{
	struct slice host, before = slice_cut(s, '@', &host);

	if (!host.p)
		return parse_host(s, uri);
	uri->userinfo = before;
	return consists_of(before, UNRESERVED | SUB_DELIM, ":;") && parse_host(host, uri);
}

/* *( ";" token [ "=" token ] ), each with its semicolon */
static bool good_parameters(struct slice s)
{
	while (s.n) {
		struct slice rest, value, parameter = slice_cut(slice_skip(s, 1), ';', &rest);
		struct slice name = slice_cut(parameter, '=', &value);

		if (name.n == 0 || !consists_of(name, TOKEN, "") ||
			!consists_of(value, TOKEN, "[]:") || (value.p && value.n == 0))
			return false;
		s = slice_of(parameter.p + parameter.n, s.n - 1 - parameter.n);
	}
	return true;
}

bool msrp_uri_parse(struct slice text, struct msrp_uri *uri)
{
	struct msrp_uri u = { .text = text };
	struct slice rest, tail, authority;

	if (slice_case_starts(text, SLICE("msrp://"))) {
		rest = slice_skip(text, 7);
	} else if (slice_case_starts(text, SLICE("msrps://"))) {
		rest = slice_skip(text, 8);
		u.secure = true;
	} else {
		return false;
	}

	/* A ';' may stand in userinfo, so the host is looked for behind the '@'. */
	const char *path = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
	struct slice before_path = path ? slice_of(rest.p, (size_t)(path - rest.p)) : rest;
	const char *at = before_path.n ? memchr(before_path.p, '@', before_path.n) : NULL;
	size_t userinfo_n = at ? (size_t)(at + 1 - rest.p) : 0;
	struct slice host = slice_skip(before_path, userinfo_n);
	const char *semicolon = host.n ? memchr(host.p, ';', host.n) : NULL;

	if (semicolon)
		path = NULL; /* that '/' stands in a parameter, where it is refused */
	authority = semicolon ? slice_of(rest.p, (size_t)(semicolon - rest.p)) : before_path;
	tail = slice_skip(rest, authority.n);
	if (!parse_authority(authority, &u))
		return false;

	if (path) {
		u.session_id = slice_cut(slice_skip(tail, 1), ';', NULL);
		if (u.session_id.n == 0 ||
			!consists_of(u.session_id, UNRESERVED | SUB_DELIM, "/:@"))
			return false;
		tail = slice_skip(tail, 1 + u.session_id.n);
	}

	if (tail.n == 0)
		return false; /* the grammar has ";" transport in every URI */
	u.transport = slice_cut(slice_skip(tail, 1), ';', NULL);
	if (u.transport.n == 0)
		return false;
	for (size_t i = 0; i < u.transport.n; i++) {
		if (!(class_of(u.transport.p[i]) & UNRESERVED) || strchr("-._~", u.transport.p[i]))
			return false;
	}
	u.parameters = slice_skip(tail, 1 + u.transport.n);
	if (!good_parameters(u.parameters))
		return false;
	*uri = u;
	return true;
}

/*
 * The next character of a host, lower-case, an escape of an unreserved character decoded; escapes
 * of others stay three characters (RFC 3986 6.2.2.2).
 */
static int next_host_character(struct slice *s)
{
	char c = s->p[0];
	size_t taken = 1;

	if (c == '%' && s->n > 2) {
		char decoded = (char)(hex_value(s->p[1]) << 4 | hex_value(s->p[2]));
		if (class_of(decoded) & UNRESERVED) {
			c = decoded;
			taken = 3;
		}
	}
	*s = slice_skip(*s, taken);
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool host_equal(const struct msrp_uri *a, const struct msrp_uri *b)
{
	struct slice left = a->host, right = b->host;
	struct in6_addr one, other;

	if (a->host_is_ipv6 != b->host_is_ipv6)
		return false;
	if (a->host_is_ipv6)
		return is_ipv6(left, &one) && is_ipv6(right, &other) &&
			memcmp(&one, &other, sizeof(one)) == 0;
	if (slice_eq(left, right))
		return true;
	while (left.n && right.n) {
		if (next_host_character(&left) != next_host_character(&right))
			return false;
	}
	return left.n == 0 && right.n == 0;
}

bool msrp_uri_equal(const struct msrp_uri *a, const struct msrp_uri *b)
{
	return a->secure == b->secure && a->port == b->port &&
		slice_eq(a->session_id, b->session_id) &&
		slice_case_eq(a->transport, b->transport) && host_equal(a, b);
}
