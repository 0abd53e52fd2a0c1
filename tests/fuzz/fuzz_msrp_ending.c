/*
 * Legs that end here (msrp/receiver.h, msrp/sender.h), driven by the input: chunks well formed or not, in pieces
 * of any size, on connections of their own or shared, at either of two workers; owners who take their time, refuse,
 * conclude, give late, drop and close; answers and lies of the peers, readers that do not read, lost connections,
 * time, and memory that is short.  What must hold: an owner is handed each octet of a message once and in order, at
 * most two pieces at a time, and hears of its end once; a chunk has one answer; what a peer gets of a message of ours
 * is that message in order; its end is told once, and as success only if the peer said so to all of it; nothing is
 * left over.
 *
 * The input is a list of operations of one octet and its arguments, as that of fuzz_msrp_stream.c.
 */
#include "tests/fuzz/fuzz.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "core/stream.h"
#include "msrp/endpoint.h"
#include "msrp/receiver.h"
#include "msrp/sender.h"
#include "tests/fuzz/msrp_check.h"

enum { SIDES = 3, ITEMS = 40, OPERATIONS_MAX = 160, CHUNKS_MAX = 400, QUIET_LAPS = 3, LAPS_MAX = 60000, ASKED_MAX = 64 };

/* A message of ours. */
struct item {
	struct msrp_outgoing out;
	char lines[16];
	unsigned side;
	bool is_queued, is_wanted, is_late;
	uint64_t got;          /* octets that a peer has */
	unsigned chunks, good; /* that he got, and answered below 300 */
	bool is_complete;
};

struct side {
	struct msrp_leg *leg;
	char uri[192], path[2][64];
	bool has_changed_path, is_excused;
	/* ---- its owner, receiving ---- */
	bool is_open, is_whole;
	unsigned message, in_flight, refusal;
	uint64_t next;
	bool takes_at_once, concludes_at_once;
	uint64_t starts[4];    /* where a client goes on with each message */
};

struct client {
	struct wire_end *end;
	size_t parsed;
	struct { char id[MSRP_ID_CHARS + 1]; char path[192]; int item; } asked[ASKED_MAX];
	unsigned asked_count;
	bool has_open;
	unsigned open_side, open_message, open_chunk;
	uint64_t open_at;
	char open_id[16];
};

static struct { const struct wire_end *end; unsigned side, answers; bool wants, is_whole; } chunks[CHUNKS_MAX];

struct input {
	const uint8_t *p;
	size_t n;
};

static struct worker_group group;
static struct worker workers[WIRE_WORKERS];
static struct msrp_options options;
static struct side sides[SIDES];
static struct client clients[WIRE_ENDS_MAX];
static struct item items[ITEMS];
static unsigned chunk_count, item_count;
static bool answers_at_once, has_raw;

