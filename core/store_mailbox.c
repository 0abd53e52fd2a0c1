#include "core/store_mailbox.h"

#include <errno.h>
#include <sqlite3.h>

#include "core/log.h"

uint64_t store_hash(struct slice text) /* FNV-1a; who looks compares the text as well */
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < text.n; i++)
		hash = (hash ^ (uint8_t)text.p[i]) * 1099511628211u;
	return hash & INT64_MAX;
}

void store_bind_numbers(struct sqlite3_stmt *statement, int first, const uint64_t *values, int count)
{
	for (int i = 0; i < count; i++)
		sqlite3_bind_int64(statement, first + i, (sqlite3_int64)(values[i] > INT64_MAX ? INT64_MAX : values[i]));
}

int store_run(struct store *store, enum store_statement which)
{
	int err = store_errno(sqlite3_step(store->statements[which]));

	sqlite3_reset(store->statements[which]);
	return err;
}

struct slice store_column(struct sqlite3_stmt *row, int column)
{
	const char *p = sqlite3_column_blob(row, column); /* of a text: its octets */

	return slice_of(p, p ? (size_t)sqlite3_column_bytes(row, column) : 0);
}

unsigned store_flags(const struct store_deferred *m)
{
	return (m->type == STORE_LARGE ? STORE_FLAG_LARGE : 0u) | (m->is_urgent ? STORE_FLAG_URGENT : 0u) |
	       (m->is_multimedia ? STORE_FLAG_MULTIMEDIA : 0u);
}

bool store_fits(const struct store_deferred *m)
{
	return m->id.n + m->call_id.n + m->summary.n + m->head.n + m->msrp.n <= STORE_HEAD_ROOM;
}

/* ---- the row of a mailbox ---- */

#define COUNTS 8

int store_mailbox_read(struct store *store, struct store_mailbox *m, struct slice name)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MAILBOX_GET);
	uint64_t *const to[] = { &m->id, &m->next_expiry, &m->counts.messages, &m->counts.octets, &m->counts.text,
		&m->counts.text_urgent, &m->counts.multimedia, &m->counts.multimedia_urgent, &m->uploads,
		&m->upload_octets };

	*m = (struct store_mailbox){ .name = name, .next_expiry = STORE_NEVER };
	store_bind(row, 1, name);
	int code = sqlite3_step(row);
	m->exists = code == SQLITE_ROW;
	for (int i = 0; m->exists && i < 2 + COUNTS; i++)
		*to[i] = (uint64_t)sqlite3_column_int64(row, i);
	m->stored_expiry = m->next_expiry;
	sqlite3_reset(row);
	return store_errno(code);
}

static int write_row(struct store *store, struct store_mailbox *m, enum store_statement which)
{
	const uint64_t values[] = { m->counts.messages, m->counts.octets, m->counts.text, m->counts.text_urgent,
		m->counts.multimedia, m->counts.multimedia_urgent, m->uploads, m->upload_octets, m->id, m->next_expiry };
	struct sqlite3_stmt *row = store_use(store, which);

	store_bind(row, 1, m->name);
	store_bind_numbers(row, 2, values, which == STATEMENT_MAILBOX_ADD ? COUNTS + 2 : COUNTS);
	return store_run(store, which);
}

/* Apart: it changes an index, which the counts do not. */
static int write_expiry(struct store *store, struct store_mailbox *m)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MAILBOX_EXPIRY);

	if (m->next_expiry == m->stored_expiry)
		return 0;
	store_bind(row, 1, m->name);
	store_bind_numbers(row, 2, &m->next_expiry, 1);
	return store_run(store, STATEMENT_MAILBOX_EXPIRY);
}

int store_mailbox_write(struct store *store, struct store_mailbox *m)
{
	bool is_empty = m->counts.messages == 0 && m->uploads == 0;
	int err;

	if (is_empty && !m->exists)
		return 0;
	if (is_empty) {
		store_bind(store_use(store, STATEMENT_MAILBOX_DELETE), 1, m->name);
		return store_run(store, STATEMENT_MAILBOX_DELETE);
	}
	if (!m->exists)
		return write_row(store, m, STATEMENT_MAILBOX_ADD);
	return (err = write_row(store, m, STATEMENT_MAILBOX_COUNTS)) ? err : write_expiry(store, m);
}

