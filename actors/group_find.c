/* The way to a group's worker and back, and what that worker knows of groups. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/group_internal.h"
#include "actors/store_actor.h"
#include "core/log.h"
#include "core/store_documents.h"
#include "sip/owner.h"

#define CHAINS       1024
#define OCTETS_MAX   (8u << 20) /* of groups kept by one worker; more are read again when somebody asks */
#define FIRST_ROOM   8192       /* most documents are smaller; for others it is asked twice */

/* A group that is kept, or is being read. */
struct known_group {
	struct known_group *chain_next;
	TAILQ_ENTRY(known_group) use; /* with a group */
	struct group *group;          /* NULL: only being read */
	struct group_find *waiting;
	bool is_asked;                /* the store has been, and has not answered */
	bool was_changed;             /* since then: the answer may be of before */
	size_t canonical_n;
	char canonical[];
};

struct group_table {
	struct siphash_key key;
	struct known_group *chains[CHAINS];
	TAILQ_HEAD(known_groups, known_group) by_use; /* the one used last comes last */
	size_t octets;
	unsigned count;
	group_changed listeners[GROUP_LISTENERS_MAX];
};

/* ---- what is kept ---- */

static struct slice name_of(const struct known_group *known)
{
	return slice_of(known->canonical, known->canonical_n);
}

static struct known_group **chain_of(struct group_table *table, struct slice canonical)
{
	return &table->chains[siphash(&table->key, canonical) % CHAINS];
}

static struct known_group *find(struct group_table *table, struct slice canonical)
{
	struct known_group *known = *chain_of(table, canonical);

	while (known && !slice_eq(name_of(known), canonical))
		known = known->chain_next;
	return known;
}

static struct known_group *find_or_make(struct group_table *table, struct slice canonical)
{
	struct known_group **chain = chain_of(table, canonical), *known = find(table, canonical);

	if (known || !(known = calloc(1, sizeof(*known) + canonical.n)))
		return known;
	known->canonical_n = canonical.n;
	memcpy(known->canonical, canonical.p, canonical.n);
	known->chain_next = *chain;
	return *chain = known;
}

static void forget_if_idle(struct group_table *table, struct known_group *known)
{
	struct known_group **link = chain_of(table, name_of(known));

	if (known->group || known->waiting || known->is_asked)
		return;
	while (*link != known)
		link = &(*link)->chain_next;
	*link = known->chain_next;
	free(known);
}

static void count(struct im *im)
{
	gauge_set(&im->worker->counters, GAUGE_groups, im->groups->count);
}

static void keep_no_more(struct im *im, struct known_group *known)
{
	struct group_table *table = im->groups;

	if (!known->group)
		return;
	TAILQ_REMOVE(&table->by_use, known, use);
	table->octets -= known->group->octets;
	table->count--;
	group_drop(known->group);
	known->group = NULL;
	count(im);
}

/* Takes over the holding of `group`; those that nobody asked for longest make room. */
static void keep(struct im *im, struct known_group *known, struct group *group)
{
	struct group_table *table = im->groups;
	struct known_group *oldest;

	keep_no_more(im, known);
	known->group = group;
	TAILQ_INSERT_TAIL(&table->by_use, known, use);
	table->octets += group->octets;
	table->count++;
	while (table->octets > OCTETS_MAX && (oldest = TAILQ_FIRST(&table->by_use)) != known) {
		keep_no_more(im, oldest);
		forget_if_idle(table, oldest);
	}
	count(im);
}

/* ---- answering ---- */

static void answer(struct worker *worker, struct group_find *question, enum group_verdict verdict, struct group *group)
{
	question->verdict = verdict;
	question->group = group ? group_hold(group) : NULL;
	question->msg.actor = question->asker;
	worker_answer(worker, &question->msg, MSG_GROUP_FOUND, 0);
}

static void answer_all(struct im *im, struct known_group *known, enum group_verdict verdict)
{
	while (known->waiting) {
		struct group_find *question = known->waiting;
		known->waiting = question->next;
		answer(im->worker, question, verdict, verdict == GROUP_FOUND ? known->group : NULL);
	}
}

