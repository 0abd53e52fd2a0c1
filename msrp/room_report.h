/*
 * REPORTs of members, collected until the one to the sender is known (D2-44).
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_ROOM_REPORT_H
#define MSRP_ROOM_REPORT_H

#include "msrp/room_internal.h"

/* REPORTs about it are for it from here on.  0 or ENOMEM. */
int room_report_add(struct msrp_room_message *m);
void room_report_remove(struct msrp_room_message *m);

/* It is complete: 60 s remain. */
void room_report_due(struct msrp_room_message *m);
void room_report_not_due(struct msrp_room_message *m);

#endif
