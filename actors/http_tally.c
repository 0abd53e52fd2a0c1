#include "actors/http_tally.h"

#include <stdlib.h>
#include <string.h>

struct http_tally {
	struct counters counters;
	pthread_mutex_t lock;
};

struct http_tally *http_tally_make(void)
{
	struct http_tally *tally = aligned_alloc(_Alignof(struct http_tally), sizeof(*tally));

	if (!tally)
		return NULL;
	memset(tally, 0, sizeof(*tally));
	pthread_mutex_init(&tally->lock, NULL);
	return tally;
}

void http_tally_free(struct http_tally *tally)
{
	if (!tally)
		return;
	pthread_mutex_destroy(&tally->lock);
	free(tally);
}

struct counters *http_tally_counters(struct http_tally *tally)
{
	return &tally->counters;
}

void http_tally_request(struct http_tally *tally)
{
	if (!tally)
		return;
	pthread_mutex_lock(&tally->lock);
	COUNT(&tally->counters, http_requests);
	pthread_mutex_unlock(&tally->lock);
}

void http_tally_refused(struct http_tally *tally, enum reason why, unsigned count)
{
	if (!tally)
		return;
	pthread_mutex_lock(&tally->lock);
	while (count-- > 0)
		REFUSED(&tally->counters, why);
	pthread_mutex_unlock(&tally->lock);
}
