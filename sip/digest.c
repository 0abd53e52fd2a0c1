#include "sip/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "core/siphash.h"
#include "sip/header.h"

static struct siphash_key nonce_key;

/* Fetched once: looking an algorithm up by name for every request costs more than the hash. */
static struct {
	const char *name, *fetched_name;
	size_t octets;
	EVP_MD *md; /* NULL: a machine that forbids it (FIPS forbids MD5) */
} algorithms[] = {
	[DIGEST_SHA256] = { "SHA-256", "SHA256", DIGEST_SHA256_OCTETS, NULL },
	[DIGEST_MD5] = { "MD5", "MD5", DIGEST_MD5_OCTETS, NULL },
};

int digest_init(const uint8_t key[16])
{
	memcpy(nonce_key.k, key, sizeof(nonce_key.k));
	for (int i = 0; i < DIGEST_ALGORITHMS; i++)
		if (!algorithms[i].md)
			algorithms[i].md = EVP_MD_fetch(NULL, algorithms[i].fetched_name, NULL);
	return algorithms[DIGEST_SHA256].md ? 0 : EIO;
}

/* ---- arithmetic ---- */

/* The hash of the parts with a colon between each two. */
static bool hash_joined(enum digest_algorithm algorithm, const struct slice *parts, size_t count, uint8_t *out)
{
	EVP_MD_CTX *context = algorithms[algorithm].md ? EVP_MD_CTX_new() : NULL;
	bool is_good = context && EVP_DigestInit_ex2(context, algorithms[algorithm].md, NULL);

	for (size_t i = 0; i < count && is_good; i++)
		is_good = (i == 0 || EVP_DigestUpdate(context, ":", 1)) &&
			  EVP_DigestUpdate(context, parts[i].p ? parts[i].p : "", parts[i].n);
	is_good = is_good && EVP_DigestFinal_ex(context, out, NULL);
	EVP_MD_CTX_free(context);
	return is_good;
}

static struct slice hex_of(const uint8_t *octets, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[octets[i] >> 4];
		out[2 * i + 1] = digits[octets[i] & 15];
	}
	return slice_of(out, 2 * n);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex_u64(struct slice text, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.n; i++) {
		int digit = hex_value(text.p[i]);
		if (digit < 0)
			return false;
		v = v << 4 | (uint64_t)digit;
	}
	*value = v;
	return true;
}

int digest_secret_make(struct digest_secret *secret, struct slice user, struct slice realm,
	struct slice password)
{
	char whole[512];
	struct buffer name = buffer_over(whole, sizeof(whole));

	memset(secret, 0, sizeof(*secret));
	buffer_put(&name, user);
	buffer_char(&name, '@');
	buffer_put(&name, realm);
	if (name.overflow)
		return EIO;
	const struct slice names[DIGEST_NAMES] = { user, buffer_slice(&name) };
	for (int i = 0; i < DIGEST_NAMES; i++) {
		const struct slice parts[] = { names[i], realm, password };
		if (!hash_joined(DIGEST_SHA256, parts, 3, secret->sha256[i]))
			return EIO;
		/* without MD5 on this machine it is neither offered nor accepted */
		(void)hash_joined(DIGEST_MD5, parts, 3, secret->md5[i]);
	}
	return 0;
}

size_t digest_respond(const struct digest_credentials *c, const struct digest_secret *secret, enum digest_name name,
	struct slice method, uint8_t out[DIGEST_SHA256_OCTETS])
{
	size_t octets = algorithms[c->algorithm].octets;
	uint8_t ha2[DIGEST_SHA256_OCTETS];
	char ha1_text[DIGEST_HEX_MAX], ha2_text[DIGEST_HEX_MAX];
	const uint8_t *ha1 = c->algorithm == DIGEST_SHA256 ? secret->sha256[name] : secret->md5[name];
	const struct slice request[] = { method, c->uri };

