/*
 * What kinds of documents there are (XCAP application usages, RFC 4825 5;
 * design.md 10, 13), and what makes one of them valid.
 *
 * Any thread.
 */
#ifndef ACTORS_DOCUMENT_USAGE_H
#define ACTORS_DOCUMENT_USAGE_H

#include "core/xml.h"
#include "sip/transport.h"

enum document_fault_kind {
	DOCUMENT_VALID,
	DOCUMENT_AGAINST_SCHEMA,
	DOCUMENT_NOT_UNIQUE,         /* `field` says of what there can be one */
	DOCUMENT_AGAINST_CONSTRAINT, /* of this server */
};

/* What is wrong; texts live as long as the process. */
struct document_fault {
	enum document_fault_kind kind;
	const char *phrase, *field;
};

struct document_usage {
	const char *auid, *media_type, *name_space; /* of names without prefix in node selectors */
	void (*check)(const struct xml *document, const struct sip_options *sip, struct document_fault *fault);
	bool is_made; /* by the server: it can be read, and parts of it removed; check is NULL */
	bool has_access_rules; /* a change is to be heard of by the owner's worker */
	bool has_groups;       /* ... by the groups' workers */
};

/* NULL: nobody knows it. */
const struct document_usage *document_usage_of(struct slice auid);

#endif
