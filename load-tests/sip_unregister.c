/*
 * The end of a run: A and B of each pair take their registrations back (Expires: 0, RFC 3261 10.2.2).  Left behind they
 * would last for an hour on ports that nobody reads, and every call of the next run would fork to them.
 */
#include "load-tests/sip_calls_private.h"

/* Whom the server may know: also who was interrupted while registering. */
static bool may_be_registered(const struct sip_call *call, unsigned role)
{
	return (role ? call->b_registered : call->a_registered) || call->state == CALL_REGISTERING;
}

static void ended(struct sip_calls *s, struct sip_call *call)
{
	s->registrations_left += call->a_registered + call->b_registered;
	s->unregistering--;
	call->a_registered = call->b_registered = false;
	sip_call_over(s, call);
}

bool sip_call_unregister(struct sip_calls *s, uint32_t index)
{
	struct sip_call *call = &s->calls[index];
	bool a = may_be_registered(call, 0), b = may_be_registered(call, 1);

	sip_call_over(s, call); /* who did not answer its BYE by now will not */
	call->a_registered = a;
	call->b_registered = b;
	if (!a && !b)
		return false;
	if (!s->is_heard || !sip_client_is_open(&s->client, sip_call_flow(s, index))) {
		s->registrations_left += s->is_heard ? (uint32_t)(a + b) : 0; /* nobody there: nobody knows them */
		return false;
	}
	call->state = CALL_UNREGISTERING;
	s->unregistering++;
	sip_call_time(s, call);
	call->until_ns = UINT64_MAX; /* the run bounds it */
	for (unsigned role = 0; role < 2; role++)
		call->unregister_cseq[role] = ++call->register_cseq[role];
	sip_call_send_unregister(s, index);
	return true;
}

void sip_call_send_unregister(struct sip_calls *s, uint32_t index)
{
	if (s->calls[index].a_registered)
		sip_call_send_register(s, index, 'a');
	if (s->calls[index].b_registered)
		sip_call_send_register(s, index, 'b');
}

void sip_call_on_unregistered(struct sip_calls *s, struct sip_call *call, char role, const struct sip_text *m)
{
	bool *registered = role == 'a' ? &call->a_registered : &call->b_registered;
	uint32_t *cseq = &call->register_cseq[role == 'b'], index = sip_call_index(s, call);

	if (!*registered)
		return; /* repeated */
	if (sip_calls_challenged(s, index, role, m, *cseq - call->unregister_cseq[role == 'b'])) {
		(*cseq)++;
		sip_call_send_register(s, index, role);
		return;
	}
	s->registrations_left += m->status >= 300;
	*registered = false;
	if (!call->a_registered && !call->b_registered)
		ended(s, call);
}

void sip_call_give_up_unregistering(struct sip_calls *s, uint32_t index)
{
	if (s->calls[index].state == CALL_UNREGISTERING)
		ended(s, &s->calls[index]);
}
