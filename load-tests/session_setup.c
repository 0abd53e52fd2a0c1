#include "load-tests/session_setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "load-tests/address.h"

static bool has_sip(const struct session_setup *s)
{
	return s->options->mode == MODE_STANDALONE || s->options->mode == MODE_IMS;
}

static void failed(struct session_setup *s, struct pair *p, enum flood_error error,
		   const char *what)
{
	report_error(s->report, error, what);
	s->on_failed(s, p);
}

/* A connection for one leg, or the one that all legs of its role share. NULL: reported. */
static struct msrp_connection *connect_leg(struct session_setup *s, struct pair *p, char role,
					   const struct sockaddr_storage *to,
					   struct sockaddr_storage *bound)
{
	struct msrp_connection **shared = role == 'a' ? &s->shared_a : &s->shared_b;
	const struct sockaddr_storage *local;

	if (s->options->connections_shared && *shared && (*shared)->source.fd >= 0) {
		socklen_t n = sizeof(*bound);
		if (bound)
			(void)getsockname((*shared)->source.fd, (struct sockaddr *)bound,
					  &n); /* a socket of ours has a name */
		return *shared;
	}
	struct msrp_connection *c = NULL;
	for (unsigned i = 0; i < s->options->locals_n && !c; i++) { /* one may have no port left */
		local = &s->options->locals[(p->index + i) % s->options->locals_n];
		c = msrp_connect(s->network, local, to, bound);
		if (!c && errno != EADDRNOTAVAIL)
			break;
	}
	if (!c)
		failed(s, p, FLOOD_CLOSED, strerror(errno));
	*shared = c;
	return c;
}

/* ---- relay and forwarder ---- */

/*
 * Without SIP both legs dial in, A first: a forwarder pairs by order, and a relay finds the
 * connection to B by the address in B's URI, which is that of B's end of it.
 */
static void start_direct(struct session_setup *s, struct pair *p)
{
	struct sockaddr_storage at_a, at_b;
	const struct sockaddr_storage *target = &s->options->target;
	struct msrp_connection *a = connect_leg(s, p, 'a', target, &at_a),
			       *b = a ? connect_leg(s, p, 'b', target, &at_b) : NULL;
	char relay[ADDRESS_TEXT_MAX], hop[MSRP_URI_MAX] = "", path[MSRP_PEER_PATH_MAX];

	if (!b)
		return;
	msrp_endpoint_init(&p->a, s->network, p->index, 'a', &at_a);
	msrp_endpoint_init(&p->b, s->network, p->index, 'b', &at_b);
	p->a.user = p->b.user = p;
	address_print(target, relay);
	if (s->options->mode == MODE_RELAY)
		snprintf(hop, sizeof(hop), "msrp://%s/r%06x;tcp ", relay, p->index);
	/* two URIs of ours are far shorter than a path may be */
	snprintf(path, sizeof(path), "%s%.*s", hop, p->b.uri_n, p->b.uri);
	(void)msrp_endpoint_set_peer(&p->a, slice_str(path));
	snprintf(path, sizeof(path), "%s%.*s", hop, p->a.uri_n, p->a.uri);
	(void)msrp_endpoint_set_peer(&p->b, slice_str(path));
	msrp_bind(&p->a, a);
	msrp_bind(&p->b, b);
}

/* ---- SIP ---- */

/* What a server calls with that has something stored (OMA IM 10.3.2.3). */
#define PUSHED_TYPES "multipart/mixed message/sip message/sipfrag message/msrpfrag"

static void put_sdp(struct session_setup *s, struct buffer *b, const struct msrp_endpoint *e,
		    const char *setup)
{
	char host[ADDRESS_TEXT_MAX];
	bool is_pushed = s->options->is_push && e->role == 'b';
	const char *family = s->msrp_bound.ss_family == AF_INET6 ? "IP6" : "IP4";

	address_print_host(&s->msrp_bound, false, host);
	buffer_printf(b,
		      "v=0\r\no=- %u 1 IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\nm=message %u "
		      "TCP/MSRP *\r\n",
		      e->session + 1, family, host, family, host, address_port(&s->msrp_bound));
	buffer_printf(b, "a=accept-types:%s\r\na=path:%.*s\r\na=setup:%s\r\na=%s\r\n",
		      is_pushed ? PUSHED_TYPES : "text/plain", e->uri_n, e->uri, setup,
		      is_pushed ? "recvonly" : "sendrecv");
}

