/*
 * What a client does in a conference besides speaking: REFER, SUBSCRIBE to its state, coming into it by its name; and
 * what it keeps of what the focus tells it: NOTIFYs of both packages, and the messages of the others, each member's by
 * itself, for in a conference many have the same message.
 */
#include <stdlib.h>

#include "tests/sim/scenario.h"
#include "tests/sim/ua_internal.h"

/* ---- requests ---- */

static void put_outside(struct call *call, struct buffer *out, const char *method, const char *call_id)
{
	buffer_printf(out, "From: <sip:%s@example.com>;tag=f\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n", call->ua->name,
		call->target, call_id, method);
}

/* Who they are: the name of the session that leads away from it, one user, or a list (RFC 5368). */
static void put_targets(struct call *call, struct buffer *out, struct buffer *body, const struct referring *what)
{
	if (what->is_bye)
		buffer_printf(out, "Refer-To: <%s;method=BYE>\r\n", call->target);
	else if (what->count == 1)
		buffer_printf(out, "Refer-To: <sip:%s@example.com>\r\n", what->to[0]->name);
	if (what->is_bye || what->count == 1)
		return;
	buffer_lit(out, "Refer-To: <cid:list@example.com>\r\nRequire: multiple-refer\r\nContent-ID: <list@example.com>\r\n"
		"Content-Disposition: recipient-list\r\nContent-Type: application/resource-lists+xml\r\n");
	ua_put_entries(body, what->to, what->count);
}

struct request *ua_refer(struct call *call, const struct referring *what)
{
	char text[UA_HEADERS_MAX], body_text[UA_HEADERS_MAX], name[40];
	struct buffer out = buffer_over(text, sizeof(text)), body = buffer_over(body_text, sizeof(body_text));
	struct asked *asked;
	struct request *r;

	if (!call->target[0] || (!what->is_outside && call->is_over))
		return NULL;
	ua_name(call->ua->host, name, sizeof(name), "f");
	if (what->is_outside)
		put_outside(call, &out, "REFER", name);
	else
		ua_put_dialog(call, &out, ++call->cseq, "REFER");
	put_targets(call, &out, &body, what);
	buffer_printf(&out, "Subject: c%u\r\nAccept-Contact: *;+g.oma.sip-im\r\n", call->conference->number);
	if (what->is_silent)
		buffer_lit(&out, "Refer-Sub: false\r\nSupported: norefersub\r\n");
	r = ua_request(call->ua, NULL, "REFER", NULL, slice_str(call->target), buffer_slice(&out), buffer_slice(&body));
	asked = ua_alloc(sizeof(*asked));
	*asked = (struct asked){ .next = call->ua->host->asked, .request = r, .count = what->is_bye ? 1 : what->count,
		.is_silent = what->is_silent };
	snprintf(asked->call_id, sizeof(asked->call_id), "%s", what->is_outside ? name : call->call_id);
	call->ua->host->asked = asked;
	return r;
}

static struct watching *watch_new(struct ua *ua, struct slice call_id, bool is_refer, struct slice id)
{
	struct watching *watch = ua_alloc(sizeof(*watch));

	watch->ua = ua;
	watch->is_refer = is_refer;
	snprintf(watch->call_id, sizeof(watch->call_id), "%.*s", SLICE_ARG(call_id));
	snprintf(watch->id, sizeof(watch->id), "%.*s", (int)id.n, id.n ? id.p : "");
	watch->next = ua->host->watches;
	return ua->host->watches = watch;
}

struct watching *ua_watch(struct call *call, bool is_outside, unsigned expires_s)
{
	char text[UA_HEADERS_MAX], name[40];
	struct buffer out = buffer_over(text, sizeof(text));
	struct watching *watch;

	if (!call->target[0] || (!is_outside && call->is_over))
		return NULL;
	ua_name(call->ua->host, name, sizeof(name), "w");
	watch = watch_new(call->ua, slice_str(is_outside ? name : call->call_id), false, SLICE_EMPTY);
	watch->conference = call->conference;
	watch->call = is_outside ? NULL : call;
	if (is_outside)
		put_outside(call, &out, "SUBSCRIBE", name);
	else
		ua_put_dialog(call, &out, ++call->cseq, "SUBSCRIBE");
	buffer_printf(&out, "Event: conference\r\nExpires: %u\r\nAccept-Contact: *;+g.oma.sip-im\r\n", expires_s);
	watch->request = ua_request(call->ua, NULL, "SUBSCRIBE", NULL, slice_str(call->target), buffer_slice(&out), SLICE_EMPTY);
	snprintf(watch->request->call_id, sizeof(watch->request->call_id), "%s", name);
	watch->request->cseq = 1;
	return watch;
}

