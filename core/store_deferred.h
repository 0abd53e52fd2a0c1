/*
 * Deferred messages in the store (design.md 6): requests to keep them, hand them out and let them go.  A
 * mailbox is the canonical name of a user; who may deliver a message now is not decided here.
 *
 * Every request is one block from malloc(), made by its store_deferred_..._new() (NULL: no memory), which
 * copies what it is given; it comes home as its own answer and whoever has it may free() it.  Slices of an
 * answer point into it.  Set request.on_answer and request.asker, then store_ask() it (actors/store_actor.h).
 *
 * msg.err besides those of core/store.h:
 *	EDQUOT  the mailbox would have more messages or octets than it may: nothing was stored
 *	ENOENT  no such message, upload or piece
 *	EINVAL  a piece that does not follow the last one, a close that does not fit what came
 *	EFBIG   a piece beyond the size that was announced; header lines beyond STORE_HEAD_ROOM
 *
 * Every request costs the same in a mailbox of 100 000 messages and a store of a million.
 */
#ifndef CORE_STORE_DEFERRED_H
#define CORE_STORE_DEFERRED_H

#include "core/store.h"

enum store_deferred_type { STORE_PAGER, STORE_LARGE };

/* One deferred message. */
struct store_deferred {
	uint64_t position; /* order of becoming visible; given by the store, grows, never reused */
	struct slice id;   /* String of the Message-ID (D2-06), made by the actor: 26 characters */
	enum store_deferred_type type;
	bool is_urgent, is_multimedia;        /* for the counts of D2-27 */
	uint64_t received_us, expires_at_s;   /* since 1970 */
	uint64_t size;                        /* octets of the content */
	struct slice call_id; /* of the sender, for the alias of D2-06; empty: none */
	struct slice head;    /* the pruned SIP request: request line and header lines, each with CRLF */
	struct slice msrp;    /* LARGE: "MSRP <tid> SEND" and the header lines kept, each with CRLF; else empty */
	struct slice summary; /* header lines of D2-27, each with CRLF, without Message-ID */
	struct slice content; /* what of it is in this block: all of it when content.n == size */
};

/* ---- keeping ---- */

#define STORE_PIECE_MAX (64 * 1024)

/*
 * STORE_DEFERRED_PUT: a message with its whole content; visible when committed.
 * STORE_DEFERRED_OPEN: one whose content comes in pieces.  It is invisible and its `size` counts in the
 * quota from here on: the announced size, or the most that will be taken.  What is never closed is gone after
 * the next start.
 */
struct store_deferred_put {
	struct store_request request;
	struct slice mailbox;
	uint64_t quota_messages, quota_octets; /* 0: no limit */
	struct store_deferred message;
	/* ---- written by the store ---- */
	uint64_t upload;  /* OPEN: which.  SHARE: written by the caller */
	/* PUT, SHARE: message.position */
	unsigned expired; /* messages of this mailbox that had to go first, because they had expired */
	char text[];
};

/*
 * STORE_DEFERRED_SHARE: a message whose content is that of `upload`, as far as it has come, which must be message.size
 * octets (EINVAL); visible when committed.  The upload stays, and may be shared again or aborted: content goes with the last
 * that has it.  Its own mailbox is none of a user's.  ENOENT: no such upload.
 *
 * `kind`: one of the three above.  The caller sets the quotas, of SHARE the upload. */
struct store_deferred_put *store_deferred_put_new(enum store_kind kind, struct slice mailbox,
	const struct store_deferred *message);

/* STORE_CONTENT_PUT: the next piece, at most STORE_PIECE_MAX octets; `offset` is what came before it. */
struct store_content_put {
	struct store_request request;
	uint64_t upload, offset;
	struct slice piece;
	char text[];
};

struct store_content_put *store_content_put_new(uint64_t upload, uint64_t offset, struct slice piece);

/*
 * STORE_DEFERRED_CLOSE: the last piece, which may be empty; visible when committed.  The caller sets the rest
 * of what was not known at OPEN.  EINVAL: `size` is not what came with this piece.  After any error the upload
 * is as it was before: ask again, or abort.
 */
struct store_deferred_close {
	struct store_request request;
	uint64_t upload, offset;
	struct slice piece, msrp;
	uint64_t size, received_us, expires_at_s;
	bool is_multimedia;
	/* ---- written by the store ---- */
	uint64_t position;
	char text[];
};

struct store_deferred_close *store_deferred_close_new(uint64_t upload, uint64_t offset, struct slice piece,
	struct slice msrp);

/* STORE_DEFERRED_ABORT: the upload is gone and its quota given back. */
struct store_deferred_abort {
	struct store_request request;
	uint64_t upload;
};

struct store_deferred_abort *store_deferred_abort_new(uint64_t upload);

/* ---- handing out ---- */

#define STORE_NEXT_MAX 16

