/* SIP of the clients: texts, transactions with their repetitions, REGISTER and MESSAGE. */
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"
#include "tests/sim/scenario.h"

/* ---- reading ---- */

/* The value of a header parameter in angle-free places: `;name=value`. */
static struct slice parameter(struct slice value, const char *name)
{
	const char *close = value.n ? memchr(value.p, '>', value.n) : NULL;
	struct slice rest = close ? slice_skip(value, (size_t)(close - value.p)) : value;

	slice_cut(rest, ';', &rest);
	while (rest.n) {
		struct slice v, one = slice_cut(rest, ';', &rest);
		if (slice_case_eq(slice_trim(slice_cut(one, '=', &v)), slice_str(name)))
			return slice_trim(v);
	}
	return SLICE_EMPTY;
}

static struct slice angle(struct slice value)
{
	struct slice rest, uri;

	slice_cut(value, '<', &rest);
	uri = slice_cut(rest, '>', NULL);
	return uri.n ? uri : slice_cut(value, ';', NULL);
}

static void need(struct ua *ua, bool good, const char *what, struct slice wire)
{
	if (!good)
		world_fail(world_of(ua), "%s gets SIP without %s: %.*s", ua->name, what, SLICE_ARG(wire));
}

static void parse(struct ua *ua, struct slice wire, struct slice headers, struct slice body, struct sip_text *m)
{
	struct slice value, rest, first = ua_line(&headers);
	uint64_t number;

	memset(m, 0, sizeof(*m));
	m->headers = headers;
	m->body = body;
	m->is_request = !slice_starts(first, SLICE("SIP/2.0 "));
	if (m->is_request) {
		m->method = slice_cut(first, ' ', &rest);
		m->uri = slice_cut(rest, ' ', &rest);
		need(ua, slice_eq(rest, SLICE("SIP/2.0")), "version", wire);
	} else {
		slice_cut(first, ' ', &rest);
		need(ua, slice_u64(slice_cut(rest, ' ', NULL), 699, &number) && number >= 100, "status", wire);
		m->status = (unsigned)number;
	}
	need(ua, ua_header(headers, "Via", &value), "Via", wire);
	m->branch = parameter(slice_cut(value, ',', NULL), "branch");
	need(ua, ua_header(headers, "From", &m->from), "From", wire);
	need(ua, ua_header(headers, "To", &m->to), "To", wire);
	need(ua, ua_header(headers, "Call-ID", &m->call_id), "Call-ID", wire);
	need(ua, ua_header(headers, "CSeq", &value), "CSeq", wire);
	need(ua, slice_u64(slice_cut(value, ' ', &rest), UINT32_MAX, &number), "CSeq number", wire);
	m->cseq = (unsigned)number;
	m->cseq_method = slice_trim(rest);
	m->from_tag = parameter(m->from, "tag");
	m->to_tag = parameter(m->to, "tag");
	if (ua_header(headers, "Contact", &value))
		m->contact = angle(value);
	if (!ua_header(headers, "Subject", &m->subject))
		ua_header(headers, "Priority", &m->subject);
}

/* ---- writing ---- */

void ua_write(struct ua *ua, struct slice octets)
{
	struct ua_private *p = private_of(ua);
	struct sockaddr_storage to;

	if (ua->host->has_left)
		return;
	if (!ua->is_tcp) {
		ua_udp_write(ua, octets);
		return;
	}
	if (!p->sip || p->sip->is_dead) {
		world_sip_address(ua->host->world, true, &to);
		p->sip = ua_link_connect(ua, &to, false);
	}
	ua_link_write(p->sip, octets);
}

static void put_via(struct ua *ua, struct buffer *out, const char *branch)
{
	buffer_printf(out, "Via: SIP/2.0/%s 127.0.0.1:%u;branch=%s;rport\r\nMax-Forwards: 70\r\n",
		ua->is_tcp ? "TCP" : "UDP", ua->is_tcp ? 9u : private_of(ua)->udp_port, branch);
}

