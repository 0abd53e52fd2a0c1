/*
 * Addresses as text: "127.0.0.1", "127.0.0.1:5060", "::1", "[::1]:5060".  Names are not
 * resolved: a load test must not depend on a resolver.
 */
#ifndef LOAD_TESTS_ADDRESS_H
#define LOAD_TESTS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/slice.h"

#define ADDRESS_TEXT_MAX 64

bool address_parse(struct slice text, uint16_t default_port, struct sockaddr_storage *address);
/* "127.0.0.1:5060", "[::1]:5060" */
void address_print(const struct sockaddr_storage *address, char into[ADDRESS_TEXT_MAX]);
/* The host alone: in brackets for URIs, without for SDP. */
void address_print_host(const struct sockaddr_storage *address, bool brackets,
			char into[ADDRESS_TEXT_MAX]);
uint16_t address_port(const struct sockaddr_storage *address);
void address_set_port(struct sockaddr_storage *address, uint16_t port);
socklen_t address_size(const struct sockaddr_storage *address);

#endif
