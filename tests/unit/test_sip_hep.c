#include "sip/hep.h"

#include "core/buffer.h"
#include "tests/unit/test.h"

#define HEAD(lines)                                                                                             \
	"MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"               \
	"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\nCSeq: 1 MESSAGE\r\n" lines

/* The head that all cases begin with is copied as it is. */
static const struct {
	const char *what, *rest, *want;
} copies[] = {
	{ "content", "Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nse\r\ncret\n",
	  "Content-Type: text/plain\r\nContent-Length: 9\r\n\r\nxx\r\nxxxx\n" },
	{ "a description", "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n",
	  "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n" },
	{ "the compact form", "c: Application/SDP;x=y\r\nl: 5\r\n\r\nv=0\r\n", "c: Application/SDP;x=y\r\nl: 5\r\n\r\nv=0\r\n" },
	{ "no type", "Content-Length: 3\r\n\r\nabc", "Content-Length: 3\r\n\r\nxxx" },
	{ "credentials", "Authorization: Digest username=\"al\", response=\"5e\" ,nc=00000001, opaque=\"\"\r\n\r\n",
	  "Authorization: Digest username=\"xx\", response=\"xx\" ,nc=xxxxxxxx, opaque=\"\"\r\n\r\n" },
	{ "of another kind", "Authorization: Basic dXNlcjpwdw==\r\nContent-Length: 0\r\n\r\n",
	  "Authorization: xxxxx xxxxxxxxxxxx\r\nContent-Length: 0\r\n\r\n" },
	{ "quotes in quotes", "Authorization: Digest a=\"x\\\"y\", b=\"s,t\"\r\n\r\n",
	  "Authorization: Digest a=\"xxxx\", b=\"xxx\"\r\n\r\n" },
	{ "a quote that does not end", "Authorization: Digest a=\"s, b=t\r\nSubject: y\r\n\r\n",
	  "Authorization: Digest a=\"xx xxx\r\nSubject: y\r\n\r\n" },
	{ "what is no parameter", "Authorization: Digest secret, a b=c, =d, a=\"b\"secret, e=f\r\n\r\n",
	  "Authorization: Digest xxxxxx, x xxx, xx, a=\"x\"xxxxxx, e=x\r\n\r\n" },
	{ "in small letters with a fold", "proxy-authorization : digest a=1\r\n ,response=\r\n\t\"5e\"\r\nSubject: x y\r\n\r\n",
	  "proxy-authorization : digest a=x\r\n ,response=\r\n\t\"xx\"\r\nSubject: x y\r\n\r\n" },
	{ "a fold without anything does not end them", "Authorization: a\r\n \r\n b\r\nContent-Length: 0\r\n\r\n",
	  "Authorization: x\r\n \r\n x\r\nContent-Length: 0\r\n\r\n" },
	{ "what is no credentials", "WWW-Authenticate: Digest nonce=\"1\"\r\nX-Authorization: 1\r\nContent-Length: 0\r\n\r\n",
	  "WWW-Authenticate: Digest nonce=\"1\"\r\nX-Authorization: 1\r\nContent-Length: 0\r\n\r\n" },
};

static struct sip_message parse(struct slice wire)
{
	struct sip_limits limits = { wire.n + 1, wire.n + 1, 0 };
	struct sip_message m;
	size_t used;

	(void)sip_message_parse(&m, wire, &limits, SIP_DATAGRAM, &used);
	return m;
}

static void copies_have_no_secrets(void **state)
{
	for (size_t i = 0; i < sizeof(copies) / sizeof(copies[0]); i++) {
		char text[1024];
		struct buffer out = buffer_over(text, sizeof(text));
		buffer_lit(&out, HEAD(""));
		buffer_str(&out, copies[i].rest);
		char *wire = exact_copy(text, out.n), *copy = malloc(out.n);
		struct sip_message m = parse(slice_of(wire, out.n));

		assert_int_equal(sip_copy(copy, out.n, &m), out.n);
		CHECK(slice_eq(slice_skip(slice_of(copy, out.n), sizeof(HEAD("")) - 1), slice_str(copies[i].want)),
			"%s: %.*s\n", copies[i].what, (int)out.n, copy);
		assert_memory_equal(copy, HEAD(""), sizeof(HEAD("")) - 1);
		for (size_t n = 0; n < out.n; n++) { /* cut anywhere, it tells no more */
			char *less = malloc(n ? n : 1);
			assert_int_equal(sip_copy(less, n, &m), n);
			for (size_t at = 0; at < n; at++)
				assert_true(less[at] == copy[at] || less[at] == SIP_COPY_FILLER);
			free(less);
		}
		free(copy);
		free(wire);
	}
}

