/*
 * What the files of a room share, and what the run-time tells it.
 *
 *   room          who is in it, what is told at the end of a turn
 *   room_set      who of them: a bit each
 *   room_message  a message from its first octet until nothing more can come of it
 *   room_chunk    chunks that went out and wait for answers
 *   room_copy     octets to one member
 *   room_stream   a chunk that goes on as it comes
 *   room_receive  what a member sends
 *   room_begin    who gets it, and what the owner says to that
 *   room_report   REPORTs of members, and the one to the sender
 *   room_pace     who is slow, and who waits for that
 *   room_cpim     the From of an anonymous sender
 *
 * Thread: owning worker only.
 */
#ifndef MSRP_ROOM_INTERNAL_H
#define MSRP_ROOM_INTERNAL_H

#include "msrp/endpoint.h"
#include "msrp/room.h"
#include "msrp/room_set.h"

enum {
	ROOM_OPEN_MESSAGES = 16,      /* of one sender, begun and not ended                     */
	ROOM_CHUNKS = 16384,          /* without all their answers, of one room                 */
	ROOM_CHUNKS_SCARCE = 256,     /* the same while most of the worker's names are in use   */
	ROOM_REPORTS = 4096,          /* messages that wait for REPORTs, of one room            */
	ROOM_REPORT_MS = 60 * 1000,   /* design.md 5                                            */
	ROOM_HIGH_MAX = 8,            /* times the bound of a queue, while most of them are long */
};

struct room_chunk;
struct room_stream;

TAILQ_HEAD(room_messages, msrp_room_message);
TAILQ_HEAD(room_chunks, room_chunk);

/* A member. */
struct msrp_seat {
	struct msrp_room *room;
	struct msrp_leg *leg;
	void *arg;
	uint64_t high;
	uint64_t heard_ms;         /* his last answer; 0: none                          */
	size_t seen;               /* is_behind: what was queued when that was looked at */
	struct msrp_held backlog;  /* until he is bound                                 */
	struct room_stream *backlog_stream; /* whose part is open at its end            */
	struct room_messages open; /* his, begun and not ended                          */
	unsigned open_count;
	TAILQ_ENTRY(msrp_seat) todo_link;
	uint32_t slot, unanswered; /* parts that wait for his answer                    */
	bool sends, receives;
	bool is_dropped, is_behind, is_held_back, has_todo;
	bool tell_dropped;
	uint16_t copy_status, concluded_status; /* to be told; 0: nothing is            */
	unsigned sent;             /* messages to be told                               */
	enum reason why;
};

struct msrp_room {
	struct msrp_endpoint *endpoint;
	const struct msrp_room_events *events;
	void *arg;
	const struct msrp_room_tap *tap;
	void *tap_arg;
	struct msrp_seat **seats;  /* by slot, NULL: free                               */
	uint64_t *receiving;       /* a set                                             */
	unsigned slots, slots_size, free_from, count, members_max;
	unsigned receivers, behind; /* that are not dropped                             */
	bool tells_copies, is_held, holds_back, is_telling, is_closed;
	struct room_messages messages; /* all                                           */
	struct room_messages due;  /* that wait for REPORTs, by their end               */
	unsigned due_count;
	struct room_chunks chunks, open_chunks; /* by their end; without end            */
	unsigned chunk_count;
	LIST_HEAD(, room_stream) streams;
	TAILQ_HEAD(, msrp_seat) todo;
	struct worker_task task;
	struct timer silence, reports, pace;
};

