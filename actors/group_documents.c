#include "actors/group_documents.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/document_store.h"
#include "actors/group_internal.h"
#include "actors/store_actor.h"
#include "core/log.h"
#include "sip/owner.h"

/* What is in the store was valid when it came, under whatever limits.xml_bytes held then. */
static const struct xml_limits no_limits = { SIZE_MAX, XML_DEPTH_MAX };

/* ---- the services of a document ---- */

const struct xml_node *group_service_of(const struct xml *document, struct slice canonical, const struct sip_home *home)
{
	char text[IM_CANONICAL_MAX];

	for (const struct xml_node *n = xml_first(xml_root(document)); n; n = xml_next(n)) {
		struct buffer name = buffer_over(text, sizeof(text));
		if (slice_eq(xml_name(n), SLICE("list-service")) && group_service_name(n, home, &name) &&
		    slice_eq(buffer_slice(&name), canonical))
			return n;
	}
	return NULL;
}

static struct group_news *news_of(const struct group_change *change, struct slice canonical)
{
	for (unsigned i = 0; i < change->news_count; i++)
		if (slice_eq(slice_of(change->news[i]->canonical, change->news[i]->canonical_n), canonical))
			return change->news[i];
	return NULL;
}

/* Takes `now` over.  0, ENOMEM, or E2BIG. */
static int add_news(struct group_change *change, struct slice canonical, struct group *now)
{
	struct group_news *news = NULL;
	bool is_full = change->uri_count + (now ? 1 : 0) > GROUPS_OF_DOCUMENT_MAX ||
		       change->news_count == 2 * GROUPS_OF_DOCUMENT_MAX;

	if (is_full || !(news = calloc(1, sizeof(*news) + canonical.n))) {
		group_drop(now);
		return is_full ? E2BIG : ENOMEM;
	}
	news->msg.kind = MSG_GROUP_CHANGED;
	news->now = now;
	news->canonical_n = canonical.n;
	memcpy(news->canonical, canonical.p, canonical.n);
	change->news[change->news_count++] = news;
	if (now)
		change->uris[change->uri_count++] = slice_of(news->canonical, news->canonical_n);
	return 0;
}

static int add_service(struct group_change *change, const struct xml_node *service, const struct sip_home *home,
	bool is_now)
{
	char text[IM_CANONICAL_MAX];
	struct buffer name = buffer_over(text, sizeof(text));
	struct group *now = NULL;
	int err;

	if (!group_service_name(service, home, &name))
		return 0;
	if (news_of(change, buffer_slice(&name)))
		return is_now ? EEXIST : 0;
	if (is_now && (err = group_compile(&now, service, home, 0)))
		return err;
	return add_news(change, buffer_slice(&name), now);
}

static int add_document(struct group_change *change, struct slice content, const struct sip_home *home, bool is_now)
{
	enum xml_verdict verdict;
	struct xml *xml;
	int err = 0;

	if (!content.p)
		return 0;
	verdict = xml_parse(&xml, content, &no_limits);
	if (verdict != XML_OK) /* not put there by us: it defines nothing */
		return verdict == XML_NO_MEMORY ? ENOMEM : 0;
	for (const struct xml_node *n = xml_first(xml_root(xml)); n && !err; n = xml_next(n))
		if (slice_eq(xml_name(n), SLICE("list-service")))
			err = add_service(change, n, home, is_now);
	xml_free(xml);
	return err;
}

/* ---- a change ---- */

int group_change_make(struct group_change **out, const struct sip_home *home, struct slice before, struct slice now)
{
	struct group_change *change = calloc(1, sizeof(*change));
	int err;

	if (!change)
		return ENOMEM;
	/* those that it defines now come first: what is found again in `before` is not gone */
	if ((err = add_document(change, now, home, true)) || (err = add_document(change, before, home, false))) {
		group_change_free(change);
		return err;
	}
	*out = change;
	return 0;
}

void group_change_post(struct group_change *change, struct worker_group *group, uint64_t etag)
{
	for (unsigned i = 0; i < change->news_count; i++) {
		struct group_news *news = change->news[i];
		struct slice canonical = slice_of(news->canonical, news->canonical_n);
		news->etag = etag;
		if (news->now)
			news->now->etag = etag; /* nobody else has it yet */
		worker_post_from_outside(group, sip_owner_of_name(canonical, group->count), &news->msg);
	}
	free(change);
}

void group_change_free(struct group_change *change)
{
	for (unsigned i = 0; change && i < change->news_count; i++)
		group_message_free(&change->news[i]->msg);
	free(change);
}

/* ---- documents of before ---- */

/* As if it were put once more. */
static int name_document(struct store_door *door, const struct store_document_request *found, const struct sip_home *home)
{
	struct store_document_request put = { .request.kind = STORE_DOCUMENT_PUT, .auid = SLICE(GROUPS_AUID),
		.owner = found->owner, .name = found->name, .content = found->content, .condition = STORE_DOCUMENT_IS,
		.expected = found->etag };
	struct group_change *change;
	int err = group_change_make(&change, home, SLICE_EMPTY, found->content);

	if (err)
		return err;
	put.uris = change->uris;
	put.uri_count = change->uri_count;
	err = put.uri_count ? store_ask_and_wait(door, &put.request) : 0;
	group_change_free(change);
	return err;
}

int groups_name_all(struct store_door *door, const struct sip_home *home)
{
	struct document_cursor cursor;
	unsigned documents = 0;
	int err;

	document_cursor_begin(&cursor, SLICE(GROUPS_AUID), SLICE_EMPTY);
	cursor.without_uris = true;
	while (!(err = document_cursor_next(door, &cursor))) {
		err = name_document(door, cursor.found, home);
		if (err == EADDRINUSE || err == EEXIST || err == E2BIG) { /* the first one has the name */
			LOG(WARN, NULL, "store", 0, "group-unnamed user=%.*s name=\"%.*s\" why=\"its name is another's\"",
				SLICE_ARG(cursor.found->owner), SLICE_ARG(cursor.found->name));
			err = 0;
		}
		if (err)
			break;
		documents++;
	}
	document_cursor_end(&cursor);
	if (err && err != ENOENT) {
		LOG(ERROR, NULL, "store", 0, "groups-unreadable error=\"%s\"", strerror(err));
		return err;
	}
	if (documents)
		LOG(INFO, NULL, "store", 0, "groups-named documents=%u", documents);
	return 0;
}
