#include "msrp/pressure.h"

#include "msrp/connection.h"
#include "msrp/leg_internal.h"
#include "msrp/output.h"
#include "msrp/room_internal.h"

#define LISTED_OCTETS_LOG2 11 /* queues below that are never looked for */

static size_t all_of(const struct msrp_endpoint *endpoint)
{
	return endpoint->queued + endpoint->held;
}

bool msrp_pressure_may_hold(const struct msrp_endpoint *endpoint, size_t n)
{
	return endpoint->held + n <= endpoint->options->limits.queued_bytes / 2;
}

bool msrp_pressure_ends_at_once(struct msrp_connection *c)
{
	struct worker *worker = c->endpoint->worker;
	size_t most = c->endpoint->options->limits.queued_bytes / 4;

	if (c->is_overrun)
		return true;
	if (c->queued_seen < 1u << LISTED_OCTETS_LOG2 || stream_lingering(worker) + c->queued_seen <= most)
		return false;
	REFUSED(&worker->counters, REASON_QUEUED_BYTES);
	LOG(WARN, worker, "msrp", pool_slot(c), "closed unwritten=%zu reason=%s", c->queued_seen,
		reason_label(REASON_QUEUED_BYTES));
	return true;
}

/* Above that a queue stops its senders.  It falls to nothing over the last quarter of limits.queued_bytes. */
static size_t mark_of(const struct msrp_endpoint *endpoint)
{
	const struct limits_options *limits = &endpoint->options->limits;
	size_t full = limits->queued_bytes, last = full / 4, now = all_of(endpoint);

	if (now <= full - last)
		return limits->leg_high;
	return now < full ? limits->leg_high / 256 * ((full - now) * 256 / last) : 0;
}

/* ---- connections by the length of their queue, in classes of twice the length ---- */

static unsigned class_of(size_t queued)
{
	size_t n = queued >> LISTED_OCTETS_LOG2;
	unsigned class = n ? 64 - (unsigned)__builtin_clzll(n) : 0;

	return class < MSRP_QUEUE_CLASSES ? class : MSRP_QUEUE_CLASSES - 1;
}

static void set_class(struct msrp_connection *c, unsigned class)
{
	if (c->queue_class)
		LIST_REMOVE(c, queue_link);
	c->queue_class = (uint8_t)class;
	if (class)
		LIST_INSERT_HEAD(&c->endpoint->queues[class], c, queue_link);
}

void msrp_pressure_forget(struct msrp_connection *c)
{
	struct msrp_endpoint *endpoint = c->endpoint;

	set_class(c, 0);
	endpoint->queued -= c->queued_seen;
	gauge_set(&endpoint->worker->counters, GAUGE_msrp_queued_bytes, (int64_t)all_of(endpoint));
}

static void is_full(struct msrp_endpoint *endpoint)
{
	endpoint->is_full = true;
	worker_at_turn_end(endpoint->worker, &endpoint->task);
}

/* One of the longest: nobody has a queue of twice the length. */
static struct msrp_connection *longest(struct msrp_endpoint *endpoint)
{
	struct msrp_connection *c = NULL;

	for (unsigned class = MSRP_QUEUE_CLASSES; !c && class > 1; class--)
		c = LIST_FIRST(&endpoint->queues[class - 1]);
	return c;
}

bool msrp_pressure_relieve(struct msrp_endpoint *endpoint)
{
	struct worker *worker = endpoint->worker;
	struct msrp_connection *c;
	struct msrp_leg *leg;

	if (all_of(endpoint) <= endpoint->options->limits.queued_bytes || !(c = longest(endpoint)))
		return false;
	LOG(WARN, worker, "msrp", pool_slot(c), "given up queued=%zu of=%zu reason=%s", c->queued_seen,
		all_of(endpoint), reason_label(REASON_QUEUED_BYTES));
	set_class(c, 0);
	c->is_overrun = true;
	if (!c->proxy) {
		msrp_connection_lose(c, REASON_QUEUED_BYTES);
		return true;
	}
	/* Its octets are at its home, which has its own bound. */
	REFUSED(&worker->counters, REASON_QUEUED_BYTES);
	while ((leg = LIST_FIRST(&c->legs)))
		msrp_leg_lose(leg, REASON_QUEUED_BYTES);
	return true;
}

