/*
 * Clients to whom deferred messages are pushed: the bodies of F4 and F5 taken apart, what is inside compared with what
 * was once sent, and the ways to behave badly (manners.push_*).
 */
#include <assert.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

static void need(struct leg *leg, bool good, const char *what)
{
	if (!good)
		world_fail(world_of(leg->ua), "a pushed message %s:\n%.*s", what, (int)leg->push_n, leg->push);
}

/* What is behind `mark` in `text`; p == NULL: it has none. */
static struct slice behind(struct slice text, const char *mark)
{
	const char *at = text.p && text.n ? memmem(text.p, text.n, mark, strlen(mark)) : NULL;

	return at ? slice_skip(text, (size_t)(at - text.p) + strlen(mark)) : SLICE_EMPTY;
}

static void arrived(struct leg *leg, struct slice id, struct slice content)
{
	struct message *m = ua_message_find(leg->ua->host, id);

	m->received = 0; /* at least once */
	need(leg, content.n == m->n, "has another length inside");
	need(leg, memcmp(m->octets, content.p, m->n) == 0, "has other octets inside");
	m->received = m->n;
	m->deliveries++;
}

/* F4: headers of the part, the MESSAGE, its body. */
static void take_pager(struct leg *leg, struct slice part)
{
	struct slice head = behind(part, "\r\n\r\n"), content = behind(head, "\r\n\r\n"), id = SLICE_EMPTY;

	need(leg, content.p, "has no MESSAGE inside");
	need(leg, slice_starts(head, SLICE("MESSAGE sip:")), "does not begin with MESSAGE");
	ua_header(slice_of(head.p, (size_t)(content.p - head.p) - 2), "Subject", &id);
	arrived(leg, id, content);
}

/* F5: the part of the INVITE, then the SEND with its end-line. */
static void take_large(struct leg *leg, struct slice part)
{
	struct slice fragment = behind(behind(part, "Content-Type: message/msrpfrag"), "\r\n\r\n"), rest, id = SLICE_EMPTY;
	struct slice content = behind(fragment, "\r\n\r\n");

	need(leg, content.p, "has no SEND inside");
	slice_cut(fragment, ' ', &rest);
	struct slice tid = slice_cut(rest, ' ', NULL);
	size_t end_n = tid.n + 10; /* CRLF, seven dashes, $ */
	need(leg, content.n >= end_n && slice_eq(slice_of(content.p + content.n - 1 - tid.n, tid.n), tid), "ends without its end-line");
	ua_header(slice_of(fragment.p, (size_t)(content.p - fragment.p) - 2), "Message-ID", &id);
	arrived(leg, id, slice_of(content.p, content.n - end_n));
}

static void take_whole(struct leg *leg, struct slice type)
{
	struct slice body = slice_of(leg->push, leg->push_n), boundary = behind(type, "boundary=\"");
	char end[100];

	boundary = slice_cut(boundary, '"', NULL);
	need(leg, boundary.n > 0, "has no boundary");
	int n = snprintf(end, sizeof(end), "\r\n--%.*s--", SLICE_ARG(boundary));
	need(leg, body.n > (size_t)n && memcmp(body.p + body.n - n, end, (size_t)n) == 0, "ends without its boundary");
	body.n -= (size_t)n;
	if (behind(body, "message/msrpfrag").p)
		take_large(leg, body);
	else
		take_pager(leg, body);
}

/* How many of this session it still takes; then it misbehaves. */
static unsigned answer(struct leg *leg)
{
	const struct manners *manners = &leg->ua->manners;

	if (!manners->push_then || leg->pushes++ < manners->push_takes)
		return 200;
	switch (manners->push_then) {
	case PUSH_THEN_WELL:
		break;
	case PUSH_THEN_REFUSES:
		return manners->push_status;
	case PUSH_THEN_SILENT:
		return 0;
	case PUSH_THEN_VANISHES:
		ua_reset_msrp(leg->call);
		return 0;
	case PUSH_THEN_BYE:
		ua_bye(leg->call);
		return 0;
	}
	return 200;
}

unsigned ua_push_chunk(struct leg *leg, struct slice headers, struct slice octets, char flag)
{
	struct slice id = SLICE_EMPTY, type = SLICE_EMPTY;
	unsigned status;

	ua_header(headers, "Message-ID", &id);
	ua_header(headers, "Content-Type", &type);
	if (!leg->push_n)
		snprintf(leg->push_id, sizeof(leg->push_id), "%.*s", SLICE_ARG(id));
	if (!slice_eq(id, slice_str(leg->push_id)))
		world_fail(world_of(leg->ua), "a pushed message begins before the last one ended");
	leg->push = realloc(leg->push, leg->push_n + octets.n + 1);
	assert(leg->push);
	memcpy(leg->push + leg->push_n, octets.p, octets.n);
	leg->push_n += octets.n;
	if (flag == '+')
		return 200;
	status = flag == '$' ? answer(leg) : 200;
	if (flag == '$' && status == 200) /* what it refuses it may get again, and has not got */
		take_whole(leg, type);
	leg->push_n = 0;
	return status;
}
