/*
 * The notifier's half of a subscription (RFC 6665), for any event package: the dialog, or a part in one that is there
 * already (RFC 5057), its expiry, its NOTIFYs, of which one is under way at a time and the others keep the package's
 * pace, and the last one.  What a NOTIFY says, who may subscribe and what that costs is the package's business.
 *
 * Thread: owning worker only.  Owner: the package, which embeds a struct notifier in its own and keeps it until
 * on_over().  Nothing of them outlives the process: subscribers find out by the 481 to their refresh.
 */
#ifndef ACTORS_NOTIFIER_H
#define ACTORS_NOTIFIER_H

#include "actors/im.h"
#include "core/minted.h"
#include "sip/dialog.h"

#define NOTIFIER_EVENT_ID_MAX      64
#define NOTIFIER_CONTACT_MAX       128
#define NOTIFIER_EXPIRES_DEFAULT_S 3600
#define NOTIFIER_EXPIRES_MAX_S     86400

struct notifier;

struct notifier_package {
	const char *event; /* its name: "message-summary" */
	const char *type; /* Content-Type of what NOTIFYs bring, which an Accept header must allow */
	const char *contact; /* parameters of our Contact before the feature tag: "automata", "isfocus" */
	unsigned pace_t1; /* between two NOTIFYs that nobody asked for, in timers.t1: slow networks bear fewer; 0: none */
	/* A NOTIFY may go: notifier_tell() or notifier_has_nothing(), inside or later; before that it is not asked again. */
	void (*on_due)(struct notifier *);
	/* A SUBSCRIBE in the dialog was accepted, its NOTIFY is about to be due: it tells everything.  NULL: each does. */
	void (*on_refresh)(struct notifier *);
	/* Lines more for the 200 to SUBSCRIBE.  NULL: none. */
	void (*write_answer)(const struct notifier *, struct buffer *out);
	/* A SUBSCRIBE in the dialog: false when it was refused, for instance since the right is gone.  NULL: always true. */
	bool (*may_refresh)(struct notifier *, struct sip_server *, const struct sip_message *);
	/* The subscription is no more: REASON_COUNT, its last NOTIFY was taken; else why not (`status` of the answer, 0:
	 * there was none).  The struct is its owner's again.  May come from inside notifier_end() and notifier_tell(). */
	void (*on_over)(struct notifier *, enum reason why, unsigned status);
};

/* ACTIVE: until it expires.  ENDING: the last NOTIFY is to go, or under way. */
enum notifier_state { NOTIFIER_ACTIVE, NOTIFIER_ENDING };

struct notifier {
	struct im *im;
	const struct notifier_package *package;
	enum notifier_state state;
	const char *end_reason; /* RFC 6665 4.1.3 */
	struct sip_dialog *dialog;
	struct sip_dialog_usage usage; /* in a dialog of somebody else */
	bool is_usage;
	struct sip_client *notify; /* under way */
	bool is_asked; /* the package, what the next one says */
	bool is_changed; /* and another is to follow */
	bool is_due; /* not to wait for the pace */
	bool is_sips;
	struct timer expiry, pace;
	uint64_t expires_at_ms, notified_at_ms;
	uint8_t contact_n, event_id_n;
	char contact[NOTIFIER_CONTACT_MAX]; /* user part of our Contact */
	char event_id[NOTIFIER_EVENT_ID_MAX]; /* RFC 6665 8.2.1 */
};

/* ---- SUBSCRIBE, REFER ---- */

/* Is it for that package, by its Event header? */
bool notifier_is_for(const struct notifier_package *package, const struct sip_message *m);
/* What may be wrong with a SUBSCRIBE whoever sends it: Require, Expires, id, Accept.  False: answered (420, 400, 406). */
bool notifier_reads(struct im *im, const struct notifier_package *package, struct sip_server *server,
	const struct sip_message *m, uint32_t *expires_s);

struct notifier_start {
	struct sip_server *server;
	const struct sip_message *m; /* SUBSCRIBE, or what implies a subscription */
	struct sip_dialog *dialog;   /* that of `m`, which has another owner; NULL: one is made */
	struct slice contact;	     /* user part of our Contact; empty: one is minted */
	struct slice event_id;	     /* for `m` without Event: which of its kind (RFC 3515 2.4.6) */
};

/* False: answered (400, 513, 503), and the struct is its owner's.  Nothing is said yet. */
bool notifier_open(struct notifier *n, struct im *im, const struct notifier_package *package,
	const struct notifier_start *start);
/* 200 to SUBSCRIBE with `headers` of the package, then the NOTIFY.  Expires 0 is a fetch: that is the last. */
void notifier_accept(struct notifier *n, struct sip_server *server, uint32_t expires_s);
/* The same where another answer was given (202 to REFER): the NOTIFY follows. */
void notifier_begin(struct notifier *n, uint32_t expires_s);
void notifier_write_contact(const struct notifier *n, struct buffer *out, const struct sip_flow *flow);

/* 503 with Retry-After. */
void notifier_refuse_for_want_of_room(struct im *im, struct sip_server *server, enum reason why);

/* ---- NOTIFY ---- */

/* Something is to be told: now, or as soon as pace and what is under way permit. */
void notifier_changed(struct notifier *n);
/* The same without waiting for the pace. */
void notifier_changed_now(struct notifier *n);
/* The NOTIFY that on_due() asked for.  `body` may be empty: then it has none. */
void notifier_tell(struct notifier *n, struct slice body);
/* It cannot be had now: asked again in 5 s; the last NOTIFY goes without body. */
void notifier_has_nothing(struct notifier *n);

/* ---- the end ---- */

/* With a last NOTIFY ("noresource", "timeout", ...), at once; nothing happens when it is ending already. */
void notifier_end(struct notifier *n, const char *reason);
/* Without a word, and without on_over(): the process ends, or the package does not want it. */
void notifier_close(struct notifier *n);

/* A new user part for our Contact, from the next message on. */
void notifier_set_contact(struct notifier *n, struct slice user);

#endif
