/*
 * What one peer, one leg and one worker may take (design.md 5, "Memory"), and what is counted of it.
 */
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define BOB   "msrp://bob.example:4567/b2;tcp"

struct session {
	struct side *a, *b;
	struct client *alice, *bob;
};

static struct session open_session(struct world *w)
{
	struct session s = { .a = side_open(w, 0, ALICE), .b = side_open(w, 0, BOB) };

	msrp_leg_pair(s.a->leg, s.b->leg);
	return s;
}

/* Each side on a connection of its own. */
static struct session open_bound(struct world *w)
{
	struct session s = open_session(w);

	s.alice = client_open(w, 0);
	s.bob = client_open(w, 0);
	bind_side(w, s.alice, s.a);
	bind_side(w, s.bob, s.b);
	return s;
}

static void answer(struct client *client, struct side *side, const char *id)
{
	client_send(client, HEAD("%s", "200 OK") "-------%s$\r\n", id, PATHS(side), id);
}

static void send_text(struct client *client, struct side *side, const char *id, const char *text)
{
	client_send(client, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\n"
		"Byte-Range: 1-%zu/%zu\r\nContent-Type: a/b\r\n\r\n%s\r\n-------%s$\r\n",
		id, PATHS(side), id, strlen(text), strlen(text), text, id);
}

/* A message from Alice to Bob and its answer: the session is well. */
static void exchange(struct world *w, struct session *s)
{
	struct chunk chunk;

	send_text(s->alice, s->a, "well1", "well");
	expect_chunk(w, s->bob, "SEND", &chunk);
	assert_memory_equal(chunk.body, "well", 4);
	answer(s->bob, s->b, chunk.id);
	expect_answer(w, s->alice, s->a, "well1", "200 OK");
}

/* One look at the clock tells how long the chunks of a turn took: as many as were switched. */
static void how_long_chunks_took(void **state)
{
	struct world w;
	struct session s;
	uint64_t sum = 0;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w);
	for (unsigned i = 0; i < 20; i++)
		exchange(&w, &s);
	const struct histogram_counts *h = &w.workers[0].counters.histograms[HISTOGRAM_chunk_switch];
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum += h->buckets[i];
	assert_int_equal(sum, COUNTED(&w, msrp_chunks));
	assert_int_equal(sum, 20);
	/* this whole test is no longer than that */
	assert_in_range(h->sum_us, 0, sum * PATIENCE_MS * 1000);
	world_end(&w);
}

#define WRONG "MSRP wrong1 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 1\r\n" \
	"Content-Type: a/b\r\n\r\nxyz\r\n-------wrong1$\r\n"

/* So many chunks for `to`, each of which gets 481. */
static void err(struct world *w, struct client *client, const char *to, unsigned times)
{
	struct chunk chunk;

	for (unsigned i = 0; i < times; i++)
		client_send(client, WRONG, to, ALICE);
	for (unsigned i = 0; i < times; i++)
		expect_chunk(w, client, "481 No Such Session", &chunk);
}

/* Session-ids that are tried one after the other. */
static void guesses_on_an_unbound_connection(void **state)
{
	struct world w;
	struct session s, other;

	world_init(&w, 1);
	world_start(&w);
	s = open_session(&w);
	other = open_bound(&w);
	s.alice = client_open(&w, 0);
	err(&w, s.alice, "msrp://127.0.0.1:1/guess;tcp", MSRP_GUESSES_UNBOUND - 1);
	bind_side(&w, s.alice, s.a); /* at the limit it is still good */
	s.bob = client_open(&w, 0);
	err(&w, s.bob, "msrp://127.0.0.1:1/guess;tcp", MSRP_GUESSES_UNBOUND - 2);
	err(&w, s.bob, s.b->uri, 2); /* of a session that is there, by somebody else: a guess too */
	WAIT_FOR(&w, s.bob->is_closed);
	assert_int_equal(world_refused(&w, REASON_MSRP_GUESSING), 1);
	assert_int_equal(world_refused(&w, REASON_MSRP_SESSION_UNKNOWN), 2 * MSRP_GUESSES_UNBOUND - 1);
	assert_int_equal(s.b->bound, 0);
	s.bob = client_open(&w, 0);
	bind_side(&w, s.bob, s.b);
	exchange(&w, &s);
	exchange(&w, &other);
	world_end(&w);
}

