/* Dialogs: how requests of either side find them, and what ours are written from (RFC 3261 12). */
#include "tests/unit/sip_world.h"

static struct world world;
static struct sip_dialog *dialog;
static struct {
	unsigned requests;
	enum sip_method method;
} told;

static void on_request(struct sip_dialog *which, struct sip_server *server,
		       const struct sip_message *m, void *owner)
{
	assert_ptr_equal(which, dialog);
	assert_ptr_equal(owner, &told);
	told.requests++;
	told.method = m->method;
	(void)sip_dialog_refresh_target(which, m); /* without memory the old one stays */
	respond(server, 200);
}

static const struct sip_dialog_events dialog_events = { on_request };

static struct sip_message parse(const char *text)
{
	struct sip_limits limits = { 16384, 65536, 0 };
	struct sip_message m;
	size_t used;

	assert_int_equal(sip_message_parse(&m, slice_str(text), &limits, SIP_DATAGRAM, &used),
			 SIP_PARSE_OK);
	return m;
}

static const char *written(const char *method, uint32_t cseq)
{
	static char text[8192];
	struct buffer out = buffer_over(text, sizeof(text) - 1);

	sip_dialog_write(dialog, &out, method, cseq);
	assert_false(out.overflow);
	text[out.n] = 0;
	return text;
}

static void start(void)
{
	memset(&told, 0, sizeof(told));
	world_init(&world, 1);
	world.use_dialogs = true;
	world.answer = 481;
	world_start(&world);
}

static char local_tag[MINTED_CHARS + 1];

static struct sip_dialog_start start_of(void)
{
	minted_make(&world.workers[0], local_tag);
	return (struct sip_dialog_start){ .call_id = SLICE("call"),
					  .local = SLICE("\"Us\" <sip:us@example.com>"),
					  .remote = SLICE("<sip:bob@example.net>"),
					  .local_tag = slice_of(local_tag, MINTED_CHARS),
					  .events = &dialog_events,
					  .owner = &told };
}

#define INVITE(contact, routes)                                                       \
	"INVITE sip:us@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\n" \
	"From: \"Bob, B.\" <sip:bob@example.net>;x=1;tag=theirs;y\r\nTo: "            \
	"sip:us@example.com;z=2\r\nCall-ID: call\r\n"                                 \
	"CSeq: 10 INVITE\r\n" contact routes "Content-Length: 0\r\n\r\n"

static void open_server(const char *invite)
{
	struct sip_dialog_start start = start_of();
	struct sip_message m = parse(invite);

	assert_int_equal(sip_dialog_open_server(&dialog, &world.workers[0], &m, &start), 0);
}

/* RFC 3261 12.1.1, 12.2.1.1: the server's route set is in order. */
static void test_server_dialog_writes(void **state)
{
	char want[1024];

	start();
	open_server(
		INVITE("Contact: \"B\" <sip:bob@10.0.0.1;transport=tcp>;q=1\r\n",
		       "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nRecord-Route: <sip:p3;lr>\r\n"));
	snprintf(want, sizeof(want),
		 "Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p3;lr>\r\nMax-Forwards: "
		 "70\r\n"
		 "From: <sip:us@example.com>;z=2;tag=%.36s\r\nTo: \"Bob, B.\" "
		 "<sip:bob@example.net>;x=1;y;tag=theirs\r\n"
		 "Call-ID: call\r\nCSeq: 1 BYE\r\n",
		 local_tag);
	/* RFC 3261 20.10: parameters of an address without <> are the header's */
	assert_string_equal(written("BYE", 0), want);
	assert_true(slice_eq(sip_dialog_target(dialog), SLICE("sip:bob@10.0.0.1;transport=tcp")));
	assert_non_null(strstr(written("INFO", 0), "CSeq: 2 INFO\r\n"));
	assert_non_null(strstr(written("ACK", 1), "CSeq: 1 ACK\r\n"));
	assert_non_null(strstr(written("INFO", 0), "CSeq: 3 INFO\r\n"));
	sip_dialog_close(dialog);
	world_end(&world);
}

