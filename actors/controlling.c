#include "actors/controlling.h"

#include "actors/conference.h"
#include "actors/conference_event.h"
#include "actors/large_list.h"
#include "actors/pager_list.h"
#include "actors/refer.h"

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

bool controlling_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	if (m->method == SIP_MESSAGE) { /* it has an answer of its own to sessions that nobody knows (D2-43) */
		pager_list_start(im, server, m, &(struct pager_list_start){ .sender = start->who,
			.target = start->canonical, .may_leave = start->may_leave });
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
