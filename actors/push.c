#include "actors/push.h"

#include "core/log.h"

/* Until pushes are built the messages wait for the next trigger or a retrieval. */
void push_start(struct im *im, struct slice canonical, enum push_cause cause)
{
	LOG(DEBUG, im->worker, "push", 0, "not-begun user=%.*s cause=%u", SLICE_ARG(canonical), cause);
}

int pushes_init(struct im *im)
{
	(void)im;
	return 0;
}

void pushes_drain(struct im *im)
{
	(void)im;
}

void pushes_free(struct im *im)
{
	(void)im;
}
