#include "config/tls_files.h"

#include <errno.h>
#include <stdlib.h>

/* NULL stays NULL: a key that is missing was reported, `ca` may be absent. */
static int resolve(const struct config *config, char **path)
{
	if (*path && !(*path = config_path(config, *path)))
		return ENOMEM;
	return 0;
}

static void free_paths(struct tls_options *entries, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		free(entries[i].cert);
		free(entries[i].key);
		free(entries[i].ca);
	}
	free(entries);
}

static int resolve_all(const struct config *config, struct tls_options *entry, const struct tls_options *from)
{
	*entry = (struct tls_options){ .name = from->name, .min = from->min, .client_auth = from->client_auth };
	char *cert = from->cert, *key = from->key, *ca = from->ca;

	if (resolve(config, &cert) != 0)
		return ENOMEM;
	entry->cert = cert;
	if (resolve(config, &key) != 0)
		return ENOMEM;
	entry->key = key;
	if (resolve(config, &ca) != 0)
		return ENOMEM;
	entry->ca = ca;
	return 0;
}

int config_tls_open(struct tls_set **out, const struct config *config, tls_complaint_handler complain,
	void *arg)
{
	unsigned count = config->tls.count;
	struct tls_options *entries = count ? calloc(count, sizeof(*entries)) : NULL;
	int err = 0;

	*out = NULL;
	if (count == 0)
		return 0;
	if (!entries)
		return ENOMEM;
	for (unsigned i = 0; i < count && !err; i++)
		err = resolve_all(config, &entries[i], &config->tls.list[i]);
	if (!err)
		err = tls_set_open(out, entries, count, complain, arg);
	free_paths(entries, count);
	return err;
}
