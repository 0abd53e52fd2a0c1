#include "actors/delivery.h"

#include <assert.h>
#include <stdlib.h>

#include "actors/deferred_reader.h"
#include "actors/delivery_body.h"
#include "actors/mailbox.h"
#include "actors/push_internal.h"
#include "core/log.h"
#include "msrp/sender.h"

#define WINDOW_MAX 128 /* of deferred.push_window: a visitor of a mailbox may not hold much more */

/* What the mailbox leased at a time; its messages live until the last of them is over. */
struct page {
	struct mailbox_lease *lease;
	unsigned next;  /* the first that is not sent */
	unsigned users; /* parcels, and the delivery while `next` is not the end */
};

/* One message on its way. */
struct parcel {
	struct msrp_outgoing outgoing;
	TAILQ_ENTRY(parcel) link;
	struct delivery *delivery;
	struct page *page;
	const struct store_deferred *message; /* in the page */
	struct delivery_body body;
	struct deferred_reader reader;
};

struct delivery {
	struct actor actor;
	struct im *im;
	LIST_ENTRY(delivery) of_worker;
	const struct delivery_events *events;
	void *arg;
	struct msrp_leg *leg;
	struct mailbox_visit *visit;
	uint64_t max_octets, *positions; /* heap; NULL: all */
	unsigned count, next;            /* of `positions` */
	uint64_t after;
	struct page *page;               /* with messages that are not sent yet; NULL: none */
	TAILQ_HEAD(, parcel) parcels;
	unsigned parcel_count, window;
	unsigned ends_out;               /* asked of the mailbox */
	bool is_asking, is_exhausted;    /* of the mailbox: for more; it has no more */
	bool is_over;                    /* nothing more is begun */
	bool is_paced, has_turn;
	struct push_turn turn;
	struct worker_task check;
	uint64_t done[MAILBOX_LEASE_MAX], left[MAILBOX_LEASE_MAX]; /* answered, and the mailbox does not know yet */
	unsigned done_count, left_count;
	struct delivery_outcome outcome;
};

bool delivery_is_acceptable(const struct sdp_media *media)
{
	struct msrp_accept accept;

	msrp_accept_set(&accept, media->accept_types, SLICE_EMPTY);
	return accept.types_n == 0 || msrp_accept_find(slice_of(accept.text, accept.types_n), SLICE("multipart/mixed")).n;
}

static void look_again(struct delivery *d)
{
	worker_at_turn_end(d->im->worker, &d->check);
}

/* ---- what the mailbox is told ---- */

static void tell(struct delivery *d, const uint64_t *positions, unsigned *count, bool is_delivered)
{
	if (!*count)
		return;
	if (mailbox_end(d->im, d->visit, positions, *count, is_delivered) == 0)
		d->ends_out++;
	else if (is_delivered) /* he gets them once more, when the lease ends with the visit */
		REFUSED(&d->im->worker->counters, REASON_NO_MEMORY);
	*count = 0;
}

static void tell_mailbox(struct delivery *d)
{
	tell(d, d->done, &d->done_count, true);
	tell(d, d->left, &d->left_count, false);
}

static void note(struct delivery *d, uint64_t position, bool is_delivered)
{
	if (is_delivered)
		d->done[d->done_count++] = position;
	else
		d->left[d->left_count++] = position;
	if (d->done_count == MAILBOX_LEASE_MAX || d->left_count == MAILBOX_LEASE_MAX)
		tell_mailbox(d);
}

/* ---- pages and parcels ---- */

static void page_leave(struct page *page)
{
	if (--page->users)
		return;
	mailbox_lease_free(page->lease);
	free(page);
}

static void parcel_free(struct parcel *p)
{
	struct delivery *d = p->delivery;

	deferred_reader_stop(&p->reader);
	TAILQ_REMOVE(&d->parcels, p, link);
	d->parcel_count--;
	delivery_body_free(&p->body);
	page_leave(p->page);
	free(p);
}

/* No further message is begun; those that are whole with the receiver may still be answered. */
static void give_up(struct delivery *d, enum reason why)
{
	struct parcel *p, *following;

	if (d->is_over)
		return;
	d->is_over = true;
	d->outcome.why = why;
	push_pace_leave(&d->im->pushes->pace, &d->turn);
	for (p = TAILQ_FIRST(&d->parcels); p; p = following) {
		following = TAILQ_NEXT(p, link);
		if (p->outgoing.sent == p->outgoing.size)
			continue;
		msrp_sender_drop(d->leg, &p->outgoing);
		parcel_free(p);
	}
	look_again(d);
}

