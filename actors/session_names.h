/*
 * What one side of a session calls things, as the other side knows them (D1-15,
 * D1-16, design.md 4): our Contact <-> the other side's Contact, and the dialog
 * identifiers of Replaces and Target-Dialog.  What names nothing of this session
 * is passed on as it is.
 *
 * Thread: owning worker only.
 */
#ifndef ACTORS_SESSION_NAMES_H
#define ACTORS_SESSION_NAMES_H

#include "actors/session_internal.h"

/* A dialog identifier (RFC 3891 6.1, RFC 4538): slices into the header's value. */
struct dialog_name {
	struct slice call_id, to_tag, from_tag, params;
};

/* `call-id;to-tag=..;from-tag=..`, and for Target-Dialog local-tag (as from_tag) and remote-tag (as to_tag). */
bool dialog_name_read(struct slice value, struct dialog_name *name);

/* Replaces of one who is in a session of this worker, as the other side knows that dialog (D1-16).  False: nobody
 * knows it. */
bool session_map_replaces(struct im *im, struct slice value, struct buffer *out);

/* A URI from `from` as its other side gets it: parameters and headers that are no address are kept, and a
 * Replaces among its headers is mapped too. */
void session_map_uri(struct buffer *out, struct side *from, struct slice uri);

/* The parameters of a URI but those that say where it leads. */
void session_put_other_params(struct buffer *out, struct slice params);

/* Refer-To, Referred-By, Replaces, Target-Dialog: the value as the other side gets it. */
void session_map_value(struct buffer *out, struct side *from, enum sip_header_id id, struct slice value);

#endif
