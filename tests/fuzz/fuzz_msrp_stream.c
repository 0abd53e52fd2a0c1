/*
 * A whole MSRP endpoint, of two workers, driven by the input: three sessions
 * whose peers share connections or not, chunks well formed or not, in pieces of
 * any size, answers and lies of the far side, readers that do not read, closes,
 * time, and what the actors do with their legs.  What must hold afterwards is in
 * msrp_check.h; besides, nothing is left over once time has passed.
 *
 * The input is a list of operations of one octet and its arguments, so that any
 * mutation of it is a run; where it ends the arguments are 0.  With FUZZ_TELL in the environment a failure prints all
 * that was said.
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "core/stream.h"
#include "msrp/endpoint.h"
#include "tests/fuzz/msrp_check.h"

enum { OPERATIONS_MAX = 120, NUMBER_MAX = 700, QUIET_LAPS = 3, LAPS_MAX = 3000 };

struct side {
	struct msrp_leg *leg;
	unsigned worker;
	bool has_changed_path;
};

struct client {
	struct wire_end *end; /* NULL: none */
	size_t parsed;        /* of what it got */
	char asked[64][MSRP_ID_CHARS + 1]; /* requests not answered yet, oldest first */
	char asked_paths[64][2][192];      /* their To-Path and first of From-Path    */
	unsigned asked_count;
	bool has_open;        /* a chunk was begun and not ended */
	char open_id[16];
	unsigned open_at;     /* octets of content so far        */
};

struct input {
	const uint8_t *p;
	size_t n;
};

static struct worker_group group;
static struct worker workers[WIRE_WORKERS];
static struct msrp_options options;
static struct side sides[CHECK_SIDES];
static struct client clients[WIRE_ENDS_MAX];
static struct check check;
static unsigned number;
static bool answers_at_once, delivers_at_once, has_raw;
static unsigned when_lost; /* 0: nothing, 1: both legs close, 2: the peer is expected back */

static unsigned take(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* ---- legs ---- */

static void close_session(unsigned i)
{
	for (unsigned j = i & ~1u; j <= (i | 1); j++) {
		if (sides[j].leg)
			msrp_leg_close(sides[j].leg);
		sides[j].leg = NULL;
		check.sides[j].is_excused = true;
	}
}

static void set_peer(unsigned i, bool connect)
{
	struct check_side *side = &check.sides[i];
	struct msrp_peer peer = { .path = slice_str(side->path[sides[i].has_changed_path]), .connect = connect,
		.max_octets = sides[i].leg->max_octets, .address.ss_family = AF_INET };

	/* sides 0 and 3 at one address: we share what we connected */
	((struct sockaddr_in *)&peer.address)->sin_port = htons((uint16_t)(1000 + i % 3));
	if (connect)
		side->is_excused = true; /* it leaves the connection it has */
	wire.is_server = true;
	int err = msrp_leg_set_peer(sides[i].leg, &peer);
	wire.is_server = false;
	assert(!err || (err == ENOMEM && wire.failed));
}

static void on_bound(struct msrp_leg *leg, void *arg)
{
	assert(msrp_leg_is_bound(leg));
}

static void on_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	unsigned i = (unsigned)((struct side *)arg - sides);

	assert(sides[i].leg == leg);
	check.sides[i].is_excused = true;
	if (when_lost == 1)
		close_session(i);
	else if (when_lost == 2)
		msrp_leg_expect_peer(leg, true);
}

static const struct msrp_leg_events leg_events = { on_bound, on_lost };

static void open_side(unsigned i, unsigned worker, uint64_t max_octets)
{
	struct check_side *side = &check.sides[i];

	sides[i] = (struct side){ .worker = worker };
	assert(msrp_leg_open(&sides[i].leg, &workers[worker], NULL, false, &leg_events, &sides[i]) == 0);
	sides[i].leg->max_octets = max_octets;
	*side = (struct check_side){ .is_excused = false };
	snprintf(side->uri, sizeof(side->uri), "%.*s", SLICE_ARG(msrp_leg_uri(sides[i].leg)));
	snprintf(side->path[0], sizeof(side->path[0]), i == 1 ? "msrp://r.example:1/r;tcp msrp://p%u.example:4/p;tcp" :
		"msrp://p%u.example:7654/s;tcp", i);
	snprintf(side->path[1], sizeof(side->path[1]), "msrp://new%u.example:7654/s;tcp", i);
}