/*
 * STORE_DEFERRED_NEXT: the oldest visible messages behind `after` that have not expired, at most `most`.
 * They end early when `room` is used up; the first is always there, if need be without content: what is
 * not in the block (content.n < size) is read by CONTENT_GET.  The caller sets after, now_s, most.
 */
struct store_deferred_next {
	struct store_request request;
	struct slice mailbox;
	uint64_t after, now_s;
	unsigned most;
	uint32_t room; /* octets for what messages point to */
	/* ---- written by the store ---- */
	unsigned count;
	bool is_last; /* none behind these */
	struct store_deferred messages[STORE_NEXT_MAX];
	char text[];
};

/* `room`: at least STORE_HEAD_ROOM, which is the most that id, call_id, summary, head and msrp may have together. */
#define STORE_HEAD_ROOM (48 * 1024)
struct store_deferred_next *store_deferred_next_new(struct slice mailbox, uint32_t room);

/* STORE_DEFERRED_FIND: the message of this mailbox whose id is `key`, else the only one whose call_id is.
 * Content as above.  The caller sets now_s. */
struct store_deferred_find {
	struct store_request request;
	struct slice mailbox, key;
	uint64_t now_s;
	uint32_t room;
	/* ---- written by the store ---- */
	struct store_deferred message;
	char text[];
};

struct store_deferred_find *store_deferred_find_new(struct slice mailbox, struct slice key, uint32_t room);

/* STORE_CONTENT_GET: content of a visible message, or with `upload` (not 0, set by the caller) of one that still
 * comes, from `offset` on, as much as one read gives: at least one octet.  ENOENT: there is no such message any more, or
 * nothing at `offset`. */
struct store_content_get {
	struct store_request request;
	uint64_t position, offset;
	uint64_t upload;
	/* ---- written by the store ---- */
	struct slice piece;
	char text[STORE_PIECE_MAX];
};

struct store_content_get *store_content_get_new(uint64_t position, uint64_t offset);

/* ---- letting go ---- */

#define STORE_REMOVE_MAX 64

/* STORE_DEFERRED_REMOVE: these of the mailbox go, with their content; what is gone already does not matter.
 * The caller fills count and positions. */
struct store_deferred_remove {
	struct store_request request;
	struct slice mailbox;
	unsigned count;
	uint64_t positions[STORE_REMOVE_MAX];
	/* ---- written by the store ---- */
	unsigned removed;
	char text[];
};

struct store_deferred_remove *store_deferred_remove_new(struct slice mailbox);

#define STORE_EXPIRE_MAX  500
#define STORE_EXPIRED_BOXES 64

/* STORE_DEFERRED_SWEEP: what expired at `now_s` goes, at most STORE_EXPIRE_MAX messages.  The answer names
 * the mailboxes they were in; a name may come again with the next sweep. */
struct store_deferred_sweep {
	struct store_request request;
	uint64_t now_s;
	/* ---- written by the store ---- */
	bool is_last; /* nothing expired is left */
	unsigned removed, count;
	struct slice mailboxes[STORE_EXPIRED_BOXES];
	char text[STORE_EXPIRED_BOXES * STORE_NAME_MAX];
};

struct store_deferred_sweep *store_deferred_sweep_new(uint64_t now_s);

/* ---- looking ---- */

/* What is visible in a mailbox. */
struct store_deferred_counts {
	uint64_t messages, octets;
	uint64_t text, text_urgent, multimedia, multimedia_urgent; /* urgent ones count in both */
};

#define STORE_SUMMARY_MAX 100

/*
 * STORE_DEFERRED_SUMMARY: the counts and, behind `after`, at most `most` rows in the order of positions; rows
 * end early when `room` is used up; the first is always there, if need be without summary.  What expired of this mailbox goes first, at most STORE_EXPIRE_MAX.
 * An unknown mailbox is an empty one.  The caller sets after, now_s, most (0: the counts alone).
 */
struct store_deferred_summary {
	struct store_request request;
	struct slice mailbox;
	uint64_t after, now_s;
	unsigned most;
	uint32_t room;
	/* ---- written by the store ---- */
	struct store_deferred_counts counts;
	unsigned expired, count;
	bool is_last;
	struct store_deferred_row {
		uint64_t position;
		struct slice id, summary;
		enum store_deferred_type type;
		bool is_urgent, is_multimedia;
		uint64_t size, received_us, expires_at_s;
	} rows[STORE_SUMMARY_MAX];
	char text[];
};

struct store_deferred_summary *store_deferred_summary_new(struct slice mailbox, uint32_t room);

/* ---- all of the store ---- */

/* What is visible in all mailboxes, committed.  The store's thread. */
void store_deferred_totals(const struct store *store, uint64_t *messages, uint64_t *octets);
/* Messages that expired since it was asked last.  The store's thread. */
uint64_t store_deferred_take_expired(struct store *store);

#endif
