#include "actors/admin_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

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

static void on_question(struct worker *worker, struct msg *msg)
{
	struct admin_question *q = (struct admin_question *)msg;
	struct im *im = im_of(worker);

	if (q->kind == ADMIN_SESSIONS) {
		sessions_list(im, q);
		answer(q, 0);
		return;
	}
	q->asker.ready = on_facts;
	credentials_ask(im, slice_of(q->canonical, q->canonical_n), &q->asker);
}

void admin_register_handlers(struct worker *worker)
{
	worker->on_message[MSG_ADMIN_QUESTION] = on_question;
}
