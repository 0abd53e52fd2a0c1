/*
 * Copies of SIP messages as a capture file (the classic pcap format, microseconds, link type RAW): one record a
 * message, which any tool of that trade opens.  The IP and UDP heads are made up, for what came by TCP or TLS too: a
 * stream has no datagrams, and TLS is in clear here; what carried it says the Via.  No content and no credentials:
 * see sip/copy.h.
 *
 * Pure functions over memory of the caller; any thread.
 */
#ifndef SIP_PCAP_H
#define SIP_PCAP_H

#include "core/buffer.h"
#include "sip/copy.h"

#define SIP_PCAP_PACKET_MAX 65535
#define SIP_PCAP_RECORD_MAX (16 + SIP_PCAP_PACKET_MAX)

/* What a file begins with. */
void sip_pcap_write_head(struct buffer *out);

/* One record.  A message that is longer than a datagram can be is cut, and the record says how long it was. */
void sip_pcap_write(struct buffer *out, uint64_t wall_us, const struct sip_copy_ends *ends, const struct sip_message *m);

#endif
