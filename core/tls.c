/*
 * OpenSSL between two pieces of memory: our BIO reads from the slice that was
 * fed and writes through `put`, so that nothing is buffered but one record.
 */
#include "core/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define FINGERPRINT_CHARS (8 + 3 * 32)

struct tls_entry {
	SSL_CTX *server[TLS_USES];
	SSL_CTX *client[TLS_USES];
	bool has_ca, judges_clients;
	char fingerprint[FINGERPRINT_CHARS];
};

struct tls_set {
	atomic_uint references;
	BIO_METHOD *method;
	unsigned count;
	unsigned verifier; /* the first entry with a `ca`, or 0 */
	struct tls_entry entries[];
};

struct tls {
	struct tls_set *set;
	SSL *ssl;
	struct slice in;
	tls_put_handler put;
	void *put_arg;
	enum tls_use use;
	unsigned entry;
	bool is_client, is_ready, is_lost;
	bool must_verify; /* the chain, while the handshake goes on */
	int put_error;
	int verify_error; /* the first of the chain, X509_V_OK: none */
	char name[256];   /* client: who the server must be */
	char error[120];
};

/* ---- errors ---- */

/* Empties the thread's queue of errors; what is left there would be blamed on the next connection. */
static int take_error(char *text, size_t size)
{
	unsigned long code = ERR_peek_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	bool is_memory = code && ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;

	if (code && ERR_SYSTEM_ERROR(code))
		snprintf(text, size, "%s", strerror(ERR_GET_REASON(code)));
	else
		snprintf(text, size, "%s", is_memory ? "no memory" : reason ? reason : "protocol error");
	ERR_clear_error();
	return is_memory ? ENOMEM : EPROTO;
}

/* ---- certificates ---- */

struct opening {
	struct tls_set *set;
	tls_complaint_handler complain;
	void *arg;
	unsigned entry;
	const char *path;
	int err;
};

/* In words for operators what OpenSSL says to programmers; other reasons stay as they are. */
static void reword(char *text, size_t size, unsigned long code, const struct opening *o, const char *key)
{
	int library = ERR_GET_LIB(code), reason = ERR_GET_REASON(code);
	bool is_key = strcmp(key, "key") == 0;

	if (library == ERR_LIB_X509 && (reason == X509_R_KEY_VALUES_MISMATCH || reason == X509_R_KEY_TYPE_MISMATCH))
		snprintf(text, size, "is not the key of tls[%u].cert", o->entry);
	else if (is_key && reason == ERR_R_INTERRUPTED_OR_CANCELLED) /* by no_passphrase() */
		snprintf(text, size, "has a passphrase, and there is nobody to ask for it");
	else if ((library == ERR_LIB_PEM && reason == PEM_R_NO_START_LINE) ||
		 (library == ERR_LIB_X509 && reason == X509_R_NO_CERTIFICATE_OR_CRL_FOUND) ||
		 (library == ERR_LIB_OSSL_DECODER && is_key))
		snprintf(text, size, "holds no PEM %s", is_key ? "private key" : "certificate");
}

static void complain(struct opening *o, const char *key, const char *path)
{
	unsigned long code = ERR_peek_error();
	char reason[120], text[400];

	if (take_error(reason, sizeof(reason)) == ENOMEM) {
		o->err = ENOMEM;
		return;
	}
	reword(reason, sizeof(reason), code, o, key);
	if (o->err != ENOMEM)
		o->err = EINVAL;
	snprintf(text, sizeof(text), "\"%.200s\": %s", path, reason);
	o->complain(o->arg, o->entry, key, text);
}

/* Without a terminal to ask, a key with a passphrase is unreadable. */
static int no_passphrase(char *buffer, int size, int for_writing, void *arg)
{
	return -1;
}

static int on_verify(int is_good, X509_STORE_CTX *store);
static int on_server_name(SSL *ssl, int *alert, void *arg);

/* OpenSSL takes a certificate's extensions apart when somebody first asks for them, under a lock of its own: done
 * here once, so that no worker ever writes to what all of them share.  False: no memory. */
