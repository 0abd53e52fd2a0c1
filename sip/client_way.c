/*
 * Where the requests of client transactions go: the flow or address they were given; by TCP when they are too
 * large for UDP and that works (RFC 3261 18.1.1); to the servers of a name, one after the other (RFC 3263 4).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/client.h"
#include "sip/write.h"

#define BY_TCP_OCTETS  1300 /* RFC 3261 18.1.1: above that, by TCP; the path's MTU is not known */
#define BY_TCP_MS      2000 /* design.md 4: so long it may take to connect */
#define DATAGRAM_MAX   65507

/* ---- writing ---- */

static void write_via(struct sip_client *c, const struct sip_flow *flow, struct buffer *out)
{
	buffer_printf(out, "Via: SIP/2.0/%s ", sip_protocol_name(flow->protocol));
	sip_flow_host_port(c->layer->worker, flow, out);
	buffer_lit(out, ";branch=");
	sip_branch_write(out, c->minted, c->loop);
	buffer_lit(out, ";rport\r\n");
}

static void write_rest(struct sip_client *c, const struct sip_outgoing *request, struct buffer *out)
{
	buffer_put(out, request->headers);
	if (!request->is_passed_on)
		sip_write_header(out, "User-Agent", c->layer->options->user_agent);
	sip_write_end(out, request->content_type, request->body);
}

void sip_client_write(struct sip_client *c, const struct sip_outgoing *request, const struct sip_flow *flow,
	struct buffer *out)
{
	sip_write_request_line(out, request->method, request->uri);
	size_t before = out->n;
	write_via(c, flow, out);
	c->via_n = (uint32_t)(out->n - before);
	write_rest(c, request, out);
}

/* Without Via: where it goes is not known yet. */
static void write_after_via(struct sip_client *c, const struct sip_outgoing *request, struct buffer *out)
{
	sip_write_request_line(out, request->method, request->uri);
	write_rest(c, request, out);
}

bool sip_client_keep(char **to, uint32_t *to_n, struct slice wire)
{
	char *copy = malloc(wire.n ? wire.n : 1);

	if (!copy)
		return false;
	memcpy(copy, wire.p, wire.n);
	free(*to);
	*to = copy;
	*to_n = (uint32_t)wire.n;
	return true;
}

/* The Via line of a stored request, anew: by which flow it goes, and under which branch.  False: no memory. */
static bool put_via(struct sip_client *c)
{
	struct buffer out = buffer_over(c->layer->scratch, c->layer->scratch_n);
	struct slice whole = slice_of(c->request, c->request_n);
	size_t line_n = (size_t)((const char *)memchr(whole.p, '\n', whole.n) + 1 - whole.p);

	buffer_put(&out, slice_of(whole.p, line_n));
	size_t before = out.n;
	write_via(c, &c->flow, &out);
	uint32_t via_n = (uint32_t)(out.n - before);
	buffer_put(&out, slice_skip(whole, line_n + c->via_n));
	if (out.overflow || !sip_client_keep(&c->request, &c->request_n, buffer_slice(&out)))
		return false;
	c->via_n = via_n;
	return true;
}

void sip_client_start(struct sip_client *c)
{
	struct worker *worker = c->layer->worker;

	worker_arm(worker, &c->life, 64 * sip_client_t1_ms(c), sip_client_on_life_over);
	if (!sip_flow_is_stream(&c->flow)) {
		if (c->request_n > DATAGRAM_MAX) {
			REFUSED(&worker->counters, REASON_TOO_LARGE);
			sip_client_fail_soon(c);
			return;
		}
		c->repeat_ms = (uint32_t)sip_client_t1_ms(c);
		worker_arm(worker, &c->repeat, c->repeat_ms, sip_client_on_repeat);
	}
	sip_client_transmit(c, &c->flow, slice_of(c->request, c->request_n), true);
}

/* ---- too large for a datagram (RFC 3261 18.1.1) ---- */

static struct client_way *way_of(struct sip_client *c)
{
	if (!c->way)
		c->way = calloc(1, sizeof(*c->way));
	return c->way;
}

