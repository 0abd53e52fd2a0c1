/* The host of the clients, messages and their octets, and what scenarios wait for. */
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

#define WAIT_MS          100000
#define WAIT_DELIVERY_MS 1000000 /* the slowest network brings some octets per millisecond */

/* ---- small helpers ---- */

uint64_t ua_now_us(const struct ua_host *host)
{
	return host->ring->ops->now_us(host->ring);
}

void ua_name(struct ua_host *host, char *out, size_t n, const char *prefix)
{
	snprintf(out, n, "%s%u.%08x", prefix, ++host->names, world_below(host->world, 0x7fffffff));
}

void *ua_alloc(size_t n)
{
	void *p = calloc(1, n);

	assert(p);
	return p;
}

char *ua_copy(struct slice text)
{
	char *p = ua_alloc(text.n + 1);

	memcpy(p, text.p, text.n);
	return p;
}

struct slice ua_line(struct slice *text)
{
	const char *end = text->n ? memmem(text->p, text->n, "\r\n", 2) : NULL;
	struct slice line = end ? slice_of(text->p, (size_t)(end - text->p)) : *text;

	*text = slice_skip(*text, line.n + 2);
	return line;
}

bool ua_header(struct slice headers, const char *name, struct slice *value)
{
	while (headers.n) {
		struct slice rest, line = ua_line(&headers);
		if (slice_case_eq(slice_trim(slice_cut(line, ':', &rest)), slice_str(name))) {
			*value = slice_trim(rest);
			return true;
		}
	}
	return false;
}

/* ---- the host ---- */

struct ua_host *ua_host_new(struct world *w, struct ring *ring)
{
	struct ua_host *host = ua_alloc(sizeof(*host));

	host->world = w;
	host->ring = ring;
	host->last_message = &host->messages;
	return host;
}

struct ua *ua_new(struct world *w, const char *name)
{
	struct ua_private *p = ua_alloc(sizeof(*p));
	struct ua **last = &w->clients->uas;

	p->ua = (struct ua){ .host = w->clients, .is_tcp = w->is_tcp };
	p->udp = -1;
	snprintf(p->ua.name, sizeof(p->ua.name), "%s", name);
	while (*last)
		last = &(*last)->next;
	*last = &p->ua;
	if (!p->ua.is_tcp)
		ua_udp_open(&p->ua);
	p->msrp_listener = ua_link_listen(&p->ua, &p->msrp_port);
	return &p->ua;
}

struct ua *ua_phone(struct world *w, const struct ua *user, unsigned q)
{
	struct ua *ua = ua_new(w, user->name);

	for (const struct ua *other = w->clients->uas; other; other = other->next)
		if (other != ua && strcmp(other->name, user->name) == 0 && other->phone >= ua->phone)
			ua->phone = other->phone + 1;
	ua->q = q;
	return ua;
}

struct call *ua_winner(struct call *call)
{
	struct call *winner = NULL;

	for (struct call *c = call->ua->host->calls; c; c = c->next) {
		if (c->is_caller || c->far != call || !c->is_answered || !c->is_acked || c->is_over)
			continue;
		if (winner)
			world_fail(call->ua->host->world, "two clients have the same session");
		winner = c;
	}
	if (winner)
		call->far = winner;
	return winner;
}

void ua_host_free(struct ua_host *host)
{
	ua_links_free(host);
	ua_focus_free(host);
	ua_sip_free(host);
	while (host->messages) {
		struct message *m = host->messages;
		host->messages = m->next;
		free(m->octets);
		free(m->copies);
		free(m->statuses);
		free(m);
	}
	while (host->calls) {
		struct call *call = host->calls;
		host->calls = call->next;
		free(call);
	}
	while (host->legs) {
		struct leg *leg = host->legs;
		host->legs = leg->next;
		while (leg->hearings) {
			struct hearing *h = leg->hearings;
			leg->hearings = h->next;
			free(h);
		}
		free(leg->push);
		free(leg);
	}
	while (host->uas) {
		struct ua *ua = host->uas;
		host->uas = ua->next;
		free(ua);
	}
	free(host);
}

