/* Sessions of the clients: INVITE, ACK, CANCEL, BYE and their descriptions. */
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

static struct call *call_new(struct ua *ua)
{
	struct call *call = ua_alloc(sizeof(*call));

	call->ua = ua;
	call->next = ua->host->calls;
	ua->host->calls = call;
	return call;
}

static struct call *call_find(struct ua *ua, struct slice call_id)
{
	struct call *call = ua->host->calls;

	while (call && (call->ua != ua || !slice_eq(call_id, slice_str(call->call_id))))
		call = call->next;
	return call;
}

static void over(struct call *call)
{
	call->is_over = true;
	call->answer_at_us = 0;
	/* a refusal is repeated until its ACK; a 200 need not be when the session is over */
	if (call->served_invite && call->served_invite->status < 300)
		call->served_invite->repeat_at_us = call->served_invite->give_up_at_us = 0;
	if (call->served_change && call->served_change->status < 300)
		call->served_change->repeat_at_us = call->served_change->give_up_at_us = 0;
	if (call->leg)
		ua_leg_close(call->leg);
}

/* ---- descriptions ---- */

void ua_put_sdp(struct call *call, struct buffer *out, const char *setup)
{
	uint16_t port = private_of(call->ua)->msrp_port;

	buffer_printf(out, "v=0\r\no=%s 1 %u IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
		"m=message %u TCP/MSRP *\r\na=accept-types:*\r\na=path:%s\r\na=setup:%s\r\n", call->ua->name,
		1 + call->changes, port, call->leg->path, setup);
	if (call->ua->manners.announces)
		buffer_printf(out, "a=sendonly\r\na=filesize:%zu\r\n", call->ua->manners.announces);
	bool is_copy = call->conference && call->conference->is_to_list && !call->is_caller;
	if ((call->is_push && call->is_caller) || is_copy)
		buffer_lit(out, "a=recvonly\r\n");
	if (call->changes)
		buffer_printf(out, "a=x-change:%u\r\n", call->changes);
}

static struct slice attribute(struct ua *ua, struct slice sdp, const char *name)
{
	struct slice all = sdp;

	while (sdp.n) {
		struct slice value, line = ua_line(&sdp);
		if (slice_eq(slice_cut(line, ':', &value), slice_str(name)))
			return value;
	}
	world_fail(world_of(ua), "a description without %s: %.*s", name, SLICE_ARG(all));
}

/* ---- requests in a dialog ---- */

void ua_put_dialog(const struct call *call, struct buffer *out, unsigned cseq, const char *method)
{
	buffer_printf(out, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u %s\r\n", call->local, call->remote,
		call->call_id, cseq, method);
}