struct msrp_room_message {
	struct msrp_room *room;
	struct msrp_seat *from;    /* NULL: he is gone                                  */
	TAILQ_ENTRY(msrp_room_message) link, open_link, due_link;
	struct msrp_room_message *next_of_chain;
	uint64_t hash;
	uint64_t octets;           /* that came, as its sender counts                   */
	uint64_t total;            /* as its chunks say                                 */
	uint64_t due_ms;
	uint64_t head_n;           /* of a CPIM head that was replaced; 0: none was     */
	int64_t shift;             /* how much longer the other is                      */
	unsigned holds;            /* it lives while there are any                      */
	unsigned chunks;           /* without all answers                               */
	unsigned unconfirmed, expected;
	uint16_t status;           /* the first error; 0: none                          */
	enum msrp_failure_report failure_report;
	bool wants_success, is_open, is_aborted, is_due, is_concluded, is_in_chain;
	uint8_t id_n;
	unsigned words;
	uint64_t *targets;         /* who gets what follows of it                       */
	uint64_t *waits;           /* wants_success: who has not confirmed              */
	uint64_t *covered;         /* per slot, octets confirmed from the first on; NULL: nobody confirmed a part */
	uint32_t *parts;           /* tells_copies: per slot, unanswered                */
	char *cpim;                /* a replaced head                                   */
	size_t cpim_n;
	char id[MSRP_MESSAGE_ID_MAX];
	uint64_t memory[];
};

/* What went out to several under one transaction id. */
struct room_chunk {
	struct msrp_transaction *name;
	struct msrp_room_message *message;
	TAILQ_ENTRY(room_chunk) link;
	uint64_t ended_ms;         /* 0: it has not                                     */
	uint32_t unanswered;
	bool is_partial;
	unsigned words;
	uint64_t waits[];          /* who has not answered                              */
};

/* A chunk that is coming in and goes out in parts, each with one id for all. */
struct room_stream {
	struct msrp_connection *c;
	struct msrp_room_message *message;
	struct room_chunk *chunk;  /* of the part that is open; NULL: wants no answer   */
	LIST_ENTRY(room_stream) link;
	uint64_t next, total;      /* number of the first octet not sent, as its sender counts */
	bool is_open;
	bool must_reopen;          /* the part was ended for somebody: all get another id */
	char id[MSRP_ID_CHARS];
	size_t head_n;
	unsigned words;
	uint64_t *opened;          /* who has a part open; behind the head              */
	char head[];
};

/* ---- room ---- */

static inline struct worker *room_worker(const struct msrp_room *room)
{
	return room->endpoint->worker;
}

/* He gets nothing any more; he and the owner hear of it at the end of the turn. */
void room_drop(struct msrp_seat *seat, enum reason why);
void room_todo(struct msrp_seat *seat);

/* ---- room_message ---- */

/* `targets`: a set of room->slots.  Held once, open.  NULL: no memory. */
struct msrp_room_message *room_message_open(struct msrp_seat *from, const struct msrp_head *head, const uint64_t *targets);
struct msrp_room_message *room_message_find_open(const struct msrp_seat *from, uint64_t hash);
/* Its last chunk went out: '$', or '#'. */
void room_message_end(struct msrp_room_message *m, char flag);
/* Its sender cannot go on; those who have a part of it are told. */
void room_message_cut(struct msrp_room_message *m);
void room_message_release(struct msrp_room_message *m);
/* It ended for one of its targets with that error; he gets no more of it. */
void room_message_fail(struct msrp_room_message *m, struct msrp_seat *seat, unsigned status);
/* Not for everybody, whatever comes. */
void room_message_error(struct msrp_room_message *m, unsigned status);
/* Something changed: is its end known? */
void room_message_settle(struct msrp_room_message *m);
/* A copy may be complete. */
void room_message_look_at_copy(struct msrp_room_message *m, struct msrp_seat *seat);
/* He leaves; `is_failure`: not of his own will. */
void room_messages_forget(struct msrp_seat *seat);

/* Where its octets are in what goes out. */
static inline uint64_t room_message_shifted(const struct msrp_room_message *m, uint64_t octet)
{
	return octet == MSRP_RANGE_UNKNOWN || octet <= m->head_n ? octet : octet + (uint64_t)m->shift;
}

/* ---- room_begin ---- */

bool room_is_cpim(const struct msrp_head *head);
/* The message of the chunk that is coming in; `content` is what there is of it.  NULL: refused. */
struct msrp_room_message *room_message_of(struct msrp_connection *c, struct slice kept, struct slice content);

/* ---- room_receive ---- */

