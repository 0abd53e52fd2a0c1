#include "actors/forward_headers.h"

#include <stdlib.h>

#include "actors/header_rules.h"
#include "actors/outgoing.h"
#include "sip/header.h"
#include "sip/record_route.h"
#include "sip/write.h"

#define ROUTES_MAX 32
#define GROWTH     8192 /* by which all headers together may be longer than they came */

static bool is_ims(const struct im *im)
{
	return im->config->core.mode == MODE_IMS;
}

/* Only a core may say it. */
static bool is_cores(const struct sip_header *header, enum header_place place)
{
	return header_rules_pass(header, &(struct header_passage){ .place = place, .is_ims = true }) &&
	       !header_rules_pass(header, &(struct header_passage){ .place = place });
}

/* ---- Routes ---- */

struct routes {
	struct slice values[ROUTES_MAX];
	unsigned first, count;
};

static bool read_routes(const struct sip_message *m, struct routes *routes)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ROUTE);
	struct slice value;

	*routes = (struct routes){ 0 };
	while (sip_items_next(&items, &value)) {
		if (routes->count == ROUTES_MAX - 1) /* one place for the Request-URI */
			return false;
		routes->values[routes->count++] = value;
	}
	return true;
}

static bool route_uri(struct slice value, struct slice *text, struct sip_uri *uri)
{
	struct sip_address address;

	if (!sip_address_decode(value, &address) || !sip_uri_parse(address.uri, uri))
		return false;
	*text = address.uri;
	return true;
}

/* Ours are gone, one for each side where they differ (RFC 5658). */
static void remove_ours(struct routes *routes, struct slice user)
{
	struct sip_uri uri;
	struct slice text;

	while (routes->first < routes->count && route_uri(routes->values[routes->first], &text, &uri) &&
	       slice_eq(uri.user, user))
		routes->first++;
}

static void put_in_dialog_routes(struct buffer *out, struct forward_request *sent, const struct sip_message *m,
	struct routes *routes)
{
	struct slice user = sip_record_of(m, NULL), text;
	struct sip_uri uri;

	sent->uri = m->uri;
	if (sip_uri_parse(m->uri, &uri) && slice_eq(uri.user, user) && routes->count &&
	    route_uri(routes->values[routes->count - 1], &text, &uri)) { /* 16.4: from a strict router */
		sent->uri = text;
		routes->count--;
	}
	remove_ours(routes, user);
	bool is_strict = routes->first < routes->count && route_uri(routes->values[routes->first], &text, &uri) &&
			 !sip_uri_param(&uri, "lr", NULL);
	struct slice last = sent->uri;
	if (is_strict) { /* 16.6 step 6 */
		sent->uri = text;
		routes->first++;
	}
	for (unsigned i = routes->first; i < routes->count; i++)
		sip_write_header(out, "Route", routes->values[i]);
	if (is_strict) {
		buffer_lit(out, "Route: <");
		sip_write_text(out, last);
		buffer_lit(out, ">\r\n");
	}
}

static void put_routes(struct buffer *out, struct forward_request *sent, const struct sip_message *m,
	struct routes *routes)
{
	if (sent->is_in_dialog) {
		put_in_dialog_routes(out, sent, m, routes);
		return;
	}
	if (is_ims(sent->im))
		outgoing_routes(out, sent->im, m);
	outgoing_path(out, sent->path);
	buffer_put(out, sent->routes);
}

/* ---- Record-Route ---- */

static void put_record(struct buffer *out, const struct forward_request *sent, const struct sip_flow *flow)
{
	buffer_lit(out, "Record-Route: <");
	outgoing_contact_uri(out, sent->im, flow, (struct outgoing_self){ sent->record, outgoing_is_sips(sent->uri) });
	buffer_lit(out, ";lr>\r\n");
}

/* Two where the sides reach us differently: each sees the one that it can use first. */
static void put_records(struct buffer *out, const struct forward_request *sent)
{
	struct sip_flow goes_by = outgoing_flow(sent->im, &sent->target);

	if (!sent->record.n)
		return;
	if (goes_by.protocol != sent->came_by->protocol ||
	    (goes_by.peer.any.sa_family && goes_by.peer.any.sa_family != sent->came_by->peer.any.sa_family))
		put_record(out, sent, &goes_by);
	put_record(out, sent, sent->came_by);
}

/* ---- requests ---- */

