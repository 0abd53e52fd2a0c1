#include "actors/outgoing.h"

#include <time.h>

#include "actors/header_rules.h"
#include "core/minted.h"
#include "sip/header.h"
#include "sip/locate.h"
#include "sip/owner.h"
#include "sip/write.h"

void outgoing_max_forwards(struct buffer *out, const struct sip_message *m)
{
	int hops = sip_max_forwards(m);

	buffer_printf(out, "Max-Forwards: %d\r\n", hops > 0 ? hops - 1 : 70);
}

static bool is_ours(const struct im *im, struct slice route)
{
	struct sip_address address;
	struct sip_uri uri;

	if (!sip_address_decode(route, &address) || !sip_uri_parse(address.uri, &uri))
		return false;
	for (unsigned i = 0; i < im->server->sip.home.literal_count; i++) {
		const struct sip_host_port *own = &im->server->sip.home.literals[i];
		if (sip_host_equal(own->host, uri.host) &&
		    (own->port == uri.port || own->port == 0 || (own->port == 5060 && uri.port == 0)))
			return true;
	}
	return false;
}

void outgoing_routes(struct buffer *out, const struct im *im, const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ROUTE);
	struct slice route;
	bool at_top = true;

	while (sip_items_next(&items, &route)) {
		if (at_top && is_ours(im, route))
			continue;
		at_top = false;
		sip_write_header(out, "Route", route);
	}
}

bool outgoing_wants_sips(const struct sip_message *request)
{
	enum sip_header_id last = sip_header_first(request, SIP_HDR_RECORD_ROUTE) ? SIP_HDR_RECORD_ROUTE : SIP_HDR_CONTACT;
	struct sip_items items = sip_items_of(request, last);
	struct sip_address address;
	struct slice first;

	return outgoing_is_sips(request->uri) ||
	       (sip_items_next(&items, &first) && sip_address_decode(first, &address) && outgoing_is_sips(address.uri));
}

void outgoing_contact_uri(struct buffer *out, const struct im *im, const struct sip_flow *flow,
	struct outgoing_self self)
{
	bool is_sips = self.is_sips && flow->protocol == SIP_TLS;

	buffer_str(out, is_sips ? "sips:" : "sip:");
	buffer_put(out, self.user);
	buffer_char(out, '@');
	sip_flow_host_port(im->worker, flow, out);
	if (flow->protocol == SIP_TCP)
		buffer_lit(out, ";transport=tcp");
	else if (flow->protocol == SIP_TLS && !is_sips)
		buffer_lit(out, ";transport=tls");
}

static void open_contact(struct buffer *out, const struct im *im, const struct sip_flow *flow,
	struct outgoing_self self)
{
	buffer_lit(out, "Contact: <");
	outgoing_contact_uri(out, im, flow, self);
	buffer_lit(out, ">;" IM_FEATURE_TAG);
}

void outgoing_path(struct buffer *out, struct slice path)
{
	if (path.n)
		sip_write_header(out, "Route", path);
}

void outgoing_contact(struct buffer *out, const struct im *im, const struct sip_flow *flow,
	struct outgoing_self self)
{
	open_contact(out, im, flow, self);
	buffer_lit(out, "\r\n");
}

/* RFC 3840: what the other side is, as far as the session can be that through us.  Not what names the device
 * (+sip.instance, description) or lists what only its own stack can do (methods, extensions, events). */
static bool is_passed_feature(struct slice name, bool hides)
{
	static const char *const features[] = { "isfocus", "automata", "audio", "video", "text", "application",
		"data", "control", "class", "duplex", "mobility", "language", "type", "actor" };
	size_t count = hides ? 2 : sizeof(features) / sizeof(features[0]);

	if (slice_case_eq(name, SLICE(IM_FEATURE_TAG)))
		return false; /* is there already */
	if (!hides && slice_case_starts(name, SLICE("+g.")))
		return true;
	for (size_t i = 0; i < count; i++)
		if (slice_case_eq(name, slice_str(features[i])))
			return true;
	return false;
}

bool outgoing_is_of_focus(const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact;

	return sip_contact_next(&items, &contact) == SIP_ITEM_OK && !contact.star &&
	       sip_params_have_feature(contact.address.params, "isfocus");
}

void outgoing_contact_like(struct buffer *out, const struct im *im, const struct sip_flow *flow,
	struct outgoing_self self,
	const struct sip_message *m, bool hides)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_CONTACT);
	struct sip_contact contact;
	struct sip_param param;

	open_contact(out, im, flow, self);
	if (sip_contact_next(&items, &contact) == SIP_ITEM_OK && !contact.star) {
		struct slice params = contact.address.params;
		while (sip_param_next(&params, &param)) {
			if (!is_passed_feature(param.name, hides))
				continue;
			sip_write_param(out, &param);
		}
	}
	buffer_lit(out, "\r\n");
}

