/*
 * The configuration of one imserv (design.md 9): what the operator may set, read from YAML through
 * the rows of config/schema.def, checked as a whole and never changed afterwards.
 *
 * A configuration is put together from layers: the embedded default (config/imserv.yaml), the file
 * of -c, then every --set in its order.  A mapping is merged key by key, anything else (a list such
 * as `listen` too) is replaced.  An entry of a list that --set names (`listen[0]={...}`) is
 * replaced as a whole, `listen[0].address=...` changes one key of it.
 *
 * A reload makes another one, beside which the old one lives until nobody looks at it any more
 * (actors/settings.h).
 *
 * Thread: config_load, config_reload, config_print: main.  struct config is read-only afterwards, so
 * any thread may look at it until config_free.
 * Owner: who loaded it.  All strings and lists belong to the configuration and die with it.
 * Units as in core/options.h: octets, milliseconds (names end in _ms, or in _us for microseconds),
 * per second; empty text is never NULL except where a comment says so.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "config/errors.h"
#include "core/options.h"

#define CONFIG_FILE_BYTES_MAX (1024u * 1024u) /* also of one --set VALUE */
#define CONFIG_LIST_MAX	      256u	      /* entries of any one list */

struct text_list {
	char **list;
	unsigned count;
};

/* One `address/bits`; a plain address covers itself only. */
struct network {
	int family;	   /* AF_INET or AF_INET6          */
	uint8_t octets[16]; /* network byte order, the bits after `bits` are zero */
	unsigned bits;
	char *text; /* as written */
};

struct network_list {
	struct network *list;
	unsigned count;
};

struct domain_options {
	char *home;		  /* host name; digest realm too           */
	struct text_list aliases; /* host names that count as home         */
	char *store_host;
	char *factory;		 /* sip: URI of the conference factory    */
	char *history_user;	 /* user part                             */
	struct text_list groups; /* patterns with * on the user part      */
};

enum core_mode { MODE_STANDALONE, MODE_IMS };
enum authenticate { AUTHENTICATE_NONE, AUTHENTICATE_DIGEST };
enum users { USERS_OPEN, USERS_PROVISIONED };
enum next_hop_transport { NEXT_HOP_UDP, NEXT_HOP_TCP, NEXT_HOP_TLS };

/* `next_hop` taken apart. */
struct next_hop {
	char *host;    /* name or address, IPv6 without brackets; NULL when next_hop is empty */
	uint16_t port; /* 5060, 5061 for tls, when not written                                */
	enum next_hop_transport transport; /* udp when not written */
	bool has_port, has_transport;      /* written: the DNS is not asked for them (RFC 3263 4) */
};

struct core_options {
	enum core_mode mode;
	char *next_hop;	     /* as written, empty in standalone mode */
	struct next_hop hop; /* parsed from next_hop                 */
	struct network_list trusted;
	bool trust_from;
	enum authenticate authenticate;
	enum users users;
};

enum feature_tag { FEATURE_TAG_IMS, FEATURE_TAG_ALWAYS, FEATURE_TAG_NEVER };
enum anonymous_invitee { ANONYMOUS_RELEASE, ANONYMOUS_IGNORE };
enum offline { OFFLINE_DEFER, OFFLINE_REJECT };
enum adhoc_adders { ADDERS_PARTICIPANTS, ADDERS_ORIGINATOR };

struct policy_options {
	enum feature_tag feature_tag;
	bool allow_anonymity;
	enum anonymous_invitee anonymous_invitee;
	enum offline offline_pager, offline_large;
	unsigned unavailable_session_code; /* never 0 after loading: auto is resolved by mode ... */
	bool unavailable_session_code_auto; /* ... and this remembers how it was written         */
	unsigned barred_code, rejected_code;
	struct text_list content_types;
	bool auto_release;
	uint64_t session_max_length_ms;
	unsigned remaining_participants;
	enum adhoc_adders adhoc_adders;
};

struct settings_options {
	uint64_t expires_ms, min_expires_ms;
	bool offline_delivery, visible, history;
};