/* ---- clients ---- */

static struct client *client_at(unsigned i)
{
	if (wire.end_count == 0)
		return NULL;
	i %= wire.end_count;
	clients[i].end = &wire.ends[i]; /* where the server connected nobody has said so yet */
	return &clients[i];
}

static void put(struct client *client, struct slice s)
{
	if (!wire_write(client->end, s.p, s.n))
		has_raw = true; /* a piece is missing */
	else if (delivers_at_once)
		client->end->in_room = client->end->in_written;
}

__attribute__((format(printf, 2, 3))) static void say(struct client *client, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	assert(n > 0 && (size_t)n < sizeof(text));
	put(client, slice_of(text, (size_t)n));
}

static void answer(struct client *client, unsigned which, unsigned status, struct client *by)
{
	if (which >= client->asked_count)
		return;
	say(by, "MSRP %s %03u Is\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", client->asked[which], status,
		client->asked_paths[which][1], client->asked_paths[which][0], client->asked[which]);
	client->asked_count--;
	for (unsigned i = which; i < client->asked_count; i++) {
		memcpy(client->asked[i], client->asked[i + 1], sizeof(client->asked[i]));
		memcpy(client->asked_paths[i], client->asked_paths[i + 1], sizeof(client->asked_paths[i]));
	}
}

static void remember_request(struct client *client, const struct seen *got)
{
	unsigned i = client->asked_count;

	if (!slice_eq(got->method, SLICE("SEND")) || slice_eq(got->failure_report, SLICE("no")) || i == 64)
		return;
	snprintf(client->asked[i], sizeof(client->asked[i]), "%.*s", SLICE_ARG(got->id));
	snprintf(client->asked_paths[i][0], sizeof(client->asked_paths[i][0]), "%.*s", SLICE_ARG(got->to_path));
	snprintf(client->asked_paths[i][1], sizeof(client->asked_paths[i][1]), "%.*s", SLICE_ARG(got->from_path));
	client->asked_count++;
	if (answers_at_once)
		answer(client, i, 200, client);
}

static void read_what_came(struct client *client)
{
	struct wire_end *end = client->end;
	struct seen got;

	while (client->parsed < end->said.n &&
		seen_read(slice_of(end->out + client->parsed, end->said.n - client->parsed), &got) == SEEN_WHOLE) {
		client->parsed += got.n;
		if (got.method.n)
			remember_request(client, &got);
	}
}

static struct client *open_client(unsigned worker)
{
	unsigned i = wire.end_count;
	struct wire_end *end = wire_open(worker);

	if (!end)
		return NULL;
	clients[i] = (struct client){ .end = end };
	return &clients[i];
}

/* ---- the run ---- */

static void lap(void)
{
	wire.step++;
	for (unsigned i = 0; i < group.count; i++) {
		struct msrp_endpoint *endpoint = workers[i].msrp;
		wire.is_server = true;
		worker_turn(&workers[i], false);
		wire.is_server = false;
		MUST(endpoint->queued <= WIRE_OUT_MAX, "%zu octets queued", endpoint->queued);
	}
	for (unsigned i = 0; i < wire.end_count; i++) {
		if (client_at(i)->parsed != wire.ends[i].said.n)
			read_what_came(&clients[i]);
	}
}

static void run_until_quiet(void)
{
	for (unsigned quiet = 0, laps = 0; quiet < QUIET_LAPS; laps++) {
		unsigned before = wire.completions;
		lap();
		quiet = wire.completions == before ? quiet + 1 : 0;
		MUST(laps < LAPS_MAX, "it does not come to rest");
	}
}

static void pass_ms(uint64_t ms)
{
	wire.now_us += ms * 1000;
	run_until_quiet();
}

static void bind_side(unsigned i, struct client *client)
{
	if (client)
		say(client, "MSRP bind%u SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: bind\r\n-------bind%u$\r\n", i,
			check.sides[i].uri, check.sides[i].path[sides[i].has_changed_path], i);
}

/* ---- operations ---- */

struct style {
	unsigned client, side, flags, message, length, content;
};

static struct style take_style(struct input *in)
{
	struct style s = { .client = take(in), .flags = take(in), .message = take(in) };