/* ---- a message comes and goes ---- */

/* Adds one, or with `sign` -1 takes one away. */
static void count(struct store *store, struct store_mailbox *mailbox, unsigned flags, uint64_t size, int sign)
{
	struct store_deferred_counts *c = &mailbox->counts;
	uint64_t one = (uint64_t)(int64_t)sign, octets = sign > 0 ? size : (uint64_t)0 - size; /* modulo 2^64 */
	bool is_urgent = flags & STORE_FLAG_URGENT;

	c->messages += one;
	c->octets += octets;
	*(flags & STORE_FLAG_MULTIMEDIA ? &c->multimedia : &c->text) += one;
	if (is_urgent)
		*(flags & STORE_FLAG_MULTIMEDIA ? &c->multimedia_urgent : &c->text_urgent) += one;
	store->totals.messages += one;
	store->totals.octets += octets;
}

int store_message_add(struct store *store, struct store_mailbox *mailbox, struct store_deferred *m,
	struct store_row where)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_PUT), *keys = store_use(store, STATEMENT_KEYS_PUT);
	const uint64_t numbers[] = { store->totals.last_position + 1, mailbox->id, store_flags(m), m->received_us,
		m->expires_at_s, m->size, where.content_id };
	const uint64_t key_numbers[] = { mailbox->id, numbers[0], store_hash(m->id), store_hash(m->call_id),
		m->expires_at_s };
	int err;

	store_bind_numbers(row, 1, numbers, 7);
	store_bind(row, 8, m->id);
	store_bind(row, 9, m->call_id);
	store_bind(row, 10, m->summary);
	store_bind(row, 11, m->head);
	store_bind(row, 12, m->msrp);
	sqlite3_bind_blob(row, 13, where.content.n ? where.content.p : "", (int)where.content.n, SQLITE_STATIC);
	store_bind_numbers(keys, 1, key_numbers, 5);
	if ((err = store_run(store, STATEMENT_MESSAGE_PUT)) || (err = store_run(store, STATEMENT_KEYS_PUT)))
		return err;
	m->position = ++store->totals.last_position;
	if (m->expires_at_s < mailbox->next_expiry)
		mailbox->next_expiry = m->expires_at_s;
	count(store, mailbox, store_flags(m), m->size, 1);
	return 0;
}

/* What is left to do once rows of a mailbox are gone. */
struct gone {
	unsigned count;
	struct {
		uint64_t position, keys[STORE_KEY_EXPIRY + 1];
	} messages[STORE_EXPIRE_MAX];
};

static int delete_key(struct store *store, uint64_t mailbox, enum store_key kind, uint64_t key, uint64_t position)
{
	const uint64_t numbers[] = { mailbox, kind, key, position };

	store_bind_numbers(store_use(store, STATEMENT_KEY_DELETE), 1, numbers, 4);
	return store_run(store, STATEMENT_KEY_DELETE);
}

static int delete_keys(struct store *store, const struct store_mailbox *mailbox, const struct gone *gone)
{
	int err = 0;

	if (mailbox->counts.messages == 0) { /* as after most deliveries: all at once */
		store_bind_numbers(store_use(store, STATEMENT_KEYS_DELETE), 1, &mailbox->id, 1);
		return store_run(store, STATEMENT_KEYS_DELETE);
	}
	for (unsigned i = 0; i < gone->count; i++)
		for (unsigned kind = STORE_KEY_ORDER; kind <= STORE_KEY_EXPIRY && !err; kind++)
			err = delete_key(store, mailbox->id, (enum store_key)kind, gone->messages[i].keys[kind],
				gone->messages[i].position);
	return err;
}

