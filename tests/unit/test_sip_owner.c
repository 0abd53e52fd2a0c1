/* The owner rules of design.md 2 as a table: which messages must agree, and which rule comes first.
 */
#include <time.h>

#include "core/minted.h"
#include "core/worker.h"
#include "sip/message.h"
#include "sip/owner.h"
#include "tests/unit/test.h"

#define WORKERS 4

static const uint8_t key[16] = "keykeykeykeykey";
static const struct slice aliases[] = { { "example.org", 11 } };
static const struct slice groups[] = { { "group*", 6 }, { "a*b*c", 5 } };
static const struct sip_host_port literals[] = { { { "127.0.0.1", 9 }, 5060 } };
static const struct sip_options options = {
	.home = { .home = { "example.com", 11 },
		  .aliases = aliases,
		  .alias_count = 1,
		  .store_host = { "store.example.com", 17 },
		  .literals = literals,
		  .literal_count = 1 },
	.store_host = { "store.example.com", 17 },
	.factory_user = { "factory", 7 },
	.history_user = { "history", 7 },
	.group_patterns = groups,
	.group_pattern_count = 2,
};

static int setup(void **state)
{
	minted_init(key, WORKERS);
	sip_owner_init(key);
	return 0;
}

static int owner_of_text(const char *text, unsigned workers)
{
	struct sip_limits limits = { 16384, 65536, 0 };
	char *wire = exact_copy(text, strlen(text));
	struct sip_message m;
	size_t used;

	CHECK(sip_message_parse(&m, slice_of(wire, strlen(text)), &limits, SIP_DATAGRAM, &used) ==
		      SIP_PARSE_OK,
	      "not a message: %s\n", text);
	int owner = sip_owner_of(&m, &options, workers);
	free(wire);
	return owner;
}

static int owner(const char *method, const char *uri, const char *to, const char *call_id)
{
	char text[4096];

	snprintf(text, sizeof(text),
		 "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: "
		 "<sip:f@example.com>;tag=f\r\n"
		 "To: %s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
		 method, uri, to, call_id, method);
	return owner_of_text(text, WORKERS);
}

#define BOB "<sip:bob@example.com>"

/* Names made by worker `index`: the maker needs nothing of a worker but its number and its pool. */
static void mint(unsigned index, char out[MINTED_CHARS + 1])
{
	static struct worker worker;

	worker.index = index;
	worker.random_left = sizeof(worker.random_pool);
	for (unsigned i = 0; i < sizeof(worker.random_pool); i++)
		worker.random_pool[i] = (uint8_t)rand();
	minted_make(&worker, out);
	out[MINTED_CHARS] = 0;
}

/* A Call-ID of each worker, so that an agreement is none by luck. */
static const char *call_id_of(unsigned wanted)
{
	static char texts[WORKERS][32];
	static unsigned number;

	do {
		snprintf(texts[wanted], 32, "call-%u", number++);
	} while (sip_owner_of_call_id(slice_str(texts[wanted]), WORKERS) != wanted);
	return texts[wanted];
}

/* Rule 4: INVITE, its CANCEL and the ACK of a failure, wherever they arrive and whatever tag the
 * ACK has. */
static void test_invite_cancel_and_ack_agree(void **state)
{
	static const char *const uris[] = { "sip:bob@example.com",
					    "sip:bob@elsewhere.net",
					    "tel:+4930123",
					    "sip:factory@example.com",
					    "sip:group1@example.com",
					    "mailto:x",
					    "sip:%zz",
					    "sip:history@example.com" };
	static const char *const methods[] = { "CANCEL", "ACK",    "BYE", "MESSAGE",
					       "REFER",  "UPDATE", "FOO" };

	for (size_t u = 0; u < sizeof(uris) / sizeof(uris[0]); u++) {
		for (unsigned c = 0; c < WORKERS; c++) {
			const char *call_id = call_id_of(c);
			int of_invite = owner("INVITE", uris[u], BOB, call_id);
			for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
				assert_int_equal(owner(methods[m], uris[u], BOB, call_id),
						 of_invite);
				assert_int_equal(owner(methods[m], uris[u], BOB ";tag=foreign",
						       call_id),
						 of_invite);
			}
			if (u != 4) /* a group's name says who, not the Call-ID */
				assert_int_equal(of_invite, c);
		}
	}
}

