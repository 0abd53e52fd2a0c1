#include "load-tests/credentials.h"

#include <openssl/evp.h>
#include <stdio.h>

/* ---- hashing ---- */

#define HEX_MAX 65

/* Hexadecimal and terminated. */
static void hash(bool is_sha256, struct slice text, char into[HEX_MAX])
{
	unsigned char octets[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	/* a library without the algorithm makes an empty hash, and the server refuses it */
	(void)EVP_Digest(text.p, text.n, octets, &n, is_sha256 ? EVP_sha256() : EVP_md5(), NULL);
	for (unsigned i = 0; i < n && 2 * i + 2 < HEX_MAX; i++)
		snprintf(into + 2 * i, 3, "%02x", octets[i]);
	into[2 * n] = 0;
}

__attribute__((format(printf, 3, 4))) static void hash_of(bool is_sha256, char into[HEX_MAX], const char *format, ...)
{
	char text[1024];
	va_list arguments;

	va_start(arguments, format);
	int n = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	hash(is_sha256, slice_of(text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0), into);
}

/* ---- the challenge ---- */

/* The value of a parameter of "Digest realm="..", nonce=..", without its quotes; escapes are left as they are. */
static struct slice parameter(struct slice challenge, const char *name)
{
	struct slice want = slice_str(name), rest = slice_skip(challenge, 7), value;

	while (rest.n) {
		struct slice key = slice_trim(slice_cut(rest, '=', &value));
		value = slice_trim(value);
		if (slice_starts(value, SLICE("\""))) {
			size_t end = 1;
			while (end < value.n && value.p[end] != '"')
				end += value.p[end] == '\\' ? 2 : 1;
			end = end < value.n ? end : value.n;
			(void)slice_cut(slice_skip(value, end), ',', &rest);
			value = slice_of(value.p + 1, end - 1);
		} else {
			value = slice_trim(slice_cut(value, ',', &rest));
		}
		if (slice_case_eq(key, want))
			return value;
	}
	return SLICE_EMPTY;
}

static bool copy(struct slice from, char *into, size_t size)
{
	if (from.n >= size)
		return false;
	if (from.n)
		memcpy(into, from.p, from.n);
	into[from.n] = 0;
	return true;
}

/* A qop list that has "auth" in it, as a word. */
static bool has_auth(struct slice list)
{
	while (list.p)
		if (slice_case_eq(slice_trim(slice_cut(list, ',', &list)), SLICE("auth")))
			return true;
	return false;
}

/* False: not one that we can answer. */
static bool take(struct credentials *c, struct slice challenge)
{
	struct slice algorithm = parameter(challenge, "algorithm"), qop = parameter(challenge, "qop");

	if (!slice_case_starts(challenge, SLICE("Digest ")))
		return false;
	c->is_sha256 = slice_case_eq(algorithm, SLICE("SHA-256"));
	if (algorithm.n && !c->is_sha256 && !slice_case_eq(algorithm, SLICE("MD5")))
		return false;
	c->has_qop = has_auth(qop);
	if (qop.n && !c->has_qop)
		return false;
	c->count = 0;
	return copy(parameter(challenge, "realm"), c->realm, sizeof(c->realm)) &&
	       copy(parameter(challenge, "nonce"), c->nonce, sizeof(c->nonce)) &&
	       copy(parameter(challenge, "opaque"), c->opaque, sizeof(c->opaque));
}

bool credentials_learn(struct credentials *c, const struct sip_text *m, const char *user, const char *password)
{
	const char *name = m->status == 407 ? "Proxy-Authenticate" : "WWW-Authenticate";
	struct credentials best = { .is_known = false };

	for (unsigned i = 0; sip_text_header(m, name, 0, i).n; i++) {
		struct credentials other = { .is_known = true };
		if (take(&other, sip_text_header(m, name, 0, i)) && (!best.is_known || (other.is_sha256 && !best.is_sha256)))
			best = other;
	}
	if (!best.is_known)
		return false;
	best.others_by_proxy = m->status == 407;
	hash_of(best.is_sha256, best.ha1, "%s:%s:%s", user, best.realm, password);
	*c = best;
	return true;
}

void credentials_put(struct credentials *c, struct buffer *b, const char *user, const char *method, const char *uri)
{
	char ha2[HEX_MAX], response[HEX_MAX], client[12] = "";

	if (!c->is_known)
		return;
	hash_of(c->is_sha256, ha2, "%s:%s", method, uri);
	c->count++;
	if (c->has_qop) { /* the client's nonce may be anything that the server did not choose */
		snprintf(client, sizeof(client), "im%08x", c->count);
		hash_of(c->is_sha256, response, "%s:%s:%08x:%s:auth:%s", c->ha1, c->nonce, c->count, client, ha2);
	} else {
		hash_of(c->is_sha256, response, "%s:%s:%s", c->ha1, c->nonce, ha2);
	}
	bool is_register = method[0] == 'R';
	buffer_printf(b,
		      "%sAuthorization: Digest username=\"%s\", realm=\"%s\", nonce=\"%s\", uri=\"%s\", response=\"%s\", "
		      "algorithm=%s",
		      is_register || !c->others_by_proxy ? "" : "Proxy-", user, c->realm, c->nonce, uri, response,
		      c->is_sha256 ? "SHA-256" : "MD5");
	if (c->opaque[0])
		buffer_printf(b, ", opaque=\"%s\"", c->opaque);
	if (c->has_qop)
		buffer_printf(b, ", qop=auth, nc=%08x, cnonce=\"%s\"", c->count, client);
	buffer_lit(b, "\r\n");
}
