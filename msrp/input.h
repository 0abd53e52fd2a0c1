/*
 * What a connection receives: parsed as it comes, each chunk handed to whom it
 * is for (binding.h, switch.h, foreign.h), and what is not whole yet, at most a
 * head or a small chunk, held until more comes.
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_INPUT_H
#define MSRP_INPUT_H

#include "msrp/endpoint.h"

/* Octets arrived.  They may be gone afterwards. */
void msrp_input_receive(struct msrp_connection *c, struct slice octets);

/* What is held, and what waits at its legs, is looked at again: TODO_PUMP. */
void msrp_input_go_on(struct msrp_connection *c);

#endif
