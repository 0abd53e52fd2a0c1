/*
 * Group advertisements (Appendix E.1.5 to E.1.9; D1-12, D2-37, D2-38): a
 * MESSAGE that tells of groups.  It is one by its Content-Type alone.
 *
 * Any thread.
 */
#ifndef ACTORS_GROUP_ADVERTISEMENT_H
#define ACTORS_GROUP_ADVERTISEMENT_H

#include "core/slice.h"

#define GROUP_ADVERTISEMENT_TYPE "application/vnd.IM.group-advertisement+xml"

/* By the schema of E.1.8, in any of the namespaces that the text spells; elements of other namespaces are nobody's
 * business.  Without memory it counts as valid: it is passed on as it is. */
bool group_advertisement_is_valid(struct slice document, size_t xml_bytes);

#endif
