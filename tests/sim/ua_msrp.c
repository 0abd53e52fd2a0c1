/* MSRP of the clients: connections and sessions on them, chunks out and in. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

/* ---- legs ---- */

struct leg *ua_leg_new(struct call *call)
{
	struct leg *leg = ua_alloc(sizeof(*leg));
	char name[40];

	leg->call = call;
	leg->ua = call->ua;
	ua_name(call->ua->host, name, sizeof(name), "s");
	const char *relay = call->ua->manners.relay;
	snprintf(leg->path, sizeof(leg->path), "%s%smsrp://127.0.0.1:%u/%s;tcp", relay ? relay : "", relay ? " " : "",
		private_of(call->ua)->msrp_port, name);
	leg->next = call->ua->host->legs;
	call->ua->host->legs = leg;
	return leg;
}

/* Another path, not connected yet. */
void ua_leg_renew(struct leg *leg)
{
	char name[40];

	ua_name(leg->ua->host, name, sizeof(name), "s");
	snprintf(leg->path, sizeof(leg->path), "msrp://127.0.0.1:%u/%s;tcp", private_of(leg->ua)->msrp_port, name);
	leg->link = NULL;
	leg->is_lost = leg->is_bound = false;
}

static bool is_in_use(const struct link *link)
{
	for (struct leg *leg = link->host->legs; leg; leg = leg->next)
		if (leg->link == link && !leg->is_closed && !leg->is_lost)
			return true;
	return false;
}

void ua_leg_close(struct leg *leg)
{
	struct link *link = leg->link;

	if (leg->is_closed)
		return;
	leg->is_closed = true;
	leg->is_bound = false;
	if (link && !is_in_use(link))
		ua_link_close(link);
}

static void write_hello(struct leg *leg)
{
	char text[1024], name[40];
	struct buffer out = buffer_over(text, sizeof(text));

	ua_name(leg->ua->host, name, sizeof(name), "h");
	buffer_printf(&out, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\nByte-Range: 1-0/0\r\n"
		"-------%s$\r\n", name, leg->remote, leg->path, name, name);
	ua_link_write(leg->link, buffer_slice(&out));
}

static void connect_leg(struct leg *leg)
{
	struct sockaddr_storage to = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
	unsigned port;

	if (leg->shares && leg->shares->leg->link && !leg->shares->leg->link->is_dead) {
		leg->link = leg->shares->leg->link;
		write_hello(leg);
		return;
	}
	if (sscanf(leg->remote, "msrp://127.0.0.1:%u/", &port) != 1)
		world_fail(world_of(leg->ua), "a path that is not the server's: %s", leg->remote);
	v4->sin_family = AF_INET;
	v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	v4->sin_port = htons((uint16_t)port);
	leg->link = ua_link_connect(leg->ua, &to, true);
}

void ua_leg_begin(struct leg *leg, struct slice path, bool is_active)
{
	char remote[256];

	snprintf(remote, sizeof(remote), "%.*s", SLICE_ARG(path));
	memcpy(leg->remote, remote, sizeof(remote));
	leg->is_active = is_active;
	if (is_active && !leg->ua->manners.never_connects && !leg->is_closed)
		connect_leg(leg);
}

void ua_msrp_connected(struct link *link)
{
	for (struct leg *leg = link->host->legs; leg; leg = leg->next)
		if (leg->link == link && !leg->is_closed)
			write_hello(leg);
}

void ua_msrp_lost(struct link *link)
{
	for (struct leg *leg = link->host->legs; leg; leg = leg->next)
		if (leg->link == link) {
			leg->is_lost = true;
			leg->is_bound = false;
		}
}

bool ua_leg_is_bound(const struct call *call)
{
	return call->leg->is_bound;
}

bool ua_leg_is_lost(const struct call *call)
{
	return call->leg->is_lost;
}

void ua_share_connection(struct call *call, struct call *with)
{
	call->leg->shares = with;
}

