/* What each kind of request does in the database. */
#include <errno.h>
#include <sqlite3.h>

#include "core/store_internal.h"

bool store_kind_is_put(enum store_kind kind)
{
	static const bool is_put[] = {
#define X(name, put) put,
		STORE_KINDS(X)
#undef X
	};

	return is_put[kind];
}

void store_bind(struct sqlite3_stmt *statement, int at, struct slice text)
{
	/* a NULL pointer would become NULL in the row; nothing is copied: the request outlives the step */
	sqlite3_bind_text(statement, at, text.n ? text.p : "", (int)text.n, SQLITE_STATIC);
}

/* Runs to the end what gives no rows. */
static int run(struct store *store, enum store_statement which)
{
	struct sqlite3_stmt *statement = store->statements[which];
	int err = store_errno(sqlite3_step(statement));

	sqlite3_reset(statement);
	return err;
}

static void bind_u64(struct sqlite3_stmt *statement, int at, uint64_t value)
{
	sqlite3_bind_int64(statement, at, (sqlite3_int64)(value > INT64_MAX ? INT64_MAX : value));
}

/* ---- users ---- */

static struct slice name_of(const struct store_user *user)
{
	return slice_of(user->name, user->name_n);
}

static bool copy_blob(void *to, size_t n, struct sqlite3_stmt *row, int column)
{
	const void *blob = sqlite3_column_blob(row, column);

	if (!blob || (size_t)sqlite3_column_bytes(row, column) != n)
		return false;
	memcpy(to, blob, n);
	return true;
}

static int read_user(struct store_user *user, struct sqlite3_stmt *row)
{
	const void *name = sqlite3_column_text(row, 0);
	int n = sqlite3_column_bytes(row, 0);

	if (!name)
		return ENOMEM;
	if (n > STORE_NAME_MAX) /* not put there by us */
		return EIO;
	memset(user, 0, sizeof(*user));
	memcpy(user->name, name, (size_t)n);
	user->name_n = (uint16_t)n;
	user->has_password = copy_blob(user->ha1_md5, sizeof(user->ha1_md5), row, 1) &&
			     copy_blob(user->ha1_sha256, sizeof(user->ha1_sha256), row, 2);
	return 0;
}

static int get_user(struct store *store, struct store_user *user)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_USER_GET);

	store_bind(statement, 1, name_of(user));
	int code = sqlite3_step(statement);
	int err = code == SQLITE_DONE ? ENOENT : code == SQLITE_ROW ? read_user(user, statement) : store_errno(code);
	sqlite3_reset(statement);
	return err;
}

static int put_user(struct store *store, struct store_user_request *r)
{
	struct store_user known = r->user;
	int err = get_user(store, &known);

	if (err && err != ENOENT)
		return err;
	r->existed = !err;
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_USER_PUT);
	store_bind(statement, 1, name_of(&r->user));
	if (r->user.has_password) {
		sqlite3_bind_blob(statement, 2, r->user.ha1_md5, sizeof(r->user.ha1_md5), SQLITE_STATIC);
		sqlite3_bind_blob(statement, 3, r->user.ha1_sha256, sizeof(r->user.ha1_sha256), SQLITE_STATIC);
	}
	return run(store, STATEMENT_USER_PUT);
}

static int delete_user(struct store *store, struct store_user_request *r)
{
	store_bind(store_statement(store, STATEMENT_USER_DELETE), 1, name_of(&r->user));
	int err = run(store, STATEMENT_USER_DELETE);
	return err ? err : sqlite3_changes(store->db) ? 0 : ENOENT;
}

static int list_users(struct store *store, struct store_user_list *list)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_USER_LIST);
	int code, err = 0;

	store_bind(statement, 1, slice_of(list->after, list->after_n));
	sqlite3_bind_int(statement, 2, STORE_USERS_PAGE);
	list->count = 0;
	while (!err && (code = sqlite3_step(statement)) != SQLITE_DONE) {
		err = store_errno(code);
		if (!err && !(err = read_user(&list->users[list->count], statement)))
			list->count++;
	}
	sqlite3_reset(statement);
	return err;
}

/* ---- registrations ---- */

static int delete_registration(struct store *store, struct slice aor)
{
	store_bind(store_statement(store, STATEMENT_REGISTRATION_DELETE), 1, aor);
	return run(store, STATEMENT_REGISTRATION_DELETE);
}

static int put_binding(struct store *store, struct slice aor, const struct store_binding *b)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_REGISTRATION_PUT);

	store_bind(statement, 1, aor);
	store_bind(statement, 2, b->contact);
	store_bind(statement, 3, b->params);
	store_bind(statement, 4, b->path);
	store_bind(statement, 5, b->instance);
	bind_u64(statement, 6, b->reg_id);
	store_bind(statement, 7, b->call_id);
	bind_u64(statement, 8, b->cseq);
	bind_u64(statement, 9, b->q);
	store_bind(statement, 10, b->listener);
	store_bind(statement, 11, b->peer);
	bind_u64(statement, 12, b->updated);
	bind_u64(statement, 13, b->expires_at_s);
	return run(store, STATEMENT_REGISTRATION_PUT);
}

static int put_registration(struct store *store, const struct store_registration_request *r)
{
	int err = delete_registration(store, r->aor);

	for (unsigned i = 0; i < r->count && !err; i++)
		err = put_binding(store, r->aor, &r->bindings[i]);
	return err;
}

