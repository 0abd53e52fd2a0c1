#include "actors/admin_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "actors/authentication.h"
#include "actors/conference.h"
#include "actors/mailbox.h"
#include "actors/session.h"
#include "core/log.h"

struct admin_question *admin_question_make(enum admin_kind kind, unsigned limit)
{
	struct admin_question *q = calloc(1, sizeof(*q) + limit * sizeof(q->sessions[0]));

	if (!q)
		return NULL;
	q->msg.kind = MSG_ADMIN_QUESTION;
	q->kind = kind;
	q->limit = limit;
	atomic_init(&q->owners, 1);
	sem_init(&q->answered, 0, 0);
	return q;
}

void admin_question_release(struct admin_question *q)
{
	if (atomic_fetch_sub(&q->owners, 1) > 1)
		return;
	sem_destroy(&q->answered);
	free(q);
}

bool admin_question_ask(struct admin_question *q, struct worker_group *group, unsigned worker)
{
	struct timespec until;

	atomic_fetch_add(&q->owners, 1);
	worker_post_from_outside(group, worker, &q->msg);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ADMIN_WAIT_S;
	while (sem_timedwait(&q->answered, &until) != 0)
		if (errno != EINTR)
			return false;
	return true;
}

/* ---- on the worker ---- */

static void answer(struct admin_question *q, int err)
{
	q->err = err;
	sem_post(&q->answered);
	admin_question_release(q);
}

static void on_changed(struct im *im, struct credentials_change *change, int err)
{
	struct admin_question *q = (struct admin_question *)((char *)change - offsetof(struct admin_question, change));

	LOG(INFO, im->worker, "user", 0, "%s user=%.*s err=%d", change->is_delete ? "deleted" : "put",
		(int)q->canonical_n, q->canonical, err);
	answer(q, err);
}

static void on_facts(struct im *im, struct credentials_asker *asker, const struct user_facts *facts, int err)
{
	struct admin_question *q = (struct admin_question *)((char *)asker - offsetof(struct admin_question, asker));

	if (!err && q->if_absent && facts->exists)
		err = EEXIST;
	if (!err && (q->if_present || q->kind == ADMIN_USER_DELETE) && !facts->exists)
		err = ENOENT;
	if (err) {
		answer(q, err);
		return;
	}
	q->existed = facts->exists;
	q->change = (struct credentials_change){ .is_delete = q->kind == ADMIN_USER_DELETE, .facts = q->facts,
		.done = on_changed };
	err = credentials_change(im, slice_of(q->canonical, q->canonical_n), &q->change);
	if (err)
		answer(q, err);
}

static void on_digest_facts(struct im *im, struct credentials_asker *asker, const struct user_facts *facts, int err)
{
	struct admin_question *q = (struct admin_question *)((char *)asker - offsetof(struct admin_question, asker));
	struct digest_credentials c;

	if (!err && (!facts->exists || digest_credentials_decode(slice_of(q->header, q->header_n), &c) != DIGEST_OK))
		err = ENOENT;
	if (!err)
		err = authentication_judge(im, facts, &c, q->name, slice_str(q->method));
	answer(q, err);
}

/* ---- a message that is to go ---- */

struct removal {
	struct actor actor;
	struct admin_question *question;
};

static void end_removal(struct removal *r, int err)
{
	answer(r->question, err);
	actor_close(&r->actor);
	free(r);
}

static void on_removed(struct actor *actor, struct msg *msg)
{
	int err = msg->err;

	free(msg); /* the only message that names it: MSG_MAILBOX_REMOVED */
	end_removal((struct removal *)actor, err);
}

static const struct actor_type removal_type = { "removal", on_removed };

static void remove_message(struct im *im, struct admin_question *q)
{
	struct removal *r = calloc(1, sizeof(*r));

	if (!r || actor_open(im->worker, &r->actor, &removal_type) != 0) {
		free(r);
		answer(q, ENOMEM);
		return;
	}
	r->question = q;
	int err = mailbox_remove(im, slice_of(q->canonical, q->canonical_n), &q->position, 1, r->actor.id);
	if (err)
		end_removal(r, err);
}

static void on_question(struct worker *worker, struct msg *msg)
{
	struct admin_question *q = (struct admin_question *)msg;
	struct im *im = im_of(worker);

	if (q->kind == ADMIN_SESSIONS || q->kind == ADMIN_CONFERENCES) {
		if (q->kind == ADMIN_SESSIONS)
			sessions_list(im, q);
		else
			conferences_list(im, q);
		answer(q, 0);
		return;
	}
	if (q->kind == ADMIN_MAILBOX_REMOVE) {
		remove_message(im, q);
		return;
	}
	q->asker.ready = q->kind == ADMIN_DIGEST ? on_digest_facts : on_facts;
	credentials_ask(im, slice_of(q->canonical, q->canonical_n), &q->asker);
}

void admin_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_ADMIN_QUESTION] = on_question;
}
