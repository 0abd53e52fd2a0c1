#include "actors/pager_list_internal.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/cdr.h"
#include "actors/deferred.h"
#include "actors/group_advertisement.h"
#include "actors/policy.h"
#include "core/log.h"
#include "core/minted.h"
#include "sip/header.h"
#include "sip/owner.h"

#define LISTS_MAX   1024 /* of one worker that are checked or sent at a time */
#define DEADLINE_MS 5000 /* for the stores of the groups */

static void on_list_message(struct actor *actor, struct msg *msg);
static const struct actor_type pager_list_type = { "pager_list", on_list_message };

/* ---- beginning and end ---- */

void pager_list_free(struct pager_list *list)
{
	struct im *im = list->im;

	worker_disarm(im->worker, &list->timer);
	free(list->message);
	free(list->lines);
	recipients_free(&list->groups);
	recipients_free(&list->recipients);
	pager_content_drop(list->content);
	im->pager_list_octets -= list->charged;
	actor_close(&list->actor);
	pool_give(&im->pager_lists, list);
	pool_gauge_set(&im->worker->counters, POOL_pager_lists, pool_used(&im->pager_lists));
}

static void record_attempt(const struct pager_list *list, const char *reason)
{
	if (cdr_is_on(list->im))
		cdr_write(list->im, &(struct cdr){ .type = "pager", .id = list->actor.id, .from = cdr_from(&list->sender),
			.to = pager_list_target(list), .start_us = cdr_now_us(list->im), .reason = reason });
}

void pager_list_refuse(struct pager_list *list, unsigned status, enum reason why, const char *warning)
{
	struct sip_server *server = list->server;

	list->server = NULL;
	record_attempt(list, reason_label(why));
	if (warning)
		im_refuse_with_warning(list->im, server, status, why, warning);
	else
		sip_server_refuse(server, status, why);
	pager_list_free(list);
}

static void on_deadline(struct timer *timer)
{
	pager_list_refuse((struct pager_list *)((char *)timer - offsetof(struct pager_list, timer)), 503, REASON_TIMEOUT, NULL);
}

static void on_list_message(struct actor *actor, struct msg *msg)
{
	struct pager_list *list = (struct pager_list *)actor;

	assert(msg->kind == MSG_GROUP_FOUND); /* the only message that names a list */
	if (list->server)
		pager_list_on_group(list, (struct group_find *)msg);
	else
		group_find_free((struct group_find *)msg);
}

/* ---- whom a URI names ---- */

bool pager_list_classify(const struct im *im, struct slice uri, enum recipient_kind *kind, struct buffer *canonical)
{
	const struct sip_options *sip = &im->server->sip;
	struct sip_uri parsed;

	*kind = RECIPIENT_NOBODY;
	if (!sip_uri_parse(uri, &parsed))
		return false;
	if (parsed.scheme == SIP_SCHEME_OTHER)
		*kind = RECIPIENT_SCHEME;
	if (parsed.scheme == SIP_SCHEME_OTHER || !sip_uri_canonical(canonical, &parsed, &sip->home))
		return true;
	struct slice user = sip_canonical_user(buffer_slice(canonical));
	if (!sip_uri_is_home(&parsed, &sip->home))
		*kind = RECIPIENT_ELSEWHERE;
	else if (!user.n || sip_name_is_function(user, sip) || minted_worker(user) >= 0 ||
		 (sip->store_host.n && sip_host_equal(parsed.host, sip->store_host)))
		*kind = RECIPIENT_NOBODY;
	else
		*kind = sip_name_is_group(user, sip) ? RECIPIENT_GROUP : RECIPIENT_USER;
	return true;
}

/* ---- checks ---- */

bool pager_list_is_too_long(struct pager_list *list)
{
	recipients_make_distinct(&list->recipients);
	bool has_sender = recipients_have(&list->recipients, slice_of(list->sender.canonical, list->sender.canonical_n));

	return list->kind == PAGER_LIST_ADHOC &&
	       list->recipients.count + !has_sender > list->im->config->limits.max_adhoc_group;
}

/* False: refused. */
static bool make_content(struct pager_list *list, const struct sip_message *m)
{
	switch (pager_content_make(&list->content, m, list->kind == PAGER_LIST_ADHOC, list->im->config->limits.mime_depth)) {
	case PAGER_CONTENT_OK:
		return true;
	case PAGER_CONTENT_NONE:
		pager_list_refuse(list, 400, REASON_UNSUPPORTED_BODY, "Nothing to send beside the recipient list");
		return false;
	case PAGER_CONTENT_MALFORMED:
		pager_list_refuse(list, 400, REASON_SYNTAX, "Malformed multipart");
		return false;
	case PAGER_CONTENT_NO_MEMORY:
		break;
	}
	pager_list_refuse(list, 503, REASON_NO_MEMORY, NULL);
	return false;
}

