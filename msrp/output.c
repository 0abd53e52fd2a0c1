#include "msrp/output.h"

#include "msrp/connection.h"
#include "msrp/foreign.h"
#include "msrp/pressure.h"
#include "msrp/switch.h"

size_t msrp_output_queued(const struct msrp_connection *c)
{
	if (c->proxy)
		return msrp_proxy_queued(c);
	return c->stream ? stream_queued(c->stream) : 0;
}

char *msrp_output_reserve(struct msrp_connection *c, size_t n,
	const struct msrp_connection *writer)
{
	char *p;

	if (c->is_lost)
		return NULL;
	if (c->writer && c->writer != writer)
		msrp_switch_interrupt(c->writer, c);
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
	msrp_pressure_account(c);
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
		msrp_pressure_account(c);
		return true;
	}
	if (!(p = msrp_output_reserve(c, octets.n, writer)))
		return false;
	memcpy(p, octets.p, octets.n);
	msrp_output_commit(c, octets.n);
	return true;
}
