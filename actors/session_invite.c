/*
 * From A's INVITE to B's: taken and checked, the called user looked up, the
 * other leg and dialog opened, and what A's transaction says until then.
 */
#include "actors/session_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/outgoing.h"
#include "actors/sdp_kept.h"
#include "actors/session_body.h"
#include "actors/session_contact.h"
#include "actors/user.h"
#include "msrp/path.h"
#include "sip/header.h"
#include "sip/write.h"

/* A's INVITE again, to build B's from it. */
bool session_reread_invite(const struct session *s, struct sip_message *m)
{
	struct sip_limits limits = { s->request_n + 1, s->request_n + 1, 0 };
	size_t used;

	return sip_message_parse(m, slice_of(s->request, s->request_n), &limits, SIP_DATAGRAM, &used) ==
	       SIP_PARSE_OK;
}

enum sdp_judgement session_offer_of(const struct session *s, const struct sip_message *invite, struct sdp *sdp,
	const struct sdp_media **media)
{
	/* what is ours of it (o=, c=, path, setup, the permitted types) is written like in any other */
	static const char own[] = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
		"m=message 9 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://0.0.0.0:9/offer;tcp\r\n";

	if (!s->is_offerless)
		return session_sdp_read_offer(invite, sdp, media);
	if (sdp_parse(sdp, slice_str(own)) != SDP_OK || !(*media = sdp_msrp_media(sdp)))
		return SDP_MALFORMED; /* cannot be */
	return SDP_ACCEPTED;
}

static int family_of(struct slice path)
{
	struct msrp_path parsed;
	struct in_addr v4;
	char host[INET_ADDRSTRLEN] = "";

	if (msrp_path_parse(path, &parsed) != MSRP_PATH_OK)
		return AF_UNSPEC;
	if (parsed.first.host_is_ipv6)
		return AF_INET6;
	if (parsed.first.host.n >= sizeof(host))
		return AF_UNSPEC;
	memcpy(host, parsed.first.host.p, parsed.first.host.n);
	return inet_pton(AF_INET, host, &v4) == 1 ? AF_INET : AF_UNSPEC;
}

/* A core's SIP may come by another address family than its users' MSRP. */
void session_leg_address(struct worker *worker, const struct sip_flow *flow, bool is_secure, struct slice path,
	struct sockaddr_storage *local)
{
	int family = family_of(path);

	sip_flow_local(worker, flow, local);
	if (family == AF_UNSPEC || family == local->ss_family || !msrp_leg_has_listener(worker, family, is_secure))
		return;
	memset(local, 0, sizeof(*local));
	local->ss_family = (sa_family_t)family;
}

int session_open_leg(struct side *side, const struct sip_flow *flow, bool is_secure, struct slice path)
{
	struct sockaddr_storage local;

	session_leg_address(side->session->im->worker, flow, is_secure, path, &local);
	return msrp_leg_open(&side->leg, side->session->im->worker, &local, is_secure, &session_leg_events,
		side);
}

static int write_sdp(struct side *side, const struct session_description *description)
{
	char text[16384];
	struct buffer out = buffer_over(text, sizeof(text));

	if (!session_sdp_write(side->session->im, &out, description, side->leg, side->sdp_id))
		return EMSGSIZE;
	return session_set_sdp(side, buffer_slice(&out)) ? 0 : ENOMEM;
}

bool session_write_sdp(struct side *side, const struct session_description *description)
{
	return write_sdp(side, description) == 0;
}

/* From, To, Call-ID of B's dialogs; what it says of the caller is the privacy service's decision. */
static int open_fork(struct session *s, const struct sip_message *m, const struct sip_target *target, struct user_find *found)
{
	char from_text[1024], to_text[1024], call_id_text[64], tag[MINTED_CHARS];
	struct buffer from = buffer_over(from_text, sizeof(from_text)), to = buffer_over(to_text, sizeof(to_text)),
		      call_id = buffer_over(call_id_text, sizeof(call_id_text));

	identity_write_from(&from, s->im, s->caller, m);
	outgoing_to_value(&to, m);
	outgoing_call_id(&call_id, s->im->worker);
	minted_make(s->im->worker, tag);
	if (from.overflow || to.overflow) {
		free(found);
		return EMSGSIZE;
	}
	struct session_fork_start start = { .dialog = { .call_id = buffer_slice(&call_id), .local = buffer_slice(&from),
		.remote = buffer_slice(&to), .local_tag = slice_of(tag, sizeof(tag)), .next = *target },
		.found = found, .events = &session_fork_events, .owner = s, .id = s->actor.id };
	return session_fork_open(&s->fork, s->im, &start);
}

