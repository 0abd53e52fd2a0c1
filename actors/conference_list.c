/* The conferences of a worker for the admin API. */
#include "actors/admin_worker.h"
#include "actors/cdr.h"
#include "actors/conference_internal.h"

static const char *const kind_names[] = { [CONFERENCE_ADHOC] = "adhoc", [CONFERENCE_ONE_TO_ONE] = "1-1",
	[CONFERENCE_GROUP] = "group" };

static void describe(const struct conference *c, struct admin_session *out)
{
	struct buffer uri = buffer_over(out->callee, sizeof(out->callee) - 1);

	memset(out, 0, sizeof(*out));
	out->id = c->actor.id;
	out->state = kind_names[c->kind];
	out->age_ms = (cdr_now_us(c->im) - c->start_us) / 1000;
	out->participants = c->connected;
	out->messages = c->messages;
	(void)conference_write_entity(c, &uri); /* too long: as far as it fits, which is not at all */
	/* who hides does so from the operator's tools too */
	if (c->originator && !c->originator->is_anonymous) {
		struct slice canonical = participant_canonical(c->originator);
		memcpy(out->caller, canonical.p, canonical.n < IM_CANONICAL_MAX ? canonical.n : IM_CANONICAL_MAX - 1);
	}
}

void conferences_list(struct im *im, struct admin_question *page)
{
	uint32_t slot = page->from_slot;

	for (; slot < im->conferences.made && page->count < page->limit; slot++) {
		const struct conference *c = pool_at(&im->conferences, slot);
		if (c)
			describe(c, &page->sessions[page->count++]);
	}
	page->next_slot = slot < im->conferences.made ? slot : 0;
}
