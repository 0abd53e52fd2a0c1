#include "msrp/receiver.h"

#include <errno.h>

#include "msrp/endpoint.h"

int msrp_receiver_attach(struct msrp_leg *leg, const struct msrp_receiver_options *options,
	const struct msrp_receiver_events *events, void *arg)
{
	return ENOSYS;
}

void msrp_receiver_taken(struct msrp_leg *leg)
{
}

void msrp_receiver_conclude(struct msrp_leg *leg, unsigned status)
{
}

void msrp_receiver_refuse(struct msrp_leg *leg, unsigned status, enum reason why)
{
}

bool msrp_receiver_is_open(const struct msrp_leg *leg)
{
	return false;
}
