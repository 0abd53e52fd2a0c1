/*
 * The index of one SIP message (RFC 3261 7, 18.3, 25): slices over the octets
 * as received, nothing decoded, nothing allocated, nothing owned.  It lives as
 * long as the octets it was parsed from; they must lie in one piece.
 *
 * Pure functions over their arguments: any thread.
 */
#ifndef SIP_MESSAGE_H
#define SIP_MESSAGE_H

#include "core/slice.h"

#define SIP_METHODS(X)                                                                             \
	X(INVITE) X(ACK) X(BYE) X(CANCEL) X(REGISTER) X(OPTIONS) X(MESSAGE) X(SUBSCRIBE)           \
	X(NOTIFY) X(PUBLISH) X(REFER) X(UPDATE) X(PRACK) X(INFO)

enum sip_method {
#define X(name) SIP_##name,
	SIP_METHODS(X)
#undef X
	SIP_METHOD_OTHER, /* a method we do not know: 501, text in ->method_name */
};

/* Alphabetical by first letter: the lookup takes its bounds from that. */
#define SIP_HEADER_NAMES(X)                                                                        \
	X(ACCEPT, "Accept")                                                                        \
	X(ACCEPT_CONTACT, "Accept-Contact")                                                        \
	X(ACCEPT_ENCODING, "Accept-Encoding")                                                      \
	X(ACCEPT_LANGUAGE, "Accept-Language")                                                      \
	X(ALERT_INFO, "Alert-Info")                                                                \
	X(ALLOW, "Allow")                                                                          \
	X(ALLOW_EVENTS, "Allow-Events")                                                            \
	X(AUTHENTICATION_INFO, "Authentication-Info")                                              \
	X(AUTHORIZATION, "Authorization")                                                          \
	X(CALL_ID, "Call-ID")                                                                      \
	X(CALL_INFO, "Call-Info")                                                                  \
	X(CONTACT, "Contact")                                                                      \
	X(CONTENT_DISPOSITION, "Content-Disposition")                                              \
	X(CONTENT_ENCODING, "Content-Encoding")                                                    \
	X(CONTENT_LANGUAGE, "Content-Language")                                                    \
	X(CONTENT_LENGTH, "Content-Length")                                                        \
	X(CONTENT_TYPE, "Content-Type")                                                            \
	X(CSEQ, "CSeq")                                                                            \
	X(DATE, "Date")                                                                            \
	X(ERROR_INFO, "Error-Info")                                                                \
	X(EVENT, "Event")                                                                          \
	X(EXPIRES, "Expires")                                                                      \
	X(FLOW_TIMER, "Flow-Timer")                                                                \
	X(FROM, "From")                                                                            \
	X(IN_REPLY_TO, "In-Reply-To")                                                              \
	X(MAX_FORWARDS, "Max-Forwards")                                                            \
	X(MIME_VERSION, "MIME-Version")                                                            \
	X(MIN_EXPIRES, "Min-Expires")                                                              \
	X(MIN_SE, "Min-SE")                                                                        \
	X(ORGANIZATION, "Organization")                                                            \
	X(P_ACCESS_NETWORK_INFO, "P-Access-Network-Info")                                          \
	X(P_ASSERTED_IDENTITY, "P-Asserted-Identity")                                              \
	X(P_ASSERTED_SERVICE, "P-Asserted-Service")                                                \
	X(P_ASSOCIATED_URI, "P-Associated-URI")                                                    \
	X(P_CALLED_PARTY_ID, "P-Called-Party-ID")                                                  \
	X(P_CHARGING_FUNCTION_ADDRESSES, "P-Charging-Function-Addresses")                          \
	X(P_CHARGING_VECTOR, "P-Charging-Vector")                                                  \
	X(P_PREFERRED_IDENTITY, "P-Preferred-Identity")                                            \
	X(P_PREFERRED_SERVICE, "P-Preferred-Service")                                              \
	X(P_SERVED_USER, "P-Served-User")                                                          \
	X(PATH, "Path")                                                                            \
	X(PRIORITY, "Priority")                                                                    \
	X(PRIVACY, "Privacy")                                                                      \
	X(PROXY_AUTHENTICATE, "Proxy-Authenticate")                                                \
	X(PROXY_AUTHORIZATION, "Proxy-Authorization")                                              \
	X(PROXY_REQUIRE, "Proxy-Require")                                                          \
	X(RACK, "RAck")                                                                            \
	X(REASON, "Reason")                                                                        \
	X(RECORD_ROUTE, "Record-Route")                                                            \
	X(REFER_SUB, "Refer-Sub")                                                                  \
	X(REFER_TO, "Refer-To")                                                                    \
	X(REFERRED_BY, "Referred-By")                                                              \
	X(REJECT_CONTACT, "Reject-Contact")                                                        \
	X(REPLACES, "Replaces")                                                                    \
	X(REPLY_TO, "Reply-To")                                                                    \
	X(REQUEST_DISPOSITION, "Request-Disposition")                                              \
	X(REQUIRE, "Require")                                                                      \
	X(RETRY_AFTER, "Retry-After")                                                              \
	X(ROUTE, "Route")                                                                          \
	X(RSEQ, "RSeq")                                                                            \
	X(SERVER, "Server")                                                                        \
	X(SERVICE_ROUTE, "Service-Route")                                                          \
	X(SESSION_EXPIRES, "Session-Expires")                                                      \
	X(SIP_ETAG, "SIP-ETag")                                                                    \
	X(SIP_IF_MATCH, "SIP-If-Match")                                                            \
	X(SUBJECT, "Subject")                                                                      \
	X(SUBSCRIPTION_STATE, "Subscription-State")                                                \
	X(SUPPORTED, "Supported")                                                                  \
	X(TARGET_DIALOG, "Target-Dialog")                                                          \
	X(TIMESTAMP, "Timestamp")                                                                  \
	X(TO, "To")                                                                                \
	X(UNSUPPORTED, "Unsupported")                                                              \
	X(USER_AGENT, "User-Agent")                                                                \
	X(VIA, "Via")                                                                              \
	X(WARNING, "Warning")                                                                      \
	X(WWW_AUTHENTICATE, "WWW-Authenticate")