	s.side = s.client >> 4;
	s.client &= 15;
	unsigned low = take(in), high = take(in);
	s.length = low | (high & 15) << 8;
	s.content = high >> 4;
	return s;
}

static void put_content(struct client *client, unsigned n, unsigned how)
{
	static const char *const texts[] = { "abcdefghijklmnopqrstuvwxyz", "-------", "\r\n-------", "\r\n", "\r\n\r\n--" };
	char octets[4096];
	const char *text = texts[how % 5];
	size_t text_n = strlen(text);

	assert(n <= sizeof(octets));
	for (unsigned i = 0; i < n; i++) /* never the same twice: i is counted over the whole chunk */
		octets[i] = (client->open_at + i) % 32 < 24 ? text[(client->open_at + i) % text_n] :
			(char)('0' + (client->open_at + i) / 32 % 10);
	client->open_at += n;
	put(client, slice_of(octets, n));
	if (how == 5)
		say(client, "\r\n-------%sx", client->open_id);
}

static void put_range(struct client *client, const struct style *s)
{
	unsigned start = 1 + (s->message >> 3) * 100, end = start + s->length - 1;

	switch (s->flags >> 4 & 3) {
	case 0:
		say(client, "Byte-Range: %u-%u/%u\r\n", start, end, end + s->content % 2);
		break;
	case 1:
		say(client, "Byte-Range: %u-*/%u\r\n", start, end);
		break;
	case 2:
		say(client, "Byte-Range: %u-*/*\r\n", start);
		break;
	case 3:
		break;
	}
}

static void begin_chunk(struct client *client, const struct style *s, const char *method)
{
	static const char *const reports[] = { "", "Failure-Report: yes\r\n", "Failure-Report: no\r\n",
		"Failure-Report: partial\r\n" };
	const unsigned side = s->side % CHECK_SIDES;

	if (client->has_open)
		say(client, "\r\n-------%s+\r\n", client->open_id);
	client->has_open = true;
	client->open_at = 0;
	snprintf(client->open_id, sizeof(client->open_id), "t%06u", ++number);
	say(client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m%u\r\nX-N: %u\r\n", client->open_id, method,
		check.sides[side].uri, check.sides[side].path[sides[side].has_changed_path], s->message & 7, number);
	put_range(client, s);
	say(client, "%s%s%s\r\n", reports[s->flags & 3], s->flags & 4 ? "Success-Report: yes\r\n" : "",
		s->flags & 8 ? "" : "Content-Type: text/plain\r\n");
}

static void end_chunk(struct client *client, unsigned flag)
{
	if (client->has_open)
		say(client, "\r\n-------%s%c\r\n", client->open_id, "$+#$"[flag & 3]);
	client->has_open = false;
}

static void op_chunk(struct input *in, bool whole)
{
	struct style s = take_style(in);
	struct client *client = client_at(s.client);

	if (!client || number == NUMBER_MAX)
		return;
	begin_chunk(client, &s, "SEND");
	if (whole) {
		put_content(client, s.length, s.content);
		end_chunk(client, s.flags >> 6);
	}
}

static void op_content(struct input *in)
{
	struct style s = take_style(in);
	struct client *client = client_at(s.client);

	if (client && client->has_open)
		put_content(client, s.length, s.content);
}

/* Without body: a REPORT, or a method that nobody has. */
static void op_other(struct input *in)
{
	struct style s = take_style(in);
	struct client *client = client_at(s.client);
	const unsigned side = s.side % CHECK_SIDES;

	if (!client || number == NUMBER_MAX)
		return;
	end_chunk(client, 1);
	number++;
	say(client, "MSRP t%06u %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m%u\r\nX-N: %u\r\nByte-Range: 1-%u/%u\r\n"
		"Status: 000 200 OK\r\n-------t%06u$\r\n", number, s.flags & 64 ? "NICKNAME" : "REPORT",
		check.sides[side].uri, check.sides[side].path[sides[side].has_changed_path], s.message & 7, number, s.length,
		s.length, number);
}

static void op_raw(struct input *in)
{
	struct client *client = client_at(take(in));
	size_t n = take(in);

	n = n < in->n ? n : in->n;
	if (!client)
		return;
	has_raw = true;
	put(client, slice_of((const char *)in->p, n));
	in->p += n;
	in->n -= n;
}