static void offer(void *user, uint32_t index, struct buffer *sdp)
{
	struct session_setup *s = user;

	put_sdp(s, sdp, &s->pairs[index].a, "actpass");
}

/* The path of the far side becomes ours to send to; *to: where its first URI is. */
static bool take_path(struct msrp_endpoint *e, struct slice sdp, struct sockaddr_storage *to)
{
	struct slice path = sip_text_sdp(sdp, "a=path:"), first = slice_cut(path, ' ', NULL), rest;

	if (!slice_starts(first, SLICE("msrp://")) || !msrp_endpoint_set_peer(e, path))
		return false;
	struct slice authority = slice_cut(slice_skip(first, 7), '/', NULL);
	(void)slice_cut(authority, '@', &rest);
	return address_parse(rest.p ? rest : authority, 2855, to);
}

static bool answer(void *user, uint32_t index, struct slice sdp_offer, struct buffer *sdp)
{
	struct session_setup *s = user;
	struct pair *p = &s->pairs[index];
	struct sockaddr_storage to;
	struct slice setup = sip_text_sdp(sdp_offer, "a=setup:");
	bool passive = s->options->answers_passive || slice_eq(setup, SLICE("active"));

	if (!take_path(&p->b, sdp_offer, &to)) {
		report_error(s->report, FLOOD_SIP_SYNTAX, "SDP offer without a usable path");
		return false;
	}
	put_sdp(s, sdp, &p->b, passive ? "passive" : "active");
	p->b_waits = passive;
	struct msrp_connection *c = passive ? NULL : connect_leg(s, p, 'b', &to, NULL);
	if (c)
		msrp_bind(&p->b, c);
	return passive || c;
}

static void on_answered(void *user, uint32_t index, struct slice sdp)
{
	struct session_setup *s = user;
	struct pair *p = &s->pairs[index];
	struct sockaddr_storage to;

	if (p->state != PAIR_SETUP) { /* it failed meanwhile */
		(void)sip_call_release(&s->calls, index); /* it was answered a moment ago */
		return;
	}
	if (!take_path(&p->a, sdp, &to)) {
		failed(s, p, FLOOD_SIP_SYNTAX, "SDP answer without a usable path");
		return;
	}
	p->a_waits = slice_eq(sip_text_sdp(sdp, "a=setup:"), SLICE("active"));
	struct msrp_connection *c = p->a_waits ? NULL : connect_leg(s, p, 'a', &to, NULL);
	if (c)
		msrp_bind(&p->a, c);
	s->on_answered(s, p);
}

static void on_call_failed(void *user, uint32_t index)
{
	struct session_setup *s = user;

	s->on_failed(s, &s->pairs[index]);
}

static void on_call_registered(void *user, uint32_t index)
{
	struct session_setup *s = user;
	struct pair *p = &s->pairs[index];

	p->state = PAIR_IDLE;
	s->on_registered(s, p);
}

static void on_call_released(void *user, uint32_t index)
{
	struct session_setup *s = user;
	struct pair *p = &s->pairs[index];

	if (p->state == PAIR_SETUP)
		s->on_failed(s, p);
	p->state = PAIR_OVER;
	s->on_over(s, p);
}

static void on_call_error(void *user, enum flood_error error, const char *what)
{
	struct session_setup *s = user;

	report_error(s->report, error, what);
}

/* What was agreed first, in the same words: nothing changes but the session timer. */
static void agree_again(void *user, uint32_t index, char role, struct buffer *sdp)
{
	struct session_setup *s = user;
	struct pair *p = &s->pairs[index];

	if (role == 'a')
		put_sdp(s, sdp, &p->a, "actpass");
	else
		put_sdp(s, sdp, &p->b, p->b_waits ? "passive" : "active");
}

static void on_call_refreshed(void *user, uint32_t index, unsigned status, const struct sip_text *m)
{
	struct session_setup *s = user;

	s->on_refreshed(s, &s->pairs[index], status, m);
}

static void on_refused(void *user, const char *method, unsigned status, long retry_after_s)
{
	struct session_setup *s = user;

	report_refusal(s->report, method, status, retry_after_s);
}

static void on_other_request(void *user, struct sip_flow *flow, const struct sip_text *m)
{
	struct session_setup *s = user;

	s->on_sip_request(s, flow, m);
}

