/*
 * The called user is away (6.2.6.1 steps 5 and 6): a large message may be kept
 * for him, an IM session cannot.
 */
#include "actors/session_internal.h"

#include "actors/large_message.h"

bool session_is_large_message(const struct sip_message *invite)
{
	const struct sdp_media *media;
	struct sdp offer;

	return session_sdp_read_offer(invite, &offer, &media) == SDP_ACCEPTED &&
	       sdp_media_direction(&offer, media) == SDP_SENDONLY;
}

/* From here on it is no session between two. */
static void hand_over(struct session *s, uint64_t registration)
{
	struct im *im = s->im;
	struct large_message_start start = { s->invite, s->request, s->request_n, s->caller, s->callee, s->callee_n,
		registration };

	sip_server_watch(s->invite, NULL, NULL);
	session_forget_invite(s);
	s->request = s->callee = NULL;
	s->caller = NULL;
	if (large_message_start(im, &start))
		session_record_drop(s);
	else
		session_record_end(s, reason_label(REASON_POOL_EXHAUSTED));
	session_enter(s, SESSION_CLOSED, "deferred");
	session_free_if_done(s); /* and with it its dialog, before there is another with the same tag */
}

static void refuse(struct session *s)
{
	const struct config *config = s->im->config;

	if (config->core.mode == MODE_IMS || config->policy.unavailable_session_code == 403) /* D1-06, D1-07 */
		session_refuse_with_warning(s, config->policy.unavailable_session_code, REASON_OFFLINE,
			"Session cannot be deferred");
	else
		session_refuse(s, config->policy.unavailable_session_code, REASON_OFFLINE);
	session_enter(s, SESSION_CLOSED, "offline");
	session_free_if_done(s);
}

void session_on_offline(struct session *s, uint64_t registration)
{
	struct sip_message invite;

	if (session_reread_invite(s, &invite) && session_is_large_message(&invite))
		hand_over(s, registration);
	else
		refuse(s);
}
