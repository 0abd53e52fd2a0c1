/*
 * MSRP chunk parser, RFC 4975 sections 7 and 9: requests and responses of one connection, as they
 * arrive.  No memory of its own but the parser struct, no clock, no I/O.
 *
 * Thread: whoever owns the parser.  Octets not counted in *used must be offered again, at the
 * front of the next input and followed by newer ones.  A head is parsed only when all of it is in
 * one input, so the caller's buffer holds at least limits.head_bytes + MSRP_END_LINE_MAX octets;
 * content is handed on as it arrives.
 *
 * Slices in ->head and ->body point into the input of the call that returned them and live as long
 * as these octets; ->head is overwritten by the next MSRP_HEAD.
 */
#ifndef MSRP_CHUNK_H
#define MSRP_CHUNK_H

#include "msrp/byte_range.h"

enum {
	MSRP_TRANSACTION_ID_MIN = 4, /* RFC 4975 section 9, ident                          */
	MSRP_TRANSACTION_ID_MAX = 32,
	MSRP_MESSAGE_ID_MAX = 128, /* the ident has 32; some clients send e-mail like ones */
	/* CRLF, seven hyphens, transaction id, flag, CRLF */
	MSRP_END_LINE_MAX = 2 + 7 + MSRP_TRANSACTION_ID_MAX + 1 + 2,
};

enum msrp_event {
	MSRP_MORE, /* nothing whole yet: read more                              */
	MSRP_HEAD, /* start line and headers are in ->head                      */
	MSRP_BODY, /* ->body is the next piece of content                       */
	MSRP_END,  /* end-line: ->flag is '$' done, '+' more, '#' abort         */
	MSRP_BAD,  /* ->reason says why; the stream is lost                     */
};

/* Why a stream is lost: nobody could say where the next request starts, or whom to answer. */
#define MSRP_REASONS(X)                                                       \
	X(NONE,               "none")                                         \
	X(NOT_MSRP,           "start line is not MSRP")                       \
	X(TRANSACTION_ID,     "transaction id is not an ident")               \
	X(METHOD,             "neither method nor status code")               \
	X(HEAD_TOO_LONG,      "head longer than the limit")                   \
	X(LINE,               "CR, LF or NUL inside a line")                  \
	X(HEADER,             "header without name or colon")                 \
	X(NO_PATH,            "no To-Path or no From-Path")                   \
	X(TWO_PATHS,          "To-Path or From-Path twice")                   \
	X(NO_END_LINE,        "neither empty line nor end-line after the headers")

enum msrp_reason {
#define X(name, text) MSRP_REASON_##name,
	MSRP_REASONS(X)
#undef X
};

/* What is wrong in a head that can be answered: 400 to the From-Path, the stream goes on. */
#define MSRP_FAULTS(X)                                                        \
	X(NONE,               "none")                                         \
	X(NO_MESSAGE_ID,      "SEND or REPORT without Message-ID")            \
	X(MESSAGE_ID,         "Message-ID is empty, too long or not visible") \
	X(BYTE_RANGE,         "Byte-Range does not make sense")               \
	X(REPORT_WISH,        "Success-Report or Failure-Report unknown")     \
	X(STATUS,             "Status is not namespace and code")             \
	X(TWICE,              "a header twice that may be there once")

enum msrp_fault {
#define X(name, text) MSRP_FAULT_##name,
	MSRP_FAULTS(X)
#undef X
};

enum msrp_method {
	MSRP_METHOD_NONE, /* a response                                        */
	MSRP_METHOD_SEND,
	MSRP_METHOD_REPORT,
	MSRP_METHOD_NICKNAME, /* RFC 7701 */
	MSRP_METHOD_AUTH,     /* RFC 4976 */
	MSRP_METHOD_UNKNOWN,  /* ->method_name says which: answer 501              */
};

enum msrp_failure_report { MSRP_FAILURE_YES, MSRP_FAILURE_NO, MSRP_FAILURE_PARTIAL };

