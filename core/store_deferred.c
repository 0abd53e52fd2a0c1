#include "core/store_deferred.h"

#include <errno.h>
#include <sqlite3.h>

#include "core/store_mailbox.h"

/* ---- keeping ---- */

static bool has_room(const struct store_mailbox *mailbox, const struct store_deferred_put *r)
{
	uint64_t messages = mailbox->counts.messages + mailbox->uploads;
	uint64_t octets = mailbox->counts.octets + mailbox->upload_octets;

	if (r->quota_messages && messages >= r->quota_messages)
		return false;
	return !r->quota_octets || (octets <= r->quota_octets && r->message.size <= r->quota_octets - octets);
}

int store_check_quota(struct store *store, struct store_mailbox *mailbox, struct store_deferred_put *r)
{
	if (has_room(mailbox, r))
		return 0;
	int err = store_mailbox_expire(store, mailbox, r->message.received_us / 1000000, STORE_EXPIRE_MAX, &r->expired);
	return err ? err : has_room(mailbox, r) ? 0 : EDQUOT;
}

/* PUT has no SAVEPOINT that would undo it: what expired stays gone, and is counted so. */
static int refuse(struct store *store, struct store_mailbox *mailbox)
{
	int err = store_mailbox_write(store, mailbox);

	return err ? err : EDQUOT;
}

static int put(struct store *store, struct store_deferred_put *r)
{
	struct store_deferred *message = &r->message;
	struct store_mailbox mailbox;
	struct store_row row = { 0 };
	int err;

	if (message->content.n != message->size)
		return EINVAL;
	if (!store_fits(message))
		return EFBIG;
	r->expired = 0;
	if ((err = store_mailbox_read(store, &mailbox, r->mailbox)))
		return err;
	if ((err = store_check_quota(store, &mailbox, r)))
		return err == EDQUOT && r->expired ? refuse(store, &mailbox) : err;
	if (!mailbox.exists)
		mailbox.id = ++store->totals.last_mailbox;
	if (message->size <= STORE_PIECE_MAX)
		row.content = message->content;
	else if ((err = store_add_content(store, row.content_id = ++store->totals.last_content, 0, message->content)))
		return err;
	err = store_message_add(store, &mailbox, message, row);
	return err ? err : store_mailbox_write(store, &mailbox);
}

/* ---- letting go ---- */

static int remove_messages(struct store *store, struct store_deferred_remove *r)
{
	struct store_mailbox mailbox;
	int err = store_mailbox_read(store, &mailbox, r->mailbox);

	r->removed = 0;
	if (err || !mailbox.exists)
		return err;
	err = store_messages_remove(store, &mailbox, r->positions,
		r->count < STORE_REMOVE_MAX ? r->count : STORE_REMOVE_MAX, &r->removed);
	return err || !r->removed ? err : store_mailbox_write(store, &mailbox);
}

/* Copied: what follows changes the table that is read. */
static int list_expired(struct store *store, struct store_deferred_sweep *r)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MAILBOX_EXPIRED);
	const uint64_t numbers[] = { r->now_s, STORE_EXPIRED_BOXES };
	char *at = r->text;
	int code;

	store_bind_numbers(row, 1, numbers, 2);
	while ((code = sqlite3_step(row)) == SQLITE_ROW && r->count < STORE_EXPIRED_BOXES) {
		struct slice name = store_column(row, 0);
		if (name.n > STORE_NAME_MAX)
			break; /* not put there by us */
		if (name.n)
			memcpy(at, name.p, name.n);
		r->mailboxes[r->count++] = slice_of(at, name.n);
		at += name.n;
	}
	sqlite3_reset(row);
	return store_errno(code);
}

static int sweep(struct store *store, struct store_deferred_sweep *r)
{
	struct store_mailbox mailbox;
	unsigned left = STORE_EXPIRE_MAX, removed, seen = 0;
	int err;

	r->removed = r->count = 0;
	err = list_expired(store, r);
	r->is_last = r->count < STORE_EXPIRED_BOXES;
	for (unsigned i = 0, n = r->count; i < n && !err && left; i++) {
		if ((err = store_mailbox_read(store, &mailbox, r->mailboxes[i])) ||
		    (err = store_mailbox_expire(store, &mailbox, r->now_s, left, &removed)) ||
		    (err = store_mailbox_write(store, &mailbox)))
			return err;
		left -= removed;
		r->removed += removed;
		if (removed) /* else it had none any more: its row said so only at least */
			r->mailboxes[seen++] = r->mailboxes[i];
	}
	r->count = seen;
	if (!left)
		r->is_last = false;
	return err;
}

/* ---- all ---- */

int store_run_deferred(struct store *store, struct store_request *r)
{
	switch ((unsigned)r->kind) {
	case STORE_DEFERRED_PUT:
		return put(store, (struct store_deferred_put *)r);
	case STORE_DEFERRED_OPEN:
		return store_open_upload(store, (struct store_deferred_put *)r);
	case STORE_CONTENT_PUT:
		return store_put_piece(store, (struct store_content_put *)r);
	case STORE_DEFERRED_CLOSE:
		return store_close_upload(store, (struct store_deferred_close *)r);
	case STORE_DEFERRED_SHARE:
		return store_share_upload(store, (struct store_deferred_put *)r);
	case STORE_DEFERRED_ABORT:
		return store_abort_upload(store, (struct store_deferred_abort *)r);
	case STORE_DEFERRED_NEXT:
		return store_next(store, (struct store_deferred_next *)r);
	case STORE_DEFERRED_FIND:
		return store_find(store, (struct store_deferred_find *)r);
	case STORE_CONTENT_GET:
		return store_get_content(store, (struct store_content_get *)r);
	case STORE_DEFERRED_REMOVE:
		return remove_messages(store, (struct store_deferred_remove *)r);
	case STORE_DEFERRED_SUMMARY:
		return store_summary(store, (struct store_deferred_summary *)r);
	case STORE_DEFERRED_SWEEP:
		return sweep(store, (struct store_deferred_sweep *)r);
	}
	return EINVAL;
}

/* ---- totals ---- */

void store_deferred_totals(const struct store *store, uint64_t *messages, uint64_t *octets)
{
	*messages = store->committed.messages;
	*octets = store->committed.octets;
}

uint64_t store_deferred_take_expired(struct store *store)
{
	uint64_t expired = store->committed.expired;

	store->totals.expired -= expired;
	store->committed.expired = 0;
	return expired;
}

int store_load_totals(struct store *store)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_TOTAL_GET);
	struct store_totals *t = &store->totals;
	uint64_t *const to[] = { &t->messages, &t->octets, &t->last_position, &t->last_mailbox, &t->last_content };

	int code = sqlite3_step(row);
	for (int i = 0; i < 5; i++)
		*to[i] = (uint64_t)sqlite3_column_int64(row, i);
	sqlite3_reset(row);
	store->committed = *t;
	return code == SQLITE_DONE ? EUCLEAN : store_errno(code);
}

int store_write_totals(struct store *store)
{
	const struct store_totals *t = &store->totals, *c = &store->committed;
	const uint64_t values[] = { t->messages, t->octets, t->last_position, t->last_mailbox, t->last_content };

	if (t->messages == c->messages && t->octets == c->octets && t->last_position == c->last_position &&
	    t->last_mailbox == c->last_mailbox && t->last_content == c->last_content)
		return 0;
	store_bind_numbers(store_use(store, STATEMENT_TOTAL_PUT), 1, values, 5);
	return store_run(store, STATEMENT_TOTAL_PUT);
}