static void op_deliver(struct input *in)
{
	struct client *client = client_at(take(in));
	unsigned n = take(in);

	if (client)
		client->end->in_room += n < 64 ? n : n * 16;
	if (client && client->end->in_room > client->end->in_written)
		client->end->in_room = client->end->in_written;
}

static void op_answer(struct input *in)
{
	static const unsigned statuses[] = { 200, 200, 200, 400, 408, 413, 481, 404, 100, 299, 999 };
	unsigned who = take(in), what = take(in);
	struct client *client = client_at(who & 15);

	if (client) /* now and then somebody else who knows the id */
		answer(client, what >> 4, statuses[(what & 15) % 11], who & 128 ? client_at(who >> 4 & 7) : client);
}

static void op_close(struct input *in)
{
	unsigned how = take(in);
	struct client *client = client_at(how & 15);

	if (!client)
		return;
	if (how & 16)
		client->end->was_reset = true;
	client->end->has_ended = true;
}

static void op_window(struct input *in)
{
	struct client *client = client_at(take(in));
	unsigned n = take(in);

	if (client)
		client->end->out_room = n == 255 ? WIRE_OUT_MAX : client->end->said.n + n * n;
	if (client && client->end->out_room > WIRE_OUT_MAX)
		client->end->out_room = WIRE_OUT_MAX;
}

static void op_time(struct input *in)
{
	static const unsigned ms[] = { 1, 100, 1000, 4999, 5000, 9999, 10000, 23999, 24001, 60000 };

	pass_ms(ms[take(in) % 10]);
}

static void op_leg(struct input *in)
{
	unsigned what = take(in), i = (what & 15) % CHECK_SIDES;

	if (!sides[i].leg)
		return;
	switch (what >> 4 & 7) {
	case 0:
		close_session(i);
		break;
	case 1:
		sides[i].has_changed_path = true;
		set_peer(i, false);
		break;
	case 2:
		set_peer(i, true);
		break;
	case 3:
		msrp_leg_expect_peer(sides[i].leg, true);
		break;
	case 4:
		msrp_leg_expect_peer(sides[i].leg, false);
		break;
	case 5:
		set_peer(i, false);
		break;
	default:
		bind_side(i, client_at(take(in)));
		break;
	}
}

static void op_connect(struct input *in)
{
	unsigned what = take(in);
	struct client *client = client_at(what & 15);

	if (what & 128) /* rather: memory is short soon */
		wire.fails_in = 1 + (what & 127);
	else if (client && client->end->is_connecting) {
		client->end->is_refused = what & 16;
		client->end->is_connecting = false;
	}
}

/* The beginning of a line that must not be in content: of an id in what the server writes, but for that of the
 * chunk which holds it. */
static void op_quote(struct input *in)
{
	unsigned who = take(in);
	struct client *client = client_at(who & 15), *from = client_at(take(in));

	if (!client || !client->has_open)
		return;
	struct slice rest = slice_of(from->end->out + from->parsed, from->end->said.n - from->parsed);
	struct seen got;
	if (rest.n && seen_read(rest, &got) == SEEN_PARTIAL && got.has_head) {
		if (slice_eq(got.id, slice_str(client->open_id))) /* refused before its end */
			return;
		say(client, "%s-------%.*s%s", who & 16 ? "\r\n" : "", SLICE_ARG(got.id), who & 32 ? "$\r\n" : "");
	} else if (from->asked_count) {
		say(client, "\r\n-------%s$\r\n", from->asked[from->asked_count - 1]);
	}
}

static void operate(struct input *in)
{
	switch (take(in) % 16) {
	case 0:
		lap();
		break;
	case 1:
		open_client(take(in) & 1);
		break;
	case 2:
		op_chunk(in, true);
		break;
	case 3:
		op_chunk(in, false);
		break;
	case 4:
		op_content(in);
		break;
	case 5: {
		unsigned who = take(in);
		if (client_at(who & 15))
			end_chunk(client_at(who & 15), who >> 4);
		break;
	}
	case 6:
		op_raw(in);
		break;
	case 7:
		op_deliver(in);
		break;
	case 8:
		op_answer(in);
		break;
	case 9:
		op_close(in);
		break;
	case 10:
		op_window(in);
		break;
	case 11:
		op_time(in);
		break;
	case 12:
		op_leg(in);
		break;
	case 13:
		op_other(in);
		break;
	case 14:
		op_connect(in);
		break;
	case 15:
		op_quote(in);
		break;
	}
}

