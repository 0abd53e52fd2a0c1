/*
 * Enough of SIP (RFC 3261) to be two well-behaved clients on a test bench: a message cut
 * into start line, headers and body, slices into the caller's octets.  Independent of sip/
 * on purpose, like msrp_wire.h.  Pure: no input or output, no allocation.
 */
#ifndef LOAD_TESTS_SIP_TEXT_H
#define LOAD_TESTS_SIP_TEXT_H

#include "core/buffer.h"
#include "core/slice.h"

#define SIP_TEXT_HEADERS_MAX 64
#define SIP_TEXT_MAX         65536

struct sip_text {
	struct slice method, uri; /* of a request           */
	unsigned status;          /* of a response, else 0  */
	struct slice names[SIP_TEXT_HEADERS_MAX], values[SIP_TEXT_HEADERS_MAX];
	unsigned headers_n;
	struct slice body;
};

/* The octets of the message that begins at `in` on a stream: 0 more is needed, SIZE_MAX it is none.
 */
size_t sip_text_frame(struct slice in);

/* One whole message; false when it cannot be read. */
bool sip_text_parse(struct sip_text *m, struct slice in);

/* The n-th (from 0) header of that name or its one-letter form; empty when there is none. */
struct slice sip_text_header(const struct sip_text *m, const char *name, char compact, unsigned n);

/* The URI of a Contact, From or To value, without brackets and what follows them. */
struct slice sip_text_uri(struct slice value);

/* The value of ";tag=" of a From or To value; empty when there is none. */
struct slice sip_text_tag(struct slice value);

/* The number in CSeq; 0: none. */
uint32_t sip_text_cseq(const struct sip_text *m);

/* The seconds of Retry-After; -1 without one. */
long sip_text_retry_after(const struct sip_text *m);

/* The value of the SDP line that starts with `prefix` ("a=path:"); empty when there is none. */
struct slice sip_text_sdp(struct slice sdp, const char *prefix);

/* Start line of a response and what it takes from the request; To gets `tag` if it has none. */
void sip_text_response(struct buffer *b, const struct sip_text *request, const char *status,
		       struct slice tag);

#endif
