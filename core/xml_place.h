/*
 * Where the elements and attributes of an XML document are in its text, for
 * whoever changes a part of it and leaves the rest as its author wrote it
 * (RFC 4825).  Pure functions over the text: no memory, no network, no entities.
 *
 * The text may be anything: what is no XML is not found, and nothing is read beyond its end.  Whether it is
 * well-formed is for xml_parse() to say; names of end tags, for one, are not compared here.
 *
 * Any thread.
 */
#ifndef CORE_XML_PLACE_H
#define CORE_XML_PLACE_H

#include "core/buffer.h"

/* An element; the numbers are octets from the beginning of the text. */
struct xml_place {
	size_t begin, end;             /* from its `<` to behind its last `>` */
	size_t content, content_end;   /* between the tags; the same when it is one tag */
	bool is_one_tag;               /* <a/> */
	struct slice name;             /* with prefix, as it is in the text */
	struct slice attributes;       /* of the start tag, behind the name */
};

/* False: the text has no element. */
bool xml_place_root(struct slice text, struct xml_place *root);
/* False: none, or no other. */
bool xml_place_first(struct slice text, const struct xml_place *parent, struct xml_place *child);
bool xml_place_next(struct slice text, const struct xml_place *parent, struct xml_place *child);

struct xml_attribute_place {
	struct slice name;  /* with prefix */
	struct slice value; /* between the quotes, references as they are */
	struct slice whole; /* with its quotes, and the blanks before it */
};

/* Takes the next one off `attributes`.  False: that was all. */
bool xml_place_attribute(struct slice *attributes, struct xml_attribute_place *attribute);

/* Appends what a value means: references of characters and of the five entities decoded, blanks as spaces.
 * False: a reference that is none. */
bool xml_place_decode(struct buffer *out, struct slice value);
/* Appends `text` so that it means itself in content and between either kind of quotes. */
void xml_place_escape(struct buffer *out, struct slice text);

#endif
