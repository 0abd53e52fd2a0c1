/*
 * The SIP session timer of one side of a B2BUA, or of a dialog that ends here
 * (RFC 4028, D1-04): the edge client refreshes where it can, we supervise; where
 * we were made the refresher, on_refresh asks for one.
 *
 * Thread: owning worker only.  Lives inside the side it guards.
 */
#ifndef ACTORS_SESSION_TIMER_H
#define ACTORS_SESSION_TIMER_H

#include "actors/im.h"
#include "sip/header.h"

struct session_timer;

struct session_timer_events {
	void (*on_refresh)(struct session_timer *); /* half of the interval is over: refresh */
	void (*on_expired)(struct session_timer *); /* nobody refreshed: BYE                 */
};
extern const struct session_timer_events session_timer_handlers; /* of a side of struct session: session_offer.c */

struct session_timer {
	const struct session_timer_events *events; /* set by whoever holds it, before anything else */
	struct worker *worker;
	struct timer next;  /* the refresh that we owe, then the end */
	uint64_t ends_at_ms;
	uint32_t expires_s; /* 0: no session timer on this side */
	uint32_t least_s;   /* what a 422 of the peer asked for; 0: none came */
	bool we_refresh;
};

/* Session-Expires under the minimum: 422 (RFC 4028 9). */
bool session_timer_is_too_brief(const struct sip_message *m, uint64_t min_se_ms);
void session_timer_refuse(struct im *im, struct sip_server *server);

/*
 * Writes Session-Expires, and Require where RFC 4028 wants it, into our 2xx to `request`, and starts
 * the timer.  A peer without `Supported: timer` is refreshed by us (D1-04), one that has it and names
 * no refresher by `unsaid`.
 */
void session_timer_answer(struct session_timer *timer, const struct sip_message *request, struct im *im,
	enum sip_refresher unsaid, struct buffer *headers);

/* Session-Expires and Min-SE of a request of ours: the interval and the refresher as they are now. */
void session_timer_ask(const struct session_timer *timer, const struct im *im, struct buffer *headers);

/* A 422 to that: its Min-SE from now on.  False: it asks for nothing more than we said (RFC 4028 7.3). */
bool session_timer_raise(struct session_timer *timer, const struct sip_message *response);

/* Starts the timer as the peer's 2xx to our request says.  Without Session-Expires he knows no session timer,
 * and we are the refresher (RFC 4028 7.2, D1-04). */
void session_timer_accepted(struct session_timer *timer, const struct sip_message *response, struct im *im);

/* A refresh of ours came to nothing, but the dialog lives: it is tried again at half of what is left. */
void session_timer_retry(struct session_timer *timer);

void session_timer_stop(struct session_timer *timer);

#endif
