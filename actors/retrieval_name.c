#include "actors/retrieval_name.h"

#include "sip/owner.h"

/* The store host, or one below it: every user's own (D2-04). */
static bool is_store_host(const struct im *im, struct slice host)
{
	struct slice store = im->server->sip.store_host;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (store.n == 0 || host.n < store.n)
		return false;
	if (host.n == store.n)
		return sip_host_equal(host, store);
	return host.p[host.n - store.n - 1] == '.' && slice_case_eq(slice_skip(host, host.n - store.n), store);
}

static bool is_sip(const struct sip_uri *uri)
{
	return (uri->scheme == SIP_SCHEME_SIP || uri->scheme == SIP_SCHEME_SIPS) && uri->user.n > 0;
}

static int value_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Once, as D2-06 has it; sip_uri_parse() saw that every escape is whole. */
static void unescape(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '%' && i + 2 < text.n) {
			buffer_char(out, (char)(value_of(text.p[i + 1]) * 16 + value_of(text.p[i + 2])));
			i += 2;
		} else {
			buffer_char(out, text.p[i]);
		}
	}
}

enum retrieval_form retrieval_form_of(const struct im *im, const struct sip_uri *uri)
{
	const struct sip_options *sip = &im->server->sip;
	char text[IM_CANONICAL_MAX];
	struct buffer user = buffer_over(text, sizeof(text));
	bool is_at_store;

	if (!is_sip(uri))
		return RETRIEVAL_NONE;
	is_at_store = is_store_host(im, uri->host);
	unescape(&user, uri->user); /* too long: no name of ours */
	if (!user.overflow && slice_case_eq(buffer_slice(&user), SLICE("Deferred")))
		return is_at_store || sip_uri_is_home(uri, &sip->home) ? RETRIEVAL_FUNCTION : RETRIEVAL_NONE;
	return is_at_store && !sip_name_is_function(buffer_slice(&user), sip) ? RETRIEVAL_NAMED : RETRIEVAL_NONE;
}

bool retrieval_account(const struct im *im, const struct sip_uri *uri, struct buffer *out)
{
	struct sip_uri at_home = *uri;

	at_home.host = im->server->sip.home.home;
	at_home.port = 0;
	return sip_uri_canonical(out, &at_home, &im->server->sip.home);
}

/* Behind the last @, as a Call-ID and a URI have it. */
static struct slice host_of(struct slice name)
{
	const char *at = name.p ? memrchr(name.p, '@', name.n) : NULL;

	return at ? slice_skip(name, (size_t)(at + 1 - name.p)) : SLICE_EMPTY;
}

bool retrieval_key(const struct im *im, const struct sip_uri *uri, struct buffer *out)
{
	char text[IM_CANONICAL_MAX];
	struct buffer plain = buffer_over(text, sizeof(text));
	struct slice name, host;

	if (!is_sip(uri) || !is_store_host(im, uri->host))
		return false;
	unescape(&plain, uri->user);
	name = buffer_slice(&plain);
	if (name.n > 4 && slice_case_eq(slice_of(name.p, 4), SLICE("sip:")))
		name = slice_skip(name, 4);
	name = slice_cut(name, ';', NULL);
	host = host_of(name);
	if (host.n && is_store_host(im, host))
		name.n -= host.n + 1;
	if (plain.overflow || name.n == 0 || memchr(name.p, 0, name.n))
		return false;
	buffer_put(out, name);
	return !out->overflow;
}