static bool read_extensions(SSL_CTX *ctx)
{
	STACK_OF(X509) *all = X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(ctx));

	for (int i = 0; i < sk_X509_num(all); i++) /* a bad one is found where it is used */
		(void)X509_check_purpose(sk_X509_value(all, i), -1, 0);
	sk_X509_pop_free(all, X509_free);
	(void)X509_check_purpose(SSL_CTX_get0_certificate(ctx), -1, 0);
	ERR_clear_error();
	return all != NULL;
}

/* False: it has been complained about. */
static bool load(struct opening *o, SSL_CTX *ctx, const struct tls_options *options)
{
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (!options->cert || !options->key) {
		o->err = EINVAL; /* the schema has said so */
		return false;
	}
	bool has_cert = SSL_CTX_use_certificate_chain_file(ctx, options->cert) == 1;
	if (!has_cert)
		complain(o, "cert", options->cert);
	bool has_key = SSL_CTX_use_PrivateKey_file(ctx, options->key, SSL_FILETYPE_PEM) == 1;
	if (!has_key)
		complain(o, "key", options->key); /* also one that is not the certificate's */
	else if (has_cert && SSL_CTX_check_private_key(ctx) != 1)
		complain(o, "key", options->key);
	bool has_ca = !options->ca || SSL_CTX_load_verify_locations(ctx, options->ca, NULL) == 1;
	if (!has_ca)
		complain(o, "ca", options->ca);
	if (has_cert && has_ca && !read_extensions(ctx))
		o->err = ENOMEM;
	return has_cert && has_key && has_ca && !o->err;
}

static SSL_CTX *context_make(struct opening *o, const SSL_METHOD *method, const struct tls_options *options)
{
	SSL_CTX *ctx = SSL_CTX_new(method);
	bool is_13 = options->min && strcmp(options->min, "1.3") == 0;

	if (!ctx) {
		ERR_clear_error();
		o->err = ENOMEM;
		return NULL;
	}
	SSL_CTX_set_min_proto_version(ctx, is_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets are the peers' memory, not ours */
	if (!load(o, ctx, options)) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	return ctx;
}

static int verify_mode(const struct tls_options *options, enum tls_use use)
{
	switch (options->client_auth) {
	case TLS_CLIENT_NONE:
		return use == TLS_MSRP ? SSL_VERIFY_PEER : SSL_VERIFY_NONE;
	case TLS_CLIENT_OPTIONAL:
		return SSL_VERIFY_PEER;
	case TLS_CLIENT_REQUIRED:
		return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	}
	return SSL_VERIFY_NONE;
}

static SSL_CTX *server_make(struct opening *o, const struct tls_options *options, enum tls_use use)
{
	SSL_CTX *ctx = context_make(o, TLS_server_method(), options);
	unsigned char id[2] = { (unsigned char)use, (unsigned char)o->entry };

	if (!ctx)
		return NULL;
	SSL_CTX_set_verify(ctx, verify_mode(options, use), on_verify);
	SSL_CTX_set_session_id_context(ctx, id, sizeof(id));
	SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
	if (use == TLS_MSRP) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx, 0);
	} else {
		SSL_CTX_set_num_tickets(ctx, 1);
	}
	if (options->ca && options->client_auth != TLS_CLIENT_NONE)
		SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(options->ca));
	return ctx;
}

static SSL_CTX *client_make(struct opening *o, const struct tls_options *options)
{
	SSL_CTX *ctx = context_make(o, TLS_client_method(), options);

	if (ctx)
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	return ctx;
}

/* `AB:CD:...` */
static void print_digest(char *text, const uint8_t *digest, size_t n)
{
	for (size_t i = 0; i < n; i++)
		text += sprintf(text, i ? ":%02X" : "%02X", digest[i]);
}

static void write_fingerprint(struct tls_entry *entry)
{
	uint8_t digest[32];

	if (X509_digest(SSL_CTX_get0_certificate(entry->server[0]), EVP_sha256(), digest, NULL) == 1)
		print_digest(entry->fingerprint + sprintf(entry->fingerprint, "SHA-256 "), digest, sizeof(digest));
	ERR_clear_error();
}

