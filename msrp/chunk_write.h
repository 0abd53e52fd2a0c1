/*
 * Writes what msrp/chunk.h reads: heads, end-lines, responses and REPORTs, RFC 4975 section 7.
 * Every function appends to a buffer of the caller, who looks at its `overflow` once at the end.
 * What is passed in is written as it is: values without CR and LF are the caller's duty, except
 * for slices of a parsed head, which have none.  Any thread; pure functions.
 */
#ifndef MSRP_CHUNK_WRITE_H
#define MSRP_CHUNK_WRITE_H

#include "msrp/chunk.h"

/*
 * The head of a received request under another transaction id and paths: all other lines are
 * copied in their order, octet by octet.  Ends with the empty line if head->has_body.
 * byte_range NULL: as received, also when it was absent.
 */
struct msrp_rewrite {
	struct slice transaction_id, to_path, from_path;
	const struct msrp_byte_range *byte_range;
};
void msrp_write_forward(struct buffer *b, const struct msrp_head *head,
	const struct msrp_rewrite *r);

/* A request of our own; empty slices are left out.  Ends with the empty line if has_body. */
struct msrp_request {
	struct slice method; /* "SEND" */
	struct slice transaction_id, to_path, from_path, message_id;
	const struct msrp_byte_range *byte_range; /* NULL: none                       */
	bool success_report;                      /* "no", the default, is not written */
	enum msrp_failure_report failure_report;  /* "yes" likewise                    */
	struct slice lines;                       /* more headers, each with its CRLF  */
	struct slice content_type;                /* goes last, as the grammar has it  */
	bool has_body;
};
void msrp_write_request(struct buffer *b, const struct msrp_request *r);

/* flag is '$', '+' or '#'; has_body: content was announced, so a CRLF goes before it. */
void msrp_write_end_line(struct buffer *b, struct slice transaction_id, char flag, bool has_body);

/*
 * A whole response.  to_uri: the first URI of the request's From-Path, and no more of it (RFC 4975
 * 7.2); from_uri: ours, the first of its To-Path.  comment empty: msrp_status_text().
 */
struct msrp_response {
	struct slice transaction_id, to_uri, from_uri;
	unsigned status;
	struct slice comment;
};
void msrp_write_response(struct buffer *b, const struct msrp_response *r);

/*
 * The same for a request that is still at hand.  RFC 4975 7.2: the answer to a SEND goes back one hop,
 * that to any other method the whole way.
 */
void msrp_write_answer(struct buffer *b, const struct msrp_head *request, unsigned status);

/* A whole REPORT, RFC 4975 7.1.2: to_path is all of the From-Path of the SEND it is about. */
struct msrp_report {
	struct slice transaction_id, to_path, from_path, message_id;
	struct msrp_byte_range byte_range;
	unsigned status;
	struct slice comment; /* empty: msrp_status_text() */
};
void msrp_write_report(struct buffer *b, const struct msrp_report *r);

/* The words of RFC 4975 section 10; "" for a code it does not have. */
const char *msrp_status_text(unsigned status);

#endif
