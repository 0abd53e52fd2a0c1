/* Access rules on their way from the store to the user who has them. */
#include <errno.h>
#include <stdlib.h>

#include "actors/access_rules.h"
#include "actors/document_store.h"
#include "actors/store_actor.h"
#include "actors/user_internal.h"
#include "sip/owner.h"

#define AUID SLICE("org.openmobilealliance.im-rules")

/* What is in the store was valid when it came, under whatever limits.xml_bytes held then. */
static const struct xml_limits no_limits = { SIZE_MAX, XML_DEPTH_MAX };

/* ---- on the worker ---- */

static void take(struct im *im, struct access_rules *rules)
{
	struct slice owner = slice_of(rules->owner, rules->owner_n);
	struct user *user = rules->rule_count ? user_find_or_make(im, owner) : user_of(im, owner);

	if (!user) {
		if (rules->rule_count) /* no memory: better to let somebody in than nobody */
			LOG(ERROR, im->worker, "user", 0, "no-rules user=%.*s error=\"no memory\"", SLICE_ARG(owner));
		free(rules);
		return;
	}
	free(user->rules);
	user->rules = rules->rule_count ? rules : NULL;
	if (!user->rules)
		free(rules);
	user_forget_if_empty(user);
}

static void on_rules(struct worker *worker, struct msg *msg)
{
	struct access_rules *rules = (struct access_rules *)msg;

	LOG(INFO, worker, "user", 0, "rules user=%.*s rules=%u", (int)rules->owner_n, rules->owner, rules->rule_count);
	take(im_of(worker), rules);
}

void access_rules_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_ACCESS_RULES] = on_rules;
}

void access_rules_post(struct worker_group *group, struct access_rules *rules)
{
	struct slice owner = slice_of(rules->owner, rules->owner_n);

	rules->msg.kind = MSG_ACCESS_RULES;
	worker_post_from_outside(group, sip_owner_of_name(owner, group->count), &rules->msg);
}

/* ---- reading ---- */

static int add(struct access_rules_builder *b, struct slice content)
{
	struct xml *xml;
	enum xml_verdict verdict = xml_parse(&xml, content, &no_limits);

	if (verdict == XML_NO_MEMORY)
		return ENOMEM;
	if (verdict != XML_OK) /* not put there by us: it counts for nothing */
		return 0;
	access_rules_add(b, xml);
	xml_free(xml);
	return 0;
}

static int finish(struct access_rules_builder *b, struct slice owner, int err, struct access_rules **out)
{
	struct access_rules *rules = access_rules_finish(b, owner);

	if (!rules)
		return err ? err : ENOMEM;
	if (err)
		free(rules);
	else
		*out = rules;
	return err;
}

int access_rules_read(struct store_door *door, const struct sip_home *home, struct slice owner, struct slice name,
	struct slice content, struct access_rules **out)
{
	struct access_rules_builder *b = access_rules_begin(home);
	struct document_cursor cursor;
	int err;

	if (!b)
		return ENOMEM;
	document_cursor_begin(&cursor, AUID, owner);
	while (!(err = document_cursor_next(door, &cursor)))
		if (!slice_eq(cursor.found->name, name) && (err = add(b, cursor.found->content)))
			break;
	document_cursor_end(&cursor);
	if (err == ENOENT)
		err = content.p ? add(b, content) : 0;
	err = finish(b, owner, err, out);
	if (!err && content.p && (*out)->rule_count + (*out)->matcher_count > ACCESS_RULES_MAX) {
		free(*out);
		*out = NULL;
		return EDQUOT;
	}
	return err;
}

/* The user whose documents are read just now. */
struct loading {
	struct access_rules_builder *builder; /* NULL: nobody */
	size_t owner_n;
	char owner[IM_CANONICAL_MAX];
};

/* All of his were read. */
static int give(struct worker_group *group, struct loading *l, int err)
{
	struct slice owner = slice_of(l->owner, l->owner_n);
	struct access_rules *rules;

	if (!l->builder)
		return err;
	err = finish(l->builder, owner, err, &rules);
	l->builder = NULL;
	if (!err)
		take(im_of(group->workers[sip_owner_of_name(owner, group->count)]), rules);
	return err;
}

static int load_document(struct worker_group *group, struct loading *l, const struct store_document_request *found)
{
	int err = 0;

	if (l->builder && !slice_eq(slice_of(l->owner, l->owner_n), found->owner) && (err = give(group, l, 0)))
		return err;
	if (!l->builder && !(l->builder = access_rules_begin(&im_of(group->workers[0])->server->sip.home)))
		return ENOMEM;
	memcpy(l->owner, found->owner.p, found->owner.n); /* it fits: the cursor has it, too */
	l->owner_n = found->owner.n;
	return add(l->builder, found->content);
}

int access_rules_load(struct worker_group *group, struct store_door *door)
{
	struct document_cursor cursor;
	struct loading loading = { 0 };
	unsigned documents = 0;
	int err;

	document_cursor_begin(&cursor, AUID, SLICE_EMPTY);
	for (; !(err = document_cursor_next(door, &cursor)); documents++)
		if ((err = load_document(group, &loading, cursor.found)))
			break;
	document_cursor_end(&cursor);
	err = give(group, &loading, err == ENOENT ? 0 : err);
	if (err)
		LOG(ERROR, NULL, "store", 0, "rules-unreadable error=\"%s\"", strerror(err));
	else if (documents)
		LOG(INFO, NULL, "store", 0, "rules-loaded documents=%u", documents);
	return err;
}