/* ---- beginning and end ---- */

static void begin_world(struct input *in)
{
	static const uint64_t highs[] = { 512, 4096, 65536, 262144 }, sizes[] = { 0, 1000, 3000, 0 };
	static const size_t blocks[] = { 16384, 2048, 256, 48 };
	unsigned how = take(in), limits = take(in), seed = take(in);

	memset(clients, 0, sizeof(clients));
	memset(&check, 0, sizeof(check));
	number = 0;
	has_raw = false;
	delivers_at_once = how & 1;
	answers_at_once = how >> 1 & 1;
	when_lost = limits >> 6;
	wire_begin(seed, blocks[limits >> 2 & 3]);
	group.count = WIRE_WORKERS;
	minted_init((const uint8_t *)"keykeykeykeykey", WIRE_WORKERS);
	options = (struct msrp_options){ .msrp_transaction_ms = 30000, .legs_max = 64, .listener_count = 1 };
	options.limits = (struct limits_options){ .header_bytes = 1024, .unbound_ms = 5000, .chunk_stall_ms = 10000,
		.leg_high = highs[limits & 3], .leg_low = highs[limits & 3] / 4, .queued_bytes = highs[limits & 3] * 3 };
	options.listeners[0].proto = LISTEN_MSRP;
	options.listeners[0].bound.ss_family = AF_INET;
	((struct sockaddr_in *)&options.listeners[0].bound)->sin_port = htons(2855);
	for (unsigned i = 0; i < WIRE_WORKERS; i++) {
		options.listeners[0].fds[i] = wire_listener(i);
		worker_init(&workers[i], i, &group);
		worker_use_ring(&workers[i], wire_ring(i));
		assert(stream_worker_init(&workers[i], 64) == 0 && msrp_worker_init(&workers[i], &options) == 0);
	}
	for (unsigned i = 0; i < CHECK_SIDES; i++)
		open_side(i, i / 4, sizes[limits >> 4 & 3]);
}

/* Which legs' peers share a connection. */
static void bind_all(unsigned how)
{
	static const uint8_t layouts[][CHECK_SIDES] = { { 0, 1, 2, 3, 4, 5 }, { 0, 1, 0, 2, 3, 4 }, { 0, 1, 0, 2, 0, 3 },
		{ 0, 1, 2, 1, 3, 1 }, { 0, 1, 0, 1, 0, 1 }, { 0, 0, 1, 2, 3, 4 }, { 0, 0, 0, 0, 0, 0 }, { 0, 1, 2, 3, 0, 1 } };
	const uint8_t *layout = layouts[how >> 5];
	bool delivers = delivers_at_once;

	for (unsigned i = 0; i < CHECK_SIDES; i += 2)
		msrp_leg_pair(sides[i].leg, sides[i + 1].leg);
	if (how & 4) /* nobody is there yet */
		return;
	delivers_at_once = true;
	for (unsigned i = 0; i < CHECK_SIDES; i++) {
		set_peer(i, false);
		if (layout[i] == wire.end_count)
			open_client(how & 16 ? 0 : sides[i].worker);
		if (!(how & 8 && i & 1)) /* else the other half comes later */
			bind_side(i, &clients[layout[i]]);
	}
	run_until_quiet();
	delivers_at_once = delivers;
}

static bool has_waiting(const struct msrp_connection *c)
{
	const struct msrp_leg *leg;

	LIST_FOREACH(leg, &c->legs, on_connection) {
		if (leg->waiting.n)
			return true;
	}
	return false;
}

