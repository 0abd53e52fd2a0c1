#include "sip/overload.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "core/log.h"
#include "sip/connection_internal.h"
#include "sip/record_route.h"
#include "sip/trace.h"
#include "sip/write.h"

/* When work counts as waiting: what stands in streams takes so long to be read, or more than half of the room of one is
 * taken (measured: under overload all of it, 3 MB, or seconds; with 256 requests under way of clients that wait for their
 * answers a twentieth, 10 ms), unless it is little, ... */
#define WAITING_US     50000
#define WAITING_OCTETS (128 * 1024)
/* ... or other workers posted so much at once. */
#define WAITING_POSTED (SIP_CREDIT / 2)

/* What serving takes, in refusals: a whole session, or a MESSAGE. */
#define SERVING_INVITE 20
#define SERVING_OTHER  5

#define ANSWER_US     3     /* of CPU time, for one refusal: measured 2 to 4 */
#define ANSWERS_LEAST 1e-3  /* a microsecond: where the CPU time is not known */
#define ANSWERS_US    5000  /* what may be saved up */

#define PASSING_MORE   1.2  /* times the share that is taken: the rest is refused, so that there is something to choose from */
#define PASSING_STEP   0.03 /* a smaller change is not worth a system call */

int sip_overload_init(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;

	admission_init(&o->admission);
	o->passing = 1;
	o->remembered = calloc(OVERLOAD_REMEMBERED, sizeof(*o->remembered));
	return o->remembered ? 0 : ENOMEM;
}

void sip_overload_free(struct sip_layer *layer)
{
	free(layer->overload.remembered);
	layer->overload.remembered = NULL;
}

/* ---- does work wait? ---- */

void sip_overload_read(struct sip_layer *layer, const struct sip_connection *c, size_t octets)
{
	struct sip_overload *o = &layer->overload;
	uint32_t slot = pool_slot(c);
	unsigned i = 0;

	o->read_octets += octets;
	while (i < o->watched_n && o->watched[i].slot != slot)
		i++;
	if (i == OVERLOAD_WATCHED)
		return; /* those that came first in this interval will do */
	if (i == o->watched_n)
		o->watched[o->watched_n++] = (struct sip_watched){ slot, pool_generation(c), 0 };
	o->watched[i].octets += octets;
}

void sip_overload_posted(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;

	if (o->turn_us != layer->worker->now_us)
		o->posted = 0;
	o->turn_us = layer->worker->now_us;
	if (++o->posted > o->posted_most)
		o->posted_most = o->posted;
}

/* How long it takes to read what stands in streams, and whether one is so full that its sender waits.  Those that are
 * watched stand for all. */
static void look_at_streams(struct sip_layer *layer, struct admission_interval *interval)
{
	const struct sip_overload *o = &layer->overload;
	struct ring *ring = layer->worker->ring;
	uint64_t octets = 0, read = 0;

	for (unsigned i = 0; i < o->watched_n; i++) {
		const struct sip_watched *w = &o->watched[i];
		struct sip_connection *c = sip_connection_find(layer, w->slot, w->generation);
		struct ring_backlog backlog;
		if (!c || ring->ops->backlog(ring, c->stream->fd, &backlog) != 0)
			continue;
		interval->is_waiting |= backlog.octets > WAITING_OCTETS && backlog.octets > backlog.room / 2;
		octets += backlog.octets + c->held_n;
		read += w->octets;
	}
	if (read && octets * (o->read_octets / read) > WAITING_OCTETS)
		interval->backlog_us = octets * interval->us / read;
	interval->is_waiting |= interval->backlog_us > WAITING_US;
}

/* More than half of the room is taken, or the kernel dropped something. */
static bool datagrams_wait(struct sip_layer *layer, unsigned listener)
{
	struct sip_overload *o = &layer->overload;
	struct ring *ring = layer->worker->ring;
	struct ring_backlog backlog;

	if (ring->ops->backlog(ring, layer->options->listeners[listener].fds[layer->worker->index], &backlog) != 0)
		return false;
	uint32_t drops = backlog.drops - o->kernel_drops[listener];
	o->kernel_drops[listener] = backlog.drops;
	COUNT_N(&layer->worker->counters, sip_kernel_drops, drops);
	return (drops > 0 && o->passing >= 1) || backlog.octets > backlog.room / 2;
}

