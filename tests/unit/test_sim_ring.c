/*
 * The simulator itself: a run is a function of its seed, its faults happen and
 * are reported, octets of a stream survive everything but a reset, and time
 * moves only when nothing can run.
 */
#include "tests/sim/ring_sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/test.h"

#define OCTETS 20000
#define SEEDS 300

enum { ACCEPT = 1, CONNECT, RECV, SEND };

static ring_token token(unsigned kind)
{
	return ring_token_of(kind, 0, 1);
}

/* Ring 1 connects to ring 0 and sends; ring 0 reads, and closes at the end or at an error. */
struct transfer {
	struct sim *sim;
	struct ring *rings[2];
	struct sockaddr_storage address;
	int listener, server, client;
	char octets[OCTETS];
	size_t sent, received;
	int err;                  /* why it ended before all was received */
	bool is_done;
	unsigned waits;           /* -ENOBUFS, started again after 1 ms */
	bool must_restart;
	uint64_t digest;          /* of everything that completed, and when */
};

static void note(struct transfer *t, unsigned ring, const struct ring_completion *c)
{
	const uint64_t parts[] = { ring, c->token, (uint64_t)c->result, c->more, sim_now_us(t->sim) };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		t->digest = (t->digest ^ parts[i]) * 0x100000001b3u;
}

static void send_more(struct transfer *t)
{
	if (t->sent < OCTETS)
		t->rings[1]->ops->send(t->rings[1], t->client, t->octets + t->sent, OCTETS - t->sent, token(SEND));
}

static void on_recv(struct transfer *t, const struct ring_completion *c)
{
	if (c->result > 0) {
		CHECK(t->received + c->data.n <= OCTETS && !memcmp(c->data.p, t->octets + t->received, c->data.n),
		      "seed %lu: wrong octets\n", (unsigned long)sim_seed(t->sim));
		t->received += c->data.n;
		block_release(c->block);
	} else if (c->result == -ENOBUFS) {
		t->waits++;
		t->must_restart = true;
		return;
	} else {
		t->err = -c->result;
		t->is_done = true;
	}
	if (t->received == OCTETS)
		t->is_done = true;
}

static void on_completion(struct transfer *t, const struct ring_completion *c)
{
	switch (ring_token_kind(c->token)) {
	case ACCEPT:
		assert_true(c->result >= 0);
		t->server = c->result;
		t->rings[0]->ops->recv(t->rings[0], t->server, true, token(RECV));
		break;
	case RECV:
		on_recv(t, c);
		break;
	case CONNECT:
	case SEND:
		if (c->result < 0) {
			t->err = -c->result;
			t->is_done = true;
			break;
		}
		t->sent += (size_t)c->result;
		send_more(t);
		break;
	default:
		CHECK(false, "a token of no kind\n");
	}
}

static void turn(void *arg, unsigned i)
{
	struct transfer *t = arg;
	struct ring_completion got[8];
	bool restarts = i == 0 && t->must_restart;
	unsigned n = t->rings[i]->ops->turn(t->rings[i], got, 8, restarts ? 1000 : UINT64_MAX);

	for (unsigned k = 0; k < n; k++) {
		note(t, i, &got[k]);
		on_completion(t, &got[k]);
	}
	if (restarts && n == 0) {
		t->must_restart = false;
		t->rings[0]->ops->recv(t->rings[0], t->server, true, token(RECV));
	}
}

static bool is_done(void *arg)
{
	return ((struct transfer *)arg)->is_done;
}

static struct transfer *transfer_new(uint64_t seed, const struct sim_options *options)
{
	struct ring_options ring_options = { 64, 8, 2048 };
	struct transfer *t = calloc(1, sizeof(*t));