static int sweep_registrations(struct store *store, struct store_registration_sweep *r)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_REGISTRATION_SWEEP);

	bind_u64(statement, 1, r->now_s);
	sqlite3_bind_int(statement, 2, STORE_SWEEP_MAX);
	unsigned publications = 0;
	int err = run(store, STATEMENT_REGISTRATION_SWEEP);
	r->removed = err ? 0 : (unsigned)sqlite3_changes(store->db);
	if (!err)
		err = store_sweep_publications(store, r->now_s, STORE_SWEEP_MAX, &publications);
	if (r->removed < publications)
		r->removed = publications;
	return err;
}

struct page {
	struct store_registration_load *load;
	size_t used;
};

/* Copies a column into the page's text.  False: no room left, or no memory. */
static bool copy_text(struct page *page, struct slice *to, struct sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	size_t n = (size_t)sqlite3_column_bytes(row, column);

	if (!text || n > sizeof(page->load->text) - page->used)
		return false;
	*to = slice_of(page->load->text + page->used, n);
	memcpy(page->load->text + page->used, text, n);
	page->used += n;
	return true;
}

static bool read_registration(struct page *page, struct sqlite3_stmt *row)
{
	struct store_binding b = { 0 };
	struct slice aor;

	if (!copy_text(page, &aor, row, 0) || !copy_text(page, &b.contact, row, 1) ||
	    !copy_text(page, &b.params, row, 2) || !copy_text(page, &b.path, row, 3) ||
	    !copy_text(page, &b.instance, row, 4) || !copy_text(page, &b.call_id, row, 6) ||
	    !copy_text(page, &b.listener, row, 9) || !copy_text(page, &b.peer, row, 10))
		return false;
	b.reg_id = (uint32_t)sqlite3_column_int64(row, 5);
	b.cseq = (uint32_t)sqlite3_column_int64(row, 7);
	b.q = (uint32_t)sqlite3_column_int64(row, 8);
	b.updated = (uint64_t)sqlite3_column_int64(row, 11);
	b.expires_at_s = (uint64_t)sqlite3_column_int64(row, 12);
	page->load->after = sqlite3_column_int64(row, 13);
	page->load->rows[page->load->count].aor = aor;
	page->load->rows[page->load->count++].binding = b;
	return true;
}

static int load_registrations(struct store *store, struct store_registration_load *load)
{
	struct sqlite3_stmt *statement = store_statement(store, STATEMENT_REGISTRATION_LOAD);
	struct page page = { load, 0 };
	int code = SQLITE_ROW;

	sqlite3_bind_int64(statement, 1, load->after);
	bind_u64(statement, 2, load->now_s);
	sqlite3_bind_int(statement, 3, STORE_REGISTRATIONS_PAGE);
	load->count = 0;
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		if (!read_registration(&page, statement))
			break;
	sqlite3_reset(statement);
	load->is_last = code == SQLITE_DONE && load->count < STORE_REGISTRATIONS_PAGE;
	if (code == SQLITE_ROW && load->count == 0) /* one row larger than a page: not of ours */
		return EIO;
	return store_errno(code);
}

/* ---- all ---- */

int store_run_request(struct store *store, struct store_request *r)
{
	switch (r->kind) {
	case STORE_USER_PUT:
		return put_user(store, (struct store_user_request *)r);
	case STORE_USER_GET:
		return get_user(store, &((struct store_user_request *)r)->user);
	case STORE_USER_DELETE:
		return delete_user(store, (struct store_user_request *)r);
	case STORE_USER_LIST:
		return list_users(store, (struct store_user_list *)r);
	case STORE_REGISTRATION_PUT:
		return put_registration(store, (struct store_registration_request *)r);
	case STORE_REGISTRATION_DELETE:
		return delete_registration(store, ((struct store_registration_request *)r)->aor);
	case STORE_REGISTRATION_SWEEP:
		return sweep_registrations(store, (struct store_registration_sweep *)r);
	case STORE_REGISTRATION_LOAD:
		return load_registrations(store, (struct store_registration_load *)r);
	case STORE_PUBLICATION_PUT:
	case STORE_PUBLICATION_DELETE:
	case STORE_PUBLICATION_LOAD:
		return store_run_publication(store, r);
	case STORE_DEFERRED_PUT:
	case STORE_DEFERRED_OPEN:
	case STORE_CONTENT_PUT:
	case STORE_DEFERRED_CLOSE:
	case STORE_DEFERRED_SHARE:
	case STORE_DEFERRED_ABORT:
	case STORE_DEFERRED_NEXT:
	case STORE_DEFERRED_FIND:
	case STORE_CONTENT_GET:
	case STORE_DEFERRED_REMOVE:
	case STORE_DEFERRED_SUMMARY:
	case STORE_DEFERRED_SWEEP:
		return store_run_deferred(store, r);
	case STORE_DOCUMENT_PUT:
	case STORE_DOCUMENT_GET:
	case STORE_DOCUMENT_DELETE:
	case STORE_DOCUMENT_NEXT:
	case STORE_DOCUMENT_FIND:
		return store_run_document(store, r);
	case STORE_KIND_COUNT:
		break;
	}
	return EINVAL;
}
