/*
 * msrp/accept.c: what the lists of a session description name, and what a message/cpim holds.
 */
#include "msrp/accept.h"
#include "tests/unit/test.h"

static const struct {
	const char *list, *type;
	bool is_named;
} cases[] = {
	{ "text/plain", "text/plain", true },
	{ "text/plain", "TEXT/Plain", true },
	{ "Text/PLAIN", "text/plain", true },
	{ "text/plain", "text/plain;charset=utf-8", true },
	{ "text/plain", "text/plain ; charset=utf-8", true },
	{ "text/plain;charset=utf-8", "text/plain", true },
	{ "text/plain", "text/plainer", false },
	{ "text/plain", "text/plai", false },
	{ "text/plain", "text/", false },
	{ "text/plain", "", false },
	{ "text/*", "text/html", true },
	{ "text/*", "TEXT/html;x=\"y;z\"", true },
	{ "text/*", "text", false },
	{ "text/*", "textual/html", false },
	{ "text/*", "image/png", false },
	{ "a/b   c/d\te/f ", "e/f", true },
	{ "a/b   c/d\te/f ", "c/d", true },
	{ "a/b c/d e/f", "g/h", false },
	{ "a/b *", "g/h", true },
	{ "*/*", "g/h", true },
	{ "*", "nonsense", true },
	{ "", "g/h", true }, /* nothing is said */
	{ "x*", "xyz", false },
};

static void lists_and_types(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct msrp_accept accept = { 0 };
		msrp_accept_set(&accept, slice_str(cases[i].list), SLICE_EMPTY);
		bool is_named = !accept.types_n ||
			msrp_accept_find(slice_of(accept.text, accept.types_n),
				msrp_accept_type(slice_str(cases[i].type))).n;
		CHECK(is_named == cases[i].is_named, "\"%s\" in \"%s\"\n", cases[i].type, cases[i].list);
		assert_false(accept.looks_inside);
	}
}

static void what_may_be_wrapped(void **state)
{
	struct msrp_accept accept = { 0 };

	msrp_accept_set(&accept, SLICE("message/cpim"), SLICE("text/plain IMAGE/*"));
	assert_true(accept.looks_inside);
	assert_string_equal(accept.text, "message/cpim text/plain image/* ");
	assert_int_equal(accept.types_n, strlen("message/cpim "));
	assert_int_equal(accept.wrapped_n, strlen("text/plain image/* "));
	msrp_accept_set(&accept, SLICE("message/cpim"), SLICE("")); /* nothing more than may stand alone */
	assert_true(accept.looks_inside);
	assert_int_equal(accept.wrapped_n, 0);
	msrp_accept_set(&accept, SLICE("message/cpim"), SLICE_EMPTY); /* nothing is said */
	assert_false(accept.looks_inside);
	msrp_accept_set(&accept, SLICE("message/cpim"), SLICE("text/plain *"));
	assert_false(accept.looks_inside);
	msrp_accept_set(&accept, SLICE("message/cpim *"), SLICE("text/plain"));
	assert_false(accept.looks_inside);
	assert_int_equal(accept.types_n, 0);
}

/* Lists at the room for them and beyond: what does not fit is not accepted, a star is seen wherever it stands. */
static void more_types_than_fit(void **state)
{
	char list[2 * MSRP_ACCEPT_MAX];
	struct msrp_accept accept = { 0 };

	for (unsigned twice = 0; twice < 2; twice++) {
		size_t n = 0;
		for (unsigned i = 0; n < MSRP_ACCEPT_MAX * (1 + twice) - 32; i++)
			n += (size_t)sprintf(list + n, "%06u/%07u ", i, i); /* 15 octets each, and the blank */
		msrp_accept_set(&accept, slice_of(list, n), SLICE("wrapped/w"));
		assert_int_equal(accept.types_n, twice ? 2040 : 2025);
		assert_int_equal(accept.wrapped_n, twice ? 0 : 10);
		memcpy(list + n, "*", 2);
		msrp_accept_set(&accept, slice_str(list), SLICE("wrapped/w"));
		assert_int_equal(accept.types_n, 0);
		assert_false(accept.looks_inside);
	}
}

static const struct {
	const char *content, *type; /* NULL: not visible yet */
} wrapped[] = {
	{ "From: <im:a@b>\r\nTo: <im:c@d>\r\n\r\nContent-Type: text/html; charset=utf-8\r\nContent-ID: x\r\n\r\nhi",
		"text/html" },
	{ "From: x\r\n\r\nContent-ID: x\r\ncontent-type:TEXT/x\r\n", "TEXT/x" },
	{ "From: x\n\nContent-type: a/b\n\n", "a/b" },
	{ "From: x\r\n\r\nContent-ID: x\r\n\r\nhi", "text/plain" },
	{ "From: x\r\n\r\nContent-Type:\r\n\r\nhi", "text/plain" },
	{ "\r\nContent-Type: a/b\r\n", "a/b" },
	{ "Content-Type: not/this\r\n\r\nContent-Type: a/b\r\n", "a/b" },
	{ "From: x\r\n\r\nContent-Type: a/b\r", NULL },
	{ "From: x\r\n\r\nContent-Type: a/b", NULL },
	{ "From: x\r\n\r\n", NULL },
	{ "Content-Type: a/b\r\n", NULL },
	{ "", NULL },
};

/* Whole, and every beginning of it: nothing, or the same. */
static void what_is_inside(void **state)
{
	for (size_t i = 0; i < sizeof(wrapped) / sizeof(wrapped[0]); i++) {
		size_t n = strlen(wrapped[i].content);
		for (size_t cut = 0; cut <= n; cut++) {
			char *copy = malloc(cut ? cut : 1);
			memcpy(copy, wrapped[i].content, cut);
			struct slice type = msrp_accept_wrapped_type(slice_of(copy, cut));
			bool is_right = !type.p || (wrapped[i].type && slice_eq(type, slice_str(wrapped[i].type)));
			CHECK(is_right && (cut < n || !type.p == !wrapped[i].type), "case %zu cut at %zu: %.*s\n", i, cut,
				SLICE_ARG(type));
			free(copy);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_and_types),
		cmocka_unit_test(what_may_be_wrapped),
		cmocka_unit_test(more_types_than_fit),
		cmocka_unit_test(what_is_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
