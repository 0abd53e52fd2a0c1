/* Deferred messages are read: one after the other, one by its name, a piece of one, a list of all. */
#include <errno.h>
#include <sqlite3.h>

#include "core/store_mailbox.h"

#define SAME_HASH_MAX 16 /* a sender may give one Call-ID to many: then it names none */

/* ---- into the answer's block ---- */

struct text {
	char *at;
	size_t left;
};

static bool copy(struct text *text, struct slice *to, struct slice from)
{
	if (from.n > text->left)
		return false;
	*to = slice_of(text->at, from.n);
	if (from.n)
		memcpy(text->at, from.p, from.n);
	text->at += from.n;
	text->left -= from.n;
	return true;
}

/* Columns of STORE_MESSAGE_COLUMNS. */
enum { POSITION, FLAGS, RECEIVED, EXPIRES_AT, SIZE, ID, SUMMARY, CALL_ID, HEAD, MSRP, CONTENT };

static uint64_t number(struct sqlite3_stmt *row, int column)
{
	return (uint64_t)sqlite3_column_int64(row, column);
}

/* False: no room for all of it.  `is_first`: then its content may be cut, or stay away. */
static bool read_message(struct store_deferred *m, struct sqlite3_stmt *row, struct text *text, bool is_first)
{
	unsigned flags = (unsigned)number(row, FLAGS);

	*m = (struct store_deferred){ .position = number(row, POSITION), .received_us = number(row, RECEIVED),
		.expires_at_s = number(row, EXPIRES_AT), .size = number(row, SIZE),
		.type = flags & STORE_FLAG_LARGE ? STORE_LARGE : STORE_PAGER,
		.is_urgent = flags & STORE_FLAG_URGENT, .is_multimedia = flags & STORE_FLAG_MULTIMEDIA };
	if (!copy(text, &m->id, store_column(row, ID)) || !copy(text, &m->summary, store_column(row, SUMMARY)) ||
	    !copy(text, &m->call_id, store_column(row, CALL_ID)) || !copy(text, &m->head, store_column(row, HEAD)) ||
	    !copy(text, &m->msrp, store_column(row, MSRP)))
		return false;
	struct slice content = store_column(row, CONTENT);
	if (is_first && content.n > text->left)
		content.n = text->left;
	return copy(text, &m->content, content);
}

/* ---- the oldest ---- */

int store_next(struct store *store, struct store_deferred_next *r)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_NEXT);
	struct text text = { r->text, r->room };
	struct store_mailbox mailbox;
	unsigned most = r->most < STORE_NEXT_MAX ? r->most : STORE_NEXT_MAX;
	int err = store_mailbox_read(store, &mailbox, r->mailbox), code;

	r->count = 0;
	r->is_last = true;
	if (err || !mailbox.exists)
		return err;
	const uint64_t numbers[] = { mailbox.id, r->after, r->now_s, most + 1 };
	store_bind_numbers(row, 1, numbers, 4);
	while ((code = sqlite3_step(row)) == SQLITE_ROW && r->count < most &&
		read_message(&r->messages[r->count], row, &text, r->count == 0))
		r->count++;
	sqlite3_reset(row);
	r->is_last = code == SQLITE_DONE;
	if (code == SQLITE_ROW && r->count == 0 && most > 0)
		return ENOBUFS;
	return store_errno(code);
}

/* ---- one ---- */

/* The only one with this key; of ids there is never a second. */
static int find_by(struct store *store, struct store_deferred_find *r, uint64_t mailbox, enum store_key kind)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_FIND);
	const uint64_t numbers[] = { mailbox, kind, store_hash(r->key), r->now_s, SAME_HASH_MAX + 1 };
	struct text text = { r->text, r->room };
	unsigned seen = 0, found = 0;
	int code, err = 0;

	store_bind_numbers(row, 1, numbers, 5);
	while ((code = sqlite3_step(row)) == SQLITE_ROW && !err) {
		seen++;
		if (!slice_eq(store_column(row, kind == STORE_KEY_ID ? ID : CALL_ID), r->key) || found++)
			continue;
		err = read_message(&r->message, row, &text, true) ? 0 : ENOBUFS;
	}
	sqlite3_reset(row);
	if (!err)
		err = store_errno(code);
	return err ? err : found == 1 && seen <= SAME_HASH_MAX ? 0 : ENOENT;
}

