/* The sessions of a worker for the admin API: who talks to whom, as far as that may be told. */
#include "actors/admin_worker.h"
#include "actors/cdr.h"
#include "actors/large_message_internal.h"
#include "actors/session_internal.h"
#include "sip/header.h"

static void put_canonical(char out[IM_CANONICAL_MAX], const struct im *im, struct slice value)
{
	struct buffer text = buffer_over(out, IM_CANONICAL_MAX - 1);
	struct sip_address address;
	struct sip_uri uri;

	if (sip_address_decode(value, &address) && sip_uri_parse(address.uri, &uri))
		(void)sip_uri_canonical(&text, &uri, &im->server->sip.home); /* false: nothing was written */
	out[text.n] = 0;
}

static void put_caller(char out[IM_CANONICAL_MAX], const struct session *s)
{
	if (s->caller) {
		size_t n = s->caller->canonical_n < IM_CANONICAL_MAX ? s->caller->canonical_n : IM_CANONICAL_MAX - 1;
		memcpy(out, s->caller->canonical, n);
		out[n] = 0;
	} else if (s->a.dialog) {
		put_canonical(out, s->im, sip_dialog_remote(s->a.dialog));
	}
}

static void put_callee(char out[IM_CANONICAL_MAX], const struct session *s)
{
	if (s->a.dialog)
		put_canonical(out, s->im, sip_dialog_local(s->a.dialog));
	else if (s->callee)
		memcpy(out, s->callee, s->callee_n < IM_CANONICAL_MAX ? s->callee_n : IM_CANONICAL_MAX - 1);
}

static void describe(const struct session *s, struct admin_session *out)
{
	memset(out, 0, sizeof(*out));
	out->id = s->actor.id;
	out->state = session_state_name(s->state);
	out->age_ms = worker_now_ms(s->im->worker) - s->started_at_ms;
	out->octets = (s->a.leg ? msrp_leg_octets(s->a.leg) : 0) + (s->b.leg ? msrp_leg_octets(s->b.leg) : 0);
	/* who hides does so from the operator's tools too */
	if (!s->a.hides && !(s->caller && s->caller->is_anonymous))
		put_caller(out->caller, s);
	if (!s->b.hides)
		put_callee(out->callee, s);
}

static void put_name(char out[IM_CANONICAL_MAX], struct slice canonical)
{
	size_t n = canonical.n < IM_CANONICAL_MAX ? canonical.n : IM_CANONICAL_MAX - 1;

	if (n)
		memcpy(out, canonical.p, n);
	out[n] = 0;
}

/* One whose other side is the store. */
static void describe_large(const struct large_message *l, struct admin_session *out)
{
	memset(out, 0, sizeof(*out));
	out->id = l->actor.id;
	out->state = l->invite ? "LOOKUP" : "STORING";
	out->age_ms = (cdr_now_us(l->im) - l->start_us) / 1000;
	out->octets = l->stored_octets + l->octets;
	put_name(out->caller, cdr_from(l->sender));
	put_name(out->callee, large_message_recipient(l));
}

/* Those between two come first; the slots of the others are behind theirs. */
void sessions_list(struct im *im, struct admin_question *page)
{
	uint32_t slot = page->from_slot, first = im->sessions.made, end = first + im->large_messages.made;

	for (; slot < end && page->count < page->limit; slot++) {
		const struct session *s = slot < first ? pool_at(&im->sessions, slot) : NULL;
		const struct large_message *l = slot < first ? NULL : pool_at(&im->large_messages, slot - first);
		if (s)
			describe(s, &page->sessions[page->count++]);
		else if (l)
			describe_large(l, &page->sessions[page->count++]);
	}
	page->next_slot = slot < end ? slot : 0;
}
