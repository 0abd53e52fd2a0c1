/*
 * A large message or a file to a list or a group (9.3, 9.4; F19, F20, F21, D2-44): the INVITE with a stream that is
 * sendonly, which came to the conference factory or to a group.  Each recipient is called by himself; the first who
 * answers 200 makes ours to the sender, who then sends once; what comes is switched to everybody who is there and kept
 * for who answers later; for who is away it is stored.  His BYE ends it, a recipient's leg when its copy is complete.
 *
 * Thread: owning worker only.  Owner: the worker's pool.
 */
#ifndef ACTORS_LARGE_LIST_H
#define ACTORS_LARGE_LIST_H

#include "actors/im.h"

struct controlling_start;

/*
 * Answers the INVITE in any case.  Who calls has seen to: feature tag, identity, that the Request-URI is ours (404), and
 * that the first usable m= line only sends: large_list_wants().  What a list or group has to be is checked here.
 */
void large_list_start(struct im *im, struct sip_server *server, const struct sip_message *invite,
	const struct controlling_start *start);

/* An INVITE to the factory or a group whose stream is sendonly (D2-12): it goes here, and no conference is made. */
bool large_list_wants(const struct sip_message *invite);

int large_lists_init(struct im *im);
/* BYE to everybody: the drain is over. */
void large_lists_drain(struct im *im);
/* Before virtual_user_agents_free() and large_uploads_free(). */
void large_lists_free(struct im *im);

#endif
