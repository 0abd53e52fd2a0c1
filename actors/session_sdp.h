/*
 * The offer and answer of a one-to-one IM session (RFC 3264, RFC 4975 8,
 * RFC 6135): what is acceptable, and the peer's description with our own path
 * in it.
 *
 * Thread: owning worker only.
 */
#ifndef ACTORS_SESSION_SDP_H
#define ACTORS_SESSION_SDP_H

#include "actors/im.h"
#include "sip/sdp.h"

#define SESSION_SDP_MAX 15360 /* as it goes out: every line end may become longer by one */

enum sdp_judgement {
	SDP_ACCEPTED,
	SDP_MISSING,         /* no application/sdp: 488 (offerless INVITE)                  */
	SDP_UNSUPPORTED,     /* another body: 415                                           */
	SDP_ENCODED,         /* a Content-Encoding: 415                                     */
	SDP_MALFORMED,       /* 400                                                         */
	SDP_TOO_LONG,        /* 513                                                         */
	SDP_TOO_MANY,        /* m= lines: 488                                               */
	SDP_NO_MSRP,         /* no m=message in use: 488, Warning 304                       */
	SDP_NO_TRANSPORT,    /* m=message over what is not served: 488, Warning 302         */
	SDP_BAD_PATH,        /* a=path missing or no path: 488                              */
	SDP_NO_ACCEPT_TYPES, /* a=accept-types missing: 488, Warning 305                    */
	SDP_INACTIVE_,       /* a=inactive: 488                                             */
	SDP_RECVONLY_,       /* 403: only stores accept it (D1-08)                          */
	SDP_SIZE_UNCLEAR,    /* announced sizes that differ, or are no numbers: 488 (D1-17) */
	SDP_SIZE_BARRED,     /* announced, more than the policy permits: 403 (D1-17)        */
	SDP_TYPES_BARRED,    /* nothing of a=accept-types is permitted by policy: 403       */
	SDP_NOT_AGREED,      /* by whoever has the session: 488                             */
	SDP_NO_COMMON_TYPE,  /* nothing of it is used in the session: 488, Warning 305 (D1-22) */
};

/*
 * The description inside a message: application/sdp alone or as a part of a multipart (D1-31), and of its
 * m= lines the first that is an MSRP session we can have (RFC 3264 6: the others are rejected).
 */
/* Which transports there are listeners for, before the workers start; until then: TCP/MSRP alone. */
void session_sdp_serve(const struct msrp_options *options);

enum sdp_judgement session_sdp_read(const struct sip_message *m, struct sdp *sdp, const struct sdp_media **media);

/* Additionally the direction of an offer (D1-08). */
enum sdp_judgement session_sdp_read_offer(const struct sip_message *m, struct sdp *sdp,
	const struct sdp_media **media);

/* Only the description, whatever its m= lines are. */
enum sdp_judgement session_sdp_parse(const struct sip_message *m, struct sdp *sdp);
/* This m= line is an MSRP session that we can have. */
bool session_sdp_is_usable(const struct sdp *sdp, const struct sdp_media *media);

/*
 * The m= lines of an offer that become MSRP sessions of their own beside `media`, in their order: the others that can,
 * and go one way, each for a file (F22, RFC 5547 8).
 */
struct session_further {
	unsigned count;
	const struct sdp_media *media[SDP_MEDIA_MAX];
};
void session_sdp_further(const struct sdp *offer, const struct sdp_media *media, struct session_further *further);
/* session_sdp_policy() of `media` and of all of them. */
enum sdp_judgement session_sdp_policy_of_all(const struct im *im, const struct sdp *sdp, const struct sdp_media *media);

/* The operator's policy on an offer that was read (6.2.2.1 step 3, 6.2.6.1 step 3): size, then content. */
enum sdp_judgement session_sdp_policy(const struct im *im, const struct sdp *sdp, const struct sdp_media *media);

/* The announced size (D1-17).  False: none is, or they contradict each other. */
bool session_sdp_size(const struct sdp_media *media, uint64_t *size);
/* What goes one way and has a name is a file, without one it is a large message (D2-12). */
bool session_sdp_is_file(const struct sdp *sdp, const struct sdp_media *media);
/* What one message may have: limits.max_size_1to1, of a file limits.max_size_file; 0: any number of octets. */
uint64_t session_sdp_size_limit(const struct im *im, const struct sdp *sdp, const struct sdp_media *media);

/* Where and whether we connect to the peer, given what we said and what it said (design.md 5, set-up). */
struct session_peer {
	const struct sdp *sdp;
	const struct sdp_media *media;
	bool is_answer;                    /* of the peer, to our actpass offer */
	const struct sockaddr_storage *signalled; /* where its SIP came from: limits.connect_to */
	uint64_t identity;                 /* whose it is, as connect_limit.h counts; 0: unknown */
};
/* False: we would have to connect to an address that we may not, or for somebody for whom it failed too often. */
bool session_sdp_peer(struct im *im, const struct session_peer *peer, struct msrp_peer *out);

/* Its path begins with msrps, and so must ours on that side. */
bool session_sdp_is_secure(const struct sdp_media *media);

/* Our answer's or offer's a=setup. */
enum sdp_setup session_sdp_answer_setup(const struct sdp *offer, const struct sdp_media *media);

/* An m= line beside the first, as struct session_description has that one. */
struct session_line {
	const struct sdp_media *media, *offered;
	enum sdp_setup setup;
	const struct msrp_leg *leg;
};

/* A description of one side on its way to the other. */
struct session_description {
	const struct sdp *sdp;
	const struct sdp_media *media;     /* the accepted one of `sdp`               */
	const struct sdp *offer;           /* what it answers; NULL: it is an offer   */
	const struct sdp_media *offered;   /* the accepted one of `offer`             */
	enum sdp_setup setup;
	bool hides;                        /* nothing that names who wrote it         */
	uint64_t version;                  /* of o=; 0: the first                     */
	const struct session_line *more;
	unsigned more_count;
};
/* As it goes out: with our path, o= and c=, the permitted content types and the smaller max-size.  False:
 * too long, or no content type is permitted. */
bool session_sdp_write(const struct im *im, struct buffer *out, const struct session_description *description,
	const struct msrp_leg *leg, uint64_t session_id);

/* Answers an INVITE whose description was not accepted. */
void session_sdp_refuse(struct im *im, struct sip_server *server, enum sdp_judgement why);

#endif