/* Rule 1 before 2 before 3 before 4. */
static void test_minted_names_come_first(void **state)
{
	char tag[MINTED_CHARS + 1], user[MINTED_CHARS + 1], to[128], uri[128];

	for (unsigned w = 0; w < WORKERS; w++) {
		mint(w, tag);
		mint((w + 1) % WORKERS, user);
		snprintf(to, sizeof(to), BOB ";x=y;tag=%s", tag);
		snprintf(uri, sizeof(uri), "sip:%s@example.com", user);
		for (unsigned c = 0; c < WORKERS; c++) {
			assert_int_equal(owner("BYE", uri, to, call_id_of(c)), w);
			assert_int_equal(owner("ACK", "sip:group1@example.com", to, call_id_of(c)),
					 w);
			assert_int_equal(owner("REGISTER", "sip:example.com", to, call_id_of(c)),
					 w);
			assert_int_equal(owner("SUBSCRIBE", uri, BOB, call_id_of(c)),
					 (w + 1) % WORKERS);
			assert_int_equal(owner("REGISTER", uri, BOB, call_id_of(c)),
					 (w + 1) % WORKERS);
		}
	}
}

/* RFC 3891: what is to be replaced lives where its tags were minted, whichever of them is ours. */
static void test_replaces_leads_to_the_session(void **state)
{
	char tag[MINTED_CHARS + 1], user[MINTED_CHARS + 1], text[1024];
	static const char *const formats[] = { "call;to-tag=%s;from-tag=x", "call;from-tag=%s;to-tag=x",
					       "call ; early-only;to-tag=%s", "call;to-tag=x%s", "%s" };

	mint(1, user);
	for (unsigned w = 0; w < WORKERS; w++)
		for (unsigned i = 0; i < 5; i++) {
			mint(w, tag);
			char replaces[256];
			snprintf(replaces, sizeof(replaces), "%.*s%s%s", (int)(strstr(formats[i], "%s") - formats[i]),
				 formats[i], tag, strstr(formats[i], "%s") + 2);
			snprintf(text, sizeof(text),
				 "INVITE sip:bob@example.com SIP/2.0\r\nTo: " BOB "\r\nCall-ID: %s\r\n"
				 "Replaces: %s\r\n\r\n",
				 call_id_of((w + 1) % WORKERS), replaces);
			CHECK(owner_of_text(text, WORKERS) == (int)(i < 3 ? w : (w + 1) % WORKERS), "%s\n", text);
			snprintf(text, sizeof(text),
				 "INVITE sip:%s@example.com SIP/2.0\r\nTo: " BOB "\r\nCall-ID: x\r\n"
				 "Replaces: %s\r\n\r\n",
				 user, replaces);
			assert_int_equal(owner_of_text(text, WORKERS), 1); /* our Contact comes first */
			snprintf(text, sizeof(text),
				 "INVITE sip:group7@example.com SIP/2.0\r\nTo: " BOB "\r\nCall-ID: x\r\n"
				 "Replaces: %s\r\n\r\n",
				 replaces);
			assert_int_equal(owner_of_text(text, WORKERS), sip_owner_of_name(SLICE("group7@example.com"), WORKERS));
		}
}

/* Strings that look minted and are not: another process, another number of workers, a damaged mark.
 */
static void test_foreign_strings_fall_through(void **state)
{
	char name[MINTED_CHARS + 1], bad[MINTED_CHARS + 4], to[128], uri[128];

	mint(2, name);
	for (unsigned i = 0; i < MINTED_CHARS + 3; i++) {
		memcpy(bad, name, sizeof(name));
		if (i < MINTED_CHARS)
			bad[i] = bad[i] == 'a' ? 'b' : 'a';
		else if (i == MINTED_CHARS)
			strcat(bad, "a");
		else if (i == MINTED_CHARS + 1)
			bad[MINTED_CHARS - 1] = 0;
		else
			bad[0] = (char)(bad[0] ^ 0x20); /* upper case */
		if (minted_worker(slice_str(bad)) >= 0)
			continue;
		snprintf(to, sizeof(to), BOB ";tag=%s", bad);
		snprintf(uri, sizeof(uri), "sip:%s@elsewhere.net", bad);
		for (unsigned c = 0; c < WORKERS; c++) {
			assert_int_equal(owner("BYE", "sip:x@elsewhere.net", to, call_id_of(c)), c);
			assert_int_equal(owner("BYE", uri, BOB, call_id_of(c)), c);
		}
	}
	minted_init(key, 2); /* that worker is not here any more */
	snprintf(to, sizeof(to), BOB ";tag=%s", name);
	for (unsigned c = 0; c < WORKERS; c++)
		assert_int_equal(owner("BYE", "sip:x@elsewhere.net", to, call_id_of(c)), c);
	minted_init((const uint8_t *)"another process!", WORKERS);
	for (unsigned c = 0; c < WORKERS; c++)
		assert_int_equal(owner("BYE", "sip:x@elsewhere.net", to, call_id_of(c)), c);
	minted_init(key, WORKERS);
}

