#include "actors/controlling.h"

#include "actors/conference.h"
#include "actors/conference_event.h"
#include "actors/forward.h"
#include "actors/large_list.h"
#include "actors/pager_list.h"
#include "actors/refer.h"
#include "actors/session_contact.h"
#include "core/minted.h"

/* The user part of S or of another Contact that was minted here. */
static struct conference *find_session(struct im *im, const struct controlling_start *start)
{
	return start->kind == CONTROLLING_SESSION ? conference_find(im, start->target->user) : NULL;
}

static bool invite(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	if (start->kind != CONTROLLING_SESSION && large_list_wants(m)) /* D2-12 */
		large_list_start(im, server, m, start);
	else
		conference_start(im, server, m, start);
	return true;
}

/* Behind a Contact of ours stands a session of ours: in ims mode that is the one that the client knows (D1-15). */
static bool find_behind_contact(struct im *im, const struct controlling_start *start, struct sip_uri *focus)
{
	struct session_contact_view view;

	return start->kind == CONTROLLING_SESSION && !find_session(im, start) &&
	       session_contact_find(im, start->target->user, &view) && sip_uri_parse(view.uri, focus) &&
	       minted_worker(focus->user) >= 0;
}

/* It has an answer of its own to sessions that nobody knows (D2-43). */
static void message(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	struct pager_list_start list = { .sender = start->who, .target = start->canonical, .may_leave = start->may_leave };
	char text[IM_CANONICAL_MAX];
	struct buffer canonical = buffer_over(text, sizeof(text));
	struct sip_uri focus;

	if (!find_behind_contact(im, start, &focus)) {
		pager_list_start(im, server, m, &list);
	} else if (minted_worker(focus.user) != (int)im->worker->index) {
		forward_start(im, server, m, &(struct forward_start){ .route = FORWARD_TO_CONTACT, .sender = start->who });
	} else {
		if (sip_uri_canonical(&canonical, &focus, &im->server->sip.home))
			list.target = buffer_slice(&canonical);
		pager_list_start(im, server, m, &list);
	}
}

bool controlling_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	if (m->method == SIP_MESSAGE) {
		message(im, server, m, start);
		return true;
	}
	if (start->kind == CONTROLLING_SESSION && !find_session(im, start))
		return false;
	if (m->method == SIP_INVITE)
		return invite(im, server, m, start);
	if (start->kind == CONTROLLING_FACTORY)
		return false;
	if (m->method == SIP_SUBSCRIBE)
		conference_subscribe(im, server, m, start->canonical, start->who);
	else if (m->method == SIP_REFER)
		refer_start(im, server, m, start);
	else
		return false;
	return true;
}
