/*
 * What a request is for and to whom, RFC 9112 3.2 and 5, before anything is decided: libmicrohttpd takes
 * more than a server should that lets nobody in by Host.
 *
 * Thread: that of the connection.
 */
#ifndef ACTORS_HTTP_REQUEST_H
#define ACTORS_HTTP_REQUEST_H

#include <microhttpd.h>

#define HTTP_HOST_MAX 264 /* a name of 255 octets, a colon and a port */

/* The path in a target: itself, or what is behind the host of an absolute `http://host/path`. */
const char *http_request_path(const char *target);

/* The host that the target names if it is absolute (then Host does not matter), else that of Host; NULL: none.
 * `room` is where the first kind is written. */
const char *http_request_host(struct MHD_Connection *connection, const char *target, char room[HTTP_HOST_MAX]);

/* 0, or 400 and *why: no Host or two, a name that is no token, a header twice of which there can be one, a body
 * of two lengths. */
unsigned http_request_refuses(struct MHD_Connection *connection, const char *version, const char **why);

/* For MHD_OPTION_UNESCAPE_CALLBACK: an escaped NUL stays escaped, it would end the text. */
size_t http_request_unescape(void *arg, struct MHD_Connection *connection, char *text);

#endif
