/*
 * How many connections of one address have not shown what they are for
 * (limits.conns_per_ip): SIP ones without a valid message, MSRP ones without a
 * session.  Counted over all workers and both protocols.
 *
 * Addresses share PEER_COUNT_BUCKETS counters by a keyed hash: nobody can aim
 * for another's counter, and an accident needs a flood and bad luck.
 * Any thread, after peer_count_init().
 */
#ifndef CORE_PEER_COUNT_H
#define CORE_PEER_COUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEER_COUNT_BUCKETS 65536

/* Before the workers start. */
void peer_count_init(const uint8_t key[16]);

/* False: `max` are there already (0: no limit), nothing was counted.  True: counted in *bucket, until
 * peer_count_leave(). */
bool peer_count_enter(const struct sockaddr_storage *peer, unsigned max, unsigned *bucket);
void peer_count_leave(unsigned bucket);

#endif
