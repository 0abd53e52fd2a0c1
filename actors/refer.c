#include "actors/refer.h"

#include "actors/conference.h"
#include "actors/group.h"
#include "actors/outgoing.h"
#include "actors/referral.h"
#include "actors/referred.h"
#include "actors/virtual_user_agent.h"
#include "core/log.h"
#include "sip/header.h"
#include "sip/owner.h"
#include "sip/write.h"

/* One REFER while it is checked. */
struct refer {
	struct im *im;
	struct sip_server *server;
	const struct sip_message *m;
	struct conference *conference;
	struct participant *by; /* in whose dialog; NULL: outside */
	struct identity who;
	bool may_leave;         /* targets elsewhere may be called */
	struct referred what;
	struct referred_targets targets;
};

/* ---- what is wrong with it ---- */

static bool is_known_option(const struct im *im, struct slice tag)
{
	if (slice_case_eq(tag, SLICE("multiple-refer")) || slice_case_eq(tag, SLICE("norefersub")))
		return true;
	for (const char *const *known = im->server->sip.supported; *known; known++)
		if (slice_case_eq(tag, slice_str(*known)))
			return true;
	return false;
}

/* RFC 3261 8.2.2.3.  The generic checks leave it to whom a REFER is passed on; here it ends. */
static bool requires_unknown(const struct refer *refer)
{
	struct sip_items items = sip_items_of(refer->m, SIP_HDR_REQUIRE);
	struct slice tag;
	char text[512];
	struct buffer headers = buffer_over(text, sizeof(text));

	while (sip_items_next(&items, &tag))
		if (!is_known_option(refer->im, tag))
			buffer_printf(&headers, "%s%.*s", headers.n ? ", " : "Unsupported: ", SLICE_ARG(tag));
	if (headers.n == 0)
		return false;
	buffer_lit(&headers, "\r\n");
	im_refuse(refer->im, refer->server, 420, REASON_REQUIRE, headers.overflow ? SLICE_EMPTY : buffer_slice(&headers));
	return true;
}

/* True: it was answered. */
static bool refuse_for(const struct refer *refer, enum referred_verdict verdict)
{
	switch (verdict) {
	case REFERRED_OK:
		return false;
	case REFERRED_MALFORMED:
		sip_server_refuse(refer->server, 400, REASON_SYNTAX);
		break;
	case REFERRED_FORBIDDEN:
		sip_server_refuse(refer->server, 403, REASON_CONFERENCE_POLICY);
		break;
	case REFERRED_TOO_MANY:
		im_refuse_with_warning(refer->im, refer->server, 400, REASON_URI_LIST, "Too many entries in the list");
		break;
	case REFERRED_TOO_LARGE:
		sip_server_refuse(refer->server, 413, REASON_TOO_LARGE);
		break;
	case REFERRED_NO_MEMORY:
		sip_server_refuse(refer->server, 503, REASON_NO_MEMORY);
		break;
	}
	return true;
}

/* ---- 202 ---- */

static void write_contact(const struct refer *refer, struct buffer *out)
{
	const struct sip_flow *flow = sip_server_flow(refer->server);
	struct outgoing_self self = { slice_of(refer->conference->user, MINTED_CHARS), outgoing_wants_sips(refer->m) };

	if (refer->by) {
		virtual_user_agent_write_contact(refer->by->agent, out, flow);
		return;
	}
	buffer_lit(out, "Contact: <");
	outgoing_contact_uri(out, refer->im, flow, self);
	buffer_lit(out, ">;isfocus;" IM_FEATURE_TAG "\r\n");
}

/* D1-21: the group, else the factory. */
static void write_asserted(const struct refer *refer, struct buffer *out)
{
	buffer_lit(out, "P-Asserted-Identity: <");
	if (refer->conference->canonical)
		(void)conference_write_entity(refer->conference, out); /* `out` says it too */
	else
		buffer_str(out, refer->im->config->domain.factory);
	buffer_lit(out, ">\r\n");
}