static void on_other_response(void *user, char kind, uint32_t number, const struct sip_text *m)
{
	struct session_setup *s = user;

	s->on_sip_response(s, kind, number, m);
}

static const struct sip_calls_handlers call_handlers = {
	.offer = offer,
	.answer = answer,
	.agree_again = agree_again,
	.on_answered = on_answered,
	.on_failed = on_call_failed,
	.on_registered = on_call_registered,
	.on_released = on_call_released,
	.on_refreshed = on_call_refreshed,
	.on_refused = on_refused,
	.on_request = on_other_request,
	.on_response = on_other_response,
	.on_error = on_call_error,
};

/* ---- what the workload calls ---- */

int setup_open(struct session_setup *s)
{
	if (!has_sip(s))
		return 0;
	int err = msrp_listen(s->network, &s->options->locals[0], &s->msrp_bound);
	if (err)
		return err;
	s->calls = (struct sip_calls){
		.options = s->options, .loop = s->loop, .handlers = &call_handlers, .user = s
	};
	return sip_calls_open(&s->calls, s->prng);
}

void setup_close(struct session_setup *s)
{
	if (s->calls.options)
		sip_calls_close(&s->calls);
}

void setup_start(struct session_setup *s, struct pair *p)
{
	p->state = PAIR_SETUP;
	if (!has_sip(s)) {
		start_direct(s, p);
		return;
	}
	msrp_endpoint_init(&p->a, s->network, p->index, 'a', &s->msrp_bound);
	msrp_endpoint_init(&p->b, s->network, p->index, 'b', &s->msrp_bound);
	p->a.user = p->b.user = p;
	switch (options_role(s->options, p->index)) {
	case 'a': /* in a room: there is no other side of ours */
		p->b_bound = true;
		break;
	case 'b':
		p->a_bound = true;
		sip_call_expect(&s->calls, p->index);
		return;
	}
	sip_call_start(&s->calls, p->index);
}

void setup_expect(struct session_setup *s, struct pair *p)
{
	if (!sip_call_is_over(&s->calls, p->index))
		return;
	p->state = PAIR_SETUP;
	p->b_waits = p->b_empty = p->b_bound = false;
	p->a_bound = true; /* there is no other side of ours */
	msrp_endpoint_init(&p->b, s->network, p->index, 'b', &s->msrp_bound);
	p->b.user = p;
	sip_call_expect(&s->calls, p->index);
}

bool setup_is_answered(const struct session_setup *s, const struct pair *p)
{
	return sip_call_is_answered(&s->calls, p->index);
}

void setup_register(struct session_setup *s, struct pair *p)
{
	p->state = PAIR_SETUP;
	if (has_sip(s)) {
		sip_call_register(&s->calls, p->index);
		return;
	}
	p->state = PAIR_IDLE;
	s->on_registered(s, p);
}

void setup_release(struct session_setup *s, struct pair *p)
{
	bool is_called = options_role(s->options, p->index) == 'b';

	p->state = has_sip(s) && (is_called ? sip_call_expect_release : sip_call_release)(&s->calls, p->index) ?
		PAIR_RELEASE : PAIR_OVER;
}

void setup_unregister(struct session_setup *s, struct pair *p)
{
	if (has_sip(s))
		(void)sip_call_unregister(&s->calls, p->index); /* what is left is counted there */
}

uint32_t setup_unregistering(const struct session_setup *s)
{
	return s->calls.unregistering;
}

uint32_t setup_registrations_left(struct session_setup *s)
{
	for (uint32_t i = 0; s->calls.unregistering && i < options_pairs(s->options); i++)
		sip_call_give_up_unregistering(&s->calls, i);
	return s->calls.registrations_left;
}

bool setup_is_over(const struct session_setup *s, const struct pair *p)
{
	return !has_sip(s) || sip_call_is_over(&s->calls, p->index);
}

bool setup_is_cut_off(const struct session_setup *s)
{
	return has_sip(s) && sip_client_is_cut_off(&s->calls.client);
}

bool setup_is_heard(const struct session_setup *s)
{
	return !has_sip(s) || s->calls.is_heard;
}

uint64_t setup_drops(const struct session_setup *s)
{
	return has_sip(s) ? sip_client_drops(&s->calls.client) : 0;
}

void setup_tick(struct session_setup *s)
{
	if (has_sip(s))
		sip_calls_tick(&s->calls);
}
