/*
 * The copies of a pager message to many (8.3.2.1): each has a head of its own and the content of all, and only a few
 * are under way at a time, so that a long list neither floods those behind us nor is in memory many times.
 */
#include <stdlib.h>

#include "actors/outgoing.h"
#include "actors/pager_list_internal.h"
#include "core/log.h"
#include "core/minted.h"
#include "sip/header.h"
#include "sip/write.h"

#define UNDER_WAY_MAX 32
#define RETRY_MS      1000 /* when there was no memory or no place for one more */
#define TRIES_MAX     8

/* ---- heads ---- */

/* Those of one hop, of the request to us, or written for each copy. */
static bool is_shared(const struct pager_list *list, const struct sip_header *header)
{
	switch ((int)header->id) {
	case SIP_HDR_TO:
	case SIP_HDR_CALL_ID:
	case SIP_HDR_CSEQ:
	case SIP_HDR_ROUTE:
	case SIP_HDR_RECORD_ROUTE:
	case SIP_HDR_REQUIRE:
	case SIP_HDR_PROXY_REQUIRE:
	case SIP_HDR_AUTHORIZATION:
	case SIP_HDR_PROXY_AUTHORIZATION:
	case SIP_HDR_CONTENT_LENGTH:
	case SIP_HDR_MIME_VERSION:
		return false;
	case SIP_HDR_FROM:
		return list->kind != PAGER_LIST_SESSION;
	case SIP_HDR_PRIVACY:
		return !list->hides_anew;
	default:
		return sip_is_token(header->name) && !slice_case_starts(header->name, SLICE("Content-")) &&
		       header->id != SIP_HDR_CONTENT_TYPE && header->id != SIP_HDR_CONTENT_ENCODING; /* c, e */
	}
}

/* D2-43: the session is who it is from. */
static void put_session(struct buffer *out, const struct pager_list *list)
{
	char tag[MINTED_CHARS];

	minted_make(list->im->worker, tag);
	buffer_lit(out, "From: <sip:");
	buffer_put(out, pager_list_target(list));
	buffer_printf(out, ">;tag=%.*s\r\n", MINTED_CHARS, tag);
	if (list->hides_anew)
		buffer_lit(out, "Privacy: id\r\n");
}

bool pager_list_write_lines(struct pager_list *list, const struct sip_message *m)
{
	size_t room = m->wire.n - m->body.n + IM_CANONICAL_MAX + 24 * m->header_count + 256; /* long names, From */
	char *text = malloc(room);
	struct buffer out = buffer_over(text, room);

	if (!text)
		return false;
	list->hides_anew = list->kind == PAGER_LIST_SESSION && list->sender.is_anonymous && !sip_privacy_is_wanted(m);
	for (unsigned i = 0; i < m->header_count; i++)
		if (is_shared(list, &m->headers[i]))
			sip_copy_header(&out, &m->headers[i]);
	if (list->kind == PAGER_LIST_SESSION)
		put_session(&out, list);
	list->lines = text;
	list->lines_n = out.n;
	return !out.overflow;
}

/* RFC 3261 19.1.1: no headers in a Request-URI. */
static struct slice request_uri(struct slice uri)
{
	struct sip_uri parsed;

	if (sip_uri_parse(uri, &parsed) && parsed.headers.n)
		uri.n = (size_t)(parsed.headers.p - uri.p) - 1;
	return uri;
}

static void write_head(struct buffer *out, const struct pager_list *list, struct slice uri)
{
	sip_write_request_line(out, SLICE("MESSAGE"), uri);
	buffer_put(out, slice_of(list->lines, list->lines_n));
	buffer_lit(out, "To: <");
	sip_write_text(out, uri);
	buffer_lit(out, ">\r\nCall-ID: ");
	outgoing_call_id(out, list->im->worker);
	buffer_lit(out, "\r\nCSeq: 1 MESSAGE\r\n");
	buffer_put(out, list->content->lines);
	buffer_lit(out, "\r\n");
}

