/*
 * Which header fields the B2BUA passes on: header_rules.def, asked.  Any thread; constant tables.
 */
#ifndef ACTORS_HEADER_RULES_H
#define ACTORS_HEADER_RULES_H

#include "core/buffer.h"
#include "sip/message.h"

enum header_place { HEADER_IN_REQUEST = 1, HEADER_IN_ANSWER = 2, HEADER_IN_FAILURE = 4 };

struct header_passage {
	enum header_place place;
	bool is_ims;       /* core.mode */
	bool sender_hides; /* identity_hides_*() */
	bool without_body; /* the body is ours: what describes the received one does not go with it */
};

bool header_rules_pass(const struct sip_header *header, const struct header_passage *passage);

/* All fields of `m` that pass, in their order; passage->place is that of `m`. */
void header_rules_copy(struct buffer *out, const struct sip_message *m, const struct header_passage *passage);

#endif
