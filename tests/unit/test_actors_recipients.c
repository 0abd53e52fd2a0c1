/* actors/recipients.c: who gets a copy. */
#include "actors/recipients.h"
#include "tests/unit/test.h"

static void add(struct recipients *r, const char *uri, const char *canonical)
{
	assert_int_equal(recipients_add(r, slice_str(uri), slice_str(canonical)), 0);
}

static void each_once_in_their_order(void **state)
{
	struct recipients r = { 0 };

	recipients_make_distinct(&r);
	assert_int_equal(r.count, 0);
	add(&r, "sip:b@X", "b@x");
	add(&r, "sip:a@x", "a@x");
	add(&r, "sips:b@x", "b@x");
	add(&r, "sip:ab@x", "ab@x");
	add(&r, "sip:a@x;y", "a@x");
	add(&r, "mailto:a@x", "");
	recipients_make_distinct(&r);
	assert_int_equal(r.count, 4);
	const char *const left[] = { "sip:b@X", "sip:a@x", "sip:ab@x", "mailto:a@x" };
	for (unsigned i = 0; i < r.count; i++)
		CHECK(slice_eq(recipients_uri(&r, i), slice_str(left[i])), "%u: %.*s\n", i, SLICE_ARG(recipients_uri(&r, i)));
	assert_true(slice_eq(recipients_canonical(&r, 2), SLICE("ab@x")));
	assert_true(recipients_have(&r, SLICE("ab@x")));
	assert_false(recipients_have(&r, SLICE("b")));
	add(&r, "sip:c@x", "c@x");
	add(&r, "sip:b@x", "b@x");
	recipients_make_distinct(&r);
	assert_int_equal(r.count, 5);
	assert_true(slice_eq(recipients_uri(&r, 0), SLICE("sip:b@X")));
	assert_true(slice_eq(recipients_uri(&r, 4), SLICE("sip:c@x")));
	recipients_free(&r);
	assert_true(r.count == 0 && recipients_octets(&r) == 0);
}

static void many(void **state)
{
	struct recipients r = { 0 };
	char uri[64], name[64];

	for (unsigned i = 0; i < 10000; i++) {
		snprintf(uri, sizeof(uri), "sip:u%u@x", i * 7 % 2500);
		snprintf(name, sizeof(name), "u%u@x", i * 7 % 2500);
		add(&r, uri, name);
	}
	recipients_make_distinct(&r);
	assert_int_equal(r.count, 2500);
	assert_true(slice_eq(recipients_uri(&r, 1), SLICE("sip:u7@x")));
	assert_true(recipients_octets(&r) < 1000000);
	recipients_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_once_in_their_order), cmocka_unit_test(many) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
