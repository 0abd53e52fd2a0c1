/*
 * Addresses, networks and next hops as an operator writes them.  Nothing is looked up: names stay
 * names.  Pure functions, any thread.
 */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include "config/config.h"
#include "core/slice.h"

/* "127.0.0.1:5060", "[::1]:5060"; port 0 to 65535.  False leaves *address alone. */
bool address_parse(struct slice text, struct sockaddr_storage *address);

/* "10.0.0.0/8", "::1".  Bits outside the prefix must be zero, so that a typing error does not trust
 * another network than it says.  ->text is not set. */
bool network_parse(struct slice text, struct network *network);

/* sip:HOST[:PORT][;transport=udp|tcp|tls].  *host points into `text`; ->host is not set. */
bool next_hop_parse(struct slice text, struct next_hop *hop, struct slice *host);

/* [udp:]HOST:PORT[;id=NUMBER], an IPv6 address in brackets.  False leaves *collector alone. */
bool collector_parse(struct slice text, struct hep_collector *collector);

/* A host name (RFC 1123), an IPv4 address or an IPv6 address in brackets. */
bool host_is_valid(struct slice text);

#endif
