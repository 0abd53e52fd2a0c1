/*
 * A pager message that nobody takes now is stored (6.2.8.2, 10.3.2.4; D1-07; design.md 13, "Messages"): 202 once it is
 * committed.  A client that was silent may still answer: then what was stored goes again.
 */
#include <errno.h>
#include <stdlib.h>

#include "actors/deferred.h"
#include "actors/mailbox.h"
#include "actors/pager_internal.h"
#include "actors/store_actor.h"
#include "core/log.h"

#define STORE_MS 20000 /* the sender's transaction ends at 32 s, of which the client may have had 20 */

static struct slice recipient_of(const struct pager *p)
{
	return slice_of(p->recipient, p->recipient_n);
}

bool pager_may_wait(const struct pager *p)
{
	return p->is_to_client && p->im->config->policy.offline_pager == OFFLINE_DEFER &&
	       /* what that sends fails instead (design.md 7) */
	       !identity_is_function(p->im, slice_of(p->sender.canonical, p->sender.canonical_n));
}

static void remove_copy(struct im *im, struct slice mailbox, uint64_t position)
{
	if (mailbox_remove(im, mailbox, &position, 1, 0) != 0)
		REFUSED(&im->worker->counters, REASON_NO_MEMORY); /* he gets it twice */
}

/* ---- the store's answer ---- */

static void refuse_unstored(struct pager *p, int err)
{
	COUNT(&p->im->worker->counters, deferred_failed);
	if (err == EDQUOT)
		pager_refuse(p, 480, REASON_QUOTA);
	else if (err == EFBIG) /* its header lines: another time they are no shorter */
		pager_refuse(p, 513, REASON_TOO_LARGE);
	else
		pager_refuse(p, 503, err == EAGAIN ? REASON_STORE_BUSY : REASON_STORE);
}

static void acknowledge(struct pager *p)
{
	pager_record_end(p, true, "stored");
	pager_tell(p, &(struct sip_reply){ .status = 202 });
	LOG(INFO, p->im->worker, "deferred", p->actor.id, "stored user=%.*s position=%llu", SLICE_ARG(recipient_of(p)),
		(unsigned long long)p->position);
	mailbox_stored(p->im, recipient_of(p), p->registration);
	if (p->client)
		p->state = PAGER_STORED;
	else
		pager_free(p);
}

static void on_stored(struct worker *worker, struct store_request *request)
{
	struct store_deferred_put *put = (struct store_deferred_put *)request;
	struct pager *p = (struct pager *)actor_find(worker, (actor_id)(uintptr_t)request->asker);
	bool is_stored = request->msg.err == 0;

	if (is_stored)
		COUNT(&worker->counters, deferred_stored);
	if (p && pager_is_waited_for(p)) {
		worker_disarm(worker, &p->deadline);
		p->position = put->message.position;
		if (is_stored)
			acknowledge(p);
		else
			refuse_unstored(p, request->msg.err);
	} else {
		/* the sender was told something else meanwhile: that the client has it, or that the store is silent */
		if (is_stored)
			remove_copy(im_of(worker), put->mailbox, put->message.position);
		if (p)
			pager_free(p);
	}
	free(put);
}

void pager_on_store_silent(struct pager *p)
{
	if (pager_is_waited_for(p))
		refuse_unstored(p, ETIMEDOUT);
	else
		pager_free(p);
}

/* ---- storing ---- */

static void store(struct pager *p, const struct sip_message *m)
{
	struct store_deferred_put *put = deferred_of_pager(p->im, recipient_of(p), &p->sender, m);

	if (!put) {
		COUNT(&p->im->worker->counters, deferred_failed);
		pager_refuse(p, 503, REASON_NO_MEMORY);
		return;
	}
	put->request.on_answer = on_stored;
	put->request.asker = (void *)(uintptr_t)p->actor.id;
	if (store_ask(p->im->worker, &put->request) != 0) {
		free(put);
		refuse_unstored(p, EAGAIN);
		return;
	}
	p->state = PAGER_STORING;
	if (p->client)
		sip_client_rest(p->client);
	pager_forget_message(p);
	free(p->found);
	p->found = NULL;
	worker_arm(p->im->worker, &p->deadline, STORE_MS, pager_on_deadline);
}

bool pager_defer(struct pager *p)
{
	struct sip_message m;

	if (!pager_may_wait(p) || !pager_read(p, &m))
		return false;
	if (deferred_is_for_now_only(&m)) {
		pager_refuse(p, 480, REASON_NOT_STORED);
		return true;
	}
	store(p, &m);
	return true;
}

/* ---- the client, after all ---- */

/* He has it: the copy goes as soon as it is there. */
static void on_delivered(struct pager *p, const struct sip_message *m)
{
	COUNT(&p->im->worker->counters, deferred_late);
	if (p->state == PAGER_STORED) {
		remove_copy(p->im, recipient_of(p), p->position);
		pager_free(p);
		return;
	}
	sip_client_forget(p->client);
	p->client = NULL;
	COUNT(&p->im->worker->counters, pager_messages);
	pager_record_end(p, true, "delivered");
	pager_tell(p, &(struct sip_reply){ .status = m->status, .reason = m->reason });
}

void pager_on_late_response(struct pager *p, const struct sip_message *m)
{
	if (m->status < 300) {
		on_delivered(p, m);
		return;
	}
	sip_client_forget(p->client);
	pager_on_late_failure(p);
}

void pager_on_late_failure(struct pager *p)
{
	p->client = NULL;
	if (p->state == PAGER_STORED)
		pager_free(p);
}
