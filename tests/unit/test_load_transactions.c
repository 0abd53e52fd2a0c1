/* load-tests/transactions.c: the clock of many requests under way, and what repeats when (RFC 3261 17.1.2). */
#include "load-tests/transactions.h"
#include "tests/unit/test.h"

#define MS 1000000ull

struct seen {
	uint64_t repeats[16], gave_up_ms;
	unsigned repeats_n, gave_up_n;
	struct transactions t;
	struct event_loop loop;
};

static void on_repeat(void *user, struct transaction *x)
{
	struct seen *s = user;

	assert_true(s->repeats_n < 16);
	s->repeats[s->repeats_n++] = s->loop.now_ns / MS;
}

static void on_give_up(void *user, struct transaction *x)
{
	struct seen *s = user;

	s->gave_up_ms = s->loop.now_ns / MS;
	s->gave_up_n++;
	transactions_end(&s->t, x);
}

static void seen_open(struct seen *s, bool is_lossy, uint64_t most)
{
	*s = (struct seen){ .t = { .loop = &s->loop, .is_lossy = is_lossy, .user = s, .repeat = on_repeat,
				   .give_up = on_give_up } };
	assert_int_equal(transactions_open(&s->t, most), 0);
}

static void run_to(struct seen *s, uint64_t ms)
{
	for (; s->loop.now_ns < ms * MS; s->loop.now_ns += 10 * MS)
		transactions_tick(&s->t);
	transactions_tick(&s->t);
}

/* Timer E: T1, doubled up to T2; timer F after 64 x T1. */
static void udp_repeats_like_a_user_agent(void **state)
{
	static const uint64_t want[] = { 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500 };
	struct seen s;

	seen_open(&s, true, 10);
	(void)transactions_begin(&s.t, 0, 7); /* it is found by its number */
	run_to(&s, 40000);
	assert_int_equal(s.repeats_n, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(s.repeats[i], want[i]);
	assert_int_equal(s.gave_up_n, 1);
	assert_int_equal(s.gave_up_ms, 32000);
	assert_int_equal(s.t.under_way, 0);
	transactions_close(&s.t);
}

static void tcp_only_waits(void **state)
{
	struct seen s;

	seen_open(&s, false, 10);
	(void)transactions_begin(&s.t, 0, 0); /* as above */
	run_to(&s, 31990);
	assert_int_equal(s.gave_up_n, 0);
	run_to(&s, 32000);
	assert_int_equal(s.gave_up_n, 1);
	assert_int_equal(s.repeats_n, 0);
	transactions_close(&s.t);
}

/* A provisional answer slows it down to T2; the final one silences it. */
static void answers_stop_it(void **state)
{
	struct seen s;

	seen_open(&s, true, 10);
	struct transaction *x = transactions_begin(&s.t, 0, 0), *y = transactions_begin(&s.t, 0, 0);
	transactions_proceeding(&s.t, x);
	transactions_answered(&s.t, y);
	run_to(&s, 3990);
	assert_int_equal(s.repeats_n, 0);
	run_to(&s, 4000);
	assert_int_equal(s.repeats_n, 1);
	transactions_end(&s.t, x);
	transactions_end(&s.t, y);
	run_to(&s, 40000);
	assert_int_equal(s.repeats_n, 1);
	assert_int_equal(s.gave_up_n, 0);
	transactions_close(&s.t);
}

/* One that stays keeps its place; the others go round it, and no number comes twice. */
static void one_that_stays_blocks_nobody(void **state)
{
	struct seen s;

	seen_open(&s, false, 1);
	struct transaction *stays = transactions_begin(&s.t, 0, 1);
	uint32_t number = stays->sequence;
	for (unsigned i = 0; i < 5000; i++) {
		struct transaction *x = transactions_begin(&s.t, 0, 2);
		assert_ptr_not_equal(x, stays);
		assert_ptr_equal(transactions_find(&s.t, x->sequence), x);
		uint32_t sequence = x->sequence;
		transactions_end(&s.t, x);
		assert_null(transactions_find(&s.t, sequence));
	}
	assert_ptr_equal(transactions_find(&s.t, number), stays);
	assert_null(transactions_find(&s.t, number + s.t.size));
	transactions_close(&s.t);
}

static void it_is_full_at_its_size(void **state)
{
	struct seen s;

	seen_open(&s, true, 1500);
	unsigned n = 0;
	for (; transactions_have_room(&s.t); n++)
		(void)transactions_begin(&s.t, 0, n); /* not asked for again */
	assert_int_equal(n, 2048);
	struct transaction *x = transactions_find(&s.t, 77);
	assert_int_equal(x->subject, 77);
	transactions_end(&s.t, x);
	assert_true(transactions_have_room(&s.t));
	assert_ptr_equal(transactions_begin(&s.t, 0, 0), x); /* the only place */
	transactions_close(&s.t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(udp_repeats_like_a_user_agent),
		cmocka_unit_test(tcp_only_waits),
		cmocka_unit_test(answers_stop_it),
		cmocka_unit_test(one_that_stays_blocks_nobody),
		cmocka_unit_test(it_is_full_at_its_size),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
