/* The life of a subscription, and its NOTIFYs; SUBSCRIBE is notifier_subscribe.c. */
#include "actors/notifier.h"

#include <errno.h>

#include "actors/outgoing.h"
#include "sip/write.h"

#define AGAIN_MS 5000 /* after the machine or the package said no */

/* ---- the end ---- */

void notifier_close(struct notifier *n)
{
	worker_disarm(n->im->worker, &n->expiry);
	worker_disarm(n->im->worker, &n->pace);
	if (n->notify)
		sip_client_forget(n->notify);
	n->notify = NULL;
	if (n->dialog && n->is_usage)
		sip_dialog_leave(n->dialog, &n->usage);
	else if (n->dialog)
		sip_dialog_close(n->dialog);
	n->dialog = NULL;
}

/* Without another word: he is not there, does not want it, or was told the last. */
static void drop(struct notifier *n, enum reason why, unsigned status)
{
	n->state = NOTIFIER_ENDING;
	notifier_close(n);
	n->package->on_over(n, why, status);
}

void notifier_end(struct notifier *n, const char *reason)
{
	if (n->state == NOTIFIER_ENDING)
		return;
	n->state = NOTIFIER_ENDING;
	n->end_reason = reason;
	worker_disarm(n->im->worker, &n->expiry);
	notifier_changed_now(n);
}

static void on_expired(struct timer *timer)
{
	notifier_end((struct notifier *)((char *)timer - offsetof(struct notifier, expiry)), "timeout");
}

/* ---- NOTIFY ---- */

static void on_pace(struct timer *timer)
{
	notifier_changed((struct notifier *)((char *)timer - offsetof(struct notifier, pace)));
}

/* Later, without harm: a NOTIFY tells how it is then. */
static void notify_again(struct notifier *n)
{
	n->is_due = true;
	worker_arm(n->im->worker, &n->pace, AGAIN_MS, on_pace);
}

static void on_answered(struct notifier *n, unsigned status)
{
	sip_client_forget(n->notify);
	n->notify = NULL;
	if (status >= 300) /* RFC 6665 4.2.2 */
		drop(n, REASON_REJECTED, status);
	else if (n->state == NOTIFIER_ENDING && !n->is_changed)
		drop(n, REASON_COUNT, status);
	else if (n->is_changed)
		notifier_changed(n);
}

static void on_response(struct sip_client *client, const struct sip_message *m, void *arg)
{
	struct notifier *n = arg;

	(void)client;
	if (m->status < 200)
		return;
	if (m->status >= 300)
		REFUSED(&n->im->worker->counters, REASON_REJECTED);
	else
		COUNT(&n->im->worker->counters, notifies);
	on_answered(n, m->status);
}

static void on_failed(struct sip_client *client, unsigned status, void *arg)
{
	struct notifier *n = arg;
	enum reason why = status == 408 ? REASON_TIMEOUT : REASON_CONNECT_FAILED;

	(void)client;
	REFUSED(&n->im->worker->counters, why);
	drop(n, why, status);
}

static const struct sip_client_events client_events = { on_response, on_failed, NULL };

void notifier_set_contact(struct notifier *n, struct slice user)
{
	if (user.n == 0 || user.n > sizeof(n->contact)) /* a longer one reaches us by the tag alone */
		return;
	memcpy(n->contact, user.p, user.n);
	n->contact_n = (uint8_t)user.n;
}

void notifier_write_contact(const struct notifier *n, struct buffer *out, const struct sip_flow *flow)
{
	struct outgoing_self self = { slice_of(n->contact, n->contact_n), n->is_sips };

	buffer_lit(out, "Contact: <");
	outgoing_contact_uri(out, n->im, flow, self);
	buffer_printf(out, ">;%s;" IM_FEATURE_TAG "\r\n", n->package->contact);
}

static unsigned left_s(const struct notifier *n)
{
	uint64_t now_ms = worker_now_ms(n->im->worker);

	return n->expires_at_ms > now_ms ? (unsigned)((n->expires_at_ms - now_ms + 999) / 1000) : 0;
}

static void write_headers(struct notifier *n, struct buffer *out)
{
	struct sip_flow flow = outgoing_flow(n->im, &n->dialog->next);

	sip_dialog_write(n->dialog, out, "NOTIFY", 0);
	buffer_lit(out, "Accept-Contact: *;" IM_FEATURE_TAG "\r\n"); /* D2-28 */
	notifier_write_contact(n, out, &flow);
	buffer_printf(out, "Event: %s", n->package->event);
	if (n->event_id_n) {
		buffer_lit(out, ";id=");
		sip_write_text(out, slice_of(n->event_id, n->event_id_n));
	}
	if (n->state == NOTIFIER_ACTIVE)
		buffer_printf(out, "\r\nSubscription-State: active;expires=%u\r\n", left_s(n));
	else
		buffer_printf(out, "\r\nSubscription-State: terminated;reason=%s\r\n", n->end_reason);
	outgoing_date(out, n->im->worker);
}

void notifier_tell(struct notifier *n, struct slice body)
{
	char headers_text[SIP_DIALOG_HEADERS_MAX + 2048];
	struct buffer headers = buffer_over(headers_text, sizeof(headers_text));

	n->is_asked = false;
	write_headers(n, &headers);
	struct sip_outgoing request = { .method = SLICE("NOTIFY"), .uri = sip_dialog_uri(n->dialog),
		.headers = buffer_slice(&headers), .content_type = body.n ? slice_str(n->package->type) : SLICE_EMPTY,
		.body = body, .target = n->dialog->next };
	int err = headers.overflow ? ENOMEM : sip_client_send(&n->notify, n->im->worker, &request, &client_events, n);
	if (err) {
		n->notify = NULL;
		if (n->state == NOTIFIER_ENDING)
			drop(n, REASON_NO_MEMORY, 0);
		else
			notify_again(n);
		return;
	}
	n->notified_at_ms = worker_now_ms(n->im->worker);
	if (n->state == NOTIFIER_ENDING) /* this is the last, whatever changed meanwhile */
		n->is_changed = false;
}

void notifier_has_nothing(struct notifier *n)
{
	if (n->state == NOTIFIER_ENDING) {
		notifier_tell(n, SLICE_EMPTY);
		return;
	}
	n->is_asked = false;
	notify_again(n);
}

void notifier_changed(struct notifier *n)
{
	uint64_t now_ms = worker_now_ms(n->im->worker), next_ms = n->notified_at_ms +
		(uint64_t)n->package->pace_t1 * n->im->config->timers.t1_ms;

	n->is_changed = n->is_asked || n->notify;
	if (n->is_changed)
		return;
	if (!n->is_due && n->notified_at_ms && now_ms < next_ms) {
		worker_arm(n->im->worker, &n->pace, next_ms - now_ms, on_pace);
		return;
	}
	worker_disarm(n->im->worker, &n->pace);
	n->is_due = false;
	n->is_asked = true;
	n->package->on_due(n);
}

void notifier_changed_now(struct notifier *n)
{
	n->is_due = true;
	notifier_changed(n);
}

void notifier_begin(struct notifier *n, uint32_t expires_s)
{
	if (!expires_s) { /* a fetch, or the end */
		notifier_end(n, "timeout");
		return;
	}
	n->expires_at_ms = worker_now_ms(n->im->worker) + (uint64_t)expires_s * 1000;
	worker_arm(n->im->worker, &n->expiry, (uint64_t)expires_s * 1000, on_expired);
	notifier_changed_now(n);
}