/* ---- where they go ---- */

static void refuse_copy(struct pager_list *list, struct slice to, unsigned status, enum reason why)
{
	list->failed++;
	pager_copy_refused(list->im, list->actor.id, to, status, why);
}

/* False: to nobody, and refused. */
static bool find_route(struct pager_list *list, struct slice uri, enum pager_route *route)
{
	bool is_ims = list->im->config->core.mode == MODE_IMS;
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	enum recipient_kind kind;

	*route = is_ims ? PAGER_TO_NEXT_HOP : PAGER_TO_USER;
	if (!pager_list_classify(list->im, uri, &kind, &canonical)) /* cannot be: it was, when it was added */
		kind = RECIPIENT_NOBODY;
	switch (kind) {
	case RECIPIENT_USER:
		return true;
	case RECIPIENT_ELSEWHERE:
		*route = PAGER_TO_NEXT_HOP;
		if (is_ims || list->may_leave)
			return true;
		break;
	case RECIPIENT_SCHEME:
		refuse_copy(list, uri, 416, REASON_SCHEME);
		return false;
	case RECIPIENT_GROUP: /* inside a group: one level is all (D1-20) */
		refuse_copy(list, uri, 482, REASON_LOOP);
		return false;
	case RECIPIENT_NOBODY:
		break;
	}
	refuse_copy(list, uri, 404, REASON_TARGET_UNKNOWN);
	return false;
}

/* 0, or ENOMEM: another time. */
static int start_copy(struct pager_list *list, unsigned i)
{
	char text[OUTGOING_HEADERS_MAX + 4096];
	struct buffer head = buffer_over(text, sizeof(text));
	struct slice uri = request_uri(recipients_uri(&list->recipients, i));
	enum pager_route route;

	if (!find_route(list, uri, &route))
		return 0;
	write_head(&head, list, uri);
	if (head.overflow) {
		refuse_copy(list, uri, 513, REASON_TOO_LARGE);
		return 0;
	}
	list->under_way++;
	int err = pager_copy_start(list->im, &(struct pager_copy){ .list = list, .sender = &list->sender, .route = route,
		.recipient = recipients_canonical(&list->recipients, i), .head = buffer_slice(&head), .content = list->content,
		.loop = list->loop, .is_sips = outgoing_is_sips(uri), .is_from_session = list->kind == PAGER_LIST_SESSION });
	if (err)
		list->under_way--;
	return err;
}

/* ---- a few at a time ---- */

static void on_retry(struct timer *timer)
{
	pager_list_send((struct pager_list *)((char *)timer - offsetof(struct pager_list, timer)));
}

/* The next one cannot begin now.  True: it never will. */
static bool is_given_up(struct pager_list *list)
{
	if (list->under_way) /* the end of one of them is the time for it */
		return false;
	if (++list->tries < TRIES_MAX) {
		worker_arm(list->im->worker, &list->timer, RETRY_MS, on_retry);
		return false;
	}
	refuse_copy(list, recipients_uri(&list->recipients, list->next), 503, REASON_POOL_EXHAUSTED);
	return true;
}

static void finish(struct pager_list *list)
{
	LOG(INFO, list->im->worker, "pager_list", list->actor.id, "sent taken=%u failed=%u", list->taken, list->failed);
	pager_list_free(list);
}

void pager_list_send(struct pager_list *list)
{
	list->is_sending = true;
	while (list->next < list->recipients.count && list->under_way < UNDER_WAY_MAX) {
		if (start_copy(list, list->next) != 0 && !is_given_up(list))
			break;
		list->tries = 0;
		list->next++;
	}
	list->is_sending = false;
	if (list->next == list->recipients.count && !list->under_way)
		finish(list);
}

void pager_list_on_copy_end(struct pager_list *list, bool is_taken)
{
	list->under_way--;
	if (is_taken)
		list->taken++;
	else
		list->failed++;
	if (!list->is_sending)
		pager_list_send(list);
}
