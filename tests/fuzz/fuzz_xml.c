/*
 * A document, as a body or by HTTP: whatever it is, nothing but what stands in it is found in it, within the limits;
 * read again it is the same, and as settings it says of no setting that it is on which it does not have.
 */
#include "tests/fuzz/fuzz.h"

#include "actors/poc_settings.h"

static const struct xml_limits limits = { 65536, 16 };

/* Elements there are as many as opening tags at most, and each is as deep as permitted. */
static size_t count_elements(const struct xml_node *node, unsigned depth)
{
	struct slice value;
	size_t n = 1;

	assert(depth < limits.depth && xml_name(node).n);
	assert(xml_is(node, xml_namespace(node), xml_name(node)));
	assert(!memchr(xml_name(node).p, '<', xml_name(node).n));
	(void)xml_text(node);
	(void)xml_attribute(node, SLICE_EMPTY, SLICE("active"), &value);
	for (const struct xml_node *child = xml_first(node); child; child = xml_next(child))
		n += count_elements(child, depth + 1);
	return n;
}

static size_t count_tags(struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '<';
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	struct slice text = fuzz_copy(slice_of((const char *)octets, n));
	struct poc_settings settings = { 0 }, again = { 0 };
	const char *why;
	struct xml *xml = NULL;
	enum xml_verdict verdict = xml_parse(&xml, text, &limits);

	assert((verdict == XML_OK) == (xml != NULL));
	if (xml)
		assert(count_elements(xml_root(xml), 0) <= count_tags(text));
	xml_free(xml);
	if (verdict == XML_DOCTYPE)
		assert(memmem(text.p, text.n, "<!DOCTYPE", 9));
	enum xml_verdict as_settings = poc_settings_read(&settings, text, &limits, &why);
	assert(as_settings == verdict || (verdict == XML_OK && as_settings == XML_MALFORMED));
	assert((settings.on & ~settings.known) == 0 && settings.known < 32);
	assert(poc_settings_read(&again, text, &limits, &why) == as_settings);
	assert(settings.known == again.known && settings.on == again.on);
	fuzz_free(text);
	return 0;
}
