/* sip/record_route.c: what we wrote for that Call-ID is read again, everything else is nobody's. */
#include "core/minted.h"
#include "sip/record_route.h"
#include "tests/unit/sip_world.h"

static struct sip_message parse(const char *text)
{
	struct sip_limits limits = { 16384, 65536, 0 };
	struct sip_message m;
	size_t used;

	assert_int_equal(sip_message_parse(&m, slice_str(text), &limits, SIP_DATAGRAM, &used), SIP_PARSE_OK);
	return m;
}

static struct sip_record example(void)
{
	struct sip_record record = { .asker_tag = 0x12345678, .pass = 0xfedcba98,
		.asker = { true, { .protocol = SIP_TLS, .listener = 3, .worker = 258, .slot = 70000, .generation = 0xffffffff } },
		.asked = { true, { .protocol = SIP_UDP } } };

	record.asker.flow.peer.v6.sin6_family = AF_INET6;
	record.asker.flow.peer.v6.sin6_port = htons(5061);
	record.asker.flow.peer.v6.sin6_addr = in6addr_loopback;
	record.asked.flow.peer.v4.sin_family = AF_INET;
	record.asked.flow.peer.v4.sin_port = htons(65535);
	record.asked.flow.peer.v4.sin_addr.s_addr = htonl(0x7f000001);
	return record;
}

static void use_key(uint8_t first)
{
	uint8_t key[16] = { first };

	minted_init(key, 4);
}

static void test_written_and_read(void **state)
{
	struct sip_record record = example(), got;
	char text[SIP_RECORD_CHARS];
	struct buffer out = buffer_over(text, sizeof(text));

	use_key(1);
	sip_record_write(&out, &record, SLICE("a@b"));
	assert_false(out.overflow);
	assert_true(sip_record_read(buffer_slice(&out), SLICE("a@b"), &got));
	assert_int_equal(got.asker_tag, record.asker_tag);
	assert_int_equal(got.pass, record.pass);
	assert_true(got.asker.has_flow && got.asked.has_flow);
	assert_true(sip_flow_equal(&got.asker.flow, &record.asker.flow));
	assert_true(sip_flow_equal(&got.asked.flow, &record.asked.flow));
	assert_memory_equal(&got.asker.flow.peer.v6, &record.asker.flow.peer.v6, sizeof(struct sockaddr_in6));
	assert_int_equal(got.asker.flow.listener, 3);
	record.asked.has_flow = false; /* core.next_hop */
	out.n = 0;
	sip_record_write(&out, &record, SLICE("a@b"));
	assert_true(sip_record_read(buffer_slice(&out), SLICE("a@b"), &got));
	assert_false(got.asked.has_flow);
}

/* The longest there is: two IPv6 addresses. */
static void test_fits(void **state)
{
	struct sip_record record = example();
	char text[SIP_RECORD_CHARS];
	struct buffer out = buffer_over(text, sizeof(text));

	use_key(1);
	record.asked = record.asker;
	sip_record_write(&out, &record, SLICE("a@b"));
	assert_false(out.overflow);
	assert_int_equal(out.n, SIP_RECORD_CHARS);
	assert_true(sip_record_read(buffer_slice(&out), SLICE("a@b"), NULL));
}

static void test_nothing_else_is_read(void **state)
{
	struct sip_record record = example();
	char text[SIP_RECORD_CHARS + 2] = { 0 };
	struct buffer out = buffer_over(text, SIP_RECORD_CHARS);

	use_key(1);
	sip_record_write(&out, &record, SLICE("a@b"));
	assert_false(sip_record_read(buffer_slice(&out), SLICE("a@c"), NULL));
	assert_false(sip_record_read(buffer_slice(&out), SLICE_EMPTY, NULL));
	for (size_t n = 0; n < out.n; n++) { /* cut anywhere */
		char *cut = exact_copy(text, n);
		assert_false(sip_record_read(slice_of(cut, n), SLICE("a@b"), NULL));
		free(cut);
	}
	for (size_t i = 0; i < out.n; i++) { /* changed anywhere */
		char was = text[i];
		static const char others[] = "0123456789abcdefgAF%@ ";
		for (const char *c = others; *c; c++) {
			text[i] = *c;
			CHECK(sip_record_read(buffer_slice(&out), SLICE("a@b"), NULL) == (*c == was), "%c at %zu\n", *c, i);
		}
		text[i] = was;
	}
	memcpy(text + out.n, "00", 2);
	assert_false(sip_record_read(slice_of(text, out.n + 2), SLICE("a@b"), NULL));
	use_key(2); /* another process */
	assert_false(sip_record_read(buffer_slice(&out), SLICE("a@b"), NULL));
}

static bool is_found(const char *format, const char *user)
{
	char text[2048];

	snprintf(text, sizeof(text), format, user);
	struct sip_message m = parse(text);
	struct slice found = sip_record_of(&m, NULL);
	assert_true(found.n == 0 || slice_eq(found, slice_str(user)));
	return found.n > 0;
}

/* The topmost Route or, from a strict router, the Request-URI (RFC 3261 16.4). */
static void test_where_it_is_looked_for(void **state)
{
	struct sip_record record = example();
	char user[SIP_RECORD_CHARS + 1] = { 0 };
	struct buffer out = buffer_over(user, SIP_RECORD_CHARS);

	use_key(1);
	sip_record_write(&out, &record, SLICE("a@b"));
	assert_true(is_found("NOTIFY sip:x@y SIP/2.0\r\nCall-ID: a@b\r\nRoute: <sip:%s@h:1;lr>, <sip:z>\r\n\r\n", user));
	assert_true(is_found("NOTIFY sip:%s@h;lr SIP/2.0\r\nCall-ID: a@b\r\nRoute: <sip:x@y>\r\n\r\n", user));
	assert_false(is_found("NOTIFY sip:x@y SIP/2.0\r\nCall-ID: a@c\r\nRoute: <sip:%s@h:1;lr>\r\n\r\n", user));
	assert_false(is_found("NOTIFY sip:x@y SIP/2.0\r\nCall-ID: a@b\r\nRoute: <sip:z;lr>, <sip:%s@h;lr>\r\n\r\n", user));
	assert_false(is_found("NOTIFY sip:x@y SIP/2.0\r\nCall-ID: a@b\r\nX: <sip:%s@h;lr>\r\n\r\n", user));
	assert_false(is_found("NOTIFY sip:x@y SIP/2.0\r\nCall-ID: a@b\r\nRoute: %s\r\n\r\n", "<sip:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_fits),
		cmocka_unit_test(test_nothing_else_is_read),
		cmocka_unit_test(test_where_it_is_looked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
