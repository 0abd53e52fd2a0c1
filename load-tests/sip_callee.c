#include <stdlib.h>

#include "load-tests/sip_calls_private.h"

void sip_calls_respond(struct sip_calls *s, struct sip_flow *flow, const struct sip_text *request, const char *status)
{
	char text[TEXT_MAX];
	struct buffer b = buffer_over(text, sizeof(text));

	sip_text_response(&b, request, status, slice_of(s->run, 8));
	sip_call_put_body(&b, SLICE_EMPTY);
	if (!b.overflow)
		sip_client_respond(flow, buffer_slice(&b));
}

static uint64_t dialog_of(const struct sip_text *m)
{
	struct slice id = sip_text_header(m, "Call-ID", 'i', 0);
	uint64_t hash = 1469598103934665603u; /* FNV-1a */

	for (size_t i = 0; i < id.n; i++)
		hash = (hash ^ (uint8_t)id.p[i]) * 1099511628211u;
	return hash;
}

/* The session stays what it is: A or B is asked only whether we are still there (RFC 4028), or by our own A. */
static void on_reinvite(struct sip_calls *s, struct sip_flow *flow, struct sip_call *call, const struct sip_text *m)
{
	char text[TEXT_MAX], sdp_text[2048], role = m->uri.p[4];
	struct buffer b = buffer_over(text, sizeof(text)), sdp = buffer_over(sdp_text, sizeof(sdp_text));
	uint32_t index = sip_call_index(s, call);

	if (call->state != CALL_ANSWERED) {
		sip_calls_respond(s, flow, m, "481 Call/Transaction Does Not Exist");
		return;
	}
	s->handlers->agree_again(s->user, index, role, &sdp);
	sip_text_response(&b, m, "200 OK", slice_of(s->run, 8));
	sip_call_put_contact(s, &b, index, role);
	sip_call_put_body(&b, buffer_slice(&sdp));
	if (b.overflow || sdp.overflow) {
		s->handlers->on_error(s->user, FLOOD_SIP_SYNTAX, "a re-INVITE too long to be answered");
		return;
	}
	sip_client_respond(flow, buffer_slice(&b));
	if (role != 'b' || !call->is_refreshing)
		return; /* of the server: it repeats the INVITE when the answer is lost */
	call->b_answer_n = b.n;
	call->b_answer = slice_copy(buffer_slice(&b));
}

/* B answers at once; the same 200 again if the INVITE is repeated. */
static void on_invite(struct sip_calls *s, struct sip_flow *flow, struct sip_call *call,
		      const struct sip_text *m)
{
	char text[TEXT_MAX], sdp_text[2048];
	struct buffer b = buffer_over(text, sizeof(text)),
		      sdp = buffer_over(sdp_text, sizeof(sdp_text));
	uint32_t index = sip_call_index(s, call);

	if (call->b_answer) {
		sip_client_respond(flow, slice_of(call->b_answer, call->b_answer_n));
		return;
	}
	if (sip_text_tag(sip_text_header(m, "To", 't', 0)).n) {
		on_reinvite(s, flow, call, m);
		return;
	}
	if (call->state != CALL_INVITING && call->state != CALL_EXPECTING) {
		sip_calls_respond(s, flow, m, "486 Busy Here");
		return;
	}
	if (!s->handlers->answer(s->user, index, m->body, &sdp)) {
		sip_calls_respond(s, flow, m, "488 Not Acceptable Here");
		return;
	}
	call->b_dialog = dialog_of(m);
	sip_text_response(&b, m, "200 OK", slice_of(s->run, 8));
	sip_call_put_contact(s, &b, index, 'b');
	buffer_lit(&b, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	sip_call_put_body(&b, buffer_slice(&sdp));
	call->b_answer_n = b.n;
	call->b_answer = b.overflow || sdp.overflow ? NULL : slice_copy(buffer_slice(&b));
	if (!call->b_answer) {
		sip_call_failed(s, call, FLOOD_SIP_SYNTAX, "an INVITE too long to be answered");
		return;
	}
	sip_client_respond(flow, buffer_slice(&b));
	if (call->state == CALL_EXPECTING) {
		call->state = CALL_ANSWERED;
		sip_call_time(s, call); /* the 200, until the ACK comes */
		call->until_ns = s->loop->now_ns + CALL_NS;
	}
}

static void on_ack(struct sip_call *call)
{
	free(call->b_answer);
	call->b_answer = NULL;
	sip_call_settle(call);
}

static void on_bye(struct sip_calls *s, struct sip_flow *flow, struct sip_call *call,
		   const struct sip_text *m)
{
	char kind;
	bool is_late = false;

	sip_calls_respond(s, flow, m, "200 OK");
	if (call->state == CALL_RELEASING || call->state == CALL_OVER || call->state == CALL_UNREGISTERING)
		return; /* the other leg's end of our own BYE */
	if (!sip_call_of(s, sip_text_header(m, "Call-ID", 'i', 0), &kind, &is_late))
		is_late = call->b_dialog != dialog_of(m); /* B's dialog: the server named it */
	if (is_late)
		return;
	if (!call->expects_release)
		s->handlers->on_error(s->user, FLOOD_RELEASED, "BYE");
	sip_call_over(s, call);
	s->handlers->on_released(s->user, sip_call_index(s, call));
}

/* The user part of the Request-URI is that of a Contact or address of ours: ROLE INDEX. */
static struct sip_call *called(struct sip_calls *s, struct slice uri)
{
	char text[8];
	char *end;
	struct slice user = slice_skip(uri, 4);

	if (!slice_case_starts(uri, SLICE("sip:")) || user.n < 7 ||
	    (user.p[0] != 'a' && user.p[0] != 'b'))
		return NULL;
	memcpy(text, user.p + 1, 6);
	text[6] = 0;
	unsigned long index = strtoul(text, &end, 16) - s->options->first_user;
	return *end || index >= options_pairs(s->options) ? NULL : &s->calls[index];
}

void sip_calls_on_request(struct sip_calls *s, struct sip_flow *flow, const struct sip_text *m)
{
	struct sip_call *call = called(s, m->uri);

	if (slice_eq(m->method, SLICE("ACK"))) {
		if (call)
			on_ack(call);
	} else if (slice_eq(m->method, SLICE("MESSAGE"))) {
		s->handlers->on_request(s->user, flow, m);
	} else if (!call) {
		sip_calls_respond(s, flow, m, "404 Not Found");
	} else if (slice_eq(m->method, SLICE("INVITE"))) {
		on_invite(s, flow, call, m);
	} else if (slice_eq(m->method, SLICE("BYE"))) {
		on_bye(s, flow, call, m);
	} else {
		sip_calls_respond(s, flow, m,
			"200 OK"); /* OPTIONS, UPDATE without offer, CANCEL after the answer */
	}
}
