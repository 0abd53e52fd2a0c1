/*
 * core/admission.c on a model of a worker with virtual time: what is offered, what one request costs to serve and
 * to refuse, a queue.  Does the share converge, stay, come back; is it fair?
 */
#include "core/admission.h"

#include "core/load.h"
#include "tests/unit/test.h"

struct model {
	struct admission a;
	/* ---- of the world ---- */
	double offered;     /* requests an interval */
	double cost;        /* of serving one: part of an interval */
	double refusal;     /* of refusing one */
	double sessions;    /* what running sessions take: part of an interval */
	double noise;       /* of what is offered */
	/* ---- of the worker ---- */
	double queue;       /* requests not yet read */
	double room;        /* for so many; 0: for all, as of TCP */
	unsigned high_water;
	uint64_t random;
	unsigned begins, ends;
	unsigned served, refused; /* of the last interval */
	unsigned busy;
};

static uint64_t draw(struct model *m) /* splitmix64 */
{
	uint64_t z = m->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static struct model model_of(double offered, double cost, double refusal)
{
	struct model m = { .offered = offered, .cost = cost, .refusal = refusal, .high_water = 85, .random = 1 };

	admission_init(&m.a);
	return m;
}

/* One interval: what came is read, oldest first, and taken or refused, as long as there is time. */
static void step(struct model *m)
{
	double wobble = m->noise * ((double)(draw(m) >> 11) / (double)(UINT64_C(1) << 53) * 2 - 1), left = 1 - m->sessions;

	m->queue += m->offered * (1 + wobble);
	if (m->room && m->queue > m->room)
		m->queue = m->room; /* the kernel drops the rest */
	m->served = m->refused = 0;
	for (; m->queue >= 1 && left > 0; m->queue--) {
		bool is_taken = !m->a.is_shedding || admission_take(&m->a, m->a.share, draw(m));
		m->served += is_taken;
		m->refused += !is_taken;
		left -= is_taken ? m->cost : m->refusal;
	}
	m->busy = left > 0 ? (unsigned)((1 - left) * 1000) : 1000;
	double backlog = m->room ? 0 : m->queue / (m->served + m->refused + 1) * LOAD_INTERVAL_US;
	switch (admission_step(&m->a, &(struct admission_interval){ LOAD_INTERVAL_US, m->busy, m->high_water,
		m->queue > m->offered / 2 || m->queue > 500, (uint64_t)backlog })) {
	case ADMISSION_BEGINS:
		m->begins++;
		break;
	case ADMISSION_ENDS:
		m->ends++;
		break;
	case ADMISSION_SAME:
		break;
	}
}

static void steps(struct model *m, unsigned n)
{
	while (n--)
		step(m);
}

static void below_the_mark_all_is_taken(void **state)
{
	struct model m = model_of(800, 1.0 / 1000, 0.05 / 1000);

	for (unsigned i = 0; i < 1000; i++) {
		step(&m);
		assert_int_equal(m.refused, 0);
	}
	assert_int_equal(m.begins, 0);
}

/* Three times what it can, and four times, with dear and cheap requests: within six seconds the queue is gone, the
 * worker is about as busy as it may be, and what it does is what it is for. */
static void it_converges(void **state)
{
	static const struct {
		double offered, refusal, noise, room;
		unsigned served; /* at least, of 1000 */
	} cases[] = { { 1200, 0.05, 0.1, 0, 850 }, { 3000, 0.05, 0, 0, 800 }, { 3000, 0.05, 0.3, 0, 650 }, { 3000, 0.02, 0.1, 0, 800 },
		{ 4000, 0.02, 0.1, 0, 700 }, { 3000, 0.05, 0.1, 4000, 750 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct model m = model_of(cases[i].offered, 1.0 / 1000, cases[i].refusal / 1000);
		unsigned served = 0, most = 0, least = UINT32_MAX;

		m.noise = cases[i].noise;
		m.room = cases[i].room;
		steps(&m, 60);
		CHECK(m.queue < 1000, "case %zu: a queue of %.0f after six seconds\n", i, m.queue);
		for (unsigned n = 0; n < 300; n++) {
			step(&m);
			served += m.served;
			most = m.served > most ? m.served : most;
			least = m.served < least ? m.served : least;
			CHECK(m.queue < 2000, "case %zu: the queue comes back: %.0f\n", i, m.queue);
		}
		CHECK(served / 300 >= cases[i].served, "case %zu: %u served\n", i, served / 300);
		/* no swing between all and nothing */
		CHECK(most < 1400 && least > cases[i].served / 2, "case %zu: between %u and %u\n", i, least, most);
		assert_int_equal(m.begins, 1);
	}
}

static void it_comes_back(void **state)
{
	struct model m = model_of(3000, 1.0 / 1000, 0.05 / 1000);

	steps(&m, 100);
	assert_true(m.a.is_shedding);
	m.offered = 100;
	steps(&m, 60);
	assert_int_equal(m.ends, 1);
	assert_int_equal(m.refused, 0);
	/* also when nothing comes and the worker sleeps: one long interval */
	m.offered = 3000;
	steps(&m, 100);
	assert_true(m.a.is_shedding);
	assert_int_equal(admission_step(&m.a, &(struct admission_interval){ 100 * LOAD_INTERVAL_US, 1, 85, false }),
		ADMISSION_ENDS);
	assert_false(m.a.is_shedding);
}

static void a_short_burst_is_taken(void **state)
{
	struct model m = model_of(3000, 1.0 / 1000, 0.05 / 1000);

	step(&m);
	m.offered = 100;
	steps(&m, 20);
	assert_int_equal(m.begins, 0);
}

/* Never asleep, but what comes is done at once: bulk transfer, or clients that wait for their answers. */
static void busy_is_no_overload(void **state)
{
	struct admission a;

	admission_init(&a);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 1000, 85, false }),
			ADMISSION_SAME);
	/* but an operator may want idle time */
	for (unsigned i = 0; i < ADMISSION_PATIENCE; i++)
		(void)admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 300, 20, false });
	assert_true(a.is_shedding);
	/* and 100 is off, at once or by a reload */
	assert_int_equal(admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 1000, 100, true }),
		ADMISSION_ENDS);
	assert_true(a.share == 1);
	for (unsigned i = 0; i < 100; i++)
		(void)admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 1000, 100, true });
	assert_false(a.is_shedding);
}

