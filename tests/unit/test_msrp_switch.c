/*
 * Two clients and the two legs between them (msrp/leg.h, switch, transaction,
 * connection): who gets what, and who answers (design.md 5).
 */
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define BOB   "msrp://bob.example:4567/b2;tcp"

/* A session on worker 0 with both clients bound. */
struct session {
	struct world w;
	struct side *a, *b;
	struct client *alice, *bob;
};

static void begin(struct session *s, unsigned workers)
{
	world_start(&s->w);
	s->a = side_open(&s->w, 0, ALICE);
	s->b = side_open(&s->w, 0, BOB);
	msrp_leg_pair(s->a->leg, s->b->leg);
	s->alice = client_open(&s->w, 0);
	s->bob = client_open(&s->w, 0);
	bind_side(&s->w, s->alice, s->a);
	bind_side(&s->w, s->bob, s->b);
	WAIT_FOR(&s->w, s->a->bound == 1 && s->b->bound == 1);
}

static void begin_one(struct session *s)
{
	world_init(&s->w, 1);
	begin(s, 1);
}

/* The client answers the request with that id. */
static void answer(struct client *client, struct side *side, const char *id, const char *status)
{
	client_send(client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id,
		status, side->uri, side->path, id);
}

static void a_message_and_its_answer(void **state)
{
	struct session s;
	char id[64], text[2048];

	begin_one(&s);
	for (unsigned way = 0; way < 2; way++) {
		struct client *from = way ? s.bob : s.alice, *to = way ? s.alice : s.bob;
		struct side *near = way ? s.b : s.a, *far = way ? s.a : s.b;

		client_send(from, HEAD("a786hjs2", "SEND") "Message-ID: 87652491\r\n"
			"Content-Disposition: attachment \r\nByte-Range: 1-25/25\r\nContent-Type: text/plain\r\n\r\n"
			"Hey Bob, are you there?!!\r\n-------a786hjs2$\r\n", PATHS(near));
		expect_request(&s.w, to, "SEND", id);
		assert_int_equal(strlen(id), MSRP_ID_CHARS);
		REQ("IM-7.1.1.17.2-1");
		snprintf(text, sizeof(text), "To-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: 87652491\r\n"
			"Content-Disposition: attachment \r\nByte-Range: 1-25/25\r\nContent-Type: text/plain\r\n\r\n"
			"Hey Bob, are you there?!!\r\n-------%s$\r\n", far->path, far->uri, id);
		expect(&s.w, to, text);
		expect_no(&s.w, from, "a786hjs2");
		answer(to, far, id, "200 OK");
		snprintf(text, sizeof(text), "MSRP a786hjs2 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n"
			"-------a786hjs2$\r\n", near->path, near->uri);
		expect(&s.w, from, text);
	}
	assert_int_equal(COUNTED(&s.w, msrp_chunks), 2);
	world_end(&s.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_and_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