/* 12.1.2: the client's is reversed. */
static void test_client_dialog_writes(void **state)
{
	start();
	struct sip_dialog_start begin = start_of();
	assert_int_equal(sip_dialog_open_client(&dialog, &world.workers[0], &begin), 0);
	char want[1024];
	snprintf(want, sizeof(want),
		 "Max-Forwards: 70\r\nFrom: \"Us\" <sip:us@example.com>;tag=%.36s\r\n"
		 "To: <sip:bob@example.net>\r\nCall-ID: call\r\nCSeq: 1 INVITE\r\n",
		 local_tag);
	assert_string_equal(written("INVITE", 0), want);
	struct sip_message ok = parse(
		"SIP/2.0 200 OK\r\nTo: <sip:bob@example.net>;tag=t\r\nContact: "
		"<sip:bob@10.0.0.1>\r\n"
		"Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>, <sip:p3;lr>\r\n\r\n");
	assert_int_equal(sip_dialog_confirm(dialog, &ok), 0);
	snprintf(want, sizeof(want),
		 "Route: <sip:p3;lr>\r\nRoute: <sip:p2;lr>\r\nRoute: <sip:p1;lr>\r\nMax-Forwards: "
		 "70\r\n"
		 "From: \"Us\" <sip:us@example.com>;tag=%.36s\r\nTo: "
		 "<sip:bob@example.net>;tag=t\r\nCall-ID: call\r\n"
		 "CSeq: 2 BYE\r\n",
		 local_tag);
	assert_string_equal(written("BYE", 0), want);
	/* another 2xx: another tag, target and route set */
	ok = parse("SIP/2.0 200 OK\r\nTo: <sip:bob@example.net>;tag=u\r\nContact: "
		   "<sip:bob@10.0.0.2>\r\n\r\n");
	assert_int_equal(sip_dialog_confirm(dialog, &ok), 0);
	assert_true(slice_eq(sip_dialog_target(dialog), SLICE("sip:bob@10.0.0.2")));
	assert_null(strstr(written("BYE", 0), "Route"));
	assert_non_null(strstr(written("BYE", 0), ";tag=u\r\n"));
	sip_dialog_close(dialog);
	world_end(&world);
}

/* 12.2.1.1: a first route without lr is a strict router's: the Request-URI, and the target goes last. */
static void test_strict_router(void **state)
{
	struct sip_message update;

	start();
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", "Record-Route: <sip:p1;x>, <sip:p2;lr>\r\n"));
	assert_true(slice_eq(sip_dialog_uri(dialog), SLICE("sip:p1;x")));
	assert_int_equal(strncmp(written("BYE", 0), "Route: <sip:p2;lr>\r\nRoute: <sip:bob@10.0.0.1>\r\nMax", 50), 0);
	update = parse("UPDATE sip:x SIP/2.0\r\nContact: <sip:bob@10.0.0.2>\r\n\r\n");
	assert_int_equal(sip_dialog_refresh_target(dialog, &update), 0); /* the route set stays */
	assert_true(slice_eq(sip_dialog_uri(dialog), SLICE("sip:p1;x")));
	assert_int_equal(strncmp(written("BYE", 0), "Route: <sip:p2;lr>\r\nRoute: <sip:bob@10.0.0.2>\r\nMax", 50), 0);
	sip_dialog_close(dialog);
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", "Record-Route: <sip:p1>\r\n"));
	assert_int_equal(strncmp(written("BYE", 0), "Route: <sip:bob@10.0.0.1>\r\nMax", 30), 0);
	sip_dialog_close(dialog);
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", "Record-Route: <sip:p1;lr=on>, <sip:p2>\r\n"));
	assert_true(slice_eq(sip_dialog_uri(dialog), SLICE("sip:bob@10.0.0.1")));
	sip_dialog_close(dialog);
	world_end(&world);
}

