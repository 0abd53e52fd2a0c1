/*
 * An INVITE of ours until somebody has answered: B's side of a session, or what
 * a user agent of ours calls.  It goes to each contact (RFC 3261 16.5 to 16.8 as
 * far as a B2BUA forks); here are the early dialogs that reliable provisional
 * responses make, too, and what is left of both when another contact was faster.
 *
 * Contacts of one q are called together, the next q when all of those failed or
 * nobody answered for timers.client_answer; who rings goes on ringing.  All
 * branches are one request to whoever gets it twice: same Call-ID, From tag and
 * CSeq.  A fork outlives who calls until its transactions are gone, so that a
 * 2xx that comes second is acknowledged and ended all the same (13.2.2.4).
 *
 * Private to actors/session*.c and actors/virtual_user_agent*.c; owning worker
 * only.  Owner: itself; who calls points to it until session_fork_leave().
 */
#ifndef ACTORS_SESSION_FORK_H
#define ACTORS_SESSION_FORK_H

#include "actors/user.h"
#include "sip/dialog.h"

struct session_early;
struct session_fork;

/* One INVITE of ours; behind a proxy several may answer it. */
struct session_branch {
	struct session_fork *fork;
	struct sip_client *client;  /* NULL: not sent yet, or gone */
	struct sip_flow flow;       /* that it goes by */
	uint32_t cseq;
	uint32_t session_expires_s; /* what a 422 asked for (D1-04); 0: nothing did */
	bool is_answered;           /* finally, or nobody will */
	struct msrp_leg *leg;       /* its own: who is too late connects to nothing that another one has */
	char *sdp;                  /* our offer, as who calls keeps it; all three go to him with the answer */
	uint32_t sdp_n;
	struct session_files *files; /* legs of further m= lines; NULL: there are none */
};

/* The 2xx that counts. */
struct session_answer {
	const struct sip_message *response; /* it has its ACK */
	struct session_early *early;        /* that it belongs to; may be NULL */
	struct sip_flow flow;               /* of our INVITE: a name has several servers */
	bool is_whole;                      /* else it lacks what a dialog needs */
	/* ---- for who called to take over; the dialog's events are his to set ---- */
	struct sip_dialog *dialog;
	uint32_t cseq;
	struct msrp_leg *leg;
	char *sdp;
	uint32_t sdp_n;
	struct session_files *files;
};

/* The best failure of those that were called. */
struct session_failure {
	unsigned status; /* as it is told on (D1-19) */
	unsigned received;
	enum reason why;
	struct slice phrase, headers; /* empty: none; whole lines */
};

/* Who calls; each gets the owner that session_fork_open() was given. */
struct session_fork_events {
	/* Sends one INVITE, as the branch says.  0, ENOMEM, or EMSGSIZE: too much has to be in it. */
	int (*send)(struct session_branch *, const struct sip_client_events *, void *owner);
	/* Does he still want an answer? */
	bool (*waits)(const void *owner);
	void (*on_ringing)(const struct sip_message *response, void *owner);
	/* He may be gone when it returns; so in the next two. */
	void (*on_answer)(struct session_answer *, void *owner);
	/* Nobody answers any more. */
	void (*on_failed)(const struct session_failure *, void *owner);
	/* He wants none any more, or was told a failure, and the last of those called has said so. */
	void (*on_settled)(void *owner);
	/* The dialog of the 2xx that counted; NULL: none did, or that is over. */
	struct sip_dialog *(*dialog)(const void *owner);
	/* `Contact: ..` and Allow. */
	void (*write_contact)(struct buffer *, const struct sip_flow *, const void *owner);
	/* The fork is dead. */
	void (*on_gone)(void *owner);
};

struct session_fork {
	struct im *im;
	const struct session_fork_events *events;
	void *owner;               /* NULL: he left */
	uint64_t id;               /* of the owner, for log lines */
	struct session_fork *next, **link; /* im->forks */
	struct sip_dialog *common; /* the half that all dialogs share; never confirmed itself */
	struct user_find *found;   /* the contacts, while they may be called; NULL: there is one target */
	struct sip_target target;  /* that */
	char *kept;                /* of who calls, until one has answered; heap, NULL: nothing */
	struct session_early *early;
	struct timer next_group;
	unsigned begun, waiting;   /* branches sent, and of these: not answered finally */
	unsigned strays;           /* 2xx beside the one that counts */
	bool to_contacts;          /* each branch has a flow of its own; else there is one, to the target */
	bool is_over;              /* no branch is begun any more: answered or cancelled */
	struct {                   /* the best failure so far */
		unsigned status, received; /* 0: none */
		unsigned rank;
		enum reason why;
		char *text;        /* reason phrase, then header lines; NULL: neither */
		uint32_t phrase_n, headers_n;
	} best;
	unsigned count;
	struct session_branch branches[];
};

struct session_fork_start {
	struct sip_dialog_start dialog; /* the common half; next: the one target, where there is no `found` */
	struct user_find *found;        /* taken in any case; NULL: there is one target */
	const struct session_fork_events *events;
	void *owner;
	uint64_t id;
};
/* 0 or ENOMEM. */
int session_fork_open(struct session_fork **out, struct im *im, const struct session_fork_start *start);

/* Calls the first contacts.  0, or why none could be called: ENOMEM, EMSGSIZE. */
int session_fork_begin(struct session_fork *fork);

/* Nobody else is called, and who was is cancelled.  Final responses still come. */
void session_fork_cancel(struct session_fork *fork);

/* Who calls ends: the fork finishes alone.  May free it. */
void session_fork_leave(struct session_fork *fork);

/* Contact URI (empty: there is only the target) and target of a branch. */
struct slice session_branch_uri(const struct session_branch *branch);
/* The Route to it (RFC 3327), mostly empty. */
struct slice session_branch_path(const struct session_branch *branch);
struct sip_target session_branch_target(const struct session_branch *branch);

/* An early dialog with the common half and the way of the branch; NULL: no memory. */
struct sip_dialog *session_branch_dialog(struct session_branch *branch);

/* All of the worker: the process ends. */
void session_forks_free(struct im *im);

/* ---- session_early.c: early dialogs with reliable provisional responses, RFC 3262 4 ---- */

struct session_early {
	struct session_early *next;
	struct session_branch *branch;
	struct sip_dialog *dialog;
	uint32_t rseq;   /* of the last one */
	char *answer;    /* the response that had B's description, as received: it counts as the answer */
	uint32_t answer_n;
};

/* Acknowledges a provisional response that wants it.  False: it came before, or is out of order. */
bool session_early_receive(struct session_branch *branch, const struct sip_message *m);
/* Takes the one that became the dialog out of the list; NULL: none did. */
struct session_early *session_early_take(struct session_fork *fork, struct slice tag);
extern const struct sip_dialog_events session_early_events; /* owner: the branch */
/* With its dialog, unless that was taken out. */
void session_early_free(struct session_early *early);
/* All of a branch; NULL: all of the fork. */
void session_early_forget(struct session_fork *fork, const struct session_branch *branch);

/* Where the description of who answered is: in a reliable provisional response, acknowledged with it and read into
 * `early`, or in the 2xx (RFC 3262 5). */
const struct sip_message *session_answer_description(const struct session_answer *answer, struct sip_message *early);

#endif
