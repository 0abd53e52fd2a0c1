#include "load-tests/sip_calls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "load-tests/address.h"
#include "load-tests/sip_calls_private.h"

#define T1_NS          (500 * MILLISECOND_NS)
#define T2_NS          (4000 * MILLISECOND_NS)

/* ---- timers ---- */

void sip_call_untime(struct sip_call *call)
{
	if (!call->is_timed)
		return;
	call->is_timed = false;
	*call->timed_at = call->timed_next;
	if (call->timed_next)
		call->timed_next->timed_at = call->timed_at;
}

void sip_call_time(struct sip_calls *s, struct sip_call *call)
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

void sip_call_over(struct sip_calls *s, struct sip_call *call)
{
	sip_call_untime(call);
	call->state = CALL_OVER;
	call->is_refreshing = false;
	free(call->a_to);
	free(call->a_target);
	free(call->a_route);
	free(call->b_answer);
	call->a_to = call->a_target = call->a_route = call->b_answer = NULL;
}

void sip_call_failed(struct sip_calls *s, struct sip_call *call, enum flood_error error,
			const char *what)
{
	s->handlers->on_error(s->user, error, what);
	sip_call_over(s, call);
	s->handlers->on_failed(s->user, sip_call_index(s, call));
}

static void call_refused(struct sip_calls *s, struct sip_call *call, const char *method, const struct sip_text *m)
{
	s->handlers->on_refused(s->user, method, m->status, sip_text_retry_after(m));
	sip_call_over(s, call);
	s->handlers->on_failed(s->user, sip_call_index(s, call));
}

void sip_call_settle(struct sip_call *call)
{
	if (call->state == CALL_ANSWERED && !call->b_answer && !call->is_refreshing)
		sip_call_untime(call);
}

/* ---- A: responses ---- */

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
	uint32_t index = sip_call_index(s, call);

	if (call->state == CALL_ANSWERED) { /* repeated: our ACK was lost */
		sip_call_send_ack(s, index);
		return;
	}
	if (call->state != CALL_INVITING)
		return;
	call->a_to = slice_copy(sip_text_header(m, "To", 't', 0));
	call->a_target = slice_copy(sip_text_uri(sip_text_header(m, "Contact", 'm', 0)));
	call->a_route = route_lines(m);
	if (!call->a_to || !call->a_target || !call->a_route || !call->a_target[0]) {
		sip_call_failed(s, call, FLOOD_SIP_SYNTAX, "200 to INVITE without Contact");
		return;
	}
	call->state = CALL_ANSWERED;
	sip_call_settle(call);
	sip_call_send_ack(s, index);
	s->handlers->on_answered(s->user, index, m->body);
}

static void on_reinvite_response(struct sip_calls *s, struct sip_call *call, const struct sip_text *m)
{
	uint32_t index = sip_call_index(s, call);

	if (!call->a_target) /* it is over */
		return;
	if (m->status < 200) {
		call->repeat_ns = UINT64_MAX;
		return;
	}
	if (m->status < 300)
		sip_call_send_ack(s, index);
	else
		sip_call_ack_refusal(s, index, m);
	if (!call->is_refreshing) /* repeated: our ACK was lost */
		return;
	call->is_refreshing = false;
	sip_call_settle(call);
	s->handlers->on_refreshed(s->user, index, m->status, m);
}

static void on_invite_response(struct sip_calls *s, struct sip_call *call, const struct sip_text *m)
{
	uint32_t cseq = sip_text_cseq(m), index = sip_call_index(s, call);

	if (cseq != call->cseq) { /* of an INVITE before: its ACK was lost */
		if (m->status >= 300)
			sip_call_ack_refusal(s, index, m);
	} else if (cseq > call->invite_cseq) {
		on_reinvite_response(s, call, m);
	} else if (m->status < 200) {
		call->repeat_ns = UINT64_MAX; /* the server has it (RFC 3261 17.1.1.2) */
	} else if (m->status < 300) {
		on_invite_accepted(s, call, m);
	} else {
		sip_call_ack_refusal(s, index, m);
		if (call->state != CALL_INVITING)
			return;
		if (sip_calls_challenged(s, index, 'a', m, cseq - 1)) {
			call->invite_cseq = ++call->cseq;
			sip_call_time(s, call);
			sip_call_send_invite(s, index);
			return;
		}
		call_refused(s, call, "INVITE", m);
	}
}