/* To the same address by TCP.  False: it stays with UDP. */
static bool send_by_tcp(struct sip_client *c)
{
	struct sip_layer *layer = c->layer;
	struct sip_target target = { .flow = { .protocol = SIP_TCP, .peer = c->flow.peer } };
	struct sip_flow datagrams = c->flow;
	struct sip_connection *connection;

	if (sip_flow_is_stream(&c->flow) || c->request_n <= BY_TCP_OCTETS ||
	    sip_peers_know(layer->peers, layer->worker, SIP_PEER_NO_TCP, &c->flow.peer) || !way_of(c))
		return false;
	connection = sip_connection_to(layer, &target);
	if (!connection)
		return false;
	sip_connection_hurry(connection, BY_TCP_MS);
	sip_connection_flow(connection, &c->flow);
	if (!put_via(c)) {
		c->flow = datagrams;
		return false;
	}
	c->way->datagrams = datagrams;
	c->way->is_by_tcp = true;
	COUNT(&layer->worker->counters, sip_large_by_tcp);
	sip_client_start(c);
	return true;
}

bool sip_client_send_as_datagram(struct sip_client *c)
{
	struct sip_layer *layer = c->layer;

	if (!c->way || !c->way->is_by_tcp)
		return false;
	c->way->is_by_tcp = false;
	sip_peers_remember(layer->peers, layer->worker, SIP_PEER_NO_TCP, &c->way->datagrams.peer);
	COUNT(&layer->worker->counters, sip_large_by_udp);
	c->flow = c->way->datagrams;
	if (!put_via(c))
		return false;
	sip_client_start(c);
	return true;
}

static void send_request(struct sip_client *c)
{
	if (!send_by_tcp(c))
		sip_client_start(c);
}

/* ---- one server of several (RFC 3263 4.2, 4.3) ---- */

/* The first that did not fail lately, else the first at all. */
static struct sip_candidate *take_candidate(struct sip_client *c)
{
	struct client_way *way = c->way;
	struct sip_candidate *list = way->location.candidates;

	if (way->next == way->location.count)
		return NULL;
	for (unsigned i = way->next; i < way->location.count; i++) {
		if (sip_peers_know(c->layer->peers, c->layer->worker, SIP_PEER_FAILED, &list[i].peer))
			continue;
		struct sip_candidate good = list[i];
		memmove(&list[way->next + 1], &list[way->next], (i - way->next) * sizeof(*list));
		list[way->next] = good;
		break;
	}
	return &list[way->next++];
}

static bool is_sips(struct slice uri)
{
	return slice_case_starts(uri, SLICE("sips:"));
}

/* RFC 3261 26.2.2 */
static void refuse_insecure(struct sip_client *c, struct slice method)
{
	struct worker *worker = c->layer->worker;

	REFUSED(&worker->counters, REASON_SIPS);
	LOG(WARN, worker, "sip", 0, "not-sent method=%.*s reason=%s", (int)method.n, method.p, reason_label(REASON_SIPS));
}

static bool flow_to_candidate(struct sip_client *c)
{
	struct sip_candidate *candidate;

	while ((candidate = take_candidate(c))) {
		if (c->way->is_secure && candidate->protocol != SIP_TLS) {
			refuse_insecure(c, slice_str(sip_method_name(c->method)));
			continue;
		}
		struct sip_target target = { .flow = { .protocol = candidate->protocol, .peer = candidate->peer },
			.name = c->way->target.name };
		if (sip_transport_flow_to(c->layer, &target, &c->flow) == 0) {
			if (c->way->next < c->way->location.count)
				sip_flow_hurry(c->layer, &c->flow, BY_TCP_MS);
			return true;
		}
	}
	return false;
}

bool sip_client_send_elsewhere(struct sip_client *c)
{
	struct sip_layer *layer = c->layer;

	if (!c->way || c->way->location.count == 0 || c->wants_cancel || c->is_resting)
		return false;
	sip_peers_remember(layer->peers, layer->worker, SIP_PEER_FAILED, &c->flow.peer);
	if (!flow_to_candidate(c))
		return false;
	COUNT(&layer->worker->counters, sip_next_servers);
	worker_disarm(layer->worker, &c->repeat);
	sip_client_leave_table(c);
	minted_make(layer->worker, c->minted);
	sip_client_enter_table(c);
	c->way->is_by_tcp = false;
	c->state = c->method == SIP_INVITE ? CLIENT_CALLING : CLIENT_TRYING;
	if (!put_via(c))
		return false;
	send_request(c);
	return true;
}

