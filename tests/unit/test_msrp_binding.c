/*
 * Connections and legs (msrp/binding.c, connection.c, foreign.c, leg.c): which
 * connection carries which session, between workers too, and how they end.
 */
#include "tests/unit/msrp_world.h"

#define ALICE "msrp://alice.example:7654/a1;tcp"
#define BOB   "msrp://bob.example:4567/b2;tcp"

struct session {
	struct side *a, *b;
	struct client *alice, *bob;
};

static struct session open_session(struct world *w, unsigned worker)
{
	struct session s = { side_open(w, worker, ALICE), side_open(w, worker, BOB) };

	msrp_leg_pair(s.a->leg, s.b->leg);
	return s;
}

static struct session open_bound(struct world *w, unsigned worker)
{
	struct session s = open_session(w, worker);

	s.alice = client_open(w, worker);
	s.bob = client_open(w, worker);
	bind_side(w, s.alice, s.a);
	bind_side(w, s.bob, s.b);
	return s;
}

static void answer(struct client *client, struct side *side, const char *id)
{
	client_send(client, "MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id,
		side->uri, side->path, id);
}

static void send_text(struct client *client, struct side *side, const char *id, const char *text)
{
	client_send(client, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\n"
		"Byte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n\r\n%s\r\n-------%s$\r\n", id,
		PATHS(side), id, strlen(text), strlen(text), text, id);
}

/* One message each way, with its answers. */
static void exchange(struct world *w, struct session *s)
{
	struct chunk chunk;

	send_text(s->alice, s->a, "toBob", "hello");
	expect_chunk(w, s->bob, "SEND", &chunk);
	assert_memory_equal(chunk.body, "hello", 5);
	answer(s->bob, s->b, chunk.id);
	expect_answer(w, s->alice, s->a, "toBob", "200 OK");
	send_text(s->bob, s->b, "toAlice", "hello yourself");
	expect_chunk(w, s->alice, "SEND", &chunk);
	assert_memory_equal(chunk.body, "hello yourself", 14);
	answer(s->alice, s->a, chunk.id);
	expect_answer(w, s->bob, s->b, "toAlice", "200 OK");
}

static void our_uri(void **state)
{
	struct world w;
	struct sockaddr_storage local = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&local;
	struct side *side;
	char want[64];
	struct msrp_leg *leg;

	world_init(&w, 2);
	world_start(&w);
	side = side_open(&w, 1, NULL);
	assert_string_equal(msrp_leg_host(side->leg), "127.0.0.1");
	assert_int_equal(msrp_leg_port(side->leg),
		ntohs(((struct sockaddr_in *)&w.addresses[0])->sin_port));
	snprintf(want, sizeof(want), "msrp://127.0.0.1:%u/", msrp_leg_port(side->leg));
	assert_memory_equal(side->uri, want, strlen(want));
	assert_int_equal(minted_worker(slice_of(side->uri + strlen(want), MINTED_CHARS)), 1);
	assert_string_equal(side->uri + strlen(want) + MINTED_CHARS, ";tcp");

	/* what the operator says, and where a wildcard was reached */
	w.options.listeners[0].per_worker_ports = true;
	snprintf(w.options.listeners[0].advertise, sizeof(w.options.listeners[0].advertise), "::1");
	side = side_open(&w, 1, NULL);
	assert_int_equal(msrp_leg_port(side->leg),
		ntohs(((struct sockaddr_in *)&w.addresses[0])->sin_port) + 1);
	assert_memory_equal(side->uri, "msrp://[::1]:", 13);
	w.options.listeners[0].advertise[0] = '\0';
	((struct sockaddr_in *)&w.options.listeners[0].bound)->sin_addr.s_addr = 0;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(0x7f000005);
	assert_int_equal(msrp_leg_open(&leg, &w.workers[0], &local, false, &side_events, NULL), 0);
	assert_string_equal(msrp_leg_host(leg), "127.0.0.5");
	assert_int_equal(msrp_leg_set_peer(leg, &(struct msrp_peer){ .path = SLICE("nonsense") }),
		EINVAL);
	msrp_leg_close(leg);
	world_end(&w);
}

static void legs_at_their_limit_and_one_more(void **state)
{
	struct world w;
	struct msrp_leg *leg;

	world_init(&w, 1);
	w.options.legs_max = 3;
	world_start(&w);
	for (unsigned i = 0; i < 3; i++)
		side_open(&w, 0, NULL);
	assert_int_equal(w.workers[0].counters.gauges[GAUGE_msrp_legs], 3);
	assert_int_equal(msrp_leg_open(&leg, &w.workers[0], NULL, false, &side_events, NULL), ENOMEM);
	side_close(&w.sides[0]);
	assert_int_equal(msrp_leg_open(&leg, &w.workers[0], NULL, false, &side_events, NULL), 0);
	msrp_leg_close(leg);
	world_end(&w);
}

/* Each request is for nobody; afterwards the connection still binds to the right leg. */
static void sessions_that_are_not_there(void **state)
{
	struct world w;
	struct session s;
	struct side gone;
	char to[6][1200];
	const char *from[6] = {
		ALICE, ALICE, ALICE, ALICE, ALICE, "msrp://mallory.example:1/a1;tcp"
	};
	struct chunk chunk;

	world_init(&w, 2);
	world_start(&w);
	s = open_session(&w, 0);
	gone = *side_open(&w, 0, ALICE);
	side_close(&w.sides[2]);
	snprintf(to[0], sizeof(to[0]), "%s", gone.uri); /* minted here, but closed */
	snprintf(to[1], sizeof(to[1]), "msrp://127.0.0.1:1/tooshort;tcp");
	snprintf(to[2], sizeof(to[2]), "%s %s", s.a->uri, s.a->uri); /* we are no relay */
	snprintf(to[3], sizeof(to[3]), "not a URI");
	snprintf(to[4], sizeof(to[4]), "msrp://127.0.0.1:1;tcp");
	snprintf(to[5], sizeof(to[5]), "%s", s.a->uri);
	s.alice = client_open(&w, 0);
	for (unsigned i = 0; i < 6; i++) {
		client_send(s.alice,
			    HEAD("none1", "SEND") "Message-ID: 1\r\nContent-Type: a/b\r\n\r\nxyz"
						  "\r\n-------none1$\r\n",
			    to[i], from[i]);
		expect_chunk(&w, s.alice, "481 No Such Session", &chunk);
		client_send(s.alice, HEAD("none2", "REPORT") "Message-ID: 1\r\n-------none2$\r\n",
			    to[i], from[i]);
	}
	expect_nothing(&w, s.alice);
	assert_int_equal(world_refused(&w, REASON_MSRP_SESSION_UNKNOWN), 12);
	assert_int_equal(s.a->bound, 0);
	bind_side(&w, s.alice, s.a);
	s.bob = client_open(&w, 0);
	bind_side(&w, s.bob, s.b);
	exchange(&w, &s);
	world_end(&w);
}