static void test_what_makes_no_dialog(void **state)
{
	static const char *const answers[] = { "Contact: <sip:b@c>\r\n", "To: <sip:b@c>;tag=t\r\n",
					       "To: <sip:b@c>;tag=t\r\nContact: *\r\n",
					       "To: <sip:b@c>;tag=t\r\nContact: <sip:b@c\r\n" };
	static char text[16000], routes[12000];
	struct sip_dialog *none = NULL;

	start();
	struct sip_dialog_start begin = start_of();
	static const char *const invites[] = { INVITE("", ""), INVITE("Contact: *\r\n", "") };
	for (size_t i = 0; i < 2; i++) {
		struct sip_message m = parse(invites[i]);
		assert_int_equal(sip_dialog_open_server(&none, &world.workers[0], &m, &begin),
				 EINVAL);
		assert_null(none);
	}
	for (unsigned count = 32; count <= 33;
	     count++) { /* as many routes as are kept, and one more */
		size_t n = 0;
		for (unsigned i = 0; i < count; i++)
			n += (size_t)snprintf(routes + n, sizeof(routes) - n,
					      "Record-Route: <sip:p%u;lr>\r\n", i);
		snprintf(text, sizeof(text), INVITE("Contact: <sip:b@c>\r\n", "%s"), routes);
		struct sip_message m = parse(text);
		assert_int_equal(sip_dialog_open_server(&dialog, &world.workers[0], &m, &begin),
				 count == 32 ? 0 : EINVAL);
		if (count == 32)
			sip_dialog_close(dialog);
	}
	memset(routes, 'p', 3000);
	snprintf(routes + 3000, 16, ";lr>");
	snprintf(text, sizeof(text), INVITE("Contact: <sip:b@c>\r\n", "Record-Route: <sip:%s\r\n"),
		 routes);
	struct sip_message too_long = parse(text);
	assert_int_equal(sip_dialog_open_server(&none, &world.workers[0], &too_long, &begin),
			 EINVAL);
	assert_int_equal(sip_dialog_count(&world.workers[0]), 0);

	assert_int_equal(sip_dialog_open_client(&dialog, &world.workers[0], &begin), 0);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		snprintf(text, sizeof(text), "SIP/2.0 200 OK\r\n%s\r\n", answers[i]);
		struct sip_message m = parse(text);
		CHECK(sip_dialog_confirm(dialog, &m) == EINVAL, "%s\n", answers[i]);
	}
	assert_false(dialog->is_confirmed);
	sip_dialog_close(dialog);
	world_end(&world);
}

/* ---- requests in a dialog ---- */

static void ask(struct peer *peer, const char *method, const char *to_tag, const char *from_tag,
		const char *call_id, unsigned cseq)
{
	char to[128], from[128];

	snprintf(to, sizeof(to), "<sip:us@example.com>;tag=%s", to_tag);
	snprintf(from, sizeof(from), "<sip:bob@example.net>%s%s", from_tag ? ";tag=" : "",
		 from_tag ? from_tag : "");
	send_request(&world, peer, 0,
		     (struct request){ .method = method,
				       .branch = new_branch(),
				       .to = to,
				       .from = from,
				       .call_id = call_id,
				       .cseq = cseq });
}

static void test_requests_find_their_dialog(void **state)
{
	start();
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", ""));
	struct peer *peer = peer_udp(&world);
	ask(peer, "INFO", local_tag, "theirs", "call", 11);
	expect(&world, peer, "SIP/2.0 200");
	assert_int_equal(told.requests, 1);
	assert_int_equal(told.method, SIP_INFO);
	ask(peer, "INFO", local_tag, "Theirs", "call", 12);
	expect(&world, peer, "SIP/2.0 481");
	ask(peer, "INFO", local_tag, NULL, "call", 12);
	expect(&world, peer, "SIP/2.0 481");
	ask(peer, "INFO", local_tag, "theirs", "Call", 12);
	expect(&world, peer, "SIP/2.0 481");
	ask(peer, "INFO", "another", "theirs", "call", 12);
	expect(&world, peer, "SIP/2.0 481");
	assert_int_equal(told.requests, 1);
	/* RFC 3261 12.2.2: a lower number is 500, a gap is none of our business */
	ask(peer, "INFO", local_tag, "theirs", "call", 10);
	expect(&world, peer, "SIP/2.0 500");
	ask(peer, "BYE", local_tag, "theirs", "call", 11);
	expect(&world, peer, "SIP/2.0 500");
	assert_int_equal(refused(&world, REASON_CSEQ), 2);
	ask(peer, "BYE", local_tag, "theirs", "call", 2147483647);
	expect(&world, peer, "SIP/2.0 200");
	assert_int_equal(told.requests, 2);
	sip_dialog_close(dialog);
	ask(peer, "BYE", local_tag, "theirs", "call", 2147483647);
	expect(&world, peer, "SIP/2.0 481");
	world_end(&world);
}

