/*
 * Rooms (msrp/room.h) with random members: they come and go, read late or never, refuse, and lose their connections.
 * Every message that the room took reaches each member who was there when it began exactly once, whole and in the order of
 * its sender, or he was dropped with a reason.
 */
#include <stdlib.h>

#include "msrp/endpoint.h"
#include "msrp/room.h"
#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

enum { PEOPLE = 10, MESSAGES = 200, HIGH = 32 * 1024 };

struct hall;

struct person {
	struct hall *hall;
	struct ua *ua;
	struct link *link;
	struct msrp_leg *leg, *elsewhere; /* NULL: he is gone; and of another worker, on the same connection */
	char path[64], uri[256];
	bool is_here;
	unsigned got[MESSAGES];           /* octets; UINT32_MAX: all */
	bool refused[MESSAGES];
	int last_of[PEOPLE];              /* the last message that began, by sender */
};

struct speech {
	unsigned from, n, reports;
	bool wants_report, no_failure, is_begun;
	bool is_void;                     /* its sender went and may have come back */
	bool present[PEOPLE];
};

struct hall {
	struct world *w;
	struct worker *worker;
	struct msrp_room *room;
	struct person people[PEOPLE];
	struct speech speeches[MESSAGES];
	unsigned count, tids;
};

static char octet_of(unsigned message, unsigned i)
{
	return i % 50 == 49 ? '\n' : (char)('a' + (message * 7 + i) % 26);
}

/* ---- what the server's side is told ---- */

static void on_dropped(struct msrp_room *room, struct msrp_leg *leg, enum reason why, void *member_arg, void *arg)
{
	struct person *p = member_arg;

	if (p->leg != leg)
		world_fail(p->hall->w, "dropped twice");
	p->is_here = false;
	p->leg = NULL;
	msrp_leg_close(leg);
}

static unsigned number_of(struct slice id)
{
	uint64_t number = 0;

	return slice_u64(slice_skip(id, 4), MESSAGES - 1, &number) ? (unsigned)number : MESSAGES;
}

static void on_message(struct msrp_room *room, const struct msrp_room_begin *begin, struct msrp_room_verdict *verdict, void *arg)
{
	struct hall *h = arg;
	struct speech *s = &h->speeches[number_of(begin->head->message_id)];

	s->is_begun = true;
	for (unsigned i = 0; i < PEOPLE; i++)
		s->present[i] = h->people[i].is_here && i != s->from;
}

static const struct msrp_room_events room_events = { .on_dropped = on_dropped, .on_message = on_message };

static void on_bound(struct msrp_leg *leg, void *arg)
{
}

static void on_lost(struct msrp_leg *leg, enum reason why, void *arg)
{
}

static const struct msrp_leg_events leg_events = { on_bound, on_lost };

/* ---- what a member does ---- */

static void say(struct person *p, const char *tid, const char *what, const char *lines)
{
	char text[1024];

	snprintf(text, sizeof(text), "MSRP %s %s\r\nTo-Path: %s\r\nFrom-Path: %s\r\n%s", tid, what, p->uri, p->path, lines);
	ua_link_write(p->link, slice_str(text));
}

static void say_whole(struct person *p, const char *tid, const char *what, const char *lines)
{
	char text[256];

	say(p, tid, what, lines);
	snprintf(text, sizeof(text), "-------%s$\r\n", tid);
	ua_link_write(p->link, slice_str(text));
}

static struct msrp_leg *open_leg(struct hall *h, struct worker *worker, struct person *p, const char *path)
{
	struct msrp_leg *leg;

	if (msrp_leg_open(&leg, worker, NULL, false, &leg_events, p) != 0)
		return NULL;
	if (msrp_leg_set_peer(leg, &(struct msrp_peer){ .path = slice_str(path) }) == 0)
		return leg;
	msrp_leg_close(leg);
	return NULL;
}

/* His connection carries a session of another worker first: it stays there. */
static void bind_elsewhere(struct hall *h, struct person *p)
{
	unsigned other = (h->worker->index + 1) % h->w->group.count;
	char uri[256], path[64];

	snprintf(path, sizeof(path), "msrp://127.0.0.1:9/e%u;tcp", h->tids++);
	p->elsewhere = open_leg(h, h->w->group.workers[other], p, path);
	if (!p->elsewhere)
		return;
	snprintf(uri, sizeof(uri), "%.*s", SLICE_ARG(msrp_leg_uri(p->elsewhere)));
	char text[1024];
	snprintf(text, sizeof(text), "MSRP else1234 SEND\r\nTo-Path: %s\r\nFrom-Path: %s\r\nMessage-ID: e\r\n-------else1234$\r\n", uri, path);
	ua_link_write(p->link, slice_str(text));
}