static void a_worker_that_is_not_there(void **state)
{
	struct world w;
	struct side *side;
	struct client *alice;
	struct chunk chunk;

	world_init(&w, 2);
	world_start(&w);
	side = side_open(&w, 1, ALICE);
	alice = client_open(&w, 0);
	minted_init(world_key, 1); /* as if worker 1 were out of range */
	client_send(alice, HEAD("none1", "SEND") "Message-ID: 1\r\n-------none1$\r\n", PATHS(side));
	expect_chunk(&w, alice, "481 No Such Session", &chunk);
	world_end(&w);
}

static void a_second_connection(void **state)
{
	struct world w;
	struct session s;
	struct client *second;
	struct chunk chunk;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w, 0);
	second = client_open(&w, 0);
	client_send(second, HEAD("second", "SEND") "Message-ID: 1\r\n-------second$\r\n",
		    PATHS(s.a));
	expect_chunk(&w, second, "506 Session Already Bound", &chunk);
	assert_int_equal(world_refused(&w, REASON_MSRP_SECOND_CONNECTION), 1);
	exchange(&w, &s);
	assert_int_equal(s.a->bound, 1);
	world_end(&w);
}

static void the_unbound_deadline(void **state)
{
	struct world w;
	struct session s;
	struct client *silent, *trying;

	world_init(&w, 2);
	w.options.limits.unbound_ms = 100;
	world_start(&w);
	s = open_bound(&w, 0);
	silent = client_open(&w, 0);
	trying = client_open(&w, 1);
	for (unsigned i = 0; i < 3; i++) { /* a 481 does not win time */
		client_send(trying, HEAD("none1", "SEND") "Message-ID: 1\r\n-------none1$\r\n",
			"msrp://h:1/x;tcp", ALICE);
		world_run_ms(&w, 25);
	}
	assert_false(silent->is_closed || trying->is_closed);
	WAIT_FOR(&w, silent->is_closed && trying->is_closed);
	assert_int_equal(world_refused(&w, REASON_MSRP_UNBOUND_TIMEOUT), 2);
	world_run_ms(&w, 120);
	exchange(&w, &s); /* bound ones have no deadline */
	world_end(&w);
}

/* The first chunk overtakes the SDP answer that names its sender. */
static void a_chunk_before_its_path(void **state)
{
	struct world w;
	struct side *a;
	struct client *alice, *second;
	struct chunk chunk;
	struct msrp_peer peer = { .path = SLICE(ALICE) };

	world_init(&w, 2);
	world_start(&w);
	a = side_open(&w, 1, NULL);
	snprintf(a->path, sizeof(a->path), ALICE);
	alice = client_open(&w, 0); /* at another worker, too */
	client_send(alice, HEAD("early1", "SEND") "Message-ID: 1\r\n-------early1$\r\n", PATHS(a));
	expect_nothing(&w, alice);
	second = client_open(&w, 1);
	client_send(second, HEAD("early2", "SEND") "Message-ID: 1\r\n-------early2$\r\n", PATHS(a));
	expect_chunk(&w, second, "506 Session Already Bound", &chunk);
	assert_int_equal(msrp_leg_set_peer(a->leg, &peer), 0);
	expect_answer(&w, alice, a, "early1", "200 OK");
	assert_int_equal(a->bound, 1);
	world_end(&w);
}

/* The first chunk from a new path overtakes the SDP answer that brings it; the old one is in use meanwhile. */
static void a_chunk_before_its_new_path(void **state)
{
	struct world w;
	struct session s;
	struct client *early, *stranger;
	struct chunk chunk;
	const char *path = "msrp://alice.example:7655/a2;tcp", *wrong = "msrp://mallory.example:1/m;tcp";
	struct msrp_peer peer = { .path = slice_str(path) };

	world_init(&w, 2);
	world_start(&w);
	s = open_bound(&w, 0);
	early = client_open(&w, 1);
	client_send(early, HEAD("early1", "SEND") "Message-ID: 1\r\n-------early1$\r\n", s.a->uri, path);
	expect_chunk(&w, early, "481 No Such Session", &chunk); /* nobody said anything of another one */
	msrp_leg_expect_peer(s.a->leg, true);
	client_send(early, HEAD("early2", "SEND") "Message-ID: 1\r\n-------early2$\r\n", s.a->uri, path);
	expect_nothing(&w, early);
	stranger = client_open(&w, 0);
	client_send(stranger, HEAD("wrong1", "SEND") "Message-ID: 1\r\n-------wrong1$\r\n", s.a->uri, wrong);
	expect_chunk(&w, stranger, "481 No Such Session", &chunk); /* one may wait */
	exchange(&w, &s);
	assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
	msrp_leg_expect_peer(s.a->leg, false);
	snprintf(s.a->path, sizeof(s.a->path), "%s", path);
	expect_answer(&w, early, s.a, "early2", "200 OK");
	assert_int_equal(s.a->bound, 2);
	s.alice = early;
	exchange(&w, &s);
	/* the answer says nothing new: who waits is nobody's peer */
	msrp_leg_expect_peer(s.a->leg, true);
	client_send(stranger, HEAD("wrong2", "SEND") "Message-ID: 1\r\n-------wrong2$\r\n", s.a->uri, wrong);
	expect_nothing(&w, stranger);
	msrp_leg_expect_peer(s.a->leg, false);
	expect_chunk(&w, stranger, "481 No Such Session", &chunk);
	exchange(&w, &s);
	world_end(&w);
}

/* RFC 6714: a middlebox gave the SDP another host than the peer's own.  His session-id says who he is, his own path
 * is used, and the same SDP again changes nothing. */
