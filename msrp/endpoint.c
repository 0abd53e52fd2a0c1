#include "msrp/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/tls.h"
#include "msrp/binding.h"
#include "msrp/connection.h"
#include "msrp/foreign.h"
#include "msrp/leg_internal.h"
#include "msrp/pressure.h"
#include "msrp/reading.h"

#define TOKEN_ACCEPT          TOKEN_MSRP_FIRST
#define ACCEPT_PAUSE_MS       100 /* no descriptors: the listener's backlog holds the peers  */
#define CONNECTIONS_PER_LEG   2   /* its own, and one that nobody will bind                  */
#define TRANSACTIONS_PER_LEG  16  /* on average; MSRP_TRANSACTIONS_PER_LEG for a single one  */

/* ---- held octets ---- */

int msrp_held_append(struct msrp_endpoint *endpoint, struct msrp_held *held, struct slice octets)
{
	if (octets.n == 0)
		return 0;
	if (octets.n > held->size - held->n) {
		size_t size = held->n + octets.n;
		if (held->size)
			size += size / 2; /* what grows once grows again */
		char *p = realloc(held->p, size);
		if (!p)
			return ENOMEM;
		endpoint->held += size - held->size;
		held->p = p;
		held->size = size;
	}
	memcpy(held->p + held->n, octets.p, octets.n);
	held->n += octets.n;
	return 0;
}

void msrp_held_drop(struct msrp_endpoint *endpoint, struct msrp_held *held, size_t n)
{
	assert(n <= held->n);
	held->n -= n;
	if (held->n == 0)
		msrp_held_free(endpoint, held);
	else if (n)
		memmove(held->p, held->p + n, held->n);
}

void msrp_held_free(struct msrp_endpoint *endpoint, struct msrp_held *held)
{
	endpoint->held -= held->size;
	free(held->p);
	*held = (struct msrp_held){ 0 };
}

/* ---- end of the turn ---- */

static void run(struct worker *worker, struct worker_task *task)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c;
	struct msrp_leg *leg;

	for (;;) {
		if ((c = TAILQ_FIRST(&endpoint->todo))) {
			TAILQ_REMOVE(&endpoint->todo, c, todo_link);
			msrp_connection_do(c);
		} else if ((leg = TAILQ_FIRST(&endpoint->events))) {
			TAILQ_REMOVE(&endpoint->events, leg, event_link);
			leg->has_event = false;
			msrp_leg_tell(leg);
		} else if (endpoint->is_full) {
			endpoint->is_full = msrp_pressure_relieve(endpoint);
		} else {
			break;
		}
	}
}

/* Behind the tasks of this turn that write to sockets. */
static void read_clock(struct worker *worker, struct worker_task *task)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);

	if (worker->tasks) {
		worker_at_turn_end(worker, task);
		return;
	}
	uint64_t now_us = worker->ring->ops->now_us(worker->ring);
	histogram_add_n(&worker->counters, HISTOGRAM_chunk_switch,
		now_us > worker->now_us ? now_us - worker->now_us : 0, endpoint->switched);
	endpoint->switched = 0;
}

void msrp_todo(struct msrp_connection *c, unsigned what)
{
	if (!c->todo)
		TAILQ_INSERT_TAIL(&c->endpoint->todo, c, todo_link);
	c->todo |= what;
	worker_at_turn_end(c->endpoint->worker, &c->endpoint->task);
}

void msrp_todo_event(struct msrp_leg *leg)
{
	if (!leg->has_event)
		TAILQ_INSERT_TAIL(&leg->endpoint->events, leg, event_link);
	leg->has_event = true;
	worker_at_turn_end(leg->endpoint->worker, &leg->endpoint->task);
}

/* ---- accepting ---- */

static void accept_on(struct msrp_endpoint *endpoint, unsigned listener)
{
	struct worker *worker = endpoint->worker;

	endpoint->accepts[listener] = true;
	worker->ring->ops->accept(worker->ring,
		endpoint->options->listeners[listener].fds[worker->index],
		ring_token_of(TOKEN_ACCEPT, listener, 1));
}

static void accept_on_all(struct msrp_endpoint *endpoint)
{
	for (unsigned i = 0; i < endpoint->options->listener_count; i++) {
		if (!endpoint->accepts[i])
			accept_on(endpoint, i);
	}
}

static void on_accept_pause_over(struct timer *timer)
{
	accept_on_all((struct msrp_endpoint *)((char *)timer -
		offsetof(struct msrp_endpoint, accept_timer)));
}

static void on_accepted(struct msrp_endpoint *endpoint, const struct msrp_listener *listener, int fd)
{
	struct worker *worker = endpoint->worker;
	uint64_t unbound_ms = endpoint->options->limits.unbound_ms;
	bool is_secure = listener->proto == LISTEN_MSRPS;
	struct tls *tls = is_secure ? tls_accept(worker->tls, listener->tls, TLS_MSRP) : NULL;

	if (is_secure && !tls)
		REFUSED(&worker->counters, REASON_NO_MEMORY);
	if (endpoint->is_stopping || (is_secure && !tls) ||
		!msrp_connection_adopt(endpoint, fd, tls, worker_now_ms(worker) + unbound_ms)) {
		tls_free(tls);
		worker->ring->ops->close(worker->ring, fd);
		return;
	}
	COUNT(&worker->counters, msrp_connections_accepted);
}