/* 7.2.1.7 steps 6 to 9. */
static void answer(const struct refer *refer)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer headers = buffer_over(text, sizeof(text));

	if (!refer->by) /* RFC 3261 12.1.1 */
		sip_copy_headers(&headers, refer->m, SIP_HDR_RECORD_ROUTE);
	write_contact(refer, &headers);
	buffer_lit(&headers, "Supported: norefersub\r\n");
	if (refer->what.is_silent)
		buffer_lit(&headers, "Refer-Sub: false\r\n");
	write_asserted(refer, &headers);
	COUNT(&refer->im->worker->counters, referrals);
	LOG(INFO, refer->im->worker, "refer", 0, "accepted method=%s targets=%u silent=%s",
		refer->what.is_bye ? "BYE" : "INVITE", refer->targets.count, refer->what.is_silent ? "yes" : "no");
	sip_server_respond(refer->server, &(struct sip_reply){ .status = 202, .headers = buffer_slice(&headers) });
}

/* The subscription, where one is wanted.  False: answered. */
static bool open_referral(const struct refer *refer, unsigned count, struct referral **out)
{
	*out = NULL;
	if (refer->what.is_silent)
		return true;
	*out = referral_open(refer->im, &(struct referral_start){ .server = refer->server, .m = refer->m,
		.conference = refer->conference, .by = refer->by, .count = count, .is_list = refer->what.cid.n > 0 });
	return *out != NULL;
}

/* ---- method=BYE: 7.2.1.8 ---- */

/* Is it the identity of this session, in whatever way that is written? */
static bool names_conference(const struct refer *refer)
{
	const struct conference *c = refer->conference;
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));

	if (refer->what.cid.n)
		return false;
	if (slice_eq(refer->what.parts.user, slice_of(c->user, MINTED_CHARS)))
		return true;
	return c->canonical && sip_uri_canonical(&canonical, &refer->what.parts, &refer->im->server->sip.home) &&
	       slice_eq(buffer_slice(&canonical), slice_of(c->canonical, c->canonical_n));
}

static void leave(struct refer *refer)
{
	struct participant *p = conference_participant(refer->conference,
		slice_of(refer->who.canonical, refer->who.canonical_n));
	struct referral *r;

	/* D1-25: oneself alone, of this session; and who is only being invited has not come */
	if (!p || p->state != PARTICIPANT_CONNECTED || !names_conference(refer)) {
		sip_server_refuse(refer->server, 403, REASON_CONFERENCE_POLICY);
		return;
	}
	if (!open_referral(refer, 1, &r))
		return;
	answer(refer);
	if (r) {
		void *target = referral_target(r, 0);
		referral_leave(r); /* the BYE will be sent, and what it is answered changes nothing */
		referral_on_result(target, 200, SLICE_EMPTY);
		referral_begin(r);
	}
	(void)conference_remove(p, NULL); /* the conference may be gone */
}

/* ---- method=INVITE: 7.2.1.7 ---- */

static bool may_add(const struct refer *refer)
{
	const struct conference *c = refer->conference;
	const struct participant *p;

	if (c->group)
		return group_permits(c->group, GROUP_ADD_USERS, &refer->who);
	p = conference_participant(c, slice_of(refer->who.canonical, refer->who.canonical_n));
	return p && p->state == PARTICIPANT_CONNECTED &&
	       (p->is_originator || refer->im->config->policy.adhoc_adders == ADDERS_PARTICIPANTS);
}

/* 7.2.2.7: who is added must be allowed to take part. */
static bool may_take_part(const struct refer *refer, const struct referred_target *target)
{
	const struct conference *c = refer->conference;

	return !c->group || group_permits_user(c->group, GROUP_JOIN, target->canonical);
}

/* A function or conference is nobody who could take part. */
static bool is_user(const struct refer *refer, const struct referred_target *target)
{
	struct slice user = sip_canonical_user(target->canonical);

	return !slice_eq(user, refer->im->server->sip.factory_user) && !sip_name_is_group(user, &refer->im->server->sip) &&
	       minted_worker(user) < 0;
}

/* The status that one gets without being called; 0: he is. */
static unsigned status_of(const struct refer *refer, const struct referred_target *target)
{
	struct sip_uri uri;

	if (!is_user(refer, target) || !may_take_part(refer, target))
		return 403;
	if (!refer->may_leave && (!sip_uri_parse(target->uri, &uri) || !sip_uri_is_home(&uri, &refer->im->server->sip.home)))
		return 404; /* design.md 4, "Identity" */
	return 0;
}

