/* actors/pager_content.c: the body of a copy, without the list of those who get one. */
#include "actors/pager_content.h"

#include "sip/message.h"
#include "tests/unit/test.h"

#define MIXED "Content-Type: multipart/mixed;boundary=b7\r\nMIME-Version: 1.0\r\n"
#define LIST  "--b7\r\nContent-Type: application/resource-lists+xml\r\nContent-Disposition: recipient-list\r\n\r\n<l/>\r\n"
#define BARE  "--b7\r\nContent-Type: application/resource-lists+xml\r\n\r\n<l/>\r\n"
#define TEXT  "--b7\r\nContent-Type: text/plain;charset=utf-8\r\nX: y\r\nContent-ID: <1@x>\r\n\r\nhello\r\n"
#define HTML  "--b7\r\nContent-Type: text/html\r\n\r\n<b>\r\n\r\n</b>\r\n"
#define INNER(parts) "--b7\r\nContent-Type: multipart/mixed;boundary=i\r\n\r\n" parts "--i--\r\n"
#define END   "--b7--\r\n"

#define TEXT_LINES "Content-Type: text/plain;charset=utf-8\r\nContent-ID: <1@x>\r\n"

static const struct {
	const char *what, *head, *body;
	bool is_list;
	enum pager_content_verdict verdict;
	const char *lines, *left;
} cases[] = {
	{ "text and list", MIXED, TEXT LIST END, true, PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "list and text", MIXED, LIST TEXT END, true, PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "a preamble and an epilogue", MIXED, "pre\r\n" TEXT LIST END "epi", true, PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "a list without disposition", MIXED, TEXT BARE END, true, PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "which is content where no list is meant", MIXED, TEXT BARE END, false, PAGER_CONTENT_OK, MIXED, TEXT BARE END },
	{ "two others", MIXED, TEXT LIST HTML END, true, PAGER_CONTENT_OK, MIXED, TEXT HTML END },
	{ "the list first", MIXED, LIST TEXT HTML END, true, PAGER_CONTENT_OK, MIXED, TEXT HTML END },
	{ "the list last", MIXED, TEXT HTML LIST END, true, PAGER_CONTENT_OK, MIXED, TEXT HTML END },
	{ "two lists", MIXED, LIST TEXT LIST END, true, PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "a part without headers", MIXED, "--b7\r\n\r\nplain\r\n" LIST END, true, PAGER_CONTENT_OK, "Content-Type: text/plain\r\n",
		"plain" },
	{ "a folded header", MIXED, "--b7\r\nContent-Type:\r\n text/x\r\n\r\nt\r\n" LIST END, true, PAGER_CONTENT_OK,
		"Content-Type: text/x\r\n", "t" },
	{ "deeper", MIXED, INNER("--i\r\n\r\nin\r\n--i\r\nContent-Type: application/resource-lists+xml\r\n\r\n<l/>\r\n") END, true,
		PAGER_CONTENT_OK, "Content-Type: multipart/mixed;boundary=i\r\n", "--i\r\n\r\nin\r\n--i--" },
	{ "alone in a multipart", MIXED, TEXT INNER("--i\r\nContent-Type: application/resource-lists+xml\r\n\r\n<l/>\r\n") END, true,
		PAGER_CONTENT_OK, TEXT_LINES, "hello" },
	{ "too deep to be one", MIXED, INNER("--i\r\nContent-Type: multipart/mixed;boundary=j\r\n\r\n--j\r\n\r\nx\r\n--j--\r\n") END,
		true, PAGER_CONTENT_OK, MIXED,
		INNER("--i\r\nContent-Type: multipart/mixed;boundary=j\r\n\r\n--j\r\n\r\nx\r\n--j--\r\n") END },
	{ "no list", MIXED, "\r\n" TEXT END, true, PAGER_CONTENT_OK, MIXED, "\r\n" TEXT END },
	{ "no multipart", "Content-Type: text/plain\r\nContent-Disposition: render\r\n", "hi", false, PAGER_CONTENT_OK,
		"Content-Type: text/plain\r\nContent-Disposition: render\r\n", "hi" },
	{ "compact", "c: text/plain\r\ne: gzip\r\n", "hi", false, PAGER_CONTENT_OK, "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n",
		"hi" },
	{ "no body", "", "", false, PAGER_CONTENT_OK, "", "" },
	{ "only the list", "Content-Type: application/resource-lists+xml\r\n", "<l/>", true, PAGER_CONTENT_NONE, "", "" },
	{ "only the list in a multipart", MIXED, LIST END, true, PAGER_CONTENT_NONE, "", "" },
	{ "a boundary that is not there", "Content-Type: multipart/mixed;boundary=b8\r\n", TEXT END, true, PAGER_CONTENT_MALFORMED, "", "" },
	{ "which is nobody's business without list", "Content-Type: multipart/mixed;boundary=b8\r\n", TEXT END, false, PAGER_CONTENT_OK,
		"Content-Type: multipart/mixed;boundary=b8\r\n", TEXT END },
	{ "no end", MIXED, TEXT, true, PAGER_CONTENT_MALFORMED, "", "" },
};

static void contents(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sip_limits limits = { 8192, 8192, 0 };
		struct pager_content *content = NULL;
		struct sip_message m;
		char text[8192];
		size_t used;
		snprintf(text, sizeof(text), "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: %zu\r\n%s\r\n%s", strlen(cases[i].body),
			cases[i].head, cases[i].body);
		char *exact = strdup(text);
		assert_int_equal(sip_message_parse(&m, slice_str(exact), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
		enum pager_content_verdict verdict = pager_content_make(&content, &m, cases[i].is_list, 2);
		free(exact);
		CHECK(verdict == cases[i].verdict, "%s: %d\n", cases[i].what, verdict);
		if (verdict != PAGER_CONTENT_OK)
			continue;
		CHECK(slice_eq(content->lines, slice_str(cases[i].lines)), "%s: lines %.*s\n", cases[i].what, SLICE_ARG(content->lines));
		CHECK(slice_eq(content->body, slice_str(cases[i].left)), "%s: body %.*s\n", cases[i].what, SLICE_ARG(content->body));
		assert_int_equal(content->type.n > 0, content->lines.n > 0);
		pager_content_drop(pager_content_hold(content));
		pager_content_drop(content);
	}
	pager_content_drop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(contents) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
