#include "sip/hep.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "core/log.h"
#include "sip/header.h"

#define QUEUE_OCTETS   ((size_t)8 * 1024 * 1024)
#define CALL_ID_MAX    256
#define LOOK_UP_S      30 /* before a name that was not known is asked for again */
#define SAY_S          60

/* HEP 3: a chunk is vendor 0, type, length with these six octets, value. */
enum {
	CHUNK_FAMILY = 1, CHUNK_PROTOCOL = 2, CHUNK_IPV4_FROM = 3, CHUNK_IPV4_TO = 4, CHUNK_IPV6_FROM = 5, CHUNK_IPV6_TO = 6,
	CHUNK_PORT_FROM = 7, CHUNK_PORT_TO = 8, CHUNK_SECONDS = 9, CHUNK_MICROSECONDS = 10, CHUNK_PAYLOAD_TYPE = 11,
	CHUNK_CAPTURE_ID = 12, CHUNK_PAYLOAD = 15, CHUNK_CORRELATION_ID = 17,
};
#define CHUNK_HEAD   6
#define FAMILY_IPV4  2
#define FAMILY_IPV6  10
#define PAYLOAD_SIP  1

atomic_bool sip_hep_is_on;

struct sip_hep_target {
	struct hep_collector collector;
};

static struct {
	struct outlet *outlet;
	struct counters counters;
	atomic_uint capture_id;
	/* ---- the outlet's thread ---- */
	struct hep_collector collector;
	int fd; /* -1: off, or the name is not known */
	time_t look_up_at_s, said_s;
} hep = { .fd = -1 };

/* ---- one packet ---- */

static void put_number(struct buffer *out, uint32_t value, unsigned octets)
{
	while (octets-- > 0)
		buffer_char(out, (char)(value >> 8 * octets));
}

static void put_head(struct buffer *out, unsigned type, size_t n)
{
	put_number(out, 0, 2);
	put_number(out, type, 2);
	put_number(out, (uint32_t)(CHUNK_HEAD + n), 2);
}

static void put_chunk(struct buffer *out, unsigned type, struct slice value)
{
	put_head(out, type, value.n);
	buffer_put(out, value);
}

static void put_number_chunk(struct buffer *out, unsigned type, uint32_t value, unsigned octets)
{
	put_head(out, type, octets);
	put_number(out, value, octets);
}

static uint16_t port_of(const struct net_address *a)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

static void put_address(struct buffer *out, const struct net_address *a, bool is_v6, unsigned v4_type, unsigned v6_type)
{
	if (is_v6)
		put_chunk(out, v6_type, slice_of((const char *)&a->v6.sin6_addr, 16));
	else
		put_chunk(out, v4_type, slice_of((const char *)&a->v4.sin_addr, 4));
}

size_t sip_hep_write(char *to, size_t size, const struct sip_hep_packet *packet)
{
	struct buffer out = buffer_over(to, size);
	const struct sip_copy_ends *ends = &packet->ends;
	bool is_v6 = ends->from.any.sa_family == AF_INET6;
	struct slice call_id = sip_header_value(packet->message, SIP_HDR_CALL_ID);

	if (call_id.n > CALL_ID_MAX)
		call_id.n = CALL_ID_MAX;
	buffer_lit(&out, "HEP3");
	put_number(&out, 0, 2); /* the length, written below */
	put_number_chunk(&out, CHUNK_FAMILY, is_v6 ? FAMILY_IPV6 : FAMILY_IPV4, 1);
	put_number_chunk(&out, CHUNK_PROTOCOL, ends->is_stream ? IPPROTO_TCP : IPPROTO_UDP, 1);
	put_address(&out, &ends->from, is_v6, CHUNK_IPV4_FROM, CHUNK_IPV6_FROM);
	put_address(&out, &ends->to, is_v6, CHUNK_IPV4_TO, CHUNK_IPV6_TO);
	put_number_chunk(&out, CHUNK_PORT_FROM, port_of(&ends->from), 2);
	put_number_chunk(&out, CHUNK_PORT_TO, port_of(&ends->to), 2);
	put_number_chunk(&out, CHUNK_SECONDS, (uint32_t)(packet->wall_us / 1000000), 4);
	put_number_chunk(&out, CHUNK_MICROSECONDS, (uint32_t)(packet->wall_us % 1000000), 4);
	put_number_chunk(&out, CHUNK_PAYLOAD_TYPE, PAYLOAD_SIP, 1);
	put_number_chunk(&out, CHUNK_CAPTURE_ID, packet->capture_id, 4);
	if (call_id.n)
		put_chunk(&out, CHUNK_CORRELATION_ID, call_id);
	if (out.overflow || size - out.n < CHUNK_HEAD)
		return 0;
	size_t room = size - out.n - CHUNK_HEAD;
	size_t n = packet->message->wire.n < room ? packet->message->wire.n : room;
	put_head(&out, CHUNK_PAYLOAD, n);
	out.n += sip_copy(to + out.n, n, packet->message);
	to[4] = (char)(out.n >> 8);
	to[5] = (char)out.n;
	return out.n;
}

/* ---- workers ---- */

