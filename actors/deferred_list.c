#include "actors/deferred_list.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/admin_worker.h"
#include "actors/retrieval_name.h"
#include "actors/store_actor.h"
#include "core/xml_place.h"
#include "sip/owner.h"

#define PAGE_ROOM (128 * 1024)
#define VALUE_MAX 4096 /* what is longer is cut: nobody reads it in a list */

static uint64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec;
}

/* ---- reading ---- */

int deferred_list_page(struct im_server *server, struct slice owner, uint64_t after, unsigned most,
	struct store_deferred_summary **out)
{
	struct store_deferred_summary *page = store_deferred_summary_new(owner, PAGE_ROOM);

	if (!page)
		return ENOMEM;
	page->after = after;
	page->now_s = now_s();
	page->most = most;
	int err = store_ask_and_wait(server->store, &page->request);
	if (!err && most && page->count == 0 && !page->is_last)
		err = EIO; /* one row larger than a page: not of ours */
	if (err)
		free(page);
	else
		*out = page;
	return err;
}

bool deferred_list_field(struct slice *lines, struct slice *name, struct slice *value)
{
	struct slice rest;

	while (lines->n) {
		struct slice line = slice_trim(slice_cut(*lines, '\n', lines));
		*name = slice_trim(slice_cut(line, ':', &rest));
		*value = slice_trim(rest);
		if (name->n && rest.p)
			return true;
	}
	return false;
}

/* Octets of the character at the beginning, 0: none that XML and JSON know (RFC 3629; XML 1.0 2.2). */
static size_t character(struct slice text)
{
	const unsigned char *p = (const unsigned char *)text.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

	if (n == 0 || n > text.n || (n == 1 && (p[0] < ' ' || p[0] == 0x7f)))
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool is_none = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
		       (p[0] == 0xf4 && p[1] > 0x8f) || (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe);
	return is_none ? 0 : n;
}

void deferred_list_clean(struct buffer *out, struct slice value)
{
	while (value.n) {
		size_t n = character(value);
		buffer_put(out, n ? slice_of(value.p, n) : value.p[0] == '\t' ? SLICE(" ") : SLICE("?"));
		value = slice_skip(value, n ? n : 1);
	}
}

void deferred_list_time(struct buffer *out, uint64_t unix_s)
{
	time_t seconds = (time_t)unix_s;
	struct tm tm;
	char text[40];

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		buffer_str(out, text);
}

/* ---- as a document ---- */

static void print_value(FILE *out, struct slice value)
{
	char clean[VALUE_MAX], escaped[6 * VALUE_MAX];
	struct buffer cleaned = buffer_over(clean, sizeof(clean)), text = buffer_over(escaped, sizeof(escaped));

	deferred_list_clean(&cleaned, value);
	xml_place_escape(&text, buffer_slice(&cleaned));
	fwrite(text.p, 1, text.n, out);
}

static void print_time(FILE *out, const char *name, uint64_t unix_s)
{
	char text[40];
	struct buffer time_text = buffer_over(text, sizeof(text));

	deferred_list_time(&time_text, unix_s);
	fprintf(out, " %s=\"%.*s\"", name, SLICE_ARG(buffer_slice(&time_text)));
}

static void print_fields(FILE *out, struct slice lines)
{
	static const char *const wanted[] = { "To", "From", "Subject", "Date", "Priority", "P-Asserted-Identity" };
	bool is_told[sizeof(wanted) / sizeof(wanted[0])] = { false };
	struct slice name, value;

	while (deferred_list_field(&lines, &name, &value))
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			if (is_told[i] || !slice_case_eq(name, slice_str(wanted[i])))
				continue; /* an attribute can be there once */
			is_told[i] = true;
			fputc(' ', out);
			for (const char *c = wanted[i]; *c; c++)
				fputc(*c | ('A' <= *c && *c <= 'Z' ? 0x20 : 0), out);
			fputs("=\"", out);
			print_value(out, value);
			fputc('"', out);
		}
}

