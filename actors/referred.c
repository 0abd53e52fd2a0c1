#include "actors/referred.h"

#include <stdlib.h>

#include "actors/im.h"
#include "actors/uri_list.h"
#include "core/options.h"
#include "sip/header.h"
#include "sip/write.h"

#define CID SLICE("cid:")

/* ---- Refer-To, Refer-Sub ---- */

/* RFC 3515 2.1: exactly one. */
static bool find_refer_to(const struct sip_message *m, struct sip_address *address)
{
	const struct sip_header *header = sip_header_first(m, SIP_HDR_REFER_TO);

	return header && !header->next && sip_address_decode(header->value, address);
}

static enum referred_verdict read_method(struct referred *out, struct slice method)
{
	if (slice_case_eq(method, SLICE("BYE")))
		out->is_bye = true;
	else if (!slice_case_eq(method, SLICE("INVITE")))
		return REFERRED_FORBIDDEN;
	return REFERRED_OK;
}

enum referred_verdict referred_read(struct referred *out, const struct sip_message *m)
{
	struct slice sub = slice_trim(slice_cut(sip_header_value(m, SIP_HDR_REFER_SUB), ';', NULL)), method;
	struct sip_address address;

	*out = (struct referred){ .is_silent = slice_case_eq(sub, SLICE("false")) };
	if (!find_refer_to(m, &address))
		return REFERRED_MALFORMED;
	out->uri = address.uri;
	if (slice_case_starts(address.uri, CID)) {
		out->cid = slice_skip(address.uri, CID.n);
		return out->cid.n ? REFERRED_OK : REFERRED_MALFORMED;
	}
	if (!sip_uri_parse(address.uri, &out->parts) || out->parts.scheme == SIP_SCHEME_OTHER)
		return REFERRED_MALFORMED;
	if (sip_uri_param(&out->parts, "method", &method))
		return read_method(out, method);
	/* without <> it became a parameter of the header, which nobody can have meant */
	if (!address.bracketed && sip_param_find(address.params, "method", &method))
		return read_method(out, method);
	return REFERRED_OK;
}

/* ---- whom it names ---- */

/* Without the method: that of our request is INVITE. */
static void write_uri(struct buffer *out, struct slice text, const struct sip_uri *uri)
{
	struct slice params = uri->params;
	struct sip_param param;

	if (!sip_uri_param(uri, "method", NULL)) {
		buffer_put(out, text);
		return;
	}
	buffer_put(out, slice_of(text.p, (size_t)(params.p - text.p)));
	while (sip_param_next(&params, &param))
		if (!slice_case_eq(param.name, SLICE("method")))
			sip_write_param(out, &param);
	if (uri->headers.n) {
		buffer_char(out, '?');
		buffer_put(out, uri->headers);
	}
}

