/*
 * The sockets of all listeners, one per worker each, opened before the workers
 * start, and what is known of them afterwards: real ports, names of ours.
 *
 * Thread: main.
 */
#ifndef ACTORS_LISTENERS_H
#define ACTORS_LISTENERS_H

#include "actors/im.h"

/* Opens what `config->listen` names but http, for `workers` workers.  0, or an errno after saying on the
 * log which listener failed. */
int listeners_open(struct im_server *server, const struct config *config, unsigned workers);
/* The entry of `config->tls` that each listener shows, by the name it was given at the start. */
void listeners_name_certificates(struct sip_options *sip, struct msrp_options *msrp, const struct config *config);
void listeners_close(struct im_server *server, unsigned workers);

/* Fills server->sip.home from the domain options and the bound addresses.  0 or ENOMEM; lives until the
 * process ends. */
int listeners_name_home(struct im_server *server, const struct config *config);

/* `ADDR:PORT`, IPv6 in brackets. */
void listeners_print_address(struct buffer *out, const struct sockaddr_storage *address);

#endif
