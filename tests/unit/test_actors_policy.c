#include "tests/unit/test.h"

#include "actors/policy.h"

static struct config config_with(const char **list, unsigned count)
{
	struct config config = { 0 };

	config.policy.content_types = (struct text_list){ .count = count, .list = (void *)list };
	return config;
}

static const char *all[] = { "text/plain", "*" }, *some[] = { "text/plain", "image/*" };

static void test_types(void **state)
{
	struct config any = config_with(all, 2), few = config_with(some, 2);

	assert_true(policy_permits_every_type(&any) && !policy_permits_every_type(&few));
	assert_true(policy_permits_type(&any, SLICE("a/b")));
	assert_true(policy_permits_type(&few, SLICE("Text/Plain; charset=utf-8")));
	assert_true(policy_permits_type(&few, SLICE("image/gif")) && policy_permits_type(&few, SLICE("IMAGE/*")));
	assert_false(policy_permits_type(&few, SLICE("image")) || policy_permits_type(&few, SLICE("text/html")));
	assert_false(policy_permits_type(&few, SLICE("*")) || policy_permits_type(&few, SLICE("imagex/gif")));
}

static const struct {
	const char *said, *want;
} lists[] = {
	{ "text/plain", "text/plain" },
	{ "text/html text/plain;x=y  image/gif", "text/plain;x=y image/gif" },
	{ "*", "text/plain image/*" },
	{ "text/*", "text/plain" },
	{ "image/*", "image/*" },
	{ "text/html", "" },
	{ "", "" },
};

static void test_lists(void **state)
{
	struct config few = config_with(some, 2);
	char memory[64];

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct buffer out = buffer_over(memory, sizeof(memory));
		bool is_any = policy_permitted_types(&few, slice_str(lists[i].said), &out);
		CHECK(is_any == (lists[i].want[0] != 0) && slice_eq(buffer_slice(&out), slice_str(lists[i].want)),
			"\"%s\": got \"%.*s\"\n", lists[i].said, SLICE_ARG(buffer_slice(&out)));
	}
	struct buffer tight = buffer_over(memory, 9);
	assert_false(policy_permitted_types(&few, SLICE("text/plain"), &tight));
}

static const struct {
	const char *said, *other, *want;
} pairs[] = {
	{ "text/plain message/cpim", "message/cpim", "message/cpim" },
	{ "text/plain", "TEXT/plain text/html", "text/plain" },
	{ "*", "text/plain image/*", "text/plain image/*" },
	{ "text/plain image/gif", "*", "text/plain image/gif" },
	{ "*", "*", "*" },
	{ "image/*", "text/plain image/gif image/png", "image/gif image/png" },
	{ "image/gif;x=y", "image/*", "image/gif;x=y" },
	{ "message/cpim text/plain *", "text/plain message/cpim", "message/cpim text/plain" },
	{ "text/plain  text/plain", "text/plain", "text/plain" },
	{ "text/html", "text/plain", "" },
	{ "", "*", "" },
	{ "*", "", "" },
};

static void test_common(void **state)
{
	char memory[64];

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct buffer out = buffer_over(memory, sizeof(memory));
		bool is_any = policy_common_types(slice_str(pairs[i].said), slice_str(pairs[i].other), &out);
		CHECK(is_any == (pairs[i].want[0] != 0) && slice_eq(buffer_slice(&out), slice_str(pairs[i].want)),
			"\"%s\" and \"%s\": got \"%.*s\"\n", pairs[i].said, pairs[i].other, SLICE_ARG(buffer_slice(&out)));
	}
	struct buffer tight = buffer_over(memory, 9);
	assert_false(policy_common_types(SLICE("text/plain"), SLICE("*"), &tight));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_types), cmocka_unit_test(test_lists),
		cmocka_unit_test(test_common) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
