#include "load-tests/sip_calls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load-tests/address.h"

#define MILLISECOND_NS 1000000ull
#define T1_NS          (500 * MILLISECOND_NS)
#define T2_NS          (4000 * MILLISECOND_NS)
#define CALL_NS        (20000 * MILLISECOND_NS) /* from REGISTER to the 200; and for a BYE */
#define TEXT_MAX       8192
#define FEATURE_TAG    "+g.oma.sip-im"
/* What kind of transaction a Call-ID stands for, beside the index of its session. */
#define KIND_REGISTER_A 'r'
#define KIND_REGISTER_B 's'
#define KIND_CALL       'c'

static uint32_t index_of(const struct sip_calls *s, const struct sip_call *call)
{
	return (uint32_t)(call - s->calls);
}

static unsigned flow_index(const struct sip_calls *s, uint32_t index)
{
	return index % s->options->locals_n;
}

/* ---- timers ---- */

static void untime(struct sip_call *call)
{
	if (!call->is_timed)
		return;
	call->is_timed = false;
	*call->timed_at = call->timed_next;
	if (call->timed_next)
		call->timed_next->timed_at = call->timed_at;
}

static void time_call(struct sip_calls *s, struct sip_call *call)
{
	if (!call->is_timed) {
		call->is_timed = true;
		call->timed_next = s->timed;
		call->timed_at = &s->timed;
		if (s->timed)
			s->timed->timed_at = &call->timed_next;
		s->timed = call;
	}
	call->interval_ns = T1_NS;
	call->repeat_ns = s->loop->now_ns + T1_NS;
}

static void call_over(struct sip_calls *s, struct sip_call *call)
{
	untime(call);
	call->state = CALL_OVER;
	free(call->a_to);
	free(call->a_target);
	free(call->a_route);
	free(call->b_answer);
	call->a_to = call->a_target = call->a_route = call->b_answer = NULL;
}

static void call_failed(struct sip_calls *s, struct sip_call *call, enum flood_error error,
			const char *what)
{
	s->handlers->on_error(s->user, error, what);
	call_over(s, call);
	s->handlers->on_failed(s->user, index_of(s, call));
}

/* "INVITE: 503" */
static const char *refusal(char text[32], const char *method, unsigned status)
{
	snprintf(text, 32, "%s: %u", method, status);
	return text;
}

/* ---- writing ---- */

/* What every request of ours begins with; `to` is a whole To value. */
static void put_request(struct sip_calls *s, struct buffer *b, uint32_t index, char kind,
			const char *method, const char *uri, const char *from_user, const char *to,
			unsigned cseq)
{
	char host[ADDRESS_TEXT_MAX];
	uint32_t cycle = s->calls[index].cycle;

	address_print(&s->client.flows[flow_index(s, index)]->local, host);
	/* The ACK of a 2xx is a transaction of its own (RFC 3261 13.2.2.4), hence the method in the
	 * branch. */
	buffer_printf(b,
		      "%s %s SIP/2.0\r\nVia: SIP/2.0/%s "
		      "%s;branch=z9hG4bK%.8s%c%06x.%u.%u%c;rport\r\nMax-Forwards: 70\r\n",
		      method, uri, s->options->tcp ? "TCP" : "UDP", host, s->run, kind, index, cycle, cseq,
		      method[0] == 'A' ? 'a' : 'r');
	buffer_printf(b,
		      "From: <sip:%s@%s>;tag=%.8s%c%06x.%u\r\nTo: %s\r\nCall-ID: "
		      "%.8s-%c%06x.%u@imflood\r\nCSeq: %u %s\r\n",
		      from_user, s->domain, s->run, kind, index, cycle, to, s->run, kind, index, cycle,
		      cseq, method);
}

static void put_contact(struct sip_calls *s, struct buffer *b, uint32_t index, char role)
{
	char host[ADDRESS_TEXT_MAX];

	address_print(&s->client.flows[flow_index(s, index)]->local, host);
	buffer_printf(b, "Contact: <sip:%c%06x@%s;transport=%s>;" FEATURE_TAG "\r\n", role, index,
		      host, s->options->tcp ? "tcp" : "udp");
}

static void put_body(struct buffer *b, struct slice sdp)
{
	if (sdp.n)
		buffer_lit(b, "Content-Type: application/sdp\r\n");
	buffer_printf(b, "Content-Length: %zu\r\n\r\n", sdp.n);
	buffer_put(b, sdp);
}

