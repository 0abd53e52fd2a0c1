#include "actors/session_fork.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/outgoing.h"
#include "actors/session_internal.h" /* session_files.c */
#include "core/log.h"
#include "sip/header.h"

/* 2xx of one call that are ended, those that came again included: no proxy forks to so many. */
#define STRAYS_MAX 64

static const struct sip_client_events branch_events;

/* ---- making and unmaking ---- */

/* It may ring for minutes: the room of contacts that he has not goes back. */
static struct user_find *fit(struct user_find *found)
{
	struct user_find *smaller =
		realloc(found, offsetof(struct user_find, contacts) + found->contact_count * sizeof(found->contacts[0]));

	return smaller ? smaller : found;
}

int session_fork_open(struct session_fork **out, struct im *im, const struct session_fork_start *start)
{
	struct user_find *found = start->found ? fit(start->found) : NULL;
	unsigned count = found ? found->contact_count : 1;
	struct session_fork *f = calloc(1, sizeof(*f) + count * sizeof(f->branches[0]));

	if (!f || sip_dialog_open_client(&f->common, im->worker, &start->dialog) != 0) {
		free(f);
		free(found);
		return ENOMEM;
	}
	f->im = im;
	f->events = start->events;
	f->owner = start->owner;
	f->id = start->id;
	f->found = found;
	f->target = start->dialog.next;
	f->to_contacts = found != NULL;
	f->count = count;
	f->common->local_cseq = 1;
	for (unsigned i = 0; i < count; i++) {
		f->branches[i].fork = f;
		if (found)
			f->branches[i].flow = found->contacts[i].flow;
	}
	f->next = im->forks;
	f->link = &im->forks;
	if (f->next)
		f->next->link = &f->next;
	im->forks = f;
	*out = f;
	return 0;
}

/* Nobody needs what the branch offered. */
static void drop_offer(struct session_branch *branch)
{
	if (branch->leg)
		msrp_leg_close(branch->leg);
	session_files_free(branch->files);
	free(branch->sdp);
	branch->files = NULL;
	branch->leg = NULL;
	branch->sdp = NULL;
}

static void fork_free(struct session_fork *f)
{
	for (unsigned i = 0; i < f->count; i++)
		drop_offer(&f->branches[i]);
	if (f->owner)
		f->events->on_gone(f->owner);
	*f->link = f->next;
	if (f->next)
		f->next->link = f->link;
	worker_disarm(f->im->worker, &f->next_group);
	session_early_forget(f, NULL);
	sip_dialog_close(f->common);
	free(f->found);
	free(f->best.text);
	free(f->kept);
	free(f);
}

static bool has_clients(const struct session_fork *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->branches[i].client)
			return true;
	return false;
}

void session_forks_free(struct im *im)
{
	while (im->forks)
		fork_free(im->forks);
}

struct sip_dialog *session_branch_dialog(struct session_branch *branch)
{
	const struct sip_dialog *common = branch->fork->common;
	struct sip_dialog_start start = { .call_id = sip_dialog_call_id(common), .local = sip_dialog_local(common),
		.remote = sip_dialog_remote(common), .local_tag = sip_dialog_local_tag(common),
		.next = session_branch_target(branch), .events = &session_early_events, .owner = branch };
	struct sip_dialog *dialog;

	if (sip_dialog_open_client(&dialog, branch->fork->im->worker, &start) != 0)
		return NULL;
	dialog->local_cseq = branch->cseq;
	return dialog;
}

struct slice session_branch_uri(const struct session_branch *branch)
{
	const struct session_fork *f = branch->fork;
	const struct user_contact *contact = f->found ? &f->found->contacts[branch - f->branches] : NULL;

	return contact ? slice_of(contact->uri, contact->uri_n) : SLICE_EMPTY;
}

struct slice session_branch_path(const struct session_branch *branch)
{
	const struct session_fork *f = branch->fork;
	const struct user_contact *contact = f->found ? &f->found->contacts[branch - f->branches] : NULL;

	return contact ? slice_of(contact->path, contact->path_n) : SLICE_EMPTY;
}