static unsigned taken;

static bool take_subscribe(struct sip_dialog_usage *usage, struct sip_server *server, const struct sip_message *m)
{
	if (m->method != SIP_SUBSCRIBE)
		return false;
	taken++;
	if (taken == 3) /* it ends, and the dialog with it */
		sip_dialog_leave(dialog, usage);
	respond(server, 202);
	return true;
}

/* RFC 5057: what goes on beside the owner is asked first, and keeps the dialog when he has gone. */
static void test_usages_outlive_the_owner(void **state)
{
	struct sip_dialog_usage other = { .on_request = take_subscribe }, usage = { .on_request = take_subscribe };

	start();
	taken = 0;
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", ""));
	struct peer *peer = peer_udp(&world);
	sip_dialog_join(dialog, &usage);
	sip_dialog_join(dialog, &other);
	ask(peer, "INFO", local_tag, "theirs", "call", 11);
	expect(&world, peer, "SIP/2.0 200");
	ask(peer, "SUBSCRIBE", local_tag, "theirs", "call", 12);
	expect(&world, peer, "SIP/2.0 202");
	assert_int_equal(told.requests, 1);
	sip_dialog_leave(dialog, &other);
	sip_dialog_close(dialog);
	assert_int_equal(sip_dialog_count(&world.workers[0]), 1);
	ask(peer, "INFO", local_tag, "theirs", "call", 13);
	expect(&world, peer, "SIP/2.0 481");
	ask(peer, "SUBSCRIBE", local_tag, "theirs", "call", 14);
	expect(&world, peer, "SIP/2.0 202");
	ask(peer, "SUBSCRIBE", local_tag, "theirs", "call", 15);
	expect(&world, peer, "SIP/2.0 202");
	assert_int_equal(sip_dialog_count(&world.workers[0]), 0);
	ask(peer, "SUBSCRIBE", local_tag, "theirs", "call", 16);
	expect(&world, peer, "SIP/2.0 481");
	assert_int_equal(taken, 3);
	assert_int_equal(told.requests, 1);
	/* nor does the order matter */
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", ""));
	sip_dialog_join(dialog, &usage);
	sip_dialog_leave(dialog, &usage);
	assert_int_equal(sip_dialog_count(&world.workers[0]), 1);
	sip_dialog_close(dialog);
	assert_int_equal(sip_dialog_count(&world.workers[0]), 0);
	world_end(&world);
}

/* A peer of RFC 2543 has no tag: null is a tag (RFC 3261 12.1.1). */
static void test_a_peer_without_tag(void **state)
{
	start();
	open_server("INVITE sip:us@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: "
		    "<sip:bob@example.net>\r\n"
		    "To: <sip:us@example.com>\r\nCall-ID: call\r\nCSeq: 10 INVITE\r\nContact: "
		    "<sip:bob@b>\r\n\r\n");
	struct peer *peer = peer_udp(&world);
	ask(peer, "BYE", local_tag, NULL, "call", 11);
	expect(&world, peer, "SIP/2.0 200");
	assert_non_null(strstr(written("BYE", 0), "\r\nTo: <sip:bob@example.net>\r\n"));
	sip_dialog_close(dialog);
	world_end(&world);
}