enum sip_header_id {
	SIP_HDR_OTHER,
#define X(id, name) SIP_HDR_##id,
	SIP_HEADER_NAMES(X)
#undef X
	SIP_HDR_COUNT,
};

/* One header field as received.  `value` is trimmed, and where the line was folded it spans the
 * fold: decoders take CR LF blank for a blank. */
struct sip_header {
	struct slice name, value;
	enum sip_header_id id;
	uint8_t next; /* place of the next one of the same id, 0 = none */
};

/* The last five places are kept for Via, From, To, Call-ID and CSeq that come after all others:
 * a message with ten thousand headers still gets its answer. */
#define SIP_HEADERS_MAX  128
#define SIP_HEADERS_MOST (SIP_HEADERS_MAX - 5)

struct sip_message {
	struct slice wire; /* start line to end of body, without leading CRLFs and surplus */
	bool is_request;
	enum sip_method method; /* requests only; of responses see CSeq */
	struct slice method_name, uri;
	unsigned status; /* responses only: 100 to 699 */
	struct slice reason;
	unsigned header_count;
	struct slice body;
	uint64_t content_length; /* as announced; body.n in a datagram without the header */
	const char *error;       /* what is wrong, for the reason phrase and the log; or NULL */
	bool framed;             /* *used leads to the next message; false: the stream is lost */
	uint8_t first[SIP_HDR_COUNT]; /* place of the first header of an id, plus one; 0 = none */
	struct sip_header headers[SIP_HEADERS_MAX];
};

