#include <stdio.h>

#include "load-tests/address.h"
#include "load-tests/sip_calls_private.h"

/* What every request of ours begins with; `to` is a whole To value. */
static void put_request(struct sip_calls *s, struct buffer *b, uint32_t index, char kind,
			const char *method, const char *uri, const char *from_user, const char *to,
			unsigned cseq)
{
	char host[ADDRESS_TEXT_MAX];
	uint32_t cycle = s->calls[index].cycle;

	address_print(&s->client.flows[sip_call_flow(s, index)]->local, host);
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

void sip_call_put_contact(struct sip_calls *s, struct buffer *b, uint32_t index, char role)
{
	char host[ADDRESS_TEXT_MAX];

	address_print(&s->client.flows[sip_call_flow(s, index)]->local, host);
	buffer_printf(b, "Contact: <sip:%c%06x@%s;transport=%s>;" FEATURE_TAG "\r\n", role, index,
		      host, s->options->tcp ? "tcp" : "udp");
}

void sip_call_put_body(struct buffer *b, struct slice sdp)
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
		sip_client_request(&s->client, sip_call_flow(s, index), buffer_slice(b));
}

/* In ims mode it is the third-party REGISTER of the core (3GPP TS 24.229 5.4.1.7): From and Contact
 * are the core's. */
void sip_call_send_register(struct sip_calls *s, uint32_t index, char role)
{
	char text[TEXT_MAX], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text));
	bool third_party = s->options->mode == MODE_IMS;

	snprintf(user, sizeof(user), "%c%06x", role, index);
	snprintf(uri, sizeof(uri), "sip:%s", s->domain);
	snprintf(to, sizeof(to), "<sip:%s@%s>", user, s->domain);
	put_request(s, &b, index, role == 'a' ? KIND_REGISTER_A : KIND_REGISTER_B, "REGISTER", uri,
		    third_party ? "core" : user, to, 1);
	sip_call_put_contact(s, &b, index, role);
	buffer_lit(&b, "Expires: 3600\r\n");
	sip_call_put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

void sip_call_send_invite(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], sdp_text[2048], user[16], uri[300], to[320];
	struct buffer b = buffer_over(text, sizeof(text)),
		      sdp = buffer_over(sdp_text, sizeof(sdp_text));

	snprintf(user, sizeof(user), "a%06x", index);
	snprintf(uri, sizeof(uri), "sip:b%06x@%s", index, s->domain);
	snprintf(to, sizeof(to), "<%s>", uri);
	put_request(s, &b, index, KIND_CALL, "INVITE", uri, user, to, 1);
	sip_call_put_contact(s, &b, index, 'a');
	if (s->options->mode == MODE_IMS)
		buffer_printf(&b, "Route: <sip:%s;lr;term>\r\nP-Asserted-Identity: <sip:%s@%s>\r\n",
			      s->target, user, s->domain);
	buffer_lit(&b, "Accept-Contact: *;" FEATURE_TAG
		       ";require;explicit\r\nUser-Agent: IM-client/OMA1.0 imflood\r\n"
		       "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n");
	s->handlers->offer(s->user, index, &sdp);
	sip_call_put_body(&b, buffer_slice(&sdp));
	send_request(s, index, &b);
}

void sip_call_send_ack(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], user[16];
	struct sip_call *call = &s->calls[index];
	struct buffer b = buffer_over(text, sizeof(text));

	snprintf(user, sizeof(user), "a%06x", index);
	put_request(s, &b, index, KIND_CALL, "ACK", call->a_target, user, call->a_to, 1);
	buffer_str(&b, call->a_route);
	sip_call_put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

void sip_call_send_bye(struct sip_calls *s, uint32_t index)
{
	char text[TEXT_MAX], user[16];
	struct sip_call *call = &s->calls[index];
	struct buffer b = buffer_over(text, sizeof(text));

	snprintf(user, sizeof(user), "a%06x", index);
	put_request(s, &b, index, KIND_CALL, "BYE", call->a_target, user, call->a_to, 2);
	buffer_str(&b, call->a_route);
	sip_call_put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}

/* The ACK of a refusal belongs to the INVITE's transaction (RFC 3261 17.1.1.3): its branch, its
 * Request-URI. */
void sip_call_ack_refusal(struct sip_calls *s, uint32_t index, const struct sip_text *response)
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
	sip_call_put_body(&b, SLICE_EMPTY);
	send_request(s, index, &b);
}