/* The chunk that is coming in; its message ends with it for all. */
void room_refuse(struct msrp_connection *c, unsigned status, enum reason why);

/* ---- room_chunk ---- */

/* Also says under which id it goes out.  With Failure-Report: no *chunk is NULL.  ENOMEM: no name is left, or no memory. */
int room_chunk_open(struct room_chunk **chunk, struct msrp_room_message *m, enum msrp_failure_report wish, char id[MSRP_ID_CHARS]);
void room_chunk_waits(struct room_chunk *chunk, struct msrp_seat *seat); /* `chunk` may be NULL, here and below */
void room_chunk_end(struct room_chunk *chunk);
/* He leaves. */
void room_chunks_forget(struct msrp_seat *seat, bool is_failure);
/* Nobody waits for anything. */
void room_chunks_free(struct msrp_room *room);

/* ---- room_copy ---- */

/* Start line, paths, and `tail`, which holds all from the next line on.  A part of `stream` that stays open, or a whole
 * chunk (NULL).  False: he is lost or dropped. */
bool room_copy_chunk(struct msrp_seat *seat, const char id[MSRP_ID_CHARS], struct slice tail, struct room_stream *stream);
/* More of the part that is open. */
bool room_copy_octets(struct msrp_seat *seat, struct slice octets, struct room_stream *stream);
/* Ends it. */
void room_copy_end(struct msrp_seat *seat, struct room_stream *stream, char flag);
/* He is bound: what waited. */
void room_copy_release(struct msrp_seat *seat);
/* Memory for `n` octets of a tail, until the next call; NULL: none. */
char *room_scratch(struct msrp_endpoint *endpoint, size_t n);

/* ---- room_stream ---- */

struct room_stream *room_stream_open(struct msrp_connection *c, struct msrp_room_message *m, struct slice head);
/* The next octets; they stand for `n` of its sender's. False: no part could be made. */
bool room_stream_octets(struct room_stream *s, struct slice octets, size_t n);
/* Of all parts; those that had no part open get one for that, unless '+'. */
void room_stream_end(struct room_stream *s, char flag);
void room_stream_free(struct room_stream *s);
/* He gets no more of that message. */
void room_streams_leave(struct msrp_seat *seat, const struct msrp_room_message *m);

/* ---- room_report ---- */

void room_report_on(struct msrp_seat *seat, const struct msrp_head *head);
void room_report_send(const struct msrp_room_message *m, unsigned status);

/* ---- room_pace ---- */

/* Something was queued to him. */
void room_pace_look(struct msrp_seat *seat);
/* Something came from him: is he to be read on? */
void room_pace_sender(struct msrp_seat *seat);
void room_pace_forget(struct msrp_seat *seat);
void room_pace_go_on(struct msrp_room *room);

/* ---- room_cpim ---- */

/* Octets of the header block with the empty line behind it; 0: that is not there. */
size_t room_cpim_head(struct slice content);
/* Writes the block with another From. */
void room_cpim_write(struct buffer *b, struct slice block, struct slice from);

/* ---- what the run-time calls: leg->seat is set ---- */

void msrp_room_on_head(struct msrp_connection *c, struct msrp_leg *leg, struct slice kept);
void msrp_room_on_body(struct msrp_connection *c, struct slice kept);
void msrp_room_on_end(struct msrp_connection *c, struct slice kept);
/* The chunk that is open on `c` (WAY_ROOM) will not be completed. */
void msrp_room_abort(struct msrp_connection *c);
/* A response to one of ours, which has that name. */
void msrp_room_on_response(struct msrp_connection *c, struct room_chunk *chunk, unsigned status);
/* Ends the part that `writer` has open on `out` with '+'. */
void msrp_room_interrupt(struct msrp_connection *writer, struct msrp_connection *out);
void msrp_room_on_bound(struct msrp_leg *leg);
/* `status` as of msrp_ending_lost(). */
void msrp_room_on_lost(struct msrp_leg *leg, unsigned status);
/* Its queue is short again. */
void msrp_room_on_drained(struct msrp_leg *leg);

#endif