/* Does the server read this connection no more, for a reason that time does not end? */
static void look_at_connections(void)
{
	for (unsigned i = 0; i < CHECK_SIDES; i++)
		check.sides[i].is_waiting = sides[i].leg && sides[i].leg->waiting.n;
	for (unsigned i = 0; i < group.count; i++) {
		struct msrp_endpoint *endpoint = workers[i].msrp;
		MUST(pool_used(&endpoint->transactions) == 0, "%u transactions without end", pool_used(&endpoint->transactions));
		for (uint32_t slot = 0; slot < endpoint->connections.made; slot++) {
			struct msrp_connection *c = pool_at(&endpoint->connections, slot);
			if (!c || !c->stream)
				continue;
			unsigned end = (unsigned)(c->stream->fd - wire_fd(&wire.ends[0]));
			check.is_stopped[end] = c->pauses || c->held.n;
			MUST(!(c->pauses & ~(PAUSE_REWOUND | PAUSE_NOT_READY)), "connection %u stays paused: %u", end, c->pauses);
			MUST(!(c->pauses & PAUSE_NOT_READY) || has_waiting(c), "connection %u is paused for nothing", end);
		}
		check.has_refused |= workers[i].counters.values[COUNTER_msrp_dropped] > 0;
		for (unsigned why = 0; why < REASON_COUNT; why++)
			check.has_refused |= workers[i].counters.refused[why] > 0;
		if (!has_raw)
			MUST(!workers[i].counters.refused[REASON_MSRP_BAD], "well-formed input was refused");
	}
}

static void look_for_leaks(void)
{
	for (unsigned i = 0; i < group.count; i++) {
		struct msrp_endpoint *endpoint = workers[i].msrp;
		MUST(!pool_used(&endpoint->legs) && !pool_used(&endpoint->connections) && !stream_count(&workers[i]),
			"worker %u keeps %u connections, %u streams", i, pool_used(&endpoint->connections),
			stream_count(&workers[i]));
		MUST(!endpoint->queued && !endpoint->used_credit[0] && !endpoint->used_credit[1], "worker %u: queued %zu, "
			"credit %zu %zu", i, endpoint->queued, endpoint->used_credit[0], endpoint->used_credit[1]);
		MUST(!workers[i].timers.armed && !wire.blocks[i], "worker %u: %zu timers, %u blocks", i,
			workers[i].timers.armed, wire.blocks[i]);
	}
}

static void end_world(void)
{
	for (unsigned i = 0; i < wire.end_count; i++) {
		wire.ends[i].in_room = WIRE_IN_MAX;
		wire.ends[i].out_room = WIRE_OUT_MAX;
		wire.ends[i].is_refused |= wire.ends[i].is_connecting;
		wire.ends[i].is_connecting = false;
	}
	delivers_at_once = true;
	for (unsigned i = 0; i < 8; i++) {
		pass_ms(10000);
		for (unsigned j = 0; j < wire.end_count; j++) /* a client has had enough */
			wire.ends[j].was_reset |= wire.ends[j].said.n == WIRE_OUT_MAX;
	}
	look_at_connections();
	check_run(&check);
	for (unsigned i = 0; i < CHECK_SIDES; i++)
		close_session(i);
	for (unsigned i = 0; i < wire.end_count; i++)
		wire.ends[i].has_ended = true;
	run_until_quiet();
	for (unsigned i = 0; i < 3; i++)
		pass_ms(10000);
	look_for_leaks();
	for (unsigned i = 0; i < WIRE_WORKERS; i++)
		msrp_worker_stop(&workers[i], true);
	run_until_quiet();
	for (unsigned i = 0; i < WIRE_WORKERS; i++) {
		msrp_worker_free(&workers[i]);
		stream_worker_free(&workers[i]);
		worker_free(&workers[i]);
	}
}

/* How many chunks were switched. */
static uint64_t run(struct input in)
{
	unsigned how = in.n ? *in.p : 0;
	uint64_t chunks = 0;

	begin_world(&in);
	bind_all(how);
	for (unsigned i = 0; in.n && i < OPERATIONS_MAX; i++)
		operate(&in);
	for (unsigned i = 0; i < WIRE_WORKERS; i++)
		chunks += workers[i].counters.values[COUNTER_msrp_chunks];
	end_world();
	return chunks;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	/* all bound, a chunk each way: without this every run could be one of refusals only */
	static const uint8_t good[] = { 3, 1, 0, 2, 0x00, 0, 0, 10, 0, 2, 0x11, 0, 0, 0, 10, 0, 0, 0, 0 };
	static bool has_begun;

	if (!has_begun) {
		atomic_store(&log_level_now, LOG_ERROR);
		MUST(run((struct input){ good, sizeof(good) }) == 2, "this harness is broken");
		has_begun = true;
	}
	run((struct input){ octets, n });
	return 0;
}
