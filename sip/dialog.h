/*
 * A SIP dialog (RFC 3261 12): the state by which requests of either side find
 * it and by which ours are written.  What a request means is its owner's
 * business: the dialog only says who that is.
 *
 * Thread: owning worker only; dialogs never move.  Owner: the actor that opened
 * it, which closes it.
 */
#ifndef SIP_DIALOG_H
#define SIP_DIALOG_H

#include "sip/transaction.h"

#define SIP_DIALOG_HEADERS_MAX 8192 /* sip_dialog_write() never writes more */

struct sip_dialog;

struct sip_dialog_events {
	/* A request in this dialog, of any method but ACK and CANCEL; CSeq was checked and taken over.
	 * The owner answers it. */
	void (*on_request)(struct sip_dialog *, struct sip_server *, const struct sip_message *, void *owner);
};

/*
 * Something that goes on in a dialog beside what its owner does in it (RFC 5057): a subscription in the dialog of an
 * INVITE.  The dialog stays until its owner has closed it and the last of these has left.
 */
struct sip_dialog_usage {
	struct sip_dialog_usage *next;
	/* Offered before the owner gets it, also when he has gone; true: it was for this one, who answered it. */
	bool (*on_request)(struct sip_dialog_usage *, struct sip_server *, const struct sip_message *);
};

struct sip_dialog {
	struct worker *worker;
	const struct sip_dialog_events *events;
	void *owner;
	struct sip_dialog *hash_next;
	struct sip_dialog_usage *usages;
	/* Heap: what the functions below give slices of, one behind the other, and how long each is.  There are
	 * two dialogs for each session, so one allocation and no pointers. */
	char *text;
	uint32_t call_id_n, local_n, remote_n, local_tag_n; /* for good                */
	uint32_t remote_tag_n, target_n, routes_n;          /* change with responses   */
	uint32_t local_cseq, remote_cseq;
	struct sip_target next;        /* where our requests go */
	bool has_remote_cseq;
	bool is_confirmed;             /* the peer's half is known: early by a provisional response, or answered */
};

/* Slices until the dialog takes something from a response or request, or is closed. */

static inline struct slice sip_dialog_call_id(const struct sip_dialog *dialog)
{
	return slice_of(dialog->text, dialog->call_id_n);
}

/* From and To values without tag. */
static inline struct slice sip_dialog_local(const struct sip_dialog *dialog)
{
	return slice_of(dialog->text + dialog->call_id_n, dialog->local_n);
}

static inline struct slice sip_dialog_remote(const struct sip_dialog *dialog)
{
	return slice_of(sip_dialog_local(dialog).p + dialog->local_n, dialog->remote_n);
}

static inline struct slice sip_dialog_local_tag(const struct sip_dialog *dialog)
{
	return slice_of(sip_dialog_remote(dialog).p + dialog->remote_n, dialog->local_tag_n);
}

/* Empty while a dialog of ours is not yet confirmed. */
static inline struct slice sip_dialog_remote_tag(const struct sip_dialog *dialog)
{
	return slice_of(sip_dialog_local_tag(dialog).p + dialog->local_tag_n, dialog->remote_tag_n);
}

/* The peer's Contact URI. */
static inline struct slice sip_dialog_target(const struct sip_dialog *dialog)
{
	return slice_of(sip_dialog_remote_tag(dialog).p + dialog->remote_tag_n, dialog->target_n);
}

/* "Route: ...\r\n" lines. */
static inline struct slice sip_dialog_routes(const struct sip_dialog *dialog)
{
	return slice_of(sip_dialog_target(dialog).p + dialog->target_n, dialog->routes_n);
}

/* Per worker.  0 or ENOMEM. */
int sip_dialogs_init(struct worker *worker, unsigned dialogs_max);
/* Room for more.  0 or ENOMEM. */
int sip_dialogs_raise(struct worker *worker, unsigned dialogs_max);
void sip_dialogs_free(struct worker *worker);

/* What a dialog starts from.  All slices are copied. */
struct sip_dialog_start {
	struct slice call_id;
	struct slice local, remote;    /* without tag */
	struct slice local_tag;        /* minted here, so that requests of the peer come to this worker */
	struct sip_target next;
	const struct sip_dialog_events *events;
	void *owner;
};

/* For a request that we send.  0 or ENOMEM. */
int sip_dialog_open_client(struct sip_dialog **out, struct worker *worker, const struct sip_dialog_start *start);

/* For a request that we answer: the peer's half comes from it (From tag, Contact, Record-Route in
 * order).  `start->remote`, `local` and `call_id` are taken from the request.  EINVAL: the request has
 * no usable Contact, or more routes than are kept (400).  EMSGSIZE: From, To, tag or Call-ID are longer than we
 * repeat (513).  A From without tag, of an RFC 2543 peer, is a
 * tag too (RFC 3261 12.1.1). */
int sip_dialog_open_server(struct sip_dialog **out, struct worker *worker, const struct sip_message *request,
	const struct sip_dialog_start *start);

/* Takes remote tag, target and route set (Record-Route reversed, RFC 3261 12.1.2) from a response to
 * the request that opened it; again from the 2xx when a provisional one made it early (13.2.2.4).  0, ENOMEM, or EINVAL: no usable Contact or To tag. */
int sip_dialog_confirm(struct sip_dialog *dialog, const struct sip_message *response);

/* The same of a 2xx that lacks what a dialog needs, for the ACK and the BYE that end it all the same: without
 * a Contact they go to `target`, without To tag they have none.  0, ENOMEM, or EINVAL: no To at all. */
int sip_dialog_confirm_anyhow(struct sip_dialog *dialog, const struct sip_message *response, struct slice target);

/* RFC 3261 12.2: a target refresh.  A message without a usable Contact changes nothing. */
int sip_dialog_refresh_target(struct sip_dialog *dialog, const struct sip_message *m);

/* The owner has done with it; it stays while it has usages, and what they do not take gets 481. */
void sip_dialog_close(struct sip_dialog *dialog);

/* `usage` is the caller's, and has its on_request. */
void sip_dialog_join(struct sip_dialog *dialog, struct sip_dialog_usage *usage);
/* It may be the end of the dialog.  Not from inside another usage's on_request(). */
void sip_dialog_leave(struct sip_dialog *dialog, struct sip_dialog_usage *usage);

/* The dialog that a request with a To tag belongs to, or NULL (481). */
struct sip_dialog *sip_dialog_find(struct worker *worker, const struct sip_message *request);

/* By its names; `local_tag` is ours. */
struct sip_dialog *sip_dialog_find_named(struct worker *worker, struct slice call_id, struct slice local_tag,
	struct slice remote_tag);

/* Finds the dialog, checks the CSeq (500 when it is lower, RFC 3261 12.2.2) and hands the request to
 * its owner.  False: there is no such dialog; nothing was answered. */
bool sip_dialog_receive(struct worker *worker, struct sip_server *server, const struct sip_message *request);

/* The Request-URI of requests in the dialog: the peer's Contact, or the first route when that has no lr; then
 * the Contact is the last Route (RFC 3261 12.2.1.1). */
struct slice sip_dialog_uri(const struct sip_dialog *dialog);

/* Route, Max-Forwards, From, To, Call-ID and CSeq of a request in the dialog; `cseq` 0: the next one. */
void sip_dialog_write(struct sip_dialog *dialog, struct buffer *out, const char *method, uint32_t cseq);

unsigned sip_dialog_count(const struct worker *worker);

#endif
