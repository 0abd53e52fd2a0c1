/*
 * Workload `churn`: sessions that come and go.  Each of N pairs of users sets a session up (INVITE, 200, ACK,
 * both legs bound), sends one message, waits for its 200, hangs up, and begins again.  Counted are the rounds
 * that were completed in the measured time, and how long a session took from its INVITE until both legs were
 * bound.
 */
#ifndef LOAD_TESTS_CHURN_FLOOD_H
#define LOAD_TESTS_CHURN_FLOOD_H

#include "load-tests/flood_options.h"
#include "load-tests/flood_report.h"

/* As session_flood_run(). */
int churn_flood_run(const struct flood_options *options, struct flood_report *report);

#endif