void ua_reset_msrp(struct call *call)
{
	struct link *link = call->leg->link;

	if (link && !link->is_dead && link->is_connected)
		sim_reset(call->ua->host->world->sim, link->fd);
}

void ua_stop_reading(struct call *call)
{
	if (call->leg->link)
		call->leg->link->is_paused = true;
}

void ua_resume_reading(struct call *call)
{
	struct link *link = call->leg->link;

	if (!link || !link->is_paused)
		return;
	link->is_paused = false;
	ua_link_read(link);
	ua_wake(link->host);
}

/* ---- out ---- */

/* The sizes of chunks that a message is cut into: many small ones, or few, or one. */
static size_t chunk_size(struct leg *leg, const struct message *m)
{
	static const size_t most[] = { 7, 100, 1500, 2048, 2049, 20000, 300000, 4000000 };
	size_t max = leg->ua->manners.chunk_max;
	struct world *w = world_of(leg->ua);

	if (!max)
		max = most[world_below(w, 8)];
	if (max < m->n / 40)
		max = m->n / 40;
	return max + !max;
}

static void write_chunk(struct leg *leg, struct message *m, size_t at, size_t n)
{
	char text[1024], tid[64];
	struct buffer out = buffer_over(text, sizeof(text));
	struct world *w = world_of(leg->ua);
	bool is_last = at + n == m->n;

	snprintf(tid, sizeof(tid), "m%uc%u.%08x", m->number, m->chunks, world_below(w, 0x7fffffff));
	buffer_printf(&out, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m%u\r\n", tid, leg->remote,
		leg->path, m->number);
	if (world_chance(w, 50))
		buffer_printf(&out, "Byte-Range: %zu-*/%zu\r\n", at + 1, m->n);
	else
		buffer_printf(&out, "Byte-Range: %zu-%zu/%zu\r\n", at + 1, at + n, m->n);
	if (m->wants_no_answer)
		buffer_lit(&out, "Failure-Report: no\r\n");
	buffer_lit(&out, "Content-Type: application/octet-stream\r\n\r\n");
	ua_link_write(leg->link, buffer_slice(&out));
	ua_link_write(leg->link, slice_of(m->octets + at, n));
	snprintf(text, sizeof(text), "\r\n-------%s%c\r\n", tid, is_last ? '$' : '+');
	ua_link_write(leg->link, slice_str(text));
	m->chunks++;
}

static void write_message(struct leg *leg, struct message *m)
{
	size_t max = chunk_size(leg, m), at = 0;

	m->statuses = ua_alloc((m->n + 1) * sizeof(*m->statuses));
	while (at < m->n) {
		size_t n = m->n - at < max ? m->n - at : 1 + world_below(world_of(leg->ua), (unsigned)max);
		write_chunk(leg, m, at, n);
		at += n;
	}
	m->is_sent = true;
}

void ua_leg_send(struct leg *leg)
{
	for (struct message *m = leg->ua->host->messages; m && leg->is_bound; m = m->next)
		if (m->from == leg->call && !m->is_sent)
			write_message(leg, m);
}

struct message *ua_send(struct call *call, size_t n)
{
	struct message *m = ua_message_new(call->ua->host, n);

	m->from = call;
	m->wants_no_answer = world_chance(world_of(call->ua), 10);
	ua_leg_send(call->leg);
	return m;
}

/* ---- in ---- */

struct chunk {
	struct slice tid, headers, body;
	char flag;
};

static void respond(struct link *link, const struct chunk *chunk, unsigned status)
{
	char text[1024];
	struct buffer out = buffer_over(text, sizeof(text));
	struct slice to = SLICE_EMPTY, from = SLICE_EMPTY;

	ua_header(chunk->headers, "To-Path", &to);
	ua_header(chunk->headers, "From-Path", &from);
	buffer_printf(&out, "MSRP %.*s %u Told\r\nTo-Path: %.*s\r\nFrom-Path: %.*s\r\n-------%.*s$\r\n",
		SLICE_ARG(chunk->tid), status, SLICE_ARG(from), SLICE_ARG(to), SLICE_ARG(chunk->tid));
	assert(!out.overflow);
	ua_link_write(link, buffer_slice(&out));
}

