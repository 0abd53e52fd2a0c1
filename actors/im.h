/*
 * What the IM functions of one worker share: configuration, tables and pools.
 * Read-only except for the tables, which belong to the worker's thread.
 */
#ifndef ACTORS_IM_H
#define ACTORS_IM_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "actors/connect_limit.h"
#include "config/config.h"
#include "core/siphash.h"
#include "core/pool.h"
#include "msrp/leg.h"
#include "sip/nonce_count.h"
#include "sip/transaction.h"

#define IM_FEATURE_TAG "+g.oma.sip-im"
#define IM_GROUP_ADVERTISEMENT_TAG "+g.poc.groupad"
#define IM_ALLOW \
	"INVITE, ACK, BYE, CANCEL, MESSAGE, REGISTER, OPTIONS, UPDATE, PRACK, INFO, REFER, SUBSCRIBE, NOTIFY, PUBLISH"
#define IM_CONNECTIONS_MAX 262144
#define IM_ACCEPT_SESSION "application/sdp, multipart/mixed, multipart/alternative, multipart/related"
#define IM_SUPPORTED   "timer, 100rel, replaces"
#define IM_CANONICAL_MAX 320 /* user@host as sip_uri_canonical() writes it */

/* Kinds of messages between the actors of several workers. */
enum {
	MSG_USER_FIND = MSG_ACTORS_FIRST, /* to the user's worker */
	MSG_USER_FOUND,                   /* home again           */
	MSG_SESSIONS_DRAIN,               /* main: BYE to every session that is left */
	MSG_STORE_ANSWERED,               /* from the store: struct store_request        */
	MSG_USER_QUESTION,                /* to the user's worker: actors/authentication.c */
	MSG_USER_ANSWERED,                /* home again           */
	MSG_FLOW_FIND,                    /* to each worker in turn: actors/flow_owner.c */
	MSG_FLOW_FOUND,                   /* home again           */
	MSG_CONTACT_QUESTION,             /* to the worker that minted it: actors/forward.c */
	MSG_CONTACT_ANSWERED,             /* home again           */
	MSG_ADMIN_QUESTION,               /* from the admin API: actors/admin_worker.c */
	MSG_SETTINGS_CHANGE,              /* main: a reload, see actors/settings.h */
	MSG_MAILBOX_LEASE,                /* to the user's worker: actors/mailbox.h */
	MSG_MAILBOX_LEASED,               /* home again           */
	MSG_MAILBOX_END,
	MSG_MAILBOX_ENDED,                /* home again           */
	MSG_MAILBOX_REMOVE,
	MSG_MAILBOX_REMOVED,              /* home again           */
	MSG_MAILBOX_LEAVE,
	MSG_ACCESS_RULES,                 /* from whoever changed documents: actors/access_rules.h */
	MSG_REPLACES_QUESTION,            /* to the worker of a session: actors/conference_replaces.c */
	MSG_REPLACES_ANSWERED,            /* home again           */
	MSG_MAILBOX_CHANGED,              /* something was stored, removed or expired */
	MSG_GROUP_FIND,                   /* to the group's worker: actors/group.h */
	MSG_GROUP_FOUND,                  /* home again           */
	MSG_GROUP_CHANGED,                /* from whoever changed its document */
};

struct im_settings;
struct rate_table;
struct user_table;
struct mailbox_table;
struct group_table;
struct store_door;
struct record_file;
struct credentials;
struct session_fork;
struct session_contacts;
struct conference_states;

/* Where core.next_hop leads.  Both empty: there is none. */
struct im_hop {
	const char *name;                /* lives as long as the process */
	struct sockaddr_storage address; /* ss_family 0: the name is one for the DNS */
};

/* The whole server: made before the workers start, read-only afterwards except the atomics and `settings`. */
struct im_server {
	/* As at the start.  A reload changes none of them: what it may change is in im->config and im->settings of a
	 * worker, and in settings_take() for other threads (actors/settings.h). */
	const struct config *config;
	struct sip_options sip;
	struct msrp_options msrp;
	struct im_hop hop;
	pthread_mutex_t settings_mutex; /* main and other threads that are no workers */
	struct im_settings *settings;   /* those in force; NULL in the simulator until its first reload */
	struct store_door *store;
	struct record_file *cdr; /* NULL: nobody keeps call detail records */
	struct rate_table *rates; /* any thread takes from it; owner: who made the server */
	atomic_bool is_draining;
	atomic_uint_least64_t push_next_us; /* when deferred.push_rate permits the next message: actors/push_pace.h */
	atomic_uint session_count; /* of all workers: limits.sessions is the server's, not a worker's */
};

