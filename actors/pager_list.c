#include "actors/pager_list.h"

#include "sip/owner.h"

void pager_list_start(struct im *im, struct sip_server *server, const struct sip_message *message,
	const struct pager_list_start *start)
{
	bool is_factory = slice_eq(sip_canonical_user(start->target), im->server->sip.factory_user);

	(void)message;
	im_refuse_with_warning(im, server, 404, REASON_TARGET_UNKNOWN,
		is_factory ? "Conference-factory URI does not exist" : "Conference URI does not exist");
}