/* It stays, and does not hold up the others. */
static void skip(struct delivery *d, const struct store_deferred *message, enum reason why)
{
	REFUSED(&d->im->worker->counters, why);
	LOG(INFO, d->im->worker, "delivery", d->actor.id, "skipped id=%.*s reason=%s", SLICE_ARG(message->id),
		reason_label(why));
	COUNT(&d->im->worker->counters, deferred_skipped);
	d->outcome.skipped++;
	note(d, message->position, false);
}

/* ---- the content, as the sender asks for it ---- */

struct pieces {
	struct slice parts[3];
	unsigned count;
	size_t n;
};

static void add(struct pieces *pieces, struct slice part, uint64_t *offset)
{
	if (part.n > MSRP_ASKED_MAX - pieces->n)
		part.n = MSRP_ASKED_MAX - pieces->n;
	if (!part.n)
		return;
	pieces->parts[pieces->count++] = part;
	pieces->n += part.n;
	*offset += part.n;
}

/* What is at hand from `offset` of the whole on: the page has the beginning of the content, `piece` what is at `at`. */
static void collect(const struct parcel *p, struct pieces *pieces, uint64_t offset, uint64_t at, struct slice piece)
{
	const struct delivery_body *body = &p->body;
	uint64_t begins = body->before.n, ends = begins + p->message->size;

	if (offset < begins)
		add(pieces, slice_skip(body->before, offset), &offset);
	if (offset >= begins && offset - begins < p->message->content.n)
		add(pieces, slice_skip(p->message->content, offset - begins), &offset);
	else if (offset >= begins && offset - begins >= at && offset - begins - at < piece.n)
		add(pieces, slice_skip(piece, offset - begins - at), &offset);
	if (offset >= ends)
		add(pieces, slice_skip(body->after, offset - ends), &offset);
}

static void give(struct parcel *p, const struct pieces *pieces)
{
	msrp_sender_give(p->delivery->leg, &p->outgoing, pieces->parts, pieces->count);
}

static void on_piece(struct deferred_reader *reader, int err, uint64_t at, struct slice piece)
{
	struct parcel *p = (struct parcel *)((char *)reader - offsetof(struct parcel, reader));
	struct delivery *d = p->delivery;
	struct pieces pieces = { .n = 0 };

	if (!err)
		collect(p, &pieces, p->body.before.n + at, at, piece);
	if (pieces.n) {
		give(p, &pieces);
		return;
	}
	/* the disk does not give it, or it was deleted meanwhile */
	LOG(WARN, d->im->worker, "delivery", d->actor.id, "unreadable id=%.*s errno=%d", SLICE_ARG(p->message->id), err);
	give_up(d, REASON_STORE); /* which drops this one: not all of it is sent */
}

static void on_want(struct msrp_leg *leg, struct msrp_outgoing *outgoing, uint64_t offset, void *arg)
{
	struct parcel *p = (struct parcel *)outgoing;
	struct pieces pieces = { .n = 0 };

	(void)leg;
	(void)arg;
	collect(p, &pieces, offset, 0, SLICE_EMPTY);
	if (pieces.n)
		give(p, &pieces);
	else if (deferred_reader_ask(&p->reader, p->delivery->im->worker, p->message->position,
			 offset - p->body.before.n) != 0)
		give_up(p->delivery, REASON_NO_MEMORY);
}

/* ---- its end ---- */

static enum reason reason_of(unsigned status)
{
	switch (status) {
	case MSRP_STATUS_LOST:
		return REASON_MSRP_LEG_LOST;
	case 408:
		return REASON_TIMEOUT;
	case 413:
		return REASON_MSRP_TOO_LARGE;
	case 415:
		return REASON_MSRP_CONTENT_TYPE;
	}
	return REASON_DELIVERY_REFUSED;
}

