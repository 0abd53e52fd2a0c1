/* The call detail record of a pager message. */
#include <stdlib.h>

#include "actors/cdr.h"
#include "actors/pager_internal.h"

void pager_record_begin(struct pager *p, const struct sip_message *m)
{
	char room[IM_CANONICAL_MAX];

	if (!cdr_is_on(p->im))
		return;
	struct slice to = cdr_to(p->im, slice_of(p->recipient, p->recipient_n), m, room);
	p->record = malloc(sizeof(*p->record) + to.n);
	if (!p->record) {
		COUNT(&p->im->worker->counters, cdr_lost);
		return;
	}
	*p->record = (struct pager_record){ cdr_now_us(p->im), m->body.n, (uint32_t)to.n };
	memcpy(p->record->to, to.p, to.n);
}

void pager_record_end(struct pager *p, bool is_taken, const char *reason)
{
	const struct pager_record *r = p->record;

	if (!r)
		return;
	cdr_write(p->im, &(struct cdr){ .type = "pager", .id = p->actor.id, .from = cdr_from(&p->sender),
		.to = slice_of(r->to, r->to_n), .start_us = r->start_us, .octets = is_taken ? r->octets : 0,
		.messages = is_taken, .reason = reason });
	free(p->record);
	p->record = NULL;
}

/* Of one that the function itself refuses. */
void pager_record_attempt(struct im *im, const struct sip_message *m, const struct pager_start *start,
	const char *reason)
{
	char room[IM_CANONICAL_MAX];

	if (cdr_is_on(im))
		cdr_write(im, &(struct cdr){ .type = "pager", .from = cdr_from(start->sender),
			.to = cdr_to(im, start->recipient, m, room), .start_us = cdr_now_us(im), .reason = reason });
}