static void put_contact(struct ua *ua, struct buffer *out)
{
	buffer_printf(out, "Contact: <sip:%s.%u@127.0.0.1:%u%s>%s", ua->name, ua->phone,
		ua->is_tcp ? 9u : private_of(ua)->udp_port, ua->is_tcp ? ";transport=tcp" : "",
		ua->manners.is_ordinary ? "" : ";+g.oma.sip-im");
	if (ua->q)
		buffer_printf(out, ";q=0.%03u", ua->q);
	buffer_lit(out, "\r\n");
}

static struct buffer text_with_room(struct slice headers, struct slice body)
{
	size_t size = UA_HEADERS_MAX + headers.n + body.n;

	return buffer_over(ua_alloc(size), size);
}

static void put_end(struct buffer *out, struct slice body)
{
	buffer_printf(out, "Content-Length: %zu\r\n\r\n", body.n);
	buffer_put(out, body);
	assert(!out->overflow);
}

struct request *ua_request(struct ua *ua, struct call *call, const char *method, const char *branch,
	struct slice uri, struct slice headers, struct slice body)
{
	struct ua_host *host = ua->host;
	struct request *r = ua_alloc(sizeof(*r));
	struct buffer out = text_with_room(headers, body);

	*r = (struct request){ .ua = ua, .call = call, .next = host->requests };
	host->requests = r;
	snprintf(r->method, sizeof(r->method), "%s", method);
	if (branch)
		snprintf(r->branch, sizeof(r->branch), "%s", branch);
	else
		ua_name(host, r->branch, sizeof(r->branch), "z9hG4bKc");
	buffer_printf(&out, "%s %.*s SIP/2.0\r\n", method, SLICE_ARG(uri));
	put_via(ua, &out, r->branch);
	buffer_put(&out, headers);
	if (world_of(ua)->scenario->signs)
		ua_sign(ua, &out, method, uri);
	if (strcmp(method, "MESSAGE") != 0 && strcmp(method, "CANCEL") != 0 && strcmp(method, "REGISTER") != 0)
		put_contact(ua, &out);
	put_end(&out, body);
	r->wire = out.p;
	r->n = out.n;
	r->give_up_at_us = ua_now_us(host) + UA_GIVE_UP_US;
	r->repeat_us = UA_T1_US;
	r->repeat_at_us = ua->is_tcp ? 0 : ua_now_us(host) + UA_T1_US;
	ua_write(ua, slice_of(r->wire, r->n));
	ua_wake(host);
	return r;
}

void ua_acknowledge(struct request *invite, const char *branch, struct slice uri, struct slice headers)
{
	struct buffer out = text_with_room(headers, SLICE_EMPTY);

	buffer_printf(&out, "ACK %.*s SIP/2.0\r\n", SLICE_ARG(uri));
	put_via(invite->ua, &out, branch);
	buffer_put(&out, headers);
	put_end(&out, SLICE_EMPTY);
	free(invite->ack);
	invite->ack = out.p;
	invite->ack_n = out.n;
	ua_write(invite->ua, slice_of(out.p, out.n));
}

void ua_respond(struct served *served, unsigned status, struct slice headers, struct slice body)
{
	struct ua *ua = served->ua;
	bool is_invite = strcmp(served->method, "INVITE") == 0;
	struct buffer out = text_with_room(slice_str(served->head), body);

	buffer_printf(&out, "SIP/2.0 %u Told\r\n%s\r\n", status, served->head);
	buffer_put(&out, headers);
	if (is_invite && status < 300)
		put_contact(ua, &out);
	put_end(&out, body);
	free(served->response);
	served->response = out.p;
	served->response_n = out.n;
	served->status = status;
	ua_write(ua, slice_of(out.p, out.n));
	if (is_invite && status >= 200) {
		/* a 2xx is repeated by the user, over TCP too (RFC 3261 13.3.1.4) */
		served->repeat_us = UA_T1_US;
		served->repeat_at_us = ua->is_tcp && status >= 300 ? 0 : ua_now_us(ua->host) + UA_T1_US;
		served->give_up_at_us = ua_now_us(ua->host) + UA_GIVE_UP_US;
		ua_wake(ua->host);
	}
}

