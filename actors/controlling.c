#include "actors/controlling.h"

#include "actors/conference.h"

/* The user part of S or of another Contact that was minted here. */
static struct conference *find_session(struct im *im, const struct controlling_start *start)
{
	return start->kind == CONTROLLING_SESSION ? conference_find(im, start->target->user) : NULL;
}

bool controlling_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	if (start->kind == CONTROLLING_SESSION && !find_session(im, start))
		return false;
	(void)server;
	(void)m;
	return false; /* nothing is built yet */
}
