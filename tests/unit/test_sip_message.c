#include "tests/unit/test.h"

#include <glob.h>
#include <libgen.h>

#include "sip/header.h"
#include "sip/message.h"

#define VIA  "Via: SIP/2.0/TCP h.example;branch=z9hG4bKx\r\n"
#define IDS  "From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: c1\r\nCSeq: 7 MESSAGE\r\n"
#define REQ_LINE "MESSAGE sip:b@h SIP/2.0\r\n"
#define HEAD REQ_LINE VIA IDS
#define OK_LINE "SIP/2.0 200 OK\r\n"

static const struct sip_limits limits = { .header_bytes = 1024, .body_bytes = 64, .headers = 16 };

static const char *const verdict_names[] = {
	[SIP_PARSE_OK] = "ok",       [SIP_PARSE_MORE] = "more",
	[SIP_PARSE_KEEPALIVE] = "crlf", [SIP_PARSE_PING] = "ping",
	[SIP_PARSE_BAD_400] = "400", [SIP_PARSE_TOO_LARGE_413] = "413",
	[SIP_PARSE_TOO_LARGE_513] = "513", [SIP_PARSE_HEADERS_513] = "headers",
	[SIP_PARSE_VERSION_505] = "505", [SIP_PARSE_DROP] = "drop",
};

/* "ok MESSAGE[body] ", "400(Bad Header Line) ", "drop! " where ! says that the stream is lost. */
static void render(char *got, const struct sip_message *m, enum sip_verdict verdict)
{
	char *at = got + strlen(got);

	at += sprintf(at, "%s", verdict_names[verdict]);
	if (verdict == SIP_PARSE_OK && m->is_request)
		at += sprintf(at, " %.*s[%.*s]", SLICE_ARG(m->method_name), SLICE_ARG(m->body));
	else if (verdict == SIP_PARSE_OK)
		at += sprintf(at, " %u[%.*s]", m->status, SLICE_ARG(m->body));
	else if (verdict == SIP_PARSE_BAD_400)
		at += sprintf(at, "(%s)", m->error);
	if (verdict != SIP_PARSE_KEEPALIVE && verdict != SIP_PARSE_PING && !m->framed)
		at += sprintf(at, "!");
	sprintf(at, " ");
}

static bool is_lost(enum sip_verdict verdict, const struct sip_message *m)
{
	return verdict >= SIP_PARSE_BAD_400 && !m->framed;
}

/* ---- streams ---- */

