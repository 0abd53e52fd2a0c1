/*
 * Clients of the simulated world: SIP over UDP or TCP and MSRP over TCP, on one
 * ring of their own, sharing no code with the server's sip/ and msrp/.  They
 * repeat, acknowledge and answer as RFC 3261 and RFC 4975 say, check everything
 * that the server sends them, and misbehave where a scenario asks for it.
 *
 * Owner of all: the host, until the end of the run.
 */
#ifndef TESTS_SIM_UA_H
#define TESTS_SIM_UA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct world;
struct ring;
struct ua;
struct ua_host;
struct leg;

/* A request of a client and what became of it. */
struct request {
	struct request *next;
	struct ua *ua;
	struct call *call;       /* NULL: outside dialogs */
	char method[12], branch[40];
	char *wire;
	size_t n;
	unsigned provisional;    /* the last one, 0: none                               */
	unsigned status;         /* final; 0: none yet; 408: our timer; 503: no connection */
	bool is_own_verdict;     /* status is ours, nobody sent it                      */
	uint64_t repeat_at_us, repeat_us, give_up_at_us; /* 0: not */
	char etag[40];           /* of a 200 to PUBLISH */
	char call_id[40], to_tag[64], target[128]; /* of a SUBSCRIBE and its 200 */
	unsigned cseq;           /* the last one in that dialog */
	char *ack;               /* of an INVITE's final answer, for its repetitions    */
	size_t ack_n;
};

/* A message, pager or MSRP.  Its octets are known to both ends of the test. */
struct message {
	struct message *next;
	unsigned number;
	struct call *from;       /* NULL: pager mode */
	struct request *request; /* pager mode       */
	struct ua *to;           /* pager mode       */
	char *octets;
	size_t n;
	/* ---- the sender ---- */
	bool is_sent;
	unsigned chunks, answered;
	uint16_t *statuses;      /* of each chunk; 0: none yet */
	bool wants_no_answer;    /* Failure-Report: no */
	/* ---- the receiver ---- */
	size_t received;
	bool has_gap;            /* a chunk of it was refused for want of memory */
	unsigned deliveries;     /* complete ones */
	/* ---- the receivers of a list ---- */
	struct copy {
		struct ua *to;
		unsigned deliveries;
	} *copies;               /* NULL: to one */
	unsigned copy_count;
};

/* One side of a session. */
struct call {
	struct call *next;
	struct ua *ua, *to;      /* to: whom it calls; NULL: it is called              */
	struct call *far;        /* the same session at the other client; NULL: not there yet */
	unsigned number;
	bool is_caller, is_answered, is_acked, is_over, wants_cancel, wants_bye;
	bool got_bye;
	struct call *conference; /* that began the conference it is in, it may be this one; NULL: none */
	bool is_to_list;         /* began one that is a large message to a list */
	bool is_garbled;         /* nonsense stands in what it sent: what arrives of it is not looked at */
	bool is_push;            /* of the server, or to its store: deferred messages come over it */
	char call_id[64], local[160], remote[160], remote_tag[64], target[256];
	unsigned cseq;
	struct request *invite, *cancel, *bye; /* of ours, each or NULL */
	struct request *change;  /* the last INVITE or UPDATE of ours inside the dialog */
	unsigned change_cseq, changes, was_changed; /* ours so far, and the server's that were taken */
	struct served *served_change; /* the last INVITE of the server in the dialog */
	unsigned served_change_cseq;
	struct served *served_invite;          /* callee                */
	uint64_t answer_at_us;   /* 0: not */
	struct leg *leg;
};

/* How a client behaves; what is zero is the ordinary way, drawn by the seed where several are. */
struct manners {
	unsigned refuse;         /* INVITE: this status instead of 200         */
	bool never_answers;      /* INVITE: rings for ever                     */
	bool is_mute;            /* INVITE: not a word                         */
	bool never_acks;
	bool is_anonymous;       /* INVITE: From says nobody                   */
	bool never_connects;     /* MSRP, when it should                       */
	bool is_raw;             /* MSRP: the scenario speaks it on what comes */
	const char *relay;       /* the first URI of its path, before its own; NULL: none */
	unsigned answers_after_ms;
	bool is_ordinary;        /* REGISTER: no OMA feature tag                */
	unsigned refuse_pager;   /* MESSAGE: this status instead of 200        */
	bool ignores_notify;     /* NOTIFY: not a word                         */
	unsigned refuse_notify;  /* NOTIFY: this status instead of 200         */
	bool holds_pagers;       /* MESSAGE: shown, and not a word until ua_release_pagers() */
	enum { SETUP_BY_SEED, SETUP_ACTIVE, SETUP_PASSIVE } setup;
	size_t chunk_max;        /* octets; 0: by the seed, for each message   */
	size_t announces;        /* INVITE: sendonly, a message of so many octets */
	/* a push: after so many messages of a session */
	unsigned push_takes;
	enum { PUSH_THEN_WELL, PUSH_THEN_REFUSES, PUSH_THEN_SILENT, PUSH_THEN_VANISHES, PUSH_THEN_BYE } push_then;
	unsigned push_status;    /* refuses with it */
};

struct ua {
	struct ua *next;
	struct ua_host *host;
	char name[32];
	bool is_tcp;
	bool is_noise;           /* what it gets is not looked at */
	unsigned phone;          /* several of one user: 1, 2, ...; else 0 */
	unsigned q;              /* of its registration, thousandths; 0: unsaid */
	struct manners manners;
	/* ---- what its NOTIFYs said ---- */
	unsigned notifies;
	uint64_t summary;        /* messages that wait, by the last one */
	bool is_unsubscribed;
};