/* A file is complained about once: the first context finds all that is wrong with it. */
static void entry_open(struct opening *o, const struct tls_options *options)
{
	struct tls_entry *entry = &o->set->entries[o->entry];

	entry->has_ca = options->ca != NULL;
	entry->judges_clients = options->client_auth != TLS_CLIENT_NONE;
	for (unsigned use = 0; use < TLS_USES; use++) {
		entry->server[use] = server_make(o, options, use);
		entry->client[use] = entry->server[use] ? client_make(o, options) : NULL;
		if (!entry->client[use])
			return;
	}
	write_fingerprint(entry);
}

static int bio_read(BIO *bio, char *p, int n);
static int bio_write(BIO *bio, const char *p, int n);

static long bio_control(BIO *bio, int command, long number, void *p)
{
	return command == BIO_CTRL_FLUSH; /* written is written */
}

static BIO_METHOD *method_make(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "slices");

	if (!method)
		return NULL;
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
	return method;
}

int tls_set_open(struct tls_set **out, const struct tls_options *entries, unsigned count,
	tls_complaint_handler handler, void *arg)
{
	struct tls_set *set = calloc(1, sizeof(*set) + count * sizeof(set->entries[0]));
	struct opening o = { .set = set, .complain = handler, .arg = arg };

	if (!set)
		return ENOMEM;
	atomic_init(&set->references, 1);
	set->count = count;
	set->method = method_make();
	int err = set->method ? 0 : ENOMEM;
	for (o.entry = 0; o.entry < count && err != ENOMEM; o.entry++) {
		o.err = 0;
		entry_open(&o, &entries[o.entry]);
		err = o.err ? o.err : err;
	}
	while (set->verifier < count && !set->entries[set->verifier].has_ca)
		set->verifier++;
	if (set->verifier == count)
		set->verifier = 0;
	if (err) {
		tls_set_drop(set);
		return err;
	}
	*out = set;
	return 0;
}

struct tls_set *tls_set_share(struct tls_set *set)
{
	atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
	return set;
}

void tls_set_drop(struct tls_set *set)
{
	if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < set->count; i++)
		for (unsigned use = 0; use < TLS_USES; use++) {
			SSL_CTX_free(set->entries[i].server[use]);
			SSL_CTX_free(set->entries[i].client[use]);
		}
	BIO_meth_free(set->method);
	free(set);
}

const char *tls_set_fingerprint(const struct tls_set *set, unsigned entry)
{
	assert(entry < set->count);
	return set->entries[entry].fingerprint;
}

bool tls_set_can_verify(const struct tls_set *set)
{
	return set->count && set->entries[set->verifier].has_ca;
}

/* ---- names ---- */

static bool has_sip_uri(const X509 *certificate, const char *name)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t n = strlen(name);
	bool is_found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !is_found; i++) {
		const GENERAL_NAME *alternative = sk_GENERAL_NAME_value(names, i);
		if (alternative->type != GEN_URI)
			continue;
		const ASN1_IA5STRING *uri = alternative->d.uniformResourceIdentifier;
		is_found = ASN1_STRING_length(uri) == (int)(n + 4) &&
			   strncasecmp((const char *)ASN1_STRING_get0_data(uri), "sip:", 4) == 0 &&
			   strncasecmp((const char *)ASN1_STRING_get0_data(uri) + 4, name, n) == 0;
	}
	GENERAL_NAMES_free(names);
	return is_found;
}

/* RFC 5922 7.1, 7.2: no wildcards. */
static bool bears_name(X509 *certificate, const char *name)
{
	return X509_check_host(certificate, name, 0, X509_CHECK_FLAG_NO_WILDCARDS, NULL) == 1 ||
	       X509_check_ip_asc(certificate, name, 0) == 1 || has_sip_uri(certificate, name);
}

