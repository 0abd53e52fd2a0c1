#include "sip/owner.h"

#include "core/minted.h"
#include "core/siphash.h"
#include "sip/header.h"

#define CANONICAL_MAX 512

static struct siphash_key owner_key;

void sip_owner_init(const uint8_t key[16])
{
	memcpy(owner_key.k, key, sizeof(owner_key.k));
}

unsigned sip_owner_of_call_id(struct slice call_id, unsigned workers)
{
	return (unsigned)(siphash(&owner_key, call_id) % workers);
}

unsigned sip_owner_of_name(struct slice canonical, unsigned workers)
{
	return (unsigned)(siphash(&owner_key, canonical) % workers);
}

/* `pattern` with '*' for any octets.  Only the last star is ever tried again: callers choose the text, so
 * the work must not grow with the number of stars. */
static bool matches(struct slice pattern, struct slice text)
{
	size_t p = 0, t = 0, star = pattern.n, star_text = 0;

	while (t < text.n) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = p++;
			star_text = t;
		} else if (p < pattern.n && pattern.p[p] == text.p[t]) {
			p++;
			t++;
		} else if (star < pattern.n) {
			p = star + 1;
			t = ++star_text;
		} else {
			return false;
		}
	}
	while (p < pattern.n && pattern.p[p] == '*')
		p++;
	return p == pattern.n;
}

bool sip_name_is_group(struct slice user, const struct sip_options *options)
{
	for (unsigned i = 0; i < options->group_pattern_count; i++)
		if (matches(options->group_patterns[i], user))
			return true;
	return false;
}

static bool canonical_of(struct slice text, const struct sip_options *options, struct buffer *out)
{
	struct sip_uri uri;

	return sip_uri_parse(text, &uri) && sip_uri_canonical(out, &uri, &options->home);
}

/* Names of functions, not of users. */
bool sip_name_is_function(struct slice user, const struct sip_options *options)
{
	return slice_eq(user, options->factory_user) || slice_case_eq(user, options->history_user) ||
	       slice_case_eq(user, SLICE("Deferred"));
}

/* With escapes decoded, so that one name has one owner however it is written. */
struct slice sip_canonical_user(struct slice canonical)
{
	const char *at = canonical.n ? memrchr(canonical.p, '@', canonical.n) : NULL;

	return at ? slice_of(canonical.p, (size_t)(at - canonical.p)) : SLICE_EMPTY;
}

/* Rule 3.  Depends on the URI and the method only, never on stored documents. */
static bool name_of(const struct sip_message *m, const struct sip_uri *uri, const struct sip_options *options,
	struct buffer *out)
{
	struct sip_address to;

	if (m->method == SIP_REGISTER)
		return sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) &&
		       canonical_of(to.uri, options, out);
	if (!sip_uri_is_home(uri, &options->home) || !sip_uri_canonical(out, uri, &options->home))
		return false;
	struct slice user = sip_canonical_user(buffer_slice(out));
	if ((m->method == SIP_PUBLISH || m->method == SIP_SUBSCRIBE) && !sip_name_is_function(user, options))
		return true;
	return sip_name_is_group(user, options);
}

/* RFC 3891: the session whose side is to be replaced is where its tags were minted.  A CANCEL of such an INVITE does
 * not say so and gets 481: the INVITE waits for nobody's finger. */
static int worker_of_replaced(const struct sip_message *m)
{
	struct slice params, to_tag, from_tag;
	int minted = -1;

	slice_cut(sip_header_value(m, SIP_HDR_REPLACES), ';', &params);
	if (!params.p)
		return -1;
	params = slice_of(params.p - 1, params.n + 1);
	if (sip_param_find(params, "to-tag", &to_tag))
		minted = minted_worker(to_tag);
	if (minted < 0 && sip_param_find(params, "from-tag", &from_tag))
		minted = minted_worker(from_tag);
	return minted;
}

static unsigned owner_of_request(const struct sip_message *m, const struct sip_options *options, unsigned workers)
{
	char text[CANONICAL_MAX];
	struct buffer name = buffer_over(text, sizeof(text));
	struct sip_address to;
	struct sip_uri uri;
	int minted;

	if (sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) && (minted = minted_worker(to.tag)) >= 0)
		return (unsigned)minted;
	bool has_uri = sip_uri_parse(m->uri, &uri);
	if (has_uri && (minted = minted_worker(uri.user)) >= 0)
		return (unsigned)minted;
	/* before what it replaces: a group has one session, on one worker */
	if ((has_uri || m->method == SIP_REGISTER) && name_of(m, &uri, options, &name))
		return sip_owner_of_name(buffer_slice(&name), workers);
	if (m->method == SIP_INVITE && (minted = worker_of_replaced(m)) >= 0)
		return (unsigned)minted;
	return sip_owner_of_call_id(sip_header_value(m, SIP_HDR_CALL_ID), workers);
}

/* A response belongs to whoever sent the request: our branch says who. */
static int owner_of_response(const struct sip_message *m)
{
	struct sip_via via;

	if (!sip_via_decode(sip_header_value(m, SIP_HDR_VIA), &via, NULL) ||
	    !slice_starts(via.branch, SLICE(SIP_BRANCH_COOKIE)) ||
	    via.branch.n < sizeof(SIP_BRANCH_COOKIE) - 1 + MINTED_CHARS)
		return -1;
	return minted_worker(slice_of(via.branch.p + sizeof(SIP_BRANCH_COOKIE) - 1, MINTED_CHARS));
}

int sip_owner_of(const struct sip_message *m, const struct sip_options *options, unsigned workers)
{
	return m->is_request ? (int)owner_of_request(m, options, workers) : owner_of_response(m);
}
