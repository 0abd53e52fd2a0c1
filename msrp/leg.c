#include "msrp/leg.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/tls.h"
#include "msrp/binding.h"
#include "msrp/connection.h"
#include "msrp/ending.h"
#include "msrp/leg_internal.h"
#include "msrp/output.h"
#include "msrp/room_internal.h"
#include "msrp/sharing.h"
#include "msrp/switch.h"
#include "msrp/transaction.h"
#include "msrp/waiting.h"

/* ---- opening ---- */

static void count_legs(struct msrp_endpoint *endpoint)
{
	struct counters *counters = &endpoint->worker->counters;

	gauge_set(counters, GAUGE_msrp_legs, pool_used(&endpoint->legs));
	pool_gauge_set(counters, POOL_legs, pool_used(&endpoint->legs));
}

int msrp_leg_open(struct msrp_leg **out, struct worker *worker,
		  const struct sockaddr_storage *local, bool is_secure,
		  const struct msrp_leg_events *events, void *arg)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_leg *leg = pool_take(&endpoint->legs);
	int err;

	if (!leg) {
		REFUSED(&worker->counters, REASON_POOL_EXHAUSTED);
		return ENOMEM;
	}
	leg->endpoint = endpoint;
	leg->is_secure = is_secure;
	leg->events = events;
	leg->arg = arg;
	TAILQ_INIT(&leg->transactions);
	err = msrp_leg_make_uri(leg, local);
	if (err) {
		pool_give(&endpoint->legs, leg);
		return err;
	}
	msrp_binding_add(leg);
	count_legs(endpoint);
	*out = leg;
	return 0;
}

struct slice msrp_leg_fingerprint(const struct msrp_leg *leg)
{
	const struct tls_set *set = leg->endpoint->worker->tls;

	return leg->is_secure && set ? slice_str(tls_set_fingerprint(set, leg->endpoint->options->listeners[leg->listener].tls)) : SLICE_EMPTY;
}

uint64_t msrp_leg_octets(const struct msrp_leg *leg)
{
	return leg->octets;
}

uint64_t msrp_leg_messages(const struct msrp_leg *leg)
{
	return leg->messages;
}

bool msrp_leg_is_secure(const struct msrp_leg *leg)
{
	return leg->is_secure;
}

bool msrp_leg_is_bound(const struct msrp_leg *leg)
{
	return leg->is_bound;
}

/* ---- the peer ---- */

/* Off its connection without a word to the actor: he has asked for it. */
static void leave_connection(struct msrp_leg *leg)
{
	struct msrp_connection *c = leg->connection;

	if (!c)
		return;
	msrp_connection_unbind(c, leg);
	if (c->is_connecting)
		msrp_todo(c, TODO_CLOSE);
	else
		msrp_connection_close_if_unused(c);
}

/* On a shared connection its peer's first chunk was faster than SIP. */
static bool is_early(const struct msrp_leg *leg)
{
	return leg->connection && !leg->is_bound && !leg->connection->is_connecting;
}

static void stop_switching(struct msrp_leg *leg, unsigned status);

/* A new path takes the place of the one in use: what was on its way is answered 408 by the old one, as if the
 * connection had been lost, so that its sender repeats it. */
static void leave_bound(struct msrp_leg *leg)
{
	struct msrp_connection *c = leg->connection;

	msrp_waiting_refuse(leg, 408, REASON_MSRP_PATH_CHANGED);
	if (c->in->leg == leg && c->in->way == WAY_PENDING)
		msrp_switch_refuse(c, 408, REASON_MSRP_PATH_CHANGED);
	else if (c->in->leg == leg)
		msrp_switch_abort(c);
	stop_switching(leg, 408); /* others may have their sessions on that connection: nothing else tells its sender */
	leg->tell_bound = false;
}

/* As the SDP said it, whatever the peer calls himself. */
static struct slice said_path(const struct msrp_leg *leg)
{
	size_t at = (size_t)leg->peer_path_n + leg->accept_n + leg->accept_wrapped_n;

	return leg->sdp_path_n ? slice_of(leg->peer_path + at, leg->sdp_path_n) : msrp_leg_peer_path(leg);
}

