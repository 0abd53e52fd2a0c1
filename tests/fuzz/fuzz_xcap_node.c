/*
 * Any octets as selector, namespaces, body and document, a line each but the last: whatever is found lies in the
 * document, what is read back is what was put, and what was deleted is not there any more.
 */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "actors/xcap_node.h"

/* A put that succeeded can be read. */
static void try_put(const struct xcap_node *node, struct slice text, struct slice body)
{
	struct buffer out, got;
	enum xcap_verdict verdict = xcap_node_put(node, text, body, &out);

	assert(!!out.p == (verdict == XCAP_OK || verdict == XCAP_INSERTED));
	assert(!out.overflow);
	if (out.p) {
		assert(xcap_node_get(node, buffer_slice(&out), &got) == XCAP_OK);
		assert(node->terminal != XCAP_ELEMENT || slice_eq(buffer_slice(&got), slice_trim(body)));
		free(got.p);
	}
	free(out.p);
}

static void try_delete(const struct xcap_node *node, struct slice text)
{
	struct buffer out, got;

	if (node->terminal != XCAP_NAMESPACES && xcap_node_delete(node, text, &out) == XCAP_OK) {
		assert(out.n < text.n && !out.overflow);
		if (node->terminal == XCAP_ELEMENT)
			assert(xcap_node_get(node, buffer_slice(&out), &got) == XCAP_NOT_FOUND);
		free(out.p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = slice_of((const char *)data, size);
	struct slice selector = slice_cut(rest, '\n', &rest), query = slice_cut(rest, '\n', &rest),
		     body = slice_cut(rest, '\n', &rest);
	struct xcap_node node;
	struct buffer out;

	if (!xcap_node_parse(&node, selector, query, SLICE("urn:l")))
		return 0;
	assert(node.count >= 1 && node.count <= XCAP_STEPS_MAX && node.steps[node.count - 1].end <= selector.n);
	if (xcap_node_get(&node, rest, &out) == XCAP_OK) {
		assert(node.terminal == XCAP_NAMESPACES || out.n <= rest.n);
		assert(!out.overflow);
		free(out.p);
	}
	(void)xcap_node_depth(&node, rest);
	if (node.terminal != XCAP_NAMESPACES)
		try_put(&node, rest, body);
	try_delete(&node, rest);
	return 0;
}
