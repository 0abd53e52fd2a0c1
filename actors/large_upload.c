#include "actors/large_upload.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/mailbox.h"
#include "actors/store_actor.h"
#include "core/log.h"

enum {
	WAITING_MAX = 4,      /* opening, MSRP_PIECES_IN_FLIGHT pieces, closing */
	AGAIN_MS = 20,        /* the store had no room: it is asked again... */
	GIVE_UP_MS = 10000,   /* ...until then, while the sender is not read */
};

struct large_upload {
	struct im *im;
	const struct large_upload_events *events; /* NULL: nobody waits for it */
	void *arg;
	char mailbox[IM_CANONICAL_MAX];
	size_t mailbox_n;
	uint64_t registration, upload;
	struct store_deferred_abort *abort;         /* made at the beginning: giving up needs no memory */
	struct store_request *waiting[WAITING_MAX]; /* in order; not with the store yet */
	unsigned waiting_n, in_flight;
	struct timer again;
	uint64_t busy_since_ms; /* 0: the store takes what it gets */
	bool is_open;           /* `upload` is known, and neither closed nor given up */
	bool is_over;           /* stored or failed */
};

static struct slice mailbox_of(const struct large_upload *upload)
{
	return slice_of(upload->mailbox, upload->mailbox_n);
}

static void drop_waiting(struct large_upload *upload)
{
	while (upload->waiting_n)
		free(upload->waiting[--upload->waiting_n]);
}

/* ---- the end ---- */

static void on_aborted(struct worker *worker, struct store_request *request)
{
	if (request->msg.err && request->msg.err != ENOENT) /* it goes with the next start */
		REFUSED(&worker->counters, REASON_STORE);
	free(request);
}

static void give_quota_back(struct large_upload *upload)
{
	upload->abort->upload = upload->upload;
	upload->abort->request.on_answer = on_aborted;
	if (store_ask(upload->im->worker, &upload->abort->request) == 0)
		upload->abort = NULL;
	upload->is_open = false;
}

static void count(const struct im *im)
{
	pool_gauge_set(&im->worker->counters, POOL_large_uploads, pool_used(&im->large_uploads));
}

static void upload_free(struct large_upload *upload)
{
	struct im *im = upload->im;

	worker_disarm(upload->im->worker, &upload->again);
	drop_waiting(upload);
	free(upload->abort);
	pool_give(&im->large_uploads, upload);
	count(im);
}

/* Nobody waits for it and the store owes it nothing. */
static void free_if_done(struct large_upload *upload)
{
	if (!upload->is_over || upload->in_flight)
		return;
	if (upload->is_open)
		give_quota_back(upload);
	upload_free(upload);
}

static void fail(struct large_upload *upload, int err)
{
	const struct large_upload_events *events = upload->events;
	struct counters *counters = &upload->im->worker->counters;

	upload->is_over = true;
	upload->events = NULL;
	drop_waiting(upload);
	worker_disarm(upload->im->worker, &upload->again);
	if (!events)
		return;
	COUNT(counters, deferred_large_failed);
	LOG(WARN, upload->im->worker, "deferred", upload->upload, "large message not stored user=%.*s error=\"%s\"",
		SLICE_ARG(mailbox_of(upload)), strerror(err));
	events->on_failed(err, upload->arg);
}

/* Visible.  Also when nobody waits any more: the last piece was on its way when its sender was lost. */
static void succeed(struct large_upload *upload, uint64_t position)
{
	const struct large_upload_events *events = upload->events;
	struct im *im = upload->im;

	upload->is_over = true;
	upload->is_open = false;
	upload->events = NULL;
	COUNT(&im->worker->counters, deferred_large_stored);
	LOG(INFO, im->worker, "deferred", upload->upload, "stored user=%.*s position=%llu", SLICE_ARG(mailbox_of(upload)),
		(unsigned long long)position);
	mailbox_stored(im, mailbox_of(upload), upload->registration);
	if (events)
		events->on_stored(upload->arg);
}

/* ---- asking ---- */

static void on_answer(struct worker *worker, struct store_request *request);

static void on_again(struct timer *timer);

/* In their order, as far as it is known which upload they belong to. */
static void submit(struct large_upload *upload)
{
	struct worker *worker = upload->im->worker;

	while (upload->waiting_n && !upload->is_over) {
		struct store_request *next = upload->waiting[0];
		if (next->kind == STORE_CONTENT_PUT || next->kind == STORE_DEFERRED_CLOSE) {
			if (!upload->is_open)
				return;
			if (next->kind == STORE_CONTENT_PUT)
				((struct store_content_put *)next)->upload = upload->upload;
			else
				((struct store_deferred_close *)next)->upload = upload->upload;
		}
		next->on_answer = on_answer;
		next->asker = upload;
		if (store_ask(worker, next) != 0) {
			if (!upload->busy_since_ms)
				upload->busy_since_ms = worker_now_ms(worker);
			worker_arm(worker, &upload->again, AGAIN_MS, on_again);
			return;
		}
		upload->busy_since_ms = 0;
		upload->in_flight++;
		for (unsigned i = 1; i < upload->waiting_n; i++)
			upload->waiting[i - 1] = upload->waiting[i];
		upload->waiting_n--;
	}
}

