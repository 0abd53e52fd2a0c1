#include "actors/referral.h"

#include <stdlib.h>

#include "actors/conference.h"
#include "actors/virtual_user_agent.h"
#include "core/log.h"
#include "sip/write.h"

/* Longer than any INVITE waits for its answer: a referrer always hears the end. */
#define LIFE_S      300
#define WARNING_MAX 256
#define BODY_MAX    1024

/* One whom it names. */
struct target {
	struct referral *referral;
	unsigned status; /* final; 0: not yet */
	struct slice uri;
	char *warning; /* heap; NULL: none */
};

struct referral {
	struct notifier notifier;
	struct im *im;
	struct conference *conference; /* NULL: it is gone, or has nothing more to say */
	LIST_ENTRY(referral) link;     /* of the conference */
	bool is_list;
	bool has_begun;
	bool was_tried;        /* 100 was told */
	unsigned count, finals, told;
	struct target *targets; /* heap, one block: then the finals in their order, then the URIs */
	struct target **order;
	struct buffer text;
};

static const struct notifier_package package;

/* ---- its life ---- */

static void leave_conference(struct referral *r)
{
	if (!r->conference)
		return;
	for (unsigned i = 0; i < r->count; i++)
		if (!r->targets[i].status)
			conference_forget(r->conference, &r->targets[i]);
	LIST_REMOVE(r, link);
	r->conference = NULL;
}

static void free_referral(struct referral *r)
{
	struct im *im = r->im;

	leave_conference(r);
	for (unsigned i = 0; i < r->count; i++)
		free(r->targets[i].warning);
	free(r->targets);
	pool_give(&im->referrals, r);
}

static void on_over(struct notifier *n, enum reason why, unsigned status)
{
	struct referral *r = (struct referral *)n;

	if (why != REASON_COUNT)
		LOG(INFO, r->im->worker, "refer", 0, "subscription-ended told=%u of=%u status=%u reason=%s", r->told, r->count,
			status, reason_label(why));
	free_referral(r);
}

static bool make_targets(struct referral *r, const struct referral_start *start)
{
	/* a REFER has no longer URIs than octets */
	size_t octets = start->is_list ? start->m->wire.n : 0, each = sizeof(*r->targets) + sizeof(struct target *);

	r->targets = calloc(1, start->count * each + octets);
	if (!r->targets)
		return false;
	r->count = start->count;
	r->order = (struct target **)(r->targets + r->count);
	r->text = buffer_over(r->order + r->count, octets);
	for (unsigned i = 0; i < r->count; i++)
		r->targets[i].referral = r;
	return true;
}

unsigned referrals_of(const struct conference *conference)
{
	const struct referral *r;
	unsigned count = 0;

	LIST_FOREACH(r, &conference->referrals, link)
		count++;
	return count;
}

static struct sip_dialog *dialog_of(const struct participant *by)
{
	return by ? virtual_user_agent_dialog(by->agent) : NULL;
}

/* RFC 3515 2.4.6: the first one in a dialog needs no id, and some clients know none. */
static struct slice event_id(struct buffer *out, const struct referral_start *start)
{
	uint32_t cseq;
	struct slice method;

	if (start->by && start->by->has_referred && sip_cseq_decode(sip_header_value(start->m, SIP_HDR_CSEQ), &cseq, &method))
		buffer_u64(out, cseq);
	if (start->by)
		start->by->has_referred = true;
	return buffer_slice(out);
}

struct referral *referral_open(struct im *im, const struct referral_start *start)
{
	bool is_full = referrals_of(start->conference) >= REFERRALS_OF_CONFERENCE_MAX;
	struct referral *r = is_full ? NULL : pool_take(&im->referrals);
	char text[24];
	struct buffer id = buffer_over(text, sizeof(text));

	if (!r) {
		notifier_refuse_for_want_of_room(im, start->server, is_full ? REASON_DIALOG_LIMIT : REASON_POOL_EXHAUSTED);
		return NULL;
	}
	r->im = im;
	r->is_list = start->is_list;
	if (!make_targets(r, start)) {
		notifier_refuse_for_want_of_room(im, start->server, REASON_NO_MEMORY);
		free_referral(r);
		return NULL;
	}
	struct notifier_start begin = { .server = start->server, .m = start->m, .dialog = dialog_of(start->by),
		.contact = slice_of(start->conference->user, MINTED_CHARS), .event_id = event_id(&id, start) };
	if (!notifier_open(&r->notifier, im, &package, &begin)) {
		free_referral(r);
		return NULL;
	}
	r->conference = start->conference;
	LIST_INSERT_HEAD(&r->conference->referrals, r, link);
	return r;
}

