#include "msrp/ending.h"

#include "msrp/room_internal.h"

void msrp_ending_lost(struct msrp_leg *leg, unsigned status)
{
	if (leg->receiver)
		msrp_receiver_lost(leg);
	if (leg->sender)
		msrp_sender_lost(leg, status);
	if (leg->seat)
		msrp_room_on_lost(leg, status);
}

void msrp_ending_free(struct msrp_leg *leg)
{
	msrp_receiver_free(leg);
	msrp_sender_free(leg);
}
