#include "tests/unit/test.h"

#include "actors/virtual_user_agent.h"

#define HEAD "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\na=session-wide:x\r\n" \
	"m=message 9 TCP/MSRP *\r\n"

/* D1-22, D2-45: what those who are invited are told of the inviter's description. */
static const struct {
	const char *what, *said;
	uint64_t most;
	const char *want;
} cases[] = {
	{ "what is ours or written anew", "a=accept-types:text/plain\r\na=path:msrp://a:1/b;tcp\r\na=setup:actpass\r\n"
		"a=connection:new\r\na=sendonly\r\na=msrp-cema\r\na=fingerprint:SHA-256 AB\r\na=crypto:1 x\r\na=chatroom:nickname\r\n"
		"a=SetUp:active\r\n", 0, "" },
	{ "what describes a file", "a=file-selector:name:\"a:b.jpg\" size:10\r\na=file-transfer-id:x1\r\na=filesize:10\r\n"
		"a=file-icon:cid:i@a\r\n", 0, "a=file-selector:name:\"a:b.jpg\" size:10\r\na=file-transfer-id:x1\r\na=filesize:10\r\n"
		"a=file-icon:cid:i@a\r\n" },
	{ "what nobody knows", "a=future\r\na=x:y\r\nb=AS:1\r\ni=text\r\n", 0, "a=future\r\na=x:y\r\n" },
	{ "the smaller size", "a=max-size:5000\r\n", 4000, "a=max-size:4000\r\n" },
	{ "his size", "a=max-size:5000\r\n", 6000, "a=max-size:5000\r\n" },
	{ "any size of ours", "a=max-size:5000\r\n", 0, "a=max-size:5000\r\n" },
	{ "a size that is none", "a=max-size:much\r\n", 10, "" },
	{ "what may be wrapped", "a=accept-wrapped-types:text/plain *\r\na=x\r\n", 0,
		"a=x\r\na=accept-wrapped-types:text/plain *\r\n" },
	{ "bare line ends", "a=one\na=two\n", 0, "a=one\r\na=two\r\n" },
};

static void test_copied_attributes(void **state)
{
	char text[1024], room[1024];
	struct sdp sdp;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buffer out = buffer_over(room, sizeof(room));
		snprintf(text, sizeof(text), HEAD "%s", cases[i].said);
		assert_int_equal(sdp_parse(&sdp, slice_str(text)), SDP_OK);
		virtual_user_agent_copy_attributes(&out, &sdp.media[0], cases[i].most);
		CHECK(slice_eq(buffer_slice(&out), slice_str(cases[i].want)), "%s: got \"%.*s\"\n", cases[i].what,
			SLICE_ARG(buffer_slice(&out)));
	}
	struct buffer tight = buffer_over(room, 10);
	snprintf(text, sizeof(text), HEAD "a=longer-than-that\r\n");
	assert_int_equal(sdp_parse(&sdp, slice_str(text)), SDP_OK);
	virtual_user_agent_copy_attributes(&tight, &sdp.media[0], 0);
	assert_true(tight.overflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_copied_attributes) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