struct im {
	struct worker *worker;
	struct im_server *server;
	/* ---- another between any two handlers: keep no pointers into them ---- */
	const struct config *config;
	const struct im_hop *hop;
	struct im_settings *settings; /* NULL: as at the start */

	struct user_table *users;
	struct mailbox_table *mailboxes;
	struct group_table *groups;
	struct push_table *pushes;
	struct credentials *credentials;
	struct nonce_counts nonces;
	struct connect_limit connect_limit;
	struct siphash_key connect_limit_key;
	struct pool subscriptions, referrals;
	struct pool retrievals;
	struct pool large_lists;
	size_t large_spool_octets; /* in memory, of all of them: limits.queued_bytes */
	struct pool sessions, virtual_user_agents, large_messages, large_uploads, pagers, forwards, authentications, flow_questions;
	struct session_contacts *session_contacts;
	struct conference_states *conference_states; /* actors/conference_state.h */
	struct pool conferences, participants;
	struct pool pager_lists;
	size_t pager_list_octets;   /* held by them */
	struct conference_table *conference_table;
	LIST_HEAD(, conference_joining) joinings; /* INVITEs to groups whose document is looked for */
	bool is_drained;            /* sessions_drain() was called */
	struct session_fork *forks; /* all of them, also those whose owner is gone */
};

/* Of a session that ended one is kept for 32 s, for 2xx that come late: at 30 000 sessions a second and worker. */
#define IM_DIALOGS_ENDED 1000000
static inline unsigned im_dialogs_max(const struct config *config)
{
	unsigned most = UINT32_MAX / 3 - IM_DIALOGS_ENDED;

	return 3 * (config->limits.sessions < most ? config->limits.sessions : most) + IM_DIALOGS_ENDED;
}

static inline struct im *im_of(const struct worker *worker)
{
	return worker->im;
}

/* What the layers below want to know, from the configuration, which must outlive the server.  Before the
 * listeners are opened.  0, or ENOMEM. */
int im_server_init(struct im_server *server, const struct config *config);
void im_server_free(struct im_server *server);

/* What a reload may change of the options.  The listeners must be there, their certificates apart. */
void im_options_set(struct sip_options *sip, struct msrp_options *msrp, const struct config *config);
/* 0; ENOMEM; E2BIG: more than IM_HOPS_MAX different hosts since the start, and requests under way may still point to
 * each of them.  Main. */
#define IM_HOPS_MAX 256
int im_hop_read(struct im_hop *out, const struct config *config);

/* On the worker's thread, after the layers below are ready.  0 or ENOMEM. */
int im_worker_init(struct worker *worker, struct im_server *server);
void im_worker_free(struct worker *worker);

/* A request that passed the generic checks: sip_request_handler. */
void im_on_request(struct worker *worker, struct sip_server *server, const struct sip_message *m);

/* Refuses, counts and logs it; `headers` are whole lines or empty. */
void im_refuse(struct im *im, struct sip_server *server, unsigned status, enum reason why, struct slice headers);
/* One Warning line with our name as its agent (RFC 3261 20.43). */
void im_write_warning(const struct im *im, struct buffer *out, unsigned code, const char *text);
/* Refuses with a Warning 399 (D1-06). */
void im_refuse_with_warning(struct im *im, struct sip_server *server, unsigned status, enum reason why,
	const char *text);

/* limits.sessions is for all workers together: Call-IDs hash unevenly, so a share of each would refuse too early. */
bool im_take_session_place(struct im *im);
void im_give_session_place(struct im *im);
/* imserv_sessions: those of two sides, and those that end here. */
void im_count_sessions(const struct im *im);

/* The target of requests that go to the core (or to another domain); has_flow false. */
struct sip_target im_next_hop(const struct im *im);
bool im_has_next_hop(const struct im *im);
/* At the start, so that the first request need not wait for its name. */
void im_look_up_next_hop(const struct im *im);

#endif
