/* Call detail records that a simulated server has put. */
#ifndef TESTS_SIM_RECORDS_SIM_H
#define TESTS_SIM_RECORDS_SIM_H

#include "core/record_file.h"

struct record_file {
	uint64_t sessions, delivered; /* records of sessions, of messages that arrived */
};

#endif
