#include <stdio.h>

#include "load-tests/address.h"
#include "load-tests/sip_calls_private.h"

#define LIST_MAX (MEMBERS_MAX * 64)

/* What every request of ours begins with; `to` is a whole To value.  `cycle` tells one call of a pair from the next. */
struct head {
	uint32_t index;
	char kind; /* of the Call-ID */
	uint32_t cycle;
	const char *method, *uri, *from_user, *to;
	unsigned cseq;
};

static void put_via(struct sip_calls *s, struct buffer *b, uint32_t index, const char *branch)
{
	char host[ADDRESS_TEXT_MAX];

	address_print(&s->client.flows[sip_call_flow(s, index)]->local, host);
	buffer_printf(b, "Via: SIP/2.0/%s %s;branch=z9hG4bK%.8s%s;rport\r\nMax-Forwards: 70\r\n",
		      s->options->tls ? "TLS" : s->options->tcp ? "TCP" : "UDP", host, s->run, branch);
}

static void put_dialog(struct sip_calls *s, struct buffer *b, const struct head *h)
{
	buffer_printf(b,
		      "From: <sip:%s@%s>;tag=%.8s%c%06x.%u\r\nTo: %s\r\nCall-ID: "
		      "%.8s-%c%06x.%u@imflood\r\nCSeq: %u %s\r\n",
		      h->from_user, s->domain, s->run, h->kind, h->index, h->cycle, h->to, s->run, h->kind, h->index,
		      h->cycle, h->cseq, h->method);
}

static void put_request(struct sip_calls *s, struct buffer *b, const struct head *h)
{
	char branch[48];

	/* The ACK of a 2xx is a transaction of its own (RFC 3261 13.2.2.4), hence the method in the branch. */
	snprintf(branch, sizeof(branch), "%c%06x.%u.%u%c", h->kind, h->index, h->cycle, h->cseq,
		 h->method[0] == 'A' ? 'a' : 'r');
	buffer_printf(b, "%s %s SIP/2.0\r\n", h->method, h->uri);
	put_via(s, b, h->index, branch);
	put_dialog(s, b, h);
}

void sip_call_put_contact(struct sip_calls *s, struct buffer *b, uint32_t index, char role)
{
	char host[ADDRESS_TEXT_MAX];

	address_print(&s->client.flows[sip_call_flow(s, index)]->local, host);
	/* who was away gets what waits as MESSAGEs only when he is an ordinary client, else by a call */
	buffer_printf(b, "Contact: <sip:%c%06x@%s;transport=%s>%s\r\n", role, options_user(s->options, index), host,
		      s->options->tls ? "tls" : s->options->tcp ? "tcp" : "udp",
		      role == 'b' && s->calls[index].b_is_away && !s->options->is_push ? "" : ";" FEATURE_TAG);
}

void sip_call_put_body(struct buffer *b, struct slice sdp)
{
	if (sdp.n)
		buffer_lit(b, "Content-Type: application/sdp\r\n");
	buffer_printf(b, "Content-Length: %zu\r\n\r\n", sdp.n);
	buffer_put(b, sdp);
}

static bool send_request(struct sip_calls *s, uint32_t index, struct buffer *b)
{
	if (b->overflow) {
		s->handlers->on_error(s->user, FLOOD_SIP_SYNTAX, "a request of ours became too long");
		return false;
	}
	return sip_client_request(&s->client, sip_call_flow(s, index), buffer_slice(b));
}

static void put_credentials(struct sip_calls *s, struct buffer *b, const struct head *h, char role)
{
	if (s->credentials)
		credentials_put(&s->credentials[h->index * 2 + (role == 'b')], b, h->from_user, h->method, h->uri);
}

/* In ims mode it is the third-party REGISTER of the core (3GPP TS 24.229 5.4.1.7): From and Contact
 * are the core's.  branch NULL: that of the first one. */
static bool put_register(struct sip_calls *s, uint32_t index, char role, uint32_t cseq, const char *branch)
{
	char text[TEXT_MAX], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text));
	bool third_party = s->options->mode == MODE_IMS;
	struct head h = { index, role == 'a' ? KIND_REGISTER_A : KIND_REGISTER_B, 0, "REGISTER", uri,
			  third_party ? "core" : user, to, cseq };

	snprintf(user, sizeof(user), "%c%06x", role, options_user(s->options, index));
	snprintf(uri, sizeof(uri), "sip:%s", s->domain);
	snprintf(to, sizeof(to), "<sip:%s@%s>", user, s->domain);
	if (branch) {
		buffer_printf(&b, "REGISTER %s SIP/2.0\r\n", uri);
		put_via(s, &b, index, branch);
		put_dialog(s, &b, &h);
	} else {
		put_request(s, &b, &h);
	}
	put_credentials(s, &b, &h, role);
	sip_call_put_contact(s, &b, index, role);
	buffer_printf(&b, "Expires: %u\r\n", s->calls[index].state == CALL_UNREGISTERING ? 0u : 3600u);
	sip_call_put_body(&b, SLICE_EMPTY);
	return send_request(s, index, &b);
}

