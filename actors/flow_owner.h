/*
 * Whose flow it is (design.md 13 "Anonymous From in standalone without digest"):
 * an INVITE or MESSAGE whose From says nobody, without P-Preferred-Identity, is
 * that of the one user who registered by the flow that it came by.  The request
 * waits here while all workers are asked, for any of them may have him; then
 * the participating function goes on with it.
 */
#ifndef ACTORS_FLOW_OWNER_H
#define ACTORS_FLOW_OWNER_H

#include "actors/authentication.h"

int flow_owners_init(struct im *im);
void flow_owners_free(struct im *im);

/* `found`: what is known already, or NULL; the question is asked once. */
bool flow_owner_is_worth_asking(const struct im *im, const struct sip_message *m, const struct authentication *found);

/* Takes the request over: refuses it (503) or goes on with it by im_go_on(), later. */
void flow_owner_ask(struct im *im, struct sip_server *server, const struct sip_message *m);

#endif