static void send_request(struct sip_calls *s, uint32_t index, struct buffer *b)
{
	if (b->overflow)
		s->handlers->on_error(s->user, FLOOD_SIP_SYNTAX,
				      "a request of ours became too long");
	else
		sip_client_request(&s->client, flow_index(s, index), buffer_slice(b));
}

/* In ims mode it is the third-party REGISTER of the core (3GPP TS 24.229 5.4.1.7): From and Contact
 * are the core's. */
static void send_register(struct sip_calls *s, uint32_t index, char role)
{
	char text[TEXT_MAX], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text));
	bool third_party = s->options->mode == MODE_IMS;

	snprintf(user, sizeof(user), "%c%06x", role, index);
	snprintf(uri, sizeof(uri), "sip:%s", s->domain);
	snprintf(to, sizeof(to), "<sip:%s@%s>", user, s->domain);
	put_request(s, &b, index, role == 'a' ? KIND_REGISTER_A : KIND_REGISTER_B, "REGISTER", uri,
		    third_party ? "core" : user, to, 1);
	put_contact(s, &b, index, role);
	buffer_lit(&b, "Expires: 3600\r\n");
	put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

static void send_invite(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], sdp_text[2048], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text)),
		      sdp = buffer_over(sdp_text, sizeof(sdp_text));

	snprintf(user, sizeof(user), "a%06x", index);
	snprintf(uri, sizeof(uri), "sip:b%06x@%s", index, s->domain);
	snprintf(to, sizeof(to), "<%s>", uri);
	put_request(s, &b, index, KIND_CALL, "INVITE", uri, user, to, 1);
	put_contact(s, &b, index, 'a');
	if (s->options->mode == MODE_IMS)
		buffer_printf(&b, "Route: <sip:%s;lr;term>\r\nP-Asserted-Identity: <sip:%s@%s>\r\n",
			      s->target, user, s->domain);
	buffer_lit(&b, "Accept-Contact: *;" FEATURE_TAG
		       ";require;explicit\r\nUser-Agent: IM-client/OMA1.0 imflood\r\n"
		       "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	s->handlers->offer(s->user, index, &sdp);
	put_body(&b, buffer_slice(&sdp));
	send_request(s, index, &b);
}

static void send_ack(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], user[16];
	struct sip_call *call = &s->calls[index];
	struct buffer b = buffer_over(text, sizeof(text));

	snprintf(user, sizeof(user), "a%06x", index);
	put_request(s, &b, index, KIND_CALL, "ACK", call->a_target, user, call->a_to, 1);
	buffer_str(&b, call->a_route);
	put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

static void send_bye(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], user[16];
	struct sip_call *call = &s->calls[index];
	struct buffer b = buffer_over(text, sizeof(text));

	snprintf(user, sizeof(user), "a%06x", index);
	put_request(s, &b, index, KIND_CALL, "BYE", call->a_target, user, call->a_to, 2);
	buffer_str(&b, call->a_route);
	put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

/* The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 17.1.1.3): its branch, its
 * Request-URI. */
