/*
 * Copies of SIP messages for whoever watches (HEP, pcap), octet for octet as long as the original, so that every
 * length in it stays right.  As in a trace (sip/trace.h) nothing of it is content, and no credentials: what
 * Authorization and Proxy-Authorization say is overwritten but for the names of digest parameters, and bodies other
 * than application/sdp.
 *
 * Thread: owning worker only.
 */
#ifndef SIP_COPY_H
#define SIP_COPY_H

#include "sip/flow.h"

#define SIP_COPY_FILLER 'x'

/* At most `size` octets of it; how many. */
size_t sip_copy(char *to, size_t size, const struct sip_message *m);

struct sip_copy_ends {
	struct net_address from, to;
	bool is_stream;
};

/* Between whom it went: `is_in`, from the peer of the flow to us.  A port of ours that the system chose is known
 * only on the worker of the stream; elsewhere the listener's stands for it. */
void sip_copy_find_ends(struct worker *worker, const struct sip_flow *flow, bool is_in, struct sip_copy_ends *ends);

#endif