/* 6.2.2.1, 6.2.4.1, E.1.6 of what each of them will get.  False: refused. */
static bool is_acceptable(struct pager_list *list, const struct sip_message *m)
{
	const struct config *config = list->im->config;
	const struct pager_content *content = list->content;
	bool is_advertisement = sip_content_type_is(content->type, GROUP_ADVERTISEMENT_TYPE);

	if (is_advertisement && list->sender.is_anonymous)
		pager_list_refuse(list, 403, REASON_IDENTITY, "Anonymity is not allowed");
	else if (is_advertisement && !group_advertisement_is_valid(content->body, config->limits.xml_bytes))
		pager_list_refuse(list, 400, REASON_XML, "Not a valid group advertisement");
	else if (content->body.n > config->limits.max_size_pager)
		pager_list_refuse(list, 403, REASON_TOO_LARGE, NULL);
	else if (content->body.n && !policy_permits_type(config, content->type))
		pager_list_refuse(list, 403, REASON_UNSUPPORTED_BODY, NULL);
	else if (deferred_is_expired(list->im, m))
		pager_list_refuse(list, 403, REASON_TIMEOUT, "Message expired");
	else
		return true;
	return false;
}

/* What waits to be sent is held in memory: a bound for all lists of a worker together. */
static bool charge(struct pager_list *list)
{
	size_t octets = list->content->lines.n + list->content->body.n + list->lines_n + recipients_octets(&list->recipients);

	if (list->im->pager_list_octets + octets > list->im->config->limits.queued_bytes)
		return false;
	list->charged = octets;
	list->im->pager_list_octets += octets;
	return true;
}

void pager_list_conclude(struct pager_list *list, const struct sip_message *m)
{
	struct sip_server *server = list->server;

	if (pager_list_is_too_long(list)) {
		pager_list_refuse(list, 486, REASON_RECIPIENTS, "Too many participants");
		return;
	}
	if (!make_content(list, m) || !is_acceptable(list, m))
		return;
	if (!pager_list_write_lines(list, m)) {
		pager_list_refuse(list, 503, REASON_NO_MEMORY, NULL);
		return;
	}
	if (!charge(list)) {
		pager_list_refuse(list, 503, REASON_QUEUED_BYTES, NULL);
		return;
	}
	free(list->message);
	list->message = NULL;
	recipients_free(&list->groups);
	list->server = NULL;
	worker_disarm(list->im->worker, &list->timer);
	COUNT(&list->im->worker->counters, pager_lists);
	LOG(INFO, list->im->worker, "pager_list", list->actor.id, "accepted to=%.*s recipients=%u",
		SLICE_ARG(pager_list_target(list)), list->recipients.count);
	sip_server_respond(server, &(struct sip_reply){ .status = 202 });
	pager_list_send(list);
}

/* ---- a MESSAGE comes ---- */

static enum pager_list_kind kind_of(const struct im *im, struct slice target)
{
	struct slice user = sip_canonical_user(target);

	if (slice_eq(user, im->server->sip.factory_user))
		return PAGER_LIST_ADHOC;
	return minted_worker(user) >= 0 ? PAGER_LIST_SESSION : PAGER_LIST_GROUP;
}

static struct pager_list *open_list(struct im *im, const struct pager_list_start *start)
{
	struct pager_list *list = pool_take(&im->pager_lists);

	if (!list)
		return NULL;
	if (actor_open(im->worker, &list->actor, &pager_list_type) != 0) {
		pool_give(&im->pager_lists, list);
		return NULL;
	}
	pool_gauge_set(&im->worker->counters, POOL_pager_lists, pool_used(&im->pager_lists));
	list->im = im;
	list->sender = *start->sender;
	list->may_leave = start->may_leave;
	list->kind = kind_of(im, start->target);
	memcpy(list->target, start->target.p, start->target.n);
	list->target_n = start->target.n;
	return list;
}

void pager_list_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_list_start *start)
{
	struct pager_list *list = open_list(im, start);

	if (!list) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	list->server = server;
	list->loop = sip_loop_of(im->worker, sip_server_flow(server), message);
	worker_arm(im->worker, &list->timer, DEADLINE_MS, on_deadline);
	pager_list_find_recipients(list, message);
}

/* ---- the worker's ---- */

int pager_lists_init(struct im *im)
{
	return pool_init(&im->pager_lists, "pager_lists", sizeof(struct pager_list), LISTS_MAX);
}

/* The process ends: the transactions below were dropped without a word, and pagers_free() was called. */
void pager_lists_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->pager_lists.made; slot++) {
		struct pager_list *list = pool_at(&im->pager_lists, slot);
		if (list)
			pager_list_free(list);
	}
	pool_free(&im->pager_lists);
}
