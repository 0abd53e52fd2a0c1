/*
 * What the service manager is told: the protocol of sd_notify(3), which is a datagram of VARIABLE=VALUE
 * lines to the AF_UNIX socket that NOTIFY_SOCKET names, a path or (`@`) an abstract name.  Without that
 * variable nothing is sent.  No library is needed for it.
 *
 * Thread: main.
 */
#ifndef CORE_NOTIFY_H
#define CORE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#define NOTIFY_MAX 2048 /* octets of one message; longer ones are cut at their end */

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.  A socket that cannot be used is said on the log, once. */
void notify_open(void);
void notify_close(void);

/* True: there is nobody to tell, or he was told.  False: not this time, as the log says. */
__attribute__((format(printf, 1, 2))) bool notify_say(const char *format, ...);

/* RELOADING=1 with the clock that the manager compares (MONOTONIC_USEC). */
void notify_reloading(void);

/* Within how many microseconds the manager wants to hear WATCHDOG=1; 0: it does not. */
uint64_t notify_watchdog_us(void);

#endif