/* ---- reading ---- */

/* Valid when it came; a domain.home that is another since then makes other names of it. */
static enum group_verdict read_document(struct im *im, const struct known_group *known,
	const struct store_document_request *found, struct group **group)
{
	const struct sip_home *home = &im->server->sip.home;
	struct xml *xml;
	int err;

	if (xml_parse(&xml, found->content, &(struct xml_limits){ SIZE_MAX, XML_DEPTH_MAX }) != XML_OK)
		return GROUP_UNREADABLE;
	const struct xml_node *service = group_service_of(xml, name_of(known), home);
	err = service ? group_compile(group, service, home, found->etag) : EINVAL;
	xml_free(xml);
	return !err ? GROUP_FOUND : err == EINVAL ? GROUP_NONE : GROUP_UNREADABLE;
}

static void on_document(struct worker *worker, struct store_request *request);

static int ask_store(struct im *im, struct known_group *known, size_t room)
{
	struct store_document_request *r = calloc(1, sizeof(*r) + room + known->canonical_n);

	if (!r)
		return ENOMEM;
	memcpy(r->text + room, known->canonical, known->canonical_n);
	r->request.kind = STORE_DOCUMENT_FIND;
	r->request.on_answer = on_document;
	r->auid = SLICE(GROUPS_AUID);
	r->uri = slice_of(r->text + room, known->canonical_n);
	r->room = room;
	known->is_asked = true;
	known->was_changed = false;
	COUNT(&im->worker->counters, group_reads);
	(void)store_ask(im->worker, &r->request); /* reads are never refused */
	return 0;
}

/* False: it is asked again. */
static bool take_document(struct im *im, struct known_group *known, const struct store_document_request *r)
{
	enum group_verdict verdict = GROUP_UNREADABLE;
	struct group *group = NULL;
	int err = r->request.msg.err;

	if (known->group) /* somebody changed it meanwhile, and brought it */
		verdict = GROUP_FOUND;
	else if ((known->was_changed || err == EMSGSIZE) &&
		 ask_store(im, known, err == EMSGSIZE ? r->size : r->room) == 0)
		return false;
	else if (!err)
		verdict = read_document(im, known, r, &group);
	else if (err == ENOENT)
		verdict = GROUP_NONE;
	if (group)
		keep(im, known, group);
	if (verdict == GROUP_UNREADABLE)
		LOG(WARN, im->worker, "group", 0, "unreadable group=%.*s error=\"%s\"", SLICE_ARG(name_of(known)), strerror(err));
	answer_all(im, known, verdict);
	return true;
}

static void on_document(struct worker *worker, struct store_request *request)
{
	struct store_document_request *r = (struct store_document_request *)request;
	struct im *im = im_of(worker);
	struct known_group *known = find(im->groups, r->uri); /* it is there while it is asked */

	known->is_asked = false;
	if (take_document(im, known, r))
		forget_if_idle(im->groups, known);
	free(r);
}

/* ---- questions ---- */

int group_find(struct im *im, struct slice canonical, actor_id asker)
{
	struct group_find *question = calloc(1, sizeof(*question));

	if (!question)
		return ENOMEM;
	question->msg.kind = MSG_GROUP_FIND;
	question->asker = asker;
	question->canonical_n = canonical.n;
	memcpy(question->canonical, canonical.p, canonical.n);
	worker_post(im->worker, sip_owner_of_name(canonical, im->worker->group->count), &question->msg);
	return 0;
}

bool group_is_current(const struct im *im, struct slice canonical, const struct group *group)
{
	const struct known_group *known = find(im->groups, canonical);
	bool is_ours = sip_owner_of_name(canonical, im->worker->group->count) == im->worker->index;

	return !is_ours || (known && known->group == group);
}

