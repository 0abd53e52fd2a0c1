/* Changes of a client's session: INVITE and UPDATE inside its dialog, both ways (RFC 3261 14, RFC 3311). */
#include "tests/sim/ua_internal.h"

#define SDP_TYPE "Content-Type: application/sdp\r\n"

static void put_headers(const struct call *call, struct buffer *out, unsigned cseq, const char *method)
{
	ua_put_dialog(call, out, cseq, method);
	buffer_lit(out, SDP_TYPE);
}

struct request *ua_change(struct call *call, bool by_invite)
{
	char text[UA_HEADERS_MAX], sdp_text[UA_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text)), sdp = buffer_over(sdp_text, sizeof(sdp_text));
	const char *method = by_invite ? "INVITE" : "UPDATE";

	if (call->is_over || !call->target[0] || (call->change && !call->change->status))
		return NULL;
	call->changes++;
	ua_put_sdp(call, &sdp, call->leg->is_active ? "active" : "passive");
	call->change_cseq = ++call->cseq;
	put_headers(call, &out, call->change_cseq, method);
	call->change = ua_request(call->ua, call, method, NULL, slice_str(call->target), buffer_slice(&out),
		buffer_slice(&sdp));
	return call->change;
}

struct request *ua_inside(struct call *call, const char *method)
{
	char text[UA_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));

	if (call->is_over || !call->target[0])
		return NULL;
	ua_put_dialog(call, &out, ++call->cseq, method);
	buffer_lit(&out, "Content-Type: text/plain\r\nRefer-To: <sip:carol@example.com>\r\n");
	return ua_request(call->ua, call, method, NULL, slice_str(call->target), buffer_slice(&out), SLICE("inside"));
}

void ua_come_back(struct call *call)
{
	struct leg *leg = call->leg;

	if (call->is_over || !leg->is_lost)
		return;
	ua_leg_renew(leg);
	if (ua_change(call, true))
		leg->comes_back = true;
}

/* Ours is answered: an INVITE is acknowledged, and after silence the session is over (RFC 3261 12.2.1.2). */
void ua_change_response(struct request *request, const struct sip_text *m)
{
	struct call *call = request->call;
	char text[UA_HEADERS_MAX], branch[40];
	struct buffer out = buffer_over(text, sizeof(text));

	if (m->status < 200 || strcmp(request->method, "INVITE") != 0)
		return;
	buffer_printf(&out, "From: %s\r\nTo: %.*s\r\nCall-ID: %s\r\nCSeq: %u ACK\r\n", call->local, SLICE_ARG(m->to),
		call->call_id, call->change_cseq);
	ua_name(call->ua->host, branch, sizeof(branch), "z9hG4bKa");
	if (call->leg->comes_back && m->status < 300)
		ua_leg_begin(call->leg, slice_str(call->leg->remote), call->leg->is_active);
	call->leg->comes_back = false;
	ua_acknowledge(request, m->status < 300 ? branch : request->branch, slice_str(call->target),
		buffer_slice(&out));
}

/* One of the server: as any client would, who takes whatever the other side wants. */
void ua_change_request(struct served *served, struct call *call, const struct sip_text *m)
{
	char text[UA_HEADERS_MAX];
	struct buffer sdp = buffer_over(text, sizeof(text));
	bool is_invite = strcmp(served->method, "INVITE") == 0;

	if (call->is_over) {
		ua_respond(served, 481, SLICE_EMPTY, SLICE_EMPTY);
		return;
	}
	if (m->body.n && call->change && !call->change->status) { /* RFC 3261 14.2, RFC 3311 5.2 */
		ua_respond(served, 491, SLICE_EMPTY, SLICE_EMPTY);
		return;
	}
	if (is_invite) {
		served->call = call;
		call->served_change = served;
		call->served_change_cseq = m->cseq;
	}
	call->was_changed++;
	ua_put_sdp(call, &sdp, call->leg->is_active ? "active" : "passive");
	ua_respond(served, 200, m->body.n || is_invite ? SLICE(SDP_TYPE) : SLICE_EMPTY,
		m->body.n || is_invite ? buffer_slice(&sdp) : SLICE_EMPTY);
}

bool ua_change_ack(struct call *call, const struct sip_text *m)
{
	if (!call->served_change || call->served_change_cseq != m->cseq)
		return false;
	call->served_change->repeat_at_us = call->served_change->give_up_at_us = 0;
	return true;
}