/* Rule 3: one user, one owner, however it is written and whatever the Call-ID. */
static void test_variants_of_a_user_agree(void **state)
{
	static const char *const bob[] = {
		"sip:bob@example.com",        "sip:bob@EXAMPLE.com",
		"sip:bob@example.com:5060",   "sips:bob@example.com",
		"sip:%62ob@example.com",      "sip:bob@example.org",
		"sip:bob:secret@example.com", "sip:bob@example.com;transport=tcp",
		"sip:bob@127.0.0.1",          "sip:bob@127.0.0.1:5060",
		"sip:bob@store.example.com",  "sip:b%6Fb@example.org;user=ip?subject=x"
	};
	static const char *const phone[] = { "tel:+4930123",
					     "tel:+49-30-123",
					     "tel:+49(30)123;phone-context=x",
					     "sip:+4930123@example.com;user=phone",
					     "sip:+4930123@example.org;user=phone",
					     "sip:+4930123@example.com" };
	static const struct {
		const char *const *uris;
		size_t count;
		const char *canonical;
	} users[] = { { bob, sizeof(bob) / sizeof(bob[0]), "bob@example.com" },
		      { phone, sizeof(phone) / sizeof(phone[0]), "+4930123@example.com" } };

	for (size_t u = 0; u < 2; u++) {
		int want = (int)sip_owner_of_name(slice_str(users[u].canonical), WORKERS);
		for (size_t i = 0; i < users[u].count; i++) {
			for (unsigned c = 0; c < WORKERS; c++) {
				char to[256];
				snprintf(to, sizeof(to), "\"B\" <%s>", users[u].uris[i]);
				assert_int_equal(owner("REGISTER", "sip:example.com", to,
						       call_id_of(c)),
						 want);
				assert_int_equal(owner("REGISTER", "sip:elsewhere.net", to,
						       call_id_of(c)),
						 want);
				CHECK(owner("PUBLISH", users[u].uris[i], "<sip:x@y>",
					    call_id_of(c)) == want,
				      "PUBLISH %s\n", users[u].uris[i]);
				CHECK(owner("SUBSCRIBE", users[u].uris[i], "<sip:x@y>",
					    call_id_of(c)) == want,
				      "SUBSCRIBE %s\n", users[u].uris[i]);
			}
		}
	}
}

/* Rule 3 is for users and groups of ours: functions and others go by Call-ID. */
static void test_functions_and_others_go_by_call_id(void **state)
{
	static const char *const uris[] = { "sip:factory@example.com",
					    "sip:history@example.com",
					    "sip:Deferred@example.com",
					    "sip:deferred@example.org",
					    "sip:%66actory@example.com",
					    "sip:h%69story@example.com",
					    "sip:bob@elsewhere.net",
					    "sip:example.net",
					    "urn:x:y" };

	for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
		for (unsigned c = 0; c < WORKERS; c++)
			CHECK(owner("SUBSCRIBE", uris[i], BOB, call_id_of(c)) == (int)c, "%s\n",
			      uris[i]);
}

/* Any request to a name in the group namespace goes to the owner of the group. */
static void test_variants_of_a_group_agree(void **state)
{
	static const char *const methods[] = { "INVITE",  "SUBSCRIBE", "REFER",
					       "MESSAGE", "CANCEL",    "ACK" };
	static const char *const uris[] = { "sip:group7@example.com",
					    "sip:group7@EXAMPLE.org:5060;transport=udp",
					    "sip:%67roup7@example.com", "sip:grou%707@127.0.0.1" };
	int want = (int)sip_owner_of_name(SLICE("group7@example.com"), WORKERS);

	for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++)
		for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++)
			for (unsigned c = 0; c < WORKERS; c++)
				CHECK(owner(methods[m], uris[i], BOB, call_id_of(c)) == want,
				      "%s %s\n", methods[m], uris[i]);
	static const struct {
		const char *user;
		bool is_group;
	} users[] = { { "group", true },   { "grou", false }, { "Group1", false },
		      { "agroup", false }, { "abc", true },   { "axxbyyc", true },
		      { "abcbc", true },   { "ab", false },   { "acb", false },
		      { "abcd", false } };
	for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
		unsigned by_call_id = 0;
		for (unsigned c = 0; c < WORKERS; c++) {
			char uri[64];
			snprintf(uri, sizeof(uri), "sip:%s@example.com", users[i].user);
			by_call_id += owner("INVITE", uri, BOB, call_id_of(c)) == (int)c;
		}
		CHECK((by_call_id < WORKERS) == users[i].is_group, "%s\n", users[i].user);
	}
}

