/*
 * What an operator can set and the lower layers need (design.md 9).  config/
 * fills these structs from its schema before the workers start; afterwards
 * they are read-only, so any thread may look at them.
 * Sizes are octets, times milliseconds, rates per second; 0 is off or
 * unlimited where the schema says so.
 */
#ifndef CORE_OPTIONS_H
#define CORE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum io_kind { IO_AUTO, IO_URING, IO_EPOLL };

struct runtime_options {
	unsigned workers; /* 0 = auto: one per CPU the process may use */
	enum io_kind io;
	bool pin_cpus;
	unsigned ring_entries;
	unsigned recv_buffers;
	uint64_t recv_buffer_size;
	uint64_t drain_ms;
};

enum listen_proto { LISTEN_UDP, LISTEN_TCP, LISTEN_TLS, LISTEN_MSRP, LISTEN_MSRPS, LISTEN_HTTP };
enum listen_role { ROLE_BOTH, ROLE_ORIGINATING, ROLE_TERMINATING };
#define SERVE_METRICS 1u
#define SERVE_ADMIN   2u
#define SERVE_XCAP    4u

struct listen_options {
	enum listen_proto proto;
	char *address;                 /* as written: "127.0.0.1:5060", "[::1]:5060" */
	struct sockaddr_storage bind;  /* parsed; port 0 is allowed                   */
	enum listen_role role;
	char *tls;                     /* name in tls:[], NULL when absent            */
	char *advertise;               /* host to put into Via, Contact, path; or NULL */
	bool per_worker_ports;
	unsigned serve;                /* SERVE_*; all three when absent              */
};

struct tls_options {
	char *name, *cert, *key, *ca, *min;
	enum { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED } client_auth;
};

enum connect_to { CONNECT_TO_AUTO, CONNECT_TO_ANY, CONNECT_TO_SIGNALLED };

struct limits_options {
	uint64_t max_size_pager, max_size_1to1, max_size_1tom, max_size_file;
	unsigned max_adhoc_group, uri_list, mime_depth;
	uint64_t xml_bytes, header_bytes;
	unsigned conns_per_ip;
	uint64_t unbound_ms, chunk_stall_ms;
	uint64_t leg_high, leg_low, queued_bytes;
	uint64_t reattach_ms;
	enum connect_to connect_to;
	unsigned sessions;
	unsigned invite_rate, message_rate, register_rate, subscribe_rate;
};

struct timers_options {
	uint64_t session_expires_ms, min_se_ms, im_idle_ms, msrp_transaction_ms, client_answer_ms, t1_ms;
};

enum store_engine { STORE_SQLITE };
enum store_synchronous { STORE_FULL, STORE_NORMAL };

struct store_options {
	enum store_engine engine;
	char *path;
	enum store_synchronous synchronous;
	uint64_t group_commit_us, wal_limit;
};

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Where copies of SIP messages go (log.hep). */
struct hep_collector {
	char host[256]; /* a name, or an address without brackets; empty: off */
	uint16_t port;
	uint32_t capture_id;
};

struct log_options {
	enum log_level level;
	enum log_format format;
	char *sink;      /* stderr, journald, syslog or a file */
	char *cdr, *hep, *trace_dir;
};

#endif