void sip_call_send_register(struct sip_calls *s, uint32_t index, char role)
{
	(void)put_register(s, index, role, s->calls[index].register_cseq[role == 'b'], NULL); /* what could not be sent has no answer in time */
}

bool sip_calls_send_register(struct sip_calls *s, uint32_t index, char role, uint32_t cseq, uint32_t number)
{
	char branch[32];

	snprintf(branch, sizeof(branch), "%c%08x.%u", KIND_REFRESH, number, cseq);
	return put_register(s, index, role, cseq, branch);
}

/* What a request outside a dialog tells a server beside the users. */
static void put_terminating(struct sip_calls *s, struct buffer *b, const char *user)
{
	if (s->options->mode == MODE_IMS)
		buffer_printf(b, "Route: <sip:%s;lr;term>\r\nP-Asserted-Identity: <sip:%s@%s>\r\n", s->target, user,
			      s->domain);
	buffer_lit(b, "Accept-Contact: *;" FEATURE_TAG ";require;explicit\r\nUser-Agent: IM-client/OMA1.0 imflood\r\n");
}

bool sip_calls_send_message(struct sip_calls *s, uint32_t index, uint32_t number, unsigned cseq, struct slice body)
{
	static char text[TEXT_MAX + SIP_TEXT_MAX];
	char user[16], uri[300], to[320], branch[32];
	struct buffer b = buffer_over(text, sizeof(text));
	/* each MESSAGE has a Call-ID of its own: outside a dialog (RFC 3428 section 4) */
	struct head h = { index, KIND_MESSAGE, number, "MESSAGE", uri, user, to, cseq };

	snprintf(user, sizeof(user), "a%06x", options_user(s->options, index));
	snprintf(uri, sizeof(uri), "sip:b%06x@%s", options_user(s->options, index), s->domain);
	snprintf(to, sizeof(to), "<%s>", uri);
	snprintf(branch, sizeof(branch), "%c%08x.%u", KIND_MESSAGE, number, cseq);
	buffer_printf(&b, "MESSAGE %s SIP/2.0\r\n", uri);
	put_via(s, &b, index, branch);
	put_dialog(s, &b, &h);
	put_credentials(s, &b, &h, 'a');
	put_terminating(s, &b, user);
	buffer_printf(&b, "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body.n);
	buffer_put(&b, body);
	return send_request(s, index, &b);
}

/* Whom A calls: B, or in rooms the factory or the group of the room. */
static void put_callee(struct sip_calls *s, uint32_t index, char uri[300])
{
	const struct flood_options *o = s->options;
	struct slice group = slice_str(o->group), rest, first = slice_cut(group, '%', &rest);

	if (o->workload != WORKLOAD_CONFERENCE)
		snprintf(uri, 300, "sip:b%06x@%s", options_user(o, index), s->domain);
	else if (!o->group && o->factory)
		snprintf(uri, 300, "%s", o->factory);
	else if (!o->group)
		snprintf(uri, 300, "sip:factory@%s", s->domain);
	else if (!rest.p)
		snprintf(uri, 300, "%s", o->group);
	else
		snprintf(uri, 300, "%.*s%u%.*s", SLICE_ARG(first), index / o->members, SLICE_ARG(rest));
}

/* RFC 5366: the offer, and whom the factory has to call. */
static void put_list(struct sip_calls *s, struct buffer *b, uint32_t index, struct slice sdp)
{
	static char text[LIST_MAX];
	struct buffer list = buffer_over(text, sizeof(text));
	uint32_t members = s->options->members, first = index / members * members;

	buffer_lit(&list, "--imflood\r\nContent-Type: application/sdp\r\n\r\n");
	buffer_put(&list, sdp);
	buffer_lit(&list, "\r\n--imflood\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: "
		"recipient-list\r\n\r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n"
		"<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>\r\n");
	for (uint32_t i = first; i < index; i++)
		buffer_printf(&list, "<entry uri=\"sip:b%06x@%s\"/>\r\n", options_user(s->options, i), s->domain);
	buffer_lit(&list, "</list></resource-lists>\r\n--imflood--\r\n");
	buffer_printf(b, "Content-Type: multipart/mixed;boundary=imflood\r\nContent-Length: %zu\r\n\r\n", list.n);
	buffer_put(b, buffer_slice(&list));
	b->overflow = b->overflow || list.overflow;
}

void sip_call_send_invite(struct sip_calls *s, uint32_t index)
{
	static char text[TEXT_MAX + LIST_MAX];
	char sdp_text[2048], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text)),
		      sdp = buffer_over(sdp_text, sizeof(sdp_text));
	struct head h = { index, KIND_CALL, s->calls[index].cycle, "INVITE", uri, user, to, s->calls[index].cseq };

	snprintf(user, sizeof(user), "a%06x", options_user(s->options, index));
	put_callee(s, index, uri);
	snprintf(to, sizeof(to), "<%s>", uri);
	put_request(s, &b, &h);
	put_credentials(s, &b, &h, 'a');
	sip_call_put_contact(s, &b, index, 'a');
	put_terminating(s, &b, user);
	buffer_lit(&b, "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	s->handlers->offer(s->user, index, &sdp);
	if (s->options->workload == WORKLOAD_CONFERENCE && !s->options->group)
		put_list(s, &b, index, buffer_slice(&sdp));
	else
		sip_call_put_body(&b, buffer_slice(&sdp));
	(void)send_request(s, index, &b); /* what could not be sent has no answer in time */
}

