/* Text inside XML that we write.  Pure: any thread. */
#ifndef CORE_XML_TEXT_H
#define CORE_XML_TEXT_H

#include "core/buffer.h"

#define XML_TEXT_GROWTH 6 /* octets at most for each of `text` */

/* `text` so that it means itself in content and between either kind of quotes; what no XML 1.0 document may have
 * (control characters, what is not UTF-8, U+FFFE, U+FFFF) becomes U+FFFD. */
void xml_put_text(struct buffer *out, struct slice text);

#endif
