/*
 * Decoders of single header fields (RFC 3261 20, 25.1 and the extensions named
 * below).  They take the value as indexed, folds included, and give slices
 * into it; nothing is allocated or unescaped.  The peer's mistakes are answers
 * (false, SIP_ITEM_BAD, a reason text), never errno.  Any thread.
 * Vias are read in via.c, addresses and Contacts in address.c, what a message
 * must have in mandatory.c, all else in header.c.
 */
#ifndef SIP_HEADER_H
#define SIP_HEADER_H

#include "sip/message.h"

/* ---- parameters: ;name=value;name ---- */

struct sip_param {
	struct slice name, value; /* a quoted value keeps its quotes; see sip_unquote() */
	bool has_value;
};

/* Takes the next parameter off *params, which starts with ';' or is empty.  False at the end and
 * at what is no parameter; *params is empty only in the first case. */
bool sip_param_next(struct slice *params, struct sip_param *param);
/* The first parameter of that name, compared without case; *value may be NULL. */
bool sip_param_find(struct slice params, const char *name, struct slice *value);
/* What stands between the quotes, escapes left in; `s` itself when it is not quoted. */
struct slice sip_unquote(struct slice s);

/* ---- lists ---- */

/* Takes the next comma-separated element off *rest, trimmed; commas inside quotes and <> do not
 * count, empty elements are skipped.  False at the end. */
bool sip_list_next(struct slice *rest, struct slice *element);

/* The elements of all headers of one id, in order: Route, Record-Route, Contact, Supported, ... */
struct sip_items {
	const struct sip_message *message;
	const struct sip_header *header;
	struct slice rest;
};

struct sip_items sip_items_of(const struct sip_message *m, enum sip_header_id id);
bool sip_items_next(struct sip_items *items, struct slice *element);

/* Is the option tag (or event, method, ...) among the elements?  Without case. */
bool sip_items_have(const struct sip_message *m, enum sip_header_id id, const char *token);

/* ---- Via, RFC 3261 20.42, RFC 3581 ---- */

struct sip_via {
	struct slice transport; /* "UDP", as written */
	struct slice host;      /* IPv6 in brackets */
	uint16_t port;          /* 0 = none given */
	struct slice branch, received, ttl, maddr;
	bool has_rport;
	uint16_t rport; /* 0 = without value */
	struct slice params;
	struct slice whole; /* the one element, trimmed */
};

/* The first Via of `value`; *rest (may be NULL) is what follows its comma. */
bool sip_via_decode(struct slice value, struct sip_via *via, struct slice *rest);

/* ---- From, To, Contact, Route, P-Asserted-Identity, Refer-To, ...: name-addr or addr-spec ---- */

struct sip_address {
	struct slice display; /* as written, quotes included; may be empty */
	struct slice uri;     /* without <>; parameters behind a URI without <> are the header's */
	struct slice params;  /* of the header: ";tag=x", starts with ';' or is empty */
	struct slice tag;     /* p == NULL when there is none */
	bool bracketed;
};

/* One element, whole.  False when it is not an address or the parameters do not parse. */
bool sip_address_decode(struct slice value, struct sip_address *address);

enum sip_item { SIP_ITEM_END, SIP_ITEM_OK, SIP_ITEM_BAD };

enum sip_item sip_address_next(struct sip_items *items, struct sip_address *address);

struct sip_contact {
	struct sip_address address; /* empty when star */
	bool star;                  /* Contact: * */
	bool has_expires;
	uint32_t expires; /* s; malformed is 3600 (RFC 3261 10.2.1.1), too large the most */
	unsigned q;       /* thousandths, 1000 when absent */
};

/* BAD also for `*` beside another Contact: read to the end before acting. */
enum sip_item sip_contact_next(struct sip_items *items, struct sip_contact *contact);

/* ---- single values ---- */

/* RFC 3261 8.1.1.5: *number below 2^31. */
bool sip_cseq_decode(struct slice value, uint32_t *number, struct slice *method);

/* RFC 3262 7.2: which response a PRACK acknowledges. */
struct sip_rack {
	uint32_t rseq, cseq;
	struct slice method;
};
bool sip_rack_decode(struct slice value, struct sip_rack *rack);

/* delta-seconds and other decimals; parameters and a comment may follow (Min-SE, Retry-After). */
bool sip_number_decode(struct slice value, uint64_t max, uint64_t *number);
/* Expires, Min-Expires, ...: false when absent or malformed; above 2^32-1 counts as 2^32-1. */
bool sip_seconds_of(const struct sip_message *m, enum sip_header_id id, uint32_t *seconds);

/* 0 to 255; -1 when absent; -2 when it is not that. */
int sip_max_forwards(const struct sip_message *m);

struct sip_content_type {
	struct slice type, subtype;
	struct slice params;
};

bool sip_content_type_decode(struct slice value, struct sip_content_type *content_type);
/* `is` like "message/cpim"; parameters do not matter. */
bool sip_content_type_is(struct slice value, const char *is);

enum sip_refresher { SIP_REFRESHER_NONE, SIP_REFRESHER_UAC, SIP_REFRESHER_UAS };

/* RFC 4028 4: Session-Expires. */
struct sip_session_expires {
	uint32_t seconds;
	enum sip_refresher refresher;
};

bool sip_session_expires_decode(struct slice value, struct sip_session_expires *expires);

/* RFC 3323 4.2: is `wanted` ("id", "none", ...) among the values of Privacy? */
bool sip_privacy_has(const struct sip_message *m, const char *wanted);
/* Does the sender ask not to be named: id, header, user or critical (D2-17)? */
bool sip_privacy_is_wanted(const struct sip_message *m);

/* RFC 3841: does any Accept-Contact carry the feature tag ("+g.oma.sip-im"), whatever else it
 * holds (decision D1-13)?  With any value but FALSE; the trailing dot and blanks of the draft's
 * spellings are ignored. */
bool sip_accept_contact_has(const struct sip_message *m, const char *feature);
/* The same for the parameters of one Contact (RFC 3840). */
bool sip_params_have_feature(struct slice params, const char *feature);

/* RFC 3261 8.1.1, 8.2: are the mandatory headers there, once each and readable, CSeq of this
 * method and below 2^31, Max-Forwards absent or 0 to 255, every Via and the Contacts readable?
 * NULL = yes, else the reason phrase of the 400.  The request URI is the caller's (416). */
const char *sip_request_check(const struct sip_message *m);
/* What a response must have to be matched: Via, CSeq, Call-ID, From, To.  NULL = yes. */
const char *sip_response_check(const struct sip_message *m);

#endif