static const struct {
	const char *what, *wire, *want;
} streams[] = {
	{ "one message", HEAD "Content-Length: 2\r\n\r\nhi", "ok MESSAGE[hi] " },
	{ "no body", HEAD "Content-Length: 0\r\n\r\n", "ok MESSAGE[] " },
	{ "compact forms", REQ_LINE "v: SIP/2.0/TCP h;branch=z9hG4bKx\r\n"
	  "f: <sip:a@h>\r\nt: <sip:b@h>\r\ni: c\r\nCSeq: 1 MESSAGE\r\nl: 1\r\n\r\nx",
	  "ok MESSAGE[x] " },
	{ "response", OK_LINE VIA IDS "Content-Length: 1\r\n\r\nx", "ok 200[x] " },
	{ "no reason phrase", "SIP/2.0 100 \r\n" VIA IDS "Content-Length: 0\r\n\r\n", "ok 100[] " },
	{ "not even its blank", "SIP/2.0 100\r\n" VIA IDS "Content-Length: 0\r\n\r\n", "ok 100[] " },
	{ "two in a row",
	  HEAD "Content-Length: 1\r\n\r\na" OK_LINE VIA IDS "Content-Length: 1\r\n\r\nb",
	  "ok MESSAGE[a] ok 200[b] " },
	{ "CRLF before the start line", "\r\n" HEAD "Content-Length: 0\r\n\r\n", "crlf ok MESSAGE[] " },
	{ "ping", "\r\n\r\n", "crlf ping " },
	{ "two pings and a message", "\r\n\r\n\r\n\r\n" HEAD "l:0\r\n\r\n",
	  "crlf ping crlf ping ok MESSAGE[] " },
	{ "folded header", HEAD "Subject: a\r\n  b\r\n\tc\r\nContent-Length: 0\r\n\r\n",
	  "ok MESSAGE[] " },
	{ "folded length", HEAD "Content-Length:\r\n 1\r\n\r\nx", "ok MESSAGE[x] " },
	{ "blank before the colon", HEAD "Content-Length \t: 1\r\n\r\nx", "ok MESSAGE[x] " },
	{ "body that looks like one", HEAD "Content-Length: 4\r\n\r\n\r\n\r\n", "ok MESSAGE[\r\n\r\n] " },
	{ "body with NUL is the body's business", HEAD "Content-Length: 0\r\n\r\n", "ok MESSAGE[] " },
	{ "no length", HEAD "\r\n", "400(No Content-Length)! " },
	{ "length -1", HEAD "Content-Length: -1\r\n\r\n", "400(Bad Content-Length)! " },
	{ "length 2^32", HEAD "Content-Length: 4294967296\r\n\r\n", "400(Bad Content-Length)! " },
	{ "length 2^32+32", HEAD "Content-Length: 4294967328\r\n\r\n", "400(Bad Content-Length)! " },
	{ "length 2^64+1", HEAD "Content-Length: 18446744073709551617\r\n\r\n",
	  "400(Bad Content-Length)! " },
	{ "length with a sign", HEAD "Content-Length: +1\r\n\r\nx", "400(Bad Content-Length)! " },
	{ "length in hex", HEAD "Content-Length: 0x1\r\n\r\nx", "400(Bad Content-Length)! " },
	{ "empty length", HEAD "Content-Length:\r\n\r\n", "400(Bad Content-Length)! " },
	{ "same length twice", HEAD "Content-Length: 1\r\nl: 01\r\n\r\nx", "ok MESSAGE[x] " },
	{ "two lengths", HEAD "Content-Length: 1\r\nl: 2\r\n\r\nx",
	  "400(Two Different Content-Lengths)! " },
	{ "list of lengths", HEAD "Content-Length: 1, 1\r\n\r\nx", "400(Bad Content-Length)! " },
	{ "body at the limit", HEAD "Content-Length: 64\r\n\r\n"
	  "0123456789012345678901234567890123456789012345678901234567890123",
	  "ok MESSAGE[0123456789012345678901234567890123456789012345678901234567890123] " },
	{ "body above it", HEAD "Content-Length: 65\r\n\r\n", "413! " },
	{ "wrong, but the stream goes on", HEAD "Nonsense\r\nl: 1\r\n\r\nx" HEAD "l: 0\r\n\r\n",
	  "400(Bad Header Line) ok MESSAGE[] " },
	{ "line without a name", HEAD ": x\r\nl: 0\r\n\r\n", "400(Bad Header Line) " },
	{ "fold of nothing", REQ_LINE " x\r\n" VIA IDS "l: 0\r\n\r\n", "400(Bad Header Line) " },
	{ "LF alone", HEAD "Subject: a\nl: 0\r\n\r\n", "400(CR or LF Alone)! " },
	{ "LF alone all over", "MESSAGE sip:b@h SIP/2.0\nVia: x\nl: 0\n\n", "400(CR or LF Alone)! " },
	{ "CR alone", HEAD "Subject: a\rb\r\nl: 0\r\n\r\n", "400(CR or LF Alone)! " },
	{ "other version", "MESSAGE sip:b@h SIP/7.0\r\n" VIA IDS "l: 0\r\n\r\n", "505 " },
	{ "version is no number", "MESSAGE sip:b@h SIP/x\r\n" VIA IDS "l: 0\r\n\r\n",
	  "400(Bad SIP Version) " },
	{ "version in lower case", "MESSAGE sip:b@h sip/2.0\r\n" VIA IDS "l: 0\r\n\r\n",
	  "ok MESSAGE[] " },
	{ "two blanks", "MESSAGE  sip:b@h SIP/2.0\r\n" VIA IDS "l: 0\r\n\r\n",
	  "400(Bad Request Line) " },
	{ "blank at the end", "MESSAGE sip:b@h SIP/2.0 \r\n" VIA IDS "l: 0\r\n\r\n",
	  "400(Bad Request Line) " },
	{ "no URI", "MESSAGE SIP/2.0\r\n" VIA IDS "l: 0\r\n\r\n", "drop! " },
	{ "URI in <>", "MESSAGE <sip:b@h> SIP/2.0\r\n" VIA IDS "l: 0\r\n\r\n",
	  "400(Bad Request Line) " },
	{ "unknown method", "FOO sip:b@h SIP/2.0\r\n" VIA IDS "l: 0\r\n\r\n", "ok FOO[] " },
	{ "methods have a case", "message sip:b@h SIP/2.0\r\n" VIA IDS "l: 0\r\n\r\n",
	  "ok message[] " },
	{ "wrong without Via", REQ_LINE IDS "Nonsense\r\nl: 0\r\n\r\n", "drop " },
	{ "wrong ACK", "ACK sip:b@h SIP/2.0\r\n" VIA IDS "Nonsense\r\nl: 0\r\n\r\n", "drop " },
	{ "wrong response", OK_LINE VIA IDS "Nonsense\r\nl: 0\r\n\r\n", "drop " },
	{ "status 99", "SIP/2.0 099 x\r\n" VIA IDS "l: 0\r\n\r\n", "drop " },
	{ "status 700", "SIP/2.0 700 x\r\n" VIA IDS "l: 0\r\n\r\n", "drop " },
	{ "status too long", "SIP/2.0 4294967496 x\r\n" VIA IDS "l: 0\r\n\r\n", "drop " },
	{ "HTTP", "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "drop! " },
	{ "MSRP", "MSRP a786 SEND\r\n\r\n", "drop! " },
	{ "TLS", "\x16\x03\x01", "drop! " },
	{ "LF first", "\n", "drop! " },
};

/* All there is to get of `in`; returns what was consumed. */
static size_t feed(struct sip_framer *framer, const char *p, size_t n, char *got, bool *lost)
{
	static struct sip_message m;
	size_t used, all = 0;

	while (!*lost) {
		char *copy = exact_copy(p + all, n - all);
		struct slice in = slice_of(copy, n - all);
		enum sip_verdict verdict = sip_stream_parse(framer, &m, in, &limits, &used);

		assert_true(used <= n - all);
		if (verdict == SIP_PARSE_MORE) {
			assert_int_equal(used, 0);
			free(copy);
			break;
		}
		render(got, &m, verdict);
		*lost = is_lost(verdict, &m);
		assert_true(used > 0);
		free(copy);
		all += used;
	}
	return all;
}

static void test_streams(void **state)
{
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		const char *wire = streams[i].wire;
		size_t n = strlen(wire);

		for (size_t cut = 0; cut <= n; cut++) { /* as TCP might deliver it */
			struct sip_framer framer = { 0 };
			char got[1024] = "";
			bool lost = false;
			size_t used = feed(&framer, wire, cut, got, &lost);
			feed(&framer, wire + used, n - used, got, &lost);
			CHECK(!strcmp(got, streams[i].want), "%s, cut at %zu: got \"%s\"\n",
			      streams[i].what, cut, got);
		}
	}
}

