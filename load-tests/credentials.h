/*
 * Digest authentication of the client side (RFC 7616, RFC 8760: SHA-256 or MD5, qop "auth"): what one user knows of the
 * server after it was challenged.  From then on each of its requests carries credentials, with a count of its own.
 */
#ifndef LOAD_TESTS_CREDENTIALS_H
#define LOAD_TESTS_CREDENTIALS_H

#include <stdint.h>

#include "core/buffer.h"
#include "load-tests/sip_text.h"

struct credentials {
	bool is_known, is_sha256, has_qop;
	bool others_by_proxy; /* requests other than REGISTER were challenged with 407 */
	uint32_t count;
	char realm[128], nonce[160], opaque[96];
	char ha1[65];
};

/* Takes the challenge of a 401 or 407, the better one of several; false: there is none that can be answered. */
bool credentials_learn(struct credentials *c, const struct sip_text *m, const char *user, const char *password);

/* Writes the header line for a request, or nothing before a challenge. */
void credentials_put(struct credentials *c, struct buffer *b, const char *user, const char *method, const char *uri);

#endif
