/*
 * deferred --push: who comes back is a client of OMA IM.  The server calls him (10.3.2.3), he answers recvonly, and
 * what was kept for him comes over MSRP, each message as it was stored; then the server hangs up.  It may call again.
 */
#include "load-tests/flood.h"
#include "load-tests/stored_message.h"

void deferred_push_expect(struct flood *f, uint32_t subject)
{
	setup_expect(&f->setup, &f->pairs[subject]);
}

void deferred_push_on_content(struct flood *f, struct msrp_endpoint *e, struct slice type, struct slice content)
{
	struct pair *p = e->user;
	struct sip_text m;
	uint32_t number;
	const char *wrong = stored_message_parse(type, content, &m);

	loop_clock(&f->run.loop);
	if (p->state == PAIR_SETUP) /* the server connected, and bound it by that */
		p->state = PAIR_UP;
	if (wrong) {
		report_error(f->run.report, FLOOD_FOREIGN, wrong);
		return;
	}
	if (pager_number_of(f, m.body, &number) && number % f->run.options->pairs != p->index)
		report_error(f->run.report, FLOOD_FOREIGN, "a stored MESSAGE pushed to another user");
	deferred_on_arrived(f, &m);
}

bool deferred_push_may_close(const struct pair *p)
{
	return p->state == PAIR_UP && !msrp_is_collecting(&p->b);
}

void deferred_push_on_over(struct flood *f, struct pair *p)
{
	msrp_disconnect(&p->b);
	if (f->run.phase == RUN_STORM)
		deferred_push_expect(f, p->index);
}

uint32_t deferred_push_up(const struct flood *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; f->run.options->is_push && i < f->run.options->pairs; i++)
		n += setup_is_answered(&f->setup, &f->pairs[i]);
	return n;
}