static void look_up(struct im *im, struct group_find *question, struct slice canonical)
{
	struct known_group *known = find_or_make(im->groups, canonical);

	if (known && known->group) {
		TAILQ_REMOVE(&im->groups->by_use, known, use);
		TAILQ_INSERT_TAIL(&im->groups->by_use, known, use);
		answer(im->worker, question, GROUP_FOUND, known->group);
		return;
	}
	if (!known || (!known->is_asked && ask_store(im, known, FIRST_ROOM) != 0)) {
		answer(im->worker, question, GROUP_UNREADABLE, NULL);
		if (known)
			forget_if_idle(im->groups, known);
		return;
	}
	question->next = known->waiting;
	known->waiting = question;
}

static void on_find(struct worker *worker, struct msg *msg)
{
	struct group_find *question = (struct group_find *)msg;
	struct slice canonical = slice_of(question->canonical, question->canonical_n);
	struct im *im = im_of(worker);

	if (sip_name_is_group(sip_canonical_user(canonical), &im->server->sip))
		look_up(im, question, canonical);
	else
		answer(worker, question, GROUP_NONE, NULL);
}

void group_find_free(struct group_find *question)
{
	if (question)
		group_drop(question->group);
	free(question);
}

static void on_found_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	group_find_free((struct group_find *)msg);
}

/* ---- changes ---- */

static void news_free(struct group_news *news)
{
	group_drop(news->now);
	free(news);
}

static void take_news(struct im *im, struct group_news *news)
{
	struct slice canonical = slice_of(news->canonical, news->canonical_n);
	struct known_group *known = find(im->groups, canonical);

	if (known && known->group && known->group->etag > news->etag) /* an older one, overtaken on the way */
		return;
	if (known)
		known->was_changed = true;
	if (news->now && (known || (known = find_or_make(im->groups, canonical))))
		keep(im, known, group_hold(news->now)); /* without memory: whoever asks reads it */
	else if (known)
		keep_no_more(im, known);
	LOG(INFO, im->worker, "group", 0, "%s group=%.*s members=%u", news->now ? "changed" : "gone", SLICE_ARG(canonical),
		news->now ? news->now->member_count : 0);
	for (int i = 0; i < GROUP_LISTENERS_MAX && im->groups->listeners[i]; i++)
		im->groups->listeners[i](im, canonical, news->now);
	/* what they asked for meanwhile may have pushed it out */
	if ((known = find(im->groups, canonical)))
		forget_if_idle(im->groups, known);
}

static void on_changed(struct worker *worker, struct msg *msg)
{
	struct group_news *news = (struct group_news *)msg;

	take_news(im_of(worker), news);
	news_free(news);
}

void groups_on_change(struct im *im, group_changed on_change)
{
	int i = 0;

	while (im->groups->listeners[i])
		i++;
	assert(i < GROUP_LISTENERS_MAX);
	im->groups->listeners[i] = on_change;
}

void group_message_free(struct msg *msg)
{
	if (msg->kind == MSG_GROUP_CHANGED)
		news_free((struct group_news *)msg);
	else
		group_find_free((struct group_find *)msg);
}

/* ---- the worker's ---- */

int groups_init(struct im *im)
{
	if (!(im->groups = calloc(1, sizeof(*im->groups))))
		return ENOMEM;
	TAILQ_INIT(&im->groups->by_use);
	worker_random(im->worker, &im->groups->key, sizeof(im->groups->key));
	return 0;
}

static void known_free(struct known_group *known)
{
	while (known->waiting) {
		struct group_find *question = known->waiting;
		known->waiting = question->next;
		group_find_free(question);
	}
	group_drop(known->group);
	free(known);
}

void groups_free(struct im *im)
{
	struct known_group *known;

	for (int i = 0; im->groups && i < CHAINS; i++)
		while ((known = im->groups->chains[i])) {
			im->groups->chains[i] = known->chain_next;
			known_free(known);
		}
	free(im->groups);
}

void group_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_GROUP_FIND] = on_find;
	worker->on_message[MSG_GROUP_FOUND] = on_found_without_asker;
	worker->on_message[MSG_GROUP_CHANGED] = on_changed;
}
