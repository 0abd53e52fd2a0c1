/* What other actors ask of a user: where he is, and whether he wants what they bring. */
#include <errno.h>
#include <stdlib.h>

#include "actors/access_rules.h"
#include "actors/publication.h"
#include "actors/user_internal.h"
#include "sip/header.h"
#include "sip/owner.h"

static void on_found_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	free(msg);
}

/* Better first: higher q, then the later registration. */
static bool is_better(const struct binding *a, const struct binding *b)
{
	return a->q != b->q ? a->q > b->q : a->updated > b->updated;
}

/* RFC 5626 6: of several flows to one instance only one is used, the one registered last. */
static bool has_newer_flow(const struct user *user, const struct binding *of)
{
	for (const struct binding *b = user->bindings; b && of->reg_id; b = b->next)
		if (b != of && b->is_reachable && b->reg_id && b->updated > of->updated &&
		    slice_eq(binding_instance(b), binding_instance(of)))
			return true;
	return false;
}

static void list_contacts(const struct user *user, struct user_find *question)
{
	const struct binding *order[USER_BINDINGS_MAX];
	unsigned n = 0;

	for (const struct binding *b = user->bindings; b; b = b->next) {
		bool is_sips = question->is_sips || slice_case_starts(slice_of(b->text, b->uri_n), SLICE("sips:"));
		if (!b->is_reachable || has_newer_flow(user, b) || (is_sips && b->flow.protocol != SIP_TLS))
			continue;
		unsigned at = n++;
		for (; at > 0 && is_better(b, order[at - 1]); at--)
			order[at] = order[at - 1];
		order[at] = b;
	}
	for (unsigned i = 0; i < n; i++) {
		struct user_contact *contact = &question->contacts[i];
		memcpy(contact->uri, order[i]->text, order[i]->uri_n);
		contact->uri_n = order[i]->uri_n;
		contact->q = order[i]->q;
		memcpy(contact->path, binding_path(order[i]).p, order[i]->path_n);
		contact->path_n = order[i]->path_n;
		contact->flow = order[i]->flow;
		contact->has_feature_tag = sip_params_have_feature(binding_params(order[i]), IM_FEATURE_TAG);
	}
	question->contact_count = n;
}

static enum user_verdict judge(const struct im *im, const struct user *user, const struct user_find *question)
{
	enum poc_setting barring = question->purpose == USER_FOR_SESSION ? SETTING_SESSION_BARRING : SETTING_PAGER_BARRING;

	if (question->purpose == USER_FIND_ONLY || identity_is_function(im, slice_of(question->caller, question->caller_n)))
		return USER_ACCEPTS;
	if (publication_setting(im, user, barring))
		return USER_BARS;
	return access_rules_verdict(user->rules, question->purpose, slice_of(question->caller, question->caller_n),
		question->caller_is_anonymous);
}

static bool is_registered(const struct user *user, const struct user_find *question)
{
	/* D1-28: a network without third-party REGISTER has nothing else to tell by */
	bool is_in_such_network = user->im->config->core.mode == MODE_IMS && !user->is_core_known;

	return user->is_core_registered || question->contact_count > 0 || (is_in_such_network && user->publications);
}

static void answer(struct im *im, struct user_find *question)
{
	struct user *user = user_of(im, slice_of(question->canonical, question->canonical_n));

	question->contact_count = 0;
	question->is_registered = false;
	question->verdict = user ? judge(im, user, question) : USER_ACCEPTS;
	publication_settings(im, user, &question->settings);
	question->registration = user_registration(im, slice_of(question->canonical, question->canonical_n));
	if (user) {
		list_contacts(user, question);
		question->is_registered = is_registered(user, question);
	}
	question->msg.actor = question->asker;
	worker_answer(im->worker, &question->msg, MSG_USER_FOUND, 0);
}

static void on_facts(struct im *im, struct credentials_asker *asker, const struct user_facts *facts, int err)
{
	struct user_find *question = (struct user_find *)((char *)asker - offsetof(struct user_find, asked));

	if (err == ECANCELED) { /* the worker ends */
		free(question);
		return;
	}
	question->is_unknown = !err && !facts->exists; /* who is registered is there, whatever the store says */
	answer(im, question);
}

static void on_find(struct worker *worker, struct msg *msg)
{
	struct user_find *question = (struct user_find *)msg;
	struct im *im = im_of(worker);

	question->is_unknown = false;
	if (question->must_exist && im->config->core.mode == MODE_STANDALONE && im->config->core.users == USERS_PROVISIONED) {
		question->asked.ready = on_facts;
		credentials_ask(im, slice_of(question->canonical, question->canonical_n), &question->asked);
		return;
	}
	answer(im, question);
}

int user_find_for(struct im *im, const struct user_wanted *wanted, actor_id asker)
{
	struct user_find *question = malloc(sizeof(*question));

	if (!question)
		return ENOMEM;
	memset(question, 0, offsetof(struct user_find, contacts));
	question->msg.kind = MSG_USER_FIND;
	question->asker = asker;
	memcpy(question->canonical, wanted->canonical.p, wanted->canonical.n);
	question->canonical_n = wanted->canonical.n;
	question->is_sips = wanted->is_sips;
	question->purpose = wanted->purpose;
	question->must_exist = wanted->must_exist;
	if (wanted->caller) {
		memcpy(question->caller, wanted->caller->canonical, wanted->caller->canonical_n);
		question->caller_n = wanted->caller->canonical_n;
		question->caller_is_anonymous = wanted->caller->is_anonymous;
	}
	worker_post(im->worker, sip_owner_of_name(wanted->canonical, im->worker->group->count), &question->msg);
	return 0;
}

int user_find(struct im *im, struct slice canonical, bool is_sips, actor_id asker)
{
	return user_find_for(im, &(struct user_wanted){ .canonical = canonical, .is_sips = is_sips }, asker);
}

uint64_t user_registration(struct im *im, struct slice canonical)
{
	const struct user *user = user_of(im, canonical);

	return user ? user->changes : im->users->changes;
}

void user_register_handlers(struct worker *worker)
{
	access_rules_register_handlers(worker);
	worker->on_message[MSG_USER_FIND] = on_find;
	worker->on_message[MSG_USER_FOUND] = on_found_without_asker;
}
