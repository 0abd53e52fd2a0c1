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

enum sdp_judgement {
	SDP_ACCEPTED,
	SDP_MISSING,      /* no application/sdp: 488 (offerless INVITE)         */
	SDP_UNSUPPORTED,  /* another body: 415                                  */
	SDP_MALFORMED,    /* 400                                                */
	SDP_NO_MSRP,      /* no usable m=message: 488, Warning 304              */
	SDP_NO_TRANSPORT, /* only TLS, which is not served: 488, Warning 302    */
	SDP_INACTIVE_,    /* a=inactive: 488                                    */
	SDP_RECVONLY_,    /* 403: only stores accept it (D1-08)                 */
	SDP_BAD_PATH,     /* a=path that is no path: 488                        */
};

/* The description inside a message: application/sdp alone or as a part of multipart/mixed (D1-31). */
enum sdp_judgement session_sdp_read(const struct sip_message *m, struct sdp *sdp, const struct sdp_media **media);

/* Additionally the direction of an offer (D1-08). */
enum sdp_judgement session_sdp_read_offer(const struct sip_message *m, struct sdp *sdp,
	const struct sdp_media **media);

/* Where and whether we connect to the peer, given what we said and what it said (design.md 5, set-up). */
struct session_peer {
	const struct sdp *sdp;
	const struct sdp_media *media;
	bool is_answer;                    /* of the peer, to our actpass offer */
	const struct sockaddr_storage *signalled; /* where its SIP came from: limits.connect_to */
};
/* False: we would have to connect to an address that we may not. */
bool session_sdp_peer(struct im *im, const struct session_peer *peer, struct msrp_peer *out);

/* Our answer's or offer's a=setup. */
enum sdp_setup session_sdp_answer_setup(const struct sdp *offer, const struct sdp_media *media);

/* A description of one side on its way to the other. */
struct session_description {
	const struct sdp *sdp;
	const struct sdp_media *media;     /* the accepted one of `sdp`               */
	const struct sdp *offer;           /* what it answers; NULL: it is an offer   */
	const struct sdp_media *offered;   /* the accepted one of `offer`             */
	enum sdp_setup setup;
	bool hides;                        /* nothing that names who wrote it         */
};
/* As it goes out: with our path, o= and c=.  False: too long. */
bool session_sdp_write(struct buffer *out, const struct session_description *description,
	const struct msrp_leg *leg, uint64_t session_id);

/* Answers an INVITE whose description was not accepted. */
void session_sdp_refuse(struct im *im, struct sip_server *server, enum sdp_judgement why);

#endif
