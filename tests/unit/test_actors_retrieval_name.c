/* actors/retrieval_name.c: what the URIs of a message store name, in each way of writing (D2-04 to D2-06). */
#include "actors/retrieval_name.h"

#include "tests/unit/test.h"

static struct im_server server;
static struct im im = { .server = &server };

static int set_up(void **state)
{
	server.sip.store_host = server.sip.home.store_host = SLICE("store.example.com");
	server.sip.home.home = SLICE("example.com");
	server.sip.history_user = SLICE("history");
	server.sip.factory_user = SLICE("factory");
	return 0;
}

static struct sip_uri parse(const char *text)
{
	struct sip_uri uri;

	CHECK(sip_uri_parse(slice_str(text), &uri), "no URI: %s\n", text);
	return uri;
}

static void what_a_request_uri_names(void **state)
{
	static const struct {
		const char *uri;
		enum retrieval_form form;
	} cases[] = {
		{ "sip:Deferred@store.example.com", RETRIEVAL_FUNCTION }, { "sip:deferred@store.example.com", RETRIEVAL_FUNCTION },
		{ "sip:DEFERRED@STORE.example.com", RETRIEVAL_FUNCTION }, { "sip:Deferred@example.com", RETRIEVAL_FUNCTION },
		{ "sip:Deferred@bob.store.example.com", RETRIEVAL_FUNCTION }, { "sip:Deferred@example.org", RETRIEVAL_NONE },
		{ "sip:%44eferred@example.com", RETRIEVAL_FUNCTION }, { "sip:hist%6Fry@store.example.com", RETRIEVAL_NONE },
		{ "sip:Deferred2@example.com", RETRIEVAL_NONE }, { "sip:charlie@store.example.com", RETRIEVAL_NAMED },
		{ "sips:charlie@store.example.com:5061;transport=tls", RETRIEVAL_NAMED },
		{ "sip:x%40joe.example.net@bob.store.example.com.", RETRIEVAL_NAMED },
		{ "sip:charlie@notstore.example.com", RETRIEVAL_NONE },
		{ "sip:charlie@example.com", RETRIEVAL_NONE }, { "sip:store.example.com", RETRIEVAL_NONE },
		{ "sip:history@store.example.com", RETRIEVAL_NONE }, { "sip:factory@store.example.com", RETRIEVAL_NONE },
		{ "tel:+4930123", RETRIEVAL_NONE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_uri uri;
		if (!sip_uri_parse(slice_str(cases[i].uri), &uri)) {
			assert_int_equal(cases[i].form, RETRIEVAL_NONE);
			continue;
		}
		CHECK(retrieval_form_of(&im, &uri) == cases[i].form, "%s: not %d\n", cases[i].uri, cases[i].form);
		REQ("CR000-11.3.1-4");
		REQ("IM-10.3.1-4");
	}
}

static void which_message(void **state)
{
	static const char id[] = "9s2nv6ejp0u4gl8d1yk7oa3qxm";
	static const struct {
		const char *uri, *key; /* NULL: none */
	} cases[] = {
		{ "sip:9s2nv6ejp0u4gl8d1yk7oa3qxm@store.example.com", id },
		{ "sip:9s2nv6ejp0u4gl8d1yk7oa3qxm%40store.example.com@store.example.com", id },
		{ "sip:9s2nv6ejp0u4gl8d1yk7oa3qxm%40STORE.example.com@Store.Example.com;x=y", id },
		{ "sip:sip%3A9s2nv6ejp0u4gl8d1yk7oa3qxm%40store.example.com@store.example.com", id },
		{ "sip:sip%3A9s2nv6ejp0u4gl8d1yk7oa3qxm%40store.example.com%3Btransport=tcp@store.example.com", id },
		{ "sip:9s2nv6ejp0u4gl8d1yk7oa3qxm@charlie.store.example.com", id },
		{ "sip:9S2nv6ejp0u4gl8d1yk7oa3qxm@store.example.com", "9S2nv6ejp0u4gl8d1yk7oa3qxm" },
		{ "sip:d0982dkjs%40Joemobile.example.net@store.example.com", "d0982dkjs@Joemobile.example.net" },
		{ "sip:d0982dkjs%2540x@store.example.com", "d0982dkjs%40x" },
		{ "sip:9s2nv6ejp0u4gl8d1yk7oa3qxm@example.org", NULL }, { "sip:store.example.com", NULL },
		{ "sip:a%00b@store.example.com", NULL }, { "sip:%40store.example.com@store.example.com", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[IM_CANONICAL_MAX];
		struct buffer key = buffer_over(text, sizeof(text));
		struct sip_uri uri = parse(cases[i].uri);
		bool has_key = retrieval_key(&im, &uri, &key);
		CHECK(has_key == (cases[i].key != NULL), "%s: %d\n", cases[i].uri, has_key);
		CHECK(!has_key || slice_eq(buffer_slice(&key), slice_str(cases[i].key)), "%s: %.*s\n", cases[i].uri, (int)key.n, text);
		REQ("CR004-one-4");
	}
}

static void no_name_is_longer_than_its_room(void **state)
{
	char text[2 * IM_CANONICAL_MAX], room[IM_CANONICAL_MAX];
	struct buffer key = buffer_over(room, sizeof(room)), account = buffer_over(room, sizeof(room));
	struct sip_uri uri;

	memset(text, 'a', sizeof(text));
	memcpy(text, "sip:", 4);
	snprintf(text + sizeof(text) - 32, 32, "@store.example.com");
	assert_true(sip_uri_parse(slice_str(text), &uri));
	assert_false(retrieval_key(&im, &uri, &key));
	assert_false(retrieval_account(&im, &uri, &account));
}

static void whose_account(void **state)
{
	static const char *const cases[] = { "sip:charlie@store.example.com", "sip:%63harlie@STORE.example.com",
		"sips:charlie@charlie.store.example.com:5061" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[IM_CANONICAL_MAX];
		struct buffer account = buffer_over(text, sizeof(text));
		struct sip_uri uri = parse(cases[i]);
		assert_true(retrieval_account(&im, &uri, &account));
		CHECK(slice_eq(buffer_slice(&account), SLICE("charlie@example.com")), "%s: %.*s\n", cases[i], (int)account.n, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_request_uri_names),
		cmocka_unit_test(which_message),
		cmocka_unit_test(no_name_is_longer_than_its_room),
		cmocka_unit_test(whose_account),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
