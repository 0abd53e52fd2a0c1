#include "load-tests/pacer.h"

void pacer_start(struct pacer *p, uint64_t start_ns, double rate, uint32_t sessions)
{
	*p = (struct pacer){ .start_ns = start_ns,
			     .interval_ns = 1e9 / rate,
			     .sessions = sessions };
}

uint64_t pacer_due_ns(const struct pacer *p, uint64_t i)
{
	return p->start_ns + (uint64_t)((double)i * p->interval_ns);
}

uint64_t pacer_session_due_ns(const struct pacer *p, uint32_t session, uint64_t k)
{
	return pacer_due_ns(p, k * p->sessions + session);
}

uint64_t pacer_session_due(const struct pacer *p, uint32_t session)
{
	return p->due > session ? (p->due - session - 1) / p->sessions + 1 : 0;
}