static void on_end(struct msrp_leg *leg, struct msrp_outgoing *outgoing, unsigned status, void *arg)
{
	struct parcel *p = (struct parcel *)outgoing;
	struct delivery *d = p->delivery;
	bool is_failure = false;

	(void)leg;
	(void)arg;
	if (status >= 200 && status < 300) {
		d->outcome.delivered++;
		note(d, p->message->position, true);
	} else if (status == 413 || status == 415) {
		skip(d, p->message, reason_of(status));
	} else {
		REFUSED(&d->im->worker->counters, reason_of(status));
		LOG(INFO, d->im->worker, "delivery", d->actor.id, "not-taken id=%.*s status=%u reason=%s",
			SLICE_ARG(p->message->id), status, reason_label(reason_of(status)));
		is_failure = true;
	}
	parcel_free(p);
	if (is_failure)
		give_up(d, reason_of(status));
	look_again(d); /* it may have been the last one */
}

static const struct msrp_sender_events sender_events = { on_want, on_end };

/* ---- sending ---- */

static struct parcel *pack(struct delivery *d, const struct store_deferred *message)
{
	struct parcel *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (delivery_body_make(&p->body, d->im->worker, &(struct delivery_source){ message->head, message->msrp,
		    message->content, message->size }) != 0) {
		free(p);
		return NULL;
	}
	p->delivery = d;
	p->message = message;
	p->reader.on_piece = on_piece;
	p->outgoing.content_type = slice_of(p->body.content_type, p->body.content_type_n);
	p->outgoing.size = p->body.size;
	return p;
}

static void send_one(struct delivery *d, const struct store_deferred *message)
{
	struct parcel *p = pack(d, message);

	if (!p) {
		give_up(d, REASON_NO_MEMORY);
		return;
	}
	if (d->max_octets && p->body.size > d->max_octets) {
		delivery_body_free(&p->body);
		free(p);
		skip(d, message, REASON_MSRP_TOO_LARGE);
		return;
	}
	p->page = d->page;
	p->page->users++;
	TAILQ_INSERT_TAIL(&d->parcels, p, link);
	d->parcel_count++;
	msrp_sender_send(d->leg, &p->outgoing);
}

/* False: his turn has not come. */
static bool take_turn(struct delivery *d)
{
	if (!d->is_paced || d->has_turn) {
		d->has_turn = false;
		return true;
	}
	return !d->turn.is_waiting && push_pace_take(&d->im->pushes->pace, &d->turn);
}

static void send_what_may_go(struct delivery *d)
{
	while (d->page && !d->is_over && d->parcel_count < d->window && take_turn(d)) {
		struct page *page = d->page;
		const struct store_deferred *message = page->lease->messages[page->next++];
		send_one(d, message);
		if (page->next < page->lease->count)
			continue;
		d->page = NULL;
		page_leave(page);
	}
}

static void on_turn(struct push_turn *turn)
{
	struct delivery *d = (struct delivery *)((char *)turn - offsetof(struct delivery, turn));

	d->has_turn = true;
	look_again(d);
}

/* ---- asking for more ---- */

static void ask(struct delivery *d)
{
	unsigned room = d->window - d->parcel_count;
	int err;

	if (d->is_over || d->is_asking || d->page || d->is_exhausted || room <= d->window / 2)
		return;
	if (d->positions && d->next == d->count) {
		d->is_exhausted = true;
		return;
	}
	if (d->positions)
		err = mailbox_lease_one(d->im, d->visit, d->positions[d->next++]);
	else
		err = mailbox_lease(d->im, d->visit, d->after, room < MAILBOX_LEASE_MAX ? room : MAILBOX_LEASE_MAX);
	if (err)
		give_up(d, REASON_NO_MEMORY);
	else
		d->is_asking = true;
}

static void on_leased(struct delivery *d, struct mailbox_lease *lease)
{
	struct page *page = NULL;

	d->is_asking = false;
	if (lease->msg.err || (lease->count && !(page = calloc(1, sizeof(*page))))) {
		enum reason why = lease->msg.err ? REASON_STORE : REASON_NO_MEMORY;
		mailbox_lease_free(lease);
		give_up(d, why);
		return;
	}
	d->after = lease->last;
	d->is_exhausted = !d->positions && (lease->is_last || (!lease->count && !lease->has_others));
	if (!page) {
		mailbox_lease_free(lease);
		return;
	}
	page->lease = lease;
	page->users = 1;
	d->page = page;
}

static void on_ended(struct delivery *d, struct mailbox_end *end)
{
	d->ends_out--;
	if (end->is_delivered && end->msg.err) { /* at least once: he gets them again */
		REFUSED(&d->im->worker->counters, REASON_STORE);
		LOG(WARN, d->im->worker, "delivery", d->actor.id, "not-removed count=%u errno=%d", end->count, end->msg.err);
	}
	free(end);
}

