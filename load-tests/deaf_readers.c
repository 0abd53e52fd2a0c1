#include "load-tests/deaf_readers.h"

#define MESSAGE_OCTETS 16384u

void deaf_begin(struct deaf_readers *d, struct pair *pairs, uint32_t n, uint64_t start_ns, uint64_t end_ns)
{
	*d = (struct deaf_readers){ pairs, n, start_ns, end_ns, false };
}

static uint64_t interval_ns(const struct deaf_readers *d)
{
	return (d->end_ns - d->start_ns) / DEAF_INTERVALS;
}

static bool is_deaf_time(const struct deaf_readers *d, uint64_t now_ns)
{
	return d->n && now_ns >= d->start_ns && now_ns < d->end_ns && (now_ns - d->start_ns) / interval_ns(d) % 2;
}

void deaf_turn(struct deaf_readers *d, uint64_t now_ns)
{
	bool are_deaf = is_deaf_time(d, now_ns);

	if (are_deaf == d->are_deaf)
		return;
	d->are_deaf = are_deaf;
	for (uint32_t i = 0; i < d->n; i++) {
		struct pair *p = &d->pairs[i];
		if (p->state != PAIR_UP)
			continue;
		msrp_stop_reading(p->b.connection, are_deaf);
		if (are_deaf)
			msrp_want_send(&p->a);
	}
}

bool deaf_next(struct deaf_readers *d, struct pair *p, struct msrp_outgoing *out)
{
	if (!d->are_deaf || p->state != PAIR_UP)
		return false;
	*out = (struct msrp_outgoing){
		.sequence = p->begun++, .octets = MESSAGE_OCTETS, .total = MESSAGE_OCTETS
	};
	return true;
}

struct histogram *deaf_histogram(const struct deaf_readers *d, uint64_t due_ns, struct histogram *without,
				 struct histogram *with)
{
	if (!d->n || due_ns < d->start_ns || due_ns >= d->end_ns)
		return NULL;
	if ((due_ns - d->start_ns) % interval_ns(d) < interval_ns(d) / 2)
		return NULL;
	return is_deaf_time(d, due_ns) ? with : without;
}