struct sip_target session_branch_target(const struct session_branch *branch)
{
	const struct session_fork *f = branch->fork;

	if (!f->to_contacts)
		return f->target;
	return (struct sip_target){ .has_flow = true, .flow_only = true, .flow = branch->flow };
}

/* ---- which failure A hears ---- */

/* RFC 3261 16.7 step 6, on what D1-19 leaves of the codes; lower is better.  Among the 4xx those that help
 * A to ask again come first, and those that only say that nobody was there last. */
static unsigned rank_of(unsigned status, bool is_ours)
{
	if (status >= 600)
		return 0;
	if (status >= 500)
		return status == 503 ? 6 : 5;
	if (is_ours)
		return 4;
	if (status == 408 || status == 480 || status == 481 || status == 482 || status == 487)
		return 3;
	return status == 415 || status == 420 || status == 484 ? 1 : 2;
}

/* `m` NULL: the verdict is ours. */
static void remember_failure(struct session_fork *f, unsigned status, enum reason why, const struct sip_message *m)
{
	char text[OUTGOING_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	unsigned passed_on = outgoing_final_status(status), rank = rank_of(passed_on, !m);

	if (f->best.status && f->best.rank <= rank)
		return;
	free(f->best.text);
	memset(&f->best, 0, sizeof(f->best));
	f->best.status = passed_on;
	f->best.received = status;
	f->best.rank = rank;
	f->best.why = why;
	if (!m)
		return;
	if (passed_on == status)
		buffer_put(&out, m->reason);
	size_t phrase_n = out.n;
	outgoing_copied(&out, f->im, m, identity_hides_answerer(f->im, m));
	if (!out.overflow && session_keep(&f->best.text, &f->best.headers_n, buffer_slice(&out))) {
		f->best.phrase_n = (uint32_t)phrase_n;
		f->best.headers_n -= (uint32_t)phrase_n;
	}
}

static void tell_failure(struct session_fork *f)
{
	struct session_failure failure = { .status = f->best.status ? f->best.status : 480,
		.received = f->best.received ? f->best.received : 480, .why = f->best.why };

	if (f->best.text) {
		failure.phrase = slice_of(f->best.text, f->best.phrase_n);
		failure.headers = slice_of(f->best.text + f->best.phrase_n, f->best.headers_n);
	}
	f->events->on_failed(&failure, f->owner);
}

/* ---- calling ---- */

static void on_next_group(struct timer *timer);

static unsigned q_of(const struct session_fork *f, unsigned i)
{
	return f->found ? f->found->contacts[i].q : 0;
}

/* All contacts of the next q; false: none of them could be called. */
static bool begin_group(struct session_fork *f, int *err)
{
	unsigned waiting = f->waiting, q = q_of(f, f->begun);

	while (f->begun < f->count && q_of(f, f->begun) == q) {
		struct session_branch *branch = &f->branches[f->begun++];
		branch->cseq = f->common->local_cseq;
		int failed = f->events->send(branch, &branch_events, f->owner);
		if (failed) {
			*err = failed;
			branch->is_answered = true;
			drop_offer(branch);
			remember_failure(f, 503, REASON_POOL_EXHAUSTED, NULL);
		} else {
			f->waiting++;
		}
	}
	if (f->begun < f->count)
		worker_arm(f->im->worker, &f->next_group, f->im->config->timers.client_answer_ms, on_next_group);
	else
		worker_disarm(f->im->worker, &f->next_group);
	return f->waiting > waiting;
}

static bool go_on(struct session_fork *f, int *err)
{
	while (f->begun < f->count)
		if (begin_group(f, err))
			return true;
	return false;
}

int session_fork_begin(struct session_fork *f)
{
	int err = ENOMEM;

	return go_on(f, &err) ? 0 : err;
}

static void on_next_group(struct timer *timer)
{
	struct session_fork *f = (struct session_fork *)((char *)timer - offsetof(struct session_fork, next_group));
	int err;

	LOG(INFO, f->im->worker, "session", f->id, "next-contacts begun=%u of=%u", f->begun, f->count);
	(void)go_on(f, &err); /* those that ring already may still answer */
}

void session_fork_cancel(struct session_fork *f)
{
	f->is_over = true;
	worker_disarm(f->im->worker, &f->next_group);
	for (unsigned i = 0; i < f->count; i++) {
		if (f->branches[i].client && !f->branches[i].is_answered)
			sip_client_cancel(f->branches[i].client);
		drop_offer(&f->branches[i]);
	}
}

void session_fork_leave(struct session_fork *f)
{
	session_fork_cancel(f);
	f->owner = NULL;
	if (!has_clients(f))
		fork_free(f);
}

/* Nobody wants what comes any more. */
static bool is_over(const struct session_fork *f)
{
	return f->is_over || !f->owner || !f->events->waits(f->owner);
}

/* ---- a 2xx ---- */

/* Its dialog, acknowledged.  NULL: no memory; it is repeated and we try again. */
static struct sip_dialog *acknowledge(struct session_branch *branch, struct sip_client *client,
	const struct sip_message *m, struct session_early **early, bool *is_whole)
{
	struct session_fork *f = branch->fork;
	struct slice uri = session_branch_uri(branch);
	struct sip_address to = { 0 };

	if (!sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to))
		return NULL; /* cannot be: the transaction layer read it */
	*early = session_early_take(f, to.tag);
	struct sip_dialog *dialog = *early ? (*early)->dialog : session_branch_dialog(branch);
	if (!dialog)
		return NULL;
	if (*early)
		(*early)->dialog = NULL;
	int err = sip_dialog_confirm(dialog, m);
	*is_whole = err == 0;
	if (err == EINVAL) /* nothing to go on with, but it has to end */
		err = sip_dialog_confirm_anyhow(dialog, m, uri.n ? uri : to.uri);
	if (err) {
		sip_dialog_close(dialog);
		return NULL;
	}
	session_acknowledge_in(dialog, client, m, branch->cseq);
	return dialog;
}

