/* Deferred messages whose content comes in pieces: invisible until the last one; and the content of those
 * that are gone, which is deleted a little with each group, so that no request waits for 100 MiB of it. */
#include <errno.h>
#include <sqlite3.h>

#include "core/log.h"
#include "core/store_mailbox.h"

#define GARBAGE_PIECES 8

int store_add_content(struct store *store, uint64_t content_id, uint64_t offset, struct slice content)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_CONTENT_ADD);
	int err = 0;

	while (content.n && !err) {
		size_t n = content.n < STORE_PIECE_MAX ? content.n : STORE_PIECE_MAX;
		const uint64_t numbers[] = { content_id, offset };
		store_bind_numbers(row, 1, numbers, 2);
		sqlite3_bind_blob(row, 3, content.p, (int)n, SQLITE_STATIC);
		err = store_run(store, STATEMENT_CONTENT_ADD);
		offset += n;
		content = slice_skip(content, n);
	}
	return err;
}

/* ---- an upload ---- */

int store_open_upload(struct store *store, struct store_deferred_put *r)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_UPLOAD_ADD);
	struct store_mailbox mailbox;
	int err;

	if (!store_fits(&r->message))
		return EFBIG;
	if ((err = store_mailbox_read(store, &mailbox, r->mailbox)) || (err = store_check_quota(store, &mailbox, r)))
		return err;
	if (!mailbox.exists)
		mailbox.id = ++store->totals.last_mailbox;
	mailbox.uploads++;
	mailbox.upload_octets += r->message.size;
	const uint64_t id = ++store->totals.last_content, numbers[] = { r->message.size, store_flags(&r->message) };
	store_bind_numbers(row, 1, &id, 1);
	store_bind(row, 2, r->mailbox);
	store_bind_numbers(row, 3, numbers, 2);
	store_bind(row, 5, r->message.id);
	store_bind(row, 6, r->message.call_id);
	store_bind(row, 7, r->message.summary);
	store_bind(row, 8, r->message.head);
	if ((err = store_run(store, STATEMENT_UPLOAD_ADD)) || (err = store_mailbox_write(store, &mailbox)))
		return err;
	r->upload = id;
	return 0;
}

/* Its row, valid until store_done_with(). */
struct upload {
	struct sqlite3_stmt *row;
	uint64_t id, reserved, received;
	unsigned flags;
	struct slice mailbox;
};

enum { MAILBOX, RESERVED, RECEIVED, FLAGS, MESSAGE_ID, CALL_ID, SUMMARY, HEAD };

static int find_upload(struct store *store, struct upload *u, uint64_t id)
{
	u->row = store_use(store, STATEMENT_UPLOAD_GET);
	store_bind_numbers(u->row, 1, &id, 1);
	int code = sqlite3_step(u->row);
	u->id = id;
	u->mailbox = store_column(u->row, MAILBOX);
	u->reserved = (uint64_t)sqlite3_column_int64(u->row, RESERVED);
	u->received = (uint64_t)sqlite3_column_int64(u->row, RECEIVED);
	u->flags = (unsigned)sqlite3_column_int64(u->row, FLAGS);
	return code == SQLITE_DONE ? ENOENT : store_errno(code);
}

static void done_with(struct upload *u)
{
	sqlite3_reset(u->row);
}

/* Nothing out of order, and nothing beyond what was announced: what is closed is whole. */
static int check_piece(const struct upload *u, uint64_t offset, struct slice piece)
{
	if (offset != u->received || piece.n > STORE_PIECE_MAX)
		return EINVAL;
	return piece.n > u->reserved - u->received ? EFBIG : 0;
}

int store_put_piece(struct store *store, struct store_content_put *r)
{
	struct upload u;
	int err = find_upload(store, &u, r->upload);

	if (!err)
		err = check_piece(&u, r->offset, r->piece);
	done_with(&u);
	if (err || (err = store_add_content(store, u.id, r->offset, r->piece)))
		return err;
	const uint64_t numbers[] = { u.id, r->offset + r->piece.n };
	store_bind_numbers(store_use(store, STATEMENT_UPLOAD_RECEIVED), 1, numbers, 2);
	return store_run(store, STATEMENT_UPLOAD_RECEIVED);
}

static int delete_upload(struct store *store, uint64_t id)
{
	store_bind_numbers(store_use(store, STATEMENT_UPLOAD_DELETE), 1, &id, 1);
	return store_run(store, STATEMENT_UPLOAD_DELETE);
}

/* The message becomes visible; `u` is read meanwhile. */
static int show(struct store *store, const struct upload *u, struct store_deferred_close *r)
{
	struct store_deferred message = { .id = store_column(u->row, MESSAGE_ID), .msrp = r->msrp,
		.call_id = store_column(u->row, CALL_ID), .summary = store_column(u->row, SUMMARY),
		.head = store_column(u->row, HEAD), .is_urgent = u->flags & STORE_FLAG_URGENT,
		.type = u->flags & STORE_FLAG_LARGE ? STORE_LARGE : STORE_PAGER,
		.is_multimedia = r->is_multimedia, .received_us = r->received_us, .expires_at_s = r->expires_at_s,
		.size = r->size };
	struct store_mailbox mailbox;
	struct store_row row = { .content_id = u->id };
	int err;

	if (!store_fits(&message))
		return EFBIG;
	if ((err = store_mailbox_read(store, &mailbox, u->mailbox)))
		return err;
	mailbox.uploads--;
	mailbox.upload_octets -= u->reserved;
	if (u->received == 0) /* all of it is this piece */
		row = (struct store_row){ .content = r->piece };
	else if ((err = store_add_content(store, u->id, r->offset, r->piece)))
		return err;
	if ((err = store_message_add(store, &mailbox, &message, row)))
		return err;
	r->position = message.position;
	return store_mailbox_write(store, &mailbox);
}

