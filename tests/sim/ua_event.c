/* PUBLISH of settings, and subscriptions to one's own mailbox. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/ua_internal.h"

#define POC_SETTINGS                                                                                    \
	"<poc-settings xmlns=\"urn:oma:params:xml:ns:poc:poc-settings\" "                                \
	"xmlns:ss=\"urn:oma:params:xml:ns:service-settings\"><entity id=\"a\">"

struct request *ua_publish(struct ua *ua, const struct request *before, const enum barring *barring, unsigned expires_s)
{
	static const char *const documents[] = { "<ss:hist-settings><ss:hist-activation active=\"1\"/></ss:hist-settings>",
		"<isb-settings><incoming-session-barring active=\"false\"/></isb-settings>",
		"<isb-settings><incoming-session-barring active=\"true\"/></isb-settings>" };
	char text[UA_HEADERS_MAX], name[40], uri[64], body[1024] = "";
	struct buffer out = buffer_over(text, sizeof(text));

	ua_name(ua->host, name, sizeof(name), "e");
	snprintf(uri, sizeof(uri), "sip:%s@example.com", ua->name);
	buffer_printf(&out, "From: <%s>;tag=%s\r\nTo: <%s>\r\nCall-ID: %s\r\nCSeq: 1 PUBLISH\r\nEvent: poc-settings\r\n"
		"Expires: %u\r\nAccept-Contact: *;+g.oma.sip-im\r\n", uri, name, uri, name, expires_s);
	if (before)
		buffer_printf(&out, "SIP-If-Match: %s\r\n", before->etag);
	if (barring) {
		snprintf(body, sizeof(body), POC_SETTINGS "%s</entity></poc-settings>", documents[*barring]);
		buffer_lit(&out, "Content-Type: application/poc-settings+xml\r\n");
	}
	return ua_request(ua, NULL, "PUBLISH", NULL, slice_str(uri), buffer_slice(&out), slice_str(body));
}

struct request *ua_subscribe(struct ua *ua, struct request *first, unsigned expires_s)
{
	char text[UA_HEADERS_MAX], name[40], uri[64];
	struct buffer out = buffer_over(text, sizeof(text));
	struct request *r;

	ua_name(ua->host, name, sizeof(name), "w");
	snprintf(uri, sizeof(uri), "sip:%s@example.com", ua->name);
	buffer_printf(&out, "From: <%s>;tag=w\r\nTo: <%s>%s%s\r\nCall-ID: %s\r\nCSeq: %u SUBSCRIBE\r\n"
		"Event: message-summary\r\nExpires: %u\r\nAccept-Contact: *;+g.oma.sip-im\r\n", uri, uri,
		first ? ";tag=" : "", first ? first->to_tag : "", first ? first->call_id : name,
		first ? ++first->cseq : 1, expires_s);
	r = ua_request(ua, NULL, "SUBSCRIBE", NULL, slice_str(first ? first->target : uri), buffer_slice(&out), SLICE_EMPTY);
	snprintf(r->call_id, sizeof(r->call_id), "%s", first ? first->call_id : name);
	r->cseq = 1;
	return r;
}

/* What a final response gives to go on with. */
void ua_event_response(struct request *r, const struct sip_text *m)
{
	struct slice etag;

	if (ua_header(m->headers, "SIP-ETag", &etag))
		snprintf(r->etag, sizeof(r->etag), "%.*s", SLICE_ARG(etag));
	if (strcmp(r->method, "SUBSCRIBE") != 0 || m->status >= 300)
		return;
	snprintf(r->to_tag, sizeof(r->to_tag), "%.*s", SLICE_ARG(m->to_tag));
	snprintf(r->target, sizeof(r->target), "%.*s", SLICE_ARG(m->contact));
}

static uint64_t count_in(struct slice body)
{
	const char *at = body.n ? memmem(body.p, body.n, "ltimedia-Message: ", 18) : NULL;

	return at ? strtoull(at + 18, NULL, 10) : 0; /* what ua_pager() sends is no text */
}

void ua_event_notify(struct served *served, const struct sip_text *m)
{
	struct ua *ua = served->ua;
	struct slice state, event = SLICE_EMPTY;

	if (!ua_header(m->headers, "Subscription-State", &state))
		world_fail(world_of(ua), "a NOTIFY without Subscription-State");
	if (ua->manners.ignores_notify)
		return;
	if (ua->manners.refuse_notify) {
		ua_respond(served, ua->manners.refuse_notify, SLICE_EMPTY, SLICE_EMPTY);
		return;
	}
	ua_header(m->headers, "Event", &event);
	if (ua_focus_notify(served, m, event, state))
		return;
	ua->notifies++;
	ua->summary = count_in(m->body);
	ua->is_unsubscribed = slice_starts(state, SLICE("terminated"));
	ua_respond(served, 200, SLICE_EMPTY, SLICE_EMPTY);
}