static void on_register_response(struct sip_calls *s, struct sip_call *call, char kind, const struct sip_text *m)
{
	char role = kind == KIND_REGISTER_A ? 'a' : 'b';
	uint32_t *cseq = &call->register_cseq[role == 'b'], index = sip_call_index(s, call);

	if (m->status < 200 || sip_text_cseq(m) != *cseq)
		return;
	if (call->state == CALL_UNREGISTERING)
		sip_call_on_unregistered(s, call, role, m);
	if (call->state != CALL_REGISTERING)
		return;
	if (sip_calls_challenged(s, index, role, m, *cseq - 1)) {
		(*cseq)++;
		sip_call_send_register(s, index, role);
		return;
	}
	if (m->status >= 300) {
		call_refused(s, call, "REGISTER", m);
		return;
	}
	*(kind == KIND_REGISTER_A ? &call->a_registered : &call->b_registered) = true;
	if (!call->a_registered || !(call->b_registered || call->b_is_away))
		return;
	if (call->registers_only) {
		sip_call_over(s, call);
		s->handlers->on_registered(s->user, sip_call_index(s, call));
		return;
	}
	call->state = CALL_INVITING;
	call->cseq = call->invite_cseq = 1;
	sip_call_time(s, call);
	sip_call_send_invite(s, sip_call_index(s, call));
}

#define CHALLENGES_MAX 2 /* of one request: the second when the nonce was too old */

bool sip_calls_challenged(struct sip_calls *s, uint32_t index, char role, const struct sip_text *m, unsigned attempt)
{
	char user[16];

	if (!s->credentials || (m->status != 401 && m->status != 407) || attempt >= CHALLENGES_MAX)
		return false;
	snprintf(user, sizeof(user), "%c%06x", role, options_user(s->options, index));
	return credentials_learn(&s->credentials[index * 2 + (role == 'b')], m, user, s->options->password);
}

static void on_bye_response(struct sip_calls *s, struct sip_call *call, const struct sip_text *m)
{
	if (call->state != CALL_RELEASING || m->status < 200)
		return;
	if (m->status >= 300)
		s->handlers->on_refused(s->user, "BYE", m->status, sip_text_retry_after(m));
	sip_call_over(s, call);
	s->handlers->on_released(s->user, sip_call_index(s, call));
}

/* "RUN-KIND INDEX.CYCLE@imflood"; NULL: not a Call-ID of this run.  *is_late: of a call before. */
struct sip_call *sip_call_of(struct sip_calls *s, struct slice call_id, char *kind, bool *is_late)
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
	if (*end || index >= options_pairs(s->options))
		return NULL;
	*is_late = *kind == KIND_CALL && cycle != s->calls[index].cycle;
	return &s->calls[index];
}

/* "z9hG4bK RUN KIND NUMBER" in the topmost Via: one of sip_calls_send_...(). */
static bool is_other(const struct sip_calls *s, const struct sip_text *m, char *kind, uint32_t *number)
{
	struct slice via = sip_text_header(m, "Via", 'v', 0);
	const char *at = via.p ? memmem(via.p, via.n, ";branch=z9hG4bK", 15) : NULL;
	struct slice branch;
	char text[9] = "", *end;

	if (!at)
		return false;
	branch = slice_skip(via, (size_t)(at - via.p) + 15);
	if (branch.n < 17 || memcmp(branch.p, s->run, 8) != 0 ||
	    (branch.p[8] != KIND_MESSAGE && branch.p[8] != KIND_REFRESH))
		return false;
	*kind = branch.p[8];
	memcpy(text, branch.p + 9, 8);
	*number = (uint32_t)strtoul(text, &end, 16);
	return *end == 0;
}

