#include "sip/stun.h"

#define HEAD_OCTETS        20
#define COOKIE_AT          4
#define BINDING_REQUEST    0x0001
#define BINDING_SUCCESS    0x0101
#define XOR_MAPPED_ADDRESS 0x0020
#define OPTIONAL           0x8000 /* an attribute that may be ignored */

static const unsigned char cookie[4] = { 0x21, 0x12, 0xa4, 0x42 };

static unsigned number16(const char *p)
{
	return (unsigned)(unsigned char)p[0] << 8 | (unsigned char)p[1];
}

static void put16(char *p, unsigned n)
{
	p[0] = (char)(n >> 8);
	p[1] = (char)n;
}

bool sip_stun_is(struct slice datagram)
{
	return datagram.n >= HEAD_OCTETS && (datagram.p[0] & 0xc0) == 0 &&
	       memcmp(datagram.p + COOKIE_AT, cookie, sizeof(cookie)) == 0;
}

/* Nothing in it that would have to be understood (RFC 8489 14). */
static bool is_plain(struct slice attributes)
{
	while (attributes.n >= 4) {
		size_t whole = 4 + ((number16(attributes.p + 2) + 3u) & ~3u);
		if (number16(attributes.p) < OPTIONAL || whole > attributes.n)
			return false;
		attributes = slice_skip(attributes, whole);
	}
	return attributes.n == 0;
}

size_t sip_stun_answer(struct slice datagram, const struct net_address *from, char answer[SIP_STUN_ANSWER_MAX])
{
	bool is_v6 = from->any.sa_family == AF_INET6;
	const char *address = is_v6 ? (const char *)&from->v6.sin6_addr : (const char *)&from->v4.sin_addr;
	const char *port = is_v6 ? (const char *)&from->v6.sin6_port : (const char *)&from->v4.sin_port;
	size_t address_n = is_v6 ? 16 : 4;

	if (!sip_stun_is(datagram) || number16(datagram.p) != BINDING_REQUEST ||
	    number16(datagram.p + 2) != datagram.n - HEAD_OCTETS || !is_plain(slice_skip(datagram, HEAD_OCTETS)))
		return 0;
	put16(answer, BINDING_SUCCESS);
	put16(answer + 2, (unsigned)(8 + address_n));
	memcpy(answer + COOKIE_AT, datagram.p + COOKIE_AT, HEAD_OCTETS - COOKIE_AT); /* the cookie and the id */
	char *attribute = answer + HEAD_OCTETS;
	put16(attribute, XOR_MAPPED_ADDRESS);
	put16(attribute + 2, (unsigned)(4 + address_n));
	put16(attribute + 4, is_v6 ? 2 : 1);
	for (size_t i = 0; i < 2; i++)
		attribute[6 + i] = (char)(port[i] ^ answer[COOKIE_AT + i]);
	for (size_t i = 0; i < address_n; i++) /* an IPv6 address by cookie and id, which follow each other */
		attribute[8 + i] = (char)(address[i] ^ answer[COOKIE_AT + i]);
	return HEAD_OCTETS + 8 + address_n;
}