static void a_path_with_another_host(void **state)
{
	for (unsigned has_cema = 0; has_cema < 2; has_cema++) {
		struct world w;
		struct session s;
		struct client *alice;
		struct chunk chunk;
		char own[160];
		struct msrp_peer peer = { .path = SLICE("msrp://middlebox.example:99/a1;tcp"), .has_cema = has_cema };

		world_init(&w, 2);
		world_start(&w);
		s = open_session(&w, 0);
		assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
		alice = client_open(&w, 1);
		client_send(alice, HEAD("other1", "SEND") "Message-ID: 1\r\n-------other1$\r\n", s.a->uri,
			"msrp://alice.example:7654/A1;tcp");
		expect_chunk(&w, alice, "481 No Such Session", &chunk);
		if (!has_cema) {
			client_send(alice, HEAD("own1", "SEND") "Message-ID: 1\r\n-------own1$\r\n", PATHS(s.a));
			expect_chunk(&w, alice, "481 No Such Session", &chunk);
		} else {
			bind_side(&w, alice, s.a); /* the answer goes to her own path */
			s.alice = alice;
			s.bob = client_open(&w, 0);
			bind_side(&w, s.bob, s.b);
			exchange(&w, &s);
			send_text(s.bob, s.b, "paths1", "x");
			expect_chunk(&w, alice, "SEND", &chunk);
			snprintf(own, sizeof(own), "To-Path: %s\r\n", s.a->path);
			assert_memory_equal(chunk.head, own, strlen(own));
			assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
			assert_true(msrp_leg_is_bound(s.a->leg));
			answer(alice, s.a, chunk.id);
			expect_answer(&w, s.bob, s.b, "paths1", "200 OK");
			peer.path = SLICE("msrp://middlebox.example:99/a2;tcp"); /* another session-id: another path */
			assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
			assert_false(msrp_leg_is_bound(s.a->leg));
		}
		world_end(&w);
	}
}

/* RFC 6714 again: a peer who calls himself by another host in each of the heads that come at once. */
static void a_host_that_changes_within_a_read(void **state)
{
	struct world w;
	struct session s;
	struct msrp_peer peer = { .path = SLICE("msrp://middlebox.example:99/a1;tcp"), .has_cema = true };
	const char *other = "msrp://other.example:7654/a1;tcp";

	world_init(&w, 1);
	world_start(&w);
	s = open_session(&w, 0);
	assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
	s.alice = client_open(&w, 0);
	s.bob = client_open(&w, 0);
	bind_side(&w, s.alice, s.a);
	bind_side(&w, s.bob, s.b);
	client_send(s.alice, HEAD("first", "SEND") "Message-ID: 1\r\n-------first$\r\n" HEAD("second", "SEND")
		"Message-ID: 2\r\n-------second$\r\n" HEAD("third", "SEND") "Message-ID: 3\r\n-------third$\r\n",
		PATHS(s.a), s.a->uri, other, PATHS(s.a));
	expect(&w, s.alice, "-------first$\r\n");
	expect(&w, s.alice, "-------second$\r\n");
	expect(&w, s.alice, "-------third$\r\n");
	exchange(&w, &s);
	world_end(&w);
}

/* The same on a connection that carries another session: that one goes on meanwhile. */
static void a_chunk_before_its_path_on_a_shared_connection(void **state)
{
	for (unsigned home = 0; home < 2; home++) {
		struct world w;
		struct session ready;
		struct side *early, *wrong;
		struct client *second;
		struct chunk chunk;
		struct msrp_peer peer = { .path = SLICE(ALICE) }, other = { .path = SLICE(BOB) };

		world_init(&w, 2);
		world_start(&w);
		ready = open_session(&w, 0);
		ready.alice = client_open(&w, 0);
		ready.bob = client_open(&w, 0);
		bind_side(&w, ready.alice, ready.a);
		bind_side(&w, ready.bob, ready.b);
		early = side_open(&w, home, NULL);
		wrong = side_open(&w, home, NULL);
		snprintf(early->path, sizeof(early->path), ALICE);
		snprintf(wrong->path, sizeof(wrong->path), ALICE);
		client_send(ready.alice, HEAD("early1", "SEND") "Message-ID: 1\r\n-------early1$\r\n", PATHS(early));
		client_send(ready.alice, HEAD("early2", "SEND") "Message-ID: 2\r\n-------early2$\r\n", PATHS(early));
		client_send(ready.alice, HEAD("wrong1", "SEND") "Message-ID: 1\r\n-------wrong1$\r\n", PATHS(wrong));
		exchange(&w, &ready);
		expect_nothing(&w, ready.alice);
		second = client_open(&w, home);
		client_send(second, HEAD("other1", "SEND") "Message-ID: 1\r\n-------other1$\r\n", PATHS(early));
		expect_chunk(&w, second, "506 Session Already Bound", &chunk);
		assert_int_equal(msrp_leg_set_peer(early->leg, &peer), 0);
		expect_answer(&w, ready.alice, early, "early1", "200 OK");
		expect_answer(&w, ready.alice, early, "early2", "200 OK");
		assert_int_equal(early->bound, 1);
		/* the SDP says that somebody else is its peer */
		assert_int_equal(msrp_leg_set_peer(wrong->leg, &other), 0);
		expect_chunk(&w, ready.alice, "481 No Such Session", &chunk);
		assert_int_equal(wrong->bound, 0);
		exchange(&w, &ready);
		world_end(&w);
	}
}

static void hand_over(void **state)
{
	struct world w;
	struct session s;
	struct chunk chunk;
	char text[2048];
	int size;

	world_init(&w, 4);
	world_start(&w);
	s = open_session(&w, 2);
	s.bob = client_open(&w, 2);
	bind_side(&w, s.bob, s.b);
	s.alice = client_open(&w, 1);
	/* a 481 of the first worker, then the head that moves it, cut, with content behind it */
	size = snprintf(text, sizeof(text),
		HEAD("none1", "SEND") "Message-ID: 1\r\n-------none1$\r\n"
		HEAD("move1", "SEND") "Message-ID: 1\r\n-------move1$\r\n"
		HEAD("move2", "SEND") "Message-ID: 2\r\nByte-Range: 1-2/2\r\n"
		"Content-Type: a/b\r\n\r\nhi\r\n-------move2$\r\n",
		"msrp://h:1/x;tcp", ALICE, PATHS(s.a), PATHS(s.a));
	client_send_n(s.alice, text, (size_t)size - 20);
	expect_chunk(&w, s.alice, "481 No Such Session", &chunk);
	expect_answer(&w, s.alice, s.a, "move1", "200 OK");
	client_send_n(s.alice, text + size - 20, 20);
	expect_chunk(&w, s.bob, "SEND", &chunk);
	answer(s.bob, s.b, chunk.id);
	expect_answer(&w, s.alice, s.a, "move2", "200 OK");
	exchange(&w, &s);
	assert_int_equal(COUNTED(&w, msrp_handovers), 1);
	assert_int_equal(COUNTED(&w, msrp_foreign_chunks), 0);
	assert_int_equal(stream_count(&w.workers[1]), 0);
	assert_int_equal(stream_count(&w.workers[2]), 2);
	world_end(&w);
}