void sip_hep_message_now(struct worker *worker, bool is_in, const struct sip_flow *flow, const struct sip_message *m)
{
	char text[SIP_HEP_PACKET_MAX];
	struct sip_hep_packet packet = { .wall_us = worker->ring->ops->wall_us(worker->ring),
		.capture_id = atomic_load_explicit(&hep.capture_id, memory_order_relaxed), .message = m };

	sip_copy_find_ends(worker, flow, is_in, &packet.ends);
	if (!outlet_put(hep.outlet, slice_of(text, sip_hep_write(text, sizeof(text), &packet))))
		COUNT(&worker->counters, hep_lost);
}

void sip_hep_wire_now(struct worker *worker, const struct sip_flow *flow, struct slice wire)
{
	struct sip_limits limits = { wire.n + 1, wire.n + 1, 0 };
	struct sip_message m;
	size_t used;

	if (sip_message_parse(&m, wire, &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
		sip_hep_message_now(worker, false, flow, &m);
}

/* ---- the outlet's thread ---- */

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + 1; /* never 0 */
}

static void say(const char *event, const char *error)
{
	if (hep.said_s && now_s() < hep.said_s + SAY_S)
		return;
	hep.said_s = now_s();
	LOG(WARN, NULL, "hep", 0, "%s collector=%s error=\"%s\"", event, hep.collector.host, error);
}

static void close_socket(void)
{
	if (hep.fd >= 0)
		close(hep.fd); /* a socket of datagrams has nothing left to write */
	hep.fd = -1;
}

/* Asks the system for the name, which may take its time: only this thread waits. */
static void look_up(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *found = NULL;
	char port[8];

	if (hep.look_up_at_s > now_s())
		return;
	hep.look_up_at_s = now_s() + LOOK_UP_S;
	snprintf(port, sizeof(port), "%u", hep.collector.port);
	int failed = getaddrinfo(hep.collector.host, port, &hints, &found);
	if (failed) {
		say("name-unknown", gai_strerror(failed));
		return;
	}
	for (const struct addrinfo *a = found; a && hep.fd < 0; a = a->ai_next) {
		hep.fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (hep.fd >= 0 && connect(hep.fd, a->ai_addr, a->ai_addrlen) != 0) {
			say("cannot-send", strerror(errno));
			close_socket();
		}
	}
	freeaddrinfo(found);
}

/* How many from the first on are done with: sent, or lost. */
static unsigned send_some(struct mmsghdr *packets, unsigned count)
{
	int n, err;

	do
		n = sendmmsg(hep.fd, packets, count, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		COUNT_N(&hep.counters, hep_packets, (unsigned)n);
		return (unsigned)n;
	}
	err = errno;
	say("cannot-send", strerror(err));
	COUNT(&hep.counters, hep_lost);
	return err != ECONNREFUSED; /* that tells of one sent before, which is the one that was lost */
}

static unsigned on_write(void *arg, const struct slice *pieces, unsigned count)
{
	struct mmsghdr packets[OUTLET_BATCH];
	struct iovec octets[OUTLET_BATCH];
	unsigned done = 0, refusals = 0;

	(void)arg;
	if (hep.fd < 0 && hep.collector.host[0])
		look_up();
	if (hep.fd < 0) { /* nobody wants old copies later */
		COUNT_N(&hep.counters, hep_lost, count);
		return count;
	}
	memset(packets, 0, sizeof(packets));
	for (unsigned i = 0; i < count; i++) {
		octets[i] = (struct iovec){ (char *)pieces[i].p, pieces[i].n };
		packets[i].msg_hdr = (struct msghdr){ .msg_iov = &octets[i], .msg_iovlen = 1 };
	}
	while (done < count) {
		unsigned n = send_some(packets + done, count - done);
		if (n == 0 && ++refusals > count) /* each packet brings at most one */
			n = 1;
		done += n;
	}
	return count;
}

static void on_turn_to(void *arg, void *target)
{
	(void)arg;
	close_socket();
	hep.collector = ((struct sip_hep_target *)target)->collector;
	hep.look_up_at_s = 0;
	free(target);
	if (hep.collector.host[0])
		look_up();
}

static void on_lost(void *arg, uint64_t count)
{
	(void)arg;
	COUNT_N(&hep.counters, hep_lost, count);
}

static const struct outlet_ops ops = { "hep", on_write, on_turn_to, free, on_lost };

/* ---- the main thread ---- */

int sip_hep_open(void)
{
	return outlet_make(&hep.outlet, &ops, NULL, QUEUE_OCTETS);
}

int sip_hep_prepare(const struct hep_collector *collector, struct sip_hep_target **target)
{
	struct sip_hep_target *t = calloc(1, sizeof(*t));
	int err = t ? 0 : ENOMEM;

	if (t && collector)
		t->collector = *collector;
	if (t && t->collector.host[0])
		err = outlet_start(hep.outlet);
	if (err)
		free(t);
	else
		*target = t;
	return err;
}

void sip_hep_turn_to(struct sip_hep_target *target)
{
	bool is_on = target->collector.host[0];

	atomic_store(&hep.capture_id, target->collector.capture_id);
	outlet_turn_to(hep.outlet, target, is_on);
	atomic_store(&sip_hep_is_on, is_on);
}

void sip_hep_forget(struct sip_hep_target *target)
{
	free(target);
}

struct counters *sip_hep_counters(void)
{
	return &hep.counters;
}

void sip_hep_close(void)
{
	atomic_store(&sip_hep_is_on, false);
	outlet_free(hep.outlet);
	hep.outlet = NULL;
	close_socket();
}
