/* The store as its files share it.  Private to core/store*.c. */
#ifndef CORE_STORE_INTERNAL_H
#define CORE_STORE_INTERNAL_H

#include "core/store.h"
#include "core/store_deferred_sql.h"

struct sqlite3;
struct sqlite3_stmt;
struct store_checkpointer;

#define STORE_DOCUMENT_STATEMENTS(X)                                                                     \
	X(DOCUMENT_ETAG, "SELECT etag FROM document WHERE auid = ?1 AND owner = ?2 AND name = ?3")       \
	X(DOCUMENT_COUNT, "SELECT count(*) FROM document WHERE auid = ?1 AND owner = ?2")                \
	X(DOCUMENT_PUT, "INSERT INTO document (auid, owner, name, content) VALUES (?1, ?2, ?3, ?4)")     \
	X(DOCUMENT_DELETE, "DELETE FROM document WHERE auid = ?1 AND owner = ?2 AND name = ?3")          \
	X(DOCUMENT_GET, "SELECT etag, content, owner, name FROM document "                               \
		"WHERE auid = ?1 AND owner = ?2 AND name = ?3")                                          \
	X(DOCUMENT_NEXT, "SELECT etag, content, owner, name FROM document "                              \
		"WHERE auid = ?1 AND owner = ?2 AND name > ?3 ORDER BY name LIMIT 1")                    \
	X(DOCUMENT_NEXT_OF_ALL, "SELECT etag, content, owner, name FROM document "                       \
		"WHERE auid = ?1 AND (owner, name) > (?2, ?3) ORDER BY owner, name LIMIT 1")                     \
	X(DOCUMENT_NEXT_WITHOUT_URI, "SELECT etag, content, owner, name FROM document AS d "             \
		"WHERE auid = ?1 AND (owner, name) > (?2, ?3) AND NOT EXISTS (SELECT 1 FROM document_uri AS u " \
		"WHERE u.auid = d.auid AND u.owner = d.owner AND u.name = d.name) ORDER BY owner, name LIMIT 1") \
	X(DOCUMENT_URI_PUT, "INSERT INTO document_uri (auid, owner, name, uri) VALUES (?1, ?2, ?3, ?4)")  \
	X(DOCUMENT_URI_DELETE, "DELETE FROM document_uri WHERE auid = ?1 AND owner = ?2 AND name = ?3")  \
	X(DOCUMENT_URI_TAKEN, "SELECT 1 FROM document_uri WHERE auid = ?1 AND uri = ?4 "                 \
		"AND (owner, name) <> (?2, ?3)")                                                         \
	X(DOCUMENT_FIND, "SELECT d.etag, d.content, d.owner, d.name FROM document_uri AS u JOIN document AS d " \
		"ON d.auid = u.auid AND d.owner = u.owner AND d.name = u.name WHERE u.auid = ?1 AND u.uri = ?2")

/* X(name, SQL): prepared once for each opening. */
#define STORE_STATEMENTS(X)                                                                              \
	X(BEGIN, "BEGIN IMMEDIATE")                                                                      \
	X(COMMIT, "COMMIT")                                                                              \
	X(SAVEPOINT, "SAVEPOINT request")                                                                \
	X(RELEASE, "RELEASE request")                                                                    \
	X(ROLLBACK_TO, "ROLLBACK TO request")                                                            \
	X(USER_PUT, "INSERT INTO user (name, ha1_md5, ha1_sha256) VALUES (?1, ?2, ?3) "                  \
		    "ON CONFLICT (name) DO UPDATE SET ha1_md5 = ?2, ha1_sha256 = ?3")                    \
	X(USER_GET, "SELECT name, ha1_md5, ha1_sha256 FROM user WHERE name = ?1")                        \
	X(USER_DELETE, "DELETE FROM user WHERE name = ?1")                                               \
	X(USER_LIST, "SELECT name, ha1_md5, ha1_sha256 FROM user WHERE name > ?1 ORDER BY name LIMIT ?2") \
	X(REGISTRATION_PUT, "INSERT INTO registration (aor, contact, params, path, instance, reg_id, call_id, " \
		"cseq, q, listener, peer, updated, expires_at) "                                         \
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)")                       \
	X(REGISTRATION_DELETE, "DELETE FROM registration WHERE aor = ?1")                                \
	X(REGISTRATION_SWEEP, "DELETE FROM registration WHERE id IN "                                    \
		"(SELECT id FROM registration WHERE expires_at <= ?1 LIMIT ?2)")                         \
	X(REGISTRATION_LOAD, "SELECT aor, contact, params, path, instance, reg_id, call_id, cseq, q, "   \
		"listener, peer, updated, expires_at, id FROM registration "                             \
		"WHERE id > ?1 AND expires_at > ?2 ORDER BY id LIMIT ?3")                                \
	STORE_DOCUMENT_STATEMENTS(X)                                                                      \
	X(PUBLICATION_PUT, "INSERT INTO publication (user, etag, known, settings, updated, expires_at) "    \
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6)")                                                       \
	X(PUBLICATION_DELETE, "DELETE FROM publication WHERE user = ?1 AND etag = ?2")                     \
	X(PUBLICATION_SWEEP, "DELETE FROM publication WHERE id IN "                                      \
		"(SELECT id FROM publication WHERE expires_at <= ?1 LIMIT ?2)")                          \
	X(PUBLICATION_LOAD, "SELECT user, etag, known, settings, updated, expires_at, id FROM publication "  \
		"WHERE id > ?1 AND expires_at > ?2 ORDER BY id LIMIT ?3")