static void ack_refusal(struct sip_calls *s, uint32_t index, const struct sip_text *response)
{
	char text[TEXT_MAX], uri[300];
	struct buffer b = buffer_over(text, sizeof(text));

	snprintf(uri, sizeof(uri), "sip:b%06x@%s", index, s->domain);
	buffer_printf(&b,
		      "ACK %s SIP/2.0\r\nVia: %.*s\r\nMax-Forwards: 70\r\nFrom: %.*s\r\nTo: "
		      "%.*s\r\nCall-ID: %.*s\r\nCSeq: 1 ACK\r\n",
		      uri, SLICE_ARG(sip_text_header(response, "Via", 'v', 0)),
		      SLICE_ARG(sip_text_header(response, "From", 'f', 0)),
		      SLICE_ARG(sip_text_header(response, "To", 't', 0)),
		      SLICE_ARG(sip_text_header(response, "Call-ID", 'i', 0)));
	if (s->options->mode == MODE_IMS)
		buffer_printf(&b, "Route: <sip:%s;lr;term>\r\n", s->target);
	put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

/* ---- A: responses ---- */

static char *slice_copy(struct slice s)
{
	return strndup(s.n ? s.p : "", s.n);
}

/* The route set of the caller: Record-Route in reverse order (RFC 3261 12.1.2). */
static char *route_lines(const struct sip_text *response)
{
	char text[TEXT_MAX];
	struct buffer b = buffer_over(text, sizeof(text));
	unsigned n = 0;

	while (sip_text_header(response, "Record-Route", 0, n).n)
		n++;
	while (n-- > 0)
		buffer_printf(&b, "Route: %.*s\r\n",
			      SLICE_ARG(sip_text_header(response, "Record-Route", 0, n)));
	return b.overflow ? NULL : slice_copy(buffer_slice(&b));
}

static void on_invite_accepted(struct sip_calls *s, struct sip_call *call, const struct sip_text *m)
{
	uint32_t index = index_of(s, call);

	if (call->state == CALL_ANSWERED) { /* repeated: our ACK was lost */
		send_ack(s, index);
		return;
	}
	if (call->state != CALL_INVITING)
		return;
	call->a_to = slice_copy(sip_text_header(m, "To", 't', 0));
	call->a_target = slice_copy(sip_text_uri(sip_text_header(m, "Contact", 'm', 0)));
	call->a_route = route_lines(m);
	if (!call->a_to || !call->a_target || !call->a_route || !call->a_target[0]) {
		call_failed(s, call, FLOOD_SIP_SYNTAX, "200 to INVITE without Contact");
		return;
	}
	call->state = CALL_ANSWERED;
	if (!call->b_answer)
		untime(call);
	send_ack(s, index);
	s->handlers->on_answered(s->user, index, m->body);
}

static void on_invite_response(struct sip_calls *s, struct sip_call *call, const struct sip_text *m)
{
	char text[32];

	if (m->status < 200) {
		call->repeat_ns = UINT64_MAX; /* the server has it (RFC 3261 17.1.1.2) */
	} else if (m->status < 300) {
		on_invite_accepted(s, call, m);
	} else {
		ack_refusal(s, index_of(s, call), m);
		if (call->state == CALL_INVITING)
			call_failed(s, call, FLOOD_SIP_STATUS, refusal(text, "INVITE", m->status));
	}
}

static void on_register_response(struct sip_calls *s, struct sip_call *call, char kind,
				 unsigned status)
{
	char text[32];

	if (call->state != CALL_REGISTERING || status < 200)
		return;
	if (status >= 300) { /* 401 included: imflood has no passwords */
		call_failed(s, call, FLOOD_SIP_STATUS, refusal(text, "REGISTER", status));
		return;
	}
	*(kind == KIND_REGISTER_A ? &call->a_registered : &call->b_registered) = true;
	if (!call->a_registered || !call->b_registered)
		return;
	if (call->registers_only) {
		call_over(s, call);
		s->handlers->on_registered(s->user, index_of(s, call));
		return;
	}
	call->state = CALL_INVITING;
	time_call(s, call);
	send_invite(s, index_of(s, call));
}

static void on_bye_response(struct sip_calls *s, struct sip_call *call, unsigned status)
{
	char text[32];

	if (call->state != CALL_RELEASING || status < 200)
		return;
	if (status >= 300)
		s->handlers->on_error(s->user, FLOOD_SIP_STATUS, refusal(text, "BYE", status));
	call_over(s, call);
	s->handlers->on_released(s->user, index_of(s, call));
}

/* "RUN-KIND INDEX.CYCLE@imflood"; NULL: not a Call-ID of this run.  *is_late: of a call before. */
static struct sip_call *call_of(struct sip_calls *s, struct slice call_id, char *kind, bool *is_late)
{
	char text[8];
	char *end;
	uint64_t cycle;

	if (call_id.n < 17 || memcmp(call_id.p, s->run, 8) != 0 || call_id.p[8] != '-' ||
	    !slice_u64(slice_cut(slice_skip(call_id, 17), '@', NULL), UINT32_MAX, &cycle))
		return NULL;
	memcpy(text, call_id.p + 10, 6);
	text[6] = 0;
	unsigned long index = strtoul(text, &end, 16);
	*kind = call_id.p[9];
	if (*end || index >= s->options->sessions)
		return NULL;
	*is_late = *kind == KIND_CALL && cycle != s->calls[index].cycle;
	return &s->calls[index];
}

static void on_response(struct sip_calls *s, const struct sip_text *m)
{
	char kind;
	bool is_late = false;
	struct sip_call *call = call_of(s, sip_text_header(m, "Call-ID", 'i', 0), &kind, &is_late);
	struct slice method;

	(void)slice_cut(sip_text_header(m, "CSeq", 0, 0), ' ', &method);
	if (!call)
		s->handlers->on_error(s->user, FLOOD_SIP_SYNTAX, "a response to nothing we sent");
	else if (is_late)
		return; /* repeated */
	else if (kind != KIND_CALL)
		on_register_response(s, call, kind, m->status);
	else if (slice_eq(slice_trim(method), SLICE("BYE")))
		on_bye_response(s, call, m->status);
	else
		on_invite_response(s, call, m);
}

/* ---- requests of the server ---- */

static void respond(struct sip_flow *flow, struct sip_calls *s, const struct sip_text *request,
		    const char *status)
{
	char text[TEXT_MAX];
	struct buffer b = buffer_over(text, sizeof(text));

	sip_text_response(&b, request, status, slice_of(s->run, 8));
	put_body(&b, SLICE_EMPTY);
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

/* B answers at once; the same 200 again if the INVITE is repeated. */
static void on_invite(struct sip_calls *s, struct sip_flow *flow, struct sip_call *call,
		      const struct sip_text *m)
{
	char text[TEXT_MAX], sdp_text[2048];
	struct buffer b = buffer_over(text, sizeof(text)),
		      sdp = buffer_over(sdp_text, sizeof(sdp_text));
	uint32_t index = index_of(s, call);

	if (call->b_answer) {
		sip_client_respond(flow, slice_of(call->b_answer, call->b_answer_n));
		return;
	}
	if (sip_text_tag(sip_text_header(m, "To", 't', 0))
		    .n) { /* changing a session is no part of this load */
		respond(flow, s, m, "488 Not Acceptable Here");
		return;
	}
	if (call->state != CALL_INVITING) {
		respond(flow, s, m, "486 Busy Here");
		return;
	}
	if (!s->handlers->answer(s->user, index, m->body, &sdp)) {
		respond(flow, s, m, "488 Not Acceptable Here");
		return;
	}
	call->b_dialog = dialog_of(m);
	sip_text_response(&b, m, "200 OK", slice_of(s->run, 8));
	put_contact(s, &b, index, 'b');
	buffer_lit(&b, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	put_body(&b, buffer_slice(&sdp));
	call->b_answer_n = b.n;
	call->b_answer = b.overflow || sdp.overflow ? NULL : slice_copy(buffer_slice(&b));
	if (!call->b_answer) {
		call_failed(s, call, FLOOD_SIP_SYNTAX, "an INVITE too long to be answered");
		return;
	}
	sip_client_respond(flow, buffer_slice(&b));
}

static void on_ack(struct sip_call *call)
{
	free(call->b_answer);
	call->b_answer = NULL;
	if (call->state == CALL_ANSWERED)
		untime(call);
}

static void on_bye(struct sip_calls *s, struct sip_flow *flow, struct sip_call *call,
		   const struct sip_text *m)
{
	char kind;
	bool is_late = false;

	respond(flow, s, m, "200 OK");
	if (call->state == CALL_RELEASING || call->state == CALL_OVER)
		return; /* the other leg's end of our own BYE */
	if (!call_of(s, sip_text_header(m, "Call-ID", 'i', 0), &kind, &is_late))
		is_late = call->b_dialog != dialog_of(m); /* B's dialog: the server named it */
	if (is_late)
		return;
	s->handlers->on_error(s->user, FLOOD_RELEASED, "BYE");
	call_over(s, call);
	s->handlers->on_released(s->user, index_of(s, call));
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
	unsigned long index = strtoul(text, &end, 16);
	return *end || index >= s->options->sessions ? NULL : &s->calls[index];
}

static void on_request(struct sip_calls *s, struct sip_flow *flow, const struct sip_text *m)
{
	struct sip_call *call = called(s, m->uri);

	if (slice_eq(m->method, SLICE("ACK"))) {
		if (call)
			on_ack(call);
	} else if (!call) {
		respond(flow, s, m, "404 Not Found");
	} else if (slice_eq(m->method, SLICE("INVITE"))) {
		on_invite(s, flow, call, m);
	} else if (slice_eq(m->method, SLICE("BYE"))) {
		on_bye(s, flow, call, m);
	} else {
		respond(flow, s, m,
			"200 OK"); /* OPTIONS, UPDATE without offer, CANCEL after the answer */
	}
}

static void on_message(void *user, struct sip_flow *flow, const struct sip_text *m)
{
	if (m->status)
		on_response(user, m);
	else
		on_request(user, flow, m);
}

static void on_fault(void *user, bool is_syntax, const char *what)
{
	struct sip_calls *s = user;

	s->handlers->on_error(s->user, is_syntax ? FLOOD_SIP_SYNTAX : FLOOD_CLOSED, what);
}

/* ---- what the workload calls ---- */

void sip_call_start(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	assert(call->state == CALL_IDLE || call->state == CALL_OVER);
	time_call(s, call);
	call->until_ns = s->loop->now_ns + CALL_NS;
	if (call->a_registered && call->b_registered) {
		call->cycle++;
		call->b_dialog = 0;
		call->state = CALL_INVITING;
		send_invite(s, index);
		return;
	}
	call->state = CALL_REGISTERING;
	send_register(s, index, 'a');
	send_register(s, index, 'b');
}

void sip_call_register(struct sip_calls *s, uint32_t index)
{
	s->calls[index].registers_only = true;
	sip_call_start(s, index);
}

bool sip_call_release(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	if (call->state != CALL_ANSWERED)
		return false;
	call->state = CALL_RELEASING;
	time_call(s, call);
	call->until_ns = s->loop->now_ns + CALL_NS;
	send_bye(s, index);
	return true;
}

/* Over TCP nothing is lost, so only B's 200 is repeated there (RFC 3261 13.3.1.4). */
static void repeat(struct sip_calls *s, struct sip_call *call)
{
	uint32_t index = index_of(s, call);
	bool lossy = !s->options->tcp;

	call->interval_ns = call->interval_ns * 2 < T2_NS ? call->interval_ns * 2 : T2_NS;
	call->repeat_ns = s->loop->now_ns + call->interval_ns;
	if (call->state == CALL_REGISTERING && lossy) {
		if (!call->a_registered)
			send_register(s, index, 'a');
		if (!call->b_registered)
			send_register(s, index, 'b');
	} else if (call->state == CALL_INVITING && lossy && !call->b_answer) {
		send_invite(s, index);
	} else if (call->state == CALL_RELEASING && lossy) {
		send_bye(s, index);
	}
	if (call->b_answer)
		sip_client_request(&s->client, flow_index(s, index),
				   slice_of(call->b_answer, call->b_answer_n));
}

static void give_up(struct sip_calls *s, struct sip_call *call)
{
	switch (call->state) {
	case CALL_REGISTERING:
		call_failed(s, call, FLOOD_SIP_TIMEOUT, "REGISTER");
		break;
	case CALL_INVITING:
		call_failed(s, call, FLOOD_SIP_TIMEOUT, "INVITE");
		break;
	case CALL_ANSWERED: /* the session may be up all the same; without ACK the server would not
			       say so */
		s->handlers->on_error(s->user, FLOOD_SIP_TIMEOUT, "ACK to B");
		untime(call);
		break;
	case CALL_RELEASING:
		s->handlers->on_error(s->user, FLOOD_SIP_TIMEOUT, "BYE");
		call_over(s, call);
		s->handlers->on_released(s->user, index_of(s, call));
		break;
	case CALL_IDLE:
	case CALL_OVER: /* neither is in the list */
		untime(call);
		break;
	}
}

void sip_calls_tick(struct sip_calls *s)
{
	for (struct sip_call *call = s->timed, *next; call; call = next) {
		next = call->timed_next;
		if (s->loop->now_ns >= call->until_ns)
			give_up(s, call);
		else if (s->loop->now_ns >= call->repeat_ns)
			repeat(s, call);
	}
}

int sip_calls_open(struct sip_calls *s, struct prng *prng)
{
	char host[ADDRESS_TEXT_MAX];
	const struct flood_options *o = s->options;

	prng_name(prng, s->run, sizeof(s->run));
	address_print_host(&o->target, true, host);
	int n = snprintf(s->domain, sizeof(s->domain), "%s", o->domain ? o->domain : host);
	if (n < 0 || (size_t)n >= sizeof(s->domain))
		return ENAMETOOLONG;
	address_print(&o->target, host);
	snprintf(s->target, sizeof(s->target), "%s%s", host, o->tcp ? ";transport=tcp" : "");
	s->calls = calloc(o->sessions, sizeof(*s->calls));
	if (!s->calls)
		return ENOMEM;
	s->client = (struct sip_client){ .loop = s->loop,
					 .options = o,
					 .on_message = on_message,
					 .on_fault = on_fault,
					 .user = s };
	return sip_client_open(&s->client);
}

void sip_calls_close(struct sip_calls *s)
{
	for (uint32_t i = 0; s->calls && i < s->options->sessions; i++)
		call_over(s, &s->calls[i]);
	free(s->calls);
	s->calls = NULL;
	if (s->client.loop)
		sip_client_close(&s->client);
}