static void join(struct hall *h, unsigned i)
{
	struct person *p = &h->people[i];
	struct ua *ua = p->ua;

	*p = (struct person){ .hall = h, .ua = ua };
	for (unsigned j = 0; j < PEOPLE; j++)
		p->last_of[j] = -1;
	snprintf(p->path, sizeof(p->path), "msrp://127.0.0.1:9/p%u-%u;tcp", i, h->tids++);
	p->leg = open_leg(h, h->worker, p, p->path);
	if (!p->leg)
		return;
	snprintf(p->uri, sizeof(p->uri), "%.*s", SLICE_ARG(msrp_leg_uri(p->leg)));
	struct msrp_room_member member = { .sends = true, .receives = true, .high = HIGH, .arg = p };
	if (msrp_room_add(h->room, p->leg, &member) != 0) {
		msrp_leg_close(p->leg);
		p->leg = NULL;
		return;
	}
	p->is_here = true;
	p->link = ua_raw_connect(ua);
	if (h->w->group.count > 1 && world_chance(h->w, 20))
		bind_elsewhere(h, p);
	say_whole(p, "bind1234", "SEND", "Message-ID: b\r\n");
}

static void leave(struct person *p)
{
	if (p->leg)
		msrp_leg_close(p->leg);
	if (p->elsewhere)
		msrp_leg_close(p->elsewhere);
	p->leg = p->elsewhere = NULL;
	p->is_here = false;
	if (p->link)
		ua_link_close(p->link);
	p->link = NULL;
}

/* In chunks as they come to mind, or all at once. */
static void speak(struct hall *h, unsigned i)
{
	static const unsigned sizes[] = { 1, 20, 300, 2048, 2049, 5000, 20000 };
	struct person *p = &h->people[i];
	struct speech *s = &h->speeches[h->count];
	char tid[32], lines[256], end[64];
	char *octets;

	if (!p->link || p->link->is_dead || h->count == MESSAGES)
		return;
	*s = (struct speech){ .from = i, .n = sizes[world_below(h->w, 7)], .wants_report = world_chance(h->w, 20),
		.no_failure = world_chance(h->w, 20) };
	octets = ua_alloc(s->n);
	for (unsigned j = 0; j < s->n; j++)
		octets[j] = octet_of(h->count, j);
	for (unsigned at = 0; at < s->n;) {
		unsigned most = s->n / (1 + world_below(h->w, 4)) + 1, n = s->n - at < most ? s->n - at : most;
		snprintf(tid, sizeof(tid), "t%u.%08x", h->tids++, world_below(h->w, 0x7fffffff));
		snprintf(lines, sizeof(lines), "Message-ID: room%u\r\nByte-Range: %u-%s/%u\r\n%s%sContent-Type: text/plain\r\n\r\n", h->count,
			at + 1, "*", s->n, s->wants_report ? "Success-Report: yes\r\n" : "", s->no_failure ? "Failure-Report: no\r\n" : "");
		if (world_chance(h->w, 50))
			snprintf(lines, sizeof(lines), "Message-ID: room%u\r\nByte-Range: %u-%u/%u\r\n%s%sContent-Type: text/plain\r\n\r\n",
				h->count, at + 1, at + n, s->n, s->wants_report ? "Success-Report: yes\r\n" : "",
				s->no_failure ? "Failure-Report: no\r\n" : "");
		say(p, tid, "SEND", lines);
		ua_link_write(p->link, slice_of(octets + at, n));
		at += n;
		snprintf(end, sizeof(end), "\r\n-------%s%c\r\n", tid, at == s->n ? '$' : '+');
		ua_link_write(p->link, slice_str(end));
		if (at == s->n)
			break;
	}
	free(octets);
	h->count++;
}

/* ---- what a member gets ---- */

struct heard {
	struct slice tid, what, headers, body;
	char flag;
};