static void on_accept(struct worker *worker, const struct ring_completion *completion)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);

	if (!endpoint) { /* it ended before its accepts did */
		if (completion->result >= 0)
			worker->ring->ops->close(worker->ring, completion->result);
		return;
	}
	if (completion->result >= 0)
		on_accepted(endpoint, &endpoint->options->listeners[ring_token_slot(completion->token)],
			completion->result);
	if (completion->more)
		return;
	endpoint->accepts[ring_token_slot(completion->token)] = false;
	if (endpoint->is_stopping)
		return;
	if (completion->result >= 0) {
		accept_on(endpoint, ring_token_slot(completion->token));
		return;
	}
	LOG(WARN, worker, "msrp", 0, "accept failed error=\"%s\"", strerror(-completion->result));
	worker_arm(worker, &endpoint->accept_timer, ACCEPT_PAUSE_MS, on_accept_pause_over);
}

/* ---- beginning and end ---- */

static int init_tables(struct msrp_endpoint *endpoint, unsigned legs_max)
{
	size_t chains = 64;

	while (chains < legs_max)
		chains *= 2;
	if (msrp_bindings_init(endpoint, chains) != 0 ||
		pool_init(&endpoint->legs, "legs", sizeof(struct msrp_leg), legs_max) != 0 ||
		pool_init(&endpoint->connections, "msrp connections",
			sizeof(struct msrp_connection), legs_max * CONNECTIONS_PER_LEG + 64) != 0 ||
		msrp_readings_init(endpoint, legs_max * CONNECTIONS_PER_LEG + 64) != 0 ||
		pool_init(&endpoint->transactions, "msrp transactions",
			sizeof(struct msrp_transaction),
			legs_max * TRANSACTIONS_PER_LEG + 2 * MSRP_TRANSACTIONS_PER_LEG) != 0)
		return ENOMEM;
	return 0;
}

static void free_tables(struct msrp_endpoint *endpoint)
{
	if (endpoint->legs.slabs)
		pool_free(&endpoint->legs);
	if (endpoint->connections.slabs)
		pool_free(&endpoint->connections);
	msrp_readings_free(endpoint);
	if (endpoint->transactions.slabs)
		pool_free(&endpoint->transactions);
	chains_free(&endpoint->legs_by_id);
	if (endpoint->room_messages.heads)
		chains_free(&endpoint->room_messages);
	free(endpoint->room_scratch);
	free(endpoint);
}

int msrp_worker_init(struct worker *worker, const struct msrp_options *options)
{
	struct msrp_endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (!endpoint)
		return ENOMEM;
	endpoint->worker = worker;
	endpoint->options = options;
	endpoint->parser_limits.head_bytes = options->limits.header_bytes;
	endpoint->random = worker_random;
	endpoint->task.run = run;
	endpoint->clock_task.run = read_clock;
	TAILQ_INIT(&endpoint->events);
	TAILQ_INIT(&endpoint->todo);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		TAILQ_INIT(&endpoint->without_credit[i]);
	if (init_tables(endpoint, options->legs_max) != 0) {
		free_tables(endpoint);
		return ENOMEM;
	}
	worker->msrp = endpoint;
	worker->on_completion[TOKEN_ACCEPT] = on_accept;
	msrp_foreign_init(worker);
	accept_on_all(endpoint);
	return 0;
}

int msrp_worker_set_options(struct worker *worker, const struct msrp_options *options)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	unsigned legs_max = options->legs_max;

	endpoint->options = options;
	endpoint->parser_limits.head_bytes = options->limits.header_bytes;
	if (pool_raise(&endpoint->legs, legs_max) != 0 ||
		pool_raise(&endpoint->connections, legs_max * CONNECTIONS_PER_LEG + 64) != 0 ||
		pool_raise(&endpoint->readings, legs_max * CONNECTIONS_PER_LEG + 64 + 1) != 0 ||
		pool_raise(&endpoint->transactions,
			legs_max * TRANSACTIONS_PER_LEG + 2 * MSRP_TRANSACTIONS_PER_LEG) != 0)
		return ENOMEM;
	return 0;
}

void msrp_worker_stop(struct worker *worker, bool all)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);

	endpoint->is_stopping = true;
	worker_disarm(worker, &endpoint->accept_timer);
	for (unsigned i = 0; i < endpoint->options->listener_count; i++) {
		if (endpoint->accepts[i])
			worker->ring->ops->cancel(worker->ring, ring_token_of(TOKEN_ACCEPT, i, 1));
	}
	for (uint32_t slot = 0; slot < endpoint->connections.made; slot++) {
		struct msrp_connection *c = pool_at(&endpoint->connections, slot);
		if (c && !c->proxy && (all || (!c->was_bound && !c->is_connecting)))
			msrp_connection_lose(c, REASON_DRAINING);
	}
}

/* Proxies whose home has not said yet that it is gone; its worker may have ended before us. */
static void release_rest(struct msrp_endpoint *endpoint)
{
	for (uint32_t slot = 0; slot < endpoint->connections.made; slot++) {
		struct msrp_connection *c = pool_at(&endpoint->connections, slot);
		if (!c)
			continue;
		assert(c->leg_count == 0); /* whoever opened a leg has closed it by now */
		if (c->stream)
			stream_close(c->stream, true);
		c->stream = NULL;
		msrp_connection_release(c);
	}
}

void msrp_worker_free(struct worker *worker)
{
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);

	if (!endpoint)
		return;
	worker_disarm(worker, &endpoint->accept_timer);
	release_rest(endpoint);
	worker->msrp = NULL;
	worker_forget_task(worker, &endpoint->task);
	worker_forget_task(worker, &endpoint->clock_task);
	free_tables(endpoint);
}
