#include "actors/certificates.h"

#include <string.h>

#include "config/tls_files.h"
#include "core/log.h"

struct complaints {
	unsigned count;
	char first[500];
};

static void on_complaint(void *arg, unsigned entry, const char *key, const char *text)
{
	struct complaints *c = arg;

	if (c->count++ == 0)
		snprintf(c->first, sizeof(c->first), "tls[%u].%s: %s", entry, key, text);
	for (char *p = c->first; (p = strchr(p, '"')) != NULL;)
		*p = '\''; /* it stands between quotes on the log */
}

int certificates_read(struct tls_set **set, const struct config *config)
{
	struct complaints complaints = { 0 };
	int err = config_tls_open(set, config, on_complaint, &complaints);

	if (err)
		LOG(ERROR, NULL, "tls", 0, "certificates-refused error=\"%s\" more=%u",
			complaints.count ? complaints.first : strerror(err), complaints.count ? complaints.count - 1 : 0);
	return err;
}