/* Only the certificate changes with the name: who may come in is the listener's affair, and switching the
 * whole context would judge clients by the other entry's `ca`. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct tls *tls = SSL_get_app_data(ssl);
	STACK_OF(X509) *chain = NULL;

	if (!name || bears_name(SSL_get_certificate(ssl), name))
		return SSL_TLSEXT_ERR_OK;
	for (unsigned i = 0; i < tls->set->count; i++) {
		SSL_CTX *ctx = tls->set->entries[i].server[tls->use];
		X509 *certificate = SSL_CTX_get0_certificate(ctx);
		if (i == tls->entry || !bears_name(certificate, name))
			continue;
		SSL_CTX_get0_chain_certs(ctx, &chain);
		SSL_certs_clear(ssl);
		if (SSL_use_cert_and_key(ssl, certificate, SSL_CTX_get0_privatekey(ctx), chain, 1) == 1)
			return SSL_TLSEXT_ERR_OK;
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_NOACK; /* RFC 6066 3: the listener's own is shown */
}

/* ---- one connection ---- */

static int bio_read(BIO *bio, char *p, int n)
{
	struct tls *tls = BIO_get_data(bio);
	size_t part = tls->in.n < (size_t)n ? tls->in.n : (size_t)n;

	BIO_clear_retry_flags(bio);
	if (part == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(p, tls->in.p, part);
	tls->in = slice_skip(tls->in, part);
	return (int)part;
}

static int bio_write(BIO *bio, const char *p, int n)
{
	struct tls *tls = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if (!tls->put_error)
		tls->put_error = tls->put ? tls->put(tls->put_arg, slice_of(p, (size_t)n)) : ENOTCONN;
	return tls->put_error ? -1 : n;
}

static int on_verify(int is_good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *tls = SSL_get_app_data(ssl);
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);

	if (is_good && tls->is_client && X509_STORE_CTX_get_error_depth(store) == 0 &&
	    !bears_name(certificate, tls->name)) {
		X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
		is_good = 0;
	}
	if (!is_good && tls->verify_error == X509_V_OK)
		tls->verify_error = X509_STORE_CTX_get_error(store);
	return is_good || !tls->must_verify;
}

static struct tls *tls_make(struct tls_set *set, SSL_CTX *ctx, enum tls_use use)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	SSL *ssl = tls ? SSL_new(ctx) : NULL;
	BIO *bio = ssl ? BIO_new(set->method) : NULL;

	if (!bio) {
		SSL_free(ssl);
		free(tls);
		ERR_clear_error();
		return NULL;
	}
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, tls);
	tls->ssl = ssl;
	tls->set = tls_set_share(set);
	tls->use = use;
	tls->verify_error = X509_V_OK;
	return tls;
}

struct tls *tls_accept(struct tls_set *set, unsigned entry, enum tls_use use)
{
	assert(entry < set->count);
	struct tls *tls = tls_make(set, set->entries[entry].server[use], use);

	if (!tls)
		return NULL;
	tls->entry = entry;
	tls->must_verify = set->entries[entry].judges_clients;
	SSL_set_accept_state(tls->ssl);
	return tls;
}

static bool is_name(const char *text)
{
	return strspn(text, "0123456789.") != strlen(text) && !strchr(text, ':');
}

struct tls *tls_connect(struct tls_set *set, enum tls_use use, const char *name)
{
	if (set->count == 0 || (use == TLS_SIP && !tls_set_can_verify(set)))
		return NULL;
	struct tls *tls = tls_make(set, set->entries[set->verifier].client[use], use);
	if (!tls)
		return NULL;
	tls->is_client = true;
	tls->entry = set->verifier;
	tls->must_verify = use == TLS_SIP;
	snprintf(tls->name, sizeof(tls->name), "%s", name);
	SSL_set_connect_state(tls->ssl);
	if (is_name(name) && SSL_set_tlsext_host_name(tls->ssl, name) != 1) { /* RFC 6066 3: no literals */
		tls_free(tls);
		ERR_clear_error();
		return NULL;
	}
	return tls;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	tls_set_drop(tls->set);
	free(tls);
}

void tls_set_output(struct tls *tls, tls_put_handler put, void *arg)
{
	tls->put = put;
	tls->put_arg = arg;
}

void tls_feed(struct tls *tls, struct slice ciphertext)
{
	tls->in = ciphertext;
}