/* A request of A in the dialog. */
static void send_in_dialog(struct sip_calls *s, uint32_t index, const char *method, struct slice sdp)
{
	char text[TEXT_MAX], user[16];
	struct sip_call *call = &s->calls[index];
	struct buffer b = buffer_over(text, sizeof(text));
	struct head h = { index, KIND_CALL, call->cycle, method, call->a_target, user, call->a_to, call->cseq };

	snprintf(user, sizeof(user), "a%06x", options_user(s->options, index));
	put_request(s, &b, &h);
	buffer_str(&b, call->a_route);
	if (sdp.n)
		sip_call_put_contact(s, &b, index, 'a');
	sip_call_put_body(&b, sdp);
	(void)send_request(s, index, &b); /* as above */
}

void sip_call_send_ack(struct sip_calls *s, uint32_t index)
{
	send_in_dialog(s, index, "ACK", SLICE_EMPTY);
}

void sip_call_send_bye(struct sip_calls *s, uint32_t index)
{
	send_in_dialog(s, index, "BYE", SLICE_EMPTY);
}

void sip_call_send_reinvite(struct sip_calls *s, uint32_t index)
{
	char text[2048];
	struct buffer sdp = buffer_over(text, sizeof(text));

	s->handlers->agree_again(s->user, index, 'a', &sdp);
	send_in_dialog(s, index, "INVITE", buffer_slice(&sdp));
}

/* The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 17.1.1.3): its branch, its
 * Request-URI. */
void sip_call_ack_refusal(struct sip_calls *s, uint32_t index, const struct sip_text *response)
{
	char text[TEXT_MAX], uri[300];
	struct buffer b = buffer_over(text, sizeof(text));
	const struct sip_call *call = &s->calls[index];
	uint32_t cseq = sip_text_cseq(response);
	bool in_dialog = cseq > call->invite_cseq && call->a_target;

	put_callee(s, index, uri);
	buffer_printf(&b,
		      "ACK %s SIP/2.0\r\nVia: %.*s\r\nMax-Forwards: 70\r\nFrom: %.*s\r\nTo: "
		      "%.*s\r\nCall-ID: %.*s\r\nCSeq: %u ACK\r\n",
		      in_dialog ? call->a_target : uri, SLICE_ARG(sip_text_header(response, "Via", 'v', 0)),
		      SLICE_ARG(sip_text_header(response, "From", 'f', 0)),
		      SLICE_ARG(sip_text_header(response, "To", 't', 0)),
		      SLICE_ARG(sip_text_header(response, "Call-ID", 'i', 0)), cseq);
	if (in_dialog)
		buffer_str(&b, call->a_route);
	else if (s->options->mode == MODE_IMS)
		buffer_printf(&b, "Route: <sip:%s;lr;term>\r\n", s->target);
	sip_call_put_body(&b, SLICE_EMPTY);
	(void)send_request(s, index, &b); /* the refusal comes again, and with it the ACK */
}