/* D1-04: B's client refreshes; the originating side copies the role, and refreshes its inner leg itself. */
static const char *refresher_of(const struct session *s, const struct sip_message *m)
{
	struct sip_session_expires wanted;
	bool is_originating = s->im->config->core.mode == MODE_IMS && s->callee_n == 0;

	return is_originating && sip_session_expires_decode(sip_header_value(m, SIP_HDR_SESSION_EXPIRES), &wanted) &&
			       wanted.refresher == SIP_REFRESHER_UAC ? "uac" : "uas";
}

static void write_invite_headers(struct session *s, struct buffer *out, const struct sip_message *m,
	const struct session_branch *branch)
{
	const struct timers_options *timers = &s->im->config->timers;
	bool hides = identity_hides_sender(s->im, s->caller);
	const struct sip_dialog *common = s->fork->common;
	uint64_t expires_s = timers->session_expires_ms / 1000, least_s = timers->min_se_ms / 1000;

	if (branch->session_expires_s) /* RFC 4028 7.3: both as the 422 wanted */
		expires_s = least_s = branch->session_expires_s;

	if (s->im->config->core.mode == MODE_IMS)
		outgoing_routes(out, s->im, m);
	outgoing_path(out, session_branch_path(branch));
	outgoing_max_forwards(out, m);
	buffer_lit(out, "From: ");
	buffer_put(out, sip_dialog_local(common));
	buffer_lit(out, ";tag=");
	buffer_put(out, sip_dialog_local_tag(common));
	buffer_lit(out, "\r\nTo: ");
	buffer_put(out, sip_dialog_remote(common));
	buffer_lit(out, "\r\nCall-ID: ");
	buffer_put(out, sip_dialog_call_id(common));
	buffer_printf(out, "\r\nCSeq: %u INVITE\r\n", branch->cseq);
	outgoing_contact_like(out, s->im, &branch->flow, session_self(&s->b), m, hides);
	identity_write(out, s->im, s->caller, m);
	outgoing_accept_contact(out, m);
	if (!s->fork->to_contacts && sip_items_have(m, SIP_HDR_REQUIRE, "recipient-list-invite"))
		buffer_lit(out, "Require: recipient-list-invite\r\n"); /* RFC 5366 4: its list goes on with the body */
	buffer_lit(out, "Allow: " IM_ALLOW "\r\nSupported: " IM_SUPPORTED "\r\n");
	sip_copy_headers(out, m, SIP_HDR_REPLACES); /* of a dialog that nobody here knows: see session_replaces() */
	buffer_printf(out, "Session-Expires: %llu;refresher=%s\r\nMin-SE: %llu\r\n",
		(unsigned long long)expires_s, refresher_of(s, m), (unsigned long long)least_s);
	outgoing_copied_without_body(out, s->im, m, hides);
}

/* Made as s->b's own, and kept by the branch until it is that. */
static int offer_to(struct session *s, struct session_branch *branch, const struct sip_message *m)
{
	struct session_line more[SDP_MEDIA_MAX];
	struct session_further further;
	const struct sdp_media *media;
	struct side *b = &s->b;
	struct sdp sdp;

	if (branch->leg) /* again, after a 422 */
		return 0;
	if (session_offer_of(s, m, &sdp, &media) != SDP_ACCEPTED)
		return ENOMEM; /* cannot be: it was read before */
	int err = session_open_leg(b, &branch->flow, session_sdp_is_secure(media), SLICE_EMPTY);
	session_sdp_further(&sdp, media, &further);
	if (!err)
		err = session_files_offer(b, &branch->flow, &further);
	if (!err)
		err = write_sdp(b, &(struct session_description){ .sdp = &sdp, .media = media,
			.setup = SDP_SETUP_ACTPASS, .hides = identity_hides_sender(s->im, s->caller), .more = more,
			.more_count = session_files_lines(b->files, &further, more) });
	branch->files = b->files;
	b->files = NULL;
	branch->leg = b->leg;
	branch->sdp = b->sdp;
	branch->sdp_n = b->sdp_n;
	b->leg = NULL;
	b->sdp = NULL;
	return err;
}

