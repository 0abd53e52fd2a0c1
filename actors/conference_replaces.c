/*
 * A session of two becomes a conference (7.1.1.6, F33, D1-16): the list names with the peer the dialog that his new
 * one replaces, as the initiator knows it.  Between the two is a B2BUA of ours, on the worker that minted the tag: it
 * is asked how the peer knows that dialog.
 */
#include "actors/conference_internal.h"

#include <stdlib.h>

#include "actors/session_names.h"

struct replaces_question {
	struct msg msg;
	actor_id asker;
	struct identity inviter;
	char canonical[IM_CANONICAL_MAX]; /* whom the entry is about */
	size_t canonical_n;
	bool is_known;
	char mapped[1024];
	size_t mapped_n, value_n;
	char value[];
};

/* One line more for his INVITE: the headers are the last of what is kept. */
static bool add_line(struct participant *p, struct slice replaces)
{
	struct conference_invited_one *kept = p->invitation;
	size_t n = (size_t)kept->uri_n + kept->local_n + kept->asserted_n + kept->headers_n, more = replaces.n + 12;
	struct buffer out;

	if (kept->headers_n + more > UINT16_MAX || !(kept = realloc(kept, sizeof(*kept) + n + more)))
		return false;
	p->invitation = kept;
	out = buffer_over(kept->text + n, more);
	buffer_lit(&out, "Replaces: ");
	buffer_put(&out, replaces);
	buffer_lit(&out, "\r\n");
	kept->headers_n = (uint16_t)(kept->headers_n + more);
	return true;
}

static void answer(struct im *im, struct replaces_question *q)
{
	struct buffer out = buffer_over(q->mapped, sizeof(q->mapped));

	q->is_known = session_map_replaces(im, slice_of(q->value, q->value_n), &out);
	q->mapped_n = out.n;
}

static void on_question(struct worker *worker, struct msg *msg)
{
	struct replaces_question *q = (struct replaces_question *)msg;

	answer(im_of(worker), q);
	msg->actor = q->asker;
	worker_answer(worker, msg, MSG_REPLACES_ANSWERED, 0);
}

static void on_answer_without_asker(struct worker *worker, struct msg *msg)
{
	free(msg);
}

void conference_replaces_register(struct worker *worker)
{
	worker->on_message[MSG_REPLACES_QUESTION] = on_question;
	worker->on_message[MSG_REPLACES_ANSWERED] = on_answer_without_asker;
}

/* The worker that has the dialog; -1: none of ours. */
static int worker_of(struct slice replaces)
{
	struct dialog_name name;
	int worker;

	if (!dialog_name_read(replaces, &name))
		return -1;
	worker = minted_worker(name.to_tag);
	return worker >= 0 ? worker : minted_worker(name.from_tag);
}

void conference_on_replaces(struct conference *c, struct msg *msg)
{
	struct replaces_question *q = (struct replaces_question *)msg;
	struct participant *p = conference_participant(c, slice_of(q->canonical, q->canonical_n));
	unsigned status = 0;

	if (p && p->state == PARTICIPANT_INVITED && p->invitation && !p->agent) {
		if (q->is_known && !add_line(p, slice_of(q->mapped, q->mapped_n)))
			status = 503;
		if (!status)
			status = conference_call(p, &q->inviter);
		if (status)
			(void)conference_on_final(p, status, SLICE_EMPTY);
	}
	free(q);
}

unsigned conference_call_replacing(struct participant *p, const struct identity *inviter, struct slice replaces)
{
	struct conference *c = p->conference;
	struct replaces_question *q;
	int worker = worker_of(replaces);

	if (worker < 0)
		return conference_call(p, inviter);
	q = calloc(1, sizeof(*q) + replaces.n);
	if (!q)
		return 503;
	q->msg.kind = MSG_REPLACES_QUESTION;
	q->asker = c->actor.id;
	q->inviter = *inviter;
	memcpy(q->canonical, p->text, p->canonical_n);
	q->canonical_n = p->canonical_n;
	q->value_n = replaces.n;
	memcpy(q->value, replaces.p, replaces.n);
	worker_post(c->im->worker, (unsigned)worker, &q->msg); /* the own one too: it answers in a later round */
	return 0;
}