/* A 2xx that lacks what a dialog needs: its ACK and BYE go where the request went (RFC 3261 13.2.2.4). */
static void test_an_answer_that_is_not_whole(void **state)
{
	static const struct { const char *answer, *target, *to; } cases[] = {
		{ "SIP/2.0 200 OK\r\nTo: <sip:bob@example.net>;tag=t\r\nRecord-Route: <sip:p;lr>\r\n\r\n",
		  "sip:bob@there", "To: <sip:bob@example.net>;tag=t\r\n" },
		{ "SIP/2.0 200 OK\r\nTo: <sip:bob@example.net>\r\nContact: <sip:b@c>\r\n\r\n",
		  "sip:b@c", "To: <sip:bob@example.net>\r\n" },
	};

	start();
	for (unsigned i = 0; i < 2; i++) {
		struct sip_dialog_start begin = start_of();
		struct sip_message ok = parse(cases[i].answer);
		assert_int_equal(sip_dialog_open_client(&dialog, &world.workers[0], &begin), 0);
		assert_int_equal(sip_dialog_confirm(dialog, &ok), EINVAL);
		assert_int_equal(sip_dialog_confirm_anyhow(dialog, &ok, SLICE("sip:bob@there")), 0);
		assert_true(slice_eq(sip_dialog_target(dialog), slice_str(cases[i].target)));
		expect_text(written("BYE", 0), cases[i].to);
		if (i == 0)
			expect_text(written("BYE", 0), "Route: <sip:p;lr>\r\n");
		sip_dialog_close(dialog);
	}
	world_end(&world);
}

/* What every request of ours in the dialog repeats is bounded (RFC 3261 21.5.7: 513). */
static void test_names_that_are_too_long(void **state)
{
	static const struct { size_t from, to, id, tag; int want; } cases[] = {
		{ 900, 900, 1024, 1024, 0 }, { 1100, 1, 1, 1, EMSGSIZE }, { 1, 1100, 1, 1, EMSGSIZE },
		{ 1, 1, 1025, 1, EMSGSIZE }, { 1, 1, 1, 1025, EMSGSIZE },
	};
	static char text[8192], x[2048];

	memset(x, 'x', sizeof(x));
	start();
	for (unsigned i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "INVITE sip:us@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: \"%.*s\" "
			"<sip:bob@b>;tag=%.*s\r\nTo: \"%.*s\" <sip:us@example.com>\r\nCall-ID: %.*s\r\nCSeq: 10 INVITE\r\n"
			"Contact: <sip:bob@b>\r\n\r\n", (int)cases[i].from, x, (int)cases[i].tag, x, (int)cases[i].to, x,
			(int)cases[i].id, x);
		struct sip_dialog_start begin = start_of();
		struct sip_message m = parse(text);
		assert_int_equal(sip_dialog_open_server(&dialog, &world.workers[0], &m, &begin), cases[i].want);
		if (cases[i].want)
			continue;
		(void)written("BYE", 0); /* it fits */
		sip_dialog_close(dialog);
	}
	world_end(&world);
}

/* What is not confirmed yet belongs to nobody. */
static void test_early_requests_find_nothing(void **state)
{
	start();
	struct sip_dialog_start begin = start_of();
	assert_int_equal(sip_dialog_open_client(&dialog, &world.workers[0], &begin), 0);
	struct peer *peer = peer_udp(&world);
	ask(peer, "BYE", local_tag, NULL, "call", 1);
	expect(&world, peer, "SIP/2.0 481");
	struct sip_message ok = parse(
		"SIP/2.0 200 OK\r\nTo: <sip:bob@example.net>;tag=t\r\nContact: <sip:b@c>\r\n\r\n");
	assert_int_equal(sip_dialog_confirm(dialog, &ok), 0);
	ask(peer, "BYE", local_tag, NULL, "call", 1);
	expect(&world, peer, "SIP/2.0 481");
	ask(peer, "BYE", local_tag, "t", "call", 1); /* whatever number the peer begins with */
	expect(&world, peer, "SIP/2.0 200");
	sip_dialog_close(dialog);
	world_end(&world);
}

