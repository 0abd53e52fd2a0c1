/*
 * Digest authentication of the server side: RFC 3261 22, RFC 7616 (its grammar
 * and arithmetic), RFC 8760 (SHA-256 beside MD5), qop "auth" only.  No users
 * and no decisions: who is challenged when is an actor's business.
 *
 * A nonce needs no memory: it carries the time at which it was minted and a
 * mark under a key of this process, so any worker can tell whether it is ours
 * and how old it is.  Which counts of it were used is in sip/nonce_count.h.
 *
 * Pure functions over their arguments: any thread, after digest_init().
 */
#ifndef SIP_DIGEST_H
#define SIP_DIGEST_H

#include "core/buffer.h"
#include "core/slice.h"

/* The better one first: in this order they are offered (RFC 8760 2.3). */
enum digest_algorithm { DIGEST_SHA256, DIGEST_MD5, DIGEST_ALGORITHMS };

#define DIGEST_MD5_OCTETS    16
#define DIGEST_SHA256_OCTETS 32
#define DIGEST_HEX_MAX       (2 * DIGEST_SHA256_OCTETS)

#define DIGEST_NONCE_CHARS  48
#define DIGEST_NONCE_LIFE_MS (300 * 1000)

/* Headers of one kind that are looked at for credentials of ours; a request with more gets 400. */
#define DIGEST_HEADERS_MAX 8
/* Of one header value: beyond it 400. */
#define DIGEST_VALUE_MAX 2048

/* Before the workers start.  0, or EIO: OpenSSL offers not even SHA-256. */
int digest_init(const uint8_t key[16]);

/* ---- what a user can prove ---- */

/* H(username ":" realm ":" password), all that is kept of a password.  A client may give its name with the
 * domain or without, which makes two. */
enum digest_name { DIGEST_NAME_USER, DIGEST_NAME_USER_AT_REALM, DIGEST_NAMES };
struct digest_secret {
	uint8_t sha256[DIGEST_NAMES][DIGEST_SHA256_OCTETS];
	uint8_t md5[DIGEST_NAMES][DIGEST_MD5_OCTETS];
};

/* `user` without domain, as a person writes it (no escapes).  0 or EIO. */
int digest_secret_make(struct digest_secret *secret, struct slice user, struct slice realm,
	struct slice password);

/* ---- credentials, as received ---- */

/* Slices into the header value. */
struct digest_credentials {
	enum digest_algorithm algorithm;
	struct slice username, realm, nonce, uri, response, cnonce, opaque;
	struct slice nc_text;
	uint32_t nc;
};

enum digest_verdict {
	DIGEST_OK,
	DIGEST_OTHER,       /* another scheme: as if it was not there                     */
	DIGEST_BAD,         /* against the grammar, or a needed directive is missing: 400 */
	DIGEST_UNSUPPORTED, /* an algorithm or qop that was not offered: challenge again  */
};

/* The value of one Authorization or Proxy-Authorization header. */
enum digest_verdict digest_credentials_decode(struct slice value, struct digest_credentials *credentials);

/* What the holder of the secret answers, in `out`; all of the credentials but ->response is read.  The number of
 * octets, 0: this machine cannot. */
size_t digest_respond(const struct digest_credentials *credentials, const struct digest_secret *secret,
	enum digest_name name, struct slice method, uint8_t out[DIGEST_SHA256_OCTETS]);

/* Is the response the one that the holder of the secret makes?  In constant time. */
bool digest_verify(const struct digest_credentials *credentials, const struct digest_secret *secret,
	enum digest_name name, struct slice method);

/* ---- challenges ---- */

/* Writes DIGEST_NONCE_CHARS characters.  `random` makes it one of a kind. */
void digest_nonce_make(char out[DIGEST_NONCE_CHARS], uint64_t now_ms, uint64_t random);

/* Ours, and minted when?  False: of another process, or made up. */
bool digest_nonce_decode(struct slice nonce, uint64_t *minted_ms);

/* One header per algorithm.  `header` is "WWW-Authenticate" or "Proxy-Authenticate". */
void digest_write_challenge(struct buffer *out, const char *header, struct slice realm, struct slice nonce,
	bool is_stale);

#endif
