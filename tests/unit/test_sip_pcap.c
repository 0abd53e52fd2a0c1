#include "sip/pcap.h"

#include "tests/unit/test.h"

#define WIRE                                                                                          \
	"MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"     \
	"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\n"       \
	"CSeq: 1 MESSAGE\r\nContent-Length: 3\r\n\r\nabc"

static struct sip_message parse(struct slice wire)
{
	struct sip_limits limits = { wire.n + 1, wire.n + 1, 0 };
	struct sip_message m;
	size_t used;

	(void)sip_message_parse(&m, wire, &limits, SIP_DATAGRAM, &used);
	return m;
}

static struct sip_copy_ends ends_v4(void)
{
	struct sip_copy_ends ends = { .is_stream = true };

	ends.from.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(5070),
		.sin_addr.s_addr = htonl(0xc0000201) };
	ends.to.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(5060),
		.sin_addr.s_addr = htonl(0xc0000202) };
	return ends;
}

static uint32_t own32(const char *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return value;
}

static unsigned net16(const char *p)
{
	return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static unsigned folded(const char *p, size_t n, unsigned sum)
{
	for (size_t i = 0; i < n; i++)
		sum += (unsigned)(unsigned char)p[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void a_file_begins_with_its_head(void **state)
{
	char text[24];
	struct buffer out = buffer_over(text, sizeof(text));

	sip_pcap_write_head(&out);
	assert_int_equal(out.n, 24);
	assert_int_equal(own32(text), 0xa1b2c3d4);
	assert_int_equal(own32(text + 16), 65535);
	assert_int_equal(own32(text + 20), 101);
}

static void records_are_datagrams_with_right_sums(void **state)
{
	for (unsigned v6 = 0; v6 < 2; v6++) {
		size_t ip = v6 ? 40 : 20, n = 16 + ip + 8 + sizeof(WIRE) - 1;
		struct sip_message m = parse(SLICE(WIRE));
		struct sip_copy_ends ends = ends_v4();
		char *text = malloc(n);
		struct buffer out = buffer_over(text, n);
		if (v6) {
			ends.from.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(5070),
				.sin6_addr.s6_addr = { 0x20, [15] = 7 } };
			ends.to.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons(5060),
				.sin6_addr.s6_addr = { 0x20, [15] = 8 } };
		}
		sip_pcap_write(&out, 1000007, &ends, &m);
		assert_false(out.overflow);
		assert_int_equal(out.n, n);
		assert_int_equal(own32(text), 1);
		assert_int_equal(own32(text + 4), 7);
		assert_int_equal(own32(text + 8), n - 16);
		assert_int_equal(own32(text + 12), n - 16);
		const char *packet = text + 16, *udp = packet + ip;
		assert_int_equal((unsigned char)packet[0], v6 ? 0x60 : 0x45);
		assert_int_equal(net16(packet + (v6 ? 4 : 2)), v6 ? n - 16 - 40 : n - 16);
		if (!v6)
			assert_int_equal(folded(packet, 20, 0), 0xffff);
		assert_int_equal(net16(udp), 5070);
		assert_int_equal(net16(udp + 2), 5060);
		assert_int_equal(net16(udp + 4), n - 16 - ip);
		unsigned pseudo = folded(packet + (v6 ? 8 : 12), v6 ? 32 : 8, 17 + net16(udp + 4));
		assert_int_equal(folded(udp, net16(udp + 4), pseudo), 0xffff);
		assert_memory_equal(udp + 8, WIRE, sizeof(WIRE) - 4);
		assert_memory_equal(text + n - 3, "xxx", 3);
		out = buffer_over(text, n - 1);
		sip_pcap_write(&out, 0, &ends, &m);
		assert_true(out.overflow);
		assert_int_equal(out.n, 0);
		free(text);
	}
}

static void what_no_datagram_holds_is_cut(void **state)
{
	size_t n = 100000;
	char *wire = calloc(1, n), *text = malloc(SIP_PCAP_RECORD_MAX);
	struct sip_message m = { .wire = slice_of(wire, n) };
	struct sip_copy_ends ends = ends_v4();
	struct buffer out = buffer_over(text, SIP_PCAP_RECORD_MAX);

	memset(wire, 'a', n);
	sip_pcap_write(&out, 0, &ends, &m);
	assert_int_equal(out.n, SIP_PCAP_RECORD_MAX);
	assert_int_equal(own32(text + 8), SIP_PCAP_PACKET_MAX);
	assert_int_equal(own32(text + 12), n + 28);
	assert_int_equal(net16(text + 18), SIP_PCAP_PACKET_MAX);
	free(wire);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_begins_with_its_head),
		cmocka_unit_test(records_are_datagrams_with_right_sums),
		cmocka_unit_test(what_no_datagram_holds_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