static void guesses_on_a_bound_connection(void **state)
{
	struct world w;
	struct session s, other;
	struct side gone;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w);
	other = open_bound(&w);
	gone = *side_open(&w, 0, ALICE);
	side_close(&w.sides[4]);
	/* what was under way to a session that has ended is no guess */
	for (unsigned i = 0; i < 20; i++)
		err(&w, s.alice, gone.uri, MSRP_GUESSES_BOUND / 10);
	err(&w, s.alice, "msrp://127.0.0.1:1/guess;tcp", MSRP_GUESSES_BOUND - 1);
	exchange(&w, &s);
	assert_int_equal(s.a->lost, 0);
	err(&w, s.alice, "msrp://127.0.0.1:1/guess;tcp", 1);
	WAIT_FOR(&w, s.alice->is_closed && s.a->lost == 1);
	assert_int_equal(s.a->why, REASON_MSRP_GUESSING);
	assert_int_equal(world_refused(&w, REASON_MSRP_GUESSING), 1);
	exchange(&w, &other);
	world_end(&w);
}

/* Chunks wait for Bob when Alice gets another path: each is answered, whole, half arrived or still small. */
static void what_waits_when_the_path_changes(void **state)
{
	static const char last[][200] = {
		/* a head and some content; the rest will never be looked at */
		"Byte-Range: 1-9000/9000\r\nContent-Type: a/b\r\n\r\nbeginning",
		"Byte-Range: 1-9/9\r\nContent-Type: a/b\r\n\r\nbeg",
		"Success-Report: yes\r\nByte-Range: 1-9/9\r\nContent-Type: a/b\r\n\r\n",
	};

	for (unsigned i = 0; i < 3; i++) {
		struct world w;
		struct session s;
		struct msrp_peer peer = { .path = SLICE("msrp://127.0.0.1:9/elsewhere;tcp") };

		world_init(&w, 1);
		world_start(&w);
		s = open_session(&w);
		s.alice = client_open(&w, 0);
		bind_side(&w, s.alice, s.a);
		send_text(s.alice, s.a, "wait1", "hello");
		client_send(s.alice, HEAD("wait2", "SEND") "Message-ID: 2\r\nFailure-Report: no\r\n"
			"Byte-Range: 1-2/2\r\nContent-Type: a/b\r\n\r\nno\r\n-------wait2$\r\n", PATHS(s.a));
		client_send(s.alice, HEAD("wait3", "REPORT") "Message-ID: 2\r\nByte-Range: 1-2/2\r\n"
			"Status: 000 200\r\n-------wait3$\r\n", PATHS(s.a));
		send_text(s.alice, s.a, "wait4", "there");
		client_send(s.alice, HEAD("wait5", "SEND") "Message-ID: 5\r\n%s", PATHS(s.a), last[i]);
		WAIT_FOR(&w, s.a->leg->waiting.n && s.a->leg->connection->in->leg);
		assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
		expect_answer(&w, s.alice, s.a, "wait1", "408 Request Timeout");
		expect_answer(&w, s.alice, s.a, "wait4", "408 Request Timeout");
		expect_answer(&w, s.alice, s.a, "wait5", "408 Request Timeout");
		WAIT_FOR(&w, s.alice->is_closed); /* and not one word more */
		assert_int_equal(s.alice->seen, s.alice->n);
		assert_int_equal(world_refused(&w, REASON_MSRP_PATH_CHANGED), 5);
		s.alice = client_open(&w, 0);
		snprintf(s.a->path, sizeof(s.a->path), "%.*s", SLICE_ARG(peer.path));
		bind_side(&w, s.alice, s.a);
		s.bob = client_open(&w, 0);
		bind_side(&w, s.bob, s.b);
		exchange(&w, &s); /* the old ones do not come before it */
		world_end(&w);
	}
}