static void on_message(struct actor *actor, struct msg *msg)
{
	struct delivery *d = (struct delivery *)actor;

	if (msg->kind == MSG_MAILBOX_LEASED) {
		on_leased(d, (struct mailbox_lease *)msg);
	} else {
		assert(msg->kind == MSG_MAILBOX_ENDED);
		on_ended(d, (struct mailbox_end *)msg);
	}
	look_again(d);
}

static const struct actor_type delivery_type = { "delivery", on_message };

/* ---- life ---- */

static void delivery_free(struct delivery *d)
{
	struct parcel *p;

	worker_forget_task(d->im->worker, &d->check);
	push_pace_leave(&d->im->pushes->pace, &d->turn);
	while ((p = TAILQ_FIRST(&d->parcels)))
		parcel_free(p);
	if (d->page)
		page_leave(d->page);
	mailbox_leave(d->im, d->visit);
	LIST_REMOVE(d, of_worker);
	actor_close(&d->actor);
	free(d->positions);
	free(d);
}

static bool is_finished(const struct delivery *d)
{
	return !d->parcel_count && !d->ends_out && !d->is_asking && (d->is_over || (d->is_exhausted && !d->page));
}

static void on_check(struct worker *worker, struct worker_task *task)
{
	struct delivery *d = (struct delivery *)((char *)task - offsetof(struct delivery, check));
	const struct delivery_events *events = d->events;
	struct delivery_outcome outcome;
	void *arg = d->arg;

	if (d->is_over && d->page) { /* not sent: free with the visit */
		page_leave(d->page);
		d->page = NULL;
	}
	send_what_may_go(d);
	ask(d);
	tell_mailbox(d);
	if (!is_finished(d))
		return;
	d->outcome.is_complete = !d->is_over;
	outcome = d->outcome;
	LOG(INFO, worker, "delivery", d->actor.id, "done delivered=%u skipped=%u reason=%s", outcome.delivered,
		outcome.skipped, outcome.is_complete ? "complete" : reason_label(outcome.why));
	delivery_free(d);
	events->on_done(&outcome, arg);
}

static bool copy_positions(struct delivery *d, const struct delivery_start *start)
{
	if (!start->positions)
		return true;
	d->count = start->count;
	d->positions = malloc((start->count ? start->count : 1) * sizeof(*d->positions));
	if (d->positions && start->count)
		memcpy(d->positions, start->positions, start->count * sizeof(*d->positions));
	return d->positions != NULL;
}

static unsigned window_of(const struct im *im)
{
	unsigned window = im->config->deferred.push_window;

	return window < WINDOW_MAX ? window : WINDOW_MAX;
}

bool delivery_start(struct delivery **out, struct im *im, const struct delivery_start *start)
{
	struct delivery *d = calloc(1, sizeof(*d));

	if (!d || !copy_positions(d, start) || actor_open(im->worker, &d->actor, &delivery_type) != 0) {
		if (d)
			free(d->positions);
		free(d);
		return false;
	}
	d->im = im;
	d->leg = start->leg;
	d->events = start->events;
	d->arg = start->arg;
	d->max_octets = start->max_octets;
	d->is_paced = start->is_paced;
	d->has_turn = true; /* of the first message */
	d->turn.on_turn = on_turn;
	d->window = window_of(im);
	d->check.run = on_check;
	TAILQ_INIT(&d->parcels);
	d->visit = mailbox_enter(im, start->canonical, d->actor.id);
	if (!d->visit || msrp_sender_attach(d->leg, d->window, &sender_events, d) != 0) {
		mailbox_leave(im, d->visit);
		actor_close(&d->actor);
		free(d->positions);
		free(d);
		return false;
	}
	LIST_INSERT_HEAD(&im->pushes->deliveries, d, of_worker);
	*out = d;
	return true;
}

void delivery_go(struct delivery *d)
{
	look_again(d);
}

void delivery_stop(struct delivery *d)
{
	struct parcel *p;

	TAILQ_FOREACH(p, &d->parcels, link)
		msrp_sender_drop(d->leg, &p->outgoing);
	tell_mailbox(d); /* what was answered is not sent again */
	delivery_free(d);
}

unsigned delivery_delivered(const struct delivery *d)
{
	return d->outcome.delivered;
}

void deliveries_free(struct im *im)
{
	struct delivery *d;

	while ((d = LIST_FIRST(&im->pushes->deliveries)))
		delivery_free(d);
}