int msrp_leg_learn_path(struct msrp_leg *leg, struct slice path)
{
	struct slice said = said_path(leg);
	size_t accept_n = (size_t)leg->accept_n + leg->accept_wrapped_n;
	char *copy = said.n <= UINT16_MAX ? malloc(path.n + accept_n + said.n) : NULL;

	if (!copy)
		return ENOMEM;
	memcpy(copy, path.p, path.n);
	memcpy(copy + path.n, leg->peer_path + leg->peer_path_n, accept_n);
	memcpy(copy + path.n + accept_n, said.p, said.n);
	leg->sdp_path_n = (uint16_t)said.n;
	free(leg->peer_path);
	leg->peer_path = copy;
	leg->peer_path_n = leg->peer_first_n = (uint32_t)path.n; /* one URI */
	return 0;
}

/* One allocation: the path, behind it what its peer accepts, and what else the SDP said (CEMA). */
static char *copy_of(struct slice path, const struct msrp_accept *accept, struct slice said)
{
	size_t accept_n = (size_t)accept->types_n + accept->wrapped_n;
	char *copy = malloc(path.n + accept_n + said.n);

	if (copy) {
		memcpy(copy, path.p, path.n);
		memcpy(copy + path.n, accept->text, accept_n);
		if (said.n)
			memcpy(copy + path.n + accept_n, said.p, said.n);
	}
	return copy;
}

static void take_copy(struct msrp_leg *leg, char *copy, size_t path_n, const struct msrp_accept *accept)
{
	free(leg->peer_path);
	leg->peer_path = copy;
	leg->peer_path_n = (uint32_t)path_n;
	leg->accept_n = accept->types_n;
	leg->accept_wrapped_n = accept->wrapped_n;
	leg->looks_inside = accept->looks_inside;
	leg->accept_octets = accept->max_octets;
	leg->accepted_n = 0;
}

/* The same path, and perhaps other types. */
static int change_accept(struct msrp_leg *leg, const struct msrp_accept *accept)
{
	char *copy = copy_of(msrp_leg_peer_path(leg), accept, leg->sdp_path_n ? said_path(leg) : SLICE_EMPTY);

	if (!copy)
		return ENOMEM;
	take_copy(leg, copy, leg->peer_path_n, accept);
	return 0;
}

static int change_path(struct msrp_leg *leg, struct slice path, struct slice fingerprint,
	const struct msrp_accept *accept)
{
	char *copy = copy_of(path, accept, SLICE_EMPTY), *certificate = NULL;

	if (fingerprint.n && (certificate = malloc(fingerprint.n + 1))) {
		memcpy(certificate, fingerprint.p, fingerprint.n);
		certificate[fingerprint.n] = 0;
	}
	if (!copy || (fingerprint.n && !certificate)) {
		free(copy);
		free(certificate);
		return ENOMEM;
	}
	if (leg->is_bound)
		leave_bound(leg);
	free(leg->fingerprint);
	leg->fingerprint = certificate;
	take_copy(leg, copy, path.n, accept);
	leg->sdp_path_n = 0;
	leg->peer_first_n = (uint32_t)msrp_path_first(path).n;
	return 0;
}

/* The answer that our peer's first chunk had to wait for. */
static void let_early_go_on(struct msrp_leg *leg)
{
	struct msrp_connection *c = leg->early;

	if (!c)
		return;
	leg->early = NULL;
	c->early_for = NULL;
	msrp_connection_resume(c, PAUSE_REWOUND);
}

/* RFC 4975 5.4: by a connection that we have, else by a new one. */
static void connect_to_peer(struct msrp_leg *leg, const struct sockaddr_storage *to, struct slice host)
{
	struct counters *counters = &leg->endpoint->worker->counters;
	struct msrp_connection *c = msrp_sharing_find(leg, to);

	leg->is_sharing = c != NULL;
	if (c) {
		COUNT(counters, msrp_connections_shared);
		msrp_connection_bind(c, leg);
		msrp_leg_write_empty_send(leg);
	} else if (msrp_connection_open(leg, to, host)) {
		COUNT(counters, msrp_connections_opened);
	} else {
		msrp_leg_lose(leg, REASON_CONNECT_FAILED);
	}
}

static bool is_unchanged(const struct msrp_leg *leg, struct slice path, struct slice fingerprint)
{
	return slice_eq(path, said_path(leg)) && slice_eq(fingerprint, slice_str(leg->fingerprint ? leg->fingerprint : ""));
}

bool msrp_leg_is_bound_to(const struct msrp_leg *leg, const struct msrp_peer *peer)
{
	return leg->is_bound && is_unchanged(leg, slice_trim(peer->path), slice_trim(peer->fingerprint));
}