static bool cut_chunk(struct slice in, struct heard *c, size_t *used)
{
	char end[64];
	struct slice line, rest = in;
	const char *at, *head_end;

	if (!memchr(in.p, '\n', in.n))
		return false;
	line = ua_line(&rest);
	slice_cut(line, ' ', &line);
	c->tid = slice_cut(line, ' ', &c->what);
	int n = snprintf(end, sizeof(end), "\r\n-------%.*s", SLICE_ARG(c->tid));
	at = memmem(rest.p - 2, rest.n + 2, end, (size_t)n);
	if (!at || (size_t)(in.p + in.n - at) < (size_t)n + 3)
		return false;
	head_end = memmem(rest.p, (size_t)(at + 2 - rest.p), "\r\n\r\n", 4);
	c->headers = slice_of(rest.p, (size_t)((head_end ? head_end : at) + 2 - rest.p));
	c->body = head_end && at > head_end + 4 ? slice_of(head_end + 4, (size_t)(at - head_end - 4)) : SLICE_EMPTY;
	c->flag = at[n];
	*used = (size_t)(at - in.p) + (size_t)n + 3;
	return true;
}

static void report(struct person *p, unsigned number, unsigned n)
{
	char lines[256];

	snprintf(lines, sizeof(lines), "Message-ID: room%u\r\nByte-Range: 1-%u/%u\r\nStatus: 000 200 OK\r\n", number, n, n);
	say_whole(p, "rep01234", "REPORT", lines);
}

static void take_content(struct person *p, const struct heard *c, unsigned number)
{
	struct hall *h = p->hall;
	struct speech *s = &h->speeches[number];
	struct slice range = SLICE_EMPTY;
	uint64_t at = 1;

	if (ua_header(c->headers, "Byte-Range", &range))
		slice_u64(slice_cut(range, '-', NULL), UINT32_MAX, &at);
	if (p->got[number] == UINT32_MAX)
		world_fail(h->w, "message %u came twice", number);
	if (at != p->got[number] + 1)
		world_fail(h->w, "message %u goes on at %u of %u", number, (unsigned)at, p->got[number]);
	if (!p->got[number] && p->last_of[s->from] >= (int)number)
		world_fail(h->w, "message %u came after %d", number, p->last_of[s->from]);
	p->last_of[s->from] = (int)number;
	for (size_t i = 0; i < c->body.n; i++)
		if (c->body.p[i] != octet_of(number, (unsigned)(at - 1 + i)))
			world_fail(h->w, "message %u is another one at %zu", number, (size_t)at - 1 + i);
	p->got[number] += (unsigned)c->body.n;
	if (c->flag != '$')
		return;
	if (p->got[number] != s->n)
		world_fail(h->w, "message %u ends after %u of %u", number, p->got[number], s->n);
	p->got[number] = UINT32_MAX;
	if (s->wants_report && world_chance(h->w, 80))
		report(p, number, s->n);
}

static void on_chunk(struct person *p, const struct heard *c)
{
	struct slice id = SLICE_EMPTY, status;
	struct hall *h = p->hall;
	char tid[64];
	unsigned number;

	if (slice_eq(c->what, SLICE("SEND"))) {
		ua_header(c->headers, "Message-ID", &id);
		number = number_of(id);
		if (number >= h->count)
			world_fail(h->w, "nobody has sent %.*s", SLICE_ARG(id));
		take_content(p, c, number);
		snprintf(tid, sizeof(tid), "%.*s", SLICE_ARG(c->tid));
		if (world_chance(h->w, 2)) { /* he has enough of it */
			p->refused[number] = true;
			say_whole(p, tid, "413 Stop", "");
		} else {
			say_whole(p, tid, world_below(h->w, 300) ? "200 OK" : "481 Who?", "");
		}
	} else if (slice_eq(c->what, SLICE("REPORT"))) {
		ua_header(c->headers, "Message-ID", &id);
		ua_header(c->headers, "Status", &status);
		struct speech *s = &h->speeches[number_of(id)];
		if (&h->people[s->from] != p || s->reports++)
			world_fail(h->w, "a REPORT too many of %.*s", SLICE_ARG(id));
	} else if (p->is_here && c->tid.n > 2 && c->tid.p[0] == 't' && !slice_starts(c->what, SLICE("200")) && !slice_starts(c->what, SLICE("40"))) {
		world_miss(h->w, "a chunk got %.*s", SLICE_ARG(c->what));
	}
}

static void listen_all(struct hall *h)
{
	for (unsigned i = 0; i < PEOPLE; i++) {
		struct person *p = &h->people[i];
		struct heard c;
		size_t used, at = 0;
		while (p->link && p->link->in_n > at && cut_chunk(slice_of(p->link->in + at, p->link->in_n - at), &c, &used)) {
			on_chunk(p, &c);
			at += used;
		}
		if (at) {
			p->link->in_n -= at;
			memmove(p->link->in, p->link->in + at, p->link->in_n);
		}
	}
}

