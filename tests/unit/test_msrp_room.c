/*
 * Members of a room (msrp/room.h) and what each of them gets of what another one sends.
 */
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

static void on_dropped(struct msrp_room *room, struct msrp_leg *leg, enum reason why, void *member_arg, void *arg)
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

static void on_message(struct msrp_room *room, const struct msrp_room_begin *begin, struct msrp_room_verdict *verdict, void *arg)
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

static unsigned on_nickname(struct msrp_room *room, struct msrp_leg *leg, struct slice nickname, void *member_arg, void *arg)
{
	struct hall *h = arg;

	snprintf(h->nickname, sizeof(h->nickname), "%.*s", SLICE_ARG(nickname));
	return h->nickname_status;
}

static void on_sent(struct msrp_room *room, struct msrp_leg *leg, void *member_arg, void *arg)
{
	((struct member *)member_arg)->sent++;
}

static void on_copy(struct msrp_room *room, struct msrp_leg *leg, unsigned status, void *member_arg, void *arg)
{
	struct member *member = member_arg;

	member->copies++;
	member->copy_status = status;
}

static void on_concluded(struct msrp_room *room, struct msrp_leg *leg, unsigned status, void *member_arg, void *arg)
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

static struct member *open_member(struct hall *h)
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

static void bind_member(struct hall *h, struct member *member)
{
	member->client = client_open(&h->w, 0);
	bind_side(&h->w, member->client, member->side);
	WAIT_FOR(&h->w, member->side->bound);
}

static void begin(struct hall *h, unsigned members)
{
	memset(h, 0, sizeof(*h));
	world_init(&h->w, 1);
	world_start(&h->w);
	assert_int_equal(msrp_room_open(&h->room, &h->w.workers[0],
				 &(struct msrp_room_options){ .members_max = MEMBERS_MAX, .tells_copies = true }, &room_events, h),
			 0);
	for (unsigned i = 0; i < members; i++)
		bind_member(h, open_member(h));
}

static void end(struct hall *h)
{
	msrp_room_close(h->room);
	world_end(&h->w);
}

static void answer(struct member *member, const char *id, const char *status)
{
	client_send(member->client, "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n-------%s$\r\n", id, status, PATHS(member->side), id);
}

static void send_text(struct member *from, const char *headers, const char *body)
{
	client_send(from->client, HEAD("text1234", "SEND") "%sByte-Range: 1-%zu/%zu\r\nContent-Type: text/plain\r\n\r\n"
		"%s\r\n-------text1234$\r\n", PATHS(from->side), headers, strlen(body), strlen(body), body);
}

static void expect_text(struct hall *h, struct member *to, const char *headers, const char *body, struct chunk *chunk)
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

static bool is_quiet(struct hall *h)
{
	for (unsigned i = 0; i < h->count; i++) {
		if (h->members[i].side->leg && !msrp_room_is_quiet(h->room, h->members[i].side->leg))
			return false;
	}
	return pool_used(&((struct msrp_endpoint *)h->w.workers[0].msrp)->transactions) == 0;
}

/* ---- messages ---- */

static void to_all_others(void **state)
{
	struct hall h;
	struct chunk copies[3];

	begin(&h, 4);
	send_text(&h.members[1], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello");
	expect_answer(&h.w, h.members[1].client, h.members[1].side, "text1234", "200 OK");
	expect_text(&h, &h.members[0], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[0]);
	expect_text(&h, &h.members[2], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[1]);
	expect_text(&h, &h.members[3], "Message-ID: m1\r\nX-Thing: kept \r\n", "hello", &copies[2]);
	assert_string_equal(copies[0].id, copies[1].id);
	assert_string_equal(copies[0].id, copies[2].id);
	assert_false(msrp_room_is_quiet(h.room, h.members[0].side->leg));
	answer(&h.members[0], copies[0].id, "200 OK");
	answer(&h.members[2], copies[0].id, "200 OK");
	expect_nothing(&h.w, h.members[1].client);
	assert_int_equal(h.members[1].concluded, 0);
	answer(&h.members[3], copies[0].id, "200 OK");
	WAIT_FOR(&h.w, is_quiet(&h));
	WAIT_FOR(&h.w, h.members[1].concluded == 1 && h.members[3].copies == 1);
	assert_int_equal(h.members[1].concluded_status, 200);
	assert_int_equal(h.members[1].sent, 1);
	assert_int_equal(h.members[3].copy_status, 200);
	answer(&h.members[3], copies[0].id, "200 OK"); /* once more: to nothing */
	WAIT_FOR(&h.w, COUNTED(&h.w, msrp_stray_responses) == 1);
	assert_int_equal(COUNTED(&h.w, msrp_room_copies), 3);
	assert_int_equal(COUNTED(&h.w, msrp_chunks), 1);
	end(&h);
}

/* ---- running ---- */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(to_all_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