/* Another one was faster, or nobody wants it any more: acknowledged and ended at once (RFC 3261 13.2.2.4). */
static void end_stray(struct session_branch *branch, struct sip_client *client, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;
	struct session_early *early = NULL;
	struct sip_client *bye;
	bool is_whole;

	if (f->strays++ >= STRAYS_MAX) { /* each would cost a transaction of 32 s */
		REFUSED(&f->im->worker->counters, REASON_DIALOG_LIMIT);
		LOG(WARN, f->im->worker, "session", f->id, "refused status=%u reason=%s",
			m->status, reason_label(REASON_DIALOG_LIMIT));
		return;
	}
	struct sip_dialog *dialog = acknowledge(branch, client, m, &early, &is_whole);

	if (early)
		session_early_free(early);
	if (!dialog)
		return;
	COUNT(&f->im->worker->counters, session_strays);
	LOG(INFO, f->im->worker, "session", f->id, "second-answer-ended");
	(void)session_send_in(dialog, "BYE", SLICE_EMPTY, SLICE_EMPTY, NULL, NULL, &bye); /* nobody waits for it */
	sip_dialog_close(dialog);
}

/* The dialog of the 2xx that counted, if this is that one again; else NULL. */
static struct sip_dialog *repeated(const struct session_fork *f, const struct sip_message *m)
{
	struct sip_dialog *dialog = f->owner ? f->events->dialog(f->owner) : NULL;
	struct sip_address to;

	return dialog && sip_address_decode(sip_header_value(m, SIP_HDR_TO), &to) &&
	       slice_eq(to.tag, sip_dialog_remote_tag(dialog)) ? dialog : NULL;
}

static void settle(struct session_branch *branch)
{
	if (branch->is_answered)
		return;
	branch->is_answered = true;
	branch->fork->waiting--;
	drop_offer(branch);
}

/* Taken back, or refused: has the last one said so? */
static void tell_settled(struct session_fork *f)
{
	if (f->owner && !f->waiting)
		f->events->on_settled(f->owner);
}