/* ---- what comes ---- */

static void on_copy(struct ua *ua, struct message *message, struct slice body)
{
	struct copy *copy = message->copies;

	while (copy < message->copies + message->copy_count && copy->to != ua)
		copy++;
	if (copy == message->copies + message->copy_count)
		world_fail(world_of(ua), "message %u came to %s, whom its list does not have", message->number, ua->name);
	if (!slice_eq(body, slice_of(message->octets, message->n)))
		world_fail(world_of(ua), "message %u has other octets at %s", message->number, ua->name);
	if (copy->deliveries++ && !world_of(ua)->scenario->may_repeat)
		world_fail(world_of(ua), "message %u came twice to %s", message->number, ua->name);
}

static void on_pager(struct served *served, const struct sip_text *m)
{
	struct message *message = ua_message_find(served->ua->host, m->subject);

	if (served->ua->manners.refuse_pager) {
		ua_respond(served, served->ua->manners.refuse_pager, SLICE_EMPTY, SLICE_EMPTY);
		return;
	}
	if (message->copies) {
		on_copy(served->ua, message, m->body);
	} else {
		ua_message_arrived(message, 0, m->body);
		if (message->received != message->n)
			world_fail(world_of(served->ua), "pager message %u was cut", message->number);
		message->deliveries++;
	}
	if (!served->ua->manners.holds_pagers)
		ua_respond(served, 200, SLICE_EMPTY, SLICE_EMPTY);
}

void ua_release_pagers(struct ua *ua)
{
	for (struct served *s = ua->host->served; s; s = s->next)
		if (s->ua == ua && !s->status && strcmp(s->method, "MESSAGE") == 0)
			ua_respond(s, 200, SLICE_EMPTY, SLICE_EMPTY);
	ua_wake(ua->host);
}

static struct served *find_served(struct ua *ua, const struct sip_text *m, const char *method)
{
	for (struct served *s = ua->host->served; s; s = s->next)
		if (s->ua == ua && slice_eq(m->branch, slice_str(s->branch)) && strcmp(s->method, method) == 0)
			return s;
	return NULL;
}

static void keep_head(struct served *s, const struct sip_text *m)
{
	struct buffer out = buffer_over(ua_alloc(m->headers.n + 128), m->headers.n + 128);
	char tag[40];
	struct slice headers = m->headers;

	while (headers.n) {
		struct slice line = ua_line(&headers), name = slice_trim(slice_cut(line, ':', NULL));
		if (slice_case_eq(name, SLICE("Via")) || slice_case_eq(name, SLICE("From")) ||
		    slice_case_eq(name, SLICE("Call-ID")) || slice_case_eq(name, SLICE("CSeq")) ||
		    slice_case_eq(name, SLICE("Record-Route"))) {
			buffer_put(&out, line);
			buffer_lit(&out, "\r\n");
		}
	}
	buffer_lit(&out, "To: ");
	s->to = out.p + out.n;
	buffer_put(&out, m->to);
	if (!m->to_tag.n) {
		ua_name(s->ua->host, tag, sizeof(tag), ";tag=t");
		buffer_str(&out, tag);
	}
	buffer_char(&out, 0);
	assert(!out.overflow);
	s->head = out.p;
}