int store_close_upload(struct store *store, struct store_deferred_close *r)
{
	struct upload u;
	int err = find_upload(store, &u, r->upload);

	if (!err && !(err = check_piece(&u, r->offset, r->piece)))
		err = r->size == u.received + r->piece.n ? show(store, &u, r) : EINVAL;
	done_with(&u);
	return err ? err : delete_upload(store, r->upload);
}

static int give_back(struct store *store, const struct upload *u)
{
	struct store_mailbox mailbox;
	int err = store_mailbox_read(store, &mailbox, u->mailbox);

	if (err)
		return err;
	mailbox.uploads--;
	mailbox.upload_octets -= u->reserved;
	return store_mailbox_write(store, &mailbox);
}

int store_abort_upload(struct store *store, struct store_deferred_abort *r)
{
	struct upload u;
	int err = find_upload(store, &u, r->upload);

	if (!err)
		err = give_back(store, &u);
	done_with(&u);
	if (err || (u.received && (err = store_discard_content(store, u.id))))
		return err;
	return delete_upload(store, r->upload);
}

/* ---- of many ---- */

static int share(struct store *store, struct store_mailbox *mailbox, struct store_deferred_put *r)
{
	int err;

	if (!mailbox->exists)
		mailbox->id = ++store->totals.last_mailbox;
	store_bind_numbers(store_use(store, STATEMENT_SHARE_ADD), 1, &r->upload, 1);
	if ((err = store_run(store, STATEMENT_SHARE_ADD)) ||
	    (err = store_message_add(store, mailbox, &r->message, (struct store_row){ .content_id = r->upload })))
		return err;
	return store_mailbox_write(store, mailbox);
}

int store_share_upload(struct store *store, struct store_deferred_put *r)
{
	struct store_mailbox mailbox;
	struct upload u;
	int err = find_upload(store, &u, r->upload);

	if (!err && (!u.received || r->message.size != u.received))
		err = EINVAL;
	done_with(&u);
	if (err)
		return err;
	if (!store_fits(&r->message))
		return EFBIG;
	if ((err = store_mailbox_read(store, &mailbox, r->mailbox)) || (err = store_check_quota(store, &mailbox, r)))
		return err;
	return share(store, &mailbox, r);
}

/* *is_held: somebody else still has it. */
static int leave_share(struct store *store, uint64_t content_id, bool *is_held)
{
	int err;

	*is_held = false;
	store_bind_numbers(store_use(store, STATEMENT_SHARE_LESS), 1, &content_id, 1);
	if ((err = store_run(store, STATEMENT_SHARE_LESS)) || !sqlite3_changes(store->db))
		return err;
	store_bind_numbers(store_use(store, STATEMENT_SHARE_DELETE), 1, &content_id, 1);
	err = store_run(store, STATEMENT_SHARE_DELETE);
	*is_held = !err && !sqlite3_changes(store->db);
	return err;
}

/* ---- what is left over ---- */

int store_discard_content(struct store *store, uint64_t content_id)
{
	bool is_held;
	int err = leave_share(store, content_id, &is_held);

	if (err || is_held)
		return err;
	store_bind_numbers(store_use(store, STATEMENT_GARBAGE_ADD), 1, &content_id, 1);
	store->has_garbage = true;
	return store_run(store, STATEMENT_GARBAGE_ADD);
}

int store_sweep_uploads(struct store *store)
{
	uint64_t uploads = 0;
	int err = store_ask_number(store, "SELECT count(*) FROM upload", &uploads);

	if (err || !uploads)
		return err;
	LOG(INFO, NULL, "store", 0, "uploads-swept path=%s count=%llu", store_name(store), (unsigned long long)uploads);
	return store_run_sql(store, "BEGIN IMMEDIATE;"
		"UPDATE content_share SET holders = holders - 1 WHERE id IN (SELECT id FROM upload);"
		"INSERT OR IGNORE INTO garbage SELECT id FROM upload WHERE id NOT IN "
			"(SELECT id FROM content_share WHERE holders > 0);"
		"DELETE FROM content_share WHERE holders <= 0;"
		"UPDATE mailbox SET uploads = 0, upload_octets = 0 WHERE name IN (SELECT mailbox FROM upload);"
		"DELETE FROM mailbox WHERE messages = 0 AND name IN (SELECT mailbox FROM upload);"
		"DELETE FROM upload;"
		"COMMIT");
}

int store_collect_garbage(struct store *store)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_GARBAGE_GET);
	int code = sqlite3_step(row), err;
	const uint64_t numbers[] = { (uint64_t)sqlite3_column_int64(row, 0), GARBAGE_PIECES };

	sqlite3_reset(row);
	store->has_garbage = code == SQLITE_ROW;
	if (code != SQLITE_ROW)
		return store_errno(code);
	store_bind_numbers(store_use(store, STATEMENT_GARBAGE_COLLECT), 1, numbers, 2);
	if ((err = store_run(store, STATEMENT_GARBAGE_COLLECT)) || sqlite3_changes(store->db) == GARBAGE_PIECES)
		return err;
	store_bind_numbers(store_use(store, STATEMENT_GARBAGE_DELETE), 1, numbers, 1);
	return store_run(store, STATEMENT_GARBAGE_DELETE);
}
