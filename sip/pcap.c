#include "sip/pcap.h"

#include <netinet/in.h>

#define MAGIC     UINT32_C(0xa1b2c3d4)
#define LINK_RAW  101
#define IPV4_HEAD 20
#define IPV6_HEAD 40
#define UDP_HEAD  8
#define HOPS      64

/* The file's own numbers are in the order of the machine that wrote it, which the magic tells. */
static void put_own32(struct buffer *out, uint32_t value)
{
	buffer_put(out, slice_of((const char *)&value, sizeof(value)));
}

static void put_own16(struct buffer *out, uint16_t value)
{
	buffer_put(out, slice_of((const char *)&value, sizeof(value)));
}

static void put16(struct buffer *out, size_t value)
{
	buffer_char(out, (char)(value >> 8));
	buffer_char(out, (char)value);
}

void sip_pcap_write_head(struct buffer *out)
{
	put_own32(out, MAGIC);
	put_own16(out, 2);
	put_own16(out, 4);
	put_own32(out, 0);
	put_own32(out, 0);
	put_own32(out, SIP_PCAP_PACKET_MAX);
	put_own32(out, LINK_RAW);
}

/* RFC 1071, of an even number of octets. */
static uint32_t sum_of(const char *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)(unsigned char)p[i] << 8 | (unsigned char)p[i + 1];
	if (n % 2)
		sum += (uint32_t)(unsigned char)p[n - 1] << 8;
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static struct slice octets_of(const struct net_address *a)
{
	return a->any.sa_family == AF_INET6 ? slice_of((const char *)&a->v6.sin6_addr, 16) :
					      slice_of((const char *)&a->v4.sin_addr, 4);
}

static uint16_t port_of(const struct net_address *a)
{
	return ntohs(a->any.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

/* RFC 791, RFC 8200. */
static void put_ip(struct buffer *out, const struct sip_copy_ends *ends, size_t udp_n)
{
	char *head = out->p + out->n;

	if (ends->from.any.sa_family == AF_INET6) {
		buffer_lit(out, "\x60\0\0\0");
		put16(out, udp_n);
		buffer_char(out, IPPROTO_UDP);
		buffer_char(out, HOPS);
	} else {
		buffer_lit(out, "\x45\0");
		put16(out, IPV4_HEAD + udp_n);
		buffer_lit(out, "\0\0\x40\0"); /* not to be fragmented */
		buffer_char(out, HOPS);
		buffer_char(out, IPPROTO_UDP);
		put16(out, 0);
	}
	buffer_put(out, octets_of(&ends->from));
	buffer_put(out, octets_of(&ends->to));
	if (ends->from.any.sa_family == AF_INET6)
		return;
	uint16_t sum = checksum(sum_of(head, IPV4_HEAD, 0));
	head[10] = (char)(sum >> 8);
	head[11] = (char)sum;
}

void sip_pcap_write(struct buffer *out, uint64_t wall_us, const struct sip_copy_ends *ends, const struct sip_message *m)
{
	struct slice from = octets_of(&ends->from), to = octets_of(&ends->to);
	size_t heads = (from.n == 16 ? IPV6_HEAD : IPV4_HEAD) + UDP_HEAD, most = SIP_PCAP_PACKET_MAX - heads;
	size_t n = m->wire.n < most ? m->wire.n : most;

	if (out->size - out->n < 16 + heads + n) {
		out->overflow = true;
		return;
	}
	put_own32(out, (uint32_t)(wall_us / 1000000));
	put_own32(out, (uint32_t)(wall_us % 1000000));
	put_own32(out, (uint32_t)(heads + n));
	put_own32(out, (uint32_t)(heads + m->wire.n));
	put_ip(out, ends, UDP_HEAD + n);
	char *udp = out->p + out->n;
	put16(out, port_of(&ends->from));
	put16(out, port_of(&ends->to));
	put16(out, UDP_HEAD + n);
	put16(out, 0);
	out->n += sip_copy(out->p + out->n, n, m);
	/* RFC 768: with the addresses, the protocol and the length; one that comes out as none is written as all ones */
	uint16_t sum = checksum(sum_of(from.p, from.n, sum_of(to.p, to.n, sum_of(udp, UDP_HEAD + n,
		IPPROTO_UDP + (uint32_t)(UDP_HEAD + n)))));
	sum = sum ? sum : 0xffff;
	udp[6] = (char)(sum >> 8);
	udp[7] = (char)sum;
}
