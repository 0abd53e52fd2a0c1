/*
 * Writes SIP messages into a buffer of the caller: start line, headers, end.
 * No function lets a CR, LF or NUL of an argument reach the wire: folds become
 * one blank, what else there is of them becomes a blank too, so nobody can add
 * a header by a value.  Overflow: buffer.overflow, checked once at the end.
 * Any thread; owns nothing.
 */
#ifndef SIP_WRITE_H
#define SIP_WRITE_H

#include "core/buffer.h"
#include "sip/header.h"
#include "sip/message.h"

/* RFC 3261 21 and the IANA registry; the class ("Client Failure") for codes not in it. */
const char *sip_reason(unsigned status);

void sip_write_request_line(struct buffer *b, struct slice method, struct slice uri);
/* `reason` empty: from the table. */
void sip_write_status_line(struct buffer *b, unsigned status, struct slice reason);

void sip_write_header(struct buffer *b, const char *name, struct slice value);
void sip_write_header_u64(struct buffer *b, const char *name, uint64_t value);
/* One header as received, folds unfolded; known names in their long form. */
void sip_copy_header(struct buffer *b, const struct sip_header *header);
/* All headers of that id, in order. */
void sip_copy_headers(struct buffer *b, const struct sip_message *m, enum sip_header_id id);
/* Only the text, made safe: for values put together by the caller. */
void sip_write_text(struct buffer *b, struct slice text);
/* Display name and URI in angle brackets, without the parameters; made safe. */
void sip_write_name_addr(struct buffer *b, const struct sip_address *address);
/* `;name` or `;name=value`, made safe. */
void sip_write_param(struct buffer *b, const struct sip_param *param);

/* Content-Type (if `content_type` is not empty), Content-Length, blank line, body. */
void sip_write_end(struct buffer *b, struct slice content_type, struct slice body);

/* Where a request came from, for received and rport. */
struct sip_source {
	struct slice host; /* address literal without brackets */
	uint16_t port;
};

struct sip_response {
	unsigned status;
	struct slice reason;      /* empty: from the table */
	struct slice to_tag;      /* added when To has none; empty: none is added */
	struct sip_source source; /* host empty: the Via is left as it is */
};

/* RFC 3261 8.2.6: status line, all Via (in the first one received and rport as RFC 3261 18.2.1
 * and RFC 3581 4 want), From, To, Call-ID, CSeq, each once, and Timestamp in a 100.  The caller
 * adds the rest and ends with sip_write_end(). */
void sip_write_response(struct buffer *b, const struct sip_message *request,
			const struct sip_response *response);

/* The Via headers of a request that is passed on unchanged but for received and rport in the
 * first (the part of the above that a proxy needs). */
void sip_write_vias(struct buffer *b, const struct sip_message *m, const struct sip_source *source);
/* The first of them, from its value alone.  False: it is no Via, and nothing was written. */
bool sip_write_first_via(struct buffer *b, struct slice value, const struct sip_source *source);

#endif