void ua_bye(struct call *call)
{
	char text[UA_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	if (call->is_over || call->bye)
		return;
	if (!call->target[0] || (call->is_caller && !call->is_answered)) {
		call->wants_bye = true;
		return;
	}
	ua_put_dialog(call, &out, ++call->cseq, "BYE");
	call->bye = ua_request(call->ua, call, "BYE", NULL, slice_str(call->target), buffer_slice(&out), SLICE_EMPTY);
	over(call);
}

/* ---- the caller ---- */

/* `count` 0: to the one whom the URI names. */
static void call_begin(struct call *call, const char *uri, struct ua *const *to, unsigned count)
{
	static const char *const setups[] = { "actpass", "active", "passive" };
	char text[UA_HEADERS_MAX], body_text[2 * UA_HEADERS_MAX];
	struct ua *from = call->ua;
	struct buffer out = buffer_over(text, sizeof(text)), body = buffer_over(body_text, sizeof(body_text));
	unsigned setup = from->manners.setup == SETUP_BY_SEED ? world_below(world_of(from), 3) : from->manners.setup;

	call->is_caller = true;
	call->number = ++from->host->call_count;
	ua_name(from->host, call->call_id, sizeof(call->call_id), "c");
	if (from->manners.is_anonymous)
		snprintf(call->local, sizeof(call->local), "<sip:anonymous@anonymous.invalid>;tag=%s", call->call_id);
	else
		snprintf(call->local, sizeof(call->local), "<sip:%s@example.com>;tag=%s", from->name, call->call_id);
	snprintf(call->remote, sizeof(call->remote), "<%s>", uri);
	call->leg = ua_leg_new(call);
	if (count)
		buffer_lit(&body, "--list\r\nContent-Type: application/sdp\r\n\r\n");
	ua_put_sdp(call, &body, setups[setup]);
	if (count)
		ua_put_list(&body, to, count);
	ua_put_dialog(call, &out, ++call->cseq, "INVITE");
	/* a Subject might name who hides, and does not pass */
	buffer_printf(&out, "%s: c%u\r\nAccept-Contact: *;+g.oma.sip-im\r\nContent-Type: %s\r\n"
		"Supported: timer\r\n", from->manners.is_anonymous ? "Priority" : "Subject", call->number,
		count ? "multipart/mixed;boundary=list" : "application/sdp");
	call->invite = ua_request(from, call, "INVITE", NULL, slice_str(uri), buffer_slice(&out), buffer_slice(&body));
}

struct call *ua_invite(struct ua *from, struct ua *to)
{
	struct call *call = call_new(from);
	char uri[64];

	call->to = to;
	snprintf(uri, sizeof(uri), "sip:%s@example.com", to->name);
	call_begin(call, uri, NULL, 0);
	return call;
}

struct call *ua_convene(struct ua *from, struct ua *const *to, unsigned count)
{
	struct call *call = call_new(from);

	call->to = to[0];
	call->conference = call;
	call->is_to_list = from->manners.announces != 0;
	call_begin(call, "sip:factory@example.com", to, count);
	return call;
}

struct call *ua_join(struct ua *from, struct call *began, const char *uri)
{
	struct call *call = call_new(from);

	call->conference = began ? began : call;
	call->is_to_list = !began && from->manners.announces != 0;
	call_begin(call, uri, NULL, 0);
	return call;
}

struct call *ua_fetch(struct ua *ua, const char *uri)
{
	struct call *call = call_new(ua);

	call->is_push = true;
	call_begin(call, uri, NULL, 0);
	return call;
}

static void send_cancel(struct call *call)
{
	char text[UA_HEADERS_MAX], uri[100];
	struct buffer out = buffer_over(text, sizeof(text));

	if (call->cancel)
		return;
	snprintf(uri, sizeof(uri), "%.*s", (int)strcspn(call->remote + 1, ">"), call->remote + 1);
	ua_put_dialog(call, &out, 1, "CANCEL");
	call->cancel = ua_request(call->ua, call, "CANCEL", call->invite->branch, slice_str(uri), buffer_slice(&out),
		SLICE_EMPTY);
}

void ua_cancel(struct call *call)
{
	call->wants_cancel = true;
	if (call->is_answered)
		ua_bye(call);
	else if (call->invite->provisional && !call->invite->status)
		send_cancel(call);
}

static void acknowledge(struct call *call, const struct sip_text *m)
{
	char text[UA_HEADERS_MAX], branch[40], uri[256];
	struct buffer out = buffer_over(text, sizeof(text));
	bool is_2xx = m->status < 300;

	buffer_printf(&out, "From: %s\r\nTo: %.*s\r\nCall-ID: %s\r\nCSeq: 1 ACK\r\n", call->local, SLICE_ARG(m->to),
		call->call_id);
	ua_name(call->ua->host, branch, sizeof(branch), "z9hG4bKa");
	if (is_2xx)
		snprintf(uri, sizeof(uri), "%s", call->target);
	else
		snprintf(uri, sizeof(uri), "%.*s", (int)strcspn(call->remote + 1, ">"), call->remote + 1);
	ua_acknowledge(call->invite, is_2xx ? branch : call->invite->branch, slice_str(uri), buffer_slice(&out));
}

static void answered(struct call *call, const struct sip_text *m)
{
	snprintf(call->target, sizeof(call->target), "%.*s", SLICE_ARG(m->contact));
	if (!call->target[0] || !m->to_tag.n)
		world_fail(world_of(call->ua), "an answer without Contact or tag");
	if (!call->ua->manners.never_acks)
		acknowledge(call, m);
	snprintf(call->remote, sizeof(call->remote), "%.*s", SLICE_ARG(m->to));
	call->is_answered = call->is_acked = true;
	if (call->is_over)
		return;
	ua_leg_begin(call->leg, attribute(call->ua, m->body, "a=path"),
		!slice_eq(attribute(call->ua, m->body, "a=setup"), SLICE("active")));
	if (call->wants_cancel || call->wants_bye)
		ua_bye(call);
}

void ua_call_response(struct request *request, const struct sip_text *m)
{
	struct call *call = request->call;

	if (request == call->change)
		ua_change_response(request, m);
	if (request != call->invite)
		return;
	if (m->status < 200) {
		if (call->wants_cancel)
			send_cancel(call);
	} else if (m->status < 300) {
		answered(call, m);
	} else {
		acknowledge(call, m);
		over(call);
	}
}

void ua_call_failed(struct request *request)
{
	if (request == request->call->invite)
		over(request->call);
	else if (request == request->call->change) /* RFC 3261 12.2.1.2 */
		ua_bye(request->call);
}

/* ---- the callee ---- */

static void on_invite(struct served *served, const struct sip_text *m)
{
	struct ua *ua = served->ua;
	struct call *call, *far = ua->host->calls;
	const struct manners *manners = &ua->manners;

	uint64_t number;

	/* a Subject of ours is a letter and the call's number */
	if (!slice_u64(slice_skip(m->subject, 1), UINT32_MAX, &number))
		far = NULL;
	while (far && !(far->is_caller && far->number == number))
		far = far->next;
	if (!far)
		far = ua_conference_of(ua->host, m->contact);
	bool is_push = memmem(m->from.p, m->from.n, "<sip:Deferred@", 14) != NULL;
	if (!far && !is_push)
		world_fail(world_of(ua), "an INVITE that nobody sent");
	for (call = ua->host->calls; call; call = call->next)
		if (call->ua == ua && far && call->far == far && !call->is_caller && !far->conference)
			world_fail(world_of(ua), "a call that comes twice");
	call = call_new(ua);
	call->far = far;
	call->is_push = is_push;
	call->conference = far ? far->conference : NULL;
	if (far && !far->far)
		far->far = call;
	call->served_invite = served;
	served->call = call;
	snprintf(call->call_id, sizeof(call->call_id), "%.*s", SLICE_ARG(m->call_id));
	snprintf(call->local, sizeof(call->local), "%s", served->to);
	snprintf(call->remote, sizeof(call->remote), "%.*s", SLICE_ARG(m->from));
	snprintf(call->target, sizeof(call->target), "%.*s", SLICE_ARG(m->contact));
	call->leg = ua_leg_new(call);
	bool is_active = manners->setup == SETUP_BY_SEED ? world_chance(world_of(ua), 50) : manners->setup == SETUP_ACTIVE;
	/* what the offer says is kept until the answer */
	call->leg->is_active = is_active;
	snprintf(call->leg->remote, sizeof(call->leg->remote), "%.*s", SLICE_ARG(attribute(ua, m->body, "a=path")));
	if (manners->is_mute)
		return;
	ua_respond(served, 180, SLICE_EMPTY, SLICE_EMPTY);
	if (manners->never_answers)
		return;
	call->answer_at_us = ua_now_us(ua->host) + 1 + 1000ull * manners->answers_after_ms;
	ua_wake(ua->host);
}

static void answer(struct call *call)
{
	char text[UA_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	unsigned refuse = call->ua->manners.refuse;

	call->answer_at_us = 0;
	if (refuse) {
		ua_respond(call->served_invite, refuse, SLICE_EMPTY, SLICE_EMPTY);
		over(call);
		return;
	}
	ua_put_sdp(call, &out, call->leg->is_active ? "active" : "passive");
	call->is_answered = true;
	ua_respond(call->served_invite, 200, SLICE("Content-Type: application/sdp\r\n"), buffer_slice(&out));
	ua_leg_begin(call->leg, slice_str(call->leg->remote), call->leg->is_active);
}

static void on_cancel(struct served *served, const struct sip_text *m)
{
	struct served *s = served->ua->host->served;

	while (s && (s->ua != served->ua || strcmp(s->method, "INVITE") != 0 || strcmp(s->branch, served->branch) != 0))
		s = s->next;
	ua_respond(served, s ? 200 : 481, SLICE_EMPTY, SLICE_EMPTY);
	if (!s || s->status >= 200)
		return;
	ua_respond(s, 487, SLICE_EMPTY, SLICE_EMPTY);
	over(s->call);
}

static void on_bye(struct served *served, struct call *call)
{
	if (!call) {
		ua_respond(served, 481, SLICE_EMPTY, SLICE_EMPTY);
		return;
	}
	if (call->got_bye)
		world_fail(world_of(call->ua), "two BYE to %s", call->ua->name);
	call->got_bye = true;
	ua_respond(served, 200, SLICE_EMPTY, SLICE_EMPTY);
	if (call->served_invite && call->served_invite->status < 200)
		ua_respond(call->served_invite, 487, SLICE_EMPTY, SLICE_EMPTY);
	over(call);
}

void ua_call_request(struct served *served, const struct sip_text *m)
{
	struct call *call = call_find(served->ua, m->call_id);

	if (strcmp(served->method, "CANCEL") == 0)
		on_cancel(served, m);
	else if (strcmp(served->method, "INVITE") == 0 && !m->to_tag.n)
		on_invite(served, m);
	else if (strcmp(served->method, "BYE") == 0)
		on_bye(served, call);
	else if (call && (strcmp(served->method, "INVITE") == 0 || strcmp(served->method, "UPDATE") == 0))
		ua_change_request(served, call, m);
	else
		ua_respond(served, call ? 200 : 481, SLICE_EMPTY, SLICE_EMPTY);
}

void ua_call_ack(struct ua *ua, const struct sip_text *m)
{
	struct call *call = call_find(ua, m->call_id);

	if (!call || ua_change_ack(call, m) || !call->served_invite)
		return;
	call->is_acked = true;
	call->served_invite->repeat_at_us = call->served_invite->give_up_at_us = 0;
	if (call->wants_bye)
		ua_bye(call);
}

uint64_t ua_call_due_us(const struct call *call)
{
	return call->answer_at_us ? call->answer_at_us : UINT64_MAX;
}

void ua_call_run(struct call *call)
{
	if (call->answer_at_us && call->answer_at_us <= ua_now_us(call->ua->host))
		answer(call);
}
