/*
 * What the commands of imservctl share: the words of the command line, asking the server, telling the result.
 *
 * Results go to standard output: text for people, or with --json one JSON document (trace: one per line), also
 * when the command failed: {"error":CODE,"reason":"..."}, CODE that of the server's answer or 0 when there is none.
 * What went wrong also goes to standard error, in a line for people.  One thread.
 */
#ifndef ACTORS_CTL_H
#define ACTORS_CTL_H

#include <jansson.h>
#include <stdbool.h>

#include "actors/admin_token.h"
#include "actors/ctl_http.h"
#include "core/buffer.h"

#define CTL_PATH_MAX 4096

/* How imservctl ends (design.md 8). */
enum ctl_exit { CTL_DONE, CTL_REFUSED, CTL_USAGE, CTL_UNREACHABLE };

struct ctl_command;

struct ctl {
	const struct ctl_command *command;
	char **words;             /* the command's own, its name first */
	int count;
	const char *api;
	const char *token_file;   /* what --token-file says; then also what was found */
	unsigned wait_ms;         /* for a server that says nothing */
	bool is_json;
	const char *user, *from, *to; /* options of `history search`; NULL: not given */
	const char *pcap;         /* of `trace`; NULL: not given */
	char token[ADMIN_TOKEN_MAX];
};

/* ---- ctl.c ---- */

/* Says what is wrong with the command line.  CTL_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_usage(const struct ctl *ctl, const char *format, ...);

/* ---- ctl_ask.c ---- */

/* A path of the API: the words `parts` (up to NULL), escaped, with slashes between.  False: too long. */
bool ctl_path(char path[CTL_PATH_MAX], const char *const *parts);
/* Everything that may stand in a path or a query without a meaning of its own stays, the rest is escaped. */
void ctl_put_escaped(struct buffer *out, const char *text);

/* The exit code; what went wrong has been told.  `json` and `text` may be NULL; on CTL_DONE what is not belongs to
 * the caller: *json the answer parsed, *text as it came, terminated, to be given to free(). */
int ctl_ask(const struct ctl *ctl, struct ctl_request *request, json_t **json, char **text);
/* Asks, and tells the answer with `tell`, or as JSON. */
int ctl_do(const struct ctl *ctl, struct ctl_request *request, void (*tell)(json_t *answer));

/* ---- ctl_output.c ---- */

/* `error` 0: no answer of a server. */
void ctl_tell_error(const struct ctl *ctl, unsigned error, const char *reason);
void ctl_print_json(json_t *json);
/* Without a line end; what there is no memory for shows in ctl_finish(), as does what cannot be written. */
void ctl_print_part(json_t *json, size_t flags);
/* Text of a server (and in the end of its peers) for a terminal: nothing in it moves the cursor. */
void ctl_print_clean(FILE *out, const char *text);
/* `name    value`, aligned. */
void ctl_print_field(const char *name, const char *value);
/* The text at `key`, or "". */
const char *ctl_text(json_t *object, const char *key);
long long ctl_number(json_t *object, const char *key);
/* 59s, 3m20s, 5h07m, 12d03h.  Negative is 0. */
void ctl_put_duration(struct buffer *out, double seconds);
/* 1023, 64.0K, 1.5M, ... of 1024 octets each. */
void ctl_put_octets(struct buffer *out, long long octets);
/* Whether all that was written went out; else says so and `code` becomes CTL_REFUSED, unless it is worse. */
int ctl_finish(int code);

/* ---- commands, each the exit code ---- */

int ctl_status(struct ctl *ctl);      /* ctl_status.c */
int ctl_drain(struct ctl *ctl);
int ctl_reload(struct ctl *ctl);
int ctl_sessions(struct ctl *ctl);    /* ctl_lists.c */
int ctl_conferences(struct ctl *ctl);
int ctl_mailbox(struct ctl *ctl);
int ctl_history(struct ctl *ctl);
int ctl_user(struct ctl *ctl);        /* ctl_user.c */
int ctl_doc(struct ctl *ctl);         /* ctl_doc.c */
int ctl_trace(struct ctl *ctl);       /* ctl_trace.c */

/* ---- the trace as JSON ---- */

/* One message of the trace, from its lines; NULL: no memory.  The first as sip/trace.h writes it, the others
 * behind a tab. */
json_t *ctl_trace_json(struct slice lines);

#endif
