#include "load-tests/address.h"

#include <arpa/inet.h>
#include <stdio.h>

static bool parse_port(struct slice text, uint16_t *port)
{
	uint64_t value;

	if (!slice_u64(text, 65535, &value))
		return false;
	*port = (uint16_t)value;
	return true;
}

bool address_parse(struct slice text, uint16_t default_port, struct sockaddr_storage *address)
{
	struct slice host = text, rest = SLICE_EMPTY;
	uint16_t port = default_port;
	char host_text[ADDRESS_TEXT_MAX];
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

	if (slice_starts(text, SLICE("["))) {
		host = slice_cut(slice_skip(text, 1), ']', &rest);
		if (rest.n && (rest.p[0] != ':' || !parse_port(slice_skip(rest, 1), &port)))
			return false;
	} else if (text.n &&
		   memchr(text.p, '.', text.n)) { /* an IPv6 address has colons of its own */
		host = slice_cut(text, ':', &rest);
		if (rest.p && !parse_port(rest, &port))
			return false;
	}
	if (host.n == 0 || host.n >= sizeof(host_text))
		return false;
	memcpy(host_text, host.p, host.n);
	host_text[host.n] = 0;
	memset(address, 0, sizeof(*address));
	if (inet_pton(AF_INET, host_text, &v4->sin_addr) == 1)
		address->ss_family = AF_INET;
	else if (inet_pton(AF_INET6, host_text, &v6->sin6_addr) == 1)
		address->ss_family = AF_INET6;
	else
		return false;
	address_set_port(address, port);
	return true;
}

void address_print_host(const struct sockaddr_storage *address, bool brackets,
			char into[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host,
			  sizeof(host));
		snprintf(into, ADDRESS_TEXT_MAX, brackets ? "[%s]" : "%s", host);
	} else {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host,
			  sizeof(host));
		snprintf(into, ADDRESS_TEXT_MAX, "%s", host);
	}
}

void address_print(const struct sockaddr_storage *address, char into[ADDRESS_TEXT_MAX])
{
	address_print_host(address, true, into);
	size_t n = strlen(into);
	snprintf(into + n, ADDRESS_TEXT_MAX - n, ":%u", address_port(address));
}

uint16_t address_port(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6
			     ? ((const struct sockaddr_in6 *)address)->sin6_port
			     : ((const struct sockaddr_in *)address)->sin_port);
}

void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET6)
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)address)->sin_port = htons(port);
}

socklen_t address_size(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
					      : sizeof(struct sockaddr_in);
}