void ua_watch_again(struct watching *watch, unsigned expires_s)
{
	char text[UA_HEADERS_MAX];
	struct buffer out = buffer_over(text, sizeof(text));
	struct request *first = watch->request;

	if (watch->is_over || first->status / 100 != 2 || first->is_own_verdict || (watch->call && watch->call->is_over))
		return;
	if (watch->call)
		ua_put_dialog(watch->call, &out, ++watch->call->cseq, "SUBSCRIBE");
	else
		buffer_printf(&out, "From: <sip:%s@example.com>;tag=f\r\nTo: <sip:x@example.com>;tag=%s\r\nCall-ID: %s\r\n"
			"CSeq: %u SUBSCRIBE\r\n", watch->ua->name, first->to_tag, watch->call_id, ++first->cseq);
	buffer_printf(&out, "Event: conference\r\nExpires: %u\r\nAccept-Contact: *;+g.oma.sip-im\r\n", expires_s);
	ua_request(watch->ua, NULL, "SUBSCRIBE", NULL, slice_str(first->target), buffer_slice(&out), SLICE_EMPTY);
}

struct call *ua_conference_of(struct ua_host *host, struct slice uri)
{
	struct slice user = slice_cut(uri, '@', NULL);

	for (struct call *call = host->calls; call; call = call->next)
		if (call->conference && slice_eq(user, slice_cut(slice_str(call->target), '@', NULL)))
			return call->conference;
	return NULL;
}

/* ---- NOTIFYs ---- */

static struct watching *watch_find(struct ua *ua, struct slice call_id, bool is_refer, struct slice id)
{
	struct watching *watch = ua->host->watches;

	while (watch && !(watch->ua == ua && watch->is_refer == is_refer && slice_eq(call_id, slice_str(watch->call_id)) &&
				slice_eq(id, slice_str(watch->id))))
		watch = watch->next;
	return watch;
}

/* What stands between a mark and the next quote or bracket. */
static struct slice between(struct slice text, const char *mark, char end)
{
	const char *at = text.p && text.n ? memmem(text.p, text.n, mark, strlen(mark)) : NULL;

	return at ? slice_cut(slice_skip(text, (size_t)(at - text.p) + strlen(mark)), end, NULL) : SLICE_EMPTY;
}

static void see(struct watching *watch, struct slice user)
{
	struct slice name = slice_cut(between(user, "entity=\"sip:", '"'), '@', NULL);
	bool is_there = slice_eq(between(user, "<status>", '<'), SLICE("connected"));
	unsigned i = 0;

	while (i < watch->count && !slice_eq(name, slice_str(watch->seen[i].name)))
		i++;
	if (i == sizeof(watch->seen) / sizeof(watch->seen[0]))
		world_fail(world_of(watch->ua), "a conference of too many");
	if (i == watch->count)
		snprintf(watch->seen[watch->count++].name, sizeof(watch->seen[i].name), "%.*s", SLICE_ARG(name));
	watch->seen[i].is_there = is_there;
}

static void take_state(struct watching *watch, struct slice body)
{
	struct world *w = world_of(watch->ua);
	bool is_full = slice_eq(between(body, " state=\"", '"'), SLICE("full"));
	uint64_t version = 0;

	slice_cut(body, '\n', &body); /* what says the version of XML */
	if (!body.n) /* the last one need not say anything */
		return;
	if (!slice_u64(between(body, " version=\"", '"'), UINT32_MAX, &version))
		world_fail(w, "a conference state without version: %.*s", SLICE_ARG(body));
	if (watch->documents++ && version != watch->version + 1)
		world_fail(w, "version %llu of a state after %llu", (unsigned long long)version,
			(unsigned long long)watch->version);
	if (watch->documents == 1 && !is_full)
		world_fail(w, "the first state is partial");
	watch->version = version;
	if (is_full)
		watch->count = 0;
	for (const char *at; body.p && body.n && (at = memmem(body.p, body.n, "<user ", 6));) {
		const char *end = memmem(at, body.n - (size_t)(at - body.p), "</user>", 7);
		if (!end)
			world_fail(w, "a user without end: %.*s", SLICE_ARG(body));
		see(watch, slice_of(at, (size_t)(end - at)));
		body = slice_skip(body, (size_t)(end - body.p));
	}
}

static void take_progress(struct watching *watch, struct slice body)
{
	struct world *w = world_of(watch->ua);
	uint64_t status;

	if (!slice_starts(body, SLICE("SIP/2.0 ")) || !slice_u64(slice_of(body.p + 8, 3), 699, &status))
		world_fail(w, "a NOTIFY of a REFER says %.*s", SLICE_ARG(body));
	if (watch->documents++ == 0 && status != 100)
		world_fail(w, "the first NOTIFY of a REFER says %llu", (unsigned long long)status);
	watch->finals += status >= 200;
}

