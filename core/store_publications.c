#include "core/store_publications.h"

#include <errno.h>
#include <sqlite3.h>

#include "core/store_internal.h"

static int run(struct store *store, enum store_statement which)
{
	struct sqlite3_stmt *statement = store->statements[which];
	int err = store_errno(sqlite3_step(statement));

	sqlite3_reset(statement);
	return err;
}

static struct slice user_of(const struct store_publication *p)
{
	return slice_of(p->user, p->user_n);
}

static int delete_publications(struct store *store, const struct store_publication_request *r)
{
	int err = 0;

	for (unsigned i = 0; i < r->gone_count && !err; i++) {
		struct sqlite3_stmt *statement = store_statement(store, STATEMENT_PUBLICATION_DELETE);
		store_bind(statement, 1, user_of(&r->publication));
		store_bind(statement, 2, slice_of(r->gone[i], STORE_ETAG_CHARS));
		err = run(store, STATEMENT_PUBLICATION_DELETE);
	}
	return err;
}

static int put_publication(struct store *store, const struct store_publication_request *r)
{
	const struct store_publication *p = &r->publication;
	int err = delete_publications(store, r);

	if (err)
		return err;
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_PUBLICATION_PUT);
	store_bind(statement, 1, user_of(p));
	store_bind(statement, 2, slice_of(p->etag, sizeof(p->etag)));
	sqlite3_bind_int64(statement, 3, p->known);
	sqlite3_bind_int64(statement, 4, p->on);
	sqlite3_bind_int64(statement, 5, (sqlite3_int64)p->updated);
	sqlite3_bind_int64(statement, 6, (sqlite3_int64)p->expires_at_s);
	return run(store, STATEMENT_PUBLICATION_PUT);
}

/* False: no memory, or no row of ours. */
static bool read_publication(struct store_publication *p, struct sqlite3_stmt *row)
{
	const void *user = sqlite3_column_text(row, 0), *etag = sqlite3_column_text(row, 1);
	int user_n = sqlite3_column_bytes(row, 0);

	if (!user || !etag || user_n > STORE_NAME_MAX || sqlite3_column_bytes(row, 1) != STORE_ETAG_CHARS)
		return false;
	memcpy(p->user, user, (size_t)user_n);
	p->user_n = (uint16_t)user_n;
	memcpy(p->etag, etag, sizeof(p->etag));
	p->known = (uint32_t)sqlite3_column_int64(row, 2);
	p->on = (uint32_t)sqlite3_column_int64(row, 3);
	p->updated = (uint64_t)sqlite3_column_int64(row, 4);
	p->expires_at_s = (uint64_t)sqlite3_column_int64(row, 5);
	return true;
}

static int load_publications(struct store *store, struct store_publication_load *load)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_PUBLICATION_LOAD);
	int code, err = 0;

	sqlite3_bind_int64(statement, 1, load->after);
	sqlite3_bind_int64(statement, 2, (sqlite3_int64)load->now_s);
	sqlite3_bind_int(statement, 3, STORE_PUBLICATIONS_PAGE);
	load->count = 0;
	while (!err && (code = sqlite3_step(statement)) != SQLITE_DONE) {
		err = store_errno(code);
		if (!err && !read_publication(&load->rows[load->count], statement))
			err = EIO;
		if (!err) {
			load->count++;
			load->after = sqlite3_column_int64(statement, 6);
		}
	}
	sqlite3_reset(statement);
	return err;
}

int store_sweep_publications(struct store *store, uint64_t now_s, unsigned most, unsigned *removed)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_PUBLICATION_SWEEP);

	sqlite3_bind_int64(statement, 1, (sqlite3_int64)now_s);
	sqlite3_bind_int(statement, 2, (int)most);
	int err = run(store, STATEMENT_PUBLICATION_SWEEP);
	*removed = err ? 0 : (unsigned)sqlite3_changes(store->db);
	return err;
}

int store_run_publication(struct store *store, struct store_request *r)
{
	if (r->kind == STORE_PUBLICATION_PUT)
		return put_publication(store, (struct store_publication_request *)r);
	if (r->kind == STORE_PUBLICATION_DELETE)
		return delete_publications(store, (struct store_publication_request *)r);
	return load_publications(store, (struct store_publication_load *)r);
}