/* ---- messages ---- */

struct message *ua_message_new(struct ua_host *host, size_t n)
{
	struct message *m = ua_alloc(sizeof(*m));
	uint64_t state = (uint64_t)world_below(host->world, 0x7fffffff) + 1;

	m->number = ++host->message_count;
	m->octets = ua_alloc(n + 1);
	m->n = n;
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		m->octets[i] = (char)(state >> 56);
	}
	/* what parsers of end-lines look at */
	for (size_t i = 0; i + 16 < n && n < 10000; i += 97)
		memcpy(m->octets + i, "\r\n-------a$\r\n", 13);
	*host->last_message = m;
	host->last_message = &m->next;
	return m;
}

struct message *ua_message_find(struct ua_host *host, struct slice id)
{
	uint64_t number;

	if (id.n < 2 || id.p[0] != 'm' || !slice_u64(slice_skip(id, 1), UINT32_MAX, &number))
		world_fail(host->world, "a message that nobody sent: \"%.*s\"", SLICE_ARG(id));
	for (struct message *m = host->messages; m; m = m->next)
		if (m->number == number)
			return m;
	world_fail(host->world, "a message with the unknown number %llu", (unsigned long long)number);
}

/* In order and nothing twice: `at` must be where the last ended. */
void ua_message_arrived(struct message *message, size_t at, struct slice octets)
{
	struct world *w = message->from ? world_of(message->from->ua) : world_of(message->request->ua);

	if (message->deliveries && w->scenario->may_repeat && !message->from)
		message->received = 0; /* stored, although it had arrived: better twice than never */
	else if (message->deliveries)
		world_fail(w, "message %u came twice", message->number);
	if (message->has_gap && message->from && message->from->is_garbled)
		return;
	if (at > message->received && w->is_memory_short) {
		message->has_gap = true; /* the chunk before was refused, its sender was told */
		return;
	}
	if (at != message->received)
		world_fail(w, "message %u goes on at octet %zu, not %zu", message->number, at, message->received);
	if (message->from && message->from->is_garbled &&
	    (octets.n > message->n - at || memcmp(message->octets + at, octets.p, octets.n) != 0)) {
		message->has_gap = true; /* the nonsense stands in the middle of a chunk */
		return;
	}
	if (octets.n > message->n - at)
		world_fail(w, "message %u is too long", message->number);
	if (octets.n && memcmp(message->octets + at, octets.p, octets.n) != 0)
		world_fail(w, "message %u has other octets after %zu", message->number, at);
	message->received += octets.n;
}

/* All its chunks were answered with 200. */
static bool is_accepted(const struct message *m)
{
	if (!m->from)
		return m->request->status / 100 == 2 && !m->request->is_own_verdict;
	for (unsigned i = 0; i < m->chunks; i++)
		if (m->statuses[i] != 200)
			return false;
	return m->is_sent && !m->wants_no_answer;
}

/* Each copy of a list arrived or waits, unless who should have it refuses.  Without memory some may be given up. */
static void check_copies(struct ua_host *host, struct message *m)
{
	for (unsigned i = 0; i < m->copy_count && is_accepted(m) && !host->world->is_memory_short; i++) {
		const struct copy *copy = &m->copies[i];
		m->to = copy->to;
		if (!copy->deliveries && !copy->to->manners.refuse_pager && !world_is_stored(host->world, m))
			world_fail(host->world, "message %u was accepted and did not reach %s", m->number, copy->to->name);
	}
}

void ua_check(struct ua_host *host)
{
	for (struct message *m = host->messages; m; m = m->next) {
		if (m->copies) {
			check_copies(host, m);
			continue;
		}
		if (m->from && m->from->conference) /* whom it had to reach is for the scenario to say */
			continue;
		bool is_there = m->deliveries == 1 || (m->deliveries && host->world->scenario->may_repeat) ||
				((m->from ? m->from->is_caller && !m->from->far : m->request->status == 202) &&
					world_is_stored(host->world, m));
		if (is_accepted(m) && !is_there)
			world_fail(host->world, "message %u was accepted and did not arrive", m->number);
	}
}