/* Peers that never answer take what there is to remember their chunks by; there is some left for the others. */
static void chunks_that_nobody_answers(void **state)
{
	struct world w;
	struct session greedy[4], good;
	char id[16];

	world_init(&w, 1);
	w.options.legs_max = 16;
	world_start(&w);
	good = open_bound(&w);
	const struct pool *pool = &msrp_endpoint_of(&w.workers[0])->transactions;
	for (unsigned i = 0; i < 4; i++) {
		greedy[i] = open_bound(&w);
		for (unsigned n = 0; n < 4500 && greedy[i].alice->out_n == 0; n++) {
			snprintf(id, sizeof(id), "g%u.%u", i, n + 100);
			send_text(greedy[i].alice, greedy[i].a, id, "x");
			if (n % 20 == 0)
				world_lap(&w);
			if (greedy[i].a->leg->connection->pauses & PAUSE_OUTSTANDING)
				break;
		}
		assert_true(greedy[i].a->leg->connection->pauses & PAUSE_OUTSTANDING);
		exchange(&w, &good);
	}
	assert_in_range(pool_used(pool), pool->max / 2, pool->max - 100);
	assert_in_range(greedy[3].a->leg->transaction_count, MSRP_TRANSACTIONS_SCARCE, MSRP_TRANSACTIONS_SCARCE + 40);
	assert_int_equal(world_refused(&w, REASON_POOL_EXHAUSTED), 0);
	world_end(&w);
}

/* ---- limits.queued_bytes ---- */

/* The client stops reading, and the kernel keeps little for it. */
static void stop_reading(struct client *client, const struct side *side)
{
	client->is_deaf = true;
	setsockopt(side->leg->connection->stream->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 16384 }, sizeof(int));
}