static void test_streams_octet_by_octet(void **state)
{
	for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
		struct sip_framer framer = { 0 };
		char got[1024] = "";
		bool lost = false;
		size_t n = strlen(streams[i].wire), used = 0;

		for (size_t end = 1; end <= n && !lost; end++)
			used += feed(&framer, streams[i].wire + used, end - used, got, &lost);
		CHECK(!strcmp(got, streams[i].want), "%s: got \"%s\"\n", streams[i].what, got);
	}
}

static void test_framer_says_what_it_needs(void **state)
{
	static struct sip_message m;
	const char wire[] = HEAD "Content-Length: 20\r\n\r\n0123";
	struct sip_framer framer = { 0 };
	size_t used, head = strlen(wire) - 4;

	assert_int_equal(sip_stream_parse(&framer, &m, slice_str(wire), &limits, &used),
			 SIP_PARSE_MORE);
	assert_int_equal(sip_framer_need(&framer), head + 20);
}

/* ---- datagrams ---- */

static const struct {
	const char *what, *wire, *want;
} datagrams[] = {
	{ "one message", HEAD "Content-Length: 2\r\n\r\nhi", "ok MESSAGE[hi] " },
	{ "surplus octets", HEAD "Content-Length: 2\r\n\r\nhigh", "ok MESSAGE[hi] " },
	{ "no length", HEAD "\r\nhigh", "ok MESSAGE[high] " },
	{ "length beyond the end", HEAD "Content-Length: 3\r\n\r\nhi",
	  "400(Content-Length Beyond the Datagram) " },
	{ "length 2^32+2", HEAD "Content-Length: 4294967298\r\n\r\nhi",
	  "400(Bad Content-Length) " },
	{ "length -1", HEAD "Content-Length: -1\r\n\r\nhi", "400(Bad Content-Length) " },
	{ "two lengths", HEAD "l: 1\r\nl: 2\r\n\r\nhi", "400(Two Different Content-Lengths) " },
	{ "CRLFs first", "\r\n\r\n\r\n" HEAD "\r\n", "ok MESSAGE[] " },
	{ "only CRLFs", "\r\n\r\n", "crlf " },
	{ "empty", "", "crlf " },
	{ "no end of headers", HEAD, "400(Headers Without End) " },
	{ "no end of a header", HEAD "Subject: x", "400(Headers Without End) " },
	{ "response without end", OK_LINE VIA IDS, "drop " },
	{ "no line at all", "MESSAGE sip:b@h SIP/2.0", "drop " },
	{ "STUN", "\x01\x01", "drop " },
};

