/*
 * Four lines, a=accept-types, a=accept-wrapped-types, a Content-Type, and the beginning of a message/cpim: the lists
 * that are kept stay as they are when they are read again, name all that they were made of, and what is wrapped
 * has the same type from the octet on that shows it.
 */
#include "tests/fuzz/fuzz.h"

#include "msrp/accept.h"

/* Whoever is in the list by the words of the description is in what was kept of it, if that had room. */
static void check_list(struct slice said, struct slice kept)
{
	while (said.n) {
		struct slice type = msrp_accept_type(slice_cut(said, ' ', &said));
		if (type.n && !memchr(type.p, '\t', type.n) && kept.n < MSRP_ACCEPT_MAX / 2)
			assert(msrp_accept_find(kept, type).n);
	}
}

static void check_accept(struct slice types, struct slice wrapped, struct slice type)
{
	static struct msrp_accept accept, again;

	memset(&accept, 0xa5, sizeof(accept));
	msrp_accept_set(&accept, types, wrapped);
	struct slice kept = slice_of(accept.text, accept.types_n), inner = slice_of(accept.text + kept.n, accept.wrapped_n);
	assert(kept.n + inner.n <= sizeof(accept.text) && (accept.looks_inside || !inner.n));
	assert(!kept.n || kept.p[kept.n - 1] == ' ');
	struct slice entry = msrp_accept_find(kept, msrp_accept_type(type));
	assert(fuzz_is_within(kept, entry) && entry.n <= kept.n);
	if (!kept.n)
		return;
	check_list(types, kept);
	msrp_accept_set(&again, kept, accept.looks_inside ? inner : SLICE_EMPTY);
	assert(slice_eq(kept, slice_of(again.text, again.types_n)) && again.wrapped_n == inner.n);
}

static void check_wrapped(struct slice content)
{
	struct slice all = msrp_accept_wrapped_type(content);

	for (size_t cut = 0; cut <= content.n && cut < 300; cut++) {
		struct slice beginning = fuzz_copy(slice_of(content.p, cut));
		struct slice type = msrp_accept_wrapped_type(beginning);
		assert(!type.p || slice_eq(type, all));
		fuzz_free(beginning);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t n)
{
	struct slice rest, types = slice_cut(slice_of((const char *)octets, n), '\n', &rest);
	struct slice wrapped = slice_cut(rest, '\n', &rest), type = slice_cut(rest, '\n', &rest);
	struct slice a = fuzz_copy(types), b = fuzz_copy(wrapped), c = fuzz_copy(type), d = fuzz_copy(rest);

	check_accept(a, b, c);
	check_accept(a, SLICE_EMPTY, c);
	check_wrapped(d);
	fuzz_free(a);
	fuzz_free(b);
	fuzz_free(c);
	fuzz_free(d);
	return 0;
}