int msrp_leg_set_peer(struct msrp_leg *leg, const struct msrp_peer *peer)
{
	struct slice text = slice_trim(peer->path), fingerprint = slice_trim(peer->fingerprint);
	struct msrp_path path;
	int err;

	if (msrp_path_parse(text, &path) != MSRP_PATH_OK || path.first.secure != leg->is_secure)
		return EINVAL;
	leg->max_octets = peer->max_octets;
	leg->has_cema = peer->has_cema;
	leg->has_chatroom = peer->has_chatroom;
	if (leg->connection && is_unchanged(leg, text, fingerprint))
		return change_accept(leg, &peer->accept); /* a re-INVITE that changes nothing else */
	err = change_path(leg, text, fingerprint, &peer->accept);
	if (err)
		return err;
	if (is_early(leg) && !peer->connect)
		msrp_todo(leg->connection, TODO_PUMP); /* its first chunk is looked at again */
	else
		leave_connection(leg);
	if (peer->connect)
		connect_to_peer(leg, &peer->address, path.first.host);
	let_early_go_on(leg);
	return 0;
}

void msrp_leg_expect_peer(struct msrp_leg *leg, bool expects)
{
	leg->expects_peer = expects;
	if (!expects && leg->peer_path)
		let_early_go_on(leg);
}

void msrp_leg_write_empty_send(struct msrp_leg *leg)
{
	struct msrp_endpoint *endpoint = leg->endpoint;
	size_t size = 256 + leg->peer_path_n + leg->uri_n;
	char id[MSRP_ID_CHARS], message_id[MINTED_CHARS];
	struct buffer b;
	char *p = msrp_output_reserve(leg->connection, size, NULL);

	if (!p)
		return;
	struct msrp_transaction *t = msrp_transaction_open(leg, leg, SLICE(""), MSRP_FAILURE_YES);
	if (!t || !msrp_transaction_add_part(t, id)) /* without one its answer is nobody's, and the session goes on */
		msrp_transaction_make_id(endpoint, UINT32_MAX, id);
	minted_make(endpoint->worker, message_id);
	b = buffer_over(p, size);
	msrp_write_request(&b, &(struct msrp_request){
		.method = SLICE("SEND"),
		.transaction_id = slice_of(id, sizeof(id)),
		.to_path = msrp_leg_peer_path(leg),
		.from_path = msrp_leg_uri_slice(leg),
		.message_id = slice_of(message_id, 32),
		.byte_range = &(struct msrp_byte_range){ 1, 0, 0 },
	});
	msrp_write_end_line(&b, slice_of(id, sizeof(id)), '$', false);
	assert(!b.overflow);
	msrp_output_commit(leg->connection, b.n);
	leg->is_first_out = t != NULL;
	if (t)
		msrp_transaction_end(t);
}

/* A peer that cannot share gets a connection for this session alone. */
static void connect_alone(struct msrp_leg *leg)
{
	struct sockaddr_storage to;
	struct msrp_path path;

	net_address_get(&leg->connection->stream->peer, &to);
	leave_bound(leg);
	leave_connection(leg);
	leg->is_sharing = false;
	(void)msrp_path_parse(msrp_leg_peer_path(leg), &path); /* it was good when it was set */
	if (msrp_connection_open(leg, &to, path.first.host))
		COUNT(&leg->endpoint->worker->counters, msrp_connections_opened);
	else
		msrp_leg_lose(leg, REASON_CONNECT_FAILED);
}

/*
 * An error ends nothing: our SEND may have overtaken the SIP message that brings our path, and who does not know the
 * session later either says so to its first chunk.  But where the connection is shared, 403, 481 and 506 may also mean
 * that the peer knows one session to a connection (RFC 4975 10).  Who has sent content or answered ours is there, also when
 * silent.
 */
void msrp_leg_on_first_answer(struct msrp_leg *leg, unsigned status)
{
	struct worker *worker = leg->endpoint->worker;
	bool is_unknown = status == 403 || status == 481 || status == 506;

	leg->is_first_out = false;
	if (leg->sender)
		msrp_todo_event(leg); /* on a shared connection it had to wait for that */
	if (status < 300 || !leg->is_bound || !leg->connection->stream)
		return;
	if (status == 408) {
		if (!leg->octets && !msrp_sender_heard_ms(leg))
			msrp_leg_lose(leg, REASON_TIMEOUT);
		return;
	}
	REFUSED(&worker->counters, REASON_MSRP_PEER_REFUSED);
	LOG(INFO, worker, "leg", pool_slot(leg), "refused by the peer status=%u shared=%d reason=%s", status, leg->is_sharing,
		reason_label(REASON_MSRP_PEER_REFUSED));
	if (is_unknown && leg->is_sharing)
		connect_alone(leg);
}

