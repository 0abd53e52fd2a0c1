/* Via branches of ours: who sent it, and whether the request has been here before. */
#include "tests/unit/sip_world.h"

static struct world world;

static struct sip_message parse(const char *text)
{
	struct sip_limits limits = { 16384, 65536, 0 };
	struct sip_message m;
	size_t used;

	assert_int_equal(sip_message_parse(&m, slice_str(text), &limits, SIP_DATAGRAM, &used),
			 SIP_PARSE_OK);
	return m;
}

static void test_written_and_read(void **state)
{
	char minted[MINTED_CHARS], text[128];
	struct slice got;

	world_init(&world, 1);
	world_start(&world);
	minted_make(&world.workers[0], minted);
	struct buffer out = buffer_over(text, sizeof(text));
	sip_branch_write(&out, minted, 0x12ab);
	assert_int_equal(out.n, 7 + MINTED_CHARS + 9);
	assert_memory_equal(text + 7 + MINTED_CHARS, ".000012ab", 9);
	assert_true(sip_branch_minted(buffer_slice(&out), &got));
	assert_true(slice_eq(got, slice_of(minted, MINTED_CHARS)));
	for (size_t n = 0; n < out.n; n++) { /* cut anywhere, it is nobody's */
		char *cut = exact_copy(text, n);
		assert_false(sip_branch_minted(slice_of(cut, n), &got));
		free(cut);
	}
	assert_false(sip_branch_minted(slice_of(text, out.n + 1), &got));
	text[10] = text[10] == 'a' ? 'b' : 'a';
	assert_false(sip_branch_minted(buffer_slice(&out), &got)); /* the mark is wrong now */
	world_end(&world);
}

static bool is_loop(const char *uri, const char *route, const char *vias, unsigned listener)
{
	char text[4096];
	struct sip_flow flow = { .protocol = SIP_UDP, .listener = (uint8_t)listener };

	snprintf(text, sizeof(text), "MESSAGE %s SIP/2.0\r\n%s%sTo: <sip:x@y>\r\n\r\n", uri, vias,
		 route);
	struct sip_message m = parse(text);
	return sip_branch_is_loop(layer_of(&world, 0), &m, &flow);
}

static void test_loop_is_the_same_target_route_and_role(void **state)
{
	char ours[128], vias[1024], minted[MINTED_CHARS];
	static const char *const places[] = {
		"Via: SIP/2.0/UDP a;branch=%s\r\n",
		("v: SIP/2.0/UDP b;branch=z9hG4bKb\r\nVia: SIP/2.0/UDP a;x=\"y\";branch=%s\r\n"),
		"Via: SIP/2.0/UDP b, SIP/2.0/UDP a;branch=%s, SIP/2.0/UDP c\r\n"
	};

	world_init(&world, 1);
	world.options.listeners[1].role = ROLE_TERMINATING;
	world_start(&world);
	struct sip_flow flow = { .protocol = SIP_UDP, .listener = 0 };
	struct sip_message m =
		parse("MESSAGE sip:bob@x SIP/2.0\r\nRoute: <sip:r1>, <sip:r2>\r\n\r\n");
	uint32_t loop = sip_loop_of(&world.workers[0], &flow, &m);
	assert_int_not_equal(loop, 0);
	minted_make(&world.workers[0], minted);
	struct buffer out = buffer_over(ours, sizeof(ours) - 1);
	sip_branch_write(&out, minted, loop);
	ours[out.n] = 0;
	for (unsigned i = 0; i < 3; i++) {
		snprintf(vias, sizeof(vias), places[i], ours);
		assert_true(is_loop("sip:bob@x", "Route: <sip:r1>\r\n", vias, 0));
		/* spirals */
		assert_false(is_loop("sip:bob@y", "Route: <sip:r1>\r\n", vias, 0));
		assert_false(is_loop("sip:bob@x", "Route: <sip:r2>\r\n", vias, 0));
		assert_false(is_loop("sip:bob@x", "", vias, 0));
		assert_false(is_loop("sip:bob@x", "Route: <sip:r1>\r\n", vias, 1));
	}
	/* the same hash in a branch that is not ours says nothing */
	ours[9] = ours[9] == 'a' ? 'b' : 'a';
	snprintf(vias, sizeof(vias), places[0], ours);
	assert_false(is_loop("sip:bob@x", "Route: <sip:r1>\r\n", vias, 0));
	assert_false(is_loop("sip:bob@x", "Route: <sip:r1>\r\n", "Via: what\r\n", 0));
	assert_false(is_loop("sip:bob@x", "", "", 0));
	world_end(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_loop_is_the_same_target_route_and_role),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
