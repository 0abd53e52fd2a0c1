#include "sip/uri.h"

#include <arpa/inet.h>

/* ---- octets ---- */

static bool is_alnum(unsigned char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_one_of(unsigned char c, const char *set)
{
	return c && strchr(set, c);
}

/* RFC 3261 25.1 */
static bool is_unreserved(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "-_.!~*'()");
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void sip_unescape(struct buffer *out, struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		int high = s.p[i] == '%' && s.n - i > 2 ? hex_digit((unsigned char)s.p[i + 1]) : -1;
		int low = high < 0 ? -1 : hex_digit((unsigned char)s.p[i + 2]);
		if (low < 0) {
			buffer_char(out, s.p[i]);
			continue;
		}
		buffer_char(out, (char)(high << 4 | low));
		i += 2;
	}
}

#define ESCAPED 256 /* added to an octet that must stay escaped */

/* Takes one character off *s with unreserved escapes decoded; -1 at the end. */
static int take_octet(struct slice *s)
{
	int high, low, octet;

	if (!s->n)
		return -1;
	octet = (unsigned char)s->p[0];
	if (octet != '%' || s->n < 3 || (high = hex_digit((unsigned char)s->p[1])) < 0 ||
	    (low = hex_digit((unsigned char)s->p[2])) < 0) {
		*s = slice_skip(*s, 1);
		return octet;
	}
	*s = slice_skip(*s, 3);
	octet = high << 4 | low;
	return is_unreserved((unsigned char)octet) ? octet : octet | ESCAPED;
}

static int lower(int octet)
{
	return octet >= 'A' && octet <= 'Z' ? octet | 0x20 : octet;
}

static bool text_equal(struct slice a, struct slice b, bool with_case)
{
	int x, y;

	do {
		x = take_octet(&a);
		y = take_octet(&b);
		if (x != y && (with_case || lower(x) != lower(y)))
			return false;
	} while (x >= 0);
	return true;
}

/* Unreserved, whole escapes and `others`. */
static bool is_made_of(struct slice s, const char *others)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '%') {
			if (s.n - i < 3 || hex_digit((unsigned char)s.p[i + 1]) < 0 ||
			    hex_digit((unsigned char)s.p[i + 2]) < 0)
				return false;
			i += 2;
		} else if (!is_unreserved(c) && !is_one_of(c, others)) {
			return false;
		}
	}
	return true;
}

/* ---- hosts ---- */

static struct slice without_brackets(struct slice host)
{
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return slice_of(host.p + 1, host.n - 2);
	return host;
}

static bool ipv6_of(struct slice host, struct in6_addr *address)
{
	char text[INET6_ADDRSTRLEN];

	host = without_brackets(host);
	if (host.n >= sizeof(text) || !host.n || !memchr(host.p, ':', host.n) ||
	    memchr(host.p, 0, host.n))
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	return inet_pton(AF_INET6, text, address) == 1;
}

static struct slice without_dot(struct slice host)
{
	while (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

bool sip_host_equal(struct slice a, struct slice b)
{
	struct in6_addr x, y;

	if (ipv6_of(a, &x) && ipv6_of(b, &y))
		return memcmp(&x, &y, sizeof(x)) == 0;
	return slice_case_eq(without_dot(a), without_dot(b));
}

static bool is_host(struct slice host)
{
	struct in6_addr address;

	if (host.n && host.p[0] == '[')
		return host.p[host.n - 1] == ']' && ipv6_of(host, &address);
	for (size_t i = 0; i < host.n; i++) /* '_' is no host name by RFC 1123, but is in use */
		if (!is_alnum((unsigned char)host.p[i]) &&
		    !is_one_of((unsigned char)host.p[i], "-._"))
			return false;
	return host.n > 0;
}

/* ---- parsing ---- */

/* Cuts s at the first octet out of `set`; *rest starts with that octet. */
static struct slice cut_before(struct slice s, const char *set, struct slice *rest)
{
	size_t n = 0;

	while (n < s.n && !is_one_of((unsigned char)s.p[n], set))
		n++;
	*rest = n ? slice_skip(s, n) : s;
	return slice_of(s.p, n);
}

static bool parse_host_port(struct slice s, struct sip_uri *uri)
{
	size_t n = 0;
	uint64_t port = 0;

	if (s.n && s.p[0] == '[')
		while (n < s.n && s.p[n] != ']')
			n++;
	while (n < s.n && s.p[n] != ':')
		n++;
	uri->host = slice_of(s.p, n);
	if (n < s.n && (!slice_u64(slice_skip(s, n + 1), UINT16_MAX, &port) || !port))
		return false;
	uri->port = (uint16_t)port;
	return is_host(uri->host);
}

static bool parse_user(struct slice info, struct sip_uri *uri)
{
	uri->user = slice_cut(info, ':', &uri->password);
	return uri->user.n && is_made_of(uri->user, "&=+$,;?/") &&
	       is_made_of(uri->password, "&=+$,");
}

/* RFC 3261 25.1: an '@' can only end the userinfo, where ';' and '?' may occur too. */
static bool parse_sip(struct slice s, struct sip_uri *uri)
{
	const char *at = s.n ? memchr(s.p, '@', s.n) : NULL;
	struct slice rest;

	if (at) {
		if (!parse_user(slice_of(s.p, (size_t)(at - s.p)), uri))
			return false;
		s = slice_skip(s, (size_t)(at - s.p) + 1);
	}
	struct slice host_port = cut_before(s, ";?", &rest);
	uri->params = cut_before(rest, "?", &rest);
	uri->headers = slice_skip(rest, 1);
	return parse_host_port(host_port, uri) && is_made_of(uri->params, ";=[]/:&+$") &&
	       is_made_of(uri->headers, "&=[]/?:+$");
}

#define VISUAL_SEPARATORS "-.()"

/* RFC 3966 3: +digits, or a local number of hex digits, * and #. */
static bool is_telephone(struct slice s)
{
	bool is_global = s.n && s.p[0] == '+';
	size_t digits = 0;

	for (size_t i = is_global; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c >= '0' && c <= '9')
			digits++;
		else if (!is_global && (is_one_of(c, "*#") || hex_digit(c) >= 0))
			digits++;
		else if (!is_one_of(c, VISUAL_SEPARATORS))
			return false;
	}
	return digits > 0;
}

static bool parse_tel(struct slice s, struct sip_uri *uri)
{
	uri->user = cut_before(s, ";", &uri->params);
	return is_telephone(uri->user) && is_made_of(uri->params, ";=[]/:&+$");
}

static bool parse_other(struct slice s, struct sip_uri *uri)
{
	uri->user = s;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= ' ' || c == 0x7f || is_one_of(c, "<>\""))
			return false;
	}
	return s.n > 0;
}