static unsigned take(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* Every octet says where it belongs. */
static char octet_of(unsigned message, uint64_t offset)
{
	return (char)(offset % 37 == 36 ? '\n' : 'a' + (offset * 7 + offset / 101 + message) % 26);
}

/* ---- owners: receiving ---- */

static struct side *side_of(struct msrp_leg *leg)
{
	for (unsigned i = 0; i < SIDES; i++)
		if (sides[i].leg == leg)
			return &sides[i];
	MUST(false, "an event of no leg");
}

static unsigned on_message(struct msrp_leg *leg, const struct msrp_head *head, enum reason *why, void *arg)
{
	struct side *side = side_of(leg);

	MUST(!side->is_open, "two at a time");
	*why = REASON_STORE_BUSY;
	if (side->refusal)
		return side->refusal;
	side->is_open = true;
	side->is_whole = false;
	side->next = 0;
	side->message = head->message_id.n == 2 ? (unsigned)(head->message_id.p[1] - '0') : 99;
	return 0;
}

static void handed(struct side *side, uint64_t offset, struct slice octets)
{
	MUST(side->is_open && !side->is_whole, "content of nothing");
	MUST(offset == side->next, "octet %ju instead of %ju", (uintmax_t)offset, (uintmax_t)side->next);
	for (size_t i = 0; i < octets.n && !has_raw; i++)
		MUST(octets.p[i] == octet_of(side->message, offset + i), "octet %ju is another", (uintmax_t)(offset + i));
	side->next += octets.n;
}

static void on_piece(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct side *side = side_of(leg);

	MUST(octets.n == MSRP_PIECE_MAX && side->in_flight < MSRP_PIECES_IN_FLIGHT, "%u in flight", side->in_flight);
	handed(side, offset, octets);
	side->in_flight++;
	if (side->takes_at_once) {
		side->in_flight--;
		msrp_receiver_taken(leg);
	}
}

static void conclude(struct side *side, unsigned status)
{
	side->is_open = side->is_whole = false;
	msrp_receiver_conclude(side->leg, status);
}

static void on_whole(struct msrp_leg *leg, uint64_t offset, struct slice octets, void *arg)
{
	struct side *side = side_of(leg);

	MUST(octets.n <= MSRP_PIECE_MAX, "%zu octets", octets.n);
	handed(side, offset, octets);
	side->is_whole = true;
	if (side->concludes_at_once)
		conclude(side, 200);
}

static void on_aborted(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = side_of(leg);

	MUST(side->is_open && !side->is_whole, "aborted, but not begun");
	side->is_open = false;
}

static const struct msrp_receiver_events receiver_events = { on_message, on_piece, on_whole, on_aborted };

/* ---- owners: sending ---- */

static void give(struct item *item, size_t most)
{
	static char octets[MSRP_ASKED_MAX];
	struct msrp_outgoing *out = &item->out;
	size_t n = out->size - out->sent < most ? out->size - out->sent : most;

	item->is_wanted = false;
	for (size_t i = 0; i < n; i++)
		octets[i] = octet_of((unsigned)(item - items), out->sent + i);
	msrp_sender_give(sides[item->side].leg, out, &(struct slice){ octets, n }, 1);
}

static void on_want(struct msrp_leg *leg, struct msrp_outgoing *out, uint64_t offset, void *arg)
{
	struct item *item = (struct item *)out;

	MUST(item->is_queued && !item->is_wanted && offset == out->sent, "wanted out of turn");
	item->is_wanted = true;
	if (!item->is_late)
		give(item, MSRP_ASKED_MAX);
}

static void on_end(struct msrp_leg *leg, struct msrp_outgoing *out, unsigned status, void *arg)
{
	struct item *item = (struct item *)out;

	MUST(item->is_queued, "ended twice");
	item->is_queued = item->is_wanted = false;
	if (status >= 200 && status < 300 && !has_raw)
		MUST(item->is_complete && item->good >= item->chunks, "%u of %u chunks were answered well", item->good, item->chunks);
}

static const struct msrp_sender_events sender_events = { on_want, on_end };

static void send_item(unsigned i, unsigned how, size_t size)
{
	struct item *item = &items[item_count];

	if (item_count == ITEMS || !sides[i].leg)
		return;
	*item = (struct item){ .side = i, .is_queued = true, .is_late = how & 1, .out.size = size };
	snprintf(item->lines, sizeof(item->lines), "X-N: %u\r\n", item_count);
	item->out.lines = slice_str(item->lines);
	item->out.content_type = SLICE("text/plain");
	item_count++;
	msrp_sender_send(sides[i].leg, &item->out);
}

/* ---- legs ---- */

static void close_side(unsigned i)
{
	if (!sides[i].leg)
		return;
	msrp_leg_close(sides[i].leg);
	sides[i].leg = NULL;
	sides[i].is_excused = true;
	for (unsigned j = 0; j < item_count; j++)
		if (items[j].side == i)
			items[j].is_queued = items[j].is_wanted = false;
}

static void on_bound(struct msrp_leg *leg, void *arg)
{
	assert(msrp_leg_is_bound(leg));
}

static void on_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
	struct side *side = side_of(leg);

	side->is_excused = true;
	MUST(!side->is_open || side->is_whole, "lost, and still open");
	for (unsigned i = 0; i < item_count; i++) /* those sent since then wait for another connection */
		MUST(items[i].side != (unsigned)(side - sides) || !items[i].is_queued || !items[i].out.has_begun, "no end of %u", i);
}

static const struct msrp_leg_events leg_events = { on_bound, on_lost };

static void set_peer(unsigned i)
{
	struct msrp_peer peer = { .path = slice_str(sides[i].path[sides[i].has_changed_path]) };

	wire.is_server = true;
	int err = msrp_leg_set_peer(sides[i].leg, &peer);
	wire.is_server = false;
	assert(!err || (err == ENOMEM && wire.failed));
}