/* What the branch has goes with it. */
static void hand_over(struct session_branch *branch, struct session_answer *answer)
{
	struct session_fork *f = branch->fork;

	answer->cseq = branch->cseq;
	answer->leg = branch->leg;
	answer->sdp = branch->sdp;
	answer->sdp_n = branch->sdp_n;
	answer->files = branch->files;
	branch->leg = NULL;
	branch->sdp = NULL;
	branch->files = NULL;
	settle(branch);
	session_fork_cancel(f);
	free(f->found);
	free(f->kept);
	f->found = NULL;
	f->kept = NULL;
	f->events->on_answer(answer, f->owner); /* both may be gone */
}

static void on_success(struct session_branch *branch, struct sip_client *client, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;
	struct session_answer answer = { .response = m, .flow = *sip_client_flow(client) };
	struct sip_dialog *again = repeated(f, m);

	if (again) { /* its ACK could not be sent, or kept */
		session_acknowledge_in(again, client, m, branch->cseq);
		return;
	}
	if (is_over(f)) {
		settle(branch);
		end_stray(branch, client, m);
		tell_settled(f);
		return;
	}
	answer.dialog = acknowledge(branch, client, m, &answer.early, &answer.is_whole);
	if (answer.dialog)
		hand_over(branch, &answer);
	if (answer.early)
		session_early_free(answer.early);
}

/* ---- no 2xx ---- */

static void after_failure(struct session_fork *f)
{
	int err;

	if (is_over(f)) {
		tell_settled(f);
		return;
	}
	if (f->best.status >= 600) /* nobody anywhere: RFC 3261 16.7 step 5 */
		session_fork_cancel(f);
	else if (f->waiting || go_on(f, &err))
		return;
	f->is_over = true;
	tell_failure(f);
}

/* RFC 4028 7.3: once more, with the interval that he wants at least. */
static bool retry_longer(struct session_branch *branch, struct sip_client *client, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;
	uint64_t sent_s = f->im->config->timers.session_expires_ms / 1000;
	uint32_t least;

	if (m->status != 422 || is_over(f) || branch->session_expires_s || !sip_seconds_of(m, SIP_HDR_MIN_SE, &least) || least <= sent_s)
		return false;
	branch->session_expires_s = least;
	branch->cseq = ++f->common->local_cseq;
	if (f->events->send(branch, &branch_events, f->owner) != 0) {
		branch->client = client;
		return false;
	}
	sip_client_forget(client);
	return true;
}

static void on_refused(struct session_branch *branch, struct sip_client *client, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;

	if (retry_longer(branch, client, m))
		return;
	session_early_forget(f, branch);
	settle(branch);
	remember_failure(f, m->status, REASON_REJECTED, m);
	after_failure(f);
}

static void on_provisional(struct session_branch *branch, const struct sip_message *m)
{
	struct session_fork *f = branch->fork;

	if (is_over(f))
		return;
	if (sip_items_have(m, SIP_HDR_REQUIRE, "100rel") && !session_early_receive(branch, m))
		return;
	if (m->status != 199) /* RFC 6228: the end of one early dialog; A's goes on with the others */
		f->events->on_ringing(m, f->owner);
}

static void on_branch_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	if (m->status < 200)
		on_provisional(arg, m);
	else if (m->status < 300)
		on_success(arg, client, m);
	else
		on_refused(arg, client, m);
}

static void give_up(struct session_branch *branch, unsigned status, enum reason why)
{
	struct session_fork *f = branch->fork;

	session_early_forget(f, branch);
	settle(branch);
	remember_failure(f, status, why, NULL);
	after_failure(f);
}

static void on_branch_failed(struct sip_client *client, unsigned status, void *arg)
{
	/* the contact's flow is gone, or nobody is there: to the caller the user is not available */
	give_up(arg, status == 503 ? 480 : status, status == 503 ? REASON_CONNECT_FAILED : REASON_TIMEOUT);
}

static void on_branch_gone(struct sip_client *client, void *arg)
{
	struct session_branch *branch = arg;
	struct session_fork *f = branch->fork;

	if (!branch->is_answered) /* a 2xx for which there was no memory, however often it came */
		give_up(branch, 503, REASON_NO_MEMORY);
	branch->client = NULL;
	if (!has_clients(f))
		fork_free(f);
}

static const struct sip_client_events branch_events = { on_branch_response, on_branch_failed, on_branch_gone };