static bool is_scheme(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum((unsigned char)s.p[i]) && !is_one_of((unsigned char)s.p[i], "+-."))
			return false;
	return s.n && ((unsigned char)s.p[0] | 0x20) >= 'a';
}

bool sip_uri_parse(struct slice text, struct sip_uri *uri)
{
	struct slice rest;

	*uri = (struct sip_uri){ .scheme = SIP_SCHEME_OTHER };
	uri->scheme_name = slice_cut(text, ':', &rest);
	if (!rest.p || !is_scheme(uri->scheme_name))
		return false;
	if (slice_case_eq(uri->scheme_name, SLICE("sip")))
		uri->scheme = SIP_SCHEME_SIP;
	else if (slice_case_eq(uri->scheme_name, SLICE("sips")))
		uri->scheme = SIP_SCHEME_SIPS;
	else if (slice_case_eq(uri->scheme_name, SLICE("tel")))
		uri->scheme = SIP_SCHEME_TEL;
	else
		return parse_other(rest, uri);
	return uri->scheme == SIP_SCHEME_TEL ? parse_tel(rest, uri) : parse_sip(rest, uri);
}

/* Takes the next name=value off *s, which are separated by `separator`. */
static bool next_pair(struct slice *s, char separator, struct slice *name, struct slice *value)
{
	while (s->n) {
		struct slice pair = slice_cut(*s, separator, s);
		*name = slice_cut(pair, '=', value);
		if (name->n)
			return true;
	}
	return false;
}

static bool find_pair(struct slice s, char separator, struct slice wanted, struct slice *value)
{
	struct slice name, found;

	while (next_pair(&s, separator, &name, &found))
		if (text_equal(name, wanted, false)) {
			if (value)
				*value = found;
			return true;
		}
	return false;
}

/* Is there such a name with such a value?  A name may be there twice, though it must not. */
static bool has_pair(struct slice s, char separator, struct slice name, struct slice value)
{
	struct slice other_name, other;

	while (next_pair(&s, separator, &other_name, &other))
		if (text_equal(name, other_name, false) && text_equal(value, other, false))
			return true;
	return false;
}

bool sip_uri_param(const struct sip_uri *uri, const char *name, struct slice *value)
{
	return find_pair(uri->params, ';', slice_str(name), value);
}

/* ---- comparing ---- */

/* RFC 3261 19.1.4: these count even if only one of both has them. */
static const char *const decisive[] = { "user", "ttl", "method", "maddr", "transport" };

/* Does what both have have the same values?  Asked both ways, because a name may be there twice. */
static bool params_agree(struct slice a, struct slice b)
{
	struct slice name, value;

	while (next_pair(&a, ';', &name, &value))
		if (find_pair(b, ';', name, NULL) && !has_pair(b, ';', name, value))
			return false;
	return true;
}

static bool params_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	for (size_t i = 0; i < sizeof(decisive) / sizeof(decisive[0]); i++)
		if (sip_uri_param(a, decisive[i], NULL) != sip_uri_param(b, decisive[i], NULL))
			return false;
	return params_agree(a->params, b->params) && params_agree(b->params, a->params);
}

static bool headers_within(struct slice a, struct slice b)
{
	struct slice name, value;

	while (next_pair(&a, '&', &name, &value))
		if (!has_pair(b, '&', name, value))
			return false;
	return true;
}

