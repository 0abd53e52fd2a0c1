/* Digest authentication of the simulated clients. */
#include "sip/digest.h"
#include "tests/sim/ua_internal.h"

void ua_sign(struct ua *ua, struct buffer *out, const char *method, struct slice uri)
{
	static uint64_t count;
	char nonce[DIGEST_NONCE_CHARS];
	uint8_t response[DIGEST_SHA256_OCTETS];
	struct digest_secret secret;
	/* each client has its habits */
	enum digest_name name = strlen(ua->name) % 2 ? DIGEST_NAME_USER : DIGEST_NAME_USER_AT_REALM;
	struct digest_credentials c = { .algorithm = name == DIGEST_NAME_USER ? DIGEST_SHA256 : DIGEST_MD5, .uri = uri,
		.cnonce = SLICE("c"), .nc_text = SLICE("00000001") };

	if (strcmp(method, "CANCEL") == 0)
		return;
	digest_nonce_make(nonce, ua_now_us(ua->host) / 1000, ++count);
	c.nonce = slice_of(nonce, sizeof(nonce));
	if (digest_secret_make(&secret, slice_str(ua->name), SLICE("example.com"), SLICE(UA_PASSWORD)) != 0)
		return; /* then the server refuses */
	size_t n = digest_respond(&c, &secret, name, slice_str(method), response);
	buffer_printf(out, "%s: Digest username=\"%s%s\", realm=\"example.com\", nonce=\"%.*s\", uri=\"%.*s\", "
		"cnonce=\"c\", nc=00000001, qop=auth, algorithm=%s, response=\"",
		strcmp(method, "REGISTER") == 0 ? "Authorization" : "Proxy-Authorization", ua->name,
		name == DIGEST_NAME_USER ? "" : "@example.com", SLICE_ARG(c.nonce), SLICE_ARG(uri),
		c.algorithm == DIGEST_SHA256 ? "SHA-256" : "MD5");
	for (size_t i = 0; i < n; i++)
		buffer_printf(out, "%02x", response[i]);
	buffer_lit(out, "\"\r\n");
}