static void the_deadline_travels(void **state)
{
	struct world w;
	struct side *gone;
	struct client *client;
	struct chunk chunk;
	uint64_t from_ms;

	world_init(&w, 2);
	w.options.limits.unbound_ms = 150;
	world_start(&w);
	gone = side_open(&w, 1, ALICE);
	side_close(gone);
	client = client_open(&w, 0);
	from_ms = world_now_ms();
	world_run_ms(&w, 80);
	client_send(client, HEAD("none1", "SEND") "Message-ID: 1\r\n-------none1$\r\n",
		    PATHS(gone));
	expect_chunk(&w, client, "481 No Such Session", &chunk);
	assert_int_equal(COUNTED(&w, msrp_handovers), 1);
	WAIT_FOR(&w, client->is_closed);
	assert_in_range(world_now_ms() - from_ms, 140, 225);
	world_end(&w);
}

/* RFC 4975 5.4: 100 sessions between two hosts, one connection each, on four workers. */
static void a_hundred_sessions_on_one_connection(void **state)
{
	struct world w;
	struct session s[100];
	struct client *alice, *bob;
	bool seen[100];
	struct chunk chunk;
	char id[32];

	world_init(&w, 4);
	world_start(&w);
	alice = client_open(&w, 0);
	bob = client_open(&w, 3);
	for (unsigned i = 0; i < 100; i++) {
		char path[64];
		snprintf(path, sizeof(path), "msrp://alice.example:7654/a%u;tcp", i);
		s[i] = (struct session){ side_open(&w, i % 4, path), side_open(&w, i % 4, BOB),
					 alice, bob };
		msrp_leg_pair(s[i].a->leg, s[i].b->leg);
		bind_side(&w, alice, s[i].a);
		bind_side(&w, bob, s[i].b);
	}
	assert_int_equal(alice->n - alice->seen, 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(msrp_leg_is_bound(s[i].a->leg));
		exchange(&w, &s[i]);
	}
	/* two binds and two messages of each session that is not worker 0's: Bob's connection moved
	 * there */
	assert_int_equal(COUNTED(&w, msrp_handovers), 1);
	assert_int_equal(COUNTED(&w, msrp_foreign_chunks), 75 * 4);

	/* all at once */
	for (unsigned i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "burst%u", i);
		send_text(alice, s[i].a, id, id);
	}
	for (unsigned i = 0; i < 100; i++) {
		unsigned n;
		struct side *b = NULL;
		char from[600];
		expect_chunk(&w, bob, "SEND", &chunk);
		assert_int_equal(sscanf(chunk.body, "burst%u", &n), 1);
		snprintf(from, sizeof(from), "From-Path: %s\r\n", s[n].b->uri);
		assert_non_null(strstr(chunk.head, from));
		b = s[n].b;
		answer(bob, b, chunk.id);
	}
	memset(seen, 0, sizeof(seen));
	for (unsigned i = 0; i < 100; i++) {
		unsigned n;
		expect_chunk(&w, alice, "200 OK", &chunk);
		assert_int_equal(sscanf(chunk.id, "burst%u", &n), 1);
		assert_false(seen[n]);
		seen[n] = true;
	}

	/* one session ends, the others go on */
	side_close(s[1].a);
	side_close(s[1].b);
	world_run_ms(&w, 10);
	exchange(&w, &s[2]);
	exchange(&w, &s[5]);

	/* the loss reaches the legs of all workers, and theirs only */
	client_close(alice);
	for (unsigned i = 0; i < 100; i++) {
		if (i != 1)
			WAIT_FOR(&w, s[i].a->lost == 1);
	}
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(s[i].b->lost, 0);
	assert_int_equal(world_refused(&w, REASON_PEER_CLOSED), 0); /* between chunks: his right */
	world_end(&w);
}

/* The same with each worker on its own thread: messages really overtake each other. */
static void sessions_of_four_threads(void **state)
{
	enum { SESSIONS = 40, ROUNDS = 20 };
	struct world w;
	struct session s[SESSIONS];
	struct client *alice, *bob;
	struct chunk chunk;
	unsigned answered = 0, delivered = 0;

	world_init(&w, 4);
	world_start(&w);
	alice = client_open(&w, 0);
	bob = client_open(&w, 3);
	for (unsigned i = 0; i < SESSIONS; i++) {
		s[i] = open_session(&w, i % 4);
		bind_side(&w, alice, s[i].a);
		bind_side(&w, bob, s[i].b);
	}
	world_start_threads(&w);
	for (unsigned i = 0; i < SESSIONS * ROUNDS; i++)
		send_text(alice, s[i % SESSIONS].a, "many1", "to everybody");
	while (answered < SESSIONS * ROUNDS) {
		size_t used;
		world_lap(&w);
		while (chunk_scan(bob, &chunk, &used)) {
			char *to = strstr(chunk.head, "From-Path: ") + 11;
			for (unsigned i = 0; i < SESSIONS; i++) {
				if (!strncmp(to, s[i].b->uri, strlen(s[i].b->uri)))
					answer(bob, s[i].b, chunk.id);
			}
			bob->seen += used;
			delivered++;
		}
		while (chunk_scan(alice, &chunk, &used)) {
			assert_string_equal(chunk.what, "200 OK");
			alice->seen += used;
			answered++;
		}
	}
	assert_int_equal(delivered, SESSIONS * ROUNDS);
	client_close(alice);
	world_run_ms(&w, 20);
	world_stop_threads(&w);
	for (unsigned i = 0; i < SESSIONS; i++)
		WAIT_FOR(&w, s[i].a->lost == 1);
	world_end(&w);
}