enum push_on_register { PUSH_AUTO, PUSH_TRUE, PUSH_FALSE };
enum fallback { FALLBACK_MESSAGE, FALLBACK_NONE };

struct deferred_options {
	unsigned quota_messages;
	uint64_t quota_bytes, expires_default_ms, expires_max_ms;
	bool require_size;
	enum push_on_register push_on_register;
	enum fallback fallback;
	unsigned push_window, push_rate;
	struct text_list prune; /* header names besides those of D2-16 */
};

struct history_options {
	uint64_t quota_bytes;
	bool record_pager, record_session;
};

struct presence_options {
	bool publish;
	char *server;
};

struct http_options {
	struct network_list trusted;
	char *token_file; /* empty: beside the store */
};

struct overload_options {
	unsigned high_water; /* percent */
	uint64_t retry_after_ms;
};

struct listen_list {
	struct listen_options *list;
	unsigned count;
};

struct tls_list {
	struct tls_options *list;
	unsigned count;
};

struct config {
	struct runtime_options runtime;
	struct listen_list listen;
	struct tls_list tls;
	struct domain_options domain;
	struct core_options core;
	struct limits_options limits;
	struct timers_options timers;
	struct policy_options policy;
	struct settings_options settings;
	struct deferred_options deferred;
	struct history_options history;
	struct presence_options presence;
	struct http_options http;
	struct store_options store;
	struct overload_options overload;
	struct log_options log;

	/* ---- not keys ---- */
	char *directory; /* of the file, "" without one: what relative paths start from */
	char *file;      /* for people, absolute; "" is the embedded default alone */
	unsigned sessions_asked; /* limits.sessions, before descriptors_fit() lowered it */
};

/* Whose files are looked at, before they are opened. */
enum config_paths {
	CONFIG_PATHS_NONE, /* at the start, where opening them says it          */
	CONFIG_PATHS_LOG,  /* at reload: the store stays what it is             */
	CONFIG_PATHS_ALL,  /* --check-config                                    */
};

struct config_source {
	const char *file;	  /* NULL: the embedded default alone */
	const char *const *set;	  /* KEY=VALUE, applied in order      */
	unsigned set_count;
	bool insecure;		  /* --insecure was given             */
	enum config_paths paths;  /* config_reload() has its own      */
};

/* 0 and *out set; EINVAL: `errors` says what is wrong, all of it; ENOMEM.  Warnings are added to
 * `errors` in either case.  An unreadable file is one of the errors, not an errno. */
int config_load(struct config **out, const struct config_source *source,
		struct config_errors *errors);

/*
 * The sources again, for a server that runs with `running`: checked as config_load() checks, and what keys
 * that take a restart would change is named in `restart` (`domain.home`, `listen[1].address`; ended with
 * text_list_free(), also after an error).  In *out these keys have the values of `running`, and that is checked
 * once more, for it is what the server will run with.  Results as of config_load().
 */
int config_reload(struct config **out, const struct config_source *source, const struct config *running,
		  struct text_list *restart, struct config_errors *errors);

void text_list_free(struct text_list *texts);

/* Frees what config_load made; NULL is allowed. */
void config_free(struct config *config);

/* Every key with value, range and meaning as YAML that loads again to the same values.  Keys whose
 * feature is not built are marked `# not yet in effect`.  Paths are printed as they were written. */
void config_print(const struct config *config, FILE *out);

/* `path` as the process must open it: against the directory of the file, else as it is.  The caller
 * frees; NULL when out of memory. */
char *config_path(const struct config *config, const char *path);

/* Whether an address (AF_INET, AF_INET6, also IPv4-mapped) lies in one of the networks.
 * Any thread. */
bool network_list_has(const struct network_list *networks, const struct sockaddr *address);

/* 127.0.0.0/8, ::1, and the former mapped into IPv6.  Any thread. */
bool address_is_loopback(const struct sockaddr *address);

/* The YAML text of the embedded default, terminated. */
extern const char config_default_yaml[];

#endif
