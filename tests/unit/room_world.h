/*
 * A room on worker 0 and clients that are plain sockets.  Included by the tests of msrp/room*.
 */
#ifndef TESTS_UNIT_ROOM_WORLD_H
#define TESTS_UNIT_ROOM_WORLD_H

#include "msrp/room.h"
#include "tests/unit/msrp_world.h"

#define MEMBERS_MAX 8

struct member {
	struct side *side;
	struct client *client;
	unsigned dropped, sent, copies, concluded, copy_status, concluded_status;
	enum reason why;
};

struct hall {
	struct world w;
	struct msrp_room *room;
	struct member members[MEMBERS_MAX];
	unsigned count;
	/* what the owner says */
	unsigned refuse, nickname_status;
	struct member *only;
	const char *cpim_from;
	char nickname[64];
	/* what he heard of the message that began last */
	char content[4096];
	bool has_cpim_head;
	bool keeps_dropped;
};

static inline void on_dropped(struct msrp_room *room, struct msrp_leg *leg, enum reason why, void *member_arg, void *arg)
{
	struct member *member = member_arg;
	struct hall *h = arg;

	assert_ptr_equal(room, h->room);
	assert_ptr_equal(leg, member->side->leg);
	member->dropped++;
	member->why = why;
	if (!h->keeps_dropped) {
		msrp_leg_close(leg);
		member->side->leg = NULL;
	}
}

static inline void on_message(struct msrp_room *room, const struct msrp_room_begin *begin, struct msrp_room_verdict *verdict, void *arg)
{
	struct hall *h = arg;

	snprintf(h->content, sizeof(h->content), "%.*s", SLICE_ARG(begin->content));
	h->has_cpim_head = begin->has_cpim_head;
	verdict->status = h->refuse;
	if (h->only) {
		verdict->is_private = true;
		verdict->only = &h->only->side->leg;
		verdict->only_count = 1;
	}
	if (h->cpim_from)
		verdict->cpim_from = slice_str(h->cpim_from);
}

static inline unsigned on_nickname(struct msrp_room *room, struct msrp_leg *leg, struct slice nickname, void *member_arg, void *arg)
{
	struct hall *h = arg;

	snprintf(h->nickname, sizeof(h->nickname), "%.*s", SLICE_ARG(nickname));
	return h->nickname_status;
}

static inline void on_sent(struct msrp_room *room, struct msrp_leg *leg, void *member_arg, void *arg)
{
	((struct member *)member_arg)->sent++;
}

static inline void on_copy(struct msrp_room *room, struct msrp_leg *leg, unsigned status, void *member_arg, void *arg)
{
	struct member *member = member_arg;

	member->copies++;
	member->copy_status = status;
}

static inline void on_concluded(struct msrp_room *room, struct msrp_leg *leg, unsigned status, void *member_arg, void *arg)
{
	struct member *member = member_arg;

	member->concluded++;
	member->concluded_status = status;
}

static const struct msrp_room_events room_events = {
	.on_dropped = on_dropped,
	.on_message = on_message,
	.on_nickname = on_nickname,
	.on_sent = on_sent,
	.on_copy = on_copy,
	.on_concluded = on_concluded,
};

/* ---- beginning ---- */

static inline struct member *open_member(struct hall *h)
{
	struct member *member = &h->members[h->count++];
	char path[64];

	snprintf(path, sizeof(path), "msrp://m%u.example:7654/s%u;tcp", h->count, h->count);
	*member = (struct member){ .side = side_open(&h->w, 0, path) };
	assert_int_equal(msrp_room_add(h->room, member->side->leg,
				 &(struct msrp_room_member){ .sends = true, .receives = true, .arg = member }),
			 0);
	return member;
}

static inline void bind_member(struct hall *h, struct member *member)
{
	member->client = client_open(&h->w, 0);
	bind_side(&h->w, member->client, member->side);
	WAIT_FOR(&h->w, member->side->bound);
}

/* Between these two the options may change. */
static inline void prepare(struct hall *h, unsigned workers)
{
	memset(h, 0, sizeof(*h));
	world_init(&h->w, workers);
}