static void begin_flood(struct client *client, struct side *side)
{
	client_send(client, HEAD("flood", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(side));
}

static size_t held_by_the_worker(const struct world *w)
{
	const struct msrp_endpoint *endpoint = msrp_endpoint_of(&w->workers[0]);

	return endpoint->queued + endpoint->held;
}

/* Offers so much of a chunk without end, in pieces, until the server takes no more. */
static void flood(struct world *w, struct client *client, size_t octets)
{
	static const char content[16384];
	unsigned idle = 0;

	for (size_t sent = 0; sent < octets && !client->is_closed && idle < 40;) {
		if (client->out_n == 0) {
			client_send_n(client, content, sizeof(content));
			sent += sizeof(content);
			idle = 0;
		}
		world_lap(w);
		idle++;
		assert_in_range(held_by_the_worker(w), 0, w->options.limits.queued_bytes);
	}
}

/* Eight peers that never read hold what the worker may hold; who reads is served all the same. */
static void a_full_worker_serves_who_reads(void **state)
{
	struct world w;
	struct session deaf[8], good;

	world_init(&w, 1);
	w.options.limits.queued_bytes = KB(512);
	w.options.limits.leg_high = KB(128);
	world_start(&w);
	good = open_bound(&w);
	for (unsigned i = 0; i < 8; i++) {
		deaf[i] = open_bound(&w);
		stop_reading(deaf[i].bob, deaf[i].b);
		begin_flood(deaf[i].alice, deaf[i].a);
		flood(&w, deaf[i].alice, KB(8192));
		exchange(&w, &good);
	}
	assert_true(held_by_the_worker(&w) > KB(384)); /* 8 x 128 would be twice the limit */
	assert_int_equal(w.workers[0].counters.gauges[GAUGE_msrp_queued_bytes], held_by_the_worker(&w));
	assert_true(COUNTED(&w, msrp_rx_paused) >= 4);
	assert_int_equal(good.a->lost + good.b->lost, 0);
	/* they read again, and nothing went lost of those that were kept */
	for (unsigned i = 0; i < 8; i++) {
		if (deaf[i].b->lost)
			continue;
		deaf[i].bob->is_deaf = false;
		client_send(deaf[i].alice, "\r\n-------flood$\r\n");
		struct chunk chunk;
		expect_chunk(&w, deaf[i].bob, "SEND", &chunk);
		answer(deaf[i].bob, deaf[i].b, chunk.id);
		expect_answer(&w, deaf[i].alice, deaf[i].a, "flood", "200 OK");
	}
	world_end(&w);
}

/* Sessions that share their sender's connection stop nobody: the one that most waits for has to go. */
static void the_longest_queue_is_given_up(void **state)
{
	struct world w;
	struct session s[4];
	struct client *alice;
	struct chunk chunk;

	world_init(&w, 1);
	w.options.limits.queued_bytes = KB(512);
	w.options.limits.leg_high = KB(512);
	world_start(&w);
	alice = client_open(&w, 0);
	for (unsigned i = 0; i < 4; i++) {
		s[i] = open_session(&w);
		s[i].alice = alice;
		s[i].bob = client_open(&w, 0);
		bind_side(&w, alice, s[i].a);
		bind_side(&w, s[i].bob, s[i].b);
	}
	/* little for the first, much for the second: the third fills the worker */
	for (unsigned i = 0; i < 3; i++) {
		static const size_t wanted[] = { KB(40), KB(300), KB(512) };
		stop_reading(s[i].bob, s[i].b);
		begin_flood(alice, s[i].a);
		while (s[i].b->leg->connection->queued_seen < wanted[i] && !s[1].b->lost)
			flood(&w, alice, KB(16));
		if (i < 2) {
			client_send(alice, "\r\n-------flood$\r\n");
			exchange(&w, &s[3]);
		}
	}
	assert_int_equal(s[1].b->lost, 1);
	assert_int_equal(s[1].b->why, REASON_QUEUED_BYTES);
	assert_int_equal(world_refused(&w, REASON_QUEUED_BYTES), 1);
	expect_answer(&w, alice, s[1].a, "flood", "408 Request Timeout");
	client_send(alice, "\r\n-------flood$\r\n");
	exchange(&w, &s[3]);
	for (unsigned i = 0; i < 3; i += 2) { /* the others had a short one, or had just begun */
		assert_int_equal(s[i].b->lost, 0);
		s[i].bob->is_deaf = false;
		expect_chunk(&w, s[i].bob, "SEND", &chunk);
		answer(s[i].bob, s[i].b, chunk.id);
		expect_answer(&w, alice, s[i].a, "flood", "200 OK");
	}
	world_end(&w);
}

/* Sessions end whose peers do not read: what was queued for them may still go out, but not of all of them. */
static void what_lingers_is_bounded(void **state)
{
	struct world w;
	struct session s[6];
	size_t most = 0;

	world_init(&w, 1);
	w.options.limits.queued_bytes = KB(1024);
	w.options.limits.leg_high = KB(100);
	world_start(&w);
	for (unsigned i = 0; i < 6; i++) {
		s[i] = open_bound(&w);
		stop_reading(s[i].bob, s[i].b);
		begin_flood(s[i].alice, s[i].a);
		flood(&w, s[i].alice, KB(8192));
	}
	for (unsigned i = 0; i < 6; i++) {
		side_close(s[i].a);
		side_close(s[i].b);
		world_run_ms(&w, 2);
		if (stream_lingering(&w.workers[0]) > most)
			most = stream_lingering(&w.workers[0]);
	}
	assert_in_range(most, KB(100), KB(256));
	assert_true(world_refused(&w, REASON_QUEUED_BYTES) >= 3);
	for (unsigned i = 0; i < 6; i++)
		client_close(s[i].bob);
	WAIT_FOR(&w, stream_lingering(&w.workers[0]) == 0);
	world_end(&w);
}

/* What waits to be parsed counts too, and may be half of it all: a chunk beyond that is refused. */
static void what_waits_is_bounded(void **state)
{
	struct world w;
	struct session ready, waiting;
	char content[2001], id[16];
	struct chunk chunk;
	unsigned kept = 0;

	snprintf(content, sizeof(content), "%02000u", 7);
	world_init(&w, 1);
	w.options.limits.queued_bytes = KB(64);
	world_start(&w);
	ready = open_session(&w);
	waiting = open_session(&w);
	ready.alice = waiting.alice = client_open(&w, 0);
	ready.bob = client_open(&w, 0);
	bind_side(&w, ready.alice, ready.a);
	bind_side(&w, ready.bob, ready.b);
	bind_side(&w, waiting.alice, waiting.a);
	while (world_refused(&w, REASON_QUEUED_BYTES) == 0) {
		snprintf(id, sizeof(id), "wait%u", kept++);
		send_text(waiting.alice, waiting.a, id, content);
		WAIT_FOR(&w, waiting.alice->out_n == 0);
		world_run_ms(&w, 2);
		assert_in_range(kept, 1, 32);
	}
	assert_in_range(kept, 8, 20);
	assert_in_range(held_by_the_worker(&w), KB(10), KB(48)); /* what grows takes room for half as much again */
	expect_answer(&w, waiting.alice, waiting.a, id, "408 Request Timeout");
	exchange(&w, &ready);
	waiting.bob = client_open(&w, 0);
	bind_side(&w, waiting.bob, waiting.b);
	for (unsigned i = 0; i + 1 < kept; i++) { /* what was kept goes on, in its order */
		expect_chunk(&w, waiting.bob, "SEND", &chunk);
		answer(waiting.bob, waiting.b, chunk.id);
		snprintf(id, sizeof(id), "wait%u", i);
		expect_answer(&w, waiting.alice, waiting.a, id, "200 OK");
	}
	assert_int_equal(held_by_the_worker(&w), 0);
	world_end(&w);
}

/* Alice sends an octet at a time, Bob cuts her chunk with what he asks, and answers nothing: the transactions of all are
 * not spent on two who agree. */
static void parts_are_bounded(void **state)
{
	struct world w;
	struct session s, other;
	struct msrp_endpoint *endpoint;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w);
	other = open_bound(&w);
	endpoint = w.workers[0].msrp;
	client_send(s.alice, HEAD("long1234", "SEND") "Message-ID: long\r\nByte-Range: 1-*/*\r\nContent-Type: a/b\r\n\r\n",
		PATHS(s.a));
	for (unsigned i = 0; i < 4 * MSRP_TRANSACTIONS_PER_LEG && !client_has(s.alice, "408"); i++) {
		client_send(s.alice, "x");
		client_send(s.bob, HEAD("keep1234", "SEND") "Message-ID: keep\r\n-------keep1234$\r\n", PATHS(s.b));
		world_lap(&w);
		assert_in_range(pool_used(&endpoint->transactions), 0, MSRP_TRANSACTIONS_PER_LEG);
	}
	expect_answer(&w, s.alice, s.a, "long1234", "408 Request Timeout");
	assert_int_equal(pool_used(&endpoint->transactions), 0);
	assert_int_equal(s.a->leg->transaction_count, 0);
	exchange(&w, &other);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_long_chunks_took),
		cmocka_unit_test(parts_are_bounded),
		cmocka_unit_test(guesses_on_an_unbound_connection),
		cmocka_unit_test(guesses_on_a_bound_connection),
		cmocka_unit_test(what_waits_when_the_path_changes),
		cmocka_unit_test(chunks_that_nobody_answers),
		cmocka_unit_test(a_full_worker_serves_who_reads),
		cmocka_unit_test(the_longest_queue_is_given_up),
		cmocka_unit_test(what_lingers_is_bounded),
		cmocka_unit_test(what_waits_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
