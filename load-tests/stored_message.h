/*
 * What a server pushes of a stored MESSAGE (OMA IM 10.3.2.3): multipart/mixed with one part, message/sip, or
 * message/sipfrag where it lost what would say who sent it.  Independent of sip/, like sip_text.h.
 *
 * Pure: no input or output, no allocation.
 */
#ifndef LOAD_TESTS_STORED_MESSAGE_H
#define LOAD_TESTS_STORED_MESSAGE_H

#include "load-tests/sip_text.h"

/* `type` and `content` of an MSRP message.  NULL: *m is the MESSAGE in it, slices into `content`; else what is
 * wrong. */
const char *stored_message_parse(struct slice type, struct slice content, struct sip_text *m);

#endif