static bool passes(const struct forward_request *sent, const struct sip_header *header)
{
	const struct im *im = sent->im;

	switch ((int)header->id) {
	case SIP_HDR_VIA: /* all these are written by us */
	case SIP_HDR_ROUTE:
	case SIP_HDR_MAX_FORWARDS:
	case SIP_HDR_CONTENT_LENGTH:
	case SIP_HDR_CONTENT_TYPE:
	case SIP_HDR_P_ASSERTED_IDENTITY:
	case SIP_HDR_PRIVACY:
		return false;
	case SIP_HDR_REFER_TO:
		return !sent->refer_to.n;
	case SIP_HDR_P_PREFERRED_IDENTITY: /* RFC 3325 5: what we assert takes its place */
		return is_ims(im);
	case SIP_HDR_AUTHORIZATION: /* RFC 3261 22.3: they were for us */
	case SIP_HDR_PROXY_AUTHORIZATION:
		return is_ims(im) || im->config->core.authenticate == AUTHENTICATE_NONE;
	default:
		/* a name that is none ("To\x01") harms nobody here, but might behind us */
		return sip_is_token(header->name) && (is_ims(im) || !is_cores(header, HEADER_IN_REQUEST));
	}
}

static void put_identity(struct buffer *out, const struct forward_request *sent, const struct sip_message *m)
{
	if (sent->sender) {
		identity_write(out, sent->im, sent->sender, m);
		return;
	}
	if (is_ims(sent->im))
		sip_copy_headers(out, m, SIP_HDR_P_ASSERTED_IDENTITY);
	sip_copy_headers(out, m, SIP_HDR_PRIVACY);
}

char *forward_write_request(struct forward_request *sent, const struct sip_message *m)
{
	size_t size = m->wire.n + sent->routes.n + sent->path.n + sent->refer_to.n + GROWTH;
	char host[INET6_ADDRSTRLEN], *text = malloc(size);
	struct buffer out = buffer_over(text, size);
	struct sip_source source;
	struct routes routes;

	sent->is_too_long = !read_routes(m, &routes);
	if (!text || sent->is_too_long) {
		free(text);
		return NULL;
	}
	sip_flow_source(sent->came_by, host, sizeof(host), &source.host, &source.port);
	sip_write_vias(&out, m, &source);
	put_routes(&out, sent, m, &routes); /* finds the Request-URI, which says how we record */
	put_records(&out, sent);
	outgoing_max_forwards(&out, m);
	put_identity(&out, sent, m);
	if (sent->refer_to.n)
		sip_write_header(&out, "Refer-To", sent->refer_to);
	for (unsigned i = 0; i < m->header_count; i++)
		if (passes(sent, &m->headers[i]))
			sip_copy_header(&out, &m->headers[i]);
	sent->is_too_long = out.overflow;
	if (out.overflow) {
		free(text);
		return NULL;
	}
	sent->headers = buffer_slice(&out);
	return text;
}

/* ---- responses ---- */

static bool answer_passes(const struct im *im, const struct sip_header *header, enum header_place place)
{
	switch ((int)header->id) {
	case SIP_HDR_VIA:
	case SIP_HDR_FROM:
	case SIP_HDR_TO:
	case SIP_HDR_CALL_ID:
	case SIP_HDR_CSEQ:
	case SIP_HDR_CONTENT_LENGTH:
	case SIP_HDR_CONTENT_TYPE:
	case SIP_HDR_P_ASSERTED_IDENTITY:
	case SIP_HDR_PRIVACY:
		return false;
	default:
		return sip_is_token(header->name) && (is_ims(im) || !is_cores(header, place));
	}
}

char *forward_write_answer(struct forward_answer *answer, const struct sip_message *m)
{
	enum header_place place = m->status < 300 ? HEADER_IN_ANSWER : HEADER_IN_FAILURE;
	size_t size = m->wire.n + GROWTH;
	char *text = malloc(size);
	struct buffer out = buffer_over(text, size);

	if (!text)
		return NULL;
	identity_write_of_response(&out, answer->im, m, answer->answering);
	for (unsigned i = 0; i < m->header_count; i++)
		if (answer_passes(answer->im, &m->headers[i], place))
			sip_copy_header(&out, &m->headers[i]);
	answer->headers = out.overflow ? SLICE_EMPTY : buffer_slice(&out); /* cannot be: little is added */
	return text;
}