static void on_request(struct ua *ua, const struct sip_text *m)
{
	struct ua_host *host = ua->host;
	char method[12];
	struct served *s;

	if (slice_eq(m->method, SLICE("ACK"))) {
		s = find_served(ua, m, "INVITE"); /* of a refusal it has the branch of the INVITE */
		if (s)
			s->repeat_at_us = s->give_up_at_us = 0;
		ua_call_ack(ua, m);
		return;
	}
	snprintf(method, sizeof(method), "%.*s", SLICE_ARG(m->method));
	s = find_served(ua, m, method);
	if (s) {
		if (s->response)
			ua_write(ua, slice_of(s->response, s->response_n));
		return;
	}
	s = ua_alloc(sizeof(*s));
	s->ua = ua;
	snprintf(s->method, sizeof(s->method), "%s", method);
	snprintf(s->branch, sizeof(s->branch), "%.*s", SLICE_ARG(m->branch));
	keep_head(s, m);
	s->next = host->served;
	host->served = s;
	if (strcmp(method, "MESSAGE") == 0)
		on_pager(s, m);
	else if (strcmp(method, "NOTIFY") == 0)
		ua_event_notify(s, m);
	else if (!m->to_tag.n && (strcmp(method, "SUBSCRIBE") == 0 || strcmp(method, "REFER") == 0))
		ua_respond(s, 200, SLICE("Contact: <sip:focus@127.0.0.1:9>\r\nExpires: 60\r\n"), SLICE_EMPTY);
	else
		ua_call_request(s, m);
}

static void on_response(struct ua *ua, const struct sip_text *m)
{
	struct request *r = ua->host->requests;

	while (r && (r->ua != ua || !slice_eq(m->branch, slice_str(r->branch)) ||
			!slice_eq(m->cseq_method, slice_str(r->method))))
		r = r->next;
	if (!r)
		world_fail(world_of(ua), "%s gets %u to a request that it never sent", ua->name, m->status);
	if (m->status < 200) {
		r->provisional = m->status;
		if (strcmp(r->method, "INVITE") == 0 && !r->status) {
			r->repeat_at_us = 0;
			r->give_up_at_us = ua_now_us(ua->host) + UA_RINGING_US;
			ua_call_response(r, m);
		}
		return;
	}
	if (r->status && !r->is_own_verdict) { /* it is repeated: so is our ACK */
		/* without memory for its answer a transaction is forgotten, and a repetition is a new request */
		if (r->status != m->status && !world_of(ua)->is_memory_short)
			world_fail(world_of(ua), "%s has two final answers: %u and %u", r->method, r->status, m->status);
		if (r->ack)
			ua_write(ua, slice_of(r->ack, r->ack_n));
		return;
	}
	r->status = m->status;
	r->is_own_verdict = false;
	r->repeat_at_us = r->give_up_at_us = 0;
	ua_event_response(r, m);
	if (r->call)
		ua_call_response(r, m);
}

static void on_message(struct ua *ua, struct slice wire, struct slice headers, struct slice body)
{
	struct sip_text m;

	parse(ua, wire, headers, body, &m);
	if (m.is_request)
		on_request(ua, &m);
	else
		on_response(ua, &m);
}

/* The head up to and with its last CRLF; 0: not whole. */
static size_t head_size(struct slice octets)
{
	const char *end = octets.n ? memmem(octets.p, octets.n, "\r\n\r\n", 4) : NULL;

	return end ? (size_t)(end - octets.p) + 2 : 0;
}

static uint64_t body_size(struct ua *ua, struct slice headers)
{
	struct slice value;
	uint64_t n = 0;

	need(ua, ua_header(headers, "Content-Length", &value) && slice_u64(value, 1 << 24, &n), "Content-Length",
		headers);
	return n;
}

void ua_sip_datagram(struct ua *ua, struct slice octets)
{
	size_t head = head_size(octets);

	need(ua, head, "end of the head", octets);
	struct slice body = slice_skip(octets, head + 2);
	if (body_size(ua, slice_of(octets.p, head)) != body.n)
		world_fail(world_of(ua), "Content-Length is not the length");
	on_message(ua, octets, slice_of(octets.p, head), body);
}