int session_send_invite(struct session_branch *branch, const struct sip_client_events *events, void *owner)
{
	struct session *s = owner;
	char headers_text[OUTGOING_HEADERS_MAX], parts_text[SESSION_BODY_MAX], sdp[SDP_TEXT_MAX];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text)),
		      parts = buffer_over(parts_text, sizeof(parts_text));
	struct sip_target target = session_branch_target(branch);
	struct slice uri = session_branch_uri(branch);
	struct session_body_sent body;
	struct sip_message m;

	if (!session_reread_invite(s, &m))
		return ENOMEM; /* cannot be: it was read before */
	branch->flow = outgoing_flow(s->im, &target);
	int err = offer_to(s, branch, &m);
	if (err)
		return err;
	write_invite_headers(s, &headers, &m, branch);
	if (!session_body_replace(&parts, &m, sdp_kept_text(slice_of(branch->sdp, branch->sdp_n), msrp_leg_uri(branch->leg), sdp),
		    identity_hides_sender(s->im, s->caller),
		    &body) || headers.overflow)
		return EMSGSIZE;
	struct sip_outgoing invite = { .method = SLICE("INVITE"), .uri = uri.n ? uri : m.uri,
		.headers = buffer_slice(&headers), .content_type = body.content_type, .body = body.body,
		.target = target, .loop = s->loop };
	return sip_client_send(&branch->client, s->im->worker, &invite, events, branch);
}

/* Takes `found`; NULL: to `target`, or where that is NULL too, to core.next_hop. */
static void invite_b(struct session *s, const struct sip_target *target, struct user_find *found)
{
	struct sip_target hop = target ? *target : im_next_hop(s->im);
	struct sip_message m;
	int err = ENOMEM;

	minted_make(s->im->worker, s->b.contact);
	if (session_reread_invite(s, &m)) /* cannot fail: it was read before */
		err = open_fork(s, &m, &hop, found);
	else
		free(found);
	if (!err)
		err = session_fork_begin(s->fork);
	if (err == EMSGSIZE)
		session_fail(s, 513, REASON_TOO_LARGE);
	else if (err)
		session_fail(s, 503, REASON_POOL_EXHAUSTED);
	else
		session_enter(s, SESSION_INVITED, "invite-relayed");
}

/* 6.2.6.1 steps 1 and 2, before it counts whether he is there; without a Warning, for that is his own affair (D1-06). */
static void refuse_by_verdict(struct session *s, enum user_verdict verdict)
{
	const struct policy_options *policy = &s->im->config->policy;

	if (verdict == USER_BARS)
		session_refuse(s, policy->barred_code, REASON_BARRED);
	else
		session_refuse(s, policy->rejected_code, REASON_ACCESS_REJECTED);
	session_enter(s, SESSION_CLOSED, verdict == USER_BARS ? "barred" : "rejected");
	session_free_if_done(s);
}

/* Step 5, where that comes behind the user's own decisions; false: refused. */
static bool is_permitted(struct session *s)
{
	const struct sdp_media *media;
	struct sip_message invite;
	struct sdp offer;

	if (s->im->config->core.mode != MODE_IMS || !session_reread_invite(s, &invite) ||
	    session_sdp_read_offer(&invite, &offer, &media) != SDP_ACCEPTED)
		return true; /* judged when it came, or without an offer */
	enum sdp_judgement judgement = session_sdp_policy_of_all(s->im, &offer, media);
	if (judgement == SDP_ACCEPTED)
		return true;
	session_refuse(s, 403, judgement == SDP_SIZE_BARRED ? REASON_TOO_LARGE : REASON_UNSUPPORTED_BODY);
	session_enter(s, SESSION_CLOSED, "not-permitted");
	session_free_if_done(s);
	return false;
}

void session_on_message(struct actor *actor, struct msg *msg)
{
	struct session *s = (struct session *)actor;
	struct user_find *found = (struct user_find *)msg;
	const struct config *config = s->im->config;

	assert(msg->kind == MSG_USER_FOUND); /* the only message that names a session */
	if (s->state == SESSION_LOOKUP && found->verdict != USER_ACCEPTS) {
		refuse_by_verdict(s, found->verdict);
	} else if (s->state == SESSION_LOOKUP && !is_permitted(s)) {
		free(found);
		return;
	} else if (s->state == SESSION_LOOKUP && !found->is_registered) {
		session_on_offline(s, found->registration);
	} else if (s->state == SESSION_LOOKUP && config->core.mode == MODE_IMS) {
		invite_b(s, NULL, NULL);
	} else if (s->state == SESSION_LOOKUP) {
		invite_b(s, NULL, found);
		return;
	}
	free(found);
}

