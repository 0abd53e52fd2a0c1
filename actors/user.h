/*
 * Users and their registrations: the registrar of standalone mode (RFC 3261
 * 10) and the registration state that a core reports by third-party REGISTER
 * (6.2.1).  A user lives on the worker that its canonical URI hashes to
 * (design.md 2); others ask by message.
 */
#ifndef ACTORS_USER_H
#define ACTORS_USER_H

#include "actors/credentials.h"
#include "actors/identity.h"

#define USER_BINDINGS_MAX 8
#define USER_CONTACT_MAX  512
#define USER_PATH_MAX     512

#define REGISTER_EXPIRES_DEFAULT_S 3600
#define REGISTER_EXPIRES_MIN_S     60
#define REGISTER_EXPIRES_MAX_S     (30 * 24 * 3600)

int users_init(struct im *im);
void users_free(struct im *im);
void user_register_handlers(struct worker *worker);

struct store_door;
/* At the start, while all workers wait: what the store has.  0 or errno, after a line on the log. */
int users_load(struct worker_group *group, struct store_door *door);

/* A stream has ended: its bindings cannot be reached (sip_options.on_flow_lost). */
void users_on_flow_lost(struct worker *worker, const struct sip_flow *flow);

/* A REGISTER on the worker that owns its To URI; answers it. */
void user_on_register(struct im *im, struct sip_server *server, const struct sip_message *m);

struct user_contact {
	char uri[USER_CONTACT_MAX];
	size_t uri_n;
	unsigned q; /* thousandths */
	char path[USER_PATH_MAX]; /* RFC 3327: values for Route, in their order; mostly empty */
	size_t path_n;
	struct sip_flow flow;
	bool has_feature_tag; /* it is an OMA client's */
};

/* What somebody wants of a user; it decides which of his settings and rules count. */
enum user_purpose { USER_FIND_ONLY, USER_FOR_SESSION, USER_FOR_PAGER, USER_FOR_LARGE };

/*
 * What the user has decided about that (6.2.6.1 steps 1 and 2, D1-07), before it counts whether he is there:
 * USER_BARS is answered with policy.barred_code, USER_REJECTS with policy.rejected_code.
 */
enum user_verdict { USER_ACCEPTS, USER_BARS, USER_REJECTS };

/* His published settings, and config `settings` for what he did not publish (Appendix E). */
struct user_settings {
	bool offline_delivery; /* what was stored for him is pushed */
	bool visible;
	bool history;
	bool has_offline_delivery; /* he published that one */
};

/*
 * A question that travels: allocated by the asker, comes home to the actor `asker` as MSG_USER_FOUND
 * (err ENOENT: the asker is gone; the handler of the kind frees it), freed by it.
 */
struct user_find {
	struct msg msg;
	actor_id asker;
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
	bool is_sips; /* only contacts that are reached over TLS (RFC 3261 26.2.2) */
	enum user_purpose purpose;
	char caller[IM_CANONICAL_MAX]; /* canonical */
	size_t caller_n;
	bool caller_is_anonymous;
	bool must_exist;
	struct credentials_asker asked; /* user_find.c, on the user's worker */
	/* ---- written by the user's worker ---- */
	bool is_unknown; /* must_exist, core.users is provisioned, and he is not */
	bool is_registered;
	enum user_verdict verdict;
	struct user_settings settings;
	/* Grows with each change of his registration or settings, also while nothing is known of him: who found him
	 * away, and finds a greater one later, knows that he may have come back meanwhile. */
	uint64_t registration;
	unsigned contact_count; /* standalone: the best first */
	struct user_contact contacts[USER_BINDINGS_MAX];
};

/* ENOMEM: nothing was sent.  USER_FIND_ONLY: the verdict will be USER_ACCEPTS. */
int user_find(struct im *im, struct slice canonical, bool is_sips, actor_id asker);
/* For somebody who wants something of him.  `caller` is copied. */
struct user_wanted {
	struct slice canonical;
	bool is_sips;
	enum user_purpose purpose;
	const struct identity *caller;
	bool must_exist; /* nobody has asked yet whether there is such a user (authentication.h asks for a Request-URI) */
};
int user_find_for(struct im *im, const struct user_wanted *wanted, actor_id asker);

/* user_find.registration of now, on his worker. */
uint64_t user_registration(struct im *im, struct slice canonical);

/* How many users of this worker registered by that flow: 0, 1 with its name, or 2 for more. */
unsigned users_of_flow(struct im *im, const struct sip_flow *flow, struct slice *canonical);

unsigned users_count(const struct im *im);

#endif
