/* MSRP that takes its time: heads and content octet by octet, chunks that stop, in virtual time. */
#include <stdlib.h>

#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

#define PACE_MS 1000

/* A session whose caller's MSRP is the scenario's. */
struct talk {
	struct call *call;
	struct link *link;
};

static bool has_path(void *arg)
{
	const struct call *call = arg;

	return call->far && call->is_acked && call->far->leg->is_bound && call->leg->remote[0];
}

static bool has_answer(void *arg)
{
	const struct link *link = arg;

	return link->is_dead || (link->in_n > 3 && !memcmp(link->in + link->in_n - 3, "$\r\n", 3));
}

/* What the link has got, which must begin like that; then it is forgotten. */
static void expect_octets(struct world *w, struct link *link, const char *begin)
{
	if (!world_until(w, has_answer, link, 60000) || link->in_n < strlen(begin) ||
		memcmp(link->in, begin, strlen(begin)) != 0)
		world_miss(w, "not %s but %.*s", begin, (int)link->in_n, link->in_n ? link->in : "");
	link->in_n = 0;
}

static int write_head(char *text, size_t size, const struct call *call, const char *tid, const char *lines)
{
	return snprintf(text, size, "MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\n%s", tid, call->leg->remote,
		call->leg->path, lines);
}

/* False: there was no memory for it. */
static bool begin(struct world *w, struct talk *talk, struct ua *alice, struct ua *bob)
{
	char text[1024];

	alice->manners = (struct manners){ .never_connects = true, .is_raw = true, .setup = SETUP_ACTIVE };
	bob->manners.setup = SETUP_PASSIVE;
	talk->call = ua_invite(alice, bob);
	if (!world_until(w, has_path, talk->call, 10000)) {
		world_miss(w, "the session does not come about");
		return false;
	}
	talk->link = ua_raw_connect(alice);
	write_head(text, sizeof(text), talk->call, "bind1234", "Message-ID: b\r\n-------bind1234$\r\n");
	ua_link_write(talk->link, slice_str(text));
	expect_octets(w, talk->link, "MSRP bind1234 200");
	return true;
}

/* An octet a second; in between the other session talks. */
static void drip(struct world *w, struct link *link, struct slice octets, struct call *other)
{
	for (size_t i = 0; i < octets.n; i++) {
		if (link->is_dead) {
			world_miss(w, "the connection ended behind octet %zu", i);
			return;
		}
		ua_link_write(link, slice_of(octets.p + i, 1));
		world_ms(w, PACE_MS);
		if (i % 50 == 0) {
			ua_send(i % 100 ? other : other->far, 200);
			expect_delivered(other);
			expect_delivered(other->far);
		}
	}
}

SCENARIO(msrp_octet_a_second, "a whole chunk, its head and its content, at an octet a second", .is_calm = true)
{
	struct ua *carol = ua_registered(w, "carol"), *dave = ua_registered(w, "dave");
	struct call *other = ua_invite(carol, dave);
	struct talk talk;
	char head[1024], lines[256];

	expect_bound(other);
	if (!other->far || !begin(w, &talk, ua_registered(w, "alice"), ua_registered(w, "bob")))
		return; /* there was no memory for it */
	for (unsigned is_open = 0; is_open < 2; is_open++) { /* of known length, and of none: that one streams */
		struct message *m = ua_send(talk.call, 100);
		snprintf(lines, sizeof(lines), "Message-ID: m%u\r\nByte-Range: 1-%s/%s\r\nContent-Type: text/plain\r\n\r\n",
			m->number, is_open ? "*" : "100", is_open ? "*" : "100");
		int n = write_head(head, sizeof(head), talk.call, "slow1234", lines);
		drip(w, talk.link, slice_of(head, (size_t)n), other);
		drip(w, talk.link, slice_of(m->octets, m->n), other);
		drip(w, talk.link, SLICE("\r\n-------slow1234$\r\n"), other);
		expect_octets(w, talk.link, "MSRP slow1234 200");
		if (m->deliveries != 1)
			world_miss(w, "the message came %u times", m->deliveries);
	}
	ua_link_close(talk.link);
	ua_bye(talk.call);
	expect_over(talk.call);
	ua_bye(other);
	expect_over(other);
}

static bool is_dead(void *arg)
{
	return ((const struct link *)arg)->is_dead;
}

/* limits.chunk_stall from the last octet on, wherever in the chunk that was; then limits.reattach and BYE. */
SCENARIO(msrp_stops_in_mid_chunk, "a chunk that stops: in its head, before its content, within it", .is_calm = true)
{
	static const char *const begun[] = { "M", "Message-ID: m\r\nBy", "Message-ID: m\r\nByte-Range: 1-*/*\r\nContent-Type: a/b\r\n\r\n",
		"Message-ID: m\r\nByte-Range: 1-5/5\r\nContent-Type: a/b\r\n\r\nhel",
		"Message-ID: m\r\nByte-Range: 1-5/5\r\nContent-Type: a/b\r\n\r\nhello\r\n-------stop1234" };

	struct ua *alice = ua_registered(w, "alice"), *bob = ua_registered(w, "bob");

	for (unsigned i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
		struct talk talk;
		char text[1024];
		if (!begin(w, &talk, alice, bob))
			return;
		if (i)
			write_head(text, sizeof(text), talk.call, "stop1234", begun[i]);
		ua_link_write(talk.link, slice_str(i ? text : begun[i]));
		world_ms(w, 9000);
		if (talk.link->is_dead)
			world_miss(w, "the connection ended too early");
		if (!world_until(w, is_dead, talk.link, 2000))
			world_miss(w, "a chunk may stop for ever");
		if (world_refused(w, REASON_MSRP_CHUNK_STALL) != i + 1)
			world_miss(w, "it ended for another reason");
		expect_over(talk.call);
	}
}

/* limits.unbound does not begin again with each octet. */
SCENARIO(msrp_unbound_drips, "a head at an octet a second on a connection that belongs to nobody", .is_calm = true,
	.set = { "limits.unbound=5s" })
{
	struct ua *mallory = ua_registered(w, "mallory");
	struct link *link = ua_raw_connect(mallory);
	uint64_t from_ms = world_now_ms(w);
	const char *text = "MSRP abcd1234 SEND\r\nTo-Path: msrp://127.0.0.1:1/x;tcp\r\n";

	for (unsigned i = 0; text[i] && !link->is_dead; i++) {
		ua_link_write(link, slice_of(text + i, 1));
		world_ms(w, PACE_MS);
	}
	if (!link->is_dead || world_now_ms(w) - from_ms > 7000 || world_refused(w, REASON_MSRP_UNBOUND_TIMEOUT) != 1)
		world_miss(w, "it was open for %llu ms", (unsigned long long)(world_now_ms(w) - from_ms));
}