/* A subscription that the focus keeps: to a conference's state, or of a REFER. */
struct watching {
	struct watching *next;
	struct ua *ua;
	struct call *conference, *call; /* call: in whose dialog; NULL: in its own */
	struct request *request;  /* SUBSCRIBE; NULL: of a REFER */
	char call_id[64], id[16];
	bool is_refer;
	bool is_over;             /* the last NOTIFY came */
	unsigned documents, finals;
	uint64_t version;
	unsigned count;
	struct {
		char name[24];
		bool is_there;
	} seen[24];
};

/* What a REFER asks for. */
struct referring {
	struct ua *const *to;
	unsigned count;
	bool is_bye;              /* to leave, instead */
	bool is_outside;          /* of any dialog */
	bool is_silent;           /* wants to hear nothing of it */
};

struct ua_host *ua_host_new(struct world *w, struct ring *ring);
void ua_turn(struct ua_host *host);
/* Nothing accepted was lost. */
void ua_check(struct ua_host *host);
/* Everything is closed, without a word. */
void ua_leave(struct ua_host *host);
unsigned ua_descriptors(struct ua_host *host);
void ua_host_free(struct ua_host *host);

/* ---- what a client can do; all return at once ---- */

struct ua *ua_new(struct world *w, const char *name);
struct ua *ua_phone(struct world *w, const struct ua *user, unsigned q); /* another client of that user */
/* The one of the user's clients that has the session; NULL: none.  Then it is the far side of the call. */
struct call *ua_winner(struct call *call);
struct request *ua_register(struct ua *ua, unsigned expires_s);
struct message *ua_pager(struct ua *from, struct ua *to, size_t n);
/* To the factory with a list of them, or to another URI that leads to them. */
struct message *ua_pager_list(struct ua *from, const char *uri, struct ua *const *to, unsigned count, size_t n);
void ua_release_pagers(struct ua *ua);    /* 200 to each that it held */
/* SUBSCRIBE or REFER outside dialogs, with `refer_to` or NULL; who gets it says 200. */
struct request *ua_outside(struct ua *from, const char *method, const char *uri, const char *refer_to);
/* PUBLISH of a document with session barring, or (NULL) without one; `before` has the tag of what it changes, or NULL. */
enum barring { BARRING_UNSAID, BARRING_OFF, BARRING_ON };
struct request *ua_publish(struct ua *ua, const struct request *before, const enum barring *barring, unsigned expires_s);
/* SUBSCRIBE to its mailbox; `first` began the dialog, NULL: this one does. */
struct request *ua_subscribe(struct ua *ua, struct request *first, unsigned expires_s);
struct call *ua_invite(struct ua *from, struct ua *to);
/* Calls a conference together: INVITE to the factory with a list (RFC 5366). */
struct call *ua_convene(struct ua *from, struct ua *const *to, unsigned count);
/* Comes into the conference by its name, or by that URI; `began` NULL: this begins one. */
struct call *ua_join(struct ua *from, struct call *began, const char *uri);
/* In the conference of that call.  NULL: it has no name yet, or is over. */
struct request *ua_refer(struct call *call, const struct referring *what);
struct watching *ua_watch(struct call *call, bool is_outside, unsigned expires_s);
void ua_watch_again(struct watching *watch, unsigned expires_s);
bool ua_has_heard(const struct call *call, const struct message *message); /* all of it */
/* Of each REFER that was accepted all is known. */
void ua_focus_check(struct ua_host *host);
/* Of deferred messages, by that name of the store; what comes is taken as a push is (manners.push_*). */
struct call *ua_fetch(struct ua *ua, const char *uri);
void ua_cancel(struct call *call);        /* as soon as a provisional answer permits; BYE if it is too late */
void ua_bye(struct call *call);
struct request *ua_change(struct call *call, bool by_invite); /* NULL: one is under way, or it is over */
struct request *ua_inside(struct call *call, const char *method); /* any other one, with a body; NULL: it is over */
struct message *ua_send(struct call *call, size_t n); /* goes when the session is bound */
void ua_stop_reading(struct call *call);
void ua_resume_reading(struct call *call);
void ua_share_connection(struct call *call, struct call *with); /* before it connects; `call` offers */
void ua_reset_msrp(struct call *call);    /* its connection, if it has one */
void ua_come_back(struct call *call);     /* its connection was lost: re-INVITE with another path, then by that */
void ua_reset_sip(struct ua *ua);         /* TCP; it comes back with the next request */
void ua_make_noise(struct ua *ua, bool is_msrp); /* that client is good for nothing else */
void ua_garble_msrp(struct call *call);   /* nonsense in the middle of what its session sends */
bool ua_leg_is_bound(const struct call *call);
bool ua_leg_is_lost(const struct call *call);

/* ---- what a scenario expects; they wait, in virtual time ---- */

struct ua *ua_registered(struct world *w, const char *name); /* a new client, 200 to its REGISTER */
struct ua *ua_registered_at_last(struct world *w, const char *name); /* the same; tries again after 503 */
void expect_status(struct request *request, unsigned status);
void expect_final(struct request *request);               /* any */
void expect_bound(struct call *call);                     /* 200, acknowledged; MSRP bound at both ends */
void expect_refused(struct call *call, unsigned status);
void expect_delivered(struct call *call);                 /* all that it sent: complete and answered 200 */
void expect_pager(struct message *message, unsigned status);
void expect_over(struct call *call);                      /* both sides */
void expect_all_over(struct call *call);                  /* all clients that answered it */

#endif
