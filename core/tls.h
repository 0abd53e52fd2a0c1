/*
 * TLS 1.2 and 1.3 (RFC 5246, RFC 8446) from memory to memory: certificates, the
 * handshake, records.  It knows no socket: core/stream feeds it what arrived and
 * sends what it puts out.
 *
 * A set is every certificate of one configuration, ready for use: made by main,
 * shared by all workers, never changed.  A reload makes a new one; connections
 * keep the one that they began with.  A struct tls is one connection.
 *
 * Thread: a set: any; a struct tls: whoever has its stream, at most one at a time.
 */
#ifndef CORE_TLS_H
#define CORE_TLS_H

#include <stdbool.h>

#include "core/options.h"
#include "core/slice.h"

#define TLS_PLAIN_MAX 16384 /* of one record */

struct tls_set;
struct tls;

/*
 * SIP: session tickets; a client must show what tls[].client_auth demands.  MSRP: no tickets, because
 * the connection may move to another worker; a client is always asked for its certificate and may show
 * any (design.md 2), client_auth only makes that stricter.
 */
enum tls_use { TLS_SIP, TLS_MSRP, TLS_USES };

/* What is wrong with which key ("cert", "key", "ca") of which entry. */
typedef void (*tls_complaint_handler)(void *arg, unsigned entry, const char *key, const char *text);

/* Reads all files of `entries`, whose paths are as the process opens them.  0; EINVAL after every
 * complaint there is; ENOMEM.  The caller owns one reference. */
int tls_set_open(struct tls_set **out, const struct tls_options *entries, unsigned count,
	tls_complaint_handler complain, void *arg);
struct tls_set *tls_set_share(struct tls_set *set);
void tls_set_drop(struct tls_set *set); /* NULL is allowed */

/* `SHA-256 AB:CD:...` of the entry's certificate, for a=fingerprint (RFC 8122 5); lives as long as the set. */
const char *tls_set_fingerprint(const struct tls_set *set, unsigned entry);
/* Some entry has a `ca`, by which servers that we connect to can be verified. */
bool tls_set_can_verify(const struct tls_set *set);

/* NULL: no memory.  A server shows the certificate of `entry`, or of the first other entry that bears the
 * name the client asks for (RFC 6066 3); `client_auth` and `ca` are those of `entry` in any case. */
struct tls *tls_accept(struct tls_set *set, unsigned entry, enum tls_use use);

/* As client.  SIP: the server's certificate must be of the `ca` of the first entry that has one, and bear
 * `name`, a host name or an address literal (RFC 5922 7.2).  MSRP: it is judged afterwards by
 * tls_peer_is_verified() or tls_certificate_is().  We show the certificate of that entry (of the
 * first, where none has a `ca`).  NULL: no memory, or there is nothing to verify by. */
struct tls *tls_connect(struct tls_set *set, enum tls_use use, const char *name);
void tls_free(struct tls *tls); /* NULL is allowed */

/* Where ciphertext goes.  `put` copies; an errno of its ends the connection. */
typedef int (*tls_put_handler)(void *arg, struct slice ciphertext);
void tls_set_output(struct tls *tls, tls_put_handler put, void *arg);

enum tls_event {
	TLS_MORE,   /* everything fed is used up                                          */
	TLS_READY,  /* the handshake is over; once                                        */
	TLS_DATA,   /* *n octets of plaintext                                             */
	TLS_CLOSED, /* close_notify: the peer writes no more                              */
	TLS_BAD,    /* it is lost: tls_error() says why; an alert for the peer was put out */
};

/* Ciphertext that arrived; it must stay until tls_read() said MORE, CLOSED or BAD. */
void tls_feed(struct tls *tls, struct slice ciphertext);
bool tls_has_input(const struct tls *tls);
/* Goes on with the handshake or reads a record; a client begins with it, having fed nothing.  `size` at
 * least TLS_PLAIN_MAX. */
enum tls_event tls_read(struct tls *tls, char *plain, size_t size, size_t *n);

/* After READY.  0, or an errno and the connection is lost. */
int tls_write(struct tls *tls, struct slice plain);
/* Puts close_notify out. */
void tls_shut(struct tls *tls);

bool tls_is_client(const struct tls *tls);
bool tls_is_ready(const struct tls *tls);
bool tls_is_resumed(const struct tls *tls);
const char *tls_version(const struct tls *tls); /* "TLSv1.3" */
const char *tls_error(const struct tls *tls);

/* What is remembered of a peer's certificate: a plain value, which may be sent to other workers. */
struct tls_certificate {
	bool is_tls, is_shown;
	uint8_t sha1[20], sha256[32];
};

void tls_peer_certificate(const struct tls *tls, struct tls_certificate *certificate);
/* It has been shown and is the one that an a=fingerprint names by SHA-1 or SHA-256 (RFC 8122 5). */
bool tls_certificate_is(const struct tls_certificate *certificate, struct slice fingerprint);
/* The peer has shown a certificate of the `ca`, with the name given to tls_connect(). */
bool tls_peer_is_verified(const struct tls *tls);

#endif