/* ---- A's transaction ---- */

void session_cancelled(struct session *s)
{
	session_refuse(s, 487, REASON_REJECTED);
	if (s->state == SESSION_INVITED) {
		session_enter(s, SESSION_CANCELLED, "cancelled");
		session_fork_cancel(s->fork);
		return;
	}
	if (s->state == SESSION_LOOKUP) {
		session_enter(s, SESSION_CLOSED, "cancelled");
		session_free_if_done(s);
	}
}

static void on_invite_cancelled(struct sip_server *server, void *arg)
{
	session_cancelled(arg);
}

static void on_invite_acked(struct sip_server *server, const struct sip_message *ack, void *arg)
{
	struct session *s = arg;
	struct sip_flow flow = *sip_server_flow(server);
	bool lives_on = session_is_established(s);

	/* from here on the session lives by its legs and timers */
	sip_server_watch(server, NULL, NULL);
	session_invite_is_over(s);
	if (!lives_on)
		return;
	if (s->is_offerless)
		session_on_late_answer(s, ack, &flow);
	session_change_go_on(&s->a);
}

static void on_invite_unacked(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	sip_server_watch(server, NULL, NULL);
	if (s->a.bye_waits) {
		session_invite_is_over(s);
		return;
	}
	s->invite = NULL;
	if (s->state == SESSION_BINDING || s->state == SESSION_ACTIVE || s->state == SESSION_DETACHED)
		session_end(s, "no ACK");
}

static void on_invite_gone(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	s->invite = NULL;
	session_free_if_done(s);
}

/* RFC 3262 3: who does not acknowledge what he asked for is not there. */
static void on_invite_unpracked(struct sip_server *server, void *arg)
{
	struct session *s = arg;

	session_refuse(s, 504, REASON_NO_PRACK);
	session_enter(s, SESSION_CANCELLED, "no-prack");
	session_fork_cancel(s->fork);
}

const struct sip_server_events session_invite_events = { on_invite_cancelled, on_invite_acked, on_invite_unacked,
	on_invite_gone, on_invite_unpracked };

/* ---- taking it ---- */

/* With the Request-URI that ours will have. */
static bool keep_request(struct session *s, const struct sip_message *invite, const struct session_contact_view *contact)
{
	struct slice rest = invite->wire;

	if (!contact)
		return session_keep(&s->request, &s->request_n, rest);
	slice_cut(rest, '\n', &rest);
	size_t octets = contact->uri.n + rest.n + 32;
	char *text = malloc(octets);
	struct buffer out = buffer_over(text, octets);
	if (!text)
		return false;
	sip_write_request_line(&out, SLICE("INVITE"), contact->uri);
	buffer_put(&out, rest);
	bool is_kept = !out.overflow && session_keep(&s->request, &s->request_n, buffer_slice(&out));
	free(text);
	return is_kept;
}

static bool take_request(struct session *s, struct sip_server *server, const struct sip_message *invite,
	const struct session_start *start)
{
	struct sip_dialog_start dialog = { .local_tag = sip_server_to_tag(server), .events = &session_dialog_events,
		.owner = &s->a };
	const struct sdp_media *media;
	struct sdp sdp;
	uint32_t expires;

	s->invite = server;
	session_record_begin(s, start->caller, start->callee, invite);
	s->is_offerless = session_sdp_read_offer(invite, &sdp, &media) == SDP_MISSING;
	s->wants_reliable = sip_items_have(invite, SIP_HDR_REQUIRE, "100rel");
	if (sip_seconds_of(invite, SIP_HDR_EXPIRES, &expires))
		s->expires_at_ms = worker_now_ms(s->im->worker) + SESSION_SECONDS((uint64_t)expires);
	s->loop = sip_loop_of(s->im->worker, sip_server_flow(server), invite);
	s->caller = malloc(sizeof(*s->caller));
	if (!s->caller || !keep_request(s, invite, start->contact) ||
	    !session_keep(&s->callee, &s->callee_n, start->callee)) {
		session_fail(s, 503, REASON_NO_MEMORY);
		return false;
	}
	*s->caller = *start->caller;
	s->a.hides = identity_hides_sender(s->im, start->caller);
	s->a.is_focus = outgoing_is_of_focus(invite);
	minted_make(s->im->worker, s->a.contact);
	s->a.is_sips = outgoing_wants_sips(invite);
	s->b.is_sips = outgoing_is_sips(invite->uri);
	s->a.sdp_id = worker_random_fast(s->im->worker) >> 2;
	s->b.sdp_id = worker_random_fast(s->im->worker) >> 2;
	if (s->im->config->core.mode == MODE_IMS)
		dialog.next = im_next_hop(s->im);
	else
		dialog.next = (struct sip_target){ .has_flow = true, .flow_only = true,
			.flow = *sip_server_flow(server) };
	int err = sip_dialog_open_server(&s->a.dialog, s->im->worker, invite, &dialog);
	if (err == EINVAL)
		session_fail(s, 400, REASON_SYNTAX);
	else if (err == EMSGSIZE)
		session_fail(s, 513, REASON_TOO_LARGE);
	else if (err)
		session_fail(s, 503, REASON_POOL_EXHAUSTED);
	if (err)
		return false;
	return true;
}

