#include "actors/flow_owner.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "actors/identity.h"
#include "actors/user.h"

#define DEADLINE_MS 5000

/* The question goes from worker to worker and then home; made and freed by the asker, or where it finds that
 * the asker is gone. */
struct flow_find {
	struct msg msg;
	actor_id asker;
	struct sip_flow flow;
	unsigned asked; /* workers so far */
	unsigned users; /* who have it: with two of them it is nobody's */
	char canonical[IM_CANONICAL_MAX];
	size_t canonical_n;
};

struct waiting {
	struct actor actor;
	struct im *im;
	struct sip_server *server;
	struct timer deadline;
	char *message; /* as received */
	size_t message_n;
};

static void on_waiting_message(struct actor *actor, struct msg *msg);
static const struct actor_type waiting_type = { "flow-owner", on_waiting_message };

bool flow_owner_is_worth_asking(const struct im *im, const struct sip_message *m, const struct authentication *found)
{
	return im->config->core.mode == MODE_STANDALONE && im->config->core.authenticate == AUTHENTICATE_NONE &&
	       !(found && (found->is_by_flow || found->sender_is_unknown)) && identity_from_is_anonymous(m);
}

/* ---- the workers that are asked ---- */

static void on_find(struct worker *worker, struct msg *msg)
{
	struct flow_find *find = (struct flow_find *)msg;
	struct slice canonical = SLICE_EMPTY;
	unsigned users = users_of_flow(im_of(worker), &find->flow, &canonical);

	if (users == 1) {
		memcpy(find->canonical, canonical.p, canonical.n);
		find->canonical_n = canonical.n;
	}
	find->users += users;
	if (++find->asked < worker->group->count) {
		worker_post(worker, find->asked, msg);
		return;
	}
	msg->kind = MSG_FLOW_FOUND;
	actor_post(worker, find->asker, msg);
}

static void on_found_without_asker(struct worker *worker, struct msg *msg)
{
	(void)worker;
	free(msg);
}

/* ---- the request that waits ---- */

static void waiting_free(struct waiting *w)
{
	struct im *im = w->im;

	worker_disarm(im->worker, &w->deadline);
	if (w->server)
		sip_server_watch(w->server, NULL, NULL);
	free(w->message);
	actor_close(&w->actor);
	pool_give(&im->flow_questions, w);
}

/* The transaction, which is the caller's again. */
static struct sip_server *take_server(struct waiting *w)
{
	struct sip_server *server = w->server;

	w->server = NULL;
	sip_server_watch(server, NULL, NULL);
	return server;
}

static void refuse(struct waiting *w, unsigned status, enum reason why)
{
	sip_server_refuse(take_server(w), status, why);
	waiting_free(w);
}

static void on_cancel(struct sip_server *server, void *arg)
{
	refuse(arg, 487, REASON_REJECTED);
}

static const struct sip_server_events waiting_events = { .on_cancel = on_cancel };

static void on_deadline(struct timer *timer)
{
	refuse((struct waiting *)((char *)timer - offsetof(struct waiting, deadline)), 503, REASON_TIMEOUT);
}

static void on_waiting_message(struct actor *actor, struct msg *msg)
{
	struct waiting *w = (struct waiting *)actor;
	const struct flow_find *find = (const struct flow_find *)msg;
	struct sip_limits limits = { w->message_n + 1, w->message_n + 1, 0 };
	struct authentication found = { .is_by_flow = true };
	struct sip_message m;
	size_t used;

	assert(msg->kind == MSG_FLOW_FOUND); /* the only message that names one who waits */
	if (find->users == 1) {
		memcpy(found.user, find->canonical, find->canonical_n);
		found.user_n = find->canonical_n;
	}
	free(msg);
	struct sip_server *server = take_server(w);
	if (sip_message_parse(&m, slice_of(w->message, w->message_n), &limits, SIP_DATAGRAM, &used) == SIP_PARSE_OK)
		im_go_on(w->im, server, &m, &found);
	else
		sip_server_refuse(server, 400, REASON_SYNTAX); /* cannot be: it was parsed before */
	waiting_free(w);
}

/* False: no memory, nothing was sent. */
static bool ask(struct waiting *w)
{
	struct flow_find *find = calloc(1, sizeof(*find));

	if (!find)
		return false;
	find->msg.kind = MSG_FLOW_FIND;
	find->asker = w->actor.id;
	find->flow = *sip_server_flow(w->server);
	worker_post(w->im->worker, 0, &find->msg);
	return true;
}

void flow_owner_ask(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct waiting *w = pool_take(&im->flow_questions);

	if (!w) {
		sip_server_refuse(server, 503, REASON_POOL_EXHAUSTED);
		return;
	}
	w->im = im;
	w->server = server;
	if (actor_open(im->worker, &w->actor, &waiting_type) != 0) {
		pool_give(&im->flow_questions, w);
		sip_server_refuse(server, 503, REASON_NO_MEMORY);
		return;
	}
	w->message_n = m->wire.n;
	w->message = malloc(m->wire.n);
	if (!w->message || !ask(w)) {
		refuse(w, 503, REASON_NO_MEMORY);
		return;
	}
	memcpy(w->message, m->wire.p, m->wire.n);
	sip_server_watch(server, &waiting_events, w);
	worker_arm(im->worker, &w->deadline, DEADLINE_MS, on_deadline);
}

int flow_owners_init(struct im *im)
{
	im->worker->on_message[MSG_FLOW_FIND] = on_find;
	im->worker->on_message[MSG_FLOW_FOUND] = on_found_without_asker;
	return pool_init(&im->flow_questions, "flow_questions", sizeof(struct waiting), im->server->sip.transactions_max);
}

/* The process ends: the transactions below were dropped without a word. */
void flow_owners_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->flow_questions.made; slot++) {
		struct waiting *w = pool_at(&im->flow_questions, slot);
		if (!w)
			continue;
		w->server = NULL;
		waiting_free(w);
	}
	pool_free(&im->flow_questions);
}
