/*
 * The certificates that a configuration names, read from their files.
 *
 * Thread: main.
 */
#ifndef CONFIG_TLS_FILES_H
#define CONFIG_TLS_FILES_H

#include "config/config.h"
#include "core/tls.h"

/* As tls_set_open(), with paths against the directory of the configuration; entries are those of
 * config->tls.  *out is NULL when there are none. */
int config_tls_open(struct tls_set **out, const struct config *config, tls_complaint_handler complain,
	void *arg);

#endif
