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
	return finish(b, owner, err, out);
}

static int load_user(struct worker_group *group, struct store_door *door, struct slice owner)
{
	struct im *im = im_of(group->workers[sip_owner_of_name(owner, group->count)]);
	struct access_rules *rules;
	int err = access_rules_read(door, &im->server->sip.home, owner, SLICE_EMPTY, SLICE_EMPTY, &rules);

	if (!err)
		take(im, rules);
	return err;
}

int access_rules_load(struct worker_group *group, struct store_door *door)
{
	struct document_cursor cursor;
	unsigned users = 0;
	int err;

	document_cursor_begin(&cursor, AUID, SLICE_EMPTY);
	while (!(err = document_cursor_next(door, &cursor))) {
		users++;
		if ((err = load_user(group, door, slice_of(cursor.owner, cursor.owner_n))))
			break;
		memset(cursor.name, 0xff, sizeof(cursor.name)); /* behind all of his: no name in UTF-8 is greater */
		cursor.name_n = sizeof(cursor.name);
	}
	document_cursor_end(&cursor);
	if (err == ENOENT)
		err = 0;
	if (err)
		LOG(ERROR, NULL, "store", 0, "rules-unreadable error=\"%s\"", strerror(err));
	else if (users)
		LOG(INFO, NULL, "store", 0, "rules-loaded users=%u", users);
	return err;
}