void referral_name(struct referral *r, unsigned i, struct slice uri)
{
	size_t begin = r->text.n;

	if (!r->is_list)
		return;
	buffer_put(&r->text, uri);
	r->targets[i].uri = slice_of(r->text.p + begin, r->text.n - begin);
}

void *referral_target(struct referral *r, unsigned i)
{
	return &r->targets[i];
}

void referral_leave(struct referral *r)
{
	leave_conference(r);
}

void referral_begin(struct referral *r)
{
	r->has_begun = true;
	notifier_begin(&r->notifier, LIFE_S);
}

/* ---- what is told ---- */

static void write_final(struct buffer *out, const struct referral *r, const struct target *target)
{
	sip_write_status_line(out, target->status, SLICE_EMPTY);
	if (r->is_list) { /* RFC 3420: as much of the response as says whose it is */
		buffer_lit(out, "To: <");
		sip_write_text(out, target->uri);
		buffer_lit(out, ">\r\n");
	}
	if (target->warning)
		sip_write_header(out, "Warning", slice_str(target->warning));
}

/* One final status for each NOTIFY, in the order in which they came; 100 before them all (D1-24). */
static void on_due(struct notifier *n)
{
	struct referral *r = (struct referral *)n;
	char text[BODY_MAX];
	struct buffer body = buffer_over(text, sizeof(text));
	bool is_news = r->was_tried && r->told < r->finals;
	bool was_tried = r->was_tried;

	if (is_news)
		write_final(&body, r, r->order[r->told++]);
	else if (r->told) /* asked anew */
		write_final(&body, r, r->order[r->told - 1]);
	else
		sip_write_status_line(&body, 100, SLICE_EMPTY);
	r->was_tried = true;
	if (r->told == r->count)
		notifier_end(n, "noresource"); /* this is the last */
	else if (r->told < r->finals)
		notifier_changed_now(n); /* and the next one as soon as it is answered */
	if (body.overflow) { /* a URI of that length: the status alone says enough */
		body = buffer_over(text, sizeof(text));
		sip_write_status_line(&body, r->order[r->told - 1]->status, SLICE_EMPTY);
	}
	bool is_last = n->state == NOTIFIER_ENDING;
	notifier_tell(n, buffer_slice(&body));
	if (is_last || n->notify) /* the last one may be gone by now */
		return;
	r->was_tried = was_tried; /* it is asked for again */
	if (is_news)
		r->told--;
}

static void note(struct target *target, unsigned status, struct slice warning)
{
	struct referral *r = target->referral;

	target->status = status;
	if (warning.n && warning.n < WARNING_MAX)
		target->warning = slice_to_string(warning); /* without memory: the status alone */
	r->order[r->finals++] = target;
	if (r->finals == r->count)
		leave_conference(r);
}

/* It may be gone afterwards. */
static void tell(struct referral *r)
{
	if (r->has_begun && r->notifier.state == NOTIFIER_ACTIVE)
		notifier_changed_now(&r->notifier);
}

void referral_on_result(void *arg, unsigned status, struct slice warning)
{
	struct target *target = arg;

	if (status < 200 || target->status)
		return;
	note(target, status, warning);
	tell(target->referral);
}

static const struct notifier_package package = { .event = "refer", .type = "message/sipfrag", .contact = "isfocus",
	.on_due = on_due, .on_over = on_over };

/* ---- of the worker ---- */

void referrals_on_release(struct conference *conference)
{
	struct referral *r;

	while ((r = LIST_FIRST(&conference->referrals))) {
		leave_conference(r);
		for (unsigned i = 0; i < r->count; i++)
			if (!r->targets[i].status)
				note(&r->targets[i], 487, SLICE_EMPTY);
		tell(r);
	}
}

int referrals_init(struct im *im)
{
	return pool_init(&im->referrals, "referrals", sizeof(struct referral), REFERRALS_MAX);
}

/* The process ends: nobody is told any more. */
void referrals_free(struct im *im)
{
	for (uint32_t slot = 0; slot < im->referrals.made; slot++) {
		struct referral *r = pool_at(&im->referrals, slot);
		if (!r)
			continue;
		r->notifier.notify = NULL;
		notifier_close(&r->notifier);
		free_referral(r);
	}
	pool_free(&im->referrals);
}