void ua_sip_octets(struct link *link)
{
	size_t head;

	while ((head = head_size(slice_of(link->in, link->in_n)))) {
		size_t n = body_size(link->ua, slice_of(link->in, head)), all = head + 2 + n;
		if (all > link->in_n)
			return;
		char *wire = ua_copy(slice_of(link->in, all));
		link->in_n -= all;
		memmove(link->in, link->in + all, link->in_n);
		on_message(link->ua, slice_of(wire, all), slice_of(wire, head), slice_of(wire + head + 2, n));
		free(wire);
	}
}

/* ---- what is due ---- */

static void verdict(struct request *r, unsigned status)
{
	r->status = status;
	r->is_own_verdict = true;
	r->repeat_at_us = r->give_up_at_us = 0;
	if (r->call)
		ua_call_failed(r);
}

void ua_sip_lost(struct ua *ua)
{
	for (struct request *r = ua->host->requests; r; r = r->next)
		if (r->ua == ua && !r->status && strcmp(r->method, "INVITE") != 0)
			verdict(r, 503);
}

static uint64_t earlier(uint64_t due, uint64_t at)
{
	return at && at < due ? at : due;
}

uint64_t ua_sip_due_us(const struct ua_host *host)
{
	uint64_t due = UINT64_MAX;

	for (struct request *r = host->requests; r; r = r->next)
		due = earlier(earlier(due, r->repeat_at_us), r->give_up_at_us);
	for (struct served *s = host->served; s; s = s->next)
		due = earlier(earlier(due, s->repeat_at_us), s->give_up_at_us);
	return due;
}

static uint64_t doubled(uint64_t us, bool is_bounded)
{
	return is_bounded && 2 * us > UA_T2_US ? UA_T2_US : 2 * us;
}

void ua_sip_run(struct ua_host *host)
{
	uint64_t now_us = ua_now_us(host);

	for (struct request *r = host->requests; r; r = r->next) {
		if (r->give_up_at_us && r->give_up_at_us <= now_us) {
			verdict(r, 408);
		} else if (r->repeat_at_us && r->repeat_at_us <= now_us) {
			ua_write(r->ua, slice_of(r->wire, r->n));
			r->repeat_us = doubled(r->repeat_us, strcmp(r->method, "INVITE") != 0);
			r->repeat_at_us = now_us + r->repeat_us;
		}
	}
	for (struct served *s = host->served; s; s = s->next) {
		if (s->give_up_at_us && s->give_up_at_us <= now_us) {
			s->repeat_at_us = s->give_up_at_us = 0;
			if (s->call && s->status < 300)
				ua_bye(s->call); /* RFC 3261 13.3.1.4 */
		} else if (s->repeat_at_us && s->repeat_at_us <= now_us) {
			ua_write(s->ua, slice_of(s->response, s->response_n));
			s->repeat_us = doubled(s->repeat_us, true);
			s->repeat_at_us = now_us + s->repeat_us;
		}
	}
}

void ua_sip_free(struct ua_host *host)
{
	while (host->requests) {
		struct request *r = host->requests;
		host->requests = r->next;
		free(r->wire);
		free(r->ack);
		free(r);
	}
	while (host->served) {
		struct served *s = host->served;
		host->served = s->next;
		free(s->head);
		free(s->response);
		free(s);
	}
}

/* ---- outside dialogs ---- */

struct request *ua_register(struct ua *ua, unsigned expires_s)
{
	char text[UA_HEADERS_MAX], tag[40];
	struct buffer out = buffer_over(text, sizeof(text));

	ua_name(ua->host, tag, sizeof(tag), "r");
	buffer_printf(&out, "From: <sip:%s@example.com>;tag=%s\r\nTo: <sip:%s@example.com>\r\nCall-ID: reg-%s.%u\r\n"
		"CSeq: %u REGISTER\r\nExpires: %u\r\n", ua->name, tag, ua->name, ua->name, ua->phone,
		++private_of(ua)->register_cseq, expires_s);
	put_contact(ua, &out);
	return ua_request(ua, NULL, "REGISTER", NULL, SLICE("sip:example.com"), buffer_slice(&out), SLICE_EMPTY);
}

