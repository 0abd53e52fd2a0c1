/* What one side of a session calls things, as the other side knows them (D1-15). */
#include "actors/session_names.h"

#include "sip/header.h"
#include "tests/unit/test.h"

#define A_CONTACT "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B_CONTACT "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char text_a[] = "call-a" "us-a" "alice" "sip:alice@10.0.0.1:5062;transport=tcp";
static char text_b[] = "call-b@x" "us-b" "bob" "sip:bob@10.0.0.2";
static struct sip_dialog dialog_a = { .text = text_a, .call_id_n = 6, .local_tag_n = 4, .remote_tag_n = 5,
	.target_n = 37 };
static struct sip_dialog dialog_b = { .text = text_b, .call_id_n = 8, .local_tag_n = 4, .remote_tag_n = 3,
	.target_n = 16 };
static struct session session;

static const char *mapped(struct side *from, enum sip_header_id id, const char *value)
{
	static char text[2048];
	struct buffer out = buffer_over(text, sizeof(text) - 1);

	session.a.session = session.b.session = &session;
	session.a.dialog = &dialog_a;
	session.b.dialog = &dialog_b;
	memcpy(session.a.contact, A_CONTACT, MINTED_CHARS);
	memcpy(session.b.contact, B_CONTACT, MINTED_CHARS);
	session_map_value(&out, from, id, slice_str(value));
	text[out.n] = 0;
	return text;
}

static void test_dialog_identifiers(void **state)
{
	static const struct {
		enum sip_header_id id;
		const char *a, *b;
	} both_ways[] = {
		{ SIP_HDR_REPLACES, "call-a;to-tag=us-a;from-tag=alice", "call-b@x;to-tag=bob;from-tag=us-b" },
		{ SIP_HDR_REPLACES, "call-a;from-tag=alice;x=1;to-tag=us-a;early-only",
			"call-b@x;from-tag=us-b;x=1;to-tag=bob;early-only" },
		{ SIP_HDR_REPLACES, "call-a;to-tag=alice;from-tag=us-a", "call-b@x;to-tag=us-b;from-tag=bob" },
		{ SIP_HDR_TARGET_DIALOG, "call-a;local-tag=alice;remote-tag=us-a",
			"call-b@x;local-tag=us-b;remote-tag=bob" },
	};
	static const char *const others[] = { "call-c;to-tag=us-a;from-tag=alice", "call-a;to-tag=us-a;from-tag=bob",
		"call-a;to-tag=us-a", "call-a", "", ";;;" };

	for (size_t i = 0; i < sizeof(both_ways) / sizeof(both_ways[0]); i++) {
		assert_string_equal(mapped(&session.a, both_ways[i].id, both_ways[i].a), both_ways[i].b);
		assert_string_equal(mapped(&session.b, both_ways[i].id, both_ways[i].b), both_ways[i].a);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_string_equal(mapped(&session.a, SIP_HDR_REPLACES, others[i]), others[i]);
}

static void test_refer_to(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{ "<sip:" A_CONTACT "@us:5060;transport=tcp;method=BYE>", "<sip:bob@10.0.0.2;method=BYE>" },
		{ "sip:" A_CONTACT "@us", "<sip:bob@10.0.0.2>" },
		{ "\"B, b\" <sip:" A_CONTACT "@us>;x=y", "\"B, b\" <sip:bob@10.0.0.2>;x=y" },
		{ "<sip:" A_CONTACT "@us?Replaces=call-a%3Bto-tag%3Dus-a%3bfrom-tag=alice&Subject=%20a>",
			"<sip:bob@10.0.0.2?Replaces=call-b%40x%3Bto-tag%3Dbob%3Bfrom-tag%3Dus-b&Subject=%20a>" },
		{ "<sip:carol@home?Replaces=other%3Bto-tag%3D1%3Bfrom-tag%3D2>",
			"<sip:carol@home?Replaces=other%3Bto-tag%3D1%3Bfrom-tag%3D2>" },
		{ "<sip:alice@10.0.0.9:5062>", "<sip:alice@10.0.0.9:5062>" },
		{ "<tel:+123>", "<tel:+123>" },
		{ "<cid:list@x>", "<cid:list@x>" },
		{ "<sip:", "<sip:" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(mapped(&session.a, SIP_HDR_REFER_TO, cases[i].value), cases[i].want);
	assert_string_equal(mapped(&session.b, SIP_HDR_REFER_TO, "<sip:" B_CONTACT "@us;transport=udp>"),
			    "<sip:alice@10.0.0.1:5062;transport=tcp>");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialog_identifiers),
		cmocka_unit_test(test_refer_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