/* The next one, behind those of *targets, its text at the end of *text.  OK, MALFORMED or FORBIDDEN. */
static enum referred_verdict add(struct referred_targets *targets, struct buffer *text, struct slice uri,
	const struct sip_home *home)
{
	struct referred_target *added = &targets->all[targets->count];
	char canonical[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(canonical, sizeof(canonical));
	struct slice method;
	struct sip_uri parts;
	size_t begin = text->n;

	if (!sip_uri_parse(uri, &parts) || parts.scheme == SIP_SCHEME_OTHER || !sip_uri_canonical(&out, &parts, home))
		return REFERRED_MALFORMED;
	if (sip_uri_param(&parts, "method", &method) && !slice_case_eq(method, SLICE("INVITE")))
		return REFERRED_FORBIDDEN;
	write_uri(text, uri, &parts);
	added->uri = slice_of(text->p + begin, text->n - begin);
	begin = text->n;
	buffer_put(text, buffer_slice(&out));
	added->canonical = slice_of(text->p + begin, text->n - begin);
	targets->count++;
	return REFERRED_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct referred_target *x = *(const struct referred_target *const *)a, *y = *(const struct referred_target *const *)b;
	size_t n = x->canonical.n < y->canonical.n ? x->canonical.n : y->canonical.n;
	int order = memcmp(x->canonical.p, y->canonical.p, n);

	if (order)
		return order;
	if (x->canonical.n != y->canonical.n)
		return x->canonical.n < y->canonical.n ? -1 : 1;
	return x < y ? -1 : 1; /* the first one of the list stays */
}

/* A list may be long, so names are not compared each with each. */
static bool remove_repeated(struct referred_targets *targets)
{
	struct referred_target **sorted = malloc(targets->count * sizeof(*sorted));
	unsigned kept = 0;

	if (!sorted)
		return false;
	for (unsigned i = 0; i < targets->count; i++)
		sorted[i] = &targets->all[i];
	qsort(sorted, targets->count, sizeof(*sorted), by_name);
	for (unsigned i = 1, first = 0; i < targets->count; i++)
		if (slice_eq(sorted[i]->canonical, sorted[first]->canonical))
			sorted[i]->uri = SLICE_EMPTY;
		else
			first = i;
	free(sorted);
	for (unsigned i = 0; i < targets->count; i++)
		if (targets->all[i].uri.n)
			targets->all[kept++] = targets->all[i];
	targets->count = kept;
	return true;
}

/* What a canonical name may have more than its URI: the home domain in the place of an alias, escapes. */
#define CANONICAL_MORE(home) ((home)->home.n + 16)

static enum referred_verdict take_over(struct referred_targets *out, const struct slice *uris, unsigned count,
	const struct sip_home *home)
{
	enum referred_verdict verdict = REFERRED_OK;
	size_t octets = 0;

	for (unsigned i = 0; i < count; i++)
		octets += 4 * uris[i].n + CANONICAL_MORE(home); /* # of a number is %23 */
	out->all = malloc(count * sizeof(*out->all) + octets);
	if (!out->all)
		return REFERRED_NO_MEMORY;
	struct buffer text = buffer_over(out->all + count, octets);
	for (unsigned i = 0; i < count && verdict == REFERRED_OK; i++)
		verdict = add(out, &text, uris[i], home);
	if (verdict == REFERRED_OK && (text.overflow || !remove_repeated(out)))
		verdict = REFERRED_NO_MEMORY;
	return verdict;
}

static enum referred_verdict read_list(struct uri_list *list, const struct referred *what, const struct sip_message *m,
	const struct limits_options *limits)
{
	switch (uri_list_read_named(list, m, what->cid, limits)) {
	case URI_LIST_OK:
		return REFERRED_OK;
	case URI_LIST_NONE:
	case URI_LIST_MALFORMED:
		return REFERRED_MALFORMED;
	case URI_LIST_TOO_MANY:
		return REFERRED_TOO_MANY;
	case URI_LIST_TOO_LARGE:
		return REFERRED_TOO_LARGE;
	case URI_LIST_NO_MEMORY:
		break;
	}
	return REFERRED_NO_MEMORY;
}

enum referred_verdict referred_targets_read(struct referred_targets *out, const struct referred *what,
	const struct sip_message *m, const struct sip_home *home, const struct limits_options *limits)
{
	enum referred_verdict verdict;
	struct uri_list list = { 0 };

	*out = (struct referred_targets){ 0 };
	if (what->cid.n) {
		verdict = read_list(&list, what, m, limits);
		if (verdict == REFERRED_OK)
			verdict = take_over(out, list.uris, list.count, home);
		uri_list_free(&list);
	} else {
		verdict = take_over(out, &what->uri, 1, home);
	}
	if (verdict != REFERRED_OK)
		referred_targets_free(out);
	return verdict;
}

void referred_targets_free(struct referred_targets *targets)
{
	free(targets->all);
	*targets = (struct referred_targets){ 0 };
}
