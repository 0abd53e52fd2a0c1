#include "sip/record_route.h"

#include "core/minted.h"
#include "sip/header.h"
#include "sip/uri.h"

/*
 * As octets: mark (8), hash of the tag (4), pass (4), then each end: 0, or the address family (4 or 6), protocol, listener,
 * worker (2), slot (4), generation (4), port (2) and address.  Written in hexadecimal.
 */
#define MARK_OCTETS 8
#define OCTETS_MAX  (MARK_OCTETS + 8 + 2 * (15 + 16))

struct octets {
	uint8_t p[OCTETS_MAX];
	size_t n, at;
	bool is_short; /* read beyond the end */
};

static void put(struct octets *o, uint64_t value, unsigned octets)
{
	while (octets-- > 0)
		o->p[o->n++] = (uint8_t)(value >> 8 * octets);
}

static uint64_t take(struct octets *o, unsigned octets)
{
	uint64_t value = 0;

	if (o->n - o->at < octets) {
		o->is_short = true;
		return 0;
	}
	while (octets-- > 0)
		value = value << 8 | o->p[o->at++];
	return value;
}

static void put_end(struct octets *o, const struct sip_record_end *end)
{
	bool is_v6 = end->flow.peer.any.sa_family == AF_INET6;

	put(o, !end->has_flow ? 0 : is_v6 ? 6 : 4, 1);
	if (!end->has_flow)
		return;
	put(o, end->flow.protocol, 1);
	put(o, end->flow.listener, 1);
	put(o, end->flow.worker, 2);
	put(o, end->flow.slot, 4);
	put(o, end->flow.generation, 4);
	put(o, ntohs(is_v6 ? end->flow.peer.v6.sin6_port : end->flow.peer.v4.sin_port), 2);
	const void *address = is_v6 ? (const void *)&end->flow.peer.v6.sin6_addr : &end->flow.peer.v4.sin_addr;
	memcpy(o->p + o->n, address, is_v6 ? 16 : 4);
	o->n += is_v6 ? 16 : 4;
}

static void take_end(struct octets *o, struct sip_record_end *end)
{
	uint64_t family = take(o, 1);

	memset(end, 0, sizeof(*end));
	if (family == 0)
		return;
	end->has_flow = true;
	end->flow.protocol = (uint8_t)take(o, 1);
	end->flow.listener = (uint8_t)take(o, 1);
	end->flow.worker = (uint16_t)take(o, 2);
	end->flow.slot = (uint32_t)take(o, 4);
	end->flow.generation = (uint32_t)take(o, 4);
	uint16_t port = htons((uint16_t)take(o, 2));
	size_t size = family == 6 ? 16 : 4;
	if (o->n - o->at < size) {
		o->is_short = true;
		return;
	}
	if (family == 6) {
		end->flow.peer.v6.sin6_family = AF_INET6;
		end->flow.peer.v6.sin6_port = port;
		memcpy(&end->flow.peer.v6.sin6_addr, o->p + o->at, size);
	} else {
		end->flow.peer.v4.sin_family = AF_INET;
		end->flow.peer.v4.sin_port = port;
		memcpy(&end->flow.peer.v4.sin_addr, o->p + o->at, size);
	}
	o->at += size;
}

/* Over everything behind the mark, and the Call-ID. */
static uint64_t mark_of(const struct octets *o, struct slice call_id)
{
	uint8_t text[OCTETS_MAX + 8];
	uint64_t call = minted_hash(call_id);
	size_t n = o->n - MARK_OCTETS;

	memcpy(text, o->p + MARK_OCTETS, n);
	memcpy(text + n, &call, sizeof(call));
	return minted_hash(slice_of((const char *)text, n + sizeof(call)));
}

uint32_t sip_record_tag(struct slice from_tag)
{
	return (uint32_t)minted_hash(from_tag);
}

void sip_record_write(struct buffer *out, const struct sip_record *record, struct slice call_id)
{
	struct octets o = { .n = MARK_OCTETS };

	put(&o, record->asker_tag, 4);
	put(&o, record->pass, 4);
	put_end(&o, &record->asker);
	put_end(&o, &record->asked);
	uint64_t mark = mark_of(&o, call_id);
	for (unsigned i = 0; i < MARK_OCTETS; i++)
		o.p[i] = (uint8_t)(mark >> 8 * (MARK_OCTETS - 1 - i));
	for (size_t i = 0; i < o.n; i++) {
		buffer_char(out, "0123456789abcdef"[o.p[i] >> 4]);
		buffer_char(out, "0123456789abcdef"[o.p[i] & 15]);
	}
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool sip_record_read(struct slice user, struct slice call_id, struct sip_record *record)
{
	struct octets o = { .n = user.n / 2 };
	struct sip_record read;

	if (user.n % 2 || o.n < MARK_OCTETS + 10 || o.n > OCTETS_MAX)
		return false;
	for (size_t i = 0; i < o.n; i++) {
		int high = digit_of(user.p[2 * i]), low = digit_of(user.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		o.p[i] = (uint8_t)(high << 4 | low);
	}
	if (take(&o, MARK_OCTETS) != mark_of(&o, call_id))
		return false;
	read.asker_tag = (uint32_t)take(&o, 4);
	read.pass = (uint32_t)take(&o, 4);
	take_end(&o, &read.asker);
	take_end(&o, &read.asked);
	if (o.is_short || o.at != o.n) /* cannot be: we wrote it */
		return false;
	if (record)
		*record = read;
	return true;
}

struct slice sip_record_of(const struct sip_message *m, struct sip_record *record)
{
	struct slice call_id = sip_header_value(m, SIP_HDR_CALL_ID);
	struct sip_items items = sip_items_of(m, SIP_HDR_ROUTE);
	struct sip_address route;
	struct sip_uri uri;

	if (sip_address_next(&items, &route) == SIP_ITEM_OK && sip_uri_parse(route.uri, &uri) &&
	    sip_record_read(uri.user, call_id, record))
		return uri.user;
	if (sip_uri_parse(m->uri, &uri) && sip_record_read(uri.user, call_id, record))
		return uri.user;
	return SLICE_EMPTY;
}
