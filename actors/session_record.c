/* The call detail record of a session: what is kept of it for that, and the line at its end. */
#include "actors/cdr.h"
#include "actors/session_internal.h"

#include <stdlib.h>

struct session_record {
	uint64_t start_us;
	uint64_t octets, messages; /* of legs that are gone */
	uint32_t from_n, to_n;
	char names[];              /* both, one behind the other */
};

void session_record_begin(struct session *s, const struct identity *caller, struct slice callee,
	const struct sip_message *invite)
{
	char room[IM_CANONICAL_MAX];

	if (!cdr_is_on(s->im))
		return;
	struct slice from = cdr_from(caller), to = cdr_to(s->im, callee, invite, room);
	struct session_record *r = malloc(sizeof(*r) + from.n + to.n);
	if (!r) {
		COUNT(&s->im->worker->counters, cdr_lost);
		return;
	}
	*r = (struct session_record){ .start_us = cdr_now_us(s->im), .from_n = (uint32_t)from.n, .to_n = (uint32_t)to.n };
	if (from.n)
		memcpy(r->names, from.p, from.n);
	if (to.n)
		memcpy(r->names + from.n, to.p, to.n);
	s->record = r;
}

void session_close_one_leg(struct session *s, struct msrp_leg **leg)
{
	struct session_record *r = s->record;

	if (!*leg)
		return;
	if (r) {
		r->octets += msrp_leg_octets(*leg);
		r->messages += msrp_leg_messages(*leg);
	}
	msrp_leg_close(*leg);
	*leg = NULL;
}

void session_close_leg(struct side *side)
{
	session_close_one_leg(side->session, &side->leg);
	session_close_files(side);
}

void session_close_files(struct side *side)
{
	for (unsigned i = 0; side->files && i < side->files->count; i++)
		session_close_one_leg(side->session, &side->files->at[i].leg);
	free(side->files);
	side->files = NULL;
}

void session_record_end(struct session *s, const char *reason)
{
	struct session_record *r = s->record;

	if (!r)
		return;
	s->record = NULL;
	cdr_write(s->im, &(struct cdr){ .type = "session", .id = s->actor.id, .from = slice_of(r->names, r->from_n),
		.to = slice_of(r->names + r->from_n, r->to_n), .start_us = r->start_us, .octets = r->octets,
		.messages = r->messages, .reason = reason });
	free(r);
}

void session_record_drop(struct session *s)
{
	free(s->record);
	s->record = NULL;
}

void session_record_attempt(struct im *im, const struct identity *caller, struct slice callee,
	const struct sip_message *invite, const char *reason)
{
	char room[IM_CANONICAL_MAX];

	if (cdr_is_on(im))
		cdr_write(im, &(struct cdr){ .type = "session", .from = cdr_from(caller),
			.to = cdr_to(im, callee, invite, room), .start_us = cdr_now_us(im), .reason = reason });
}