static void print_row(FILE *out, const struct im_server *server, const struct store_deferred_row *row)
{
	fprintf(out, "<entry uri=\"sip:%.*s@%.*s\" type=\"%s\" size=\"%llu\"", SLICE_ARG(row->id), SLICE_ARG(server->sip.store_host),
		row->type == STORE_PAGER ? "pager" : "large", (unsigned long long)row->size);
	print_time(out, "received", row->received_us / 1000000);
	print_time(out, "expires", row->expires_at_s);
	print_fields(out, row->summary);
	fputs("/>\n", out);
}

static int print_rows(FILE *out, struct im_server *server, struct slice owner)
{
	uint64_t after = 0;
	unsigned rows = 0;
	bool is_last = false;

	while (!is_last && rows < DEFERRED_LIST_MAX && ftell(out) < DEFERRED_LIST_OCTETS_MAX) {
		struct store_deferred_summary *page;
		int err = deferred_list_page(server, owner, after, STORE_SUMMARY_MAX, &page);
		if (err)
			return err;
		if (after == 0)
			fprintf(out, "<deferred-list xmlns=\"" DEFERRED_LIST_NAMESPACE "\" messages=\"%llu\" octets=\"%llu\">\n",
				(unsigned long long)page->counts.messages, (unsigned long long)page->counts.octets);
		for (unsigned i = 0; i < page->count; i++, rows++) {
			print_row(out, server, &page->rows[i]);
			after = page->rows[i].position;
		}
		is_last = page->is_last || page->count == 0;
		free(page);
	}
	fputs("</deferred-list>\n", out);
	return 0;
}

static struct store_document_request *wrap(struct slice text)
{
	static const struct siphash_key key; /* a version, no secret */
	struct store_document_request *r = calloc(1, sizeof(*r) + text.n);

	if (!r)
		return NULL;
	memcpy(r->text, text.p, text.n);
	r->content = slice_of(r->text, text.n);
	r->etag = siphash(&key, text);
	return r;
}

int deferred_list_document(struct im_server *server, struct slice owner, struct store_document_request **out)
{
	char *text = NULL;
	size_t n = 0;
	FILE *file = open_memstream(&text, &n);
	int err;

	if (!file)
		return ENOMEM;
	fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", file);
	err = print_rows(file, server, owner);
	if (ferror(file) && !err)
		err = ENOMEM;
	if (fclose(file) != 0 && !err)
		err = ENOMEM;
	if (!err && !(*out = wrap(slice_of(text, n))))
		err = ENOMEM;
	free(text);
	return err;
}

/* ---- removing ---- */

/* The String of a URI at the store host; anything else is looked for as it is: a String or a Call-ID. */
static bool read_key(struct im_server *server, struct slice id, struct buffer *out)
{
	struct im im = { .server = server, .config = server->config }; /* the store host, which no reload changes */
	struct sip_uri uri;

	if (slice_case_starts(id, SLICE("sip:")) && sip_uri_parse(id, &uri) && retrieval_key(&im, &uri, out))
		return true;
	out->n = 0;
	out->overflow = false;
	buffer_put(out, id);
	return !out->overflow && id.n;
}

static int find(struct im_server *server, struct slice owner, struct slice key, uint64_t *position)
{
	struct store_deferred_find *find = store_deferred_find_new(owner, key, STORE_HEAD_ROOM);

	if (!find)
		return ENOMEM;
	find->now_s = now_s();
	int err = store_ask_and_wait(server->store, &find->request);
	*position = find->message.position;
	free(find);
	return err;
}

int deferred_list_remove(struct im_server *server, struct worker_group *group, struct slice owner, struct slice id)
{
	char text[IM_CANONICAL_MAX];
	struct buffer key = buffer_over(text, sizeof(text));
	uint64_t position;

	if (!read_key(server, id, &key))
		return ENOENT;
	int err = find(server, owner, buffer_slice(&key), &position);
	if (err)
		return err;
	struct admin_question *q = admin_question_make(ADMIN_MAILBOX_REMOVE, 0);
	if (!q)
		return ENOMEM;
	memcpy(q->canonical, owner.p, owner.n);
	q->canonical_n = owner.n;
	q->position = position;
	err = admin_question_ask(q, group, sip_owner_of_name(owner, group->count)) ? q->err : ETIMEDOUT;
	admin_question_release(q);
	return err;
}