	if (!hash_joined(c->algorithm, request, 2, ha2))
		return 0;
	const struct slice parts[] = { hex_of(ha1, octets, ha1_text), c->nonce, c->nc_text, c->cnonce, SLICE("auth"),
		hex_of(ha2, octets, ha2_text) };
	return hash_joined(c->algorithm, parts, 6, out) ? octets : 0;
}

bool digest_verify(const struct digest_credentials *c, const struct digest_secret *secret,
	enum digest_name name, struct slice method)
{
	uint8_t response[DIGEST_SHA256_OCTETS], given[DIGEST_SHA256_OCTETS] = { 0 };
	size_t octets = digest_respond(c, secret, name, method, response);

	if (octets == 0 || c->response.n != 2 * octets)
		return false;
	for (size_t i = 0; i < octets; i++) {
		int high = hex_value(c->response.p[2 * i]), low = hex_value(c->response.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		given[i] = (uint8_t)(high << 4 | low);
	}
	return CRYPTO_memcmp(given, response, octets) == 0; /* time must not tell how much was right */
}

/* ---- credentials ---- */

/* What a header says, before it is judged. */
struct given {
	struct slice username, realm, nonce, uri, response, cnonce, opaque, algorithm, qop, nc;
};

static const struct {
	const char *name;
	size_t at;
} directives[] = {
	{ "username", offsetof(struct given, username) },   { "realm", offsetof(struct given, realm) },
	{ "nonce", offsetof(struct given, nonce) },         { "uri", offsetof(struct given, uri) },
	{ "response", offsetof(struct given, response) },   { "cnonce", offsetof(struct given, cnonce) },
	{ "opaque", offsetof(struct given, opaque) },       { "algorithm", offsetof(struct given, algorithm) },
	{ "qop", offsetof(struct given, qop) },             { "nc", offsetof(struct given, nc) },
};

/* The name or value at the start of *rest: a token, or what stands in quotes.  Clients quote what is a token
 * in the grammar (qop="auth") and the other way round: both are read. */
static bool take_value(struct slice *rest, struct slice *value)
{
	size_t n = 1;

	if (rest->n == 0 || rest->p[0] != '"') {
		for (n = 0; n < rest->n && !strchr(", \t\r\n\"=;", rest->p[n]);)
			n++;
		*value = slice_of(rest->p, n);
		*rest = slice_skip(*rest, n);
		return n > 0;
	}
	while (n < rest->n && rest->p[n] != '"')
		n += rest->p[n] == '\\' ? 2 : 1;
	if (n >= rest->n)
		return false;
	*value = slice_of(rest->p + 1, n - 1); /* escapes stay: RFC 7616 3.3 hashes what stands in the quotes */
	*rest = slice_skip(*rest, n + 1);
	return true;
}

static bool remember(struct given *given, struct slice name, struct slice value)
{
	for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
		struct slice *field = (struct slice *)((char *)given + directives[i].at);
		if (!slice_case_eq(name, slice_str(directives[i].name)))
			continue;
		if (field->p)
			return false; /* twice: which one would be meant? */
		*field = value;
		return true;
	}
	return true; /* unknown ones are ignored (RFC 7616 3.4) */
}

static bool take_directives(struct slice rest, struct given *given)
{
	struct slice name, value;

	for (rest = slice_trim(rest); rest.n; rest = slice_trim(rest)) {
		if (!take_value(&rest, &name) || !sip_is_token(name))
			return false;
		rest = slice_trim(rest);
		if (rest.n == 0 || rest.p[0] != '=')
			return false;
		rest = slice_trim(slice_skip(rest, 1));
		if (!take_value(&rest, &value) || !remember(given, name, value))
			return false;
		rest = slice_trim(rest);
		if (rest.n && rest.p[0] != ',')
			return false;
		rest = slice_skip(rest, 1);
	}
	return true;
}

