/*
 * The steps of RFC 3263 4 are taken from the first one again whenever an answer
 * came: what was known stays known, and there is no state but the cache.
 */
#include "sip/locate.h"

#include <assert.h>
#include <errno.h>

#include "core/worker.h"
#include "sip/layer.h"

#define QUESTIONS_MAX 48 /* more than all that one name may need: the cache forgets faster than we ask */

struct order {
	const struct name_record *records[NAME_RECORDS_MAX];
	unsigned count;
};

static bool may_send(struct worker *worker, enum sip_protocol protocol, int family)
{
	const struct sip_options *options = sip_options_of(worker);

	if (protocol == SIP_TLS)
		return worker->tls != NULL;
	for (unsigned i = 0; i < options->listener_count; i++)
		if (options->listeners[i].proto == LISTEN_UDP && options->listeners[i].bound.ss_family == family)
			return true;
	return protocol != SIP_UDP; /* a stream is opened from any port */
}

static uint16_t default_port(enum sip_protocol protocol)
{
	return protocol == SIP_TLS ? 5061 : 5060;
}

/* Waits for the first that is missing; of the others it is only asked. */
static int find(struct sip_location *l, enum name_kind kind, struct slice name, const struct name_question **answer)
{
	return names_find(l->worker, kind, name, l->waiter.link ? NULL : &l->waiter, answer);
}

static void add(struct sip_location *l, const struct name_record *r, enum sip_protocol protocol, uint16_t port)
{
	struct sip_candidate *c = &l->candidates[l->count];

	if (l->count == SIP_CANDIDATES_MAX || !may_send(l->worker, protocol, r->address.any.sa_family))
		return;
	c->protocol = (uint8_t)protocol;
	if (r->address.any.sa_family == AF_INET6)
		c->peer.v6 = r->address.v6;
	else
		c->peer.v4 = r->address.v4;
	sip_port_set(&c->peer.any, port);
	l->count++;
}

static int by_addresses(struct sip_location *l, struct slice host, enum sip_protocol protocol, uint16_t port)
{
	const struct name_question *answer;
	int err = find(l, NAME_ADDRESSES, host, &answer);

	if (err)
		return err;
	for (unsigned i = 0; i < answer->count; i++)
		add(l, &answer->records[i], protocol, port ? port : default_port(protocol));
	return l->count ? 0 : ENOENT;
}

/* RFC 2782: of those with the lowest priority left, one by chance in proportion to its weight. */
static const struct name_record *take_next(struct worker *worker, struct order *order)
{
	uint64_t sum = 0;
	unsigned chosen = 0;
	uint16_t lowest = UINT16_MAX;

	for (unsigned i = 0; i < order->count; i++)
		if (order->records[i]->server.priority < lowest)
			lowest = order->records[i]->server.priority;
	for (unsigned i = 0; i < order->count; i++)
		if (order->records[i]->server.priority == lowest)
			sum += order->records[i]->server.weight + 1u; /* so that a weight of 0 has a small chance */
	uint64_t at = worker_random_fast(worker) % sum;
	for (unsigned i = 0; i < order->count; i++) {
		if (order->records[i]->server.priority != lowest)
			continue;
		uint64_t share = order->records[i]->server.weight + 1u;
		chosen = i;
		if (at < share)
			break;
		at -= share;
	}
	const struct name_record *record = order->records[chosen];
	order->records[chosen] = order->records[--order->count];
	return record;
}

static void put_in_order(struct order *order, const struct name_question *answer)
{
	order->count = 0;
	for (unsigned i = 0; i < answer->count; i++)
		order->records[order->count++] = &answer->records[i];
}

/* EHOSTUNREACH: the name says that it has no such server (RFC 2782: the target is the root). */
static int by_servers(struct sip_location *l, struct slice name, enum sip_protocol protocol)
{
	const struct name_question *servers, *addresses;
	struct order order;
	bool must_wait = false;
	int err = find(l, NAME_SERVERS, name, &servers), last = EHOSTUNREACH;

	if (err)
		return err;
	put_in_order(&order, servers);
	for (unsigned i = 0; i < order.count; i++) { /* all asked at once, before any is waited for */
		const char *target = order.records[i]->server.target;
		if (target[0] && find(l, NAME_ADDRESSES, slice_str(target), &addresses) == EINPROGRESS)
			must_wait = true;
	}
	if (must_wait)
		return EINPROGRESS;
	while (order.count) {
		const struct name_record *server = take_next(l->worker, &order);
		if (!server->server.target[0])
			continue;
		err = by_addresses(l, slice_str(server->server.target), protocol, server->server.port);
		if (err)
			last = err;
	}
	return l->count ? 0 : last;
}