enum store_statement {
#define X(name, sql) STATEMENT_##name,
	STORE_STATEMENTS(X) STORE_DEFERRED_STATEMENTS(X)
#undef X
	STATEMENT_COUNT
};

/* Of all mailboxes; what was given to something is never given again. */
struct store_totals {
	uint64_t messages, octets;
	uint64_t last_position, last_mailbox, last_content;
	uint64_t expired; /* since somebody asked */
};

struct store {
	enum store_synchronous synchronous;
	_Atomic uint64_t wal_limit; /* any thread */
	char *path; /* NULL: in memory */
	int lock;
	struct sqlite3 *db; /* NULL: a failure closed it, and it could not be opened since */
	struct sqlite3_stmt *statements[STATEMENT_COUNT];
	uint64_t tried_at_ms; /* the last attempt to open it again */
	uint64_t page_octets, wal_frames;
	uint64_t frames_told;       /* when the checkpointer was woken last */
	uint64_t restart_at_ms;     /* not before then: somebody still read the log */
	bool is_full;
	struct store_checkpointer *checkpointer; /* NULL: in memory */
	bool is_careful;            /* a request failed half done: from then on each has a SAVEPOINT */
	bool has_garbage;           /* content that nobody needs any more, as far as is known */
	struct store_totals committed;
	/* ---- the group ---- */
	struct store_totals totals; /* when it is committed */
	struct store_request *first, **end;
	unsigned count;
	uint64_t octets;
	int failed; /* the group is lost: why */
};

/* ---- store_checkpoint.c: NULL is allowed in all but the first ---- */
int store_checkpointer_start(struct store_checkpointer **out, const char *path); /* `path` must outlive it */
void store_checkpointer_stop(struct store_checkpointer *c);
void store_checkpointer_wake(struct store_checkpointer *c);
/* False: it works just now. */
bool store_checkpointer_pause(struct store_checkpointer *c);
void store_checkpointer_go_on(struct store_checkpointer *c);
/* Closes its connection, because the store closes its own; waits for a checkpoint to end. */
void store_checkpointer_forget(struct store_checkpointer *c);

/* ---- store_check.c ---- */
/* EUCLEAN: a page is damaged.  Takes a second at most. */
int store_check_pages(struct store *store);

/* ---- store_schema.c ---- */
/* Makes the schema, or brings an older one up.  EINVAL: not ours, or of a later version. */
int store_check_schema(struct store *store);

/* For the log. */
const char *store_name(const struct store *store);
int store_run_sql(struct store *store, const char *sql);
/* The first column of the first row as a number. */
int store_ask_number(struct store *store, const char *sql, uint64_t *number);

/* What sqlite said as an errno; 0 for SQLITE_OK, ROW and DONE. */
int store_errno(int code);

/* The statement, reset.  Bind and step it; store_done() it before the next use of the same. */
struct sqlite3_stmt *store_statement(struct store *store, enum store_statement which);
void store_bind(struct sqlite3_stmt *statement, int at, struct slice text);

/* ---- store_deferred.c ---- */
int store_load_totals(struct store *store);  /* at opening */
int store_write_totals(struct store *store); /* before a commit */

/* ---- store_upload.c ---- */
int store_sweep_uploads(struct store *store);   /* at the start: those that the last process left */
int store_collect_garbage(struct store *store); /* in a group: some of it */

/* Kinds that begin with DEFERRED or CONTENT. */
int store_run_deferred(struct store *store, struct store_request *request);

/* Kinds that begin with PUBLICATION. */
int store_run_publication(struct store *store, struct store_request *request);
int store_sweep_publications(struct store *store, uint64_t now_s, unsigned most, unsigned *removed);

/* The work of one kind of request, between its SAVEPOINT and RELEASE: 0 or errno. */
int store_run_request(struct store *store, struct store_request *request);

/* ---- store_documents.c ---- */
int store_run_document(struct store *store, struct store_request *request);

#endif