static void open_side(unsigned i)
{
	struct msrp_receiver_options receiving = { .max_octets = i == 1 ? 5000 : 0 };
	struct side *side = &sides[i];

	*side = (struct side){ .takes_at_once = true, .concludes_at_once = true, .starts = { 1, 1, 1, 1 } };
	assert(msrp_leg_open(&side->leg, &workers[0], NULL, false, &leg_events, side) == 0);
	assert(msrp_receiver_attach(side->leg, &receiving, &receiver_events, side) == 0);
	assert(msrp_sender_attach(side->leg, 1 + i, &sender_events, side) == 0);
	snprintf(side->uri, sizeof(side->uri), "%.*s", SLICE_ARG(msrp_leg_uri(side->leg)));
	snprintf(side->path[0], sizeof(side->path[0]), "msrp://p%u.example:7654/s;tcp", i);
	snprintf(side->path[1], sizeof(side->path[1]), "msrp://new%u.example:7654/s;tcp", i);
}

/* ---- clients ---- */

static struct client *client_at(unsigned i)
{
	return wire.end_count ? &clients[i % wire.end_count] : NULL;
}

static void put(struct client *client, struct slice s)
{
	if (!wire_write(client->end, s.p, s.n))
		has_raw = true; /* a piece is missing */
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

static struct client *open_client(unsigned worker)
{
	unsigned i = wire.end_count;
	struct wire_end *end = wire_open(worker);

	if (!end)
		return NULL;
	clients[i] = (struct client){ .end = end };
	return &clients[i];
}

static void end_chunk(struct client *client, unsigned flag);

static void answer(struct client *client, unsigned which, unsigned status)
{
	if (which >= client->asked_count)
		return;
	end_chunk(client, 1); /* it would be its content */
	int item = client->asked[which].item;
	if (item >= 0 && status >= 200 && status < 300)
		items[item].good++;
	say(client, "MSRP %s %03u Is\r\nTo-Path: %s\r\nFrom-Path: msrp://x.example:1/s;tcp\r\n-------%s$\r\n", client->asked[which].id,
		status, client->asked[which].path, client->asked[which].id);
	client->asked_count--;
	memmove(&client->asked[which], &client->asked[which + 1], (client->asked_count - which) * sizeof(client->asked[0]));
}

static void on_send(struct client *client, const struct seen *got)
{
	int n = got->number;
	uint64_t start, end, total;

	if (n >= 0 && (unsigned)n < item_count) {
		struct item *item = &items[n];
		MUST(seen_range(got->range, &start, &end, &total), "Byte-Range is \"%.*s\"", SLICE_ARG(got->range));
		MUST(start == item->got + 1 && total == item->out.size, "range %.*s", SLICE_ARG(got->range));
		MUST(end == UINT64_MAX || end == item->got + got->body.n, "range %.*s of %zu", SLICE_ARG(got->range), got->body.n);
		for (size_t i = 0; i < got->body.n; i++)
			MUST(got->body.p[i] == octet_of((unsigned)n, item->got + i), "octet %zu of item %d is another", i, n);
		item->got += got->body.n;
		item->chunks++;
		item->is_complete = got->flag == '$';
		MUST(!item->is_complete || item->got == item->out.size, "ends too early");
	} else {
		MUST(got->body.n == 0, "content of nobody");
		n = -1;
	}
	if (client->asked_count == ASKED_MAX) {
		client->asked_count--;
		memmove(&client->asked[0], &client->asked[1], client->asked_count * sizeof(client->asked[0]));
	}
	unsigned i = client->asked_count++;
	snprintf(client->asked[i].id, sizeof(client->asked[i].id), "%.*s", SLICE_ARG(got->id));
	snprintf(client->asked[i].path, sizeof(client->asked[i].path), "%.*s", SLICE_ARG(got->from_path));
	client->asked[i].item = n;
	if (answers_at_once)
		answer(client, i, 200);
}

static void on_response(const struct client *client, const struct seen *got)
{
	unsigned n = CHUNKS_MAX;

	if (got->id.n != 7 || got->id.p[0] != 't' || has_raw)
		return;
	n = (unsigned)strtoul(got->id.p + 1, NULL, 10);
	MUST(n < chunk_count && chunks[n].end == client->end, "answer to nothing: %.*s", SLICE_ARG(got->id));
	MUST(++chunks[n].answers == 1, "second answer to %.*s", SLICE_ARG(got->id));
	MUST(chunks[n].wants || got->status >= 400, "%u to %.*s, who wants none", got->status, SLICE_ARG(got->id));
}

static void read_what_came(struct client *client)
{
	struct wire_end *end = client->end;
	struct seen got;

	while (client->parsed < end->said.n) {
		enum seen_verdict verdict = seen_read(slice_of(end->out + client->parsed, end->said.n - client->parsed), &got);
		MUST(verdict != SEEN_BAD, "no MSRP at %zu", client->parsed);
		if (verdict != SEEN_WHOLE)
			return;
		client->parsed += got.n;
		if (slice_eq(got.method, SLICE("SEND")))
			on_send(client, &got);
		else if (!got.method.n)
			on_response(client, &got);
	}
}

/* ---- the run ---- */

static void lap(void)
{
	wire.step++;
	for (unsigned i = 0; i < group.count; i++) {
		wire.is_server = true;
		worker_turn(&workers[i], false);
		wire.is_server = false;
	}
	for (unsigned i = 0; i < wire.end_count; i++)
		read_what_came(&clients[i]);
	for (unsigned i = 0; i < SIDES; i++)
		MUST(!sides[i].leg || msrp_receiver_is_open(sides[i].leg) == sides[i].is_open, "of another mind");
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

static void bind_side(unsigned i, struct client *client)
{
	if (!client)
		return;
	end_chunk(client, 1);
	say(client, "MSRP bind%u SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: bind\r\n-------bind%u$\r\n", i, sides[i].uri,
		sides[i].path[sides[i].has_changed_path], i);
}

/* ---- operations: clients ---- */

static void end_chunk(struct client *client, unsigned flag)
{
	static const char flags[] = "$+#$";

	if (!client->has_open)
		return;
	say(client, "\r\n-------%s%c\r\n", client->open_id, flags[flag & 3]);
	client->has_open = false;
	chunks[client->open_chunk].is_whole = true;
	sides[client->open_side].starts[client->open_message] = flags[flag & 3] == '+' ? client->open_at + 1 : 1;
}

static void put_content(struct client *client, size_t n)
{
	char octets[4096];

	for (; n && client->has_open; n -= n < sizeof(octets) ? n : sizeof(octets)) {
		size_t part = n < sizeof(octets) ? n : sizeof(octets);
		for (size_t i = 0; i < part; i++)
			octets[i] = octet_of(client->open_message, client->open_at++);
		put(client, slice_of(octets, part));
	}
}

static void put_range(struct client *client, unsigned how, uint64_t start, size_t n)
{
	switch (how & 7) {
	case 0:
	case 1:
		say(client, "Byte-Range: %ju-*/*\r\n", (uintmax_t)start);
		break;
	case 2:
		say(client, "Byte-Range: %ju-%ju/*\r\n", (uintmax_t)start, (uintmax_t)(start + n - 1));
		break;
	case 3:
		say(client, "Byte-Range: %ju-%ju/%ju\r\n", (uintmax_t)start, (uintmax_t)(start + n - 1), (uintmax_t)(start + n - 1));
		break;
	case 4:
		say(client, "Byte-Range: %ju-*/%u\r\n", (uintmax_t)start, 200);
		break;
	case 5:
		say(client, "Byte-Range: %ju-%ju/*\r\n", (uintmax_t)start, (uintmax_t)(start + n / 2));
		break;
	case 6:
		say(client, "Byte-Range: %ju-*/%u\r\n", (uintmax_t)start, 150000);
		break;
	case 7:
		say(client, "Byte-Range: %ju-*/%ju\r\n", (uintmax_t)start, (uintmax_t)(start + n + 4));
		break;
	}
}

/* who: client, side; how: message, where it begins, range; style: reports, type, flag. */
static void op_chunk(struct input *in, bool is_whole)
{
	static const char *const reports[] = { "", "Failure-Report: yes\r\n", "Failure-Report: no\r\n", "Failure-Report: partial\r\n" };
	unsigned who = take(in), how = take(in), style = take(in), size = take(in);
	struct client *client = client_at(who & 15);
	unsigned side = (who >> 4) % SIDES, message = how & 3;
	size_t n = size < 64 ? size : (size_t)(size - 60) * 700;
	uint64_t start = how >> 2 & 3 ? sides[side].starts[message] : 1 + (how >> 5);

	if (!client || chunk_count == CHUNKS_MAX)
		return;
	end_chunk(client, 1);
	client->has_open = true;
	client->open_side = side;
	client->open_message = message;
	client->open_chunk = chunk_count;
	client->open_at = start - 1;
	snprintf(client->open_id, sizeof(client->open_id), "t%06u", chunk_count);
	chunks[chunk_count].end = client->end;
	chunks[chunk_count].side = side;
	chunks[chunk_count].answers = 0;
	chunks[chunk_count].is_whole = false;
	chunks[chunk_count++].wants = !(style & 2);
	say(client, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: m%u\r\n", client->open_id, sides[side].uri,
		sides[side].path[sides[side].has_changed_path], message);
	put_range(client, how >> 5, start, n);
	say(client, "%s%s%s\r\n", reports[style & 3], style & 4 ? "Success-Report: yes\r\n" : "",
		style & 8 ? "" : "Content-Type: text/plain\r\n");
	if (is_whole) {
		put_content(client, n);
		end_chunk(client, style >> 6);
	}
}

static void op_raw(struct input *in)
{
	struct client *client = client_at(take(in));
	size_t n = take(in);

	n = n < in->n ? n : in->n;
	if (client) {
		has_raw = true;
		put(client, slice_of((const char *)in->p, n));
	}
	in->p += n;
	in->n -= n;
}

static void op_report(struct input *in)
{
	unsigned who = take(in), which = take(in);
	struct client *client = client_at(who & 15);
	unsigned side = (who >> 4) % SIDES;

	if (!client || !item_count)
		return;
	end_chunk(client, 1);
	say(client, "MSRP repo SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: k\r\n-------repo$\r\n", sides[side].uri,
		sides[side].path[sides[side].has_changed_path]);
	say(client, "MSRP repo REPORT\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %.32s\r\nStatus: 000 %u x\r\n-------repo$\r\n",
		sides[side].uri, sides[side].path[sides[side].has_changed_path], items[which % item_count].out.message_id,
		which & 64 ? 408 : 200);
}

static void op_deliver(struct input *in)
{
	struct client *client = client_at(take(in));
	unsigned n = take(in);

	if (!client)
		return;
	client->end->in_room += n < 64 ? n : n * 600;
	if (client->end->in_room > client->end->in_written)
		client->end->in_room = client->end->in_written;
}

static void op_window(struct input *in)
{
	struct client *client = client_at(take(in));
	unsigned n = take(in);

	if (!client)
		return;
	client->end->out_room = n == 255 ? WIRE_OUT_MAX : client->end->said.n + n * n;
	if (client->end->out_room > WIRE_OUT_MAX)
		client->end->out_room = WIRE_OUT_MAX;
}

static void op_close(struct input *in)
{
	unsigned how = take(in);
	struct client *client = client_at(how & 15);

	if (!client)
		return;
	client->end->was_reset |= how & 16;
	client->end->has_ended = true;
}

/* ---- operations: owners ---- */

static void op_owner(struct input *in)
{
	static const unsigned statuses[] = { 200, 413, 408, 415 };
	unsigned what = take(in);
	struct side *side = &sides[(what & 15) % SIDES];

	if (!side->leg)
		return;
	switch (what >> 4 & 7) {
	case 0:
		side->takes_at_once = !side->takes_at_once;
		break;
	case 1:
		side->concludes_at_once = !side->concludes_at_once;
		break;
	case 2:
		if (side->in_flight) {
			side->in_flight--;
			msrp_receiver_taken(side->leg);
		}
		break;
	case 3:
	case 4:
		if (side->is_whole)
			conclude(side, statuses[take(in) & 3]);
		break;
	case 5:
		side->is_open = side->is_whole = false;
		msrp_receiver_refuse(side->leg, 413, REASON_STORE);
		break;
	case 6:
		side->refusal = side->refusal ? 0 : 415;
		break;
	case 7:
		side->refusal = side->refusal ? 0 : 408;
		break;
	}
}

static void op_item(struct input *in)
{
	unsigned what = take(in), how = take(in);
	struct item *item = &items[how % ITEMS];

	switch (what & 3) {
	case 0:
	case 1:
		send_item((what >> 2 & 15) % SIDES, what >> 6, how < 128 ? how * 8 : (how - 127) * 1200);
		break;
	case 2:
		if (item->is_queued && item->is_wanted)
			give(item, (size_t)1 + (what >> 2) * 50);
		break;
	case 3:
		if (item->is_queued)
			msrp_sender_drop(sides[item->side].leg, &item->out);
		item->is_queued = item->is_wanted = false;
		break;
	}
}

static void op_leg(struct input *in)
{
	unsigned what = take(in), i = (what & 15) % SIDES;

	if (!sides[i].leg)
		return;
	switch (what >> 4 & 3) {
	case 0:
		close_side(i);
		break;
	case 1:
		sides[i].has_changed_path = sides[i].is_excused = true;
		set_peer(i);
		break;
	default:
		bind_side(i, client_at(take(in)));
		break;
	}
}

static void op_time(struct input *in)
{
	static const unsigned ms[] = { 1, 100, 1000, 4999, 9999, 10000, 23999, 24001, 29999, 30001 };

	wire.now_us += (uint64_t)ms[take(in) % 10] * 1000;
	run_until_quiet();
}

static void operate(struct input *in)
{
	unsigned what = take(in) % 16;
	static const unsigned statuses[] = { 200, 200, 200, 413, 415, 408, 481, 100 };

	switch (what) {
	case 0:
		lap();
		break;
	case 1:
		open_client(take(in) & 1);
		break;
	case 2:
	case 3:
		op_chunk(in, what == 2);
		break;
	case 4: {
		struct client *client = client_at(take(in));
		unsigned n = take(in);
		if (client)
			put_content(client, n < 64 ? n : (size_t)(n - 60) * 700);
		break;
	}
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
	case 8: {
		struct client *client = client_at(take(in));
		unsigned how = take(in);
		if (client)
			answer(client, how >> 4, statuses[how & 7]);
		break;
	}
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
		op_owner(in);
		break;
	case 13:
		op_item(in);
		break;
	case 14:
		if (wire.end_count && (in->n & 1))
			op_report(in);
		else
			wire.fails_in = 1 + (take(in) & 127);
		break;
	case 15:
		op_leg(in);
		break;
	}
	for (unsigned i = 0; i < wire.end_count && answers_at_once; i++) /* delivers at once, too */
		clients[i].end->in_room = clients[i].end->in_written;
}

/* ---- beginning and end ---- */

static void begin_world(struct input *in)
{
	static const uint64_t highs[] = { 512, 4096, 65536, 262144 };
	static const size_t blocks[] = { 16384, 2048, 512, 128 };
	unsigned how = take(in), limits = take(in);

	chunk_count = item_count = 0;
	has_raw = false;
	answers_at_once = how & 1;
	memset(clients, 0, sizeof(clients));
	memset(items, 0, sizeof(items));
	wire_begin(limits, blocks[limits >> 2 & 3]);
	group.count = WIRE_WORKERS;
	minted_init((const uint8_t *)"keykeykeykeykey", WIRE_WORKERS);
	options = (struct msrp_options){ .msrp_transaction_ms = 30000, .legs_max = 64, .listener_count = 1 };
	options.limits = (struct limits_options){ .header_bytes = 1024, .unbound_ms = 5000, .chunk_stall_ms = 10000,
		.leg_high = highs[limits & 3], .leg_low = highs[limits & 3] / 4, .queued_bytes = 1024 * 1024 };
	options.listeners[0].proto = LISTEN_MSRP;
	options.listeners[0].bound.ss_family = AF_INET;
	((struct sockaddr_in *)&options.listeners[0].bound)->sin_port = htons(2855);
	for (unsigned i = 0; i < WIRE_WORKERS; i++) {
		options.listeners[0].fds[i] = wire_listener(i);
		worker_init(&workers[i], i, &group);
		worker_use_ring(&workers[i], wire_ring(i));
		assert(stream_worker_init(&workers[i], 64) == 0 && msrp_worker_init(&workers[i], &options) == 0);
	}
	for (unsigned i = 0; i < SIDES; i++) {
		open_side(i);
		set_peer(i);
	}
	if (how & 2) /* nobody is there yet */
		return;
	for (unsigned i = 0; i < SIDES; i++) {
		struct client *client = how & 4 && i ? &clients[0] : open_client(how >> 3 & 1);
		bind_side(i, client);
		client->end->in_room = client->end->in_written;
		if (how & 4 || how & 8)
			run_until_quiet();
	}
	run_until_quiet();
}

static bool is_gone(const struct wire_end *end)
{
	return !end->is_open || end->has_ended || end->was_reset || end->said.n == WIRE_OUT_MAX;
}

/* Everybody does what he owes. */
static void settle(void)
{
	answers_at_once = true;
	for (unsigned i = 0; i < wire.end_count; i++) {
		clients[i].end->in_room = clients[i].end->in_written;
		clients[i].end->out_room = WIRE_OUT_MAX;
		while (clients[i].asked_count)
			answer(&clients[i], 0, 200);
		clients[i].end->in_room = clients[i].end->in_written;
	}
	for (unsigned i = 0; i < SIDES; i++) {
		struct side *side = &sides[i];
		side->takes_at_once = side->concludes_at_once = true;
		for (; side->leg && side->in_flight; side->in_flight--)
			msrp_receiver_taken(side->leg);
		if (side->leg && side->is_whole)
			conclude(side, 200);
	}
	for (unsigned i = 0; i < item_count; i++) {
		items[i].is_late = false;
		if (items[i].is_queued && items[i].is_wanted)
			give(&items[i], MSRP_ASKED_MAX);
	}
	wire.now_us += 10000 * 1000;
	run_until_quiet();
}

static bool is_paused(const struct wire_end *end)
{
	for (unsigned i = 0; i < group.count; i++) {
		struct msrp_endpoint *endpoint = msrp_endpoint_of(&workers[i]);
		for (uint32_t slot = 0; slot < endpoint->connections.made; slot++) {
			struct msrp_connection *c = pool_at(&endpoint->connections, slot);
			if (c && c->stream && c->stream->fd == wire_fd(end) && (c->pauses || c->held.n))
				return true;
		}
	}
	return false;
}

static void look_at_answers(void)
{
	for (unsigned i = 0; i < chunk_count && !has_raw; i++) {
		bool is_excused = sides[chunks[i].side].is_excused || is_gone(chunks[i].end) || is_paused(chunks[i].end);
		MUST(!chunks[i].is_whole || !chunks[i].wants || is_excused || chunks[i].answers == 1, "no answer to t%06u", i);
	}
	for (unsigned i = 0; i < SIDES; i++) {
		if (!sides[i].leg || !msrp_leg_is_bound(sides[i].leg))
			continue;
		MUST(!(sides[i].leg->connection->pauses & PAUSE_FAR_FULL), "paused for nothing");
		MUST(is_gone(&wire.ends[0]) || msrp_sender_outstanding(sides[i].leg) == 0 || has_raw || wire.end_count > 1, "still out");
	}
}

static void look_for_leaks(void)
{
	for (unsigned i = 0; i < group.count; i++) {
		struct msrp_endpoint *endpoint = msrp_endpoint_of(&workers[i]);
		MUST(!pool_used(&endpoint->legs) && !pool_used(&endpoint->connections) && !pool_used(&endpoint->transactions) &&
			!stream_count(&workers[i]), "worker %u keeps %u connections, %u transactions", i,
			pool_used(&endpoint->connections), pool_used(&endpoint->transactions));
		MUST(!endpoint->queued && !endpoint->held && !workers[i].timers.armed && !wire.blocks[i], "worker %u: queued %zu, "
			"held %zu, %zu timers", i, endpoint->queued, endpoint->held, workers[i].timers.armed);
	}
}

static void end_world(void)
{
	for (unsigned i = 0; i < 8; i++)
		settle();
	look_at_answers();
	for (unsigned i = 0; i < SIDES; i++)
		close_side(i);
	for (unsigned i = 0; i < wire.end_count; i++)
		wire.ends[i].has_ended = true;
	run_until_quiet();
	for (unsigned i = 0; i < 3; i++) {
		wire.now_us += 10000 * 1000;
		run_until_quiet();
	}
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

/* How many messages came and went whole. */
static uint64_t run(struct input in)
{
	uint64_t whole = 0;

	begin_world(&in);
	for (unsigned i = 0; in.n && i < OPERATIONS_MAX; i++)
		operate(&in);
	for (unsigned i = 0; i < WIRE_WORKERS; i++)
		whole += workers[i].counters.values[COUNTER_msrp_messages_received] + workers[i].counters.values[COUNTER_msrp_messages_sent];
	end_world();
	return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	/* one message each way: without this every run could be one of refusals only */
	static const uint8_t good[] = { 1, 3, 2, 0, 0, 0, 10, 13, 0, 20, 0, 0, 0, 0, 0, 0 };
	static bool has_begun;

	if (!has_begun) {
		atomic_store(&log_level_now, LOG_ERROR);
		MUST(run((struct input){ good, sizeof(good) }) == 2, "this harness is broken");
		has_begun = true;
	}
	run((struct input){ octets, n });
	return 0;
}
