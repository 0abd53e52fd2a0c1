/*
 * The SIP side of sessions under load: users a<index> and b<index> register, a calls b, a
 * hangs up.  Both ends live here and meet only through the server.  Requests are repeated
 * as RFC 3261 17.1 wants over UDP; a call that is not up in time fails.
 */
#ifndef LOAD_TESTS_SIP_CALLS_H
#define LOAD_TESTS_SIP_CALLS_H

#include "load-tests/credentials.h"
#include "load-tests/flood_errors.h"
#include "load-tests/random.h"
#include "load-tests/sip_client.h"

enum sip_call_state {
	CALL_IDLE,
	CALL_REGISTERING, /* one or two REGISTER out                        */
	CALL_INVITING,    /* INVITE out                                     */
	CALL_EXPECTING,   /* the server will call B, who has no A           */
	CALL_ANSWERED,    /* 200 came, ACK sent                             */
	CALL_RELEASING,   /* BYE out                                        */
	CALL_OVER,
	CALL_UNREGISTERING, /* after the last call: one or two REGISTER with Expires 0 out */
};

struct sip_call {
	enum sip_call_state state;
	bool a_registered, b_registered, registers_only;
	bool b_is_away;       /* only A registers                                              */
	bool is_timed;
	bool expects_release; /* the server will hang up on B                                   */
	bool is_refreshing;   /* a re-INVITE of A's is out                                     */
	uint32_t cseq;        /* of A's last request in the dialog                             */
	uint32_t invite_cseq; /* of the INVITE that began it: another one when it was challenged */
	uint32_t register_cseq[2]; /* of A's and B's last REGISTER                            */
	uint32_t unregister_cseq[2]; /* of the first with Expires 0                           */
	uint32_t cycle;       /* how many calls there were before between these two users       */
	uint64_t b_dialog;    /* hash of the Call-ID of B's: requests of the call before may be late */
	struct sip_call *timed_next,
		**timed_at; /* list of calls with something to repeat or to give up */
	uint64_t repeat_ns, interval_ns, until_ns;
	char *a_to, *a_target, *a_route; /* A's dialog: To with tag, remote target, Route lines */
	char *b_answer;                  /* B's 200, repeated until the ACK                     */
	size_t b_answer_n;
};

struct sip_calls;

struct sip_calls_handlers {
	void (*offer)(void *user, uint32_t index, struct buffer *sdp);
	/* False: the offer cannot be used, B answers 488. */
	bool (*answer)(void *user, uint32_t index, struct slice offer, struct buffer *sdp);
	/* What was offered or answered before, for a re-INVITE. */
	void (*agree_again)(void *user, uint32_t index, char role, struct buffer *sdp);
	void (*on_answered)(void *user, uint32_t index, struct slice sdp); /* at A */
	void (*on_failed)(void *user, uint32_t index);   /* the error is reported   */
	void (*on_registered)(void *user, uint32_t index); /* of sip_call_register() */
	void (*on_released)(void *user, uint32_t index); /* by us, or by the server */
	/* Of sip_call_refresh(); status 0: no answer came, and m is NULL. */
	void (*on_refreshed)(void *user, uint32_t index, unsigned status, const struct sip_text *m);
	/* A final answer other than 2xx; on_failed() or on_released() follows where it ends the call. */
	void (*on_refused)(void *user, const char *method, unsigned status, long retry_after_s);
	void (*on_request)(void *user, struct sip_flow *flow, const struct sip_text *m); /* MESSAGE */
	void (*on_response)(void *user, char kind, uint32_t number, const struct sip_text *m); /* of sip_calls_send() */
	void (*on_error)(void *user, enum flood_error error, const char *what);
};

struct sip_calls {
	const struct flood_options *options;
	struct event_loop *loop;
	const struct sip_calls_handlers *handlers;
	void *user;
	/* ---- own ---- */
	struct sip_client client;
	struct sip_call *calls;
	struct sip_call *timed;
	bool is_heard;               /* anything came from the target            */
	uint32_t unregistering;      /* pairs of users that take theirs back     */
	uint32_t registrations_left; /* that the server did not take back        */
	struct credentials *credentials; /* --password: of A and B of each pair */
	char run[8]; /* random part of Call-IDs, tags and branches */
	char domain[256];
	char target[80]; /* "127.0.0.1:5060;transport=tcp"             */
};

/* The members up to `user` are filled in. 0 or errno. */
int sip_calls_open(struct sip_calls *s, struct prng *prng);
void sip_calls_close(struct sip_calls *s);

/* The first call of an index, or another one when the last is over: its users are registered then. */
void sip_call_start(struct sip_calls *s, uint32_t index);
/* B, who is registered, waits to be called by the server; and that it hangs up on him, false: he was not called. */
void sip_call_expect(struct sip_calls *s, uint32_t index);
bool sip_call_expect_release(struct sip_calls *s, uint32_t index);
/* B was called, and nobody has hung up. */
bool sip_call_is_answered(const struct sip_calls *s, uint32_t index);
/* Before the first call: only its users are registered.  Then it is as if a call were over. */
void sip_call_register(struct sip_calls *s, uint32_t index);
/* B, who was away, did so by sip_calls_send_register(): he takes it back in the end with a higher CSeq. */
void sip_call_b_is_registered(struct sip_calls *s, uint32_t index, uint32_t cseq);
/* A re-INVITE with the same session; false: it is no time for one. */
bool sip_call_refresh(struct sip_calls *s, uint32_t index);
bool sip_call_is_over(const struct sip_calls *s, uint32_t index);

/*
 * A request outside of calls, for transactions of the caller: its branch is made of `kind`, one of the letters below,
 * and a number, and brings the answer back.  False: the connection is gone, and its end was reported.
 */
#define KIND_MESSAGE 'm'
#define KIND_REFRESH 'g'
bool sip_calls_send_message(struct sip_calls *s, uint32_t index, uint32_t number, unsigned cseq, struct slice body);
bool sip_calls_send_register(struct sip_calls *s, uint32_t index, char role, uint32_t cseq, uint32_t number);

/* Takes the challenge of a 401 or 407; false: it is none, or there is no password.  `attempt`: how often this request was
 * challenged before; a password that is wrong is not tried for ever. */
bool sip_calls_challenged(struct sip_calls *s, uint32_t index, char role, const struct sip_text *m, unsigned attempt);

/* False: its flow has so much to send that what is new had better wait. */
bool sip_calls_have_room(const struct sip_calls *s, uint32_t index);

/* Answers a request that has no body to be answered with. */
void sip_calls_respond(struct sip_calls *s, struct sip_flow *flow, const struct sip_text *request, const char *status);

/* False: there is no answered call to be released. */
bool sip_call_release(struct sip_calls *s, uint32_t index);

/* After the last call: both users take their registrations back; sip_calls.unregistering tells when all have.  False:
 * there is nothing to be taken back, or nobody to ask. */
bool sip_call_unregister(struct sip_calls *s, uint32_t index);
/* No answer is waited for any longer; nothing happens when it came. */
void sip_call_give_up_unregistering(struct sip_calls *s, uint32_t index);

/* To be called some times a second. */
void sip_calls_tick(struct sip_calls *s);

#endif
