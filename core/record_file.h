/*
 * A file to which workers append whole lines, written by an outlet's thread.
 *
 * A crash of the process loses what was queued (some milliseconds), one of the machine also what the kernel had not
 * yet written.  While a disk is full what comes waits in the queue (RECORD_QUEUE_OCTETS), and only what does not
 * fit there is lost, counted (cdr_lost) and said.  The last line is whole: what a full disk cut off is completed
 * later or taken back, and a file that ends inside a line (after a power cut) gets a new one.
 *
 * Thread: record_file_put() any; the rest the main thread.  Owner: who opened it.
 */
#ifndef CORE_RECORD_FILE_H
#define CORE_RECORD_FILE_H

#include "core/outlet.h"

#define RECORD_QUEUE_OCTETS ((size_t)16 * 1024 * 1024)

struct record_file;
struct record_target;

/* 0 or ENOMEM; off until it has a target. */
int record_file_make(struct record_file **out, size_t queue_octets);

/* Opens or creates `path` (0640; NULL: off) beside the one in use: 0 or errno.  The turn then cannot fail.  The same
 * path again is the new file, where somebody has renamed the old one. */
int record_file_prepare(struct record_file *file, const char *path, struct record_target **target);
void record_file_turn_to(struct record_file *file, struct record_target *target);
void record_file_forget(struct record_target *target); /* prepared, but not to be used */

bool record_file_is_on(const struct record_file *file);

/* One line with its LF.  False: lost, the caller counts it. */
bool record_file_put(struct record_file *file, struct slice line);

/* Of its thread: cdr_records, cdr_lost.  Lives until record_file_free(). */
struct counters *record_file_counters(struct record_file *file);

/* Writes what is queued. */
void record_file_free(struct record_file *file);

#endif
