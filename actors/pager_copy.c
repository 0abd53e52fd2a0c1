/* One recipient's copy of a pager message to many: a pager message whose end is told to its list. */
#include <errno.h>

#include "actors/cdr.h"
#include "actors/pager_content.h"
#include "actors/pager_internal.h"
#include "core/log.h"

void pager_copy_refused(const struct im *im, uint64_t id, struct slice recipient, unsigned status, enum reason why)
{
	REFUSED(&im->worker->counters, why);
	LOG(INFO, im->worker, "pager", id, "refused to=%.*s status=%u reason=%s", SLICE_ARG(recipient), status,
		reason_label(why));
}

static void begin_record(struct pager *p)
{
	struct sip_message m;

	if (cdr_is_on(p->im) && pager_read(p, &m))
		pager_record_begin(p, &m);
}

int pager_copy_start(struct im *im, const struct pager_copy *copy)
{
	enum reason why;
	struct pager *p = pager_open(im, &(struct pager_start){ .sender = copy->sender, .recipient = copy->recipient },
		copy->head, &why);

	if (!p)
		return ENOMEM; /* whatever it is, it may be there later */
	p->list = copy->list;
	p->content = pager_content_hold(copy->content);
	p->loop = copy->loop;
	p->is_from_session = copy->is_from_session;
	COUNT(&im->worker->counters, pager_copies);
	begin_record(p);
	pager_go(p, copy->route, copy->is_sips);
	return 0;
}
