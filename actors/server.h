/*
 * The process: sockets, workers and their end (design.md 2, 8).  Everything the
 * workers share is made here before they start.
 *
 * Thread: main.
 */
#ifndef ACTORS_SERVER_H
#define ACTORS_SERVER_H

#include "config/config.h"

struct server;

/* Binds, starts the workers and HTTP.  0, or an errno after saying on the log what failed: then *out is
 * what had been made, which threads may still use, and the process must end.  `config` and `source`, what it
 * was read from, must outlive the server. */
int server_start(struct server **out, struct config *config, const struct config_source *source);

/* The line that tools wait for (design.md 8), with the real ports. */
void server_print_ready(const struct server *server, FILE *out);

/* The log's level, format and sink.  0 or an errno; nothing has changed then. */
int server_open_log(const struct config *config);

/* SIGHUP: the configuration is read again, see actors/reload.h. */
void server_reload(struct server *server);

/* Tells the service manager that all workers turn, if it asked for that and they do.  Returns in how many ms to
 * call it again; UINT64_MAX: never. */
uint64_t server_watch(struct server *server);

/* No new work; returns when nothing is left, or when runtime.drain is over and the sessions that were
 * left got their BYE, or at once when a second SIGTERM or SIGINT comes. */
void server_drain(struct server *server);

/* Stops the workers and frees everything. */
void server_stop(struct server *server);

#endif