/* ---- one queue ---- */

static void let_senders_go_on(struct msrp_connection *c)
{
	struct msrp_leg *leg;

	c->holds_senders = false;
	LIST_FOREACH(leg, &c->legs, on_connection) {
		struct msrp_connection *sender = leg->pair ? leg->pair->connection : NULL;
		if (leg->sender)
			msrp_todo_event(leg);
		if (leg->seat)
			msrp_room_on_drained(leg);
		if (!sender)
			continue;
		sender->is_slowed = false;
		msrp_connection_resume(sender, PAUSE_FAR_FULL);
		msrp_connection_set_receive(sender);
	}
}

void msrp_pressure_account(struct msrp_connection *c)
{
	struct msrp_endpoint *endpoint = c->endpoint;
	const struct limits_options *limits = &endpoint->options->limits;
	size_t queued = msrp_output_queued(c);
	size_t most = 2 * limits->leg_high * (c->leg_count ? c->leg_count : 1);

	endpoint->queued += queued - c->queued_seen;
	c->queued_seen = queued;
	gauge_set(&endpoint->worker->counters, GAUGE_msrp_queued_bytes, (int64_t)all_of(endpoint));
	if (class_of(queued) != c->queue_class && !c->is_overrun)
		set_class(c, class_of(queued));
	if (all_of(endpoint) > limits->queued_bytes)
		is_full(endpoint);
	if (queued <= limits->leg_low) {
		msrp_connection_resume(c, PAUSE_NOT_READING);
		if (c->holds_senders)
			let_senders_go_on(c);
	} else if (queued > most) {
		/* What it asks for itself (answers to its chunks) is bounded like the rest. */
		msrp_connection_pause(c, PAUSE_NOT_READING);
	}
}

/* What can be asked for later need not wait here: as much as keeps the socket busy. */
bool msrp_pressure_has_room(struct msrp_connection *c)
{
	size_t high = mark_of(c->endpoint), low = c->endpoint->options->limits.leg_low;

	if (msrp_output_queued(c) <= (high < low ? high : low))
		return true;
	c->holds_senders = true;
	return false;
}

/* Others have their sessions on the sender's connection: he is not stopped, the slow reader goes. */
static void drop(struct msrp_leg *slow, size_t queued)
{
	struct worker *worker = slow->endpoint->worker;

	LOG(WARN, worker, "leg", pool_slot(slow), "dropped queued=%zu reason=%s", queued,
		reason_label(REASON_QUEUE_FULL));
	REFUSED(&worker->counters, REASON_QUEUE_FULL);
	if (slow->connection->leg_count == 1)
		slow->connection->is_overrun = true;
	msrp_leg_lose(slow, REASON_QUEUE_FULL);
}

void msrp_pressure_look(struct msrp_connection *c, struct msrp_leg *leg)
{
	struct msrp_endpoint *endpoint = c->endpoint;
	struct msrp_connection *far = leg->pair ? leg->pair->connection : NULL;
	size_t high, queued;

	if (!far || far->is_lost)
		return;
	high = mark_of(endpoint);
	queued = msrp_output_queued(far);
	if (queued > high / 2 && !c->is_slowed) {
		/* One receive at a time: a multishot may bring much more after it is cancelled. */
		c->is_slowed = far->holds_senders = true;
		msrp_connection_set_receive(c);
	}
	if (queued > high && msrp_connection_is_single(c)) {
		if (!(c->pauses & PAUSE_FAR_FULL))
			COUNT(&endpoint->worker->counters, msrp_rx_paused);
		far->holds_senders = true;
		msrp_connection_pause(c, PAUSE_FAR_FULL);
	} else if (queued > endpoint->options->limits.leg_high * far->leg_count && !msrp_connection_is_single(c)) {
		drop(leg->pair, queued);
	}
}
