/* Groups as their files share them.  Private to actors/group*.c. */
#ifndef ACTORS_GROUP_INTERNAL_H
#define ACTORS_GROUP_INTERNAL_H

#include "actors/common_policy.h"
#include "actors/group.h"

enum { GROUP_RULE_SILENT, GROUP_RULE_FALSE, GROUP_RULE_TRUE };

struct group_rule {
	uint8_t actions[GROUP_ACTIONS]; /* what it says of each */
	struct policy_conditions when;
};

struct group_rules {
	unsigned count;
	bool are_about_members; /* some rule has is-list-member */
	const struct group_rule *rules;
	struct policy_names names;
};

/* The canonical name of a list-service; false: it has none. */
bool group_service_name(const struct xml_node *service, const struct sip_home *home, struct buffer *out);
/* The list-service of that name; NULL: the document has none such. */
const struct xml_node *group_service_of(const struct xml *document, struct slice canonical, const struct sip_home *home);

/* Of canonical names, as memcmp(); a beginning of a name is before it. */
int group_name_order(struct slice a, struct slice b);

/* A document was changed: to the worker of a group that it defines or defined.  Takes over the holding of `now`. */
struct group_news {
	struct msg msg;
	struct group *now; /* NULL: it defines it no more */
	uint64_t etag;     /* of the document as it is now; of the one that went */
	size_t canonical_n;
	char canonical[];
};

#endif