int store_find(struct store *store, struct store_deferred_find *r)
{
	struct store_mailbox mailbox;
	int err = store_mailbox_read(store, &mailbox, r->mailbox);

	if (err || !mailbox.exists || !r->key.n)
		return err ? err : ENOENT;
	err = find_by(store, r, mailbox.id, STORE_KEY_ID);
	return err == ENOENT ? find_by(store, r, mailbox.id, STORE_KEY_CALL_ID) : err;
}

/* ---- content ---- */

/* What of `content`, which begins at `at`, is wanted. */
static int give(struct store_content_get *r, uint64_t at, struct slice content)
{
	struct text text = { r->text, sizeof(r->text) };
	struct slice rest = r->offset - at < content.n ? slice_skip(content, r->offset - at) : SLICE_EMPTY;

	if (rest.n > sizeof(r->text))
		rest.n = sizeof(r->text);
	return rest.n && copy(&text, &r->piece, rest) ? 0 : ENOENT;
}

static int give_piece(struct store *store, struct store_content_get *r, uint64_t content_id)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_CONTENT_AT);
	const uint64_t numbers[] = { content_id, r->offset };

	store_bind_numbers(row, 1, numbers, 2);
	int code = sqlite3_step(row);
	int err = code == SQLITE_ROW ? give(r, number(row, 0), store_column(row, 1)) :
		  code == SQLITE_DONE ? ENOENT : store_errno(code);
	sqlite3_reset(row);
	return err;
}

int store_get_content(struct store *store, struct store_content_get *r)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_CONTENT);

	r->piece = SLICE_EMPTY;
	if (r->upload)
		return give_piece(store, r, r->upload);
	store_bind_numbers(row, 1, &r->position, 1);
	int code = sqlite3_step(row);
	uint64_t content_id = number(row, 0);
	int err = code == SQLITE_DONE ? ENOENT : store_errno(code);
	if (!err && !content_id)
		err = give(r, 0, store_column(row, 1));
	sqlite3_reset(row);
	return err || !content_id ? err : give_piece(store, r, content_id);
}

/* ---- the list ---- */

/* As above; the first goes without its summary rather than stop the list. */
static bool read_row(struct store_deferred_row *to, struct sqlite3_stmt *row, struct text *text, bool is_first)
{
	unsigned flags = (unsigned)number(row, FLAGS);

	*to = (struct store_deferred_row){ .position = number(row, POSITION), .size = number(row, SIZE),
		.received_us = number(row, RECEIVED), .expires_at_s = number(row, EXPIRES_AT),
		.type = flags & STORE_FLAG_LARGE ? STORE_LARGE : STORE_PAGER,
		.is_urgent = flags & STORE_FLAG_URGENT, .is_multimedia = flags & STORE_FLAG_MULTIMEDIA };
	return copy(text, &to->id, store_column(row, ID)) &&
	       (copy(text, &to->summary, store_column(row, SUMMARY)) || is_first);
}

static int list(struct store *store, struct store_deferred_summary *r, uint64_t mailbox)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_ROWS);
	struct text text = { r->text, r->room };
	unsigned most = r->most < STORE_SUMMARY_MAX ? r->most : STORE_SUMMARY_MAX;
	const uint64_t numbers[] = { mailbox, r->after, r->now_s, most + 1 };
	int code;

	store_bind_numbers(row, 1, numbers, 4);
	while ((code = sqlite3_step(row)) == SQLITE_ROW && r->count < most &&
		read_row(&r->rows[r->count], row, &text, r->count == 0))
		r->count++;
	sqlite3_reset(row);
	r->is_last = code == SQLITE_DONE;
	return code == SQLITE_ROW && r->count == 0 && most > 0 ? ENOBUFS : store_errno(code);
}

int store_summary(struct store *store, struct store_deferred_summary *r)
{
	struct store_mailbox mailbox;
	int err;

	r->count = r->expired = 0;
	r->is_last = true;
	if ((err = store_mailbox_read(store, &mailbox, r->mailbox)) || !mailbox.exists)
		return err;
	if ((err = store_mailbox_expire(store, &mailbox, r->now_s, STORE_EXPIRE_MAX, &r->expired)) ||
	    (mailbox.next_expiry != mailbox.stored_expiry && (err = store_mailbox_write(store, &mailbox))))
		return err;
	r->counts = mailbox.counts;
	return list(store, r, mailbox.id);
}