/* An owner who is slow gets what fits his credit, and loses nothing. */
static void credit(void **state)
{
	const size_t size = KB(8192);
	struct world w;
	struct session near, s;
	struct msrp_endpoint *home;
	char *content = calloc(1, KB(64)), id[64];
	size_t n = 0;
	struct chunk chunk;

	world_init(&w, 2);
	world_start(&w);
	home = msrp_endpoint_of(&w.workers[0]);
	near = open_session(&w, 0);
	s = open_session(&w, 1);
	near.alice = s.alice = client_open(&w, 0);
	s.bob = client_open(&w, 1);
	bind_side(&w, near.alice, near.a);
	bind_side(&w, s.alice, s.a);
	bind_side(&w, s.bob, s.b);
	client_send(s.alice, HEAD("flood", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(s.a));
	for (size_t sent = 0; sent < size; sent += KB(64))
		client_send_n(s.alice, content, KB(64));
	client_send(s.alice, "\r\n-------flood$\r\n");
	for (unsigned i = 0; i < 2000; i++) { /* the owner does not run */
		client_write(s.alice);
		worker_turn(&w.workers[0], false);
	}
	assert_int_equal(COUNTED(&w, mailbox_credit_waits), 1);
	assert_in_range(home->used_credit[1], KB(128), KB(128) + 16384);
	assert_true(s.alice->out_n > 0);
	do {
		expect_chunk(&w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.start, n + 1);
		n += chunk.n;
		snprintf(id, sizeof(id), "%s", chunk.id);
		answer(s.bob, s.b, id);
	} while (chunk.flag == '+');
	assert_int_equal(n, size);
	expect_answer(&w, s.alice, s.a, "flood", "200 OK");
	assert_int_equal(s.b->lost, 0);

	/* the connection goes while it waits for credit */
	client_send(s.alice, HEAD("flood", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(s.a));
	for (size_t sent = 0; sent < KB(256); sent += KB(64))
		client_send_n(s.alice, content, KB(64));
	for (unsigned i = 0; i < 200; i++) {
		client_write(s.alice);
		worker_turn(&w.workers[0], false);
	}
	assert_int_equal(s.a->leg->connection->is_lost, false);
	msrp_worker_stop(&w.workers[0], true);
	worker_turn(&w.workers[0], false);
	WAIT_FOR(&w, s.a->lost == 1);
	WAIT_FOR(&w, client_has(s.bob, "#\r\n"));
	free(content);
	world_end(&w);
}

/* What comes octet by octet takes more memory on its way than its octets. */
static void credit_for_single_octets(void **state)
{
	struct world w;
	struct session near, s;
	struct msrp_endpoint *home;
	unsigned octets = 0;

	world_init(&w, 2);
	world_start(&w);
	home = msrp_endpoint_of(&w.workers[0]);
	near = open_session(&w, 0);
	s = open_session(&w, 1);
	near.alice = s.alice = client_open(&w, 0);
	bind_side(&w, near.alice, near.a);
	bind_side(&w, s.alice, s.a);
	client_send(s.alice, HEAD("flood", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(s.a));
	for (; octets < KB(4) && !COUNTED(&w, mailbox_credit_waits); octets++) { /* the owner does not run */
		client_send(s.alice, "x");
		worker_turn(&w.workers[0], false);
	}
	assert_in_range(octets, 1, KB(2));
	assert_in_range(home->used_credit[1], KB(128), KB(128) + 16384);
	WAIT_FOR(&w, home->used_credit[1] == 0);
	world_end(&w);
}

/* To a peer whose connection is another worker's: not a chunk for each octet, and all of it at its end. */
static void single_octets_to_a_foreign_connection(void **state)
{
	struct world w;
	struct session near, s;
	struct chunk chunk;
	char got[5001];
	size_t n = 0;
	unsigned parts = 0;

	world_init(&w, 2);
	world_start(&w);
	near = open_session(&w, 0);
	s = open_session(&w, 1);
	near.bob = s.bob = client_open(&w, 0);
	s.alice = client_open(&w, 1);
	bind_side(&w, near.bob, near.b);
	bind_side(&w, s.bob, s.b);
	bind_side(&w, s.alice, s.a);
	client_send(s.alice, HEAD("slow1", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(s.a));
	for (unsigned i = 0; i < sizeof(got) - 1; i++) {
		client_send(s.alice, "%c", 'a' + i % 26);
		world_lap(&w);
		world_lap(&w);
	}
	client_send(s.alice, "\r\n-------slow1$\r\n");
	do {
		char id[64];
		expect_chunk(&w, s.bob, "SEND", &chunk);
		assert_int_equal(chunk.start, n + 1);
		assert_in_range(n + chunk.n, 0, sizeof(got) - 1);
		memcpy(got + n, chunk.body, chunk.n);
		n += chunk.n;
		parts++;
		snprintf(id, sizeof(id), "%s", chunk.id);
		answer(s.bob, s.b, id);
	} while (chunk.flag == '+');
	assert_int_equal(n, sizeof(got) - 1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], 'a' + i % 26);
	assert_in_range(parts, 3, 6);
	expect_answer(&w, s.alice, s.a, "slow1", "200 OK");
	world_end(&w);
}

/* A connection that was handed over for a session that had gone meanwhile. */
static void handed_over_in_vain(void **state)
{
	struct world w;
	struct side *gone, *side;
	struct client *client;
	struct chunk chunk;

	world_init(&w, 3);
	world_start(&w);
	gone = side_open(&w, 1, ALICE);
	side_close(gone);
	side = side_open(&w, 2, ALICE);
	client = client_open(&w, 0);
	client_send(client, HEAD("none1", "SEND") "Message-ID: 1\r\n-------none1$\r\n",
		    PATHS(gone));
	expect_chunk(&w, client, "481 No Such Session", &chunk);
	bind_side(&w, client, side);
	assert_int_equal(COUNTED(&w, msrp_handovers), 1);
	assert_int_equal(COUNTED(&w, msrp_foreign_chunks), 1);
	world_run_ms(&w, 10);
	side_close(side);
	WAIT_FOR(&w, client->is_closed);
	world_end(&w);
}

/* A connection that came by hand-over and then gets a session of a third worker. */
static void a_moved_connection_moves_no_more(void **state)
{
	struct world w;
	struct session one, two;

	world_init(&w, 3);
	world_start(&w);
	one = open_session(&w, 1);
	two = open_session(&w, 2);
	one.alice = two.alice = client_open(&w, 0);
	one.bob = client_open(&w, 1);
	two.bob = client_open(&w, 2);
	bind_side(&w, one.bob, one.b);
	bind_side(&w, two.bob, two.b);
	bind_side(&w, one.alice, one.a);
	bind_side(&w, two.alice, two.a);
	exchange(&w, &one);
	exchange(&w, &two);
	assert_int_equal(COUNTED(&w, msrp_handovers), 1);
	/* its own session ends: it stays for the other, then it is closed */
	side_close(one.a);
	side_close(one.b);
	world_run_ms(&w, 10);
	assert_false(one.alice->is_closed);
	exchange(&w, &two);
	side_close(two.a);
	side_close(two.b);
	WAIT_FOR(&w, two.alice->is_closed && two.bob->is_closed && one.bob->is_closed);
	world_end(&w);
}

/* Long chunks in both directions over a connection that two workers share. */
static void long_chunks_between_workers(void **state)
{
	const size_t size = KB(200);
	struct world w;
	struct session s, other;
	char *content = malloc(size), *got = malloc(size), end[64];

	for (size_t i = 0; i < size; i++)
		content[i] = (char)('a' + i * 7 % 26);
	world_init(&w, 2);
	world_start(&w);
	s = open_session(&w, 0);
	other = open_session(&w, 1);
	s.alice = other.alice = client_open(&w, 1);
	s.bob = other.bob = client_open(&w, 1);
	bind_side(&w, s.alice, other.a); /* worker 1 is home of both connections */
	bind_side(&w, s.bob, other.b);
	bind_side(&w, s.alice, s.a);
	bind_side(&w, s.bob, s.b);
	for (unsigned i = 0; i < 3; i++) {
		size_t n = 0;
		struct chunk chunk;
		struct session *x = i == 1 ? &other : &s;

		client_send(
			x->alice,
			"MSRP long%u SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: l%u\r\n"
			"Byte-Range: 1-*/%zu\r\nContent-Type: a/b\r\n\r\n",
			i, PATHS(x->a), i, size);
		client_send_n(x->alice, content, size);
		snprintf(end, sizeof(end), "\r\n-------long%u$\r\n", i);
		client_send_n(x->alice, end, strlen(end));
		do {
			expect_chunk(&w, x->bob, "SEND", &chunk);
			assert_int_equal(chunk.start, n + 1);
			assert_in_range(chunk.n, 0, size - n);
			memcpy(got + n, chunk.body, chunk.n);
			n += chunk.n;
			answer(x->bob, x->b, chunk.id);
		} while (chunk.flag == '+');
		assert_int_equal(chunk.flag, '$');
		assert_int_equal(n, size);
		assert_memory_equal(got, content, size);
		snprintf(end, sizeof(end), "long%u", i);
		expect_answer(&w, x->alice, x->a, end, "200 OK");
	}
	free(content);
	free(got);
	world_end(&w);
}

/* What one session must wait for, the others of the connection do not. */
static void content_waits_on_a_shared_connection(void **state)
{
	for (unsigned home = 0; home < 2; home++) {
		struct world w;
		struct session ready, waiting;
		struct chunk chunk;

		world_init(&w, 2);
		world_start(&w);
		ready = open_session(&w, 0);
		waiting = open_session(&w, 1 - home);
		ready.alice = waiting.alice = client_open(&w, 0);
		ready.bob = client_open(&w, 0);
		bind_side(&w, ready.alice, ready.a);
		bind_side(&w, ready.bob, ready.b);
		bind_side(&w, waiting.alice, waiting.a);
		send_text(waiting.alice, waiting.a, "wait1", "first");
		send_text(waiting.alice, waiting.a, "wait2", "second");
		exchange(&w, &ready);
		waiting.bob = client_open(&w, 1);
		bind_side(&w, waiting.bob, waiting.b);
		expect_chunk(&w, waiting.bob, "SEND", &chunk);
		assert_memory_equal(chunk.body, "first", 5);
		answer(waiting.bob, waiting.b, chunk.id);
		expect_chunk(&w, waiting.bob, "SEND", &chunk);
		assert_memory_equal(chunk.body, "second", 6);
		answer(waiting.bob, waiting.b, chunk.id);
		expect_answer(&w, waiting.alice, waiting.a, "wait1", "200 OK");
		expect_answer(&w, waiting.alice, waiting.a, "wait2", "200 OK");
		assert_int_equal(COUNTED(&w, msrp_dropped), 0);
		world_end(&w);
	}
}

/* What waited is ready in the middle of another session's chunk. */
static void a_replay_waits_for_the_end_of_a_chunk(void **state)
{
	struct world w;
	struct session ready, waiting;
	struct chunk chunk;

	world_init(&w, 1);
	world_start(&w);
	ready = open_session(&w, 0);
	waiting = open_session(&w, 0);
	ready.alice = waiting.alice = client_open(&w, 0);
	ready.bob = client_open(&w, 0);
	bind_side(&w, ready.alice, ready.a);
	bind_side(&w, ready.bob, ready.b);
	bind_side(&w, waiting.alice, waiting.a);
	send_text(waiting.alice, waiting.a, "wait1", "first");
	client_send(ready.alice, HEAD("half1", "SEND") "Message-ID: h\r\nByte-Range: 1-4/4\r\n"
		"Content-Type: a/b\r\n\r\nha", PATHS(ready.a));
	world_run_ms(&w, 5);
	waiting.bob = client_open(&w, 0);
	bind_side(&w, waiting.bob, waiting.b);
	expect_nothing(&w, waiting.bob);
	client_send(ready.alice, "lf\r\n-------half1$\r\n");
	expect_chunk(&w, ready.bob, "SEND", &chunk);
	assert_memory_equal(chunk.body, "half", 4);
	expect_chunk(&w, waiting.bob, "SEND", &chunk);
	assert_memory_equal(chunk.body, "first", 5);
	world_end(&w);
}

/* The far connection is shared: by sessions of its worker, or of others (`owner`). */
static void an_open_chunk_on_a_shared_connection(void **state)
{
	for (unsigned owner = 0; owner < 2; owner++) {
		struct world w;
		struct session streaming, other;
		struct chunk chunk;
		char content[3001], more[2000];

		snprintf(content, sizeof(content), "%03000u", 1);
		memset(more, 'm', sizeof(more));
		world_init(&w, 2);
		world_start(&w);
		other = open_session(&w, 0);
		streaming = open_session(&w, owner);
		other.alice = client_open(&w, 0);
		streaming.alice = client_open(&w, owner);
		other.bob = streaming.bob = client_open(&w, 0);
		bind_side(&w, other.alice, other.a);
		bind_side(&w, other.bob, other.b);
		bind_side(&w, streaming.alice, streaming.a);
		bind_side(&w, streaming.bob, streaming.b);
		client_send(streaming.alice,
			    HEAD("strm1", "SEND") "Message-ID: s\r\nByte-Range: 1-*/*\r\n"
						  "Content-Type: a/b\r\n\r\n%s",
			    PATHS(streaming.a), content);
		WAIT_FOR(&w, streaming.bob->n - streaming.bob->seen > 3000);
		/* another session's message does not wait for the rest */
		send_text(other.alice, other.a, "other1", "hello");
		expect_chunk(&w, other.bob, "SEND", &chunk);
		assert_int_equal(chunk.n, 3000);
		assert_int_equal(chunk.flag, '+');
		expect_chunk(&w, other.bob, "SEND", &chunk);
		assert_memory_equal(chunk.body, "hello", 5);
		answer(other.bob, other.b, chunk.id);
		expect_answer(&w, other.alice, other.a, "other1", "200 OK");
		/* the streaming session ends in mid-chunk, its connection carries on */
		client_send_n(streaming.alice, more, sizeof(more));
		WAIT_FOR(&w, streaming.bob->n - streaming.bob->seen > 2000);
		side_close(streaming.b);
		expect_chunk(&w, other.bob, "SEND", &chunk);
		if (owner == 0) {
			assert_int_equal(chunk.flag, '#');
		} else { /* a proxy ends its chunks with each turn */
			assert_int_equal(chunk.flag, '+');
		}
		expect_answer(&w, streaming.alice, streaming.a, "strm1", "408 Request Timeout");
		exchange(&w, &other);
		world_end(&w);
	}
}

static void both_sides_on_one_connection(void **state)
{
	for (unsigned worker = 0; worker < 2; worker++) {
		struct world w;
		struct session s;

		world_init(&w, 2);
		world_start(&w);
		s = open_session(&w, worker);
		s.alice = s.bob = client_open(&w, 0);
		bind_side(&w, s.alice, s.a);
		bind_side(&w, s.bob, s.b);
		exchange(&w, &s);
		client_close(s.alice);
		WAIT_FOR(&w, s.a->lost == 1 && s.b->lost == 1);
		world_end(&w);
	}
}

/* A head of any length that announces no end, then content for ever. */
static void begin_flood(struct client *client, struct side *side)
{
	client_send(client, HEAD("flood", "SEND") "Message-ID: f\r\nByte-Range: 1-*/*\r\n"
		"Content-Type: a/b\r\n\r\n", PATHS(side));
}

static void a_slow_reader_holds_its_sender(void **state)
{
	struct world w;
	struct session s;
	size_t sent = 0, most = KB(16384), queued = 0, high = KB(256);
	char *content = calloc(1, KB(64)), id[64], end[80];
	struct chunk chunk;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w, 0);
	s.bob->is_deaf = true;
	begin_flood(s.alice, s.a);
	while (sent < most && COUNTED(&w, msrp_rx_paused) == 0) {
		if (s.alice->out_n == 0) {
			client_send_n(s.alice, content, KB(64));
			sent += KB(64);
		}
		world_lap(&w);
	}
	assert_int_equal(COUNTED(&w, msrp_rx_paused), 1);
	world_run_ms(&w, 30);
	queued = msrp_endpoint_of(&w.workers[0])->queued;
	/* one receive beyond the mark at most: half way to it the multishot ended */
	assert_in_range(queued, high, high + 3 * 16384);
	s.bob->is_deaf = false;
	client_send(s.alice, "\r\n-------flood$\r\n");
	WAIT_FOR(&w, s.alice->out_n == 0);
	expect_chunk(&w, s.bob, "SEND", &chunk);
	assert_int_equal(chunk.n, sent);
	snprintf(id, sizeof(id), "%s", chunk.id);
	snprintf(end, sizeof(end), "-------%s$\r\n", id);
	answer(s.bob, s.b, id);
	expect_answer(&w, s.alice, s.a, "flood", "200 OK");
	exchange(&w, &s);
	assert_int_equal(COUNTED(&w, msrp_dropped), 0);
	free(content);
	world_end(&w);
}

/* All legs of a worker together: near that the mark falls for each. */
static void the_worker_has_a_bound_too(void **state)
{
	struct world w;
	struct session s;
	char *content = calloc(1, KB(64));
	size_t sent = 0;

	world_init(&w, 1);
	w.options.limits.queued_bytes = KB(4096);
	w.options.limits.leg_high = KB(16384);
	world_start(&w);
	s = open_bound(&w, 0);
	s.bob->is_deaf = true;
	begin_flood(s.alice, s.a);
	while (COUNTED(&w, msrp_rx_paused) == 0 && sent < KB(65536)) {
		if (s.alice->out_n == 0) {
			client_send_n(s.alice, content, KB(64));
			sent += KB(64);
		}
		world_lap(&w);
	}
	world_run_ms(&w, 20);
	assert_in_range(msrp_endpoint_of(&w.workers[0])->queued, KB(3072), KB(4096));
	assert_int_equal(s.b->lost, 0);
	free(content);
	world_end(&w);
}

/* 10 sessions on one connection, on its own worker and on another; one far side never reads. */
static void a_slow_reader_among_many_is_dropped(void **state)
{
	for (unsigned owner = 0; owner < 2; owner++) {
		struct world w;
		struct session s[10];
		struct client *alice;
		char *content = calloc(1, KB(64));
		size_t sent = 0;

		world_init(&w, 2);
		world_start(&w);
		alice = client_open(&w, 0);
		for (unsigned i = 0; i < 10; i++) {
			s[i] = open_session(&w, i ? owner : 0);
			s[i].alice = alice;
			s[i].bob = client_open(&w, i ? owner : 0);
			bind_side(&w, alice, s[i].a);
			bind_side(&w, s[i].bob, s[i].b);
		}
		s[4].bob->is_deaf = true;
		begin_flood(alice, s[4].a);
		while (s[4].b->lost == 0 && sent < KB(65536)) {
			if (alice->out_n == 0) {
				client_send_n(alice, content, KB(64));
				sent += KB(64);
			}
			world_lap(&w);
		}
		assert_int_equal(s[4].b->lost, 1);
		assert_int_equal(s[4].b->why, REASON_QUEUE_FULL);
		assert_int_equal(s[4].a->lost, 0);
		expect_answer(&w, alice, s[4].a, "flood", "408 Request Timeout");
		client_send(alice, "\r\n-------flood#\r\n");
		WAIT_FOR(&w, alice->out_n == 0);
		for (unsigned i = 0; i < 10; i++) {
			if (i != 4)
				exchange(&w, &s[i]);
			assert_int_equal(s[i].a->lost, 0);
		}
		free(content);
		world_end(&w);
	}
}

#define ASK HEAD("ask1", "SEND") "Message-ID: 1\r\n-------ask1$\r\n"

/* False: her kernel, full of what she does not read, took no more of what she asks either, too early to see it. */
static bool asks_and_never_reads(void)
{
	struct world w;
	struct session s;
	size_t before, one, queued, asked = 0;

	world_init(&w, 1);
	w.options.limits.leg_high = KB(4);
	w.options.limits.leg_low = KB(1);
	world_start(&w);
	s = open_bound(&w, 0);
	/* the kernel shall not take it all; a small receive buffer would drop her own octets too */
	setsockopt(s.a->leg->connection->stream->fd, SOL_SOCKET, SO_SNDBUF, &(int){ 16384 },
		sizeof(int));
	before = s.alice->n;
	client_send(s.alice, ASK, PATHS(s.a));
	expect_answer(&w, s.alice, s.a, "ask1", "200 OK");
	one = s.alice->n - before;
	s.alice->is_deaf = true;
	/* until nobody takes any more: the kernel may find room again */
	for (unsigned i = 0; i < 100 && msrp_endpoint_of(&w.workers[0])->queued < KB(8); i++) {
		while (s.alice->out_n < KB(64)) {
			client_send(s.alice, ASK, PATHS(s.a));
			asked++;
			world_lap(&w);
		}
		world_run_ms(&w, 20);
	}
	queued = msrp_endpoint_of(&w.workers[0])->queued;
	/* twice the mark, and the answers to what one receive brought */
	assert_in_range(queued, 0, KB(8) + 16384 * 5 / 4);
	if (queued >= KB(8))
		assert_int_equal(s.a->leg->connection->pauses, PAUSE_NOT_READING);
	s.alice->is_deaf = false;
	WAIT_FOR(&w, s.alice->n - s.alice->seen == asked * one);
	s.alice->seen = s.alice->n;
	exchange(&w, &s);
	world_end(&w);
	return queued >= KB(8);
}

/* Somebody who asks and asks and never reads our answers. */
static void who_does_not_read_its_answers(void **state)
{
	for (unsigned tries = 0; !asks_and_never_reads(); tries++)
		assert_true(tries < 10);
}

static void we_connect(void **state)
{
	struct world w;
	struct session s;
	struct chunk chunk;
	struct sockaddr_in *in;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_storage address = { 0 };
	socklen_t size = sizeof(address);
	struct msrp_peer peer = { .path = SLICE(ALICE), .connect = true };

	in = (struct sockaddr_in *)&address;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(listener, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	world_init(&w, 1);
	world_start(&w);
	s = (struct session){ side_open(&w, 0, NULL), side_open(&w, 0, BOB) };
	snprintf(s.a->path, sizeof(s.a->path), ALICE);
	msrp_leg_pair(s.a->leg, s.b->leg);
	peer.address = address;
	assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
	assert_int_equal(s.a->bound, 0);
	s.alice = &w.clients[w.client_count++];
	WAIT_FOR(&w, s.a->bound == 1);
	*s.alice = (struct client){ .fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK) };
	expect_chunk(&w, s.alice, "SEND", &chunk);
	assert_string_equal(chunk.range, "1-0/0");
	assert_false(chunk.has_body);
	assert_int_equal(chunk.flag, '$');
	assert_null(strstr(chunk.head, "Content-Type"));
	/* it was faster than the SIP message that brings our path: noted, and no reason to give the session up */
	client_send(s.alice, HEAD("%s", "481 No Such Session") "-------%s$\r\n", chunk.id, PATHS(s.a), chunk.id);
	s.bob = client_open(&w, 0);
	bind_side(&w, s.bob, s.b);
	exchange(&w, &s);
	assert_int_equal(world_refused(&w, REASON_MSRP_PEER_REFUSED), 1);
	assert_int_equal(COUNTED(&w, msrp_stray_responses), 0);
	assert_int_equal(COUNTED(&w, msrp_connections_opened), 1);
	/* the same path again changes nothing */
	assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
	exchange(&w, &s);

	/* nobody listens any more */
	close(listener);
	client_close(s.alice);
	WAIT_FOR(&w, s.a->lost == 1);
	assert_int_equal(msrp_leg_set_peer(s.a->leg, &peer), 0);
	assert_int_equal(s.a->lost, 1); /* events come from the loop only */
	WAIT_FOR(&w, s.a->lost == 2);
	assert_int_equal(s.a->why, REASON_CONNECT_FAILED);
	assert_int_equal(s.a->bound, 1);
	assert_int_equal(world_refused(&w, REASON_CONNECT_FAILED), 1);
	w.descriptors--; /* the listener was there before */
	world_end(&w);
}

static void the_actor_may_close_in_its_events(void **state)
{
	struct world w;
	struct session s;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w, 0);
	s.a->close_when_lost = true;
	client_close(s.alice);
	WAIT_FOR(&w, !s.a->leg);
	side_close(s.b);
	WAIT_FOR(&w, s.bob->is_closed);
	world_end(&w);
}

/* What is queued for a peer is still written when its leg is closed. */
static void the_last_words_are_written(void **state)
{
	struct world w;
	struct session s;
	struct chunk chunk;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w, 0);
	send_text(s.alice, s.a, "last1", "good-bye");
	WAIT_FOR(&w, COUNTED(&w, msrp_chunks) == 1);
	side_close(s.b);
	expect_chunk(&w, s.bob, "SEND", &chunk);
	assert_memory_equal(chunk.body, "good-bye", 8);
	WAIT_FOR(&w, s.bob->is_closed);
	expect_answer(&w, s.alice, s.a, "last1", "408 Request Timeout");
	/* the session-id is unknown from here on */
	s.bob = client_open(&w, 0);
	client_send(s.bob, HEAD("again", "SEND") "Message-ID: 1\r\n-------again$\r\n", PATHS(s.b));
	expect_chunk(&w, s.bob, "481 No Such Session", &chunk);
	world_end(&w);
}

