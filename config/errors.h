/*
 * What is wrong with a configuration, collected so that an operator sees all of it at once.  A
 * warning does not keep the server from starting.
 *
 * Thread: main.  Owner: the caller of config_load; start from zero
 * (`struct config_errors errors = { 0 };`), end with config_errors_free.
 */
#ifndef CONFIG_ERRORS_H
#define CONFIG_ERRORS_H

#include <stdbool.h>
#include <stdio.h>

#define CONFIG_ERRORS_MAX 200u /* what is beyond is counted, not kept */

struct config_error {
	bool is_warning;
	char *source; /* the file, "embedded default", or the whole --set option      */
	unsigned line; /* from 1; 0 when there is none (--set, a rule over many keys) */
	char *key;    /* "limits.unbound", "listen[0].address"; empty for the whole   */
	char *text;   /* what was found and what is expected                         */
};

struct config_errors {
	struct config_error *list;
	unsigned count;	   /* entries of list: errors and warnings in the order found */
	unsigned errors;   /* how many are errors, those beyond the limit included    */
	unsigned warnings; /* how many are warnings                                   */
	bool out_of_memory; /* something could not be kept                            */
};

/* Where a value came from.  `source` lives as long as the load. */
struct config_place {
	const char *source;
	unsigned line;
};

__attribute__((format(printf, 4, 5))) void config_error(struct config_errors *errors,
	struct config_place place, const char *key, const char *format, ...);
__attribute__((format(printf, 4, 5))) void config_warning(struct config_errors *errors,
	struct config_place place, const char *key, const char *format, ...);

/* One a line: `FILE:LINE: KEY: TEXT`, `--set KEY=VALUE: KEY: TEXT`; warnings have `warning: ` before
 * the text. */
void config_errors_print(const struct config_errors *errors, FILE *out);

/* Moves the errors of `from`, without its warnings, behind those of `errors`; `from` is empty afterwards. */
void config_errors_take(struct config_errors *errors, struct config_errors *from);

void config_errors_free(struct config_errors *errors);

#endif
