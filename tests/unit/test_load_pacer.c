/* load-tests/pacer.c: the schedule of an open loop is a formula; these are its corners. */
#include "load-tests/pacer.h"
#include "tests/unit/test.h"

static void sessions_take_turns(void **state)
{
	struct pacer p;

	pacer_start(&p, 1000, 1e6, 3); /* one every 1000 ns, three sessions */
	assert_int_equal(pacer_due_ns(&p, 0), 1000);
	assert_int_equal(pacer_session_due_ns(&p, 0, 0), 1000);
	assert_int_equal(pacer_session_due_ns(&p, 2, 0), 3000);
	assert_int_equal(pacer_session_due_ns(&p, 0, 1), 4000);
	assert_int_equal(pacer_session_due_ns(&p, 1, 2), 8000);
}

/* Whatever is due of all is due of exactly one session. */
static void the_parts_add_up(void **state)
{
	struct pacer p;

	for (uint32_t sessions = 1; sessions <= 7; sessions++) {
		pacer_start(&p, 0, 1000, sessions);
		for (p.due = 0; p.due < 50; p.due++) {
			uint64_t sum = 0;
			for (uint32_t s = 0; s < sessions; s++) {
				uint64_t k = pacer_session_due(&p, s);
				sum += k;
				if (k)
					assert_true(pacer_session_due_ns(&p, s, k - 1) <=
						    pacer_due_ns(&p, p.due - 1));
				assert_true(pacer_session_due_ns(&p, s, k) >=
					    pacer_due_ns(&p, p.due));
			}
			assert_int_equal(sum, p.due);
		}
	}
}

/* Rounding must not add up: after a day at an odd rate the schedule is right to a microsecond. */
static void a_day_does_not_drift(void **state)
{
	struct pacer p;

	pacer_start(&p, 0, 30000, 1);
	uint64_t due_ns = pacer_due_ns(&p, 30000ull * 86400), want = 86400ull * 1000000000;
	assert_true(due_ns >= want - 1000 && due_ns <= want + 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_take_turns),
		cmocka_unit_test(the_parts_add_up),
		cmocka_unit_test(a_day_does_not_drift),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
