#include "load-tests/flow_tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

struct flow_tls {
	SSL_CTX *context;
	SSL *ssl;
	bool wants_room;
};

struct flow_tls *flow_tls_new(int fd)
{
	struct flow_tls *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->context = SSL_CTX_new(TLS_client_method());
	t->ssl = t->context ? SSL_new(t->context) : NULL;
	if (!t->ssl || !SSL_set_fd(t->ssl, fd)) {
		flow_tls_free(t);
		return NULL;
	}
	/* what was not taken is offered again from elsewhere, for the queue behind it grows */
	SSL_set_mode(t->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_set_connect_state(t->ssl);
	return t;
}

void flow_tls_free(struct flow_tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	SSL_CTX_free(t->context);
	free(t);
}

bool flow_tls_wants_room(const struct flow_tls *t)
{
	return t && t->wants_room;
}

/* What a call that returned `n` came to: n, 0 closed, -1 with errno. */
static ssize_t outcome(struct flow_tls *t, int n)
{
	if (n > 0)
		return n;
	int error = SSL_get_error(t->ssl, n);
	t->wants_room = error == SSL_ERROR_WANT_WRITE;
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
	return -1;
}

static int at_most(size_t n)
{
	return n > INT_MAX ? INT_MAX : (int)n;
}

int flow_tls_handshake(struct flow_tls *t)
{
	t->wants_room = false;
	ERR_clear_error();
	ssize_t n = outcome(t, SSL_do_handshake(t->ssl));
	return n > 0 ? 1 : n < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t flow_tls_read(struct flow_tls *t, char *p, size_t n)
{
	t->wants_room = false;
	ERR_clear_error();
	return outcome(t, SSL_read(t->ssl, p, at_most(n)));
}

ssize_t flow_tls_write(struct flow_tls *t, const char *p, size_t n)
{
	t->wants_room = false;
	ERR_clear_error();
	return outcome(t, SSL_write(t->ssl, p, at_most(n)));
}
