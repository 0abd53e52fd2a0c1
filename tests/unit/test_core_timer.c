/*
 * core/timer.c against a model: an array of what is armed, searched from end
 * to end.  A measurement of arming and cancelling is printed, not asserted.
 */
#include "core/timer.h"

#include <time.h>

#include "tests/unit/test.h"

#define MODEL_TIMERS 400
#define DAY_MS       (24 * 3600 * 1000ull)

struct model_timer {
	struct timer timer;
	uint64_t at_ms; /* 0: not armed */
	bool arms_again, cancels_next;
};

static struct timer_wheel wheel;
static struct model_timer timers[MODEL_TIMERS];
static uint64_t target_ms, last_fired_ms;
static unsigned fired, seed;

static uint64_t draw(uint64_t below)
{
	uint64_t r = (uint64_t)rand_r(&seed) << 31 ^ (uint64_t)rand_r(&seed);

	return r % below;
}

/* Near, around each wrap of a level, and further than all levels reach. */
static uint64_t some_delay(void)
{
	switch (draw(8)) {
	case 0:
		return draw(3);
	case 1:
		return draw(300);
	case 2:
		return 256 * draw(64) + draw(3);
	case 3:
		return draw(1 << 14);
	case 4:
		return draw(1 << 20) + 1;
	case 5:
		return draw(1ull << 26);
	case 6:
		return (1ull << (8 + 6 * draw(5))) + draw(5) - 2;
	default:
		return draw(200 * DAY_MS);
	}
}

static unsigned count_armed(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		n += timers[i].at_ms != 0;
	return n;
}

static uint64_t first_of_model(void)
{
	uint64_t first = UINT64_MAX;

	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		if (timers[i].at_ms && timers[i].at_ms < first)
			first = timers[i].at_ms;
	return first;
}

static void on_fire(struct timer *timer);

static void arm(struct model_timer *t, uint64_t after_ms)
{
	timer_arm(&wheel, &t->timer, after_ms, on_fire);
	t->at_ms = wheel.now_ms + (after_ms ? after_ms : 1);
}

static void on_fire(struct timer *timer)
{
	struct model_timer *t = (struct model_timer *)timer;

	CHECK(t->at_ms == wheel.now_ms, "fired at %llu instead of %llu\n",
		(unsigned long long)wheel.now_ms, (unsigned long long)t->at_ms);
	assert_false(timer_is_armed(timer));
	assert_true(wheel.now_ms >= last_fired_ms && wheel.now_ms <= target_ms);
	assert_int_equal(first_of_model(), wheel.now_ms);
	last_fired_ms = wheel.now_ms;
	t->at_ms = 0;
	fired++;
	if (t->arms_again)
		arm(t, some_delay());
	if (t->cancels_next) { /* maybe one that is due in this very millisecond */
		struct model_timer *next = &timers[(t - timers + 1) % MODEL_TIMERS];
		timer_cancel(&wheel, &next->timer);
		next->at_ms = 0;
	}
}

static void advance(uint64_t by_ms)
{
	target_ms = wheel.now_ms + by_ms;
	timer_wheel_advance(&wheel, target_ms);
	assert_int_equal(wheel.now_ms, target_ms);
	CHECK(first_of_model() > target_ms, "one that was due did not fire\n");
	assert_int_equal(wheel.armed, count_armed());
}

/* Never later than the first timer; waiting for it again and again gets there. */
static void check_next(void)
{
	uint64_t next = timer_wheel_next_ms(&wheel), first = first_of_model();

	assert_int_equal(next == UINT64_MAX, first == UINT64_MAX);
	CHECK(next <= first, "next %llu, first %llu\n", (unsigned long long)next, (unsigned long long)first);
	assert_true(next > wheel.now_ms);
}

static void start(unsigned with_seed, uint64_t now_ms)
{
	seed = with_seed;
	memset(timers, 0, sizeof(timers));
	timer_wheel_init(&wheel, now_ms);
	last_fired_ms = now_ms;
	fired = 0;
}

static void like_the_model(void **state)
{
	for (unsigned run = 1; run <= 30; run++) {
		start(run, run % 3 ? draw(1ull << 40) : 0);
		for (unsigned i = 0; i < MODEL_TIMERS; i++) {
			timers[i].arms_again = draw(4) == 0;
			timers[i].cancels_next = draw(8) == 0;
		}
		for (unsigned step = 0; step < 4000; step++) {
			struct model_timer *t = &timers[draw(MODEL_TIMERS)];
			switch (draw(4)) {
			case 0:
			case 1:
				arm(t, some_delay());
				break;
			case 2:
				timer_cancel(&wheel, &t->timer);
				t->at_ms = 0;
				break;
			default:
				/* days only now and then: with the fires of re-armed ones it takes long */
				advance(draw(20) ? draw(600) : draw(50) ? draw(1 << 16) : draw(1ull << 28));
			}
			check_next();
		}
		assert_true(fired > 100);
	}
}

static void waiting_for_next_reaches_everyone(void **state)
{
	for (unsigned run = 1; run <= 20; run++) {
		start(run, 1000 * run);
		for (unsigned i = 0; i < 20; i++)
			arm(&timers[i], draw(60000));
		for (unsigned turns = 0; wheel.armed; turns++) {
			CHECK(turns < 20 + 60000 / TIMER_NEAR + 1, "%u turns\n", turns);
			advance(timer_wheel_next_ms(&wheel) - wheel.now_ms);
		}
		assert_int_equal(fired, 20);
	}
}

static void a_clock_that_goes_back_fires_nothing(void **state)
{
	start(1, 5000);
	arm(&timers[0], 10);
	timer_wheel_advance(&wheel, 4000);
	assert_int_equal(wheel.now_ms, 5000);
	assert_int_equal(fired, 0);
	advance(10);
	assert_int_equal(fired, 1);
}

static void on_measured(struct timer *timer)
{
}

static double arm_and_cancel_ns(size_t pending)
{
	struct timer *many = calloc(pending, sizeof(*many));
	struct timer one = { 0 };
	struct timespec from, to;
	enum { TIMES = 1000000 };

	start(5, 0);
	for (size_t i = 0; i < pending; i++)
		timer_arm(&wheel, &many[i], 1 + draw(32000), on_measured);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned i = 0; i < TIMES; i++) {
		timer_arm(&wheel, &one, 1 + (i * 7919u) % 32000, on_measured);
		timer_cancel(&wheel, &one);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(wheel.armed, pending);
	timer_wheel_advance(&wheel, 40000);
	assert_int_equal(wheel.armed, 0);
	free(many);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / TIMES;
}

static void arming_costs_the_same_with_millions(void **state)
{
	print_message("arm + cancel: %.1f ns with 1000 pending\n", arm_and_cancel_ns(1000));
	print_message("arm + cancel: %.1f ns with 4000000 pending\n", arm_and_cancel_ns(4000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_the_model),
		cmocka_unit_test(waiting_for_next_reaches_everyone),
		cmocka_unit_test(a_clock_that_goes_back_fires_nothing),
		cmocka_unit_test(arming_costs_the_same_with_millions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
