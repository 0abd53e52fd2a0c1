#include "actors/refer.h"

void refer_start(struct im *im, struct sip_server *server, const struct sip_message *m, const struct identity *who,
	struct slice target)
{
	(void)m;
	(void)who;
	(void)target;
	im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN, "Conference URI does not exist");
}

void refer_in_dialog(struct participant *by, struct sip_server *server, const struct sip_message *m)
{
	(void)by;
	(void)m;
	sip_server_refuse(server, 403, REASON_IDENTITY);
}

void referrals_on_release(struct conference *conference)
{
	(void)conference;
}

void referrals_on_leave(struct participant *participant)
{
	(void)participant;
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