static void find_what_waits(struct sip_layer *layer, struct admission_interval *interval)
{
	struct sip_overload *o = &layer->overload;
	bool waits = o->posted_most >= WAITING_POSTED;

	for (unsigned i = 0; i < layer->options->listener_count; i++)
		if (layer->options->listeners[i].proto == LISTEN_UDP)
			waits |= datagrams_wait(layer, i); /* all of them: they are counted */
	look_at_streams(layer, interval);
	interval->is_waiting |= waits;
	interval->is_waiting |= sip_turns_are_late(layer);
	o->watched_n = o->posted_most = 0;
	o->read_octets = 0;
}

/* ---- once an interval ---- */

static void tell(struct sip_layer *layer, enum admission_change change)
{
	struct sip_overload *o = &layer->overload;
	uint64_t now_ms = worker_now_ms(layer->worker);

	switch (change) {
	case ADMISSION_SAME:
		return;
	case ADMISSION_BEGINS:
		o->began_ms = now_ms;
		o->refused = o->dropped = 0;
		LOG(WARN, layer->worker, "overload", 0, "begins busy=%u%% high_water=%u%% reason=%s",
			layer->worker->load.thousandths / 10, layer->options->overload_high_water, reason_label(REASON_OVERLOAD));
		return;
	case ADMISSION_ENDS:
		LOG(WARN, layer->worker, "overload", 0, "ends after_s=%llu refused=%llu dropped=%llu",
			(unsigned long long)(now_ms - o->began_ms) / 1000, (unsigned long long)o->refused,
			(unsigned long long)o->dropped);
		return;
	}
}

static void allow_answers(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;
	uint64_t cpu_us = layer->worker->ring->ops->cpu_us(layer->worker->ring);
	double part = (double)(cpu_us - o->cpu_us) / (double)layer->worker->load.interval_us / OVERLOAD_PART;

	o->cpu_us = cpu_us;
	o->answers_per_us = part / ANSWER_US > ANSWERS_LEAST ? part / ANSWER_US : ANSWERS_LEAST;
}

/* False: there has been enough of that for now. */
static bool may_answer(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;
	uint64_t now_us = layer->worker->now_us, past_us = now_us - o->answers_at_us;

	o->answers_at_us = now_us;
	o->answers += (double)(past_us < ANSWERS_US ? past_us : ANSWERS_US) * o->answers_per_us;
	if (o->answers > 1 + ANSWERS_US * o->answers_per_us)
		o->answers = 1 + ANSWERS_US * o->answers_per_us;
	if (o->answers < 1)
		return false;
	o->answers--;
	return true;
}

/* Once there is more than can be answered the kernel drops it, and what is left to be decided here is decided among
 * the rest: one share, in two places. */
static void filter_datagrams(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;
	struct ring *ring = layer->worker->ring;

	o->is_filtering = o->admission.is_shedding && (o->is_filtering || o->given_up);
	o->given_up = 0;
	double passing = o->is_filtering ? o->admission.share * PASSING_MORE : 1;
	passing = passing > 1 ? 1 : passing;
	if (passing == o->passing || (passing < 1 && fabs(passing - o->passing) < o->passing * PASSING_STEP))
		return;
	o->passing = passing;
	for (unsigned i = 0; i < layer->options->listener_count; i++)
		if (layer->options->listeners[i].proto == LISTEN_UDP)
			(void)sip_datagram_filter(ring, layer->options->listeners[i].fds[layer->worker->index],
				o->passing); /* without it the rest is dropped here, which takes longer */
}

/* Again and again, for a reload may change it. */
static void write_ending(struct sip_layer *layer)
{
	struct buffer out = buffer_over(layer->overload.ending, sizeof(layer->overload.ending) - 1);

	buffer_printf(&out, "Retry-After: %u\r\n", layer->options->retry_after_s);
	if (layer->options->user_agent.n < sizeof(layer->overload.ending) / 2)
		sip_write_header(&out, "Server", layer->options->user_agent);
	sip_write_end(&out, SLICE_EMPTY, SLICE_EMPTY);
	out.p[out.n] = '\0';
}

