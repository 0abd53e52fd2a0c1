/* The SIP layer of one worker, put together and taken apart. */
#include <errno.h>
#include <stdlib.h>

#include "sip/layer.h"
#include "sip/peers.h"

#define CHAINS_MIN (1u << 10)
#define CHAINS_MAX (1u << 19) /* 32 s at 16 000 requests a second, chains of one */

const struct sip_options *sip_options_of(const struct worker *worker)
{
	return sip_layer_of(worker)->options;
}

unsigned sip_transaction_count(const struct worker *worker)
{
	const struct sip_layer *layer = sip_layer_of(worker);

	return pool_used(&layer->servers) + pool_used(&layer->clients);
}

void sip_transactions_gauge(struct sip_layer *layer)
{
	int64_t count = sip_transaction_count(layer->worker);

	gauge_set(&layer->worker->counters, GAUGE_sip_transactions, count);
	pool_gauge_set(&layer->worker->counters, POOL_transactions, count);
}

/* Parts of a peer's head come back up to four times: Vias or Route, From and To, target, Call-ID. */
size_t sip_scratch_octets(const struct sip_options *options)
{
	return SIP_SCRATCH_OCTETS + 4 * options->limits.header_bytes + options->body_bytes_max;
}

int sip_transactions_init(struct sip_layer *layer)
{
	size_t chains = CHAINS_MIN;

	while (chains < layer->options->transactions_max && chains < CHAINS_MAX)
		chains *= 2;
	layer->flow_table = calloc(SIP_FLOW_CHAINS, sizeof(*layer->flow_table));
	layer->scratch_n = sip_scratch_octets(layer->options);
	layer->scratch = malloc(layer->scratch_n);
	if (!layer->flow_table || !layer->scratch)
		return ENOMEM;
	int err = sip_servers_init(layer, chains);
	return err ? err : sip_clients_init(layer, chains);
}

void sip_transactions_free(struct sip_layer *layer)
{
	sip_servers_free(layer);
	sip_clients_free(layer);
	free(layer->flow_table);
	free(layer->scratch);
}

static void set_limits(struct sip_layer *layer)
{
	layer->limits = (struct sip_limits){ layer->options->limits.header_bytes, layer->options->body_bytes_max, 0 };
}

void sip_worker_set_options(struct worker *worker, const struct sip_options *options, char *scratch)
{
	struct sip_layer *layer = sip_layer_of(worker);
	size_t n = sip_scratch_octets(options);

	layer->options = options;
	set_limits(layer);
	if (n < layer->scratch_n) { /* what was taken in under the limits of before may still be written */
		free(scratch);
		return;
	}
	free(layer->scratch);
	layer->scratch = scratch;
	layer->scratch_n = n;
}

int sip_worker_init(struct worker *worker, const struct sip_options *options, sip_request_handler on_request)
{
	struct sip_layer *layer = calloc(1, sizeof(*layer));

	if (!layer)
		return ENOMEM;
	layer->worker = worker;
	layer->options = options;
	layer->on_request = on_request;
	set_limits(layer);
	layer->loop_key = (struct siphash_key){ { 0x696d73657276ull, 0x6c6f6f70ull } }; /* no secret: see branch.c */
	worker_random(worker, &layer->key, sizeof(layer->key));
	worker->sip = layer;
	int err = sip_transactions_init(layer);
	if (!err)
		err = sip_overload_init(layer);
	if (!err)
		err = sip_connections_init(layer);
	if (!err && !(layer->peers = sip_peers_make(worker)))
		err = ENOMEM;
	if (!err)
		err = sip_transport_init(layer);
	if (!err)
		sip_overload_start(layer);
	return err;
}

void sip_worker_stop(struct worker *worker, bool all)
{
	struct sip_layer *layer = sip_layer_of(worker);

	if (!layer)
		return;
	layer->is_stopping = true;
	worker_disarm(worker, &layer->rearm);
	worker_disarm(worker, &layer->turns.rest); /* what rests is not read any more */
	for (unsigned i = 0; i < layer->options->listener_count; i++)
		worker->ring->ops->cancel(worker->ring, ring_token_of(layer->options->listeners[i].proto == LISTEN_UDP ?
			TOKEN_SIP_DATAGRAM : TOKEN_SIP_ACCEPT, i, 1));
	if (all)
		sip_connections_free(layer, false);
}

void sip_worker_free(struct worker *worker)
{
	struct sip_layer *layer = sip_layer_of(worker);

	if (!layer)
		return;
	sip_connections_free(layer, true);
	sip_transactions_free(layer);
	worker->on_load = NULL;
	sip_overload_free(layer);
	sip_transport_free(layer);
	sip_peers_free(layer->peers);
	worker_forget_task(worker, &layer->credit_came);
	worker_forget_task(worker, &layer->turns.next);
	worker_forget_task(worker, &layer->clock_task);
	free(layer);
	worker->sip = NULL;
}
