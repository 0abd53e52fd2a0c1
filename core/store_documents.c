/* What requests for documents do in the database. */
#include "core/store_documents.h"

#include <errno.h>
#include <sqlite3.h>

#include "core/store_internal.h"

/* Binds what names a document, from ?1 on. */
static sqlite3_stmt *bind_name(struct store *store, enum store_statement which, const struct store_document_request *r)
{
	sqlite3_stmt *statement = store_statement(store, which);

	store_bind(statement, 1, r->auid);
	store_bind(statement, 2, r->owner);
	store_bind(statement, 3, r->name);
	return statement;
}

/* Steps what gives one number or none, and resets it.  ENOENT: none. */
static int ask_number(sqlite3_stmt *statement, uint64_t *number)
{
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW)
		*number = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? ENOENT : store_errno(code);
}

static int run(sqlite3_stmt *statement)
{
	int err = store_errno(sqlite3_step(statement));

	sqlite3_reset(statement);
	return err;
}

/* Which version is there, and is it the one that the request expects?  0, EEXIST, or why it cannot be said. */
static int check(struct store *store, struct store_document_request *r)
{
	r->etag = 0;
	int err = ask_number(bind_name(store, STATEMENT_DOCUMENT_ETAG, r), &r->etag);

	if (err && err != ENOENT)
		return err;
	r->existed = !err;
	switch (r->condition) {
	case STORE_DOCUMENT_ANY:
		return 0;
	case STORE_DOCUMENT_ABSENT:
		return r->existed ? EEXIST : 0;
	case STORE_DOCUMENT_IS:
		return r->existed && r->etag == r->expected ? 0 : EEXIST;
	}
	return EINVAL;
}

static int check_quota(struct store *store, const struct store_document_request *r)
{
	sqlite3_stmt *statement = store_statement(store, STATEMENT_DOCUMENT_COUNT);
	uint64_t count = 0;

	store_bind(statement, 1, r->auid);
	store_bind(statement, 2, r->owner);
	int err = ask_number(statement, &count);
	return err ? err : count >= STORE_DOCUMENTS_MAX ? EDQUOT : 0;
}

/* Looked at first: a request that fails half done is dear. */
static int check_uris(struct store *store, struct store_document_request *r)
{
	uint64_t one;
	int err = ENOENT;

	for (unsigned i = 0; i < r->uri_count && err == ENOENT; i++) {
		sqlite3_stmt *statement = bind_name(store, STATEMENT_DOCUMENT_URI_TAKEN, r);
		store_bind(statement, 4, r->uris[i]);
		err = ask_number(statement, &one);
		if (!err)
			r->uri = r->uris[i];
	}
	return err == ENOENT ? 0 : err ? err : EADDRINUSE;
}

static int put_uris(struct store *store, const struct store_document_request *r)
{
	int err = r->existed ? run(bind_name(store, STATEMENT_DOCUMENT_URI_DELETE, r)) : 0;

	for (unsigned i = 0; i < r->uri_count && !err; i++) {
		sqlite3_stmt *statement = bind_name(store, STATEMENT_DOCUMENT_URI_PUT, r);
		store_bind(statement, 4, r->uris[i]);
		err = run(statement);
	}
	return err;
}

static int put(struct store *store, struct store_document_request *r)
{
	int err = check(store, r);

	if (err || (!r->existed && (err = check_quota(store, r))) || (err = check_uris(store, r)))
		return err;
	/* a replaced row is a new one: AUTOINCREMENT makes the tag */
	if (r->existed && (err = run(bind_name(store, STATEMENT_DOCUMENT_DELETE, r))))
		return err;
	sqlite3_stmt *statement = bind_name(store, STATEMENT_DOCUMENT_PUT, r);
	sqlite3_bind_blob(statement, 4, r->content.n ? r->content.p : "", (int)r->content.n, SQLITE_STATIC);
	if ((err = run(statement)))
		return err;
	r->etag = (uint64_t)sqlite3_last_insert_rowid(store->db);
	return put_uris(store, r);
}

static int delete(struct store *store, struct store_document_request *r)
{
	int err = check(store, r);

	if (err || !r->existed)
		return err ? err : ENOENT;
	err = run(bind_name(store, STATEMENT_DOCUMENT_URI_DELETE, r));
	return err ? err : run(bind_name(store, STATEMENT_DOCUMENT_DELETE, r));
}

static struct slice copy_column(struct store_document_request *r, size_t *used, sqlite3_stmt *row, int column)
{
	size_t n = (size_t)sqlite3_column_bytes(row, column);
	char *to = r->text + *used;

	if (n)
		memcpy(to, sqlite3_column_blob(row, column), n);
	*used += n;
	return slice_of(to, n);
}

/* Columns: etag, content, owner, name. */
static int read_row(struct store_document_request *r, sqlite3_stmt *row)
{
	size_t used = 0;

	r->size = 0;
	for (int i = 1; i < 4; i++) {
		if (sqlite3_column_bytes(row, i) > 0 && !sqlite3_column_blob(row, i))
			return ENOMEM;
		r->size += (size_t)sqlite3_column_bytes(row, i);
	}
	if (r->size > r->room)
		return EMSGSIZE;
	r->etag = (uint64_t)sqlite3_column_int64(row, 0);
	r->content = copy_column(r, &used, row, 1);
	r->owner = copy_column(r, &used, row, 2);
	r->name = copy_column(r, &used, row, 3);
	return 0;
}

static int read_one(struct store_document_request *r, sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement);
	int err = code == SQLITE_DONE ? ENOENT : code == SQLITE_ROW ? read_row(r, statement) : store_errno(code);

	sqlite3_reset(statement);
	return err;
}

static int read_next(struct store *store, struct store_document_request *r)
{
	return read_one(r, bind_name(store, r->without_uris ? STATEMENT_DOCUMENT_NEXT_WITHOUT_URI :
		r->has_any_owner ? STATEMENT_DOCUMENT_NEXT_OF_ALL : STATEMENT_DOCUMENT_NEXT, r));
}

static int find(struct store *store, struct store_document_request *r)
{
	sqlite3_stmt *statement = store_statement(store, STATEMENT_DOCUMENT_FIND);

	store_bind(statement, 1, r->auid);
	store_bind(statement, 2, r->uri);
	return read_one(r, statement);
}

int store_run_document(struct store *store, struct store_request *request)
{
	struct store_document_request *r = (struct store_document_request *)request;

	switch ((unsigned)request->kind) {
	case STORE_DOCUMENT_PUT:
		return put(store, r);
	case STORE_DOCUMENT_GET:
		return read_one(r, bind_name(store, STATEMENT_DOCUMENT_GET, r));
	case STORE_DOCUMENT_DELETE:
		return delete(store, r);
	case STORE_DOCUMENT_NEXT:
		return read_next(store, r);
	case STORE_DOCUMENT_FIND:
		return find(store, r);
	default:
		return EINVAL;
	}
}