static void test_datagrams(void **state)
{
	static struct sip_message m;

	for (size_t i = 0; i < sizeof(datagrams) / sizeof(datagrams[0]); i++) {
		size_t used, n = strlen(datagrams[i].wire);
		char got[1024] = "", *copy = exact_copy(datagrams[i].wire, n);
		enum sip_verdict verdict =
			sip_message_parse(&m, slice_of(copy, n), &limits, SIP_DATAGRAM, &used);

		render(got, &m, verdict);
		CHECK(!strcmp(got, datagrams[i].want), "%s: got \"%s\"\n", datagrams[i].what, got);
		CHECK(used == n, "%s: used %zu of %zu\n", datagrams[i].what, used, n);
		free(copy);
	}
}

static void test_cut_datagrams_are_never_whole(void **state)
{
	static struct sip_message m;
	const char wire[] = HEAD "Content-Length: 2\r\n\r\nhi";

	for (size_t cut = 1; cut < strlen(wire); cut++) {
		char *copy = exact_copy(wire, cut);
		size_t used;
		enum sip_verdict verdict =
			sip_message_parse(&m, slice_of(copy, cut), &limits, SIP_DATAGRAM, &used);

		CHECK(verdict == SIP_PARSE_BAD_400 || verdict == SIP_PARSE_DROP, "cut at %zu: %s\n",
		      cut, verdict_names[verdict]);
		free(copy);
	}
}

static void test_nul_in_a_header(void **state)
{
	static struct sip_message m;
	const char wire[] = HEAD "Subject: a\0b\r\nl: 0\r\n\r\n";
	size_t used;

	assert_int_equal(sip_message_parse(&m, slice_of(wire, sizeof(wire) - 1), &limits,
					   SIP_DATAGRAM, &used),
			 SIP_PARSE_BAD_400);
	const char quoted[] = HEAD "Subject: \"\\\0\"\r\nl: 0\r\n\r\n";
	assert_int_equal(sip_message_parse(&m, slice_of(quoted, sizeof(quoted) - 1), &limits,
					   SIP_DATAGRAM, &used),
			 SIP_PARSE_OK);
	const char body[] = HEAD "l: 3\r\n\r\na\0b";
	assert_int_equal(sip_message_parse(&m, slice_of(body, sizeof(body) - 1), &limits,
					   SIP_STREAM, &used),
			 SIP_PARSE_OK);
	assert_int_equal(m.body.n, 3);
}

