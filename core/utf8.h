/* UTF-8 (RFC 3629).  Pure: any thread. */
#ifndef CORE_UTF8_H
#define CORE_UTF8_H

#include "core/slice.h"

/* Octets of the character that `text`, which is not empty, begins with; 0: it begins with none. */
size_t utf8_character(struct slice text);

#endif
