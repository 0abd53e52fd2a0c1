/* A subscription as its files share it.  Private to actors/subscri*.c. */
#ifndef ACTORS_SUBSCRIPTION_INTERNAL_H
#define ACTORS_SUBSCRIPTION_INTERNAL_H

#include "actors/outgoing.h"
#include "actors/subscription.h"
#include "actors/user_internal.h"
#include "core/minted.h"
#include "sip/dialog.h"

#define SUBSCRIPTION_EVENT_ID_MAX 64

/* ACTIVE: until it expires.  ENDING: the last NOTIFY is to go, or under way. */
enum subscription_state { SUBSCRIPTION_ACTIVE, SUBSCRIPTION_ENDING };

struct subscription {
	struct im *im;
	struct user *user;
	struct subscription *next; /* of the user */
	enum subscription_state state;
	const char *end_reason;    /* RFC 6665 4.1.3 */
	struct sip_dialog *dialog;
	struct sip_client *notify; /* under way */
	bool is_asking;            /* the store, for the next one */
	bool is_changed;           /* and another is to follow */
	bool is_due;               /* not to wait for PACE_MS */
	bool is_sips;
	struct timer expiry, pace;
	uint64_t expires_at_ms, notified_at_ms;
	char contact[MINTED_CHARS];
	uint8_t event_id_n;
	char event_id[SUBSCRIPTION_EVENT_ID_MAX]; /* RFC 6665 8.2.1 */
};

/* ---- subscription.c ---- */

/* Of a user, who is made if need be; its dialog is yet to come.  NULL: *why it may not be. */
struct subscription *subscription_make(struct im *im, struct slice canonical, enum reason *why);
void subscription_free(struct subscription *s);
/* A NOTIFY is to go: now, or as soon as it may. */
void subscription_notify(struct subscription *s);
/* With a last NOTIFY; nothing happens when it is ending already. */
void subscription_end(struct subscription *s, const char *reason);
/* For so long from now on. */
void subscription_extend(struct subscription *s, uint32_t expires_s);
void subscription_write_contact(const struct subscription *s, struct buffer *out, const struct sip_flow *flow);

#endif