static void on_response(struct sip_calls *s, const struct sip_text *m)
{
	char kind;
	uint32_t number;
	bool is_late = false;

	if (is_other(s, m, &kind, &number)) {
		s->handlers->on_response(s->user, kind, number, m);
		return;
	}
	struct sip_call *call = sip_call_of(s, sip_text_header(m, "Call-ID", 'i', 0), &kind, &is_late);
	struct slice method;

	(void)slice_cut(sip_text_header(m, "CSeq", 0, 0), ' ', &method);
	if (!call)
		s->handlers->on_error(s->user, FLOOD_SIP_SYNTAX, "a response to nothing we sent");
	else if (is_late)
		return; /* repeated */
	else if (kind != KIND_CALL)
		on_register_response(s, call, kind, m);
	else if (slice_eq(slice_trim(method), SLICE("BYE")))
		on_bye_response(s, call, m);
	else
		on_invite_response(s, call, m);
}

static void on_message(void *user, struct sip_flow *flow, const struct sip_text *m)
{
	((struct sip_calls *)user)->is_heard = true;
	if (m->status)
		on_response(user, m);
	else
		sip_calls_on_request(user, flow, m);
}

static void on_fault(void *user, bool is_syntax, const char *what)
{
	struct sip_calls *s = user;

	s->handlers->on_error(s->user, is_syntax ? FLOOD_SIP_SYNTAX : FLOOD_CLOSED, what);
}

/* ---- what the workload calls ---- */

bool sip_calls_have_room(const struct sip_calls *s, uint32_t index)
{
	return sip_client_has_room(&s->client, sip_call_flow(s, index));
}

void sip_call_start(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	assert(call->state == CALL_IDLE || call->state == CALL_OVER);
	if (!sip_client_is_open(&s->client, sip_call_flow(s, index))) {
		sip_call_failed(s, call, FLOOD_CLOSED, "a call without SIP connection");
		return;
	}
	sip_call_time(s, call);
	call->until_ns = s->loop->now_ns + CALL_NS;
	if (call->a_registered && call->b_registered) {
		call->cycle++;
		call->b_dialog = 0;
		call->state = CALL_INVITING;
		call->cseq = call->invite_cseq = 1;
		sip_call_send_invite(s, index);
		return;
	}
	call->state = CALL_REGISTERING;
	call->register_cseq[0]++;
	call->register_cseq[1]++;
	call->b_is_away = s->options->workload == WORKLOAD_DEFERRED;
	sip_call_send_register(s, index, 'a');
	if (!call->b_is_away)
		sip_call_send_register(s, index, 'b');
}

void sip_call_expect(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	assert(call->state == CALL_IDLE || call->state == CALL_OVER);
	call->state = CALL_EXPECTING;
	call->b_dialog = 0; /* a BYE of the call before is late */
	call->expects_release = s->options->is_push;
}

bool sip_call_is_answered(const struct sip_calls *s, uint32_t index)
{
	return s->calls[index].state == CALL_ANSWERED;
}

bool sip_call_expect_release(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	call->expects_release = call->state == CALL_ANSWERED;
	if (!call->expects_release && call->state == CALL_EXPECTING)
		sip_call_over(s, call);
	return call->expects_release;
}

void sip_call_b_is_registered(struct sip_calls *s, uint32_t index, uint32_t cseq)
{
	s->calls[index].b_registered = true;
	s->calls[index].register_cseq[1] = cseq;
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
	if (!sip_client_is_open(&s->client, sip_call_flow(s, index))) {
		sip_call_over(s, call); /* that the connection is gone was reported when it went */
		return false;
	}
	call->state = CALL_RELEASING;
	call->is_refreshing = false;
	call->cseq++;
	sip_call_time(s, call);
	call->until_ns = s->loop->now_ns + CALL_NS;
	sip_call_send_bye(s, index);
	return true;
}

