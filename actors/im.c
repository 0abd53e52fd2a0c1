#include "actors/im.h"

#include <errno.h>
#include <stdlib.h>

#include "actors/pager.h"
#include "actors/session.h"
#include "actors/user.h"

static void on_drain(struct worker *worker, struct msg *msg)
{
	free(msg);
	sessions_drain(im_of(worker));
}

int im_worker_init(struct worker *worker, struct im_server *server)
{
	struct im *im = calloc(1, sizeof(*im));

	if (!im)
		return ENOMEM;
	im->worker = worker;
	im->server = server;
	im->config = server->config;
	worker->im = im;
	if (users_init(im) != 0 || sessions_init(im) != 0 || pagers_init(im) != 0)
		return ENOMEM; /* the process ends: nothing is given back one by one */
	user_register_handlers(worker);
	worker->on_message[MSG_SESSIONS_DRAIN] = on_drain;
	return 0;
}

void im_worker_free(struct worker *worker)
{
	struct im *im = im_of(worker);

	if (!im)
		return;
	sessions_free(im);
	pagers_free(im);
	users_free(im);
	free(im);
	worker->im = NULL;
}