static void on_load(struct worker *worker)
{
	struct sip_layer *layer = sip_layer_of(worker);
	struct sip_overload *o = &layer->overload;
	unsigned high_water = layer->options->overload_high_water;
	struct admission_interval interval = { .us = worker->load.interval_us, .busy = worker->load.thousandths,
		.high_water = high_water ? high_water : 100 };

	find_what_waits(layer, &interval);
	tell(layer, admission_step(&o->admission, &interval));
	worker->load.must_go_on = o->admission.is_shedding || o->passing < 1; /* others look at what it shows */
	ratio_set(&worker->counters, RATIO_worker_shed_ratio, (uint32_t)((1 - o->admission.share) * 1000));
	allow_answers(layer);
	filter_datagrams(layer);
	write_ending(layer);
}

void sip_overload_start(struct sip_layer *layer)
{
	layer->worker->on_load = on_load;
	write_ending(layer);
}

/* ---- refusing ---- */

bool sip_overload_may_begin(const struct sip_message *m)
{
	if (!m->is_request)
		return false;
	switch (m->method) {
	case SIP_ACK:
	case SIP_BYE:
	case SIP_CANCEL:
	case SIP_PRACK:
	case SIP_UPDATE:
		return false;
	case SIP_REGISTER:
	case SIP_INVITE:
	case SIP_OPTIONS:
	case SIP_MESSAGE:
	case SIP_SUBSCRIBE:
	case SIP_NOTIFY:
	case SIP_PUBLISH:
	case SIP_REFER:
	case SIP_INFO:
	case SIP_METHOD_OTHER:
		break;
	}
	return true;
}

bool sip_overload_is_new(const struct sip_message *m)
{
	struct sip_address to;

	if (m->method == SIP_REGISTER)
		return true;
	if (!sip_overload_may_begin(m))
		return false;
	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) || !to.tag.n)
		return true;
	/* a tag that anybody can make up opens no door */
	return minted_worker(to.tag) < 0 && sip_record_of(m, NULL).n == 0;
}

void sip_overload_write_tag(const struct sip_layer *layer, struct slice via, char out[OVERLOAD_TAG_CHARS])
{
	uint64_t hash = siphash(&layer->loop_key, via);

	memcpy(out, OVERLOAD_TAG, sizeof(OVERLOAD_TAG) - 1);
	for (unsigned i = 0; i < 16; i++)
		out[sizeof(OVERLOAD_TAG) - 1 + i] = "0123456789abcdef"[hash >> 4 * i & 15];
}

static struct slice top_via(const struct sip_message *m)
{
	return slice_trim(slice_cut(sip_header_value(m, SIP_HDR_VIA), ',', NULL));
}

bool sip_overload_is_acked(struct sip_layer *layer, const struct sip_message *ack)
{
	struct sip_address to;
	char tag[OVERLOAD_TAG_CHARS];

	if (!sip_address_decode(sip_header_value(ack, SIP_HDR_TO), &to) || !slice_starts(to.tag, SLICE(OVERLOAD_TAG)))
		return false;
	sip_overload_write_tag(layer, top_via(ack), tag);
	if (!slice_eq(to.tag, slice_of(tag, OVERLOAD_TAG_CHARS)))
		return false;
	COUNT(&layer->worker->counters, sip_refusals_acked);
	return true;
}

static void answer(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	char host[INET6_ADDRSTRLEN], tag[OVERLOAD_TAG_CHARS];
	struct buffer out = buffer_over(layer->scratch, layer->scratch_n);
	struct sip_response response = { .status = 503, .to_tag = slice_of(tag, OVERLOAD_TAG_CHARS) };
	struct sip_transmission t = { .flow = *flow, .is_response = true };

	if (!sip_header_first(m, SIP_HDR_VIA))
		return; /* nobody to answer: counted all the same */
	sip_overload_write_tag(layer, top_via(m), tag);
	sip_flow_source(flow, host, sizeof(host), &response.source.host, &response.source.port);
	sip_write_response(&out, m, &response);
	buffer_str(&out, layer->overload.ending);
	if (out.overflow)
		return;
	t.wire = buffer_slice(&out);
	if (!sip_flow_is_stream(flow)) /* the stream is there: it is being read */
		sip_port_set(&t.flow.peer.any, sip_answer_port(m, flow));
	sip_transport_send(layer, &t);
}