	t->sim = sim_new(seed, options);
	for (int i = 0; i < 2; i++)
		t->rings[i] = sim_ring_new(t->sim, &ring_options);
	for (size_t i = 0; i < OCTETS; i++)
		t->octets[i] = (char)(i * 7 + i / 251);
	*(struct sockaddr_in *)&t->address =
		(struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	t->listener = t->rings[0]->ops->open_listener(t->rings[0], &t->address);
	t->rings[0]->ops->local_address(t->rings[0], t->listener, &t->address);
	t->client = t->rings[1]->ops->open_stream(t->rings[1], AF_INET);
	t->rings[0]->ops->accept(t->rings[0], t->listener, token(ACCEPT));
	t->rings[1]->ops->connect(t->rings[1], t->client, (const struct sockaddr *)&t->address, token(CONNECT));
	t->server = -1;
	return t;
}

static void transfer_free(struct transfer *t)
{
	for (int i = 0; i < 2; i++)
		t->rings[i]->ops->destroy(t->rings[i]);
	sim_free(t->sim);
	free(t);
}

static struct transfer *transfer_run(uint64_t seed, const struct sim_options *options)
{
	struct transfer *t = transfer_new(seed, options);

	CHECK(sim_run_until(t->sim, is_done, 100 * 1000 * 1000, turn, t), "seed %lu: no end\n", (unsigned long)seed);
	return t;
}

/* ---- tests ---- */

static void octets_survive(void **state)
{
	unsigned whole = 0, resets = 0, timeouts = 0, waits = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct sim_options rough = sim_rough(seed);
		struct transfer *t = transfer_run(seed, &rough);
		whole += t->received == OCTETS;
		resets += t->err == ECONNRESET || t->err == EPIPE;
		timeouts += t->err == ETIMEDOUT;
		waits += t->waits;
		CHECK(t->received == OCTETS || t->err, "seed %lu: it just ended\n", (unsigned long)seed);
		transfer_free(t);
	}
	assert_true(whole > SEEDS / 2 && resets > 0 && timeouts > 0 && waits > 0);
	assert_int_equal(whole + resets + timeouts, SEEDS);
}

static void a_seed_is_a_run(void **state)
{
	uint64_t first = 0;
	unsigned same = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_options rough = sim_rough(seed);
		struct transfer *a = transfer_run(seed, &rough), *b = transfer_run(seed, &rough);
		assert_true(a->digest == b->digest && sim_now_us(a->sim) == sim_now_us(b->sim));
		same += a->digest == first;
		first = a->digest;
		transfer_free(a);
		transfer_free(b);
	}
	assert_int_equal(same, 0);
}

static void a_reset_on_request(void **state)
{
	struct sim_options options = SIM_CALM;
	struct transfer *t;

	options.stream_room_min = options.stream_room_max = 1024;
	t = transfer_new(1, &options);
	while (t->received == 0)
		assert_false(sim_run_until(t->sim, is_done, 100, turn, t));
	sim_reset(t->sim, t->server);
	assert_true(sim_run_until(t->sim, is_done, 1000 * 1000, turn, t));
	assert_int_equal(t->err, ECONNRESET);
	assert_true(t->received < OCTETS);
	transfer_free(t);
}

static void descriptors_run_out(void **state)
{
	struct transfer *t = transfer_new(1, &SIM_CALM);

	sim_settings(t->sim)->descriptors_max = 2;
	assert_int_equal(t->rings[0]->ops->open_stream(t->rings[0], AF_INET), -EMFILE);
	sim_settings(t->sim)->descriptors_max = 3;
	assert_true(sim_run_until(t->sim, is_done, 1000 * 1000, turn, t));
	assert_int_equal(sim_descriptors(t->sim), 3);
	transfer_free(t);
}

static void time_is_as_long_as_asked(void **state)
{
	struct transfer *t = transfer_new(1, &SIM_CALM);
	uint64_t before = sim_now_us(t->sim);

	assert_true(before > 0);
	sim_run_us(t->sim, 12345, turn, t);
	assert_int_equal(sim_now_us(t->sim) - before, 12345);
	assert_int_equal(sim_next_event_us(t->sim), UINT64_MAX);
	assert_false(sim_runnable(t->sim, t->rings[0]));
	t->rings[0]->ops->wake(t->rings[0]);
	assert_true(sim_runnable(t->sim, t->rings[0]));
	transfer_free(t);
}