/* ---- limits ---- */

static enum sip_verdict parse_filled(struct sip_message *m, size_t head_n, enum sip_framing framing)
{
	static char wire[4096];
	size_t used, n = (size_t)sprintf(wire, HEAD "l: 0\r\nSubject: ");

	while (n < head_n - 4)
		wire[n++] = 'x';
	memcpy(wire + n, "\r\n\r\n", 4);
	char *copy = exact_copy(wire, head_n);
	enum sip_verdict verdict =
		sip_message_parse(m, slice_of(copy, head_n), &limits, framing, &used);
	free(copy);
	return verdict;
}

static void test_head_at_its_limit(void **state)
{
	static struct sip_message m;

	assert_int_equal(parse_filled(&m, 1024, SIP_DATAGRAM), SIP_PARSE_OK);
	assert_int_equal(parse_filled(&m, 1025, SIP_DATAGRAM), SIP_PARSE_TOO_LARGE_513);
	assert_int_equal(parse_filled(&m, 1024, SIP_STREAM), SIP_PARSE_OK);
	assert_int_equal(parse_filled(&m, 1025, SIP_STREAM), SIP_PARSE_TOO_LARGE_513);
	assert_false(m.framed);
	assert_true(m.first[SIP_HDR_CALL_ID]);
}

static void test_endless_head_is_bounded(void **state)
{
	static struct sip_message m;
	static char wire[1026] = HEAD "Subject: ";
	struct sip_framer framer = { 0 };
	size_t used;

	memset(wire + strlen(wire), 'x', sizeof(wire) - 1 - strlen(wire));
	assert_int_equal(sip_stream_parse(&framer, &m, slice_of(wire, 1024), &limits, &used),
			 SIP_PARSE_MORE);
	assert_int_equal(sip_stream_parse(&framer, &m, slice_of(wire, 1025), &limits, &used),
			 SIP_PARSE_TOO_LARGE_513);
	assert_true(m.first[SIP_HDR_VIA] && m.first[SIP_HDR_CSEQ]);
}

static enum sip_verdict parse_vias(struct sip_message *m, unsigned count, unsigned most, char **wire)
{
	struct sip_limits wide = { .header_bytes = 1 << 20, .body_bytes = 64, .headers = most };
	size_t used, n = 0;

	*wire = malloc(count * 64 + 1024);
	n += (size_t)sprintf(*wire + n, REQ_LINE);
	for (unsigned i = 0; i < count; i++)
		n += (size_t)sprintf(*wire + n, "Via: SIP/2.0/UDP h%u;branch=z9hG4bK%u\r\n", i, i);
	n += (size_t)sprintf(*wire + n, IDS "\r\n");
	return sip_message_parse(m, slice_of(*wire, n), &wide, SIP_DATAGRAM, &used);
}

static void test_number_of_headers(void **state)
{
	static struct sip_message m;
	static const struct {
		unsigned vias, most;
		enum sip_verdict want;
	} rows[] = {
		{ 6, 10, SIP_PARSE_OK },
		{ 7, 10, SIP_PARSE_HEADERS_513 },
		{ SIP_HEADERS_MOST - 4, 0, SIP_PARSE_OK },
		{ SIP_HEADERS_MOST - 3, 0, SIP_PARSE_HEADERS_513 },
		{ SIP_HEADERS_MOST - 3, 100000, SIP_PARSE_HEADERS_513 },
		{ 10000, 0, SIP_PARSE_HEADERS_513 },
	};
	char *wire;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum sip_verdict verdict = parse_vias(&m, rows[i].vias, rows[i].most, &wire);
		CHECK(verdict == rows[i].want, "%u Via: %s\n", rows[i].vias, verdict_names[verdict]);
		/* and it can be answered */
		assert_true(slice_eq(sip_header_value(&m, SIP_HDR_VIA),
				     SLICE("SIP/2.0/UDP h0;branch=z9hG4bK0")));
		assert_true(slice_eq(sip_header_value(&m, SIP_HDR_CALL_ID), SLICE("c1")));
		assert_true(slice_eq(sip_header_value(&m, SIP_HDR_CSEQ), SLICE("7 MESSAGE")));
		assert_true(m.first[SIP_HDR_FROM] && m.first[SIP_HDR_TO]);
		free(wire);
	}
}