bool sip_call_refresh(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];

	if (call->state != CALL_ANSWERED || call->is_refreshing || call->b_answer)
		return false;
	call->is_refreshing = true;
	call->cseq++;
	sip_call_time(s, call);
	call->until_ns = s->loop->now_ns + CALL_NS;
	sip_call_send_reinvite(s, index);
	return true;
}

bool sip_call_is_over(const struct sip_calls *s, uint32_t index)
{
	return s->calls[index].state == CALL_IDLE || s->calls[index].state == CALL_OVER;
}

/* Over TCP nothing is lost, so only B's 200 is repeated there (RFC 3261 13.3.1.4). */
static void repeat(struct sip_calls *s, struct sip_call *call)
{
	uint32_t index = sip_call_index(s, call);
	bool lossy = !s->options->tcp;

	call->interval_ns = call->interval_ns * 2 < T2_NS ? call->interval_ns * 2 : T2_NS;
	call->repeat_ns = s->loop->now_ns + call->interval_ns;
	if (call->state == CALL_REGISTERING && lossy) {
		if (!call->a_registered)
			sip_call_send_register(s, index, 'a');
		if (!call->b_registered && !call->b_is_away)
			sip_call_send_register(s, index, 'b');
	} else if (call->state == CALL_INVITING && lossy && !call->b_answer) {
		sip_call_send_invite(s, index);
	} else if (call->is_refreshing && lossy && !call->b_answer) {
		sip_call_send_reinvite(s, index);
	} else if (call->state == CALL_RELEASING && lossy) {
		sip_call_send_bye(s, index);
	} else if (call->state == CALL_UNREGISTERING && lossy) {
		sip_call_send_unregister(s, index);
	}
	if (call->b_answer)
		sip_client_request(&s->client, sip_call_flow(s, index),
				   slice_of(call->b_answer, call->b_answer_n));
}

static void give_up(struct sip_calls *s, struct sip_call *call)
{
	switch (call->state) {
	case CALL_REGISTERING:
		sip_call_failed(s, call, FLOOD_SIP_TIMEOUT, "REGISTER");
		break;
	case CALL_INVITING:
		sip_call_failed(s, call, FLOOD_SIP_TIMEOUT, "INVITE");
		break;
	case CALL_ANSWERED: /* the session may be up all the same; without ACK the server would not
			       say so */
		s->handlers->on_error(s->user, FLOOD_SIP_TIMEOUT, call->is_refreshing ? "re-INVITE" : "ACK to B");
		sip_call_untime(call);
		if (call->is_refreshing)
			s->handlers->on_refreshed(s->user, sip_call_index(s, call), 0, NULL);
		call->is_refreshing = false;
		break;
	case CALL_RELEASING:
		s->handlers->on_error(s->user, FLOOD_SIP_TIMEOUT, "BYE");
		sip_call_over(s, call);
		s->handlers->on_released(s->user, sip_call_index(s, call));
		break;
	case CALL_UNREGISTERING:
		sip_call_give_up_unregistering(s, sip_call_index(s, call));
		break;
	case CALL_IDLE:
	case CALL_EXPECTING:
	case CALL_OVER: /* none is in the list */
		sip_call_untime(call);
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
	snprintf(s->target, sizeof(s->target), "%s%s", host, o->tls ? ";transport=tls" : o->tcp ? ";transport=tcp" : "");
	s->calls = calloc(options_pairs(o), sizeof(*s->calls));
	s->credentials = o->password ? calloc((size_t)options_pairs(o) * 2, sizeof(*s->credentials)) : NULL;
	if (!s->calls || (o->password && !s->credentials))
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
	for (uint32_t i = 0; s->calls && i < options_pairs(s->options); i++)
		sip_call_over(s, &s->calls[i]);
	free(s->calls);
	free(s->credentials);
	s->credentials = NULL;
	s->calls = NULL;
	if (s->client.loop)
		sip_client_close(&s->client);
}