/* The next digit of a telephone number, visual separators left out, escapes decoded. */
static int take_digit(struct slice *s)
{
	int octet;

	do
		octet = take_octet(s);
	while (octet >= 0 && is_one_of((unsigned char)octet, VISUAL_SEPARATORS));
	return octet < 0 ? octet : lower(octet & 0xff);
}

static bool numbers_equal(struct slice a, struct slice b)
{
	int x, y;

	do {
		x = take_digit(&a);
		y = take_digit(&b);
	} while (x == y && x >= 0);
	return x == y;
}

/* RFC 3966 4: every parameter counts, also if only one of both has it. */
static bool tel_params_equal(struct slice a, struct slice b)
{
	struct slice rest = a, name, value;

	for (int turn = 0; turn < 2; turn++, rest = b, b = a)
		while (next_pair(&rest, ';', &name, &value))
			if (!has_pair(b, ';', name, value))
				return false;
	return true;
}

bool sip_uri_equal(const struct sip_uri *a, const struct sip_uri *b)
{
	if (a->scheme != b->scheme)
		return false;
	if (a->scheme == SIP_SCHEME_OTHER)
		return slice_case_eq(a->scheme_name, b->scheme_name) && slice_eq(a->user, b->user);
	if (a->scheme == SIP_SCHEME_TEL)
		return numbers_equal(a->user, b->user) && tel_params_equal(a->params, b->params);
	return text_equal(a->user, b->user, true) && text_equal(a->password, b->password, true) &&
	       sip_host_equal(a->host, b->host) && a->port == b->port && params_equal(a, b) &&
	       headers_within(a->headers, b->headers) && headers_within(b->headers, a->headers);
}

/* ---- canonical form ---- */

bool sip_uri_is_number(const struct sip_uri *uri)
{
	struct slice user, plus, rest;

	if (uri->scheme == SIP_SCHEME_TEL)
		return true;
	if (uri->scheme == SIP_SCHEME_OTHER || !sip_uri_param(uri, "user", &user) ||
	    !slice_case_eq(user, SLICE("phone")))
		return false;
	plus = cut_before(uri->user, ";", &rest);
	if (slice_case_starts(plus, SLICE("%2b")))
		plus = slice_skip(plus, 3);
	return is_telephone(plus);
}

static bool is_default_port(const struct sip_uri *uri)
{
	return uri->port == 0 || uri->port == (uri->scheme == SIP_SCHEME_SIPS ? 5061 : 5060);
}

bool sip_uri_is_home(const struct sip_uri *uri, const struct sip_home *home)
{
	if (sip_uri_is_number(uri))
		return true;
	if (uri->scheme == SIP_SCHEME_OTHER)
		return false;
	if (is_default_port(uri)) {
		if (sip_host_equal(uri->host, home->home) ||
		    (home->store_host.n && sip_host_equal(uri->host, home->store_host)))
			return true;
		for (unsigned i = 0; i < home->alias_count; i++)
			if (sip_host_equal(uri->host, home->aliases[i]))
				return true;
	}
	for (unsigned i = 0; i < home->literal_count; i++) {
		const struct sip_host_port *literal = &home->literals[i];
		if ((!uri->port || !literal->port || uri->port == literal->port) &&
		    sip_host_equal(uri->host, literal->host))
			return true;
	}
	return false;
}

static void put_user(struct buffer *out, struct slice user)
{
	static const char digits[] = "0123456789ABCDEF";
	int octet;

	while ((octet = take_octet(&user)) >= 0) {
		if (octet & ESCAPED) {
			buffer_char(out, '%');
			buffer_char(out, digits[octet >> 4 & 15]);
			buffer_char(out, digits[octet & 15]);
		} else {
			buffer_char(out, (char)octet);
		}
	}
}

static void put_number(struct buffer *out, struct slice user)
{
	struct slice rest, number = cut_before(user, ";", &rest);
	int digit;

	while ((digit = take_digit(&number)) >= 0) {
		if (digit == '#') /* which may not stand in a sip: URI as it is */
			buffer_lit(out, "%23");
		else
			buffer_char(out, (char)digit);
	}
}

static void put_host(struct buffer *out, struct slice host)
{
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	if (ipv6_of(host, &address) && inet_ntop(AF_INET6, &address, text, sizeof(text))) {
		buffer_char(out, '[');
		buffer_str(out, text);
		buffer_char(out, ']');
		return;
	}
	host = without_dot(host);
	for (size_t i = 0; i < host.n; i++)
		buffer_char(out, (char)lower((unsigned char)host.p[i]));
}

bool sip_uri_canonical(struct buffer *out, const struct sip_uri *uri, const struct sip_home *home)
{
	size_t start = out->n;

	if (uri->scheme == SIP_SCHEME_OTHER)
		return false;
	if (sip_uri_is_number(uri))
		put_number(out, uri->user);
	else
		put_user(out, uri->user);
	if (out->n > start)
		buffer_char(out, '@');
	if (sip_uri_is_home(uri, home)) {
		put_host(out, home->home);
	} else {
		put_host(out, uri->host);
		if (!is_default_port(uri)) {
			buffer_char(out, ':');
			buffer_u64(out, uri->port);
		}
	}
	if (out->overflow)
		out->n = start;
	return !out->overflow;
}
