/*
 * Where the server of a name is (RFC 3263 4): transports, then servers by
 * priority and weight (RFC 2782), then their addresses, as candidates in the
 * order in which they are to be tried.
 *
 * Thread: owning worker only.  What the cache knows is found at once.
 */
#ifndef SIP_LOCATE_H
#define SIP_LOCATE_H

#include "core/names.h"
#include "sip/transport.h"

#define SIP_CANDIDATES_MAX 8 /* each that fails costs the request up to 64*T1 */

struct sip_candidate {
	uint8_t protocol; /* enum sip_protocol */
	struct net_address peer;
};

/* Zeroed before its first use.  Part of whoever waits; sip_locate_forget() before it goes. */
struct sip_location {
	struct names_waiter waiter;
	struct worker *worker;
	const struct sip_target *target;
	void (*on_located)(struct sip_location *, int err);
	unsigned questions;
	unsigned count;
	struct sip_candidate candidates[SIP_CANDIDATES_MAX];
};

/*
 * The candidates of a target with a name and neither flow nor address; the target must stay while this
 * goes on.  0: they are there.  EINPROGRESS: on_located() comes once, unless sip_locate_forget() is
 * called, with one of: 0; ENOENT: there is no such name or no server of it for us; EAGAIN: the DNS does
 * not answer; ENOMEM, ENOBUFS.
 */
int sip_locate(struct sip_location *location, struct worker *worker, const struct sip_target *target,
	void (*on_located)(struct sip_location *, int err));
void sip_locate_forget(struct sip_location *location);

/* One address that a request to the target will probably take, for what has to be written before it is
 * sent.  False: nothing is known yet; the DNS was asked. */
bool sip_locate_guess(struct worker *worker, const struct sip_target *target, struct sip_candidate *guess);

#endif