bool tls_has_input(const struct tls *tls)
{
	return tls->in.n > 0;
}

/* ---- going on ---- */

static enum tls_event lose(struct tls *tls)
{
	tls->is_lost = true;
	tls->in = SLICE_EMPTY;
	take_error(tls->error, sizeof(tls->error));
	if (tls->put_error)
		snprintf(tls->error, sizeof(tls->error), "%s", strerror(tls->put_error));
	else if (tls->must_verify && tls->verify_error != X509_V_OK)
		snprintf(tls->error, sizeof(tls->error), "certificate: %s",
			X509_verify_cert_error_string(tls->verify_error));
	return TLS_BAD;
}

/* What a call that did not succeed means. */
static enum tls_event judge(struct tls *tls, int result)
{
	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return tls->put_error ? lose(tls) : TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		return lose(tls);
	}
}

enum tls_event tls_read(struct tls *tls, char *plain, size_t size, size_t *n)
{
	int result;

	if (tls->is_lost)
		return TLS_BAD;
	ERR_clear_error();
	if (!tls->is_ready) {
		result = SSL_do_handshake(tls->ssl);
		if (result != 1)
			return judge(tls, result);
		tls->is_ready = true;
		return TLS_READY;
	}
	result = SSL_read_ex(tls->ssl, plain, size, n);
	return result == 1 ? TLS_DATA : judge(tls, result);
}

int tls_write(struct tls *tls, struct slice plain)
{
	size_t written = 0;

	if (tls->is_lost)
		return EPROTO;
	ERR_clear_error();
	if (plain.n == 0 || (SSL_write_ex(tls->ssl, plain.p, plain.n, &written) == 1 && written == plain.n))
		return 0;
	lose(tls); /* our output never blocks, so there is nothing to wait for */
	return tls->put_error ? tls->put_error : EPROTO;
}

void tls_shut(struct tls *tls)
{
	if (tls->is_lost || !tls->is_ready)
		return;
	ERR_clear_error();
	(void)SSL_shutdown(tls->ssl); /* what the peer answers is not waited for (RFC 8446 6.1) */
	ERR_clear_error();
}

/* ---- what it is ---- */

bool tls_is_client(const struct tls *tls)
{
	return tls->is_client;
}

bool tls_is_ready(const struct tls *tls)
{
	return tls->is_ready;
}

bool tls_is_resumed(const struct tls *tls)
{
	return SSL_session_reused(tls->ssl);
}

const char *tls_version(const struct tls *tls)
{
	return SSL_get_version(tls->ssl);
}

const char *tls_error(const struct tls *tls)
{
	return tls->error;
}

void tls_peer_certificate(const struct tls *tls, struct tls_certificate *certificate)
{
	X509 *shown = SSL_get1_peer_certificate(tls->ssl);

	*certificate = (struct tls_certificate){ .is_tls = true };
	certificate->is_shown = shown && X509_digest(shown, EVP_sha1(), certificate->sha1, NULL) == 1 &&
				X509_digest(shown, EVP_sha256(), certificate->sha256, NULL) == 1;
	X509_free(shown);
	ERR_clear_error();
}

bool tls_certificate_is(const struct tls_certificate *certificate, struct slice fingerprint)
{
	struct slice octets, name = slice_cut(slice_trim(fingerprint), ' ', &octets);
	char text[3 * sizeof(certificate->sha256) + 1];

	if (!certificate->is_shown)
		return false;
	if (slice_case_eq(name, SLICE("sha-256")))
		print_digest(text, certificate->sha256, sizeof(certificate->sha256));
	else if (slice_case_eq(name, SLICE("sha-1")))
		print_digest(text, certificate->sha1, sizeof(certificate->sha1));
	else
		return false;
	return slice_case_eq(slice_trim(octets), slice_str(text));
}

bool tls_peer_is_verified(const struct tls *tls)
{
	X509 *certificate = SSL_get1_peer_certificate(tls->ssl);
	bool has_shown = certificate != NULL;

	X509_free(certificate);
	return has_shown && tls->verify_error == X509_V_OK;
}