static void draining(void **state)
{
	struct world w;
	struct session s;
	struct client *unbound;

	world_init(&w, 1);
	world_start(&w);
	s = open_bound(&w, 0);
	unbound = client_open(&w, 0);
	WAIT_FOR(&w, COUNTED(&w, msrp_connections_accepted) == 3);
	msrp_worker_stop(&w.workers[0], false);
	WAIT_FOR(&w, unbound->is_closed);
	exchange(&w, &s);
	msrp_worker_stop(&w.workers[0], true);
	WAIT_FOR(&w, s.a->lost == 1 && s.b->lost == 1);
	assert_int_equal(s.a->why, REASON_DRAINING);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_uri),
		cmocka_unit_test(legs_at_their_limit_and_one_more),
		cmocka_unit_test(sessions_that_are_not_there),
		cmocka_unit_test(a_worker_that_is_not_there),
		cmocka_unit_test(a_second_connection),
		cmocka_unit_test(the_unbound_deadline),
		cmocka_unit_test(a_chunk_before_its_path),
		cmocka_unit_test(a_chunk_before_its_new_path),
		cmocka_unit_test(a_path_with_another_host),
		cmocka_unit_test(a_host_that_changes_within_a_read),
		cmocka_unit_test(a_chunk_before_its_path_on_a_shared_connection),
		cmocka_unit_test(hand_over),
		cmocka_unit_test(the_deadline_travels),
		cmocka_unit_test(a_hundred_sessions_on_one_connection),
		cmocka_unit_test(sessions_of_four_threads),
		cmocka_unit_test(credit),
		cmocka_unit_test(credit_for_single_octets),
		cmocka_unit_test(single_octets_to_a_foreign_connection),
		cmocka_unit_test(handed_over_in_vain),
		cmocka_unit_test(a_moved_connection_moves_no_more),
		cmocka_unit_test(long_chunks_between_workers),
		cmocka_unit_test(content_waits_on_a_shared_connection),
		cmocka_unit_test(a_replay_waits_for_the_end_of_a_chunk),
		cmocka_unit_test(an_open_chunk_on_a_shared_connection),
		cmocka_unit_test(both_sides_on_one_connection),
		cmocka_unit_test(a_slow_reader_holds_its_sender),
		cmocka_unit_test(the_worker_has_a_bound_too),
		cmocka_unit_test(a_slow_reader_among_many_is_dropped),
		cmocka_unit_test(who_does_not_read_its_answers),
		cmocka_unit_test(we_connect),
		cmocka_unit_test(the_actor_may_close_in_its_events),
		cmocka_unit_test(the_last_words_are_written),
		cmocka_unit_test(draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
