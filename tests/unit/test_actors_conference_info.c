/* actors/conference_info.c: documents of RFC 4575, word by word, and against what its schema says of each element. */
#include "actors/conference_info.h"

#include "core/xml.h"
#include "tests/unit/test.h"

#define NAMESPACE "urn:ietf:params:xml:ns:conference-info"

struct user {
	const char *entity, *display_text;
	enum conference_status status;
};

static struct slice text_of(const char *text)
{
	return text ? slice_str(text) : SLICE_EMPTY;
}

/* In memory of exactly the size that was promised to do. */
static struct slice make(char **memory, const char *entity, uint32_t version, bool is_full, const struct user *users, size_t n)
{
	size_t room = conference_info_octets(slice_str(entity));

	for (size_t i = 0; i < n; i++)
		room += conference_info_user_octets(slice_str(users[i].entity), text_of(users[i].display_text));
	*memory = malloc(room);
	struct buffer out = buffer_over(*memory, room);
	conference_info_head(&out, slice_str(entity), version, is_full);
	for (size_t i = 0; i < n; i++)
		conference_info_user(&out, slice_str(users[i].entity), text_of(users[i].display_text), users[i].status);
	conference_info_end(&out);
	assert_false(out.overflow);
	return buffer_slice(&out);
}

#define HEAD "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<conference-info xmlns=\"" NAMESPACE "\" entity=\""
#define END  "</users>\r\n</conference-info>\r\n"

static void documents(void **state)
{
	static const struct user users[] = {
		{ "sip:bob@example.com", "Bob <\"B&B\">", CONFERENCE_CONNECTED },
		{ "sip:anonymous2@anonymous.invalid", NULL, CONFERENCE_ALERTING },
		{ "sip:c%20d@example.com;x='1'", NULL, CONFERENCE_DISCONNECTED },
	};
	char *memory;
	struct slice got = make(&memory, "sip:group1@example.com", 7, false, users, 3);

	CHECK(slice_eq(got, SLICE(HEAD "sip:group1@example.com\" state=\"partial\" version=\"7\">\r\n<users state=\"partial\">\r\n"
		"<user entity=\"sip:bob@example.com\"><display-text>Bob &lt;&quot;B&amp;B&quot;&gt;</display-text>"
		"<endpoint entity=\"sip:bob@example.com\"><status>connected</status></endpoint></user>\r\n"
		"<user entity=\"sip:anonymous2@anonymous.invalid\">"
		"<endpoint entity=\"sip:anonymous2@anonymous.invalid\"><status>alerting</status></endpoint></user>\r\n"
		"<user entity=\"sip:c%20d@example.com;x=&apos;1&apos;\">"
		"<endpoint entity=\"sip:c%20d@example.com;x=&apos;1&apos;\"><status>disconnected</status></endpoint></user>\r\n"
		END)), "got:\n%.*s\n", SLICE_ARG(got));
	REQ("IM-7.2.2.11-5", "IM-7.2.2.11-7", "IM-7.2.2.11-13", "IM-7.2.2.11-14", "IM-7.2.2.11-15", "IM-7.2.2.11-16", "IM-7.2.2.11-17");
	free(memory);
	got = make(&memory, "sip:x@example.com", UINT32_MAX, true, NULL, 0);
	CHECK(slice_eq(got, SLICE(HEAD "sip:x@example.com\" state=\"full\" version=\"4294967295\">\r\n<users state=\"full\">\r\n" END)),
		"got:\n%.*s\n", SLICE_ARG(got));
	free(memory);
}

static struct slice attribute(const struct xml_node *node, const char *name)
{
	struct slice value;

	CHECK(xml_attribute(node, SLICE_EMPTY, slice_str(name), &value), "no %s\n", name);
	return value;
}

/* What the schema of RFC 4575 wants of a user, and nothing that 7.2.2.11 does not name. */
static void check_user(const struct xml_node *node, const struct user *want)
{
	const struct xml_node *child = xml_first(node);

	assert_true(xml_is(node, SLICE(NAMESPACE), SLICE("user")));
	assert_true(slice_eq(attribute(node, "entity"), slice_str(want->entity)));
	if (want->display_text) {
		assert_true(xml_is(child, SLICE(NAMESPACE), SLICE("display-text")));
		assert_null(xml_first(child));
		child = xml_next(child);
	}
	assert_true(child && xml_is(child, SLICE(NAMESPACE), SLICE("endpoint")));
	assert_true(slice_eq(attribute(child, "entity"), slice_str(want->entity)));
	assert_true(xml_is(xml_first(child), SLICE(NAMESPACE), SLICE("status")));
	assert_null(xml_next(xml_first(child)));
	assert_null(xml_next(child));
}

/* Whatever stands in a name, the document is one, of the form that the schema wants. */
static void documents_of_hostile_names(void **state)
{
	static const struct user users[] = {
		{ "sip:a@example.com", "]]></display-text><user entity=\"x\">", CONFERENCE_CONNECTED },
		{ "sip:b@example.com\"><status>", "\xff\xfe\x01", CONFERENCE_CONNECTED },
		{ "sip:c@example.com", "<!DOCTYPE x>&amp;&#0;", CONFERENCE_DISCONNECTED },
		{ "", " ", CONFERENCE_ALERTING },
	};
	size_t count = sizeof(users) / sizeof(users[0]);
	char *memory;
	struct slice got = make(&memory, "sip:g'\"<@example.com", 1, true, users, count);
	struct xml *xml;

	assert_int_equal(xml_parse(&xml, got, &(struct xml_limits){ 65536, 8 }), XML_OK);
	const struct xml_node *root = xml_root(xml), *list = xml_first(root), *user = xml_first(list);
	assert_true(xml_is(root, SLICE(NAMESPACE), SLICE("conference-info")));
	assert_true(slice_eq(attribute(root, "entity"), SLICE("sip:g'\"<@example.com")));
	assert_true(slice_eq(attribute(root, "state"), SLICE("full")) && slice_eq(attribute(root, "version"), SLICE("1")));
	assert_true(xml_is(list, SLICE(NAMESPACE), SLICE("users")) && !xml_next(list));
	for (size_t i = 0; i < count; i++, user = xml_next(user)) {
		assert_non_null(user);
		check_user(user, &users[i]);
	}
	assert_null(user);
	xml_free(xml);
	free(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents),
		cmocka_unit_test(documents_of_hostile_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
