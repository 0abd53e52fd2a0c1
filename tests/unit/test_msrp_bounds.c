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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_long_chunks_took),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