/* ---- the index ---- */

static void test_names(void **state)
{
	for (unsigned id = SIP_HDR_OTHER + 1; id < SIP_HDR_COUNT; id++) {
		const char *name = sip_header_name((enum sip_header_id)id);
		char other[64];

		for (size_t i = 0; i <= strlen(name); i++)
			other[i] = (char)(i % 2 ? name[i] & ~0x20 : name[i] | 0x20);
		CHECK(sip_header_id_of(slice_str(name)) == id, "%s is not found\n", name);
		if (!strchr(name, '-'))
			CHECK(sip_header_id_of(slice_of(other, strlen(name))) == id,
			      "%s has a case\n", name);
		/* one octet more or less is another header */
		if (strlen(name) > 2) /* but "T" is "To" */
			CHECK(sip_header_id_of(slice_of(name, strlen(name) - 1)) != id, "%s\n", name);
	}
	assert_int_equal(sip_header_id_of(SLICE("To\x01")), SIP_HDR_OTHER);
	assert_int_equal(sip_header_id_of(SLICE("[o")), SIP_HDR_OTHER);
	assert_int_equal(sip_header_id_of(SLICE("V")), SIP_HDR_VIA);
	assert_int_equal(sip_header_id_of(SLICE("X")), SIP_HDR_SESSION_EXPIRES);
	assert_int_equal(sip_header_id_of(SLICE("z")), SIP_HDR_OTHER);
	assert_int_equal(sip_header_id_of(SLICE("")), SIP_HDR_OTHER);
	for (unsigned i = 0; i < SIP_METHOD_OTHER; i++)
		assert_int_equal(sip_method_of(slice_str(sip_method_name((enum sip_method)i))), i);
	assert_int_equal(sip_method_of(SLICE("invite")), SIP_METHOD_OTHER);
}

static void test_tokens(void **state)
{
	static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "-.!%*_+`'~";

	for (unsigned c = 0; c < 256; c++) {
		char octet = (char)c;
		CHECK(sip_is_token(slice_of(&octet, 1)) == (c && strchr(token, (int)c) != NULL),
		      "octet %u\n", c);
	}
	assert_false(sip_is_token(SLICE_EMPTY));
}

static void test_index(void **state)
{
	static struct sip_message m;
	const char wire[] = HEAD "Route: <sip:r1>\r\nX-Other: 1\r\nROUTE:<sip:r2>,\r\n <sip:r3>\r\n"
				 "Route:\t<sip:r4> \r\nl: 0\r\n\r\n";
	size_t used;

	assert_int_equal(sip_message_parse(&m, slice_str(wire), &limits, SIP_STREAM, &used),
			 SIP_PARSE_OK);
	assert_int_equal(used, strlen(wire));
	assert_int_equal(m.method, SIP_MESSAGE);
	assert_true(slice_eq(m.uri, SLICE("sip:b@h")));
	assert_int_equal(m.header_count, 10);
	const struct sip_header *h = sip_header_first(&m, SIP_HDR_ROUTE);
	assert_true(slice_eq(h->value, SLICE("<sip:r1>")));
	h = sip_header_next(&m, h);
	assert_true(slice_eq(h->value, SLICE("<sip:r2>,\r\n <sip:r3>")));
	h = sip_header_next(&m, h);
	assert_true(slice_eq(h->value, SLICE("<sip:r4>")));
	assert_null(sip_header_next(&m, h));
	assert_null(sip_header_first(&m, SIP_HDR_CONTACT));
	assert_null(sip_header_value(&m, SIP_HDR_CONTACT).p);
	assert_int_equal(m.headers[6].id, SIP_HDR_OTHER);
}