struct msrp_head {
	bool is_request;
	enum msrp_method method;
	struct slice method_name;
	struct slice transaction_id;
	unsigned status; /* 100 to 999 in a response, else 0 */
	struct slice comment;

	/* Not looked into: msrp_path_parse() says whether these are URIs.  Never empty. */
	struct slice to_path, from_path;
	bool has_usual_paths; /* those of msrp_parser_usual(), to the octet */

	/* The first fault found; all else is set as far as it was understood. */
	enum msrp_fault fault;

	bool has_message_id; /* false also for one that is a fault */
	struct slice message_id;
	bool has_byte_range; /* false also for one that is a fault; then MSRP_RANGE_DEFAULT */
	struct msrp_byte_range byte_range;
	struct slice content_type;               /* empty when absent          */
	bool success_report;                     /* false when absent          */
	enum msrp_failure_report failure_report; /* yes when absent            */

	/* The header Status of a REPORT: namespace 0 is RFC 4975's only one. */
	bool has_status;
	unsigned status_namespace, status_code;
	struct slice status_comment;

	/* An empty line came after the headers: MSRP_BODY events may follow before MSRP_END. */
	bool has_body;

	/*
	 * As received, for msrp_write_forward(): `lines` is all headers, each with its CRLF; the
	 * other three are lines in it (byte_range_line is empty when absent).
	 */
	struct slice lines, to_path_line, from_path_line, byte_range_line;
};

struct msrp_limits {
	size_t head_bytes; /* start line, headers and the empty line */
};

struct msrp_parser {
	/* ---- results ---- */
	struct msrp_head head;
	struct slice body;
	char flag;
	/* This MSRP_BODY, perhaps empty, ends right before the end-line to be avoided. */
	bool avoid_found;
	enum msrp_reason reason;
	/* Of the chunk that is open or just ended; the parser's copy, valid until the next HEAD. */
	struct slice transaction_id;

	/* ---- private ---- */
	struct msrp_limits limits;
	struct slice usual_to, usual_from;
	enum { MSRP_IN_HEAD, MSRP_IN_BODY, MSRP_AT_END_LINE, MSRP_LOST } state;
	bool body_begun;
	size_t line_at; /* in the head: all lines before this offset are whole */
	/* End-lines without flag: "\r\n-------" + id of the chunk, and the one to avoid. */
	char end_line[MSRP_END_LINE_MAX], avoid[MSRP_END_LINE_MAX];
	size_t end_line_n, avoid_n;
};

/* The parser may not be copied afterwards: ->transaction_id points into it. */
void msrp_parser_init(struct msrp_parser *p, const struct msrp_limits *limits);

/* One event per call; call again with what is left until it says MSRP_MORE or MSRP_BAD. */
enum msrp_event msrp_parse(struct msrp_parser *p, struct slice in, size_t *used);

/*
 * The paths that most heads of this stream have: such a head is recognised by comparing, not taken apart.  The
 * slices stay until they are replaced (empty ones: none) or the parser is used no more.
 */
void msrp_parser_usual(struct msrp_parser *p, struct slice to_path, struct slice from_path);

/*
 * Between MSRP_HEAD and MSRP_END: the chunk is forwarded under this transaction id (an ident), so
 * its content must not hold "-------" and the id.  Where it does, an MSRP_BODY with avoid_found
 * ends before it and the parser forgets the id: end the outgoing chunk there with '+', begin
 * another under a new id, and say that one.  MSRP_END forgets it too, and so does an empty slice.
 * RFC 4975 section 7.1.
 */
void msrp_parser_avoid(struct msrp_parser *p, struct slice transaction_id);

/* The first header of that name (ASCII case ignored), trimmed; false when there is none. */
bool msrp_head_find(const struct msrp_head *head, struct slice name, struct slice *value);

/* RFC 4975 section 9, ident: 4 to 32 characters. */
bool msrp_is_ident(struct slice text);

const char *msrp_reason_text(enum msrp_reason reason);
const char *msrp_fault_text(enum msrp_fault fault);

#endif
