#include "msrp/foreign.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "msrp/connection.h"
#include "msrp/input.h"
#include "msrp/output.h"
#include "msrp/pressure.h"
#include "msrp/switch.h"

enum {
	MSRP_CONNECTION_MOVED = MSG_MSRP_FIRST, /* hand-over: the connection is yours            */
	MSRP_PROXY_INPUT,     /* home to owner: octets for your sessions                         */
	MSRP_HOME_CREDIT,     /* its answer                                                      */
	MSRP_HOME_OUTPUT,     /* owner to home: whole chunks to write                            */
	MSRP_PROXY_WRITTEN,   /* its answer, when they were written or never will be             */
	MSRP_HOME_IDLE,       /* owner to home: no session of mine uses it any more              */
	MSRP_PROXY_LOST,      /* home to owner: the connection is gone                           */
	MSRP_HOME_LOST,       /* owner to home: its peer is owed what cannot be written          */
};

/* Names a connection across workers. */
struct name {
	uint32_t worker, slot, generation;
};

struct octets_msg {
	struct msg msg;
	struct name home;
	bool has_legs;           /* HOME_CREDIT: the proxy carries a session               */
	enum reason why;         /* PROXY_LOST, HOME_LOST; HOME_CREDIT with an error       */
	int fd;                  /* CONNECTION_MOVED                                       */
	struct tls *tls;         /* CONNECTION_MOVED: or NULL                              */
	struct tls_certificate certificate; /* PROXY_INPUT                                 */
	uint64_t unbound_at_ms;  /* CONNECTION_MOVED                                       */
	uint64_t end;            /* HOME_OUTPUT: written when the home has sent that many  */
	TAILQ_ENTRY(octets_msg) link;
	size_t n, size;
	char octets[];
};

struct owner {
	bool has_legs;
	uint32_t under_way;      /* PROXY_INPUT not answered yet                            */
	struct octets_msg *lost; /* made with the first input: telling cannot fail          */
};

struct msrp_foreign_home {
	TAILQ_HEAD(, octets_msg) outputs; /* in the stream's queue, oldest first            */
	struct tls_certificate certificate; /* of the peer: two digests of it for each chunk are many */
	uint64_t queued_ever;
	unsigned count;
	struct owner owners[];
};

struct msrp_proxy {
	struct name home;
	struct tls_certificate certificate; /* of the peer */
	struct msrp_connection *next_of_bucket;
	struct octets_msg *lost; /* made with it: telling its home cannot fail; NULL: told  */
	struct octets_msg *out;  /* what this turn has written                              */
	size_t whole;            /* octets of `out` before its last chunk                   */
	size_t queued;           /* octets that the home has not written yet                */
};

static struct octets_msg *make_msg(uint16_t kind, struct name home, size_t size)
{
	struct octets_msg *m = malloc(sizeof(*m) + size);

	if (!m)
		return NULL;
	*m = (struct octets_msg){ .msg.kind = kind, .home = home, .size = size };
	return m;
}

static struct name name_of(const struct msrp_connection *c)
{
	return (struct name){ c->endpoint->worker->index, pool_slot(c), pool_generation(c) };
}

static struct msrp_connection *find_home(struct msrp_endpoint *endpoint, struct name home)
{
	return endpoint ? pool_find(&endpoint->connections, home.slot, home.generation) : NULL;
}

/* ---- hand-over ---- */

int msrp_foreign_hand_over(struct msrp_connection *c)
{
	struct worker *worker = c->endpoint->worker;
	struct octets_msg *m = make_msg(MSRP_CONNECTION_MOVED, name_of(c), c->held.n);
	int fd;

	if (!m)
		return ENOMEM;
	m->tls = stream_tls_of(c->stream);
	fd = stream_detach(c->stream);
	if (fd < 0) {
		free(m);
		return EBUSY;
	}
	m->fd = fd;
	m->unbound_at_ms = c->unbound_at_ms;
	m->n = c->held.n;
	if (m->n)
		memcpy(m->octets, c->held.p, m->n);
	COUNT(&worker->counters, msrp_handovers);
	worker_post(worker, c->waits_for, &m->msg);
	return 0;
}

static void on_connection_moved(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c = NULL;

	if (endpoint && !endpoint->is_stopping)
		c = msrp_connection_adopt(endpoint, m->fd, m->tls, m->unbound_at_ms);
	if (c) {
		c->was_handed_over = true;
		msrp_input_receive(c, slice_of(m->octets, m->n));
	} else {
		tls_free(m->tls);
		worker->ring->ops->close(worker->ring, m->fd);
	}
	free(m);
}

/* ---- home ---- */

