#include "msrp/output.h"

#include "msrp/connection.h"
#include "msrp/foreign.h"
#include "msrp/switch.h"

size_t msrp_output_queued(const struct msrp_connection *c)
{
	if (c->proxy)
		return msrp_proxy_queued(c);
	return c->stream ? stream_queued(c->stream) : 0;
}

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

void msrp_output_account(struct msrp_connection *c)
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

char *msrp_output_reserve(struct msrp_connection *c, size_t n,
	const struct msrp_connection *writer)
{
	char *p;

	if (c->is_lost)
		return NULL;
	if (c->writer && c->writer != writer)
		msrp_switch_interrupt(c->writer);
	if (c->is_lost)
		return NULL;
	p = c->proxy ? msrp_proxy_reserve(c, n) : stream_reserve(c->stream, n);
	if (!p)
		msrp_connection_lose(c, REASON_NO_MEMORY);
	return p;
}

void msrp_output_commit(struct msrp_connection *c, size_t n)
{
	if (c->proxy) {
		msrp_proxy_commit(c, n);
	} else {
		stream_commit(c->stream, n);
		COUNT_N(&c->endpoint->worker->counters, msrp_tx_bytes, n);
		msrp_foreign_on_queued(c, n);
	}
	msrp_output_account(c);
}

bool msrp_output_write(struct msrp_connection *c, struct slice octets,
	const struct msrp_connection *writer)
{
	char *p;

	/* Large pieces fill what room there is: reserving asks for it in one piece. */
	if (!c->proxy && !c->is_lost && c->writer == writer && octets.n > STREAM_BUFFER_SMALL) {
		if (stream_write(c->stream, octets) != 0) {
			msrp_connection_lose(c, REASON_NO_MEMORY);
			return false;
		}
		COUNT_N(&c->endpoint->worker->counters, msrp_tx_bytes, octets.n);
		msrp_foreign_on_queued(c, octets.n);
		msrp_output_account(c);
		return true;
	}
	if (!(p = msrp_output_reserve(c, octets.n, writer)))
		return false;
	memcpy(p, octets.p, octets.n);
	msrp_output_commit(c, octets.n);
	return true;
}
