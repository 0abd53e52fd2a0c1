#include "actors/refer.h"

#include "actors/referred.h"

void refer_start(struct im *im, struct sip_server *server, const struct sip_message *m,
	const struct controlling_start *start)
{
	(void)start;
	if (!refer_refuses_leaving(im, server, m))
		im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
}

void refer_in_dialog(struct participant *by, struct sip_server *server, const struct sip_message *m)
{
	(void)by;
	(void)m;
	sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
}

bool refer_refuses_leaving(struct im *im, struct sip_server *server, const struct sip_message *m)
{
	struct referred what;

	(void)im;
	if (m->method != SIP_REFER || referred_read(&what, m) != REFERRED_OK || !what.is_bye)
		return false;
	sip_server_refuse(server, 403, REASON_CONFERENCE_POLICY);
	return true;
}

void referrals_on_release(struct conference *conference)
{
	(void)conference;
}

int referrals_init(struct im *im)
{
	(void)im;
	return 0;
}

void referrals_free(struct im *im)
{
	(void)im;
}