bool msrp_foreign_is_used(const struct msrp_connection *c)
{
	for (unsigned i = 0; c->foreign && i < c->foreign->count; i++) {
		if (c->foreign->owners[i].has_legs || c->foreign->owners[i].under_way)
			return true;
	}
	return false;
}

bool msrp_foreign_has(const struct msrp_connection *c, unsigned owner)
{
	return c->foreign && c->foreign->owners[owner].lost;
}

static int prepare(struct msrp_connection *c, unsigned owner)
{
	struct worker *worker = c->endpoint->worker;
	unsigned count = worker->group->count;

	if (!c->foreign) {
		struct msrp_foreign_home *foreign =
			calloc(1, sizeof(*foreign) + count * sizeof(foreign->owners[0]));
		if (!foreign)
			return ENOMEM;
		TAILQ_INIT(&foreign->outputs);
		foreign->count = count;
		foreign->queued_ever = stream_queued(c->stream);
		msrp_connection_certificate(c, &foreign->certificate);
		c->foreign = foreign;
		msrp_connection_set_receive(c); /* shared from now on: one-shot */
	}
	if (!c->foreign->owners[owner].lost)
		c->foreign->owners[owner].lost = make_msg(MSRP_PROXY_LOST, name_of(c), 0);
	return c->foreign->owners[owner].lost ? 0 : ENOMEM;
}

/* Per (home, owner), in octets.  All that is under way may be for one leg, which is dropped beyond
 * its high mark, so it must fit below that. */
static size_t credit_of(const struct msrp_endpoint *endpoint)
{
	return endpoint->options->limits.leg_high / 2;
}

/* What is under way takes memory also where a peer sends it octet by octet. */
static size_t cost_of(const struct octets_msg *m)
{
	return sizeof(*m) + m->n;
}

/* One receive too much is fine. */
static void take_credit(struct msrp_connection *c, unsigned owner, size_t n)
{
	struct msrp_endpoint *endpoint = c->endpoint;

	endpoint->used_credit[owner] += n;
	if (endpoint->used_credit[owner] < credit_of(endpoint) || c->pauses & PAUSE_CREDIT)
		return;
	COUNT(&endpoint->worker->counters, mailbox_credit_waits);
	c->waits_for = owner;
	TAILQ_INSERT_TAIL(&endpoint->without_credit[owner], c, credit_link);
	msrp_connection_pause(c, PAUSE_CREDIT);
}

static void give_credit(struct msrp_endpoint *endpoint, unsigned owner, size_t n)
{
	struct msrp_connection *c;

	endpoint->used_credit[owner] -= n;
	/* Not for every little: half of it is worth starting a receive. */
	if (endpoint->used_credit[owner] > credit_of(endpoint) / 2)
		return;
	while ((c = TAILQ_FIRST(&endpoint->without_credit[owner]))) {
		TAILQ_REMOVE(&endpoint->without_credit[owner], c, credit_link);
		msrp_connection_resume(c, PAUSE_CREDIT);
	}
}

int msrp_foreign_send(struct msrp_connection *c, unsigned owner, struct slice octets)
{
	struct octets_msg *m;

	if (prepare(c, owner) != 0 || !(m = make_msg(MSRP_PROXY_INPUT, name_of(c), octets.n)))
		return ENOMEM;
	memcpy(m->octets, octets.p, octets.n);
	m->n = octets.n;
	m->certificate = c->foreign->certificate;
	c->foreign->owners[owner].under_way++;
	msrp_connection_share(c);
	take_credit(c, owner, cost_of(m));
	worker_post(c->endpoint->worker, owner, &m->msg);
	return 0;
}

static void on_home_credit(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c = find_home(endpoint, m->home);

	if (endpoint)
		give_credit(endpoint, msg->from, cost_of(m));
	if (c) {
		struct owner *owner = &c->foreign->owners[msg->from];
		owner->under_way--;
		owner->has_legs = m->has_legs;
		if (msg->err)
			msrp_connection_lose(c, m->why);
		else if (m->has_legs && !c->was_bound) {
			msrp_connection_has_session(c);
			msrp_connection_watch_for_stall(c); /* the chunk that named it may not be whole yet */
		}
		msrp_connection_close_if_unused(c);
	}
	free(m);
}

static void on_home_idle(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_connection *c = find_home(msrp_endpoint_of(worker), m->home);

	/* With octets under way a session may come again: their answer says it. */
	if (c && !c->foreign->owners[msg->from].under_way) {
		c->foreign->owners[msg->from].has_legs = false;
		msrp_connection_close_if_unused(c);
	}
	free(m);
}

static void on_home_lost(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_connection *c = find_home(msrp_endpoint_of(worker), m->home);

	if (c)
		msrp_connection_lose(c, m->why);
	free(m);
}

