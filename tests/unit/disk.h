/*
 * A disk for the tests of the store: sqlite's own, as its default VFS, that fails when it is told to, and
 * remembers what was written and synced, so that the files can be made as a power cut would leave them.
 *
 * Thread: any for what sqlite calls; the functions here are the test's.
 */
#ifndef TESTS_UNIT_DISK_H
#define TESTS_UNIT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_file { DISK_DATABASE, DISK_LOG, DISK_FILES }; /* what is at PATH and PATH-wal */
enum disk_call { DISK_READ, DISK_WRITE, DISK_SYNC };
enum disk_error { DISK_FULL, DISK_IO };

/* Before the first store is opened. */
void disk_install(void);

/* The `nth` call from now on (1: the next) of this kind on this file fails, and all after it until
 * disk_heal().  True from disk_has_failed(): it came to that. */
void disk_fail(enum disk_file file, enum disk_call call, enum disk_error error, unsigned nth);
bool disk_has_failed(void);
void disk_heal(void);

struct sqlite3;
struct sqlite3_stmt;
/* How sqlite will run a statement, step by step; *to is terminated, "" when it has nothing to look for. */
void disk_explain(struct sqlite3 *db, struct sqlite3_stmt *statement, char *to, size_t n);
/* It must read them again. */
void disk_forget_pages(struct sqlite3 *db);

/* On a file that nobody has open. */
void disk_run_sql(const char *path, const char *sql);

/* The `nth` allocation of sqlite from now on fails, that one alone; disk_has_failed() and disk_heal() as above. */
void disk_fail_memory(unsigned nth);

/* Each read takes so long. */
void disk_slow_reads(unsigned ms);

/* ---- power cuts ---- */

/* From here on everything is remembered; what is in the files of `path` now is safe. */
void disk_record(const char *path);
void disk_stop_recording(void);
/* As if `synchronous` were off: a sync is none. */
void disk_forget_syncs(bool yes);
/* What the test noted happened now. */
void disk_note(unsigned note);

/* SYNCING: all was written and nothing is safe yet. */
enum disk_event { DISK_WRITTEN, DISK_SYNCING, DISK_SYNCED, DISK_NOTED };

/* Goes through what was remembered, from the beginning. */
void disk_rewind(void);
/* False: there is no more.  *note for DISK_NOTED. */
bool disk_step(enum disk_event *event, unsigned *note);

/* How many of this file are remembered. */
unsigned disk_syncs(enum disk_file file);

/* The files as they are when the power fails now: `unsynced` says what becomes of each write that no sync
 * followed.  MIXED: some are there, some not, some of others only single sectors. */
enum disk_unsynced { DISK_LOST, DISK_KEPT, DISK_MIXED };
void disk_make_files(const char *path, enum disk_unsynced unsynced, uint64_t seed);

#endif
