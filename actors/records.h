/*
 * What is written down besides the log, by threads of its own: call detail records (log.cdr), copies of SIP messages
 * (log.hep), capture files of traces (log.trace_dir).  Turned in two steps, so that a reload does all of them or none.
 *
 * Thread: main.
 */
#ifndef ACTORS_RECORDS_H
#define ACTORS_RECORDS_H

#include "actors/im.h"

struct record_target;
struct sip_hep_target;

struct records_turn {
	struct record_target *cdr;
	struct sip_hep_target *hep;
	int trace_dir; /* -1: off */
	const char *failed_key, *failed_name; /* where preparing it failed, and the file there; the configuration's */
};

#define RECORDS_COUNTERS 2 /* structs of counters that records_open() appends */

/* As server->config says.  0, or errno after saying on the log what is wrong.  The counters live until
 * records_close(). */
int records_open(struct im_server *server, struct counters **counters, unsigned *counters_count);

/* What `config` asks for, opened beside what is in use: 0, or errno after saying on the log what is wrong; then
 * nothing has changed.  Also when nothing is different: a file that was renamed is left. */
int records_prepare(struct im_server *server, const struct config *config, struct records_turn *turn);
/* One of them follows; neither can fail. */
void records_turn(struct im_server *server, struct records_turn *turn);
void records_forget(struct records_turn *turn);

/* Once the workers have ended: writes what is queued. */
void records_close(struct im_server *server);

#endif
