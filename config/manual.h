/*
 * The reference of all keys as a man page, imserv.yaml(5): what --print-config says of each, and how they get there.
 * Thread: any.
 */
#ifndef CONFIG_MANUAL_H
#define CONFIG_MANUAL_H

#include <stdio.h>

/* In the language of man(7), from the rows of config/schema.def.  Errors stay in `out`. */
void config_manual(FILE *out);

#endif