/* Counts what comes of 1000 datagrams, and how many overtook one another. */
static unsigned datagrams(const struct sim_options *options, unsigned *overtaken)
{
	struct transfer *t = transfer_new(3, options);
	struct ring *ring = t->rings[1];
	int to = ring->ops->open_udp(ring, &t->address), from = ring->ops->open_udp(ring, &t->address);
	struct sockaddr_storage address;
	unsigned got = 0;
	uint32_t newest = 0;

	ring->ops->close(ring, from); /* the group of an address is itself: one member only */
	((struct sockaddr_in *)&t->address)->sin_port = 0;
	from = ring->ops->open_udp(ring, &t->address);
	ring->ops->local_address(ring, to, &address);
	ring->ops->recvmsg(ring, to, token(RECV));
	for (uint32_t i = 1; i <= 1000; i++) {
		struct iovec iovec = { &i, sizeof(i) };
		struct msghdr m = { .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &iovec,
			.msg_iovlen = 1 };
		bool is_sent = false;
		ring->ops->sendmsg(ring, from, &m, token(SEND));
		for (int idle = 0; !is_sent || (i == 1000 && idle < 100);) {
			struct ring_completion c;
			if (!ring->ops->turn(ring, &c, 1, UINT64_MAX)) {
				sim_advance(t->sim);
				idle++;
			} else if (ring_token_kind(c.token) == SEND) {
				is_sent = true;
			} else if (ring_token_kind(c.token) == RECV) {
				uint32_t value;
				memcpy(&value, c.data.p, sizeof(value));
				*overtaken += value < newest;
				newest = value > newest ? value : newest;
				got++;
				idle = 0;
				block_release(c.block);
			}
		}
	}
	transfer_free(t);
	return got;
}

static void datagrams_get_lost(void **state)
{
	struct sim_options options = SIM_CALM;
	unsigned overtaken = 0, got;

	assert_int_equal(datagrams(&options, &overtaken), 1000);
	assert_int_equal(overtaken, 0);
	options.udp_loss = 100;
	got = datagrams(&options, &overtaken);
	CHECK(got > 800 && got < 970 && !overtaken, "%u of 1000 with 10 %% loss\n", got);
	options = SIM_CALM;
	options.udp_duplicate = 100;
	got = datagrams(&options, &overtaken);
	CHECK(got > 1030 && got < 1200, "%u of 1000 with 10 %% doubled\n", got);
	options = SIM_CALM;
	options.udp_reorder = 500;
	assert_int_equal(datagrams(&options, &overtaken), 1000);
	assert_true(overtaken > 0);
}

/* A child of the test breaks a rule; the simulator ends it. */
static void broken_rules_end_the_run(void **state)
{
	for (int rule = 0; rule < 4; rule++) {
		pid_t child = fork();
		int status = 0;
		assert_true(child >= 0);
		if (child == 0) {
			struct transfer *t = transfer_new(1, &SIM_CALM);
			fclose(stderr);
			signal(SIGABRT, SIG_DFL);
			if (rule == 0)
				t->rings[0]->ops->close(t->rings[0], t->listener);
			else if (rule == 1)
				t->rings[0]->ops->recv(t->rings[0], t->client, false, token(RECV));
			else if (rule == 2)
				t->rings[0]->ops->close(t->rings[0], 3);
			else
				t->rings[0]->ops->accept(t->rings[0], t->listener, token(ACCEPT));
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "rule %d may be broken\n", rule);
	}
}

int main(void)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(octets_survive),
		cmocka_unit_test(a_seed_is_a_run),
		cmocka_unit_test(a_reset_on_request),
		cmocka_unit_test(descriptors_run_out),
		cmocka_unit_test(time_is_as_long_as_asked),
		cmocka_unit_test(datagrams_get_lost),
		cmocka_unit_test(broken_rules_end_the_run),
	};

	return cmocka_run_group_tests_name("simulator", list, NULL, NULL);
}