/* The row and its content.  ENOENT: not in this mailbox. */
static int delete_message(struct store *store, struct store_mailbox *mailbox, uint64_t position, struct gone *gone)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_MESSAGE_GONE);
	const uint64_t numbers[] = { position, mailbox->id };
	uint64_t *keys = gone->messages[gone->count].keys;
	int err;

	store_bind_numbers(row, 1, numbers, 2);
	int code = sqlite3_step(row);
	unsigned flags = (unsigned)sqlite3_column_int64(row, 0);
	uint64_t size = (uint64_t)sqlite3_column_int64(row, 2), content_id = (uint64_t)sqlite3_column_int64(row, 3);
	keys[STORE_KEY_ORDER] = 0;
	keys[STORE_KEY_ID] = store_hash(store_column(row, 4));
	keys[STORE_KEY_CALL_ID] = store_hash(store_column(row, 5));
	keys[STORE_KEY_EXPIRY] = (uint64_t)sqlite3_column_int64(row, 1);
	sqlite3_reset(row);
	if (code != SQLITE_ROW)
		return code == SQLITE_DONE ? ENOENT : store_errno(code);
	store_bind_numbers(store_use(store, STATEMENT_MESSAGE_DELETE), 1, &position, 1);
	if ((content_id && (err = store_discard_content(store, content_id))) ||
	    (err = store_run(store, STATEMENT_MESSAGE_DELETE)))
		return err;
	gone->messages[gone->count++].position = position;
	count(store, mailbox, flags, size, -1);
	return 0;
}

int store_messages_remove(struct store *store, struct store_mailbox *mailbox, const uint64_t *positions,
	unsigned n, unsigned *removed)
{
	struct gone gone;
	int err = 0;

	gone.count = 0;
	for (unsigned i = 0; i < n && i < STORE_EXPIRE_MAX && !err; i++)
		if ((err = delete_message(store, mailbox, positions[i], &gone)) == ENOENT)
			err = 0;
	*removed = gone.count;
	return err || !gone.count ? err : delete_keys(store, mailbox, &gone);
}

/* ---- expiry ---- */

static int list_expired(struct store *store, uint64_t mailbox, uint64_t now_s, unsigned most, uint64_t *positions,
	unsigned *found)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_KEY_EXPIRED);
	const uint64_t numbers[] = { mailbox, now_s, most };
	int code;

	store_bind_numbers(row, 1, numbers, 3);
	*found = 0;
	while ((code = sqlite3_step(row)) == SQLITE_ROW && *found < most)
		positions[(*found)++] = (uint64_t)sqlite3_column_int64(row, 0);
	sqlite3_reset(row);
	return store_errno(code);
}

/* What was removed may have been the next to expire: asks for it anew. */
static int find_next_expiry(struct store *store, struct store_mailbox *mailbox)
{
	struct sqlite3_stmt *row = store_use(store, STATEMENT_KEY_NEXT_EXPIRY);

	store_bind_numbers(row, 1, &mailbox->id, 1);
	int code = sqlite3_step(row);
	mailbox->next_expiry = code == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(row, 0) : STORE_NEVER;
	sqlite3_reset(row);
	return store_errno(code);
}

int store_mailbox_expire(struct store *store, struct store_mailbox *mailbox, uint64_t now_s, unsigned most,
	unsigned *removed)
{
	uint64_t positions[STORE_EXPIRE_MAX];
	unsigned found;

	*removed = 0;
	if (mailbox->next_expiry > now_s)
		return 0;
	int err = list_expired(store, mailbox->id, now_s, most < STORE_EXPIRE_MAX ? most : STORE_EXPIRE_MAX, positions,
		&found);
	if (err || (err = store_messages_remove(store, mailbox, positions, found, removed)))
		return err;
	if (*removed != found) /* a key without a row: not written by us */
		return EUCLEAN;
	store->totals.expired += found;
	if (found)
		LOG(INFO, NULL, "store", 0, "expired mailbox=%.*s messages=%u", SLICE_ARG(mailbox->name), found);
	return find_next_expiry(store, mailbox);
}
