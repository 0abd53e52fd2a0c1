/* load-tests/msrp_wire.c: what the load tool believes about a stream, cut at every octet. */
#include "load-tests/msrp_wire.h"
#include "tests/unit/test.h"

#define PATHS "To-Path: msrp://b:1/b;tcp\r\nFrom-Path: msrp://a:1/a;tcp\r\n"
#define HEAD                       \
	"MSRP a786 SEND\r\n" PATHS \
	"Message-ID: 12\r\nByte-Range: 3-4/9\r\nContent-Type: text/plain\r\n\r\n"

static const struct {
	const char *what, *wire, *want;
} cases[] = {
	{ "one chunk", HEAD "hi\r\n-------a786$\r\n", "SEND 12 3/9[hi]$ " },
	{ "a chunk that goes on", HEAD "hi\r\n-------a786+\r\n", "SEND 12 3/9[hi]+ " },
	{ "given up", HEAD "hi\r\n-------a786#\r\n", "SEND 12 3/9[hi]# " },
	{ "CR LF is content", HEAD "h\r\ni\r\r\n-------a786$\r\n", "SEND 12 3/9[h\r\ni\r]$ " },
	{ "end-line of another", HEAD "\r\n-------a787$\r\n-------a786$\r\n",
	  "SEND 12 3/9[\r\n-------a787$]$ " },
	{ "end-line without flag", HEAD "\r\n-------a786!\r\n-------a786$\r\n",
	  "SEND 12 3/9[\r\n-------a786!]$ " },
	{ "nothing between blank line and end", HEAD "\r\n-------a786$\r\n", "SEND 12 3/9[]$ " },
	{ "no content", "MSRP a786 SEND\r\n" PATHS "Message-ID: 12\r\n-------a786$\r\n",
	  "SEND 12 1/0$ " },
	{ "unknown total",
	  "MSRP a786 SEND\r\n" PATHS
	  "Message-ID: 7\r\nByte-Range: 1-*/*\r\n\r\nx\r\n-------a786$\r\n",
	  "SEND 7 1/0[x]$ " },
	{ "an answer", "MSRP a786 200 OK\r\n" PATHS "-------a786$\r\n", "200 " },
	{ "an answer without comment", "MSRP a786 481\r\n" PATHS "-------a786$\r\n", "481 " },
	{ "two in one read",
	  "MSRP a786 200 OK\r\n" PATHS "-------a786$\r\n" HEAD "hi\r\n-------a786$\r\n",
	  "200 SEND 12 3/9[hi]$ " },
	{ "not MSRP", "HTTP/1.1 200 OK\r\n", "bad:start line" },
	{ "transaction id too long", "MSRP 012345678901234567890123456789012 SEND\r\n",
	  "bad:start line" },
	{ "a request we never send", "MSRP a786 REPORT\r\n", "bad:start line" },
	{ "range from 0", "MSRP a786 SEND\r\nByte-Range: 0-4/9\r\n", "bad:Byte-Range" },
	{ "range that wraps", "MSRP a786 SEND\r\nByte-Range: 4294967297-4/9\r\n",
	  "bad:Byte-Range" },
	{ "line without CR", "MSRP a786 SEND\n", "bad:line without CR" },
	{ "answer with content", "MSRP a786 200 OK\r\n" PATHS "\r\n", "bad:response with content" },
};

/* Feeds an exact-size copy; returns the octets consumed. */
static size_t feed(struct wire_parser *p, const char *wire, size_t n, char *got)
{
	char *copy = exact_copy(wire, n);
	struct slice in = slice_of(copy, n);

	for (;;) {
		char *at = got + strlen(got);
		switch (wire_next(p, &in)) {
		case WIRE_MORE:
			free(copy);
			return n - in.n;
		case WIRE_RESPONSE:
			sprintf(at, "%u ", p->status);
			break;
		case WIRE_SEND:
			sprintf(at, "SEND %.*s %llu/%llu", SLICE_ARG(p->message_id),
				(unsigned long long)p->range_start,
				(unsigned long long)p->range_total);
			if (p->has_body)
				strcat(at, "[");
			else
				sprintf(at + strlen(at), "%c ", p->flag);
			break;
		case WIRE_BODY:
			sprintf(at, "%.*s", SLICE_ARG(p->body));
			break;
		case WIRE_END:
			sprintf(at, "]%c ", p->flag);
			break;
		case WIRE_BAD:
			sprintf(at, "bad:%s", p->bad);
			free(copy);
			return n;
		}
	}
}

static void every_case_cut_at_every_octet(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = strlen(cases[i].wire);
		for (size_t cut = 0; cut <= n; cut++) {
			struct wire_parser p = { 0 };
			char got[1024] = "";
			size_t used = feed(&p, cases[i].wire, cut, got);
			if (!strstr(got, "bad:"))
				feed(&p, cases[i].wire + used, n - used, got);
			CHECK(!strcmp(got, cases[i].want),
			      "%s, cut at %zu: got \"%s\", want \"%s\"\n", cases[i].what, cut, got,
			      cases[i].want);
		}
	}
}

static void a_head_has_a_limit(void **state)
{
	static char wire[WIRE_HEAD_MAX + 2];
	struct wire_parser p = { 0 };
	struct slice in = slice_of(wire, WIRE_HEAD_MAX);

	memset(wire, 'x', sizeof(wire));
	memcpy(wire, "MSRP a786 SEND\r\nX: ", 19);
	assert_int_equal(wire_next(&p, &in), WIRE_MORE);
	in = slice_of(wire, WIRE_HEAD_MAX + 1);
	assert_int_equal(wire_next(&p, &in), WIRE_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_cut_at_every_octet),
		cmocka_unit_test(a_head_has_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
