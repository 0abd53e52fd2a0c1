/*
 * The Participating Function's door: which function a request is for, in the
 * order of checks of design.md 4 and D1-08.  The generic checks up to Require
 * (420) were the transaction layer's; here follow dialog, peer trust, feature
 * tag, identity, and then the function's own list.
 */
#include "actors/im.h"

#include "actors/authentication.h"
#include "actors/controlling.h"
#include "actors/flow_owner.h"
#include "actors/forward.h"
#include "actors/identity.h"
#include "actors/message_summary.h"
#include "actors/pager.h"
#include "actors/publication.h"
#include "actors/rate_limit.h"
#include "actors/retrieval.h"
#include "actors/session.h"
#include "actors/session_contact.h"
#include "actors/subscription.h"
#include "actors/uri_list.h"
#include "actors/user.h"
#include "core/log.h"
#include "core/minted.h"
#include "sip/dialog.h"
#include "sip/header.h"
#include "sip/locate.h"
#include "sip/owner.h"

struct asked {
	struct im *im;
	struct sip_server *server;
	const struct sip_message *m;
	struct sip_uri target;
	bool target_is_home;
	char callee[IM_CANONICAL_MAX];
	size_t callee_n;
	struct identity who;
	const struct authentication *found; /* NULL: nothing was looked for */
};

struct sip_target im_next_hop(const struct im *im)
{
	const struct next_hop *hop = &im->config->core.hop;
	struct sip_target target = { .name = im->hop->name,
		.port = hop->has_port ? hop->port : 0, .any_protocol = !hop->has_port && !hop->has_transport };

	sip_flow_set_peer(&target.flow, &im->hop->address);
	switch (hop->transport) {
	case NEXT_HOP_UDP:
		target.flow.protocol = SIP_UDP;
		break;
	case NEXT_HOP_TCP:
		target.flow.protocol = SIP_TCP;
		break;
	case NEXT_HOP_TLS:
		target.flow.protocol = SIP_TLS;
		break;
	}
	return target;
}

bool im_has_next_hop(const struct im *im)
{
	return im->hop->name != NULL;
}

void im_look_up_next_hop(const struct im *im)
{
	struct sip_target target = im_next_hop(im);
	struct sip_candidate ignored;

	if (target.name && target.flow.peer.any.sa_family == 0)
		(void)sip_locate_guess(im->worker, &target, &ignored); /* asked for, which is all it is for */
}

void im_refuse(struct im *im, struct sip_server *server, unsigned status, enum reason why, struct slice headers)
{
	sip_server_tell_refusal(im->worker, server, status, why, NULL);
	sip_server_respond(server, &(struct sip_reply){ .status = status, .headers = headers });
}

void im_write_warning(const struct im *im, struct buffer *out, unsigned code, const char *text)
{
	buffer_printf(out, "Warning: %u %s \"%s\"\r\n", code, im->config->domain.home, text);
}

void im_refuse_with_warning(struct im *im, struct sip_server *server, unsigned status, enum reason why,
	const char *text)
{
	char line[512];
	struct buffer headers = buffer_over(line, sizeof(line));

	im_write_warning(im, &headers, 399, text);
	im_refuse(im, server, status, why, buffer_slice(&headers));
}

static bool is_in_ims(const struct im *im)
{
	return im->config->core.mode == MODE_IMS;
}

static bool needs_feature_tag(const struct asked *a)
{
	enum feature_tag policy = a->im->config->policy.feature_tag;

	if (a->m->method == SIP_REGISTER || a->m->method == SIP_OPTIONS || a->m->method == SIP_PRACK)
		return false;
	return policy == FEATURE_TAG_ALWAYS || (policy == FEATURE_TAG_IMS && is_in_ims(a->im));
}

static void refuse_method(const struct asked *a)
{
	im_refuse(a->im, a->server, 405, REASON_METHOD_NOT_ALLOWED, SLICE("Allow: " IM_ALLOW "\r\n"));
}