static void hear_again(struct person *p)
{
	if (!p->link || !p->link->is_paused)
		return;
	p->link->is_paused = false;
	ua_link_read(p->link);
	ua_wake(p->link->host);
}

/* ---- the scenario ---- */

static void act(struct hall *h)
{
	unsigned i = world_below(h->w, PEOPLE), what = world_below(h->w, 100);
	struct person *p = &h->people[i];

	if (!p->is_here) {
		if (what < 30) {
			leave(p);
			join(h, i);
		}
		return;
	}
	if (what < 70)
		speak(h, i);
	else if (what < 73)
		leave(p);
	else if (what < 76 && p->link && !p->link->is_dead && p->link->is_connected)
		sim_reset(h->w->sim, p->link->fd);
	else if (what < 80 && p->link)
		p->link->is_paused = true;
	else if (what < 90)
		hear_again(p);
}

static bool is_all_said(void *arg)
{
	struct hall *h = arg;

	listen_all(h);
	for (unsigned i = 0; i < PEOPLE; i++) {
		struct person *p = &h->people[i];
		if (p->is_here && (!msrp_leg_is_bound(p->leg) || !msrp_room_is_quiet(h->room, p->leg) || p->link->out_n || p->link->is_sending))
			return false;
	}
	return true;
}

/* A member who left and came again was not there: what he missed is not his. */
static void forget(struct hall *h, unsigned i)
{
	for (unsigned j = 0; j < h->count; j++) {
		h->speeches[j].present[i] = false;
		h->speeches[j].is_void |= h->speeches[j].from == i;
	}
}

static void look(struct hall *h, unsigned number)
{
	const struct speech *s = &h->speeches[number];
	bool is_complete = h->people[s->from].is_here && !s->is_void;

	for (unsigned i = 0; i < PEOPLE; i++) {
		const struct person *p = &h->people[i];
		if (!p->is_here || i == s->from)
			continue;
		if (!s->present[i] && p->got[number])
			world_miss(h->w, "message %u came to %u, who was not there", number, i);
		if (is_complete && s->present[i] && p->got[number] != UINT32_MAX && !p->refused[number])
			world_miss(h->w, "message %u did not come to %u but for %u of %u octets", number, i, p->got[number], s->n);
	}
	if (is_complete && !s->reports && s->wants_report && !s->no_failure)
		world_miss(h->w, "nobody has told of message %u", number);
}

static void play(struct hall *h)
{
	bool was_here[PEOPLE] = { false };

	for (unsigned i = 0; i < 3 + world_below(h->w, PEOPLE - 3); i++)
		join(h, i);
	for (unsigned step = 0; step < 100; step++) {
		struct msrp_leg *legs[PEOPLE];
		for (unsigned i = 0; i < PEOPLE; i++)
			legs[i] = h->people[i].leg;
		act(h);
		for (unsigned i = 0; i < PEOPLE; i++) {
			if (h->people[i].leg && h->people[i].leg != legs[i] && was_here[i])
				forget(h, i);
			was_here[i] |= h->people[i].leg != NULL;
		}
		world_moment(h->w, 30000);
		listen_all(h);
	}
	for (unsigned i = 0; i < PEOPLE; i++)
		hear_again(&h->people[i]);
	if (!world_until(h->w, is_all_said, h, 90000))
		world_miss(h->w, "it does not become quiet");
	for (unsigned i = 0; i < 14; i++) { /* the last REPORTs */
		world_ms(h->w, 5000);
		listen_all(h);
	}
	for (unsigned j = 0; j < h->count; j++)
		look(h, j);
}

SCENARIO(room, "a conference's members come, speak, refuse, sleep, die and go", .is_calm = true, .one_seed_in = 4)
{
	struct hall *h = ua_alloc(sizeof(*h));
	struct msrp_room_options options = { .members_max = PEOPLE };

	h->w = w;
	h->worker = w->group.workers[world_below(w, w->group.count)];
	for (unsigned i = 0; i < PEOPLE; i++) {
		char name[16];
		snprintf(name, sizeof(name), "p%u", i);
		h->people[i].ua = ua_registered(w, name);
	}
	if (msrp_room_open(&h->room, h->worker, &options, &room_events, h) == 0) {
		play(h);
		msrp_room_close(h->room);
	}
	for (unsigned i = 0; i < PEOPLE; i++)
		leave(&h->people[i]);
	world_ms(w, 1000);
	free(h);
}