static bool algorithm_of(struct slice name, enum digest_algorithm *algorithm)
{
	if (!name.p) { /* RFC 7616 3.4: MD5 is meant */
		*algorithm = DIGEST_MD5;
		return algorithms[DIGEST_MD5].md != NULL;
	}
	for (int i = 0; i < DIGEST_ALGORITHMS; i++)
		if (slice_case_eq(name, slice_str(algorithms[i].name))) {
			*algorithm = (enum digest_algorithm)i;
			return algorithms[i].md != NULL;
		}
	return false;
}

static bool is_complete(const struct given *g)
{
	return g->username.p && g->realm.p && g->nonce.p && g->uri.p && g->response.p &&
	       (!g->qop.p || (g->cnonce.p && g->nc.p));
}

enum digest_verdict digest_credentials_decode(struct slice value, struct digest_credentials *c)
{
	struct given given = { 0 };
	struct slice rest = slice_trim(value), scheme;
	uint64_t nc;

	if (value.n > DIGEST_VALUE_MAX || !take_value(&rest, &scheme))
		return DIGEST_BAD;
	if (!slice_case_eq(scheme, SLICE("Digest")))
		return DIGEST_OTHER;
	if (!take_directives(rest, &given) || !is_complete(&given))
		return DIGEST_BAD;
	memset(c, 0, sizeof(*c));
	/* without qop nothing tells a replay: who was offered it must use it (RFC 3261 22.4, item 8) */
	if (!given.qop.p || !slice_case_eq(given.qop, SLICE("auth")) ||
	    !algorithm_of(given.algorithm, &c->algorithm)) {
		c->realm = given.realm;
		return DIGEST_UNSUPPORTED;
	}
	if (given.nc.n != 8 || !hex_u64(given.nc, &nc))
		return DIGEST_BAD;
	c->username = given.username;
	c->realm = given.realm;
	c->nonce = given.nonce;
	c->uri = given.uri;
	c->response = given.response;
	c->cnonce = given.cnonce;
	c->opaque = given.opaque;
	c->nc_text = given.nc;
	c->nc = (uint32_t)nc;
	return DIGEST_OK;
}

/* ---- challenges ---- */

#define NONCE_MARK_AT 32

void digest_nonce_make(char out[DIGEST_NONCE_CHARS], uint64_t now_ms, uint64_t random)
{
	char text[DIGEST_NONCE_CHARS + 1];

	snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)now_ms, (unsigned long long)random);
	snprintf(text + NONCE_MARK_AT, sizeof(text) - NONCE_MARK_AT, "%016llx",
		(unsigned long long)siphash(&nonce_key, slice_of(text, NONCE_MARK_AT)));
	memcpy(out, text, DIGEST_NONCE_CHARS);
}

bool digest_nonce_decode(struct slice nonce, uint64_t *minted_ms)
{
	uint64_t mark;

	return nonce.n == DIGEST_NONCE_CHARS && hex_u64(slice_of(nonce.p + NONCE_MARK_AT, 16), &mark) &&
	       mark == siphash(&nonce_key, slice_of(nonce.p, NONCE_MARK_AT)) &&
	       hex_u64(slice_of(nonce.p, 16), minted_ms);
}

void digest_write_challenge(struct buffer *out, const char *header, struct slice realm, struct slice nonce,
	bool is_stale)
{
	for (int i = 0; i < DIGEST_ALGORITHMS; i++) {
		if (!algorithms[i].md)
			continue;
		/* algorithm and stale unquoted, qop quoted (RFC 3261 25.1) */
		buffer_printf(out, "%s: Digest realm=\"%.*s\", nonce=\"%.*s\", opaque=\"%016llx\", algorithm=%s, qop=\"auth\"%s\r\n",
			header, SLICE_ARG(realm), SLICE_ARG(nonce), (unsigned long long)siphash(&nonce_key, realm),
			algorithms[i].name, is_stale ? ", stale=true" : "");
	}
}