/* A name made to be matched again and again costs no more than its length. */
static void test_patterns_cost_no_power_of_the_text(void **state)
{
	static const struct slice stars[] = { { "*a*a*a*a*a*a*a*ab", 17 } };
	static char text[1024], user[480];
	struct sip_options starry = options;
	struct sip_limits limits = { 16384, 65536, 0 };
	struct sip_message m;
	size_t used;

	starry.group_patterns = stars;
	starry.group_pattern_count = 1;
	memset(user, 'a', sizeof(user) - 1);
	snprintf(text, sizeof(text),
		 "INVITE sip:%s@example.com SIP/2.0\r\nTo: <sip:x@y>\r\nCall-ID: x\r\n\r\n", user);
	assert_int_equal(sip_message_parse(&m, slice_str(text), &limits, SIP_DATAGRAM, &used),
			 SIP_PARSE_OK);
	clock_t begin = clock();
	(void)sip_owner_of(&m, &starry, WORKERS);
	assert_true(clock() - begin < CLOCKS_PER_SEC);
}

/* Responses: our branch and nothing else. */
static void test_responses(void **state)
{
	char name[MINTED_CHARS + 1], text[1024];
	static const char *const formats[] = {
		"SIP/2.0/UDP a;branch=z9hG4bK%s.00000000",
		"SIP/2.0/TCP a;rport;branch=z9hG4bK%s",
		"SIP/2.0/UDP a;branch=z9hG4bK%s, SIP/2.0/UDP b;branch=z9hG4bKother", /* not ours: */
		"SIP/2.0/UDP b;branch=z9hG4bKother, SIP/2.0/UDP a;branch=z9hG4bK%s",
		"SIP/2.0/UDP a;branch=%s",
		"SIP/2.0/UDP a;branch=z9hG4bKx%s",
		"SIP/2.0/UDP a;x=%s",
		"what %s"
	};

	for (unsigned w = 0; w < WORKERS; w++) {
		mint(w, name);
		for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
			char via[256];
			snprintf(via, sizeof(via), formats[i], name);
			snprintf(text, sizeof(text),
				 "SIP/2.0 200 OK\r\nVia: %s\r\nFrom: <sip:f@g>\r\nTo: " BOB "\r\n"
				 "Call-ID: x\r\nCSeq: 1 INVITE\r\n\r\n",
				 via);
			CHECK(owner_of_text(text, WORKERS) == (i < 3 ? (int)w : -1), "%s\n", via);
		}
	}
	assert_int_equal(owner_of_text("SIP/2.0 200 OK\r\nTo: " BOB "\r\n\r\n", WORKERS), -1);
}

/* Whatever is missing or too long, there is an owner. */
static void test_broken_requests_have_an_owner(void **state)
{
	static char text[8192], user[2000];

	assert_in_range(owner_of_text("INVITE sip:x SIP/2.0\r\n\r\n", WORKERS), 0, WORKERS - 1);
	assert_in_range(owner_of_text("REGISTER x SIP/2.0\r\nTo: <<>>\r\n\r\n", WORKERS), 0,
			WORKERS - 1);
	memset(user, 'u', sizeof(user) - 1);
	snprintf(text, sizeof(text),
		 "REGISTER sip:example.com SIP/2.0\r\nTo: <sip:%s@example.com>\r\nCall-ID: "
		 "x\r\n\r\n",
		 user);
	assert_in_range(owner_of_text(text, WORKERS), 0, WORKERS - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invite_cancel_and_ack_agree),
		cmocka_unit_test(test_minted_names_come_first),
		cmocka_unit_test(test_replaces_leads_to_the_session),
		cmocka_unit_test(test_foreign_strings_fall_through),
		cmocka_unit_test(test_variants_of_a_user_agree),
		cmocka_unit_test(test_functions_and_others_go_by_call_id),
		cmocka_unit_test(test_variants_of_a_group_agree),
		cmocka_unit_test(test_patterns_cost_no_power_of_the_text),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_broken_requests_have_an_owner),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
