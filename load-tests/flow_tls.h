/*
 * The TLS of a SIP flow that imflood opens, over a socket that does not block.  The server's certificate is not checked:
 * what is measured is the work, on a test bench.
 */
#ifndef LOAD_TESTS_FLOW_TLS_H
#define LOAD_TESTS_FLOW_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct flow_tls;

/* NULL: no memory. */
struct flow_tls *flow_tls_new(int fd);
void flow_tls_free(struct flow_tls *t); /* NULL is let through; the socket is not closed */

/* 1 done, 0 to be called again when the socket is ready, -1 failed. */
int flow_tls_handshake(struct flow_tls *t);

/* Like recv() and send(): 0 closed, -1 with errno EAGAIN or EPROTO. */
ssize_t flow_tls_read(struct flow_tls *t, char *p, size_t n);
ssize_t flow_tls_write(struct flow_tls *t, const char *p, size_t n);

/* It waits for the socket to take something, whatever it was asked to do. */
bool flow_tls_wants_room(const struct flow_tls *t);

#endif