bool session_invite_is_acceptable(struct im *im, struct sip_server *server, const struct sip_message *invite,
	bool is_judged_later)
{
	const struct sdp_media *media;
	struct sockaddr_storage from = { 0 };
	struct msrp_peer peer;
	struct sdp sdp;
	enum sdp_judgement judgement;

	if (session_timer_is_too_brief(invite, im->config->timers.min_se_ms)) {
		session_timer_refuse(im, server);
		return false;
	}
	judgement = session_sdp_read_offer(invite, &sdp, &media);
	if (judgement == SDP_MISSING) /* RFC 3261 13.3.1: then we offer */
		return true;
	if (judgement == SDP_ACCEPTED)
		judgement = session_sdp_policy_of_all(im, &sdp, media);
	if (is_judged_later && (judgement == SDP_SIZE_BARRED || judgement == SDP_TYPES_BARRED))
		judgement = SDP_ACCEPTED;
	if (judgement != SDP_ACCEPTED) {
		session_sdp_refuse(im, server, judgement);
		return false;
	}
	sip_flow_get_peer(sip_server_flow(server), &from);
	if (!session_sdp_peer(im, &(struct session_peer){ &sdp, media, false, &from, 0 }, &peer)) {
		im_refuse_with_warning(im, server, 488, REASON_CONNECT_FORBIDDEN, "The address of the path is not permitted");
		return false; /* nobody rings for what cannot be */
	}
	return true;
}

void session_start(struct im *im, struct sip_server *server, const struct sip_message *invite,
	const struct session_start *start)
{
	/* 6.2.6.1: what the user bars or rejects comes first; with both passes in one, the originating one's policy did */
	bool is_terminating = im->config->core.mode == MODE_IMS && start->route == SESSION_TO_USER;

	if (atomic_load(&im->server->is_draining)) {
		session_record_attempt(im, start->caller, start->callee, invite, reason_label(REASON_DRAINING));
		sip_server_refuse(server, 503, REASON_DRAINING);
		return;
	}
	if (!session_invite_is_acceptable(im, server, invite, is_terminating)) {
		session_record_attempt(im, start->caller, start->callee, invite, "not_acceptable");
		return;
	}
	struct session *s = session_make(im);
	if (!s) {
		session_record_attempt(im, start->caller, start->callee, invite, reason_label(REASON_SESSION_LIMIT));
		sip_server_refuse(server, 503, REASON_SESSION_LIMIT);
		return;
	}
	if (!take_request(s, server, invite, start))
		return;
	sip_server_watch(server, &session_invite_events, s);
	if (start->route == SESSION_TO_NEXT_HOP) {
		invite_b(s, NULL, NULL);
		return;
	}
	if (start->route == SESSION_TO_CONTACT) {
		bool is_ims = im->config->core.mode == MODE_IMS;
		invite_b(s, is_ims ? NULL : &start->contact->target, NULL);
		return;
	}
	if (user_find_for(im, &(struct user_wanted){ .canonical = start->callee, .is_sips = outgoing_is_sips(invite->uri),
			.purpose = session_is_large_message(invite) ? USER_FOR_LARGE : USER_FOR_SESSION, .caller = start->caller },
		    s->actor.id) != 0) {
		session_fail(s, 503, REASON_NO_MEMORY);
		return;
	}
	session_enter(s, SESSION_LOOKUP, "invite-received");
}
