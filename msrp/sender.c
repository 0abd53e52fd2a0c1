#include "msrp/sender.h"

#include <errno.h>

#include "msrp/endpoint.h"

int msrp_sender_attach(struct msrp_leg *leg, unsigned window, const struct msrp_sender_events *events, void *arg)
{
	return ENOSYS;
}

void msrp_sender_send(struct msrp_leg *leg, struct msrp_outgoing *message)
{
}

void msrp_sender_give(struct msrp_leg *leg, struct msrp_outgoing *message, const struct slice *parts, unsigned count)
{
}

void msrp_sender_drop(struct msrp_leg *leg, struct msrp_outgoing *message)
{
}

unsigned msrp_sender_outstanding(const struct msrp_leg *leg)
{
	return 0;
}