/* The log has a line when it begins and one when it ends. */
static void refuse(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow)
{
	layer->overload.refused++;
	sip_message_count_refusal(layer->worker, m, 503, REASON_OVERLOAD);
	answer(layer, m, flow);
}

static double share_of(const struct worker *worker)
{
	return 1 - __atomic_load_n(&worker->counters.ratios[RATIO_worker_shed_ratio], __ATOMIC_RELAXED) / 1000.0;
}

/* One draw for each request, whoever asks. */
static uint64_t draw(struct sip_overload *o, struct worker *worker)
{
	if (!o->is_drawn)
		o->drawn = worker_random_fast(worker);
	o->is_drawn = true;
	return o->drawn;
}

bool sip_overload_would_refuse(struct sip_layer *layer)
{
	struct sip_overload *o = &layer->overload;

	return o->admission.is_shedding &&
	       admission_would_refuse(&o->admission, o->admission.share, draw(o, layer->worker));
}

void sip_overload_count_refusal(struct sip_layer *layer)
{
	admission_refused(&layer->overload.admission);
	layer->overload.is_drawn = false;
	layer->overload.refused++;
	REFUSED(&layer->worker->counters, REASON_OVERLOAD);
}

bool sip_overload_refuses(struct sip_layer *layer, const struct sip_message *m,
	const struct sip_flow *flow, unsigned owner)
{
	struct sip_overload *o = &layer->overload;
	struct worker *worker = layer->worker;
	double share = owner == worker->index ? 1 : share_of(worker->group->workers[owner]);

	if ((!o->admission.is_shedding && share >= 1) || !sip_overload_is_new(m))
		return false;
	uint64_t random = draw(o, worker);
	o->is_drawn = false;
	if (!admission_would_refuse(&o->admission, o->admission.share < share ? o->admission.share : share, random)) {
		admission_took(&o->admission, m->method == SIP_INVITE ? SERVING_INVITE : SERVING_OTHER);
		return false;
	}
	COUNT(&worker->counters, sip_rx_messages);
	COUNT(&worker->counters, sip_rx_requests);
	sip_trace_received(worker, flow, m);
	admission_refused(&o->admission);
	refuse(layer, m, flow);
	return true;
}

/* ---- datagrams ---- */

static struct sip_remembered *place_of(struct sip_layer *layer, uint64_t hash)
{
	return &layer->overload.remembered[hash % OVERLOAD_REMEMBERED];
}

static bool is_remembered(struct sip_layer *layer, uint64_t hash)
{
	const struct sip_remembered *r = place_of(layer, hash);
	uint64_t now_ms = worker_now_ms(layer->worker);

	return now_ms < layer->overload.remembered_until_ms && r->tag == (uint32_t)(hash >> 32) &&
	       (uint32_t)now_ms - r->at_ms < OVERLOAD_REMEMBERED_MS;
}

static void remember(struct sip_layer *layer, uint64_t hash)
{
	uint64_t now_ms = worker_now_ms(layer->worker);

	*place_of(layer, hash) = (struct sip_remembered){ (uint32_t)(hash >> 32), (uint32_t)now_ms };
	layer->overload.remembered_until_ms = now_ms + OVERLOAD_REMEMBERED_MS;
}

bool sip_overload_refuses_datagram(struct sip_layer *layer, const struct sip_message *m, const struct sip_flow *flow,
	uint64_t hash)
{
	struct sip_overload *o = &layer->overload;
	struct worker *worker = layer->worker;

	if ((!o->admission.is_shedding && worker_now_ms(worker) >= o->remembered_until_ms) ||
	    sip_flow_is_stream(flow) || !sip_overload_is_new(m))
		return false;
	bool is_again = is_remembered(layer, hash);
	if (!is_again && (!o->admission.is_shedding ||
				 admission_take(&o->admission, o->admission.share / o->passing, worker_random_fast(worker))))
		return false;
	if (!may_answer(layer)) {
		o->dropped++;
		o->given_up++;
		REFUSED(&worker->counters, REASON_OVERLOAD_DROPPED); /* the sender repeats it, later */
		return true;
	}
	remember(layer, hash);
	if (is_again)
		COUNT(&worker->counters, sip_rx_retransmissions);
	refuse(layer, m, flow);
	return true;
}