static void on_home_output(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_connection *c = find_home(msrp_endpoint_of(worker), m->home);

	if (!c || !msrp_output_write(c, slice_of(m->octets, m->n), NULL)) {
		worker_answer(worker, msg, MSRP_PROXY_WRITTEN, ENOTCONN);
		return;
	}
	struct octets_msg *small = realloc(m, sizeof(*m)); /* its octets are in the queue of the stream now */
	if (small)
		m = small;
	m->end = c->foreign->queued_ever;
	TAILQ_INSERT_TAIL(&c->foreign->outputs, m, link);
}

void msrp_foreign_on_queued(struct msrp_connection *c, size_t n)
{
	if (c->foreign)
		c->foreign->queued_ever += n;
}

void msrp_foreign_on_written(struct msrp_connection *c)
{
	struct octets_msg *m;

	if (!c->foreign)
		return;
	/* ciphertext is longer than what was written: then too little is told until all of it is sent */
	size_t queued = stream_queued(c->stream);
	uint64_t written = c->foreign->queued_ever > queued ? c->foreign->queued_ever - queued : 0;
	while ((m = TAILQ_FIRST(&c->foreign->outputs)) && m->end <= written) {
		TAILQ_REMOVE(&c->foreign->outputs, m, link);
		worker_answer(c->endpoint->worker, &m->msg, MSRP_PROXY_WRITTEN, 0);
	}
}

void msrp_foreign_end(struct msrp_connection *c)
{
	struct worker *worker = c->endpoint->worker;
	struct octets_msg *m;

	if (!c->foreign)
		return;
	while ((m = TAILQ_FIRST(&c->foreign->outputs))) {
		TAILQ_REMOVE(&c->foreign->outputs, m, link);
		worker_answer(worker, &m->msg, MSRP_PROXY_WRITTEN, ENOTCONN);
	}
	for (unsigned i = 0; i < c->foreign->count; i++) {
		if (!(m = c->foreign->owners[i].lost))
			continue;
		m->why = c->is_lost ? c->lost_why : REASON_PEER_CLOSED;
		worker_post(worker, i, &m->msg);
	}
	free(c->foreign);
	c->foreign = NULL;
}

/* ---- owner: proxies ---- */

static struct msrp_connection **bucket_of(struct msrp_endpoint *endpoint, struct name home)
{
	uint32_t hash = (home.worker * 31 + home.slot) * 0x9e3779b1u ^ home.generation;

	return &endpoint->proxies[hash % MSRP_PROXY_BUCKETS];
}

static struct msrp_connection *find_proxy(struct msrp_endpoint *endpoint, struct name home)
{
	struct msrp_connection *c = *bucket_of(endpoint, home);

	while (c && memcmp(&c->proxy->home, &home, sizeof(home)) != 0)
		c = c->proxy->next_of_bucket;
	return c;
}

const struct tls_certificate *msrp_proxy_certificate(const struct msrp_connection *c)
{
	return &c->proxy->certificate;
}

static struct msrp_connection *open_proxy(struct msrp_endpoint *endpoint, struct name home)
{
	struct msrp_connection **bucket = bucket_of(endpoint, home), *c;
	struct msrp_proxy *proxy = calloc(1, sizeof(*proxy));

	if (!proxy)
		return NULL;
	proxy->lost = make_msg(MSRP_HOME_LOST, home, 0);
	c = proxy->lost ? msrp_connection_make_proxy(endpoint, proxy) : NULL;
	if (!c) {
		free(proxy->lost);
		free(proxy);
		return NULL;
	}
	proxy->home = home;
	proxy->next_of_bucket = *bucket;
	*bucket = c;
	c->was_bound = true; /* its home watches for bindings that never come */
	return c;
}

static void on_proxy_input(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c = NULL;

	if (endpoint && !(c = find_proxy(endpoint, m->home)))
		c = open_proxy(endpoint, m->home);
	if (c) {
		c->proxy->certificate = m->certificate;
		msrp_input_receive(c, slice_of(m->octets, m->n));
	}
	m->has_legs = c && c->leg_count > 0;
	m->why = c && c->is_lost ? c->lost_why : REASON_POOL_EXHAUSTED;
	worker_answer(worker, msg, MSRP_HOME_CREDIT, c && !c->is_lost ? 0 : ENOTCONN);
}

static void on_proxy_lost(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c = endpoint ? find_proxy(endpoint, m->home) : NULL;

	if (c)
		msrp_connection_end_proxy(c, m->why);
	free(m);
}

static void on_proxy_written(struct worker *worker, struct msg *msg)
{
	struct octets_msg *m = (struct octets_msg *)msg;
	struct msrp_endpoint *endpoint = msrp_endpoint_of(worker);
	struct msrp_connection *c = endpoint ? find_proxy(endpoint, m->home) : NULL;

	if (c) {
		c->proxy->queued -= m->n;
		msrp_pressure_account(c);
	}
	free(m);
}

