/*
 * Connections that we made and that further sessions use (msrp/sharing.c): when,
 * and when not.
 */
#include "tests/unit/msrp_world.h"

#define PEER "msrp://peer.example:7654/"

/* Somebody who takes connections. */
struct acceptor {
	int fd;
	struct sockaddr_storage address;
};

static struct acceptor acceptor_open(struct world *w)
{
	struct acceptor a = { .fd = socket(AF_INET, SOCK_STREAM, 0) };
	struct sockaddr_in *in = (struct sockaddr_in *)&a.address;
	socklen_t size = sizeof(*in);

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(a.fd, (struct sockaddr *)in, sizeof(*in)), 0);
	assert_int_equal(listen(a.fd, 8), 0);
	assert_int_equal(getsockname(a.fd, (struct sockaddr *)in, &size), 0);
	assert_int_equal(fcntl(a.fd, F_SETFL, O_NONBLOCK), 0);
	return a;
}

static struct client *acceptor_take(struct world *w, const struct acceptor *a)
{
	struct client *client = &w->clients[w->client_count];
	int fd = -1;

	WAIT_FOR(w, (fd = accept4(a->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	*client = (struct client){ .fd = fd };
	w->client_count++;
	return client;
}

static bool nobody_comes(struct world *w, const struct acceptor *a)
{
	world_run_ms(w, 20);
	return accept4(a->fd, NULL, NULL, SOCK_NONBLOCK) < 0;
}

/* A leg that has to connect to `to`, where its peer has that session-id. */
static struct side *active_side(struct world *w, unsigned worker, const char *session_id,
	const struct sockaddr_storage *to)
{
	struct side *side = side_open(w, worker, NULL);
	struct msrp_peer peer = { .connect = true, .address = *to };

	snprintf(side->path, sizeof(side->path), PEER "%s;tcp", session_id);
	peer.path = slice_str(side->path);
	assert_int_equal(msrp_leg_set_peer(side->leg, &peer), 0);
	return side;
}

/* What the active side says first, and its answer; NULL: none. */
static void expect_first_and_say(struct world *w, struct client *client, const struct side *side, const char *status)
{
	struct chunk chunk;
	char head[1024];

	expect_chunk(w, client, "SEND", &chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\n", side->path, side->uri);
	assert_memory_equal(chunk.head, head, strlen(head));
	assert_false(chunk.has_body);
	if (status)
		client_send(client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", chunk.id, status,
			side->uri, side->path, chunk.id);
}

static void expect_first(struct world *w, struct client *client, const struct side *side)
{
	expect_first_and_say(w, client, side, "200 OK");
}

static void send_text(struct client *client, struct side *side, const char *id, size_t n)
{
	char text[4096];

	assert_in_range(n, 1, sizeof(text) - 1);
	memset(text, 'x', n);
	text[n] = 0;
	client_send(client, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: %s\r\n"
		"Byte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n\r\n%s\r\n-------%s$\r\n", id,
		PATHS(side), id, n, n, text, id);
}

static void a_second_session_takes_what_is_there(void **state)
{
	struct world w;
	struct acceptor here, there;
	struct side *sides[4], *far;
	struct client *one, *other, *client;
	struct chunk chunk;

	world_init(&w, 2);
	world_start(&w);
	here = acceptor_open(&w);
	there = acceptor_open(&w);
	sides[0] = active_side(&w, 0, "s0", &here.address);
	one = acceptor_take(&w, &here);
	expect_first(&w, one, sides[0]);
	sides[1] = active_side(&w, 0, "s1", &here.address);
	assert_true(msrp_leg_is_bound(sides[1]->leg));
	assert_int_equal(sides[1]->bound, 0); /* events come from the loop only */
	WAIT_FOR(&w, sides[1]->bound == 1);
	expect_first(&w, one, sides[1]);
	assert_true(nobody_comes(&w, &here));
	sides[2] = active_side(&w, 0, "s2", &there.address); /* another address */
	other = acceptor_take(&w, &there);
	expect_first(&w, other, sides[2]);
	sides[3] = active_side(&w, 1, "s3", &here.address); /* another worker */
	client = acceptor_take(&w, &here);
	expect_first(&w, client, sides[3]);
	assert_int_equal(COUNTED(&w, msrp_connections_opened), 3);
	assert_int_equal(COUNTED(&w, msrp_connections_shared), 1);

	/* the first session goes, the second goes on */
	side_close(sides[0]);
	far = side_open(&w, 0, "msrp://far.example:1/f;tcp");
	msrp_leg_pair(far->leg, sides[1]->leg);
	client = client_open(&w, 0);
	bind_side(&w, client, far);
	send_text(one, sides[1], "text1", 5);
	expect_chunk(&w, client, "SEND", &chunk);
	assert_memory_equal(chunk.body, "xxxxx", 5);

	/* with the last one it is closed, and the next session makes another */
	side_close(sides[1]);
	WAIT_FOR(&w, one->is_closed);
	sides[0] = active_side(&w, 0, "s4", &here.address);
	assert_false(msrp_leg_is_bound(sides[0]->leg));
	expect_first(&w, acceptor_take(&w, &here), sides[0]);
	close(here.fd);
	close(there.fd);
	world_end(&w);
}

/* All of them are told; who comes back makes a new one, which the others find. */
static void the_loss_of_a_shared_one(void **state)
{
	struct world w;
	struct acceptor here;
	struct side *sides[3];
	struct client *client = NULL;
	struct msrp_peer peer = { .connect = true };

	world_init(&w, 1);
	world_start(&w);
	here = acceptor_open(&w);
	for (unsigned i = 0; i < 3; i++) {
		char id[8];
		snprintf(id, sizeof(id), "s%u", i);
		sides[i] = active_side(&w, 0, id, &here.address);
		if (i == 0)
			client = acceptor_take(&w, &here);
		expect_first(&w, client, sides[i]);
	}
	client_close(client);
	WAIT_FOR(&w, sides[0]->lost && sides[1]->lost && sides[2]->lost);
	assert_int_equal(sides[1]->why, REASON_PEER_CLOSED);
	peer.address = here.address;
	for (unsigned i = 0; i < 3; i++) {
		peer.path = slice_str(sides[i]->path);
		assert_int_equal(msrp_leg_set_peer(sides[i]->leg, &peer), 0);
		if (i == 0)
			client = acceptor_take(&w, &here);
		expect_first(&w, client, sides[i]);
		WAIT_FOR(&w, sides[i]->bound == 2);
	}
	assert_int_equal(COUNTED(&w, msrp_connections_opened), 2);
	assert_int_equal(COUNTED(&w, msrp_connections_shared), 4);
	close(here.fd);
	world_end(&w);
}

/* design.md 5: towards our own listeners every session gets its own. */
static void not_to_ourselves(void **state)
{
	struct world w;
	struct side *far[2], *near[2];
	struct msrp_peer peer = { .connect = true };

	world_init(&w, 1);
	world_start(&w);
	peer.address = w.addresses[0];
	for (unsigned i = 0; i < 2; i++) {
		far[i] = side_open(&w, 0, NULL);
		near[i] = side_open(&w, 0, NULL);
		assert_int_equal(msrp_leg_set_peer(far[i]->leg, &(struct msrp_peer){
			.path = msrp_leg_uri(near[i]->leg) }), 0);
		peer.path = msrp_leg_uri(far[i]->leg);
		assert_int_equal(msrp_leg_set_peer(near[i]->leg, &peer), 0);
		WAIT_FOR(&w, far[i]->bound && near[i]->bound);
	}
	assert_int_equal(COUNTED(&w, msrp_connections_opened), 2);
	assert_int_equal(COUNTED(&w, msrp_connections_accepted), 2);
	assert_int_equal(COUNTED(&w, msrp_connections_shared), 0);
	world_end(&w);
}

/* Whose queue is long, or who is not read because of his only session, would make the next one wait. */
static void not_one_that_is_held_up(void **state)
{
	for (unsigned is_read = 0; is_read < 2; is_read++) {
		struct world w;
		struct acceptor here;
		struct side *slow, *far, *next;
		struct client *client, *sender;

		world_init(&w, 1);
		w.options.limits.leg_high = KB(64);
		w.options.limits.leg_low = KB(16);
		world_start(&w);
		here = acceptor_open(&w);
		slow = active_side(&w, 0, "slow", &here.address);
		client = acceptor_take(&w, &here);
		expect_first(&w, client, slow);
		far = side_open(&w, 0, "msrp://far.example:1/f;tcp");
		msrp_leg_pair(far->leg, slow->leg);
		if (is_read) { /* it sends, and the other leg is not there yet */
			send_text(client, slow, "waits1", 10);
			world_run_ms(&w, 10);
		} else {
			int small = 4096;
			setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
			client->is_deaf = true;
			sender = client_open(&w, 0);
			bind_side(&w, sender, far);
			for (unsigned i = 0; i < 4000 && COUNTED(&w, msrp_rx_paused) == 0; i++) {
				char id[32];
				snprintf(id, sizeof(id), "much%u", i);
				send_text(sender, far, id, 2000);
				world_lap(&w);
			}
			assert_int_equal(COUNTED(&w, msrp_rx_paused), 1);
		}
		next = active_side(&w, 0, "next", &here.address);
		expect_first(&w, acceptor_take(&w, &here), next);
		assert_int_equal(COUNTED(&w, msrp_connections_shared), 0);
		client->is_deaf = false;
		close(here.fd);
		world_end(&w);
	}
}

/* RFC 4975 10: there is no such session for us.  Who cannot share gets a connection of its own. */
static void a_peer_that_refuses(void **state)
{
	static const char *const refusals[] = { "403 Forbidden", "481 No", "506 Bound" };

	for (unsigned i = 0; i < 3; i++) {
		struct world w;
		struct acceptor here;
		struct side *first, *second;
		struct client *client, *alone;

		world_init(&w, 1);
		world_start(&w);
		here = acceptor_open(&w);
		first = active_side(&w, 0, "first", &here.address);
		client = acceptor_take(&w, &here);
		expect_first(&w, client, first);
		second = active_side(&w, 0, "second", &here.address);
		expect_first_and_say(&w, client, second, refusals[i]);
		alone = acceptor_take(&w, &here);
		assert_int_equal(second->lost, 0);
		WAIT_FOR(&w, second->bound == 2);
		expect_first_and_say(&w, alone, second, refusals[i]);
		WAIT_FOR(&w, world_refused(&w, REASON_MSRP_PEER_REFUSED) == 2);
		assert_true(msrp_leg_is_bound(second->leg)); /* it may not have heard of us by SIP yet */
		assert_true(nobody_comes(&w, &here));
		assert_int_equal(first->lost, 0);
		assert_false(client->is_closed);
		close(here.fd);
		world_end(&w);
	}
}

/* Other errors are about the request. */
static void a_peer_that_dislikes_the_first_chunk(void **state)
{
	static const char *const answers[] = { "200 OK", "400 Bad", "413 Long", "415 Type", "501 What", "600 Odd" };
	struct world w;
	struct acceptor here;
	struct client *client = NULL;

	world_init(&w, 1);
	world_start(&w);
	here = acceptor_open(&w);
	for (unsigned i = 0; i < 6; i++) {
		char id[8];
		snprintf(id, sizeof(id), "s%u", i);
		struct side *side = active_side(&w, 0, id, &here.address);
		if (!client)
			client = acceptor_take(&w, &here);
		expect_first_and_say(&w, client, side, answers[i]);
	}
	world_run_ms(&w, 20);
	for (unsigned i = 0; i < 6; i++)
		assert_true(msrp_leg_is_bound(w.sides[i].leg));
	assert_int_equal(COUNTED(&w, msrp_connections_shared), 5);
	close(here.fd);
	world_end(&w);
}

/* Nobody may be there: after 0.8 x timers.msrp_transaction the leg is lost.  Who has sent content is there. */
static void a_peer_that_does_not_answer(void **state)
{
	struct world w;
	struct acceptor here;
	struct side *silent, *busy, *far;
	struct client *client;
	struct chunk chunk;

	world_init(&w, 1);
	w.options.msrp_transaction_ms = 500;
	world_start(&w);
	here = acceptor_open(&w);
	silent = active_side(&w, 0, "silent", &here.address);
	client = acceptor_take(&w, &here);
	expect_first_and_say(&w, client, silent, NULL);
	busy = active_side(&w, 0, "busy", &here.address);
	expect_first_and_say(&w, client, busy, NULL);
	far = side_open(&w, 0, "msrp://far.example:1/f;tcp");
	msrp_leg_pair(far->leg, busy->leg);
	struct client *other = client_open(&w, 0);
	bind_side(&w, other, far);
	send_text(client, busy, "text1", 5);
	expect_chunk(&w, other, "SEND", &chunk);
	client_send(other, "MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", chunk.id, far->uri,
		far->path, chunk.id);
	WAIT_FOR(&w, silent->lost == 1);
	assert_int_equal(silent->why, REASON_TIMEOUT);
	WAIT_FOR(&w, world_refused(&w, REASON_TIMEOUT) == 2);
	world_run_ms(&w, 10);
	assert_int_equal(busy->lost, 0);
	assert_true(msrp_leg_is_bound(busy->leg));
	close(here.fd);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_session_takes_what_is_there),
		cmocka_unit_test(the_loss_of_a_shared_one),
		cmocka_unit_test(not_to_ourselves),
		cmocka_unit_test(not_one_that_is_held_up),
		cmocka_unit_test(a_peer_that_refuses),
		cmocka_unit_test(a_peer_that_dislikes_the_first_chunk),
		cmocka_unit_test(a_peer_that_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