/* RFC 3261 11.2: what the B2BUA at that address can do, whoever stands behind it. */
static void answer_options(const struct asked *a)
{
	char text[1024];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (!is_in_ims(a->im) && !a->target_is_home) {
		sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	buffer_lit(&headers, "Allow: " IM_ALLOW "\r\nAccept: " IM_ACCEPT_SESSION ", text/plain, message/cpim\r\n"
		"Accept-Encoding: identity\r\nAccept-Language: en\r\nSupported: ");
	for (const char *const *tag = a->im->server->sip.supported; *tag; tag++)
		buffer_printf(&headers, tag == a->im->server->sip.supported ? "%s" : ", %s", *tag);
	buffer_lit(&headers, "\r\n");
	sip_server_respond(a->server, &(struct sip_reply){ .status = 200, .headers = buffer_slice(&headers) });
}

/* ims: is this port, or what the core's Route says, the originating or the terminating side?
 * design.md 13, "Port with role: both in ims". */
static bool is_originating(const struct asked *a)
{
	struct sip_items items = sip_items_of(a->m, SIP_HDR_ROUTE);
	struct sip_address address;
	struct sip_uri route;
	struct slice value;

	switch (sip_flow_role(a->im->worker, sip_server_flow(a->server))) {
	case ROLE_ORIGINATING:
		return true;
	case ROLE_TERMINATING:
		return false;
	case ROLE_BOTH:
		break;
	}
	if (sip_address_next(&items, &address) == SIP_ITEM_OK && sip_uri_parse(address.uri, &route)) {
		if (sip_uri_param(&route, "orig", NULL))
			return true;
		if (sip_uri_param(&route, "term", NULL))
			return false;
	}
	struct slice served = sip_header_value(a->m, SIP_HDR_P_SERVED_USER);
	if (sip_address_decode(served, &address) && sip_param_find(address.params, "sescase", &value))
		return slice_case_eq(value, SLICE("orig"));
	return !a->target_is_home;
}

static bool is_digest_user(const struct asked *a)
{
	return a->found && a->found->user_n > 0 && !a->found->is_by_flow;
}

/* Requests for nobody here may still leave by core.next_hop, when the sender may use it. */
static bool may_leave(const struct asked *a)
{
	return im_has_next_hop(a->im) &&
	       (is_digest_user(a) || (a->im->config->core.authenticate == AUTHENTICATE_NONE &&
					     address_is_loopback(&sip_server_flow(a->server)->peer.any)));
}

/* What is addressed, when it is no user: functions, groups and sessions (D1-08, D2-04). */
enum addressed { A_USER, A_FACTORY, A_CONFERENCE, A_FUNCTION };

static enum addressed addressed_by(const struct asked *a, struct slice user)
{
	const struct sip_options *sip = &a->im->server->sip;

	if (slice_eq(user, sip->factory_user))
		return A_FACTORY;
	if (sip_name_is_group(user, sip) || minted_worker(user) >= 0)
		return A_CONFERENCE;
	return sip_name_is_function(user, sip) || (sip->store_host.n && sip_host_equal(a->target.host, sip->store_host)) ?
		       A_FUNCTION :
		       A_USER;
}

static bool find_callee(struct asked *a)
{
	struct buffer out = buffer_over(a->callee, sizeof(a->callee));

	if (a->target.user.n == 0 || !sip_uri_canonical(&out, &a->target, &a->im->server->sip.home))
		return false;
	a->callee_n = out.n;
	if (a->found && a->found->target_is_unknown)
		return false;
	return addressed_by(a, sip_canonical_user(buffer_slice(&out))) == A_USER;
}

static void refuse_target(const struct asked *a)
{
	switch (addressed_by(a, sip_canonical_user(slice_of(a->callee, a->callee_n)))) {
	case A_FACTORY:
		im_refuse_with_warning(a->im, a->server, 404, REASON_TARGET_UNKNOWN,
			"Conference-factory URI does not exist");
		break;
	case A_CONFERENCE:
		im_refuse_with_warning(a->im, a->server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
		break;
	case A_USER: /* with a list it was meant for a factory (7.2.1.2) */
		if (a->m->method == SIP_INVITE && uri_list_is_there(a->m, a->im->config->limits.mime_depth))
			im_refuse_with_warning(a->im, a->server, 404, REASON_TARGET_UNKNOWN,
				"Conference-factory URI does not exist");
		else
			sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		break;
	case A_FUNCTION:
		sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		break;
	}
}

static bool is_forwarded(enum sip_method method)
{
	return method == SIP_SUBSCRIBE || method == SIP_REFER;
}

/* SUBSCRIBE and REFER: 6.2.3.4, 6.2.3.5.  What is owned here belongs to functions that are not built yet. */
static void start_forwarding(struct asked *a, bool leaves)
{
	struct forward_start start = { .sender = &a->who, .route = leaves ? FORWARD_TO_NEXT_HOP : FORWARD_TO_USER };

	if (identity_hides_sender(a->im, &a->who)) { /* a proxy cannot keep his Contact from the other side */
		sip_server_refuse(a->server, 403, REASON_IDENTITY);
		return;
	}
	if (minted_worker(a->target.user) >= 0) {
		start.route = FORWARD_TO_CONTACT;
		forward_start(a->im, a->server, a->m, &start);
		return;
	}
	if (leaves && !is_in_ims(a->im) && !may_leave(a)) {
		sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	/* whether there is a group or session of that name its own server knows, behind the core */
	bool is_for_focus = leaves && is_in_ims(a->im) && a->callee_n &&
			    addressed_by(a, sip_canonical_user(slice_of(a->callee, a->callee_n))) == A_CONFERENCE;
	if (a->target_is_home ? !find_callee(a) && !is_for_focus : !leaves) {
		refuse_target(a);
		return;
	}
	start.recipient = slice_of(a->callee, leaves ? 0 : a->callee_n);
	forward_start(a->im, a->server, a->m, &start);
}

static bool has_event(const struct asked *a, struct slice event)
{
	return slice_case_eq(slice_trim(slice_cut(sip_header_value(a->m, SIP_HDR_EVENT), ';', NULL)), event);
}

static bool is_target_himself(const struct asked *a)
{
	return a->callee_n && identity_is(a->im, a->m, &a->who, slice_of(a->callee, a->callee_n));
}

/* What waits for a user is told to him alone, also under his name at the store (10.3.2.6, D2-27).  False: it is for
 * somebody else, who may know that package. */
static bool start_subscription(struct asked *a)
{
	bool is_user = find_callee(a) || (a->callee_n && sip_host_equal(a->target.host, a->im->server->sip.store_host));
	bool is_summary = has_event(a, SLICE(MESSAGE_SUMMARY_EVENT));

	if (!is_summary && !(is_user && is_target_himself(a)))
		return false;
	if (!is_summary) /* RFC 6665 4.2.1.1: nobody asks his own address for what another phone of his might know */
		im_refuse(a->im, a->server, 489, REASON_EVENT_UNKNOWN, SLICE("Allow-Events: " MESSAGE_SUMMARY_EVENT "\r\n"));
	else if (!is_target_himself(a))
		sip_server_refuse(a->server, 403, REASON_IDENTITY);
	else if (!is_user)
		refuse_target(a);
	else
		subscription_start(a->im, a->server, a->m, slice_of(a->callee, a->callee_n));
	return true;
}

/* 6.2.5, in the order of its steps: whose it is after what it is. */
static void start_publication(struct asked *a)
{
	bool is_user = a->target_is_home && find_callee(a);

	if (!is_target_himself(a)) /* D1-27 */
		sip_server_refuse(a->server, 403, REASON_IDENTITY);
	else if (!is_user)
		refuse_target(a);
	else
		user_on_publish(a->im, a->server, a->m, slice_of(a->callee, a->callee_n));
}

/* What is for the Controlling Function.  A session identity of our own focus reaches it by whatever port (design.md 13). */
static bool start_controlling(struct asked *a, bool leaves)
{
	struct controlling_start start = { .who = &a->who, .target = &a->target, .may_leave = may_leave(a) };

	if (!a->target_is_home || find_callee(a))
		return false;
	start.canonical = slice_of(a->callee, a->callee_n);
	if (minted_worker(a->target.user) >= 0)
		start.kind = CONTROLLING_SESSION;
	else if (leaves && a->m->method != SIP_MESSAGE) /* a MESSAGE is exploded wherever it comes (6.2.4.1 step 4) */
		return false;
	else if (addressed_by(a, sip_canonical_user(start.canonical)) == A_FACTORY)
		start.kind = CONTROLLING_FACTORY;
	else if (addressed_by(a, sip_canonical_user(start.canonical)) == A_CONFERENCE)
		start.kind = CONTROLLING_GROUP;
	else
		return false;
	return controlling_start(a->im, a->server, a->m, &start);
}

/* An INVITE to the Contact that we gave out for a conference elsewhere (7.1.1.9, D1-15).  Not for that of a user: his
 * settings and rules are asked under his name. */
static bool start_rejoining(struct asked *a)
{
	struct session_contact_view view;

	if (!session_contact_find(a->im, a->target.user, &view) || !view.is_focus)
		return false;
	session_start(a->im, a->server, a->m, &(struct session_start){ .caller = &a->who, .route = SESSION_TO_CONTACT,
		.contact = &view });
	return true;
}

static void start_function(struct asked *a)
{
	bool leaves = is_in_ims(a->im) ? is_originating(a) : !a->target_is_home;

	if (start_controlling(a, leaves))
		return;
	/* a MESSAGE has its own order (6.2.4.1) */
	if (a->m->method != SIP_MESSAGE && a->m->method != SIP_PUBLISH && a->who.wants_id_privacy &&
	    !a->im->config->policy.allow_anonymity) {
		sip_server_refuse(a->server, 403, REASON_IDENTITY);
		return;
	}
	if (a->m->method == SIP_INVITE &&
	    session_replaces(a->im, a->server, a->m, identity_hides_sender(a->im, &a->who)))
		return;
	if (a->m->method == SIP_INVITE && retrieval_is_for(a->im, &a->target)) {
		bool is_provisioned = a->im->config->core.users == USERS_PROVISIONED;
		retrieval_start(a->im, a->server, a->m, &(struct retrieval_start){ .who = &a->who,
			.target_is_known = is_provisioned && a->found && !a->found->target_is_unknown });
		return;
	}
	/* nobody else here takes a list; the originating side passes it on to who does */
	if (a->m->method == SIP_INVITE && !leaves && sip_items_have(a->m, SIP_HDR_REQUIRE, "recipient-list-invite")) {
		im_refuse(a->im, a->server, 420, REASON_REQUIRE, SLICE("Unsupported: recipient-list-invite\r\n"));
		return;
	}
	if (a->m->method == SIP_MESSAGE && !leaves && sip_items_have(a->m, SIP_HDR_REQUIRE, "recipient-list-message")) {
		im_refuse(a->im, a->server, 420, REASON_REQUIRE, SLICE("Unsupported: recipient-list-message\r\n"));
		return;
	}
	if (a->m->method == SIP_PUBLISH) {
		start_publication(a);
		return;
	}
	if (a->m->method == SIP_SUBSCRIBE && a->target_is_home && minted_worker(a->target.user) < 0 && start_subscription(a))
		return;
	if (is_forwarded(a->m->method)) {
		start_forwarding(a, leaves);
		return;
	}
	if (a->m->method == SIP_INVITE && start_rejoining(a))
		return;
	if (leaves && !is_in_ims(a->im) && !may_leave(a)) {
		sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	if (!leaves && (!a->target_is_home || !find_callee(a) || uri_list_is_there(a->m, a->im->config->limits.mime_depth))) {
		refuse_target(a);
		return;
	}
	/* on its way out it is nobody's yet: whose it is the terminating side says */
	struct slice callee = slice_of(a->callee, leaves ? 0 : a->callee_n);
	if (a->m->method == SIP_INVITE) {
		session_start(a->im, a->server, a->m, &(struct session_start){ .caller = &a->who,
			.route = leaves ? SESSION_TO_NEXT_HOP : SESSION_TO_USER, .callee = callee });
		return;
	}
	pager_start(a->im, a->server, a->m, &(struct pager_start){ .sender = &a->who,
		.route = leaves ? PAGER_TO_NEXT_HOP : PAGER_TO_USER, .recipient = callee });
}

/* A digest user speaks for himself alone (design.md 13). */
static bool is_himself(const struct asked *a)
{
	struct slice user = slice_of(a->found->user, a->found->user_n);

	return identity_from_is(a->im, a->m, user) &&
	       (a->m->method != SIP_REGISTER || identity_registers_itself(a->im, a->m, user));
}

static bool identify(struct asked *a)
{
	if (a->found && a->found->sender_is_unknown)
		return false;
	if (!a->found || a->found->user_n == 0)
		return identity_of_request(a->im, sip_server_flow(a->server), a->m, &a->who);
	identity_of_user(a->m, slice_of(a->found->user, a->found->user_n), &a->who);
	return true;
}

/* The checks from authentication on. */
static void on_authenticated(struct asked *a)
{
	if (is_digest_user(a) && !is_himself(a)) {
		sip_server_refuse(a->server, 403, REASON_IDENTITY);
		return;
	}
	if (a->m->method == SIP_REGISTER) {
		if (a->found && a->found->sender_is_unknown)
			sip_server_refuse(a->server, 404, REASON_TARGET_UNKNOWN);
		else if (rate_limit_permits_registration(a->im, a->server, a->m))
			user_on_register(a->im, a->server, a->m);
		return;
	}
	/* whoever asks what this server can do is told; about a user, who might call one */
	if (a->m->method == SIP_OPTIONS && a->target.user.n == 0) {
		answer_options(a);
		return;
	}
	if (needs_feature_tag(a) && !sip_accept_contact_has(a->m, IM_FEATURE_TAG)) {
		sip_server_refuse(a->server, 403, REASON_FEATURE_TAG);
		return;
	}
	if (a->m->method == SIP_PUBLISH && !has_event(a, SLICE(POC_SETTINGS_EVENT))) {
		im_refuse(a->im, a->server, 489, REASON_EVENT_UNKNOWN, SLICE("Allow-Events: " POC_SETTINGS_EVENT "\r\n"));
		return;
	}
	if (!identify(a)) {
		if (flow_owner_is_worth_asking(a->im, a->m, a->found))
			flow_owner_ask(a->im, a->server, a->m);
		else
			sip_server_refuse(a->server, 403, REASON_IDENTITY);
		return;
	}
	if (a->m->method == SIP_OPTIONS) {
		answer_options(a);
		return;
	}
	if (rate_limit_permits_user(a->im, a->server, &a->who, is_in_ims(a->im) && is_originating(a)))
		start_function(a);
}

/* Does it only make sense inside a dialog? */
static bool needs_dialog(enum sip_method method)
{
	return method == SIP_BYE || method == SIP_UPDATE || method == SIP_PRACK || method == SIP_INFO ||
	       method == SIP_NOTIFY;
}

static bool is_initial_method(enum sip_method method)
{
	return method == SIP_INVITE || method == SIP_MESSAGE || method == SIP_REGISTER || method == SIP_OPTIONS ||
	       method == SIP_PUBLISH || is_forwarded(method);
}

/* Of a dialog that leads through us by Record-Route. */
static void pass_on(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct sip_record *record)
{
	if (m->method == SIP_INVITE) /* such a dialog is for subscriptions alone (RFC 6665 4.5.2) */
		im_refuse(im, server, 405, REASON_METHOD_NOT_ALLOWED, SLICE("Allow: " IM_ALLOW "\r\n"));
	else
		forward_start(im, server, m, &(struct forward_start){ .route = FORWARD_IN_DIALOG, .record = record });
}

void im_on_request(struct worker *worker, struct sip_server *server, const struct sip_message *m)
{
	struct asked asked = { .im = im_of(worker), .server = server, .m = m };
	struct sip_address to;
	bool has_to_tag = sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) && to.tag.n > 0;

	if (has_to_tag && m->method != SIP_REGISTER) {
		struct sip_record record;
		bool is_recorded = sip_record_of(m, &record).n > 0;
		if (!is_recorded && !sip_dialog_find(worker, m))
			sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		else if (is_in_ims(asked.im) && !identity_peer_is_trusted(asked.im, sip_server_flow(server)))
			sip_server_refuse(server, 403, REASON_PEER_UNTRUSTED);
		else if (is_recorded)
			pass_on(asked.im, server, m, &record);
		else
			(void)sip_dialog_receive(worker, server, m); /* there is such a dialog */
		return;
	}
	if (needs_dialog(m->method)) {
		sip_server_refuse(server, 481, REASON_DIALOG_UNKNOWN);
		return;
	}
	if (!is_initial_method(m->method)) {
		refuse_method(&asked);
		return;
	}
	if (!sip_uri_parse(m->uri, &asked.target)) {
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	}
	asked.target_is_home = sip_uri_is_home(&asked.target, &asked.im->server->sip.home);
	if (is_in_ims(asked.im) && !identity_peer_is_trusted(asked.im, sip_server_flow(server)))
		sip_server_refuse(server, 403, REASON_PEER_UNTRUSTED);
	else if (atomic_load_explicit(&asked.im->server->is_draining, memory_order_relaxed))
		sip_server_refuse(server, 503, REASON_DRAINING); /* for the server that takes over, or here later */
	else if (!rate_limit_permits_address(asked.im, server))
		return;
	/* a REGISTER with a To tag too: anybody can take one from a 401 */
	else if (authentication_is_needed(asked.im))
		authentication_start(asked.im, server, m);
	else
		on_authenticated(&asked);
}

void im_go_on(struct im *im, struct sip_server *server, const struct sip_message *m, const struct authentication *found)
{
	struct asked asked = { .im = im, .server = server, .m = m, .found = found };

	if (!sip_uri_parse(m->uri, &asked.target)) { /* cannot be: it was before it waited */
		sip_server_refuse(server, 400, REASON_SYNTAX);
		return;
	}
	asked.target_is_home = sip_uri_is_home(&asked.target, &im->server->sip.home);
	on_authenticated(&asked);
}