static void on_located(struct sip_location *location, int err)
{
	struct client_way *way = (struct client_way *)((char *)location - offsetof(struct client_way, location));
	struct sip_client *c = way->client;

	if (err || c->wants_cancel || c->is_resting || !flow_to_candidate(c) || !put_via(c)) {
		if (err || !c->wants_cancel)
			REFUSED(&c->layer->worker->counters, err ? REASON_NAME_UNKNOWN : REASON_CONNECT_FAILED);
		if (err)
			LOG(WARN, c->layer->worker, "sip", 0, "cannot-locate name=%s reason=%s error=\"%s\"",
				way->target.name, reason_label(REASON_NAME_UNKNOWN),
				err == ENOENT ? "no server of that name" : err == EAGAIN ? "the DNS does not answer" :
				strerror(err));
		sip_client_fail_soon(c);
		return;
	}
	c->state = c->method == SIP_INVITE ? CLIENT_CALLING : CLIENT_TRYING;
	send_request(c);
}

/* 0: the request is on its way, or will fail soon. */
static int send_to_name(struct sip_client *c, const struct sip_outgoing *request)
{
	struct buffer wire = buffer_over(c->layer->scratch, c->layer->scratch_n);

	write_after_via(c, request, &wire);
	assert(!wire.overflow); /* all parts are bounded by their callers */
	if (!way_of(c) || !sip_client_keep(&c->request, &c->request_n, buffer_slice(&wire)))
		return ENOMEM;
	c->way->client = c;
	c->way->target = request->target;
	c->way->is_secure = is_sips(request->uri);
	sip_client_enter_table(c);
	int err = sip_locate(&c->way->location, c->layer->worker, &c->way->target, on_located);
	if (err == EINPROGRESS) {
		c->state = CLIENT_LOCATING;
		worker_arm(c->layer->worker, &c->life, 64 * sip_client_t1_ms(c), sip_client_on_life_over);
		return 0;
	}
	on_located(&c->way->location, err);
	return 0;
}

bool sip_target_is_by_name(const struct sip_target *target)
{
	return !target->has_flow && target->flow.peer.any.sa_family == 0 && target->name;
}

int sip_client_send(struct sip_client **out, struct worker *worker, const struct sip_outgoing *request,
	const struct sip_client_events *events, void *arg)
{
	struct sip_layer *layer = sip_layer_of(worker);
	struct buffer wire = buffer_over(layer->scratch, layer->scratch_n);
	struct sip_client *c = sip_client_make(layer, sip_method_of(request->method));

	if (!c)
		return ENOMEM;
	minted_make(worker, c->minted);
	c->loop = request->loop;
	c->is_passed_on = request->is_passed_on;
	c->events = events;
	c->arg = arg;
	if (sip_target_is_by_name(&request->target)) {
		int err = send_to_name(c, request);
		if (err) {
			free(c->way);
			pool_give(&layer->clients, c);
			return err;
		}
		*out = c;
		return 0;
	}
	int err = sip_transport_flow_to(layer, &request->target, &c->flow);
	if (!err && c->flow.protocol != SIP_TLS && is_sips(request->uri)) {
		refuse_insecure(c, request->method);
		err = EPROTONOSUPPORT;
	}
	if (!err) {
		sip_client_write(c, request, &c->flow, &wire);
		assert(!wire.overflow); /* all parts are bounded by their callers */
		if (!sip_client_keep(&c->request, &c->request_n, buffer_slice(&wire))) {
			pool_give(&layer->clients, c);
			return ENOMEM;
		}
	}
	sip_client_enter_table(c);
	*out = c;
	if (err) {
		sip_client_fail_soon(c);
		return 0;
	}
	if (request->target.flow_only && sip_flow_is_stream(&c->flow))
		sip_client_enter_flow_table(c);
	send_request(c);
	return 0;
}
