#include "config/address.h"

#include <arpa/inet.h>
#include <ctype.h>

#define IPV4_MAPPED "\0\0\0\0\0\0\0\0\0\0\xff\xff" /* ::ffff:0:0/96, RFC 4291 2.5.5.2 */

/* inet_pton wants a terminated text. */
static bool number_parse(int family, struct slice text, void *octets)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.n == 0 || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return inet_pton(family, copy, octets) == 1;
}

bool address_parse(struct slice text, struct sockaddr_storage *address)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct slice host, rest;
	uint64_t port;

	if (slice_starts(text, SLICE("["))) {
		host = slice_cut(slice_skip(text, 1), ']', &rest);
		if (!number_parse(AF_INET6, host, &v6.sin6_addr) || !slice_starts(rest, SLICE(":")))
			return false;
		rest = slice_skip(rest, 1);
	} else {
		host = slice_cut(text, ':', &rest);
		if (!number_parse(AF_INET, host, &v4.sin_addr))
			return false;
	}
	if (rest.n > 5 || !slice_u64(rest, 65535, &port))
		return false;
	*address = (struct sockaddr_storage){ 0 };
	v4.sin_port = v6.sin6_port = htons((uint16_t)port);
	if (text.p[0] == '[')
		memcpy(address, &v6, sizeof(v6));
	else
		memcpy(address, &v4, sizeof(v4));
	return true;
}

static bool has_bits_beyond(const struct network *n)
{
	unsigned size = n->family == AF_INET ? 4 : 16;

	for (unsigned bit = n->bits; bit < size * 8; bit++)
		if (n->octets[bit / 8] & (0x80 >> bit % 8))
			return true;
	return false;
}

bool network_parse(struct slice text, struct network *network)
{
	struct network n = { 0 };
	struct slice bits, address = slice_cut(text, '/', &bits);
	uint64_t value;

	if (number_parse(AF_INET, address, n.octets))
		n.family = AF_INET;
	else if (number_parse(AF_INET6, address, n.octets))
		n.family = AF_INET6;
	else
		return false;
	value = n.family == AF_INET ? 32 : 128;
	if (bits.p && (bits.n > 3 || !slice_u64(bits, value, &value)))
		return false;
	n.bits = (unsigned)value;
	if (has_bits_beyond(&n))
		return false;
	*network = n;
	return true;
}

static bool octets_of(const struct sockaddr *address, int *family, uint8_t octets[16])
{
	if (address->sa_family == AF_INET) {
		*family = AF_INET;
		memcpy(octets, &((const struct sockaddr_in *)address)->sin_addr, 4);
		return true;
	}
	if (address->sa_family != AF_INET6)
		return false;
	*family = AF_INET6;
	memcpy(octets, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
	if (memcmp(octets, IPV4_MAPPED, 12) == 0) {
		*family = AF_INET;
		memmove(octets, octets + 12, 4);
	}
	return true;
}

static bool network_has(const struct network *n, int family, const uint8_t octets[16])
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;

	if (n->family != family || memcmp(n->octets, octets, whole) != 0)
		return false;
	return rest == 0 || ((n->octets[whole] ^ octets[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

bool network_list_has(const struct network_list *networks, const struct sockaddr *address)
{
	uint8_t octets[16];
	int family;

	if (!octets_of(address, &family, octets))
		return false;
	for (unsigned i = 0; i < networks->count; i++)
		if (network_has(&networks->list[i], family, octets))
			return true;
	return false;
}

bool address_is_loopback(const struct sockaddr *address)
{
	static const uint8_t one[16] = { [15] = 1 };
	uint8_t octets[16];
	int family;

	if (!octets_of(address, &family, octets))
		return false;
	return family == AF_INET ? octets[0] == 127 : memcmp(octets, one, 16) == 0;
}

static bool label_is_valid(struct slice label)
{
	if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!isalnum((unsigned char)label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return true;
}

bool host_is_valid(struct slice text)
{
	struct slice rest = text;
	uint8_t octets[16];
	bool is_number = true;

	if (slice_starts(text, SLICE("[")))
		return text.n > 2 && text.p[text.n - 1] == ']' &&
		       number_parse(AF_INET6, slice_of(text.p + 1, text.n - 2), octets);
	if (text.n == 0 || text.n > 253)
		return false;
	do {
		struct slice label = slice_cut(rest, '.', &rest);

		if (!label_is_valid(label))
			return false;
		for (size_t i = 0; i < label.n; i++)
			is_number = is_number && isdigit((unsigned char)label.p[i]);
	} while (rest.p);
	return !is_number || number_parse(AF_INET, text, octets);
}

static bool transport_parse(struct slice parameters, struct next_hop *hop)
{
	static const struct {
		struct slice name;
		enum next_hop_transport transport;
	} transports[] = { { { "transport=udp", 13 }, NEXT_HOP_UDP },
			   { { "transport=tcp", 13 }, NEXT_HOP_TCP },
			   { { "transport=tls", 13 }, NEXT_HOP_TLS } };

	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (slice_case_eq(parameters, transports[i].name)) {
			hop->transport = transports[i].transport;
			hop->has_transport = true;
			return true;
		}
	return false;
}

bool next_hop_parse(struct slice text, struct next_hop *hop, struct slice *host)
{
	struct next_hop h = { .transport = NEXT_HOP_UDP };
	struct slice parameters, port, name;
	uint64_t number = 0;

	if (!slice_case_starts(text, SLICE("sip:")))
		return false;
	name = slice_cut(slice_skip(text, 4), ';', &parameters);
	if (parameters.p && !transport_parse(parameters, &h))
		return false;
	if (slice_starts(name, SLICE("["))) {
		struct slice inside = slice_cut(slice_skip(name, 1), ']', &port);

		if (!port.p || (port.n && port.p[0] != ':'))
			return false;
		port = port.n ? slice_skip(port, 1) : SLICE_EMPTY;
		if (!host_is_valid(slice_of(name.p, inside.n + 2)))
			return false;
		name = inside;
	} else {
		name = slice_cut(name, ':', &port);
		if (!host_is_valid(name))
			return false;
	}
	if (port.p && (port.n > 5 || !slice_u64(port, 65535, &number) || number == 0))
		return false;
	h.has_port = port.p != NULL;
	h.port = port.p ? (uint16_t)number : h.transport == NEXT_HOP_TLS ? 5061 : 5060;
	*host = name;
	*hop = h;
	return true;
}

bool collector_parse(struct slice text, struct hep_collector *collector)
{
	struct hep_collector c = { .capture_id = 1 };
	struct slice parameters, address = slice_cut(text, ';', &parameters);
	uint64_t port, id = c.capture_id;

	if (slice_case_starts(address, SLICE("udp:")))
		address = slice_skip(address, 4);
	size_t colon = address.n;
	while (colon > 0 && address.p[colon - 1] != ':')
		colon--;
	if (colon == 0)
		return false;
	struct slice host = slice_of(address.p, colon - 1);
	if (!slice_u64(slice_skip(address, host.n + 1), 65535, &port) || port == 0 || !host_is_valid(host))
		return false;
	if (parameters.p && (!slice_starts(parameters, SLICE("id=")) ||
				    !slice_u64(slice_skip(parameters, 3), UINT32_MAX, &id)))
		return false;
	if (host.p[0] == '[')
		host = slice_of(host.p + 1, host.n - 2);
	memcpy(c.host, host.p, host.n); /* at most 253, host_is_valid() says */
	c.port = (uint16_t)port;
	c.capture_id = (uint32_t)id;
	*collector = c;
	return true;
}
