/*
 * The store: what must outlive the process, in sqlite3 (design.md 6).  This is
 * the part that executes requests, a group at a time; who brings them there and
 * carries the answers home is actors/store_actor.h.
 *
 *	store_begin()
 *	store_execute() for each request, while store_group_has_room()
 *	store_commit(): the requests again, each with its final msg.err
 *
 * Nothing of a group is true before store_commit() said err 0.
 *
 * Thread: one, whichever opened it (the store thread; in the simulator the only
 * one).  A request belongs to the store until store_commit() gave it back.
 */
#ifndef CORE_STORE_H
#define CORE_STORE_H

#include <semaphore.h>

#include "core/mailbox.h"
#include "core/options.h"
#include "core/slice.h"

#define STORE_NAME_MAX 320 /* a canonical name, user@host */

/* X(name, is it new work that may be refused for want of room: puts; reads and removals never are) */
#define STORE_KINDS(X)          \
	X(USER_PUT, true)            \
	X(USER_GET, false)           \
	X(USER_DELETE, false)        \
	X(USER_LIST, false)          \
	X(REGISTRATION_PUT, true)    \
	X(REGISTRATION_DELETE, false) \
	X(REGISTRATION_SWEEP, false) \
	X(REGISTRATION_LOAD, false)  \
	/* store_publications.h */   \
	X(PUBLICATION_PUT, true)     \
	X(PUBLICATION_DELETE, false) \
	X(PUBLICATION_LOAD, false)   \
	/* core/store_deferred.h */  \
	X(DEFERRED_PUT, true)        \
	X(DEFERRED_OPEN, true)       \
	X(CONTENT_PUT, true)         \
	X(DEFERRED_CLOSE, true)      \
	X(DEFERRED_SHARE, true)      \
	X(DEFERRED_ABORT, false)     \
	X(DEFERRED_NEXT, false)      \
	X(DEFERRED_FIND, false)      \
	X(CONTENT_GET, false)        \
	X(DEFERRED_REMOVE, false)    \
	X(DEFERRED_SUMMARY, false)   \
	X(DEFERRED_SWEEP, false)     \
	/* core/store_documents.h */ \
	X(DOCUMENT_PUT, true)        \
	X(DOCUMENT_GET, false)       \
	X(DOCUMENT_DELETE, false)    \
	X(DOCUMENT_NEXT, false)      \
	X(DOCUMENT_FIND, false)

enum store_kind {
#define X(name, is_put) STORE_##name,
	STORE_KINDS(X)
#undef X
	STORE_KIND_COUNT
};

struct worker;

/*
 * The beginning of every request: one block from malloc(), so that whoever finds it may free() it.
 * Slices in a request point into that same block.  It comes home as its own answer:
 *   msg.err  0         done, and committed
 *            ENOENT    no such row (get, delete)
 *            ENOSPC, EIO, EBUSY, ENOMEM   the disk or the machine said no; nothing was changed
 *            others    as the request says it; nothing was changed
 */
struct store_request {
	struct msg msg;
	enum store_kind kind;
	uint32_t octets; /* what it brings to the disk, about: set by the sender of large ones, else 0 */
	/* On the asking worker; takes the request over. */
	void (*on_answer)(struct worker *, struct store_request *);
	void *asker; /* the sender's own */
	/* ---- the store's ---- */
	struct store_request *next;
	sem_t *waiting; /* of a thread that is no worker */
};

/* ---- users: who may log in (design.md 13, "Users") ---- */

/* Two of each: the name without and with its domain (sip/digest.h, struct digest_secret). */
#define STORE_HA1_MD5    32
#define STORE_HA1_SHA256 64

struct store_user {
	char name[STORE_NAME_MAX]; /* canonical, no terminator */
	uint16_t name_n;
	bool has_password; /* without: no digest login */
	uint8_t ha1_md5[STORE_HA1_MD5], ha1_sha256[STORE_HA1_SHA256];
};

/* STORE_USER_PUT (makes or replaces; `existed` says which), STORE_USER_GET (fills `user`, ENOENT),
 * STORE_USER_DELETE (ENOENT). */
struct store_user_request {
	struct store_request request;
	struct store_user user;
	bool existed;
};

#define STORE_USERS_PAGE 32