static void test_target_refresh(void **state)
{
	start();
	open_server(INVITE("Contact: <sip:bob@10.0.0.1>\r\n", "Record-Route: <sip:p1;lr>\r\n"));
	for (unsigned i = 0; i < 3; i++) {
		char text[256], target[64];
		snprintf(target, sizeof(target), "sip:bob@10.0.0.%u", i / 2 + 7);
		snprintf(text, sizeof(text),
			 "UPDATE sip:x SIP/2.0\r\nContact: <%s>\r\nRecord-Route: "
			 "<sip:other;lr>\r\n\r\n",
			 target);
		struct sip_message m = parse(text);
		assert_int_equal(sip_dialog_refresh_target(dialog, &m), 0);
		assert_true(slice_eq(sip_dialog_target(dialog), slice_str(target)));
	}
	static const char *const useless[] = { "UPDATE sip:x SIP/2.0\r\n\r\n",
					       "UPDATE sip:x SIP/2.0\r\nContact: *\r\n\r\n",
					       "UPDATE sip:x SIP/2.0\r\nContact: <what>\r\n\r\n" };
	for (unsigned i = 0; i < 3; i++) {
		struct sip_message m = parse(useless[i]);
		assert_int_equal(sip_dialog_refresh_target(dialog, &m), 0);
		assert_true(slice_eq(sip_dialog_target(dialog), SLICE("sip:bob@10.0.0.8")));
	}
	/* the route set stays (RFC 3261 12.2) */
	assert_int_equal(strncmp(written("BYE", 0), "Route: <sip:p1;lr>\r\nMax", 23), 0);
	assert_true(slice_eq(sip_dialog_remote_tag(dialog), SLICE("theirs")));
	sip_dialog_close(dialog);
	world_end(&world);
}

/* Nothing of a peer's text becomes a line of ours. */
static void test_folds_become_blanks(void **state)
{
	start();
	open_server("INVITE sip:us@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: \"Bob\r\n "
		    "Evil: x\" <sip:bob@b>;tag=t\r\n"
		    "To: <sip:us@example.com>\r\nCall-ID: call\r\nCSeq: 10 INVITE\r\nContact: "
		    "<sip:bob@b>\r\n"
		    "Record-Route: <sip:p;lr>;x=\"a\r\n Evil: y\"\r\n\r\n");
	const char *text = written("BYE", 0);
	assert_null(strstr(text, "\nEvil"));
	assert_null(strstr(text, "\n "));
	expect_text(text, "To: \"Bob Evil: x\" <sip:bob@b>;tag=t\r\n");
	expect_text(text, "Route: <sip:p;lr>;x=\"a Evil: y\"\r\n");
	sip_dialog_close(dialog);
	world_end(&world);
}

static void test_dialogs_are_bounded(void **state)
{
	static struct sip_dialog *all[64];

	start();
	for (unsigned i = 0; i < 64; i++) {
		struct sip_dialog_start begin = start_of();
		assert_int_equal(sip_dialog_open_client(&all[i], &world.workers[0], &begin), 0);
	}
	struct sip_dialog_start begin = start_of();
	assert_int_equal(sip_dialog_open_client(&dialog, &world.workers[0], &begin), ENOMEM);
	assert_int_equal(sip_dialog_count(&world.workers[0]), 64);
	for (unsigned i = 0; i < 64; i++)
		sip_dialog_close(all[i]);
	assert_int_equal(world.workers[0].counters.pools[POOL_dialogs], 0);
	world_end(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_dialog_writes),
		cmocka_unit_test(test_client_dialog_writes),
		cmocka_unit_test(test_strict_router),
		cmocka_unit_test(test_what_makes_no_dialog),
		cmocka_unit_test(test_requests_find_their_dialog),
		cmocka_unit_test(test_usages_outlive_the_owner),
		cmocka_unit_test(test_a_peer_without_tag),
		cmocka_unit_test(test_an_answer_that_is_not_whole),
		cmocka_unit_test(test_names_that_are_too_long),
		cmocka_unit_test(test_early_requests_find_nothing),
		cmocka_unit_test(test_target_refresh),
		cmocka_unit_test(test_folds_become_blanks),
		cmocka_unit_test(test_dialogs_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