static struct leg *leg_of_chunk(struct link *link, const struct chunk *chunk)
{
	struct slice to = SLICE_EMPTY;
	struct leg *leg = link->host->legs;

	ua_header(chunk->headers, "To-Path", &to);
	while (leg && !slice_eq(to, slice_str(leg->path)))
		leg = leg->next;
	if (!leg)
		world_fail(link->host->world, "MSRP for a path that nobody has: %.*s", SLICE_ARG(to));
	return leg;
}

static void now_bound(struct leg *leg)
{
	leg->is_bound = true;
	ua_leg_send(leg);
}

static void take_content(struct leg *leg, const struct chunk *chunk)
{
	struct slice value = SLICE_EMPTY;
	struct message *m;
	struct world *w = world_of(leg->ua);
	uint64_t at;

	ua_header(chunk->headers, "Message-ID", &value);
	m = ua_message_find(leg->ua->host, value);
	bool is_to_many = leg->call->conference != NULL;
	if (!is_to_many && (!m->from || !leg->call->far || m->from != leg->call->far))
		world_fail(w, "message %u came to the wrong session", m->number);
	if (!ua_header(chunk->headers, "Byte-Range", &value))
		at = 1;
	else if (!slice_u64(slice_cut(value, '-', NULL), UINT32_MAX, &at) || !at)
		world_fail(w, "Byte-Range: %.*s", SLICE_ARG(value));
	if (is_to_many) {
		ua_focus_chunk(leg, m, at - 1, chunk->body, chunk->flag);
		return;
	}
	ua_message_arrived(m, at - 1, chunk->body);
	if (m->number < leg->last_number)
		world_fail(w, "message %u came after %u", m->number, leg->last_number);
	if (chunk->flag == '#' && world_is_strict(w) && !w->is_draining && !m->from->is_over && !leg->call->is_over)
		world_fail(w, "message %u was aborted by nobody", m->number);
	if (chunk->flag != '$' || m->has_gap)
		return;
	if (m->received != m->n)
		world_fail(w, "message %u ends after %zu of %zu", m->number, m->received, m->n);
	m->deliveries++;
	leg->last_number = m->number;
}

static void on_send(struct link *link, const struct chunk *chunk)
{
	struct leg *leg = leg_of_chunk(link, chunk);
	struct slice from = SLICE_EMPTY, value;
	unsigned status = 200;

	ua_header(chunk->headers, "From-Path", &from);
	if (leg->is_closed) {
		respond(link, chunk, 481);
		return;
	}
	if (leg->remote[0] && !slice_eq(from, slice_str(leg->remote)))
		world_fail(link->host->world, "From-Path %.*s, should be %s", SLICE_ARG(from), leg->remote);
	/* without memory the server may lose one whose end has not come here yet */
	if (leg->link && leg->link != link && !link->host->world->is_memory_short)
		world_fail(link->host->world, "a session goes on by another connection");
	leg->link = link;
	if (leg->call->is_push && ua_header(chunk->headers, "Content-Type", &value))
		status = ua_push_chunk(leg, chunk->headers, chunk->body, chunk->flag);
	else if (ua_header(chunk->headers, "Content-Type", &value))
		take_content(leg, chunk);
	else if (!leg->remote[0]) /* its answer is still on the way, it comes before ours */
		snprintf(leg->remote, sizeof(leg->remote), "%.*s", SLICE_ARG(from));
	if (status && (!ua_header(chunk->headers, "Failure-Report", &value) || slice_eq(value, SLICE("yes"))))
		respond(link, chunk, status);
	if (!leg->is_bound && !leg->is_closed && !leg->is_lost)
		now_bound(leg);
}

