/*
 * B's side of a session until one of his contacts has answered: our INVITE to
 * each of them (RFC 3261 16.5 to 16.8 as far as a B2BUA forks), the early
 * dialogs that reliable provisional responses make, and what is left of both
 * when another contact was faster.
 *
 * Contacts of one q are called together, the next q when all of those failed or
 * nobody answered for timers.client_answer; who rings goes on ringing.  All
 * branches are one request to whoever gets it twice: same Call-ID, From tag and
 * CSeq.  A fork outlives its session until its transactions are gone, so that a
 * 2xx that comes second is acknowledged and ended all the same (13.2.2.4).
 *
 * Private to actors/session*.c; owning worker only.  Owner: itself; the session
 * points to it until session_fork_leave().
 */
#ifndef ACTORS_SESSION_FORK_H
#define ACTORS_SESSION_FORK_H

#include "actors/user.h"
#include "sip/dialog.h"

struct session;
struct session_early;

/* One INVITE of ours; behind a proxy several may answer it. */
struct session_branch {
	struct session_fork *fork;
	struct sip_client *client;  /* NULL: not sent yet, or gone */
	struct sip_flow flow;       /* that it goes by */
	uint32_t cseq;
	uint32_t session_expires_s; /* what a 422 asked for (D1-04); 0: nothing did */
	bool is_answered;           /* finally, or nobody will */
	struct msrp_leg *leg;       /* its own: who is too late connects to nothing that another one has */
	char *sdp;                  /* our offer, packed; both go to s->b with the answer */
	uint32_t sdp_n;
	struct session_files *files; /* legs of further m= lines; NULL: there are none */
};

struct session_fork {
	struct im *im;
	struct session *session;   /* NULL: it left */
	struct session_fork *next, **link; /* im->forks */
	struct sip_dialog *common; /* the half that all dialogs share; never confirmed itself */
	struct user_find *found;   /* the contacts, while they may be called; NULL: there is only core.next_hop */
	struct session_early *early;
	struct timer next_group;
	unsigned begun, waiting;   /* branches sent, and of these: not answered finally */
	unsigned strays;           /* 2xx beside the one that counts */
	bool to_contacts;          /* each branch has a flow of its own; else all go to core.next_hop */
	bool is_over;              /* no branch is begun any more: answered or cancelled */
	struct {                   /* the best failure so far */
		unsigned status;   /* 0: none */
		unsigned rank;
		enum reason why;
		char *text;        /* reason phrase, then header lines; NULL: neither */
		uint32_t phrase_n, headers_n;
	} best;
	unsigned count;
	struct session_branch branches[];
};

/* Takes `found` (NULL: the one target is core.next_hop); `start` is the common half.  0 or ENOMEM. */
int session_fork_open(struct session *s, const struct sip_dialog_start *start, struct user_find *found);

/* Calls the first contacts.  0, or why none could be called: ENOMEM, EMSGSIZE. */
int session_fork_begin(struct session_fork *fork);

/* Nobody else is called, and who was is cancelled.  Final responses still come. */
void session_fork_cancel(struct session_fork *fork);

/* The session ends: the fork finishes alone. */
void session_fork_leave(struct session *s);

/* Contact URI (empty: A's Request-URI) and target of a branch. */
struct slice session_branch_uri(const struct session_branch *branch);
/* The Route to it (RFC 3327), mostly empty. */
struct slice session_branch_path(const struct session_branch *branch);
struct sip_target session_branch_target(const struct session_branch *branch);

/* A dialog with the common half and the way of the branch; NULL: no memory. */
struct sip_dialog *session_branch_dialog(struct session_branch *branch, const struct sip_dialog_events *events,
	void *owner);

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
/* With its dialog, unless that was taken out. */
void session_early_free(struct session_early *early);
/* All of a branch; NULL: all of the fork. */
void session_early_forget(struct session_fork *fork, const struct session_branch *branch);

#endif
