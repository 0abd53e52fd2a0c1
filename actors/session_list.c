/* The sessions of a worker for the admin API: who talks to whom, as far as that may be told. */
#include "actors/admin_worker.h"
#include "actors/cdr.h"
#include "actors/large_message_internal.h"
#include "actors/retrieval_internal.h"
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

static uint64_t octets_of(const struct side *side)
{
	uint64_t octets = side->leg ? msrp_leg_octets(side->leg) : 0;

	for (unsigned i = 0; side->files && i < side->files->count; i++)
		if (side->files->at[i].leg)
			octets += msrp_leg_octets(side->files->at[i].leg);
	return octets;
}

static void describe(const struct session *s, struct admin_session *out)
{
	memset(out, 0, sizeof(*out));
	out->id = s->actor.id;
	out->state = session_state_name(s->state);
	out->age_ms = worker_now_ms(s->im->worker) - s->started_at_ms;
	out->octets = octets_of(&s->a) + octets_of(&s->b);
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

static void describe_retrieval(const struct retrieval *r, struct admin_session *out)
{
	memset(out, 0, sizeof(*out));
	out->id = r->actor.id;
	out->state = r->invite ? "LOOKUP" : "FETCHING";
	out->age_ms = (cdr_now_us(r->im) - r->start_us) / 1000;
	put_name(out->caller, retrieval_user(r));
	snprintf(out->callee, sizeof(out->callee), "Deferred@%s", r->im->config->domain.store_host);
}

/* NULL: the slot is not of that pool, or empty; *slot becomes one of the next. */
static const void *take_slot(const struct pool *pool, uint32_t *slot, bool *is_of_pool)
{
	const void *item = NULL;

	*is_of_pool = *slot < pool->made;
	if (*is_of_pool)
		item = pool_at(pool, *slot);
	else
		*slot -= pool->made;
	return item;
}

static bool describe_slot(const struct im *im, uint32_t slot, struct admin_session *out)
{
	bool is_of_pool;
	const void *item = take_slot(&im->sessions, &slot, &is_of_pool);

	if (is_of_pool) {
		if (item)
			describe(item, out);
		return item;
	}
	item = take_slot(&im->large_messages, &slot, &is_of_pool);
	if (is_of_pool) {
		if (item)
			describe_large(item, out);
		return item;
	}
	item = take_slot(&im->retrievals, &slot, &is_of_pool);
	if (item)
		describe_retrieval(item, out);
	return item;
}

/* Those between two come first; the slots of the others are behind theirs. */
void sessions_list(struct im *im, struct admin_question *page)
{
	uint32_t slot = page->from_slot, end = im->sessions.made + im->large_messages.made + im->retrievals.made;

	for (; slot < end && page->count < page->limit; slot++)
		page->count += describe_slot(im, slot, &page->sessions[page->count]);
	page->next_slot = slot < end ? slot : 0;
}
