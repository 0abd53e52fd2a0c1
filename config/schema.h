/*
 * The keys of the configuration as a table, one row of config/schema.def each.  The row is the
 * reader, the range check, the line of --print-config and the manual.
 *
 * Thread: main.  Constant.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/config.h"
#include "config/tree.h"

/* How a value is written, and what the target field must be. */
enum schema_type {
	TYPE_BOOL,     /* true, false                          bool                   */
	TYPE_COUNT,    /* 100                                  unsigned               */
	TYPE_AUTO,     /* auto (kept as 0) or a count          unsigned               */
	TYPE_RATE,     /* 100/s                                unsigned               */
	TYPE_SIZE,     /* 64KiB                                uint64_t, octets       */
	TYPE_TIME,     /* 30s                                  uint64_t, milliseconds */
	TYPE_TIME_US,  /* 500us                                uint64_t, microseconds */
	TYPE_CHOICE,   /* one word of ->choices                enum                   */
	TYPE_CHOICES,  /* [word, word]                         unsigned, bits         */
	TYPE_TEXT,     /* anything                             char *                 */
	TYPE_PATH,     /* a file                               char *                 */
	TYPE_HOST,     /* name or address                      char *                 */
	TYPE_ADDRESS,  /* 127.0.0.1:5060                       char *                 */
	TYPE_USER,     /* user part of a SIP URI               char *                 */
	TYPE_URI,      /* sip:user@host or sip:host            char *                 */
	TYPE_HOP,      /* sip:HOST[:PORT][;transport=..]       char *                 */
	TYPE_TEXTS,    /* [text, text]                         struct text_list       */
	TYPE_HOSTS,    /* [host, host]                         struct text_list       */
	TYPE_TOKENS,   /* [header-name]                        struct text_list       */
	TYPE_NETWORKS, /* [10.0.0.0/8]                         struct network_list    */
};

#define ZERO_IS_OFF  1u	 /* 0 is allowed below the minimum: off or unlimited */
#define EMPTY_IS_OFF 2u	 /* an empty text is allowed                         */
#define RESTART_ONLY 4u	 /* a reload does not change it                      */
#define NOT_YET	     8u	 /* read, checked and printed; nothing acts on it    */
#define POWER_OF_TWO 16u
#define REQUIRED     32u /* of a list entry: must be given                   */

struct schema_choice {
	const char *word;
	unsigned value;
};

struct schema_key {
	const char *name;
	enum schema_type type;
	size_t offset, size;  /* of the target field in its struct                */
	const char *fallback; /* as YAML; NULL: the field stays NULL when not given */
	uint64_t min, max;    /* in the unit of the field                         */
	unsigned flags;
	const struct schema_choice *choices; /* ends with a NULL word */
	const char *help;
};

/* A mapping of keys, or a list of such mappings. */
struct schema_section {
	const char *name, *help;
	const struct schema_key *keys; /* ends with a NULL name */
	/* ---- lists only: struct { void *list; unsigned count; } at offset ---- */
	size_t offset, entry_size; /* entry_size 0: not a list */
};

extern const struct schema_section schema_sections[]; /* ends with a NULL name */

/* The key or section meant by a name nobody knows, or NULL when nothing is near. */
const char *schema_nearest_key(const struct schema_key *keys, struct slice name);
const char *schema_nearest_section(struct slice name);

#endif