static inline void start(struct hall *h, unsigned members)
{
	world_start(&h->w);
	assert_int_equal(msrp_room_open(&h->room, &h->w.workers[0],
				 &(struct msrp_room_options){ .members_max = MEMBERS_MAX, .tells_copies = true }, &room_events, h),
			 0);
	for (unsigned i = 0; i < members; i++)
		bind_member(h, open_member(h));
}

static inline void begin(struct hall *h, unsigned members)
{
	prepare(h, 1);
	start(h, members);
}

static inline void end(struct hall *h)
{
	msrp_room_close(h->room);
	world_end(&h->w);
}

static inline void answer(struct member *member, const char *id, const char *status)
{
	client_send(member->client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id, status, PATHS(member->side), id);
}

static inline void send_text(struct member *from, const char *headers, const char *body)
{
	client_send(from->client, HEAD("text1234", "SEND") "%sByte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n\r\n"
		"%s\r\n-------text1234$\r\n", PATHS(from->side), headers, strlen(body), strlen(body), body);
}

static inline void expect_text(struct hall *h, struct member *to, const char *headers, const char *body, struct chunk *chunk)
{
	char head[1024];

	expect_chunk(&h->w, to->client, "SEND", chunk);
	snprintf(head, sizeof(head), "To-Path: %s\r\nFrom-Path: %s\r\n%sByte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n",
		 to->side->path, to->side->uri, headers, strlen(body), strlen(body));
	assert_string_equal(chunk->head, head);
	assert_int_equal(chunk->n, strlen(body));
	assert_memory_equal(chunk->body, body, chunk->n);
	assert_int_equal(chunk->flag, '$');
}

static inline bool is_quiet(struct hall *h)
{
	for (unsigned i = 0; i < h->count; i++) {
		if (h->members[i].side->leg && !msrp_room_is_quiet(h->room, h->members[i].side->leg))
			return false;
	}
	return pool_used(&((struct msrp_endpoint *)h->w.workers[0].msrp)->transactions) == 0;
}

/* The same of a chunk, to the letter; it is answered 200. */
static inline void expect_whole(struct hall *h, struct member *to, const char *range, const char *body, size_t n, char flag)
{
	struct chunk chunk;

	expect_chunk(&h->w, to->client, "SEND", &chunk);
	assert_string_equal(chunk.range, range);
	assert_int_equal(chunk.n, n);
	assert_memory_equal(chunk.body, body, n);
	assert_int_equal(chunk.flag, flag);
	answer(to, chunk.id, "200 OK");
}

/* All parts of a message until its end: their content.  Returns the number of parts. */
static inline unsigned collect(struct hall *h, struct member *to, char *content, size_t size, size_t *n, char *flag)
{
	struct chunk chunk;
	unsigned parts = 0;

	*n = 0;
	do {
		expect_chunk(&h->w, to->client, "SEND", &chunk);
		if (!parts)
			assert_int_equal(chunk.start, 1);
		assert_int_equal(chunk.start, *n + 1);
		assert_true(chunk.n <= size - *n);
		memcpy(content + *n, chunk.body, chunk.n);
		*n += chunk.n;
		parts++;
		answer(to, chunk.id, "200 OK");
	} while (chunk.flag == '+');
	*flag = chunk.flag;
	return parts;
}

static inline char *make_content(size_t n)
{
	char *p = malloc(n + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++)
		p[i] = i % 61 == 60 ? '\n' : i % 7 == 6 ? '-' : (char)('a' + i * 31 % 26);
	p[n] = 0;
	return p;
}

/* A chunk with that range, its end-line only with a flag. */
static inline void send_part(struct member *from, const char *id, const char *message, const char *range, const char *p, size_t n,
	char flag)
{
	client_send(from->client, HEAD("%s", "SEND") "Message-ID: %s\r\nByte-Range: %s\r\nContent-Type: text/plain\r\n\r\n",
		id, PATHS(from->side), message, range);
	client_send_n(from->client, p, n);
	if (flag)
		client_send(from->client, "\r\n-------%s%c\r\n", id, flag);
}

#endif