bool ua_focus_notify(struct served *served, const struct sip_text *m, struct slice event, struct slice state)
{
	struct slice id, package = slice_trim(slice_cut(event, ';', &id));
	bool is_refer = slice_eq(package, SLICE("refer"));
	struct watching *watch;

	if (!is_refer && !slice_eq(package, SLICE("conference")))
		return false;
	id = slice_starts(slice_trim(id), SLICE("id=")) ? slice_skip(slice_trim(id), 3) : SLICE_EMPTY;
	watch = watch_find(served->ua, m->call_id, is_refer, id);
	if (!watch && is_refer)
		watch = watch_new(served->ua, m->call_id, true, id);
	if (!watch)
		world_fail(world_of(served->ua), "a NOTIFY of a conference that nobody watches");
	if (watch->is_over)
		world_fail(world_of(served->ua), "a NOTIFY after the last");
	if (is_refer)
		take_progress(watch, m->body);
	else
		take_state(watch, m->body);
	watch->is_over = slice_starts(state, SLICE("terminated"));
	ua_respond(served, 200, SLICE_EMPTY, SLICE_EMPTY);
	return true;
}

/* ---- messages to many ---- */

static struct hearing *hearing_of(struct leg *leg, struct message *m)
{
	struct world *w = world_of(leg->ua);
	struct hearing *h;

	for (h = leg->hearings; h && h->message != m; h = h->next)
		continue;
	if (h)
		return h;
	for (h = leg->hearings; h; h = h->next)
		if (h->message->from == m->from && h->message->number > m->number)
			world_fail(w, "message %u came to %s after %u", m->number, leg->ua->name, h->message->number);
	h = ua_alloc(sizeof(*h));
	h->next = leg->hearings;
	h->message = m;
	return leg->hearings = h;
}

void ua_focus_chunk(struct leg *leg, struct message *m, size_t at, struct slice octets, char flag)
{
	struct world *w = world_of(leg->ua);
	struct hearing *h = hearing_of(leg, m);

	if (!m->from || m->from->conference != leg->call->conference || m->from == leg->call)
		world_fail(w, "message %u came to %s, who should not have it", m->number, leg->ua->name);
	if (h->is_whole || h->is_aborted)
		world_fail(w, "message %u goes on at %s after its end", m->number, leg->ua->name);
	if (at != h->received || octets.n > m->n - at || (octets.n && memcmp(m->octets + at, octets.p, octets.n) != 0))
		world_fail(w, "message %u goes on at octet %zu at %s, who has %zu", m->number, at, leg->ua->name, h->received);
	h->received += octets.n;
	h->is_aborted = flag == '#';
	h->is_whole = flag == '$';
	if (h->is_whole && h->received != m->n)
		world_fail(w, "message %u ends after %zu of %zu at %s", m->number, h->received, m->n, leg->ua->name);
}

bool ua_has_heard(const struct call *call, const struct message *m)
{
	const struct hearing *h = call->leg->hearings;

	while (h && h->message != m)
		h = h->next;
	return h && h->is_whole;
}

/* ---- in the end ---- */

/* Of all REFERs with that Call-ID: each that was accepted was told what became of each whom it named. */
static void check_referrals(struct ua_host *host, const char *call_id)
{
	unsigned asked = 0, told = 0, targets = 0, finals = 0;

	for (const struct asked *a = host->asked; a; a = a->next) {
		if (strcmp(a->call_id, call_id) != 0)
			continue;
		if (a->request->is_own_verdict || !a->request->status)
			return; /* nobody knows */
		asked += a->request->status == 202 && !a->is_silent;
		targets += a->request->status == 202 && !a->is_silent ? a->count : 0;
	}
	for (const struct watching *watch = host->watches; watch; watch = watch->next) {
		if (!watch->is_refer || strcmp(watch->call_id, call_id) != 0)
			continue;
		told += watch->is_over;
		finals += watch->finals;
	}
	if (asked != told || targets != finals)
		world_fail(host->world, "%u REFERs for %u users of %s were told %u ends and %u results", asked, targets, call_id,
			told, finals);
}

void ua_focus_check(struct ua_host *host)
{
	for (const struct asked *a = host->asked; a; a = a->next)
		check_referrals(host, a->call_id);
}

void ua_focus_free(struct ua_host *host)
{
	while (host->asked) {
		struct asked *a = host->asked;
		host->asked = a->next;
		free(a);
	}
	while (host->watches) {
		struct watching *watch = host->watches;
		host->watches = watch->next;
		free(watch);
	}
}