/* ---- the pair ---- */

/* Chunks that waited at either side go out at the end of the turn. */
static void release_waiting(struct msrp_leg *leg)
{
	if (leg && leg->connection && leg->waiting.n && msrp_leg_is_ready(leg))
		msrp_todo(leg->connection, TODO_PUMP);
}

void msrp_leg_pair(struct msrp_leg *a, struct msrp_leg *b)
{
	assert(a != b && !a->pair && !b->pair && !a->ends_here && !b->ends_here && !a->seat && !b->seat);
	a->pair = b;
	b->pair = a;
	release_waiting(a);
	release_waiting(b);
}

void msrp_leg_on_bound(struct msrp_leg *leg)
{
	leg->tell_bound = true;
	msrp_todo_event(leg);
	if (leg->seat)
		msrp_room_on_bound(leg);
	release_waiting(leg->pair);
	release_waiting(leg);
}

/* ---- the end ---- */

static void drop_waiting(struct msrp_leg *leg)
{
	if (leg->waiting.n)
		COUNT(&leg->endpoint->worker->counters, msrp_dropped);
	msrp_held_free(leg->endpoint, &leg->waiting);
	leg->open_count = 0;
	leg->open_overflow = false;
}

static unsigned outstanding(const struct msrp_leg *leg)
{
	return leg ? leg->transaction_count : 0;
}

/* Both directions end: what was on its way to here, and what came from here and gets `status` (0: nothing). */
static void stop_switching(struct msrp_leg *leg, unsigned status)
{
	struct msrp_leg *far = leg->pair;

	COUNT_N(&leg->endpoint->worker->counters, msrp_dropped,
		outstanding(leg) + outstanding(far));
	worker_disarm(leg->endpoint->worker, &leg->silence);
	if (far) {
		msrp_transactions_fail(far, 408);
		if (far->connection && far->connection->in->leg == far)
			msrp_switch_far_lost(far->connection);
	}
	msrp_transactions_fail(leg, status); /* behind the end of what was open there */
	msrp_ending_lost(leg, status);
	drop_waiting(leg);
	if (far && far->connection) {
		far->connection->is_slowed = false;
		msrp_connection_resume(far->connection, PAUSE_FAR_FULL);
		msrp_connection_set_receive(far->connection);
	}
}

void msrp_leg_lose(struct msrp_leg *leg, enum reason why)
{
	struct msrp_connection *c = leg->connection;

	if (c && c->in->leg == leg)
		msrp_switch_abort(c);
	stop_switching(leg, 0);
	if (c) {
		msrp_connection_unbind(c, leg);
		msrp_connection_close_if_unused(c);
	}
	leg->tell_bound = false;
	leg->tell_lost = true;
	leg->lost_why = why;
	msrp_todo_event(leg);
}

void msrp_leg_tell(struct msrp_leg *leg)
{
	bool bound = leg->tell_bound, lost = leg->tell_lost;

	if (leg->sender && msrp_sender_tell_end(leg))
		return;
	leg->tell_bound = leg->tell_lost = false;
	/* Lost and bound again within a turn: in this order.  Either may close the leg. */
	if (lost) {
		if (bound) {
			leg->tell_bound = true;
			msrp_todo_event(leg);
		}
		leg->events->on_lost(leg, leg->lost_why, leg->arg);
	} else if (bound) {
		if (leg->sender)
			msrp_todo_event(leg);
		leg->events->on_bound(leg, leg->arg);
	} else if (leg->sender) {
		msrp_sender_tell_want(leg);
	}
}

void msrp_leg_close(struct msrp_leg *leg)
{
	struct msrp_endpoint *endpoint = leg->endpoint;

	msrp_ending_free(leg); /* nothing is told any more */
	if (leg->seat)
		msrp_room_remove(leg->seat->room, leg);
	if (leg->connection && leg->connection->in->leg == leg)
		msrp_switch_abort(leg->connection);
	stop_switching(leg, 0);
	leave_connection(leg);
	if (leg->pair)
		leg->pair->pair = NULL;
	let_early_go_on(leg);
	if (leg->has_event)
		TAILQ_REMOVE(&endpoint->events, leg, event_link);
	msrp_binding_remove(leg);
	free(leg->open_messages);
	free(leg->peer_path);
	free(leg->fingerprint);
	free(leg->host);
	pool_give(&endpoint->legs, leg);
	count_legs(endpoint);
}
