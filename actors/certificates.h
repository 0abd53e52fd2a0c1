/*
 * The certificates of a configuration, with what is wrong with them on the log.
 * Thread: main.
 */
#ifndef ACTORS_CERTIFICATES_H
#define ACTORS_CERTIFICATES_H

#include "config/config.h"
#include "core/tls.h"

/* *set: one reference, NULL when `config` names none.  0, or an errno after saying on the log what is wrong. */
int certificates_read(struct tls_set **set, const struct config *config);

#endif
