#include "core/store_deferred.h"

#include <errno.h>

#include "core/store_internal.h"

/* Until the requests work: refused, and said so. */
int store_run_deferred(struct store *store, struct store_request *request)
{
	(void)store, (void)request;
	return ENOSYS;
}

void store_deferred_totals(const struct store *store, uint64_t *messages, uint64_t *octets)
{
	(void)store;
	*messages = *octets = 0;
}

uint64_t store_deferred_take_expired(struct store *store)
{
	(void)store;
	return 0;
}