/* D1-20: those present, and those to come who are not among them. */
static bool has_places(const struct refer *refer)
{
	const struct conference *c = refer->conference;
	unsigned new = 0, places = conference_places(c);

	for (unsigned i = 0; i < refer->targets.count; i++) {
		const struct participant *p = conference_participant(c, refer->targets.all[i].canonical);
		new += (!p || p->state == PARTICIPANT_LEFT) && status_of(refer, &refer->targets.all[i]) == 0;
	}
	return new == 0 || (c->present < places && new <= places - c->present);
}

static void invite(const struct refer *refer, struct referral *r, unsigned i)
{
	const struct referred_target *target = &refer->targets.all[i];
	struct conference_invitation invitation = { .uri = target->uri, .inviter = &refer->who,
		.request = refer->m, .may_leave = refer->may_leave };
	unsigned status = status_of(refer, target);

	if (r) {
		referral_name(r, i, target->uri);
		invitation.on_result = referral_on_result;
		invitation.arg = referral_target(r, i);
	}
	if (!status)
		status = conference_invite(refer->conference, &invitation);
	if (!status)
		return;
	if (status >= 300)
		LOG(INFO, refer->im->worker, "refer", 0, "target-refused status=%u", status);
	if (r)
		referral_on_result(invitation.arg, status, SLICE_EMPTY);
}

static void add(struct refer *refer)
{
	struct referral *r;

	if (!has_places(refer)) {
		im_refuse_with_warning(refer->im, refer->server, 486, REASON_CONFERENCE_FULL, "Too many participants");
		return;
	}
	/* one who is elsewhere is refused at once, in a list he alone is */
	if (!refer->what.cid.n && status_of(refer, &refer->targets.all[0]) == 404) {
		sip_server_refuse(refer->server, 404, REASON_TARGET_UNKNOWN);
		return;
	}
	if (!open_referral(refer, refer->targets.count, &r))
		return;
	answer(refer);
	for (unsigned i = 0; i < refer->targets.count; i++)
		invite(refer, r, i);
	if (r)
		referral_begin(r);
}

static void check_and_add(struct refer *refer)
{
	if (!may_add(refer)) {
		sip_server_refuse(refer->server, 403, REASON_CONFERENCE_POLICY);
		return;
	}
	if (refer->who.wants_id_privacy && !conference_permits_anonymity(refer->conference, &refer->who)) {
		sip_server_refuse(refer->server, 403, REASON_IDENTITY);
		return;
	}
	if (refuse_for(refer, referred_targets_read(&refer->targets, &refer->what, refer->m, &refer->im->server->sip.home,
				      &refer->im->config->limits)))
		return;
	add(refer);
	referred_targets_free(&refer->targets);
}

/* ---- where it comes from ---- */

static void start(struct refer *refer)
{
	const struct participant *p = conference_participant(refer->conference,
		slice_of(refer->who.canonical, refer->who.canonical_n));

	refer->who.is_anonymous |= p && p->is_anonymous; /* nor do those whom he invites hear who he is */
	if (requires_unknown(refer) || refuse_for(refer, referred_read(&refer->what, refer->m)))
		return;
	if (refer->what.is_bye)
		leave(refer);
	else
		check_and_add(refer);
}

void refer_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *from)
{
	struct refer refer = { .im = im, .server = server, .m = m, .who = *from->who,
		.may_leave = im->config->core.mode == MODE_IMS || from->may_leave };

	refer.conference = from->kind == CONTROLLING_SESSION ? conference_find(im, from->target->user) :
							       conference_find_group(im, from->canonical);
	if (refer.conference)
		start(&refer);
	else if (!refer_refuses_leaving(im, server, m))
		im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
}

void refer_in_dialog(struct participant *by, struct sip_server *server, const struct sip_message *m)
{
	struct im *im = by->conference->im;
	struct refer refer = { .im = im, .server = server, .m = m, .conference = by->conference, .by = by,
		.may_leave = im->config->core.mode == MODE_IMS };

	identity_of_user(m, participant_canonical(by), &refer.who);
	start(&refer);
}

bool refer_refuses_leaving(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct referred what;

	(void)im;
	if (m->method != SIP_REFER || referred_read(&what, m) != REFERRED_OK || !what.is_bye)
		return false;
	sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
	return true;
}