void outgoing_copied(struct buffer *out, const struct im *im, const struct sip_message *m, bool sender_hides)
{
	header_rules_copy(out, m, &(struct header_passage){ .is_ims = im->config->core.mode == MODE_IMS,
		.sender_hides = sender_hides });
}

void outgoing_copied_without_body(struct buffer *out, const struct im *im, const struct sip_message *m,
	bool sender_hides)
{
	header_rules_copy(out, m, &(struct header_passage){ .is_ims = im->config->core.mode == MODE_IMS,
		.sender_hides = sender_hides, .without_body = true });
}

void outgoing_accept_contact(struct buffer *out, const struct sip_message *m)
{
	struct sip_items items = sip_items_of(m, SIP_HDR_ACCEPT_CONTACT);
	struct slice wish, params;

	buffer_lit(out, "Accept-Contact: *;" IM_FEATURE_TAG ";explicit\r\n");
	while (sip_items_next(&items, &wish)) {
		slice_cut(wish, ';', &params);
		if (!params.p)
			continue;
		params = slice_of(params.p - 1, params.n + 1);
		if (sip_params_have_feature(params, IM_FEATURE_TAG)) { /* ours says it; D2-38: but not what may stand beside it */
			if (sip_params_have_feature(params, IM_GROUP_ADVERTISEMENT_TAG))
				buffer_lit(out, "Accept-Contact: *;" IM_GROUP_ADVERTISEMENT_TAG "\r\n");
			continue;
		}
		sip_write_header(out, "Accept-Contact", wish);
	}
}

void outgoing_to_value(struct buffer *out, const struct sip_message *m)
{
	struct sip_address to;

	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to))
		return; /* cannot be: the generic checks read it */
	sip_write_name_addr(out, &to);
}

void outgoing_from_value(struct buffer *out, const struct sip_message *m)
{
	struct sip_address from;

	if (sip_address_decode(sip_header_value(m, SIP_HDR_FROM), &from)) /* the generic checks, or we, wrote one that can be read */
		sip_write_name_addr(out, &from);
}

void outgoing_to(struct buffer *out, const struct sip_message *m)
{
	buffer_lit(out, "To: ");
	outgoing_to_value(out, m);
	buffer_lit(out, "\r\n");
}

void outgoing_call_id(struct buffer *out, struct worker *worker)
{
	char name[MINTED_CHARS];

	/* N tries on average for N workers; a miss would only cost locality, never correctness */
	for (unsigned tries = 0; tries < 64 * worker->group->count; tries++) {
		minted_make(worker, name);
		if (sip_owner_of_call_id(slice_of(name, sizeof(name)), worker->group->count) == worker->index)
			break;
	}
	buffer_put(out, slice_of(name, sizeof(name)));
}

unsigned outgoing_final_status(unsigned status)
{
	if (status < 400)
		return 480; /* 3xx is never followed */
	if (status == 401 || status == 407)
		return 403;
	if (status == 422)
		return 480;
	return status;
}

struct sip_flow outgoing_flow(const struct im *im, const struct sip_target *target)
{
	struct sip_candidate guess = { .protocol = target->flow.protocol, .peer = target->flow.peer };
	struct sip_flow flow = { 0 };

	if (target->has_flow)
		return target->flow;
	if (!guess.peer.any.sa_family)
		(void)sip_locate_guess(im->worker, target, &guess); /* else any listener of the protocol will do */
	flow.protocol = guess.protocol;
	flow.peer = guess.peer;
	enum listen_proto wanted = guess.protocol == SIP_UDP ? LISTEN_UDP :
		guess.protocol == SIP_TCP ? LISTEN_TCP : LISTEN_TLS;
	for (unsigned i = im->server->sip.listener_count; i-- > 0;)
		if (im->server->sip.listeners[i].proto == wanted &&
		    (im->server->sip.listeners[i].bound.ss_family == guess.peer.any.sa_family || !guess.peer.any.sa_family))
			flow.listener = (uint8_t)i;
	return flow;
}

void outgoing_date(struct buffer *out, const struct worker *worker)
{
	time_t now = (time_t)(worker->ring->ops->wall_us(worker->ring) / 1000000);
	struct tm tm;
	char text[64];

	gmtime_r(&now, &tm);
	strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	buffer_printf(out, "Date: %s\r\n", text);
}
