/* Users as the files about them share them.  Private to actors/user*.c and actors/regist*.c. */
#ifndef ACTORS_USER_INTERNAL_H
#define ACTORS_USER_INTERNAL_H

#include "actors/user.h"
#include "core/log.h"
#include "core/siphash.h"
#include "core/store.h"

#define USER_FLOW_CHAINS 8192

struct registration;
struct publication;
struct publishing;
struct subscription;
struct access_rules;

/*
 * One Contact of a user.  It says nothing but what the REGISTER said until it is linked into the user's
 * list; from then on its timer runs and its flow is watched.
 */
struct binding {
	struct user *user;
	struct binding *next;
	LIST_ENTRY(binding) by_flow; /* of one chain of user_table.flows: users behind a proxy all share one flow */
	struct timer expiry;
	struct sip_flow flow;
	bool is_reachable;         /* its flow lives, as far as we know */
	uint32_t q;                /* thousandths */
	uint32_t cseq, reg_id;     /* reg_id 0: not of RFC 5626 */
	uint32_t expires_s;        /* as asked for; 0: this Contact is to go */
	uint64_t expires_at_ms, expires_at_s; /* of the worker's clock, and since 1970 */
	uint64_t updated;          /* order of registration */
	uint64_t call_id_hash;     /* under a key that outlives the process */
	uint16_t uri_n, params_n, path_n, instance_n;
	char text[];               /* URI, parameters for the 200, path, instance */
};

static inline struct slice binding_uri(const struct binding *b)
{
	return slice_of(b->text, b->uri_n);
}

static inline struct slice binding_params(const struct binding *b)
{
	return slice_of(b->text + b->uri_n, b->params_n);
}

static inline struct slice binding_path(const struct binding *b)
{
	return slice_of(b->text + b->uri_n + b->params_n, b->path_n);
}

static inline struct slice binding_instance(const struct binding *b)
{
	return slice_of(b->text + b->uri_n + b->params_n + b->path_n, b->instance_n);
}

struct user {
	struct im *im;
	struct user *hash_next;
	struct binding *bindings;
	unsigned binding_count;
	/* ims: what the core's last third-party REGISTER said */
	struct timer core_expiry;
	uint64_t core_expires_at_s;
	bool is_core_registered;
	bool is_core_known; /* a third-party REGISTER came for him once */
	/* REGISTERs that wait: the first is at the store, the others for it */
	struct registration *registrations;
	unsigned registration_count;
	/* his live settings publications, and PUBLISHs that wait: the first is at the store, the others for it */
	struct publication *publications;
	struct publishing *publishings;
	unsigned publishing_count;
	struct subscription *subscriptions; /* to his mailbox */
	struct access_rules *rules; /* NULL: he has none; one block from malloc() */
	uint64_t changes;           /* struct user_find, `registration` */
	uint16_t canonical_n;
	char canonical[];
};

static inline struct slice user_name(const struct user *user)
{
	return slice_of(user->canonical, user->canonical_n);
}

LIST_HEAD(binding_chain, binding);

struct user_table {
	struct worker *worker;
	struct siphash_key key;
	struct user **table;
	size_t table_size;
	unsigned count;
	uint64_t updates, changes;
	struct binding_chain flows[USER_FLOW_CHAINS];
	struct timer sweep_timer; /* armed when something expired that the store still has */
	struct store_registration_sweep *sweep; /* NULL: it is at the store */
};

struct user *user_of(struct im *im, struct slice canonical);
struct user *user_find_or_make(struct im *im, struct slice canonical); /* NULL: no memory, or too many */
/* Frees a user of whom nothing is known. */
void user_forget_if_empty(struct user *user);

/* A binding of nobody yet.  NULL: no memory. */
struct binding_text {
	struct slice uri, params, path, instance;
};
struct binding *binding_make(const struct binding_text *text);
/* Links it, arms its timer, watches its flow: expires_at_ms and flow are set. */
void binding_add(struct user *user, struct binding *binding);
void binding_drop(struct binding *binding);

void user_core_registered(struct user *user, uint32_t expires_s);
/* His registration or settings are others now. */
void user_changed(struct user *user);

/* Now, since 1970. */
uint64_t user_unix_s(const struct worker *worker);

/* ---- user_store.c ---- */

/* What the store shall have of a user from now on; `bindings` NULL entries are not allowed.  NULL: no memory. */
struct store_request *user_store_put(struct im *im, struct slice aor, const struct binding *const *bindings,
	unsigned count);
/* The same for what a core said. */
struct store_request *user_store_put_core(struct slice aor, uint64_t expires_at_s);
struct store_request *user_store_delete(struct slice aor);
/* Rows of what expired are to go, soon. */
void user_store_sweep_soon(struct im *im);
int user_store_init(struct im *im); /* 0 or ENOMEM */
void user_store_free(struct im *im);

/* ---- registrar.c ---- */
void registrations_free(struct user *user);

#endif
