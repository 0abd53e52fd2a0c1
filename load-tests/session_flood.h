/*
 * Workload `session`: N one-to-one IM sessions, in each of which A sends messages to B.
 * Phases: set-up (bounded), warm-up, measured time, drain (what is under way still counts,
 * bounded), release.  Every message is counted exactly once at B, and its answer exactly
 * once at A.
 */
#ifndef LOAD_TESTS_SESSION_FLOOD_H
#define LOAD_TESTS_SESSION_FLOOD_H

#include "load-tests/flood_options.h"
#include "load-tests/flood_report.h"

/* 0 when the run took place, whatever it found: that is in *report; else an errno of this machine.
 */
int session_flood_run(const struct flood_options *options, struct flood_report *report);

#endif