/* Sessions alone fill the worker: refusing everybody would help nobody. */
static void sessions_do_not_shut_the_door(void **state)
{
	struct model m = model_of(20, 1.0 / 1000, 0.05 / 1000);
	unsigned served = 0;

	m.sessions = 0.99;
	for (unsigned i = 0; i < 100; i++) {
		step(&m);
		served += m.served;
	}
	assert_true(m.a.is_shedding);
	assert_true(served >= 100 * ADMISSION_ALWAYS);
}

/* In whatever order they come, two kinds of requests get the same share. */
static void it_is_fair(void **state)
{
	struct admission a;
	struct model dice = { .random = 7 };
	unsigned taken[2] = { 0 };

	admission_init(&a);
	for (unsigned i = 0; i < 200000; i++)
		taken[i % 2] += admission_take(&a, 0.5, draw(&dice));
	assert_in_range(taken[0], 48000, 52000);
	assert_in_range(taken[1], 48000, 52000);
}

/* What stands in a stream can wait: beyond what refusing may take it is taken after all, by a worker that is asked for
 * more than it could even refuse; and the share comes to what that leaves. */
static void refusing_has_its_bounds(void **state)
{
	struct admission a;
	unsigned refused = 0, taken = 0;

	admission_init(&a);
	a.is_shedding = a.is_bounded = true;
	a.share = ADMISSION_LEAST;
	for (unsigned i = 0; i < 1000; i++) {
		unsigned refused_before = refused, taken_before = taken;
		for (unsigned n = 0; n < 1000; n++) {
			if (admission_would_refuse(&a, a.share, UINT64_MAX * (n % 2))) {
				admission_refused(&a);
				refused++;
			} else {
				admission_took(&a, 10);
				taken++;
			}
		}
		assert_int_equal(refused - refused_before + taken - taken_before, 1000);
		admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 1000, 85, true, 0 });
		assert_true(a.share >= ADMISSION_LEAST && a.share < 1);
	}
	CHECK(refused <= ADMISSION_SAVED + taken * 10 * ADMISSION_PART, "%u refused, %u taken\n", refused, taken);
	/* a mark that is kept at any price: all are refused that should be */
	a.is_bounded = false;
	a.may_refuse = 0;
	a.taken = ADMISSION_ALWAYS;
	assert_true(admission_would_refuse(&a, 0, UINT64_MAX));
	a.is_bounded = true;
	assert_false(admission_would_refuse(&a, 0, UINT64_MAX));
	assert_true(a.was_forced);
}

/* Shedding that ends and begins again each second has no more refusals to spend than one that goes on. */
static void what_is_saved_is_spent_once(void **state)
{
	struct admission a;
	unsigned refused = 0, times = 0;

	admission_init(&a);
	for (unsigned i = 0; i < 200; i++) {
		bool is_over = i % 20 < 15;
		for (unsigned n = 0; n < 5000 && a.is_shedding; n++)
			if (admission_would_refuse(&a, a.share, UINT64_MAX)) {
				admission_refused(&a);
				refused++;
			} else {
				admission_took(&a, 0);
			}
		times += admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, is_over ? 1000 : 10, 85, is_over,
			0 }) == ADMISSION_BEGINS;
	}
	assert_true(times > 5);
	CHECK(refused > ADMISSION_SAVED / 2 && refused < 3 * ADMISSION_SAVED, "%u refused\n", refused); /* some of it saved again */
	/* quiet for long enough, and it may again */
	for (unsigned i = 0; i < 10000000 / LOAD_INTERVAL_US; i++)
		admission_step(&a, &(struct admission_interval){ LOAD_INTERVAL_US, 10, 85, false, 0 });
	assert_true(a.may_refuse >= ADMISSION_SAVED * 0.99);
}

/* Nothing waits: a worker that is busy all the time may be doing just enough, and refuses hardly more than before. */
static void busy_without_a_queue_falls_slowly(void **state)
{
	struct admission a[3];
	static const struct admission_interval intervals[3] = { { LOAD_INTERVAL_US, 1000, 85, false, 0 },
		{ LOAD_INTERVAL_US, 1000, 85, true, 100000 }, { LOAD_INTERVAL_US, 1000, 85, true, 2000000 } };

	for (unsigned i = 0; i < 3; i++) {
		admission_init(&a[i]);
		a[i].is_shedding = true;
		admission_step(&a[i], &intervals[i]);
	}
	assert_true(a[0].share > 0.96 && a[1].share < 0.9 && a[2].share < 0.7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(below_the_mark_all_is_taken),
		cmocka_unit_test(it_converges),
		cmocka_unit_test(it_comes_back),
		cmocka_unit_test(a_short_burst_is_taken),
		cmocka_unit_test(busy_is_no_overload),
		cmocka_unit_test(sessions_do_not_shut_the_door),
		cmocka_unit_test(it_is_fair),
		cmocka_unit_test(refusing_has_its_bounds),
		cmocka_unit_test(what_is_saved_is_spent_once),
		cmocka_unit_test(busy_without_a_queue_falls_slowly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
