/* load-tests/stored_message.c: the MESSAGE in what a server pushes. */
#include "load-tests/stored_message.h"
#include "tests/unit/test.h"

#define TYPE "multipart/mixed;boundary=\"b\""
#define MESSAGE "MESSAGE sip:b@x SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 2\r\n\r\nhi"
#define PART(type, text) "--b\r\nContent-Type: " type "\r\n\r\n" text "\r\n"

static const struct {
	const char *what, *type, *content, *wrong; /* NULL: the body is "hi" */
} cases[] = {
	{ "message/sip", TYPE, PART("message/sip", MESSAGE) "--b--", NULL },
	{ "message/sipfrag with parameters", TYPE, PART("Message/SIPFrag ;version=2.0", MESSAGE) "--b--\r\n",
	  NULL },
	{ "a boundary without quotes, behind another parameter",
	  "Multipart/Mixed; charset=\"x\" ; BOUNDARY=b",
	  PART("message/sip", MESSAGE) "--b--", NULL },
	{ "a preamble and an epilogue", TYPE, "x--b\r\n\r\n" PART("message/sip", MESSAGE) "--b--\r\n--b\r\nx",
	  NULL },
	{ "another header of the part", TYPE,
	  "--b\r\nContent-Transfer-Encoding: binary\r\nContent-Type: message/sip\r\n\r\n" MESSAGE "\r\n--b--", NULL },
	{ "no type", "", PART("message/sip", MESSAGE) "--b--", "content that is not multipart" },
	{ "another type", "text/plain;boundary=b", PART("message/sip", MESSAGE) "--b--",
	  "content that is not multipart" },
	{ "no boundary", "multipart/mixed", PART("message/sip", MESSAGE) "--b--",
	  "content that is not multipart" },
	{ "an empty boundary", "multipart/mixed;boundary=\"\"", PART("message/sip", MESSAGE) "--b--",
	  "content that is not multipart" },
	{ "a boundary of 71",
	  "multipart/mixed;boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
	  "x", "multipart/mixed without a boundary" },
	{ "nothing", TYPE, "", "multipart/mixed without a part" },
	{ "no part", TYPE, "--b--", "multipart/mixed without a part" },
	{ "a delimiter that is longer", TYPE, "--bc\r\nContent-Type: message/sip\r\n\r\n" MESSAGE "\r\n--b--",
	  "multipart/mixed without a part" },
	{ "a part without end", TYPE, PART("message/sip", MESSAGE), "multipart/mixed without an end" },
	{ "a head alone", TYPE, "--b\r\nContent-Type: message/sip\r\n", "multipart/mixed without a part" },
	{ "two parts", TYPE, PART("message/sip", MESSAGE) PART("message/sip", MESSAGE) "--b--",
	  "multipart/mixed of several" },
	{ "a part without type", TYPE, "--b\r\n\r\n" MESSAGE "\r\n--b--", "a part that is neither" },
	{ "a part of another type", TYPE, PART("message/cpim", MESSAGE) "--b--", "a part that is neither" },
	{ "a part that is no SIP", TYPE, PART("message/sip", "hi") "--b--", "a part that is no MESSAGE" },
	{ "another request", TYPE,
	  PART("message/sip", "INFO sip:b@x SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 INFO\r\n\r\n") "--b--", "a part that is no MESSAGE" },
	{ "more than its Content-Length", TYPE, PART("message/sip", MESSAGE "x") "--b--",
	  "a MESSAGE whose part goes on" },
};

static void the_message_is_found(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].content);
		char *copy = exact_copy(cases[i].content, n);
		struct sip_text m;
		const char *wrong = stored_message_parse(slice_str(cases[i].type), slice_of(copy, n), &m);
		CHECK(!wrong == !cases[i].wrong && (!wrong || !strncmp(wrong, cases[i].wrong, strlen(cases[i].wrong))),
			"%s: %s\n", cases[i].what, wrong ? wrong : "found");
		CHECK(wrong || slice_eq(m.body, SLICE("hi")), "%s: another body\n", cases[i].what);
		free(copy);
	}
}

/* Cut short anywhere it is told, and read no further than it goes. */
static void what_is_cut_short_is_wrong(void **state)
{
	static const char whole[] = "preamble\r\n" PART("message/sip", MESSAGE) "--b--";

	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char *copy = exact_copy(whole, n);
		struct sip_text m;
		CHECK(stored_message_parse(SLICE(TYPE), slice_of(copy, n), &m), "found in %zu octets\n", n);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_message_is_found),
		cmocka_unit_test(what_is_cut_short_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
