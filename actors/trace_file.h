/*
 * Capture files of traces (log.trace_dir): each trace that somebody begins is also written there, so that what was
 * seen can be looked at later, with Wireshark for instance.
 *
 * Files are 0600 and named USER-TIME.pcap.  Bounded: TRACE_FILES_MAX in the directory, TRACE_FILE_OCTETS_MAX each;
 * who wants more removes old ones.  Thread: prepare and turn main, open any that is no worker.
 */
#ifndef ACTORS_TRACE_FILE_H
#define ACTORS_TRACE_FILE_H

#include "core/slice.h"

#define TRACE_FILES_MAX       100
#define TRACE_FILE_OCTETS_MAX ((uint64_t)64 << 20)

/* *directory is a descriptor of `path`, which is made (0700) if it is missing; -1: off, for NULL.  0 or errno. */
int trace_files_prepare(const char *path, int *directory);
/* Takes the descriptor over; files that are open go on. */
void trace_files_turn_to(int directory);

/* *file is -1 while it is off.  0, EMFILE (too many files there), or the system's errno. */
int trace_file_open(struct slice canonical, int *file);

#endif