/* ---- waiting ---- */

static void await(struct ua *ua, bool (*done)(void *), void *arg, const char *what)
{
	struct world *w = world_of(ua);

	if (!world_until(w, done, arg, WAIT_MS) && world_is_strict(w))
		world_fail(w, "%s of %s did not come", what, ua->name);
}

static bool has_final(void *arg)
{
	return ((struct request *)arg)->status != 0;
}

void expect_final(struct request *request)
{
	await(request->ua, has_final, request, request->method);
}

void expect_status(struct request *request, unsigned status)
{
	expect_final(request);
	if (request->status != status && world_is_strict(world_of(request->ua)))
		world_fail(world_of(request->ua), "%s of %s got %u, not %u", request->method, request->ua->name,
			request->status, status);
}

struct ua *ua_registered(struct world *w, const char *name)
{
	struct ua *ua = ua_new(w, name);

	expect_status(ua_register(ua, 600), 200);
	return ua;
}

struct ua *ua_registered_at_last(struct world *w, const char *name)
{
	struct ua *ua = ua_new(w, name);
	struct request *r;

	for (unsigned i = 0; i < 30; i++) {
		expect_final(r = ua_register(ua, 600));
		if (r->status != 503)
			break;
	}
	expect_status(r, 200);
	return ua;
}

void expect_pager(struct message *message, unsigned status)
{
	expect_status(message->request, status);
}

static bool is_bound(void *arg)
{
	struct call *call = arg;

	return call->far && call->is_answered && call->far->is_acked && ua_leg_is_bound(call) &&
	       ua_leg_is_bound(call->far);
}

void expect_bound(struct call *call)
{
	await(call->ua, is_bound, call, "the session");
}

void expect_refused(struct call *call, unsigned status)
{
	expect_status(call->invite, status);
}

static bool is_delivered(void *arg)
{
	struct call *call = arg;

	for (struct message *m = call->ua->host->messages; m; m = m->next)
		if (m->from == call && (m->deliveries != 1 || (!m->wants_no_answer && !is_accepted(m))))
			return false;
	return true;
}

static void tell_undelivered(const struct call *call)
{
	for (struct message *m = call->ua->host->messages; m; m = m->next) {
		unsigned bad = 0, none = 0;
		for (unsigned i = 0; m->statuses && i < m->chunks; i++) {
			none += m->statuses[i] == 0;
			bad = m->statuses[i] && m->statuses[i] != 200 ? m->statuses[i] : bad;
		}
		if (m->from == call)
			fprintf(stderr, "message %u: %zu octets, %u chunks%s, %zu arrived%s, %u unanswered, status %u\n",
				m->number, m->n, m->chunks, m->is_sent ? "" : ", not sent", m->received,
				m->deliveries ? " complete" : "", m->wants_no_answer ? 0 : none, bad);
	}
}

void expect_delivered(struct call *call)
{
	struct world *w = world_of(call->ua);

	if (world_until(w, is_delivered, call, WAIT_DELIVERY_MS) || !world_is_strict(w))
		return;
	tell_undelivered(call);
	world_fail(w, "what %s sent was not delivered", call->ua->name);
}

static bool are_over(void *arg)
{
	struct call *call = arg;

	return call->is_over && (!call->far || call->far->is_over);
}

void expect_over(struct call *call)
{
	await(call->ua, are_over, call, "the end of the session");
}

void expect_all_over(struct call *call)
{
	for (struct call *c = call->ua->host->calls; c; c = c->next)
		if (c->far == call && !c->is_caller && c->is_answered)
			expect_over(c);
	call->far = NULL; /* one that is mute hears of nothing */
	expect_over(call);
}