static void on_status(struct link *link, const struct chunk *chunk, unsigned status)
{
	struct leg *leg = leg_of_chunk(link, chunk);
	struct world *w = link->host->world;
	struct slice rest, number;
	uint64_t index;

	if (leg->is_closed)
		return;
	if (chunk->tid.n && chunk->tid.p[0] == 'h') {
		if (status == 200 && !leg->is_bound)
			now_bound(leg);
		else if (status != 200)
			leg->is_lost = true; /* the session ended meanwhile: who counts on it waits for it in vain */
		return;
	}
	number = slice_cut(chunk->tid, 'c', &rest);
	struct message *m = ua_message_find(link->host, number);
	if (!slice_u64(slice_cut(rest, '.', NULL), UINT32_MAX, &index) || index >= m->chunks || m->from != leg->call)
		world_fail(w, "an answer to what nobody sent: %.*s", SLICE_ARG(chunk->tid));
	if (m->statuses[index])
		world_fail(w, "message %u: two answers to chunk %u", m->number, (unsigned)index);
	if (m->wants_no_answer)
		world_fail(w, "message %u wants no answer", m->number);
	m->statuses[index] = (uint16_t)status;
	m->answered++;
}

static void on_chunk(struct link *link, struct slice first, const struct chunk *chunk)
{
	struct slice rest;
	uint64_t status;

	slice_cut(first, ' ', &rest);
	slice_cut(rest, ' ', &rest);
	if (slice_eq(rest, SLICE("SEND")))
		on_send(link, chunk);
	else if (slice_u64(slice_cut(rest, ' ', NULL), 999, &status))
		on_status(link, chunk, (unsigned)status);
	else if (!slice_eq(rest, SLICE("REPORT")))
		world_fail(link->host->world, "MSRP of no kind: %.*s", SLICE_ARG(first));
}

/* One whole chunk from the front of what came; how long it is, 0: not whole. */
static size_t read_chunk(struct link *link, struct slice *first, struct chunk *chunk)
{
	struct slice all = slice_of(link->in, link->in_n), rest;
	char end[80];
	const char *line_end = all.n ? memmem(all.p, all.n, "\r\n", 2) : NULL;

	if (!line_end)
		return 0;
	*first = slice_of(all.p, (size_t)(line_end - all.p));
	if (!slice_eq(slice_cut(*first, ' ', &rest), SLICE("MSRP")))
		world_fail(link->host->world, "no MSRP: %.*s", SLICE_ARG(*first));
	chunk->tid = slice_cut(rest, ' ', NULL);
	int end_n = snprintf(end, sizeof(end), "\r\n-------%.*s", SLICE_ARG(chunk->tid));
	size_t from = link->scanned > first->n ? link->scanned : first->n;
	const char *at = memmem(all.p + from, all.n - from, end, (size_t)end_n);
	if (!at || (size_t)(all.p + all.n - at) < (size_t)end_n + 3) {
		link->scanned = at ? (size_t)(at - all.p) : all.n > 80 ? all.n - 80 : 0;
		return 0;
	}
	link->scanned = 0;
	chunk->flag = at[end_n];
	struct slice inner = slice_of(line_end + 2, at + 2 > line_end + 2 ? (size_t)(at + 2 - line_end - 2) : 0);
	const char *blank = inner.n ? memmem(inner.p, inner.n, "\r\n\r\n", 4) : NULL;
	chunk->headers = blank ? slice_of(inner.p, (size_t)(blank - inner.p) + 2) : inner;
	chunk->body = SLICE_EMPTY;
	if (blank && at > blank + 4)
		chunk->body = slice_of(blank + 4, (size_t)(at - blank - 4));
	return (size_t)(at - all.p) + (size_t)end_n + 3;
}

void ua_msrp_octets(struct link *link)
{
	struct slice first;
	struct chunk chunk;
	size_t n;

	while (!link->is_dead && (n = read_chunk(link, &first, &chunk))) {
		on_chunk(link, first, &chunk);
		link->in_n -= n;
		memmove(link->in, link->in + n, link->in_n);
	}
}