struct sip_limits {
	size_t header_bytes; /* start line and headers: above it 513 */
	size_t body_bytes;   /* above it 413 */
	unsigned headers;    /* above it 513; 0 or too many = SIP_HEADERS_MOST */
};

enum sip_framing { SIP_DATAGRAM, SIP_STREAM };

/* In all verdicts from BAD_400 to VERSION_505 the message is a request other than ACK that has a
 * Via, so it can be answered: the index holds what could be read, at least the first Via, and
 * From, To, Call-ID and CSeq if they are there.
 * On a stream a wrong message with ->framed set is used up whole and the stream goes on, for one
 * connection may carry the traffic of everybody.  Without: answer if possible, then close. */
enum sip_verdict {
	SIP_PARSE_OK,
	SIP_PARSE_MORE,          /* stream only: not whole yet */
	SIP_PARSE_KEEPALIVE,     /* CRLF between messages, RFC 3261 7.5: nothing to do */
	SIP_PARSE_PING,          /* stream only: the second CRLF (RFC 5626 3.5.1): send one */
	SIP_PARSE_BAD_400,       /* ->error says why */
	SIP_PARSE_TOO_LARGE_413, /* body above the limit; on a stream only the head was consumed:
	                          * discard ->content_length octets or close */
	SIP_PARSE_TOO_LARGE_513, /* head above the limit */
	SIP_PARSE_HEADERS_513,   /* too many header fields */
	SIP_PARSE_VERSION_505,
	SIP_PARSE_DROP, /* not SIP, or a response or ACK that is wrong: nobody to answer */
};

/* Parses one message at the start of `in`.  A datagram is always used up whole.  Of a stream
 * *used octets were consumed (0 with MORE); what follows is the next message.
 * Syntax of single headers is not looked at: see sip_request_check() in header.h. */
enum sip_verdict sip_message_parse(struct sip_message *m, struct slice in,
				   const struct sip_limits *limits, enum sip_framing framing,
				   size_t *used);

/* Remembers between calls how far a stream was scanned, so that a message that comes octet by
 * octet costs its length and not its square.  Zero it when the connection opens; one for each
 * connection.  Offer the same octets again after MORE, followed by newer ones. */
struct sip_framer {
	size_t scanned; /* no end of head before this */
	size_t need;    /* octets of the whole message once its head is known, else 0 */
	bool crlf;      /* the last thing consumed was a single CRLF */
};

enum sip_verdict sip_stream_parse(struct sip_framer *framer, struct sip_message *m,
				  struct slice in, const struct sip_limits *limits, size_t *used);

/* Octets that the buffer must hold for the message that gave MORE; 0 = not known yet. */
static inline size_t sip_framer_need(const struct sip_framer *framer)
{
	return framer->need;
}

/* NULL when there is none. */
static inline const struct sip_header *sip_header_first(const struct sip_message *m,
							enum sip_header_id id)
{
	return m->first[id] ? &m->headers[m->first[id] - 1] : NULL;
}

static inline const struct sip_header *sip_header_next(const struct sip_message *m,
						       const struct sip_header *header)
{
	return header->next ? &m->headers[header->next] : NULL;
}

/* Value of the first header of that id; empty with p == NULL when there is none. */
static inline struct slice sip_header_value(const struct sip_message *m, enum sip_header_id id)
{
	const struct sip_header *header = sip_header_first(m, id);

	return header ? header->value : SLICE_EMPTY;
}

/* Names are compared whole and without case, compact forms included (RFC 3261 7.3.3). */
enum sip_header_id sip_header_id_of(struct slice name);
const char *sip_header_name(enum sip_header_id id); /* "" for SIP_HDR_OTHER */

/* Methods are case-sensitive (RFC 3261 7.1). */
enum sip_method sip_method_of(struct slice name);
const char *sip_method_name(enum sip_method method); /* "" for SIP_METHOD_OTHER */

/* Letters, digits and -.!%*_+`'~ (RFC 3261 25.1), at least one. */
bool sip_is_token(struct slice s);

#endif