/* ---- RFC 4475 ---- */

/* What framing, the mandatory headers and nothing else say.  Files not listed are fine: what is
 * wrong with some of them (URI scheme, Require, body) is found by those who look at that. */
static const struct {
	const char *name, *want;
} torture[] = {
	{ "badaspec", "Bad To" },
	{ "baddn", "400" }, /* the file ends before its blank line */
	{ "badinv01", "Bad Via" },
	{ "badvers", "505" },
	{ "bigcode", "drop" },
	{ "clerr", "400" },
	{ "insuf", "Missing From" },
	{ "ltgtruri", "400" },
	{ "lwsruri", "400" },
	{ "lwsstart", "400" },
	{ "mcl01", "400" },
	{ "mismatch01", "CSeq Method Mismatch" },
	{ "mismatch02", "CSeq Method Mismatch" },
	{ "multi01", "Two From Headers" },
	{ "ncl", "400" },
	{ "quotbal", "Bad To" },
	{ "regbadct", "Bad Contact" },
	{ "scalar02", "Bad CSeq" },
	{ "scalarlg", "Bad CSeq" },
	{ "trws", "400" },
};

static const char *torture_want(const char *name)
{
	for (size_t i = 0; i < sizeof(torture) / sizeof(torture[0]); i++)
		if (!strncmp(name, torture[i].name, strlen(torture[i].name)) &&
		    name[strlen(torture[i].name)] == '.')
			return torture[i].want;
	return "ok";
}

static const char *judge(struct slice wire)
{
	static struct sip_message m;
	struct sip_limits wide = { .header_bytes = 65536, .body_bytes = 65536 };
	size_t used;
	enum sip_verdict verdict = sip_message_parse(&m, wire, &wide, SIP_DATAGRAM, &used);
	const char *why = NULL;

	if (verdict == SIP_PARSE_OK)
		why = m.is_request ? sip_request_check(&m) : sip_response_check(&m);
	return why ? why : verdict_names[verdict];
}

static void test_rfc4475(void **state)
{
	char pattern[4096], here[2048];
	const char *given = getenv("IMSERV_SHARED_DATA");
	glob_t files;
	unsigned differ = 0;

	snprintf(here, sizeof(here), "%s", __FILE__);
	if (given)
		snprintf(pattern, sizeof(pattern), "%s/rfc4475/*.dat", given);
	else
		snprintf(pattern, sizeof(pattern), "%s/../../../shared/data/rfc4475/*.dat",
			 dirname(here));
	if (glob(pattern, 0, NULL, &files))
		skip();
	assert_int_equal(files.gl_pathc, 49);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		static char text[65536];
		FILE *f = fopen(files.gl_pathv[i], "rb");
		assert_non_null(f);
		size_t n = fread(text, 1, sizeof(text), f);
		fclose(f);
		char *copy = exact_copy(text, n), *name = basename(files.gl_pathv[i]);
		const char *got = judge(slice_of(copy, n));
		if (strcmp(got, torture_want(name))) {
			print_error("%s: got \"%s\"\n", name, got);
			differ++;
		}
		free(copy);
	}
	globfree(&files);
	assert_int_equal(differ, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_streams_octet_by_octet),
		cmocka_unit_test(test_framer_says_what_it_needs),
		cmocka_unit_test(test_datagrams),
		cmocka_unit_test(test_cut_datagrams_are_never_whole),
		cmocka_unit_test(test_nul_in_a_header),
		cmocka_unit_test(test_head_at_its_limit),
		cmocka_unit_test(test_endless_head_is_bounded),
		cmocka_unit_test(test_number_of_headers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_rfc4475),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