/* A message that is refused for the number of its headers: the last ones are in no index. */
static void credentials_behind_all_headers_are_found(void **state)
{
	static char text[65536], copy[65536];
	struct buffer out = buffer_over(text, sizeof(text));

	buffer_lit(&out, HEAD(""));
	for (unsigned i = 0; i < 500; i++)
		buffer_lit(&out, "X: y\r\n");
	buffer_lit(&out, "Authorization: secret\r\nContent-Length: 6\r\n\r\nhidden");
	struct sip_message m = parse(buffer_slice(&out));
	size_t n = sip_copy(copy, sizeof(copy) - 1, &m);
	copy[n] = 0;
	assert_int_equal(n, out.n);
	assert_null(strstr(copy, "secret"));
	assert_null(strstr(copy, "hidden"));
}

static struct net_address v4(uint32_t host, uint16_t port)
{
	return (struct net_address){ .v4 = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host) } };
}

#define WIRE HEAD("Content-Length: 2\r\n\r\nab")

static struct sip_hep_packet packet_of(const struct sip_message *m)
{
	return (struct sip_hep_packet){ .ends = { v4(0xc0000201, 5070), v4(0xc0000202, 5060), false },
		.wall_us = UINT64_C(1767322985006789), .capture_id = 0x01020304, .message = m };
}

static void a_packet_is_as_the_protocol_says(void **state)
{
	static const char want[] =
		"HEP3\0\0"
		"\0\0\0\1\0\7\2" "\0\0\0\2\0\7\x11"
		"\0\0\0\3\0\12\xc0\0\2\1" "\0\0\0\4\0\12\xc0\0\2\2"
		"\0\0\0\7\0\10\x13\xce" "\0\0\0\10\0\10\x13\xc4"
		"\0\0\0\11\0\12\x69\x57\x35\x69" "\0\0\0\12\0\12\0\0\x1a\x85"
		"\0\0\0\13\0\7\1" "\0\0\0\14\0\12\1\2\3\4"
		"\0\0\0\21\0\10" "c1" "\0\0\0\17";
	struct sip_message m = parse(SLICE(WIRE));
	struct sip_hep_packet packet = packet_of(&m);
	char text[2048];
	size_t n = sip_hep_write(text, sizeof(text), &packet), fixed = sizeof(want) - 1;

	assert_int_equal((unsigned char)text[4] << 8 | (unsigned char)text[5], n);
	text[4] = text[5] = 0;
	assert_memory_equal(text, want, fixed);
	assert_int_equal((unsigned char)text[fixed] << 8 | (unsigned char)text[fixed + 1], 6 + sizeof(WIRE) - 1);
	assert_int_equal(n, fixed + 2 + sizeof(WIRE) - 1);
	assert_memory_equal(text + fixed + 2, WIRE, sizeof(WIRE) - 3);
	assert_memory_equal(text + n - 2, "xx", 2);
}

static void a_packet_of_ipv6_and_streams(void **state)
{
	struct sip_message m = parse(SLICE(WIRE));
	struct sip_hep_packet packet = packet_of(&m);
	char text[2048];

	packet.ends = (struct sip_copy_ends){ .is_stream = true };
	packet.ends.from.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr.s6_addr = { [15] = 7 } };
	packet.ends.to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr.s6_addr = { [15] = 8 } };
	assert_true(sip_hep_write(text, sizeof(text), &packet) > sizeof(WIRE));
	assert_memory_equal(text + 6, "\0\0\0\1\0\7\12\0\0\0\2\0\7\6\0\0\0\5\0\26", 20);
	assert_int_equal(text[6 + 20 + 15], 7);
	assert_memory_equal(text + 6 + 20 + 16, "\0\0\0\6\0\26", 6);
}

static void what_does_not_fit_is_cut(void **state)
{
	struct sip_message m = parse(SLICE(WIRE));
	struct sip_hep_packet packet = packet_of(&m);
	char whole[2048];
	size_t n = sip_hep_write(whole, sizeof(whole), &packet), least = n - (sizeof(WIRE) - 1);

	for (size_t size = 0; size < n; size++) {
		char *text = malloc(size ? size : 1);
		size_t used = sip_hep_write(text, size, &packet);
		assert_int_equal(used, size < least ? 0 : size);
		if (used) {
			assert_int_equal((unsigned char)text[4] << 8 | (unsigned char)text[5], size);
			assert_memory_equal(text + least, whole + least, size - least);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_have_no_secrets),
		cmocka_unit_test(credentials_behind_all_headers_are_found),
		cmocka_unit_test(a_packet_is_as_the_protocol_says),
		cmocka_unit_test(a_packet_of_ipv6_and_streams),
		cmocka_unit_test(what_does_not_fit_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