static void on_again(struct timer *timer)
{
	struct large_upload *upload = (struct large_upload *)((char *)timer - offsetof(struct large_upload, again));

	if (worker_now_ms(upload->im->worker) - upload->busy_since_ms < GIVE_UP_MS) {
		submit(upload);
		return;
	}
	REFUSED(&upload->im->worker->counters, REASON_STORE_BUSY);
	fail(upload, EAGAIN);
	free_if_done(upload);
}

static void on_done(struct large_upload *upload, const struct store_request *request)
{
	switch ((unsigned)request->kind) {
	case STORE_DEFERRED_PUT:
	case STORE_DEFERRED_SHARE:
		succeed(upload, ((const struct store_deferred_put *)request)->message.position);
		break;
	case STORE_DEFERRED_CLOSE:
		succeed(upload, ((const struct store_deferred_close *)request)->position);
		break;
	case STORE_DEFERRED_OPEN:
		upload->upload = ((const struct store_deferred_put *)request)->upload;
		upload->is_open = true;
		break;
	default:
		if (upload->events)
			upload->events->on_taken(upload->arg);
	}
}

static void on_answer(struct worker *worker, struct store_request *request)
{
	struct large_upload *upload = request->asker;

	upload->in_flight--;
	if (request->msg.err == 0)
		on_done(upload, request);
	else if (!upload->is_over)
		fail(upload, request->msg.err);
	free(request);
	submit(upload);
	free_if_done(upload);
}

static bool add(struct large_upload *upload, struct store_request *request)
{
	if (!request)
		return false;
	if (upload->waiting_n == WAITING_MAX) { /* cannot be: the leg hands on no more than fits */
		free(request);
		return false;
	}
	upload->waiting[upload->waiting_n++] = request;
	if (!upload->busy_since_ms)
		submit(upload);
	return true;
}

/* ---- what the owner asks ---- */

static struct store_request *first_request(struct im *im, const struct large_upload_start *start)
{
	const struct deferred_options *options = &im->config->deferred;
	bool is_whole = start->message->content.n == start->message->size && !start->is_spool;
	enum store_kind kind = start->shared ? STORE_DEFERRED_SHARE : is_whole ? STORE_DEFERRED_PUT : STORE_DEFERRED_OPEN;
	struct store_deferred_put *put = store_deferred_put_new(kind, start->mailbox, start->message);

	if (!put)
		return NULL;
	put->upload = start->shared;
	if (start->is_spool) /* the sender's, not a user's */
		return &put->request;
	put->quota_messages = options->quota_messages;
	put->quota_octets = options->quota_bytes;
	return &put->request;
}

struct large_upload *large_upload_begin(struct im *im, const struct large_upload_start *start)
{
	struct large_upload *upload = pool_take(&im->large_uploads);

	if (!upload)
		return NULL;
	upload->im = im;
	count(im);
	upload->events = start->events;
	upload->arg = start->arg;
	upload->registration = start->registration;
	memcpy(upload->mailbox, start->mailbox.p, start->mailbox.n);
	upload->mailbox_n = start->mailbox.n;
	upload->abort = store_deferred_abort_new(0);
	if (upload->abort && add(upload, first_request(im, start)))
		return upload;
	upload_free(upload);
	return NULL;
}

uint64_t large_upload_id(const struct large_upload *upload)
{
	return upload->is_open ? upload->upload : 0;
}

bool large_upload_put(struct large_upload *upload, uint64_t offset, struct slice piece)
{
	return add(upload, (struct store_request *)store_content_put_new(upload->upload, offset, piece));
}

bool large_upload_close(struct large_upload *upload, const struct large_upload_end *end)
{
	struct store_deferred_close *close = store_deferred_close_new(upload->upload, end->offset, end->piece, end->msrp);

	if (!close)
		return false;
	close->size = end->offset + end->piece.n;
	close->received_us = end->received_us;
	close->expires_at_s = end->expires_at_s;
	close->is_multimedia = end->is_multimedia;
	return add(upload, &close->request);
}

void large_upload_drop(struct large_upload *upload)
{
	upload->events = NULL;
	if (upload->is_over)
		return;
	drop_waiting(upload);
	worker_disarm(upload->im->worker, &upload->again);
	upload->is_over = true;
	free_if_done(upload);
}

int large_uploads_init(struct im *im)
{
	return pool_init(&im->large_uploads, "large_uploads", sizeof(struct large_upload), large_uploads_max(im->config));
}

/* What is with the store comes home to nobody, and is freed with the mailbox of the worker. */
void large_uploads_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->large_uploads.made; slot++) {
		struct large_upload *upload = pool_at(&im->large_uploads, slot);
		if (upload)
			upload_free(upload);
	}
	pool_free(&im->large_uploads);
}
