/*
 * A line index of a session description (RFC 4566) and the rewriting a B2BUA
 * does with it (RFC 3264, RFC 4975 8).  Not libre's codec: a B2BUA must pass
 * attributes it does not know unchanged, and libre re-encodes what it
 * understood and loses the rest (design.md 4: it also counts the version up,
 * always prints a=sendrecv and ignores a name in c=).
 *
 * Slices into the text given; owns nothing.  Any thread.
 */
#ifndef SIP_SDP_H
#define SIP_SDP_H

#include "core/buffer.h"
#include "core/slice.h"

#define SDP_MEDIA_MAX 16

enum sdp_direction { SDP_UNSAID, SDP_SENDRECV, SDP_SENDONLY, SDP_RECVONLY, SDP_INACTIVE };
enum sdp_setup { SDP_SETUP_NONE, SDP_SETUP_ACTIVE, SDP_SETUP_PASSIVE, SDP_SETUP_ACTPASS,
		 SDP_SETUP_HOLDCONN };

/* All slices are values without "a=name:"; p == NULL where the line is absent. */
struct sdp_media {
	struct slice whole; /* from m= to before the next m= */
	struct slice media, proto, formats;
	uint32_t port;
	struct slice connection; /* value of its own c= */
	enum sdp_direction direction;
	enum sdp_setup setup; /* NONE also for an unknown word */
	struct slice path, accept_types, accept_wrapped_types, max_size;
	struct slice connection_attribute; /* a=connection:new */
	struct slice fingerprint;
	struct slice file_selector, file_transfer_id, file_size, file_length;
};

struct sdp {
	struct slice text;
	struct slice origin;     /* value of o= */
	struct slice connection; /* value of the session's c= */
	struct slice attributes; /* the session part, v= to before the first m= */
	enum sdp_direction direction;
	enum sdp_setup setup;
	struct slice fingerprint;
	unsigned media_count;
	struct sdp_media media[SDP_MEDIA_MAX];
};

enum sdp_verdict {
	SDP_OK,
	SDP_BAD_LINE,       /* not x=..., or a NUL or a CR inside a line */
	SDP_BAD_VERSION,    /* does not start with v=0 */
	SDP_BAD_ORIGIN,     /* o= absent, repeated, not the second line or without six words */
	SDP_BAD_CONNECTION, /* c= without three words */
	SDP_BAD_MEDIA,      /* m= without four words, or a port that is none */
	SDP_NO_CONNECTION,  /* a used m= line for which no c= holds */
	SDP_TOO_MANY_MEDIA, /* more than SDP_MEDIA_MAX */
};

/* Lines end with CRLF or LF (RFC 4566 5); the last one may lack it. */
enum sdp_verdict sdp_parse(struct sdp *sdp, struct slice text);
const char *sdp_verdict_text(enum sdp_verdict verdict); /* for Warning and log */

/* The first attribute of that name in the part of the text, names without case.  *value (may be
 * NULL) is empty for a property attribute.  `part` is media.whole or sdp.attributes. */
bool sdp_attribute(struct slice part, const char *name, struct slice *value);

/* RFC 4566 6: the media's word, else the session's, else sendrecv. */
enum sdp_direction sdp_media_direction(const struct sdp *sdp, const struct sdp_media *media);
/* The media's, else the session's; NONE when unsaid. */
enum sdp_setup sdp_media_setup(const struct sdp *sdp, const struct sdp_media *media);
struct slice sdp_media_fingerprint(const struct sdp *sdp, const struct sdp_media *media);
enum sdp_direction sdp_direction_inverted(enum sdp_direction direction);
const char *sdp_direction_name(enum sdp_direction direction);
const char *sdp_setup_name(enum sdp_setup setup);

/* TCP/MSRP or TCP/TLS/MSRP, m=message; *tls (may be NULL) says which. */
bool sdp_media_is_msrp(const struct sdp_media *media, bool *tls);
/* Its writer knows that c= and m= may name a middlebox that its path does not (RFC 6714). */
bool sdp_media_has_cema(const struct sdp_media *media);
/* The first m=message over MSRP with a port and a path; NULL when there is none. */
const struct sdp_media *sdp_msrp_media(const struct sdp *sdp);

/* What a description gets of ours when it is passed on. */
struct sdp_own {
	uint64_t session_id, version; /* o=; one session keeps its id, each change counts up */
	struct slice address;         /* literal without brackets, for o= and c= */
	const struct sdp_media *media; /* the accepted one, of the same sdp */
	/* An answer: the offer that it answers and the media accepted there; its m= lines are the
	 * offer's, one for one (RFC 3264 6), whatever the far side answered.  NULL: an offer. */
	const struct sdp *offer;
	const struct sdp_media *offered;
	bool is_alone; /* an offer of the accepted media only: the far side is asked for nothing else */
	uint16_t port;
	struct slice proto; /* empty: as received */
	struct slice path;
	enum sdp_setup setup;     /* NONE: no a=setup at all */
	struct slice fingerprint; /* "SHA-256 AB:..."; empty: none */
	bool has_cema;            /* a=msrp-cema (RFC 6714) */
	/* What the peer may and will take, as far as we decide it too.  p == NULL, 0, UNSAID: as received. */
	struct slice accept_types, accept_wrapped_types; /* wrapped: empty and not NULL leaves it out */
	uint64_t max_size;        /* octets; the smaller one of this and the peer's */
	enum sdp_direction direction;
	bool is_nameless;         /* privacy: s=-, and no i=, u=, e=, p= (RFC 4566 5.3 to 5.6) */
	/* More m= lines of ours, in any order; of each only what one line says counts, from `media` and `offered` on. */
	const struct sdp_own *more;
	unsigned more_count;
};

/*
 * Writes `sdp` with our o=, our c= once at session level, and the accepted m= line with our port,
 * path, setup and fingerprint.  Of the peer's, a=path, setup, connection, fingerprint, crypto
 * and msrp-cema are left out at both levels; every other line is copied as it stands (but see
 * is_nameless), line ends become CRLF.  s= and t= are added where the peer forgot them; an answer has
 * the times of its offer (RFC 3264 6).
 * m= lines that are neither that one nor among `more` are rejected, port 0 and nothing below them (RFC 3264 6), or left out (is_alone).
 * False when `out` overflowed or an own text has a CR, LF or NUL.
 */
bool sdp_rewrite(struct buffer *out, const struct sdp *sdp, const struct sdp_own *own);

#endif
