/*
 * What of a MESSAGE each of many recipients gets as its body: all but the list
 * of recipients (RFC 5365 7.3), with the Content header lines that describe
 * it.  A multipart that has one part left is no multipart any more.  The same
 * octets serve all copies.
 *
 * Thread: owning worker only.  Owner: whoever holds it; freed with the last.
 */
#ifndef ACTORS_PAGER_CONTENT_H
#define ACTORS_PAGER_CONTENT_H

#include "sip/message.h"

struct pager_content {
	unsigned holders;
	struct slice lines; /* Content-Type and other Content-* header lines but Content-Length; whole lines */
	struct slice type;  /* value of Content-Type; empty: there is no body */
	struct slice body;
};

enum pager_content_verdict {
	PAGER_CONTENT_OK,
	PAGER_CONTENT_NONE,      /* there is nothing beside the list */
	PAGER_CONTENT_MALFORMED, /* its multipart */
	PAGER_CONTENT_NO_MEMORY,
};

/*
 * OK: *out has one holder.  `is_list`: the message is for its list, which may lack a Content-Disposition; otherwise
 * only a part that calls itself recipient-list is left out, which is nobody else's business.
 */
enum pager_content_verdict pager_content_make(struct pager_content **out, const struct sip_message *m, bool is_list,
	unsigned mime_depth);

struct pager_content *pager_content_hold(struct pager_content *content);
void pager_content_drop(struct pager_content *content); /* NULL is allowed */

#endif
