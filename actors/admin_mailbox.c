/* Mailboxes in the admin API: GET /api/v1/mailbox/USER in pages, DELETE /api/v1/mailbox/USER/ID. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "actors/admin_internal.h"
#include "actors/deferred_list.h"

#define FIELD_MAX 4096

/* Header names in lower case, as keys of the item. */
static int put_fields(json_t *item, struct slice lines)
{
	struct slice name, value;
	char key[64], text[FIELD_MAX];

	while (deferred_list_field(&lines, &name, &value)) {
		struct buffer clean = buffer_over(text, sizeof(text));
		if (name.n >= sizeof(key))
			continue;
		for (size_t i = 0; i < name.n; i++)
			key[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
		key[name.n] = 0;
		deferred_list_clean(&clean, value);
		if (json_object_set_new(item, key, json_stringn(clean.p, clean.n)) != 0)
			return ENOMEM;
	}
	return 0;
}

static int append_row(json_t *items, const struct admin *admin, const struct store_deferred_row *row)
{
	struct slice host = admin->source.im->sip.store_host;
	char received[40], expires[40], uri[512];
	struct buffer out = buffer_over(received, sizeof(received)), until = buffer_over(expires, sizeof(expires)),
		address = buffer_over(uri, sizeof(uri));

	deferred_list_time(&out, row->received_us / 1000000);
	deferred_list_time(&until, row->expires_at_s);
	buffer_printf(&address, "sip:%.*s@%.*s", SLICE_ARG(row->id), SLICE_ARG(host));
	json_t *item = json_pack("{s:s%,s:s%,s:s,s:b,s:I,s:s%,s:s%}", "id", row->id.p, row->id.n, "uri", address.p, address.n,
		"type", row->type == STORE_PAGER ? "pager" : "large", "urgent", (int)row->is_urgent,
		"size", (json_int_t)row->size, "received", out.p, out.n, "expires", until.p, until.n);
	if (item && put_fields(item, row->summary) != 0) {
		json_decref(item);
		item = NULL;
	}
	return json_array_append_new(items, item);
}

static void list(struct admin *admin, const struct admin_request *request, struct slice owner, struct admin_answer *answer)
{
	uint64_t after = 0, limit = STORE_SUMMARY_MAX;
	struct store_deferred_summary *page;
	char next[24] = "";

	if ((request->from && !slice_u64(slice_str(request->from), INT64_MAX, &after)) ||
	    (request->limit && (!slice_u64(slice_str(request->limit), UINT32_MAX, &limit) || limit == 0))) {
		admin_error(answer, 400, "from is what next was, limit at least 1");
		return;
	}
	if (limit > STORE_SUMMARY_MAX)
		limit = STORE_SUMMARY_MAX;
	int err = deferred_list_page(admin->source.im, owner, after, (unsigned)limit, &page);
	if (err) {
		admin_error(answer, 503, err == ENOMEM ? "no memory" : "the store could not read it");
		return;
	}
	json_t *items = json_array();
	for (unsigned i = 0; items && i < page->count && !err; i++)
		err = append_row(items, admin, &page->rows[i]);
	if (!page->is_last && page->count)
		snprintf(next, sizeof(next), "%llu", (unsigned long long)page->rows[page->count - 1].position);
	admin_answer_json(answer, 200, items && !err ? json_pack("{s:O,s:s?,s:I,s:I}", "items", items, "next", next[0] ? next : NULL,
		"messages", (json_int_t)page->counts.messages, "octets", (json_int_t)page->counts.octets) : NULL);
	json_decref(items);
	free(page);
}

static void remove_one(struct admin *admin, struct slice owner, const char *id, struct admin_answer *answer)
{
	switch (deferred_list_remove(admin->source.im, admin->source.group, owner, slice_str(id))) {
	case 0:
		admin_answer_json(answer, 200, json_pack("{s:b}", "exists", 0));
		break;
	case ENOENT:
		admin_error(answer, 404, "no such message in this mailbox");
		break;
	case ENOMEM:
		admin_error(answer, 503, "no memory");
		break;
	default:
		admin_error(answer, 503, "the store could not remove it");
		break;
	}
}

/* Of USER: a URI's user part may have slashes (RFC 3261 25.1), and the path comes with its escapes decoded. */
static size_t user_length(const char *path)
{
	bool is_uri = strncasecmp(path, "sip:", 4) == 0 || strncasecmp(path, "sips:", 5) == 0;
	const char *at = is_uri ? strchr(path, '@') : NULL;
	const char *domain = at ? at : path;

	return (size_t)(domain - path) + strcspn(domain, "/");
}

/* USER or USER/ID. */
void admin_on_mailbox(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	size_t n = user_length(request->path);
	const char *slash = request->path[n] == '/' ? request->path + n : NULL;
	char user[IM_CANONICAL_MAX];
	struct admin_user_name name;

	if (strcmp(request->method, slash ? "DELETE" : "GET") != 0) {
		admin_answer_method(answer, slash ? "DELETE" : "GET");
		return;
	}
	if (n < sizeof(user)) {
		memcpy(user, request->path, n);
		user[n] = 0;
	}
	if (n >= sizeof(user) || !admin_read_user(admin, user, &name)) {
		admin_error(answer, 400, "expected a user of the home domain: NAME, NAME@DOMAIN or sip:NAME@DOMAIN");
		return;
	}
	struct slice owner = slice_of(name.canonical, name.canonical_n);
	if (slash)
		remove_one(admin, owner, slash + 1, answer);
	else
		list(admin, request, owner, answer);
}