struct message *ua_pager(struct ua *from, struct ua *to, size_t n)
{
	char text[UA_HEADERS_MAX], name[40], uri[64];
	struct buffer out = buffer_over(text, sizeof(text));
	struct message *m = ua_message_new(from->host, n);

	m->to = to;
	ua_name(from->host, name, sizeof(name), "p");
	snprintf(uri, sizeof(uri), "sip:%s@example.com", to->name);
	buffer_printf(&out, "From: <sip:%s@example.com>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 MESSAGE\r\n"
		"Subject: m%u\r\nContent-Type: application/octet-stream\r\nAccept-Contact: *;+g.oma.sip-im\r\n",
		from->name, name, uri, name, m->number);
	m->request = ua_request(from, NULL, "MESSAGE", NULL, slice_str(uri), buffer_slice(&out),
		slice_of(m->octets, m->n));
	return m;
}

void ua_put_entries(struct buffer *out, struct ua *const *to, unsigned count)
{
	buffer_lit(out, "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>");
	for (unsigned i = 0; i < count; i++)
		buffer_printf(out, "<entry uri=\"sip:%s@example.com\"/>", to[i]->name);
	buffer_lit(out, "</list></resource-lists>");
}

void ua_put_list(struct buffer *out, struct ua *const *to, unsigned count)
{
	buffer_lit(out, "\r\n--list\r\nContent-Type: application/resource-lists+xml\r\n"
		"Content-Disposition: recipient-list\r\n\r\n");
	ua_put_entries(out, to, count);
	buffer_lit(out, "\r\n--list--\r\n");
}

struct message *ua_pager_list(struct ua *from, const char *uri, struct ua *const *to, unsigned count, size_t n)
{
	char text[UA_HEADERS_MAX], name[40], *room = ua_alloc(n + 512 + 64 * (size_t)count);
	struct buffer out = buffer_over(text, sizeof(text)), body = buffer_over(room, n + 512 + 64 * (size_t)count);
	bool is_factory = strncmp(uri, "sip:factory", 11) == 0;
	struct message *m = ua_message_new(from->host, n);

	m->copies = ua_alloc(count * sizeof(*m->copies));
	m->copy_count = count;
	for (unsigned i = 0; i < count; i++)
		m->copies[i].to = to[i];
	ua_name(from->host, name, sizeof(name), "l");
	if (is_factory)
		buffer_lit(&body, "--list\r\nContent-Type: application/octet-stream\r\n\r\n");
	buffer_put(&body, slice_of(m->octets, m->n));
	if (is_factory)
		ua_put_list(&body, to, count);
	buffer_printf(&out, "From: <sip:%s@example.com>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 MESSAGE\r\n"
		"Subject: m%u\r\nContent-Type: %s\r\nAccept-Contact: *;+g.oma.sip-im\r\n", from->name, name, uri, name, m->number,
		is_factory ? "multipart/mixed;boundary=list" : "application/octet-stream");
	m->request = ua_request(from, NULL, "MESSAGE", NULL, slice_str(uri), buffer_slice(&out), buffer_slice(&body));
	free(room);
	return m;
}

struct request *ua_outside(struct ua *from, const char *method, const char *uri, const char *refer_to)
{
	char text[UA_HEADERS_MAX], name[40];
	struct buffer out = buffer_over(text, sizeof(text));

	ua_name(from->host, name, sizeof(name), "o");
	buffer_printf(&out, "From: <sip:%s@example.com>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n"
		"Event: conference\r\nAccept-Contact: *;+g.oma.sip-im\r\n", from->name, name, uri, name, method);
	if (refer_to)
		buffer_printf(&out, "Refer-To: <%s>\r\n", refer_to);
	return ua_request(from, NULL, method, NULL, slice_str(uri), buffer_slice(&out), SLICE_EMPTY);
}

void ua_reset_sip(struct ua *ua)
{
	struct link *link = private_of(ua)->sip;

	if (link && !link->is_dead && link->is_connected)
		sim_reset(ua->host->world->sim, link->fd);
}
