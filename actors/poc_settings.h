/*
 * application/poc-settings+xml (RFC 4354, extended by Appendix E of the specification): what of a document concerns
 * the IM service.  Decisions D1-05, D2-33 to D2-36: both spellings of visibility, service-id IM with its synonym or
 * none, settings of other services ignored whatever they look like.
 *
 * Any thread.
 */
#ifndef ACTORS_POC_SETTINGS_H
#define ACTORS_POC_SETTINGS_H

#include "core/xml.h"

#define POC_SETTINGS_TYPE "application/poc-settings+xml"
#define POC_SETTINGS_EVENT "poc-settings"

enum poc_setting {
	SETTING_SESSION_BARRING,
	SETTING_PAGER_BARRING, /* of large messages too (CR002 5.2.4) */
	SETTING_OFFLINE_DELIVERY,
	SETTING_VISIBLE,
	SETTING_HISTORY,
};

/* Bits, 1u << SETTING_...  The store has them: their numbers do not change. */
struct poc_settings {
	uint32_t known; /* the document has them */
	uint32_t on;    /* of these */
};

/* XML_MALFORMED also for what breaks the schema; `why` is then a text for the log.  Only XML_OK sets *out. */
enum xml_verdict poc_settings_read(struct poc_settings *out, struct slice text, const struct xml_limits *limits,
	const char **why);

#endif