char *msrp_proxy_reserve(struct msrp_connection *c, size_t n)
{
	struct octets_msg *m = c->proxy->out;

	if (!m)
		m = make_msg(MSRP_HOME_OUTPUT, c->proxy->home, n > 1024 ? n : 1024);
	else if (n > m->size - m->n) {
		size_t size = 2 * (m->n + n);
		m = realloc(m, sizeof(*m) + size);
		if (m)
			m->size = size;
	}
	if (!m)
		return NULL;
	c->proxy->out = m;
	if (!c->writer)
		c->proxy->whole = m->n;
	return m->octets + m->n;
}

void msrp_proxy_commit(struct msrp_connection *c, size_t n)
{
	c->proxy->out->n += n;
	c->proxy->queued += n;
	msrp_todo(c, TODO_FLUSH);
}

size_t msrp_proxy_queued(const struct msrp_connection *c)
{
	return c->proxy->queued;
}

static void post_output(struct msrp_connection *c, struct octets_msg *m)
{
	if (m->n)
		worker_post(c->endpoint->worker, c->proxy->home.worker, &m->msg);
	else
		free(m);
}

/*
 * A chunk that came in a few octets at a time would leave in as many chunks, each with a head a hundred times as
 * long: a little of one that is open waits for more, or for its end.  So little that its sender is not held for it.
 */
static bool keep_little(struct msrp_connection *c)
{
	size_t low = c->endpoint->options->limits.leg_low / 8, little = low < MSRP_SMALL_CHUNK ? low : MSRP_SMALL_CHUNK;
	struct octets_msg *m = c->proxy->out, *rest;
	size_t whole = c->proxy->whole, n;

	if (!c->writer || !m || (n = m->n - whole) > little)
		return false;
	if (whole == 0)
		return true;
	rest = make_msg(MSRP_HOME_OUTPUT, c->proxy->home, MSRP_SMALL_CHUNK);
	if (!rest)
		return false;
	memcpy(rest->octets, m->octets + whole, n);
	rest->n = n;
	m->n = whole;
	post_output(c, m);
	c->proxy->out = rest;
	c->proxy->whole = 0;
	return true;
}

void msrp_proxy_flush(struct msrp_connection *c)
{
	struct octets_msg *m;

	/* Chunks of this worker and of others share the real connection: only whole ones travel. */
	if (keep_little(c))
		return;
	if (c->writer)
		msrp_switch_interrupt(c->writer, c);
	m = c->proxy->out;
	if (!m)
		return;
	c->proxy->out = NULL;
	if (c->has_half) { /* there was no memory for its end; the sessions of others go on behind it */
		c->proxy->queued -= m->n - c->proxy->whole;
		m->n = c->proxy->whole;
	}
	post_output(c, m);
}

void msrp_proxy_is_idle(struct msrp_connection *c)
{
	struct octets_msg *m;

	msrp_proxy_flush(c);
	m = make_msg(MSRP_HOME_IDLE, c->proxy->home, 0);
	if (!m) { /* the connection then stays until its peer closes it */
		REFUSED(&c->endpoint->worker->counters, REASON_NO_MEMORY);
		return;
	}
	worker_post(c->endpoint->worker, c->proxy->home.worker, &m->msg);
}

void msrp_proxy_tell_lost(struct msrp_connection *c)
{
	struct octets_msg *m = c->proxy->lost;

	if (!m)
		return;
	c->proxy->lost = NULL;
	m->why = c->lost_why;
	worker_post(c->endpoint->worker, c->proxy->home.worker, &m->msg);
}

void msrp_proxy_free(struct msrp_connection *c)
{
	struct msrp_connection **link = bucket_of(c->endpoint, c->proxy->home);

	while (*link != c)
		link = &(*link)->proxy->next_of_bucket;
	*link = c->proxy->next_of_bucket;
	free(c->proxy->out);
	free(c->proxy->lost);
	free(c->proxy);
	c->proxy = NULL;
}

void msrp_foreign_init(struct worker *worker)
{
	worker->on_message[MSRP_CONNECTION_MOVED] = on_connection_moved;
	worker->on_message[MSRP_PROXY_INPUT] = on_proxy_input;
	worker->on_message[MSRP_HOME_CREDIT] = on_home_credit;
	worker->on_message[MSRP_HOME_OUTPUT] = on_home_output;
	worker->on_message[MSRP_PROXY_WRITTEN] = on_proxy_written;
	worker->on_message[MSRP_HOME_IDLE] = on_home_idle;
	worker->on_message[MSRP_PROXY_LOST] = on_proxy_lost;
	worker->on_message[MSRP_HOME_LOST] = on_home_lost;
}