/* STORE_USER_LIST: the users after `after` in the order of names, a page at a time. */
struct store_user_list {
	struct store_request request;
	char after[STORE_NAME_MAX];
	uint16_t after_n; /* 0: from the first */
	/* ---- written by the store ---- */
	unsigned count; /* fewer than a page: the last */
	struct store_user users[STORE_USERS_PAGE];
};

/* ---- registrations (RFC 3261 10, 6.2.1) ---- */

#define STORE_BINDINGS_MAX 16

/* One binding.  A core's third-party REGISTER: everything but the expiry is empty. */
struct store_binding {
	struct slice contact;  /* URI */
	struct slice params;   /* of the Contact, as the 200 repeats them */
	struct slice path;     /* RFC 3327: the value for Route */
	struct slice instance; /* RFC 5626 +sip.instance, without quotes */
	struct slice call_id;
	struct slice listener, peer; /* the flow, `udp:127.0.0.1:5060` and `192.0.2.1:5060` */
	uint32_t reg_id, cseq;
	uint32_t q; /* thousandths */
	uint64_t updated; /* grows with each change: which came later */
	uint64_t expires_at_s; /* since 1970 */
};

/* STORE_REGISTRATION_PUT: these are the bindings of the address of record, all others of it go.
 * STORE_REGISTRATION_DELETE: all of it go; count is 0. */
struct store_registration_request {
	struct store_request request;
	struct slice aor;
	unsigned count;
	struct store_binding bindings[STORE_BINDINGS_MAX];
	char text[]; /* what the slices point to */
};

#define STORE_SWEEP_MAX 500

/* STORE_REGISTRATION_SWEEP: rows that expired go, at most STORE_SWEEP_MAX of them; of publications too. */
struct store_registration_sweep {
	struct store_request request;
	uint64_t now_s;
	unsigned removed; /* of the one or the other; STORE_SWEEP_MAX: ask again */
};

#define STORE_REGISTRATIONS_PAGE 32
#define STORE_REGISTRATIONS_TEXT (128 * 1024)

/* STORE_REGISTRATION_LOAD: bindings not yet expired at `now_s`, in the order of their rows, a page at a
 * time.  `text` holds what they point to; a page ends early when it is full. */
struct store_registration_load {
	struct store_request request;
	uint64_t now_s;
	int64_t after; /* 0: from the first; the store sets it for the next page */
	/* ---- written by the store ---- */
	bool is_last;
	unsigned count;
	struct {
		struct slice aor;
		struct store_binding binding;
	} rows[STORE_REGISTRATIONS_PAGE];
	char text[STORE_REGISTRATIONS_TEXT];
};

bool store_kind_is_put(enum store_kind kind);

/* ---- the database ---- */

#define STORE_GROUP_REQUESTS 512
#define STORE_GROUP_OCTETS   (4u << 20)

struct store;

/*
 * Opens or makes the file `path` (NULL: in memory, for tests), 0600, with its schema, under the lock of
 * PATH.lock.  0, or an errno after saying on the log what is wrong: EBUSY another server has it; EINVAL a
 * database of something else, or of a later version; EUCLEAN it is damaged; ENOMEM, EACCES, EIO ...
 * `path` and `options` are copied.
 */
int store_open(struct store **out, const char *path, const struct store_options *options);
/* Any thread: counts from the next group on. */
void store_set_wal_limit(struct store *store, uint64_t octets);
void store_close(struct store *store);

/* Opens a group.  When the database could not be opened again after a failure, the whole group fails. */
void store_begin(struct store *store);
/* Adds a request to the group.  After one that broke the group nothing is executed any more. */
void store_execute(struct store *store, struct store_request *request);
/* False: 512 requests, 4 MiB, or the group failed already: commit now. */
bool store_group_has_room(const struct store *store);
/* Ends the group: its requests in order, linked by `next`.  After a failure the database was closed,
 * checked and opened again. */
struct store_request *store_commit(struct store *store);
/* For tests: the group is lost, as if the disk had failed. */
void store_fail_group(struct store *store, int err);
/* More frames in the write-ahead log than store.wal_limit: new work is refused (ENOSPC) until a
 * checkpoint succeeds. */
bool store_is_full(const struct store *store);
/* There is content to delete that nobody needs any more: each group deletes some, also one without requests. */
bool store_has_garbage(const struct store *store);
/* Between groups, now and then while it is full: tries the checkpoint again. */
void store_relieve(struct store *store);

#endif