static int by_service(struct sip_location *l, enum sip_protocol protocol)
{
	static const char *const services[] = { "_sip._udp.", "_sip._tcp.", "_sips._tcp." };
	char name[NAME_OCTETS_MAX + 16];

	snprintf(name, sizeof(name), "%s%s", services[protocol], l->target->name);
	return by_servers(l, slice_str(name), protocol);
}

/* RFC 3263 4.1: the domain's own order of what we can use. */
static int by_pointers(struct sip_location *l)
{
	const struct name_question *answer;
	struct order order;
	int err = find(l, NAME_POINTERS, slice_str(l->target->name), &answer), last = ENOENT;

	if (err)
		return err;
	put_in_order(&order, answer);
	while (order.count) {
		const struct name_record *first = order.records[0];
		unsigned at = 0;
		for (unsigned i = 1; i < order.count; i++) {
			const struct name_record *r = order.records[i];
			if (r->server.priority < first->server.priority ||
			    (r->server.priority == first->server.priority && r->server.weight < first->server.weight))
				first = order.records[at = i];
		}
		order.records[at] = order.records[--order.count];
		if (first->server.service == 'S')
			continue; /* for sips: and for next_hop with transport=tls, which do not come here */
		last = by_servers(l, slice_str(first->server.target), first->server.service == 'T' ? SIP_TCP : SIP_UDP);
		if (last == 0 || last == EINPROGRESS || last == ENOMEM || last == ENOBUFS)
			return last;
	}
	return last;
}

static bool is_verdict(int err)
{
	return err == 0 || err == EINPROGRESS || err == ENOMEM || err == ENOBUFS || err == EHOSTUNREACH;
}

static int locate(struct sip_location *l)
{
	const struct sip_target *target = l->target;
	int err;

	l->count = 0;
	if (target->port) /* RFC 3263 4.2 */
		return by_addresses(l, slice_str(target->name), target->flow.protocol, target->port);
	if (target->any_protocol) {
		if (is_verdict(err = by_pointers(l)) || (err = by_service(l, SIP_UDP)) == 0 || err == EINPROGRESS ||
		    (err = by_service(l, SIP_TCP)) == 0 || is_verdict(err))
			return err;
	} else if (is_verdict(err = by_service(l, target->flow.protocol))) {
		return err;
	}
	return by_addresses(l, slice_str(target->name), target->flow.protocol, 0);
}

static int locate_again(struct sip_location *l)
{
	int err = ++l->questions > QUESTIONS_MAX ? EAGAIN : locate(l);

	assert(err != EINPROGRESS || l->waiter.link);
	if (err != EINPROGRESS)
		names_forget(&l->waiter); /* asked on the way, and not needed */
	return err == EHOSTUNREACH ? ENOENT : err;
}

static void on_answer(struct names_waiter *waiter)
{
	struct sip_location *l = (struct sip_location *)((char *)waiter - offsetof(struct sip_location, waiter));
	int err = locate_again(l);

	if (err != EINPROGRESS)
		l->on_located(l, err);
}

int sip_locate(struct sip_location *l, struct worker *worker, const struct sip_target *target,
	void (*on_located)(struct sip_location *, int err))
{
	l->worker = worker;
	l->target = target;
	l->on_located = on_located;
	l->waiter.on_answer = on_answer;
	l->questions = 0;
	return locate_again(l);
}

void sip_locate_forget(struct sip_location *l)
{
	names_forget(&l->waiter);
}


bool sip_locate_guess(struct worker *worker, const struct sip_target *target, struct sip_candidate *guess)
{
	struct sip_location l = { 0 };

	if (sip_locate(&l, worker, target, NULL) != 0) {
		sip_locate_forget(&l);
		return false;
	}
	*guess = l.candidates[0];
	return true;
}
