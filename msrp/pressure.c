#include "msrp/pressure.h"

#include "msrp/connection.h"
#include "msrp/leg_internal.h"
#include "msrp/output.h"

static void let_senders_go_on(struct msrp_connection *c)
{
	struct msrp_leg *leg;

	c->holds_senders = false;
	LIST_FOREACH(leg, &c->legs, on_connection) {
		struct msrp_connection *sender = leg->pair ? leg->pair->connection : NULL;
		if (!sender)
			continue;
		sender->is_slowed = false;
		msrp_connection_resume(sender, PAUSE_FAR_FULL);
		msrp_connection_set_receive(sender);
	}
}

void msrp_pressure_account(struct msrp_connection *c)
{
	const struct limits_options *limits = &c->endpoint->options->limits;
	size_t queued = msrp_output_queued(c);
	size_t most = 2 * limits->leg_high * (c->leg_count ? c->leg_count : 1);

	c->endpoint->queued += queued - c->queued_seen;
	c->queued_seen = queued;
	if (queued < limits->leg_low) {
		msrp_connection_resume(c, PAUSE_NOT_READING);
		if (c->holds_senders)
			let_senders_go_on(c);
	} else if (queued > most) {
		/* What it asks for itself (answers to its chunks) is bounded like the rest. */
		msrp_connection_pause(c, PAUSE_NOT_READING);
	}
}

void msrp_pressure_look(struct msrp_connection *c, struct msrp_leg *leg)
{
	const struct limits_options *limits = &c->endpoint->options->limits;
	struct msrp_connection *far = leg->pair ? leg->pair->connection : NULL;
	bool is_worker_full = limits->queued_bytes && c->endpoint->queued > limits->queued_bytes;
	size_t high = is_worker_full ? limits->leg_low : limits->leg_high;

	if (!far || far->is_lost)
		return;
	size_t queued = msrp_output_queued(far);
	if (queued > high / 2 && !c->is_slowed) {
		/* One receive at a time: a multishot may bring much more after it is cancelled. */
		c->is_slowed = far->holds_senders = true;
		msrp_connection_set_receive(c);
	}
	if (queued <= high)
		return;
	if (msrp_connection_is_single(c)) {
		if (!(c->pauses & PAUSE_FAR_FULL))
			COUNT(&c->endpoint->worker->counters, msrp_rx_paused);
		far->holds_senders = true;
		msrp_connection_pause(c, PAUSE_FAR_FULL);
		return;
	}
	/* Nobody is stopped for somebody else's slow peer: each session may queue its share. */
	if (queued > high * far->leg_count) {
		LOG(WARN, c->endpoint->worker, "leg", pool_slot(leg->pair),
			"dropped queued=%zu reason=%s", queued, reason_label(REASON_QUEUE_FULL));
		REFUSED(&c->endpoint->worker->counters, REASON_QUEUE_FULL);
		msrp_leg_lose(leg->pair, REASON_QUEUE_FULL);
	}
}
