/* Deferred messages as the files of the store share them: the row of a mailbox, and a message coming or
 * going with all that belongs to it.  Private to core/store*.c; the store's thread. */
#ifndef CORE_STORE_MAILBOX_H
#define CORE_STORE_MAILBOX_H

#include "core/store_deferred.h"
#include "core/store_internal.h"

/* Columns `flags`. */
enum { STORE_FLAG_LARGE = 1, STORE_FLAG_URGENT = 2, STORE_FLAG_MULTIMEDIA = 4 };

/* Column `kind` of deferred_key. */
enum store_key { STORE_KEY_ORDER, STORE_KEY_ID, STORE_KEY_CALL_ID, STORE_KEY_EXPIRY };

#define STORE_NEVER ((uint64_t)INT64_MAX)

/* A row of the table mailbox, read, changed and written back within one request. */
struct store_mailbox {
	struct slice name;
	bool exists;      /* in the table */
	uint64_t id;      /* 0: given when it is written for the first time */
	uint64_t next_expiry, stored_expiry;
	struct store_deferred_counts counts;
	uint64_t uploads, upload_octets;
};

/* An unknown mailbox is read as an empty one. */
int store_mailbox_read(struct store *store, struct store_mailbox *mailbox, struct slice name);
/* A mailbox with nothing in it goes. */
int store_mailbox_write(struct store *store, struct store_mailbox *mailbox);

/* Else no NEXT could hand it out. */
bool store_fits(const struct store_deferred *message);
unsigned store_flags(const struct store_deferred *message);

/* Where a row's content is: `content_id` 0: in `content`. */
struct store_row {
	uint64_t content_id;
	struct slice content;
};

/* Makes the message visible: its row, its keys, the counts of `mailbox`.  Gives it its position. */
int store_message_add(struct store *store, struct store_mailbox *mailbox, struct store_deferred *message,
	struct store_row row);
/* The reverse, for those of `n` positions (at most STORE_EXPIRE_MAX) that are in this mailbox. */
int store_messages_remove(struct store *store, struct store_mailbox *mailbox, const uint64_t *positions,
	unsigned n, unsigned *removed);

/* Removes what expired, at most `most`; *removed is how many. */
int store_mailbox_expire(struct store *store, struct store_mailbox *mailbox, uint64_t now_s, unsigned most,
	unsigned *removed);

uint64_t store_hash(struct slice text);

/* ---- statements ---- */
/* Binds `values` from parameter `first` on. */
void store_bind_numbers(struct sqlite3_stmt *statement, int first, const uint64_t *values, int count);
/* Runs to the end what gives no rows. */
int store_run(struct store *store, enum store_statement which);
struct slice store_column(struct sqlite3_stmt *row, int column);
static inline struct sqlite3_stmt *store_use(struct store *store, enum store_statement which)
{
	return store->statements[which]; /* every use binds all parameters */
}

/* ---- the kinds, by file ---- */
int store_next(struct store *store, struct store_deferred_next *r);            /* store_reading.c */
int store_find(struct store *store, struct store_deferred_find *r);
int store_get_content(struct store *store, struct store_content_get *r);
int store_summary(struct store *store, struct store_deferred_summary *r);
int store_open_upload(struct store *store, struct store_deferred_put *r);      /* store_upload.c */
int store_put_piece(struct store *store, struct store_content_put *r);
int store_close_upload(struct store *store, struct store_deferred_close *r);
int store_share_upload(struct store *store, struct store_deferred_put *r);
int store_abort_upload(struct store *store, struct store_deferred_abort *r);
/* PUT: content too long for its row. */
int store_add_content(struct store *store, uint64_t content_id, uint64_t offset, struct slice content);
/* One holder less; of the last one its pieces go, little by little. */
int store_discard_content(struct store *store, uint64_t content_id);
/* Does one more message of `size` octets fit?  Makes room by what expired. */
int store_check_quota(struct store *store, struct store_mailbox *mailbox, struct store_deferred_put *r);

#endif
