/* The default file and --set options with random damage: whatever comes, an answer and no harm.
 * Rounds are numbered and each has its own seed, so that a failure comes again. */
#include "tests/unit/test_config_common.h"

#define ROUNDS 1000

static uint64_t seed;
static unsigned round_now;

/* xorshift64*: one stream per seed, the same on every machine. */
static uint64_t random_below(uint64_t limit)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (seed * UINT64_C(2685821657736338717) >> 33) % limit;
}

/* Pieces that mean something to YAML or to us are found faster than by chance. */
static const char *const pieces[] = {
	"{", "}", "[", "]", ":", ": ", ",", "- ", "\n", "\n  ", "#", "&a ", "*a", "!!str ", "<<: ", "\"", "'",
	"|\n", ">\n", "%", "---\n", "...\n", "\t", "\xff", "\xef\xbb\xbf", "\\", "null", "~", "?", "@", "`",
	"0", "18446744073709551616", "-1", "9999999999999s", "1GiB", "auto", "true", "\x01", "listen:", "tls:",
};

static size_t damage(char *text, size_t n, size_t size)
{
	size_t at = random_below(n + 1), length = 1 + random_below(40);
	const char *piece = pieces[random_below(sizeof(pieces) / sizeof(pieces[0]))];

	switch (random_below(5)) {
	case 0: /* remove */
		if (length > n - at)
			length = n - at;
		memmove(text + at, text + at + length, n - at - length);
		return n - length;
	case 1: /* one octet */
		if (at < n)
			text[at] = (char)random_below(256);
		return n;
	case 2: /* repeat what stands there */
		if (length > n - at || n + length > size)
			return n;
		memmove(text + at + length, text + at, n - at);
		return n + length;
	case 3: /* cut */
		return random_below(20) ? n : at;
	default: /* insert */
		length = strlen(piece);
		if (n + length > size)
			return n;
		memmove(text + at + length, text + at, n - at);
		memcpy(text + at, piece, length);
		return n + length;
	}
}

/* Loads test.yaml; what loads must also print and load again. */
static void load_it(const char *const *set, unsigned count, bool has_file)
{
	struct config_source source = { has_file ? "test.yaml" : NULL, set, count, false };
	struct config_errors errors = { 0 };
	struct config *config = NULL;
	int err = config_load(&config, &source, &errors);

	CHECK(err == (errors.errors ? EINVAL : 0) && !errors.out_of_memory && (config == NULL) == (err != 0),
	      "round %u: %d with %u errors\n", round_now, err, errors.errors);
	if (config) {
		char *text = config_text(config), *again, *got;
		struct config *second;

		got = config_try(text, NULL, 0, false, &second);
		CHECK(second, "round %u: printed and refused:\n%s", round_now, got);
		again = config_text(second);
		CHECK(!strcmp(text, again), "round %u: printed\n%s\nthen\n%s", round_now, text, again);
		free(text);
		free(again);
		free(got);
		config_free(second);
	}
	config_free(config);
	config_errors_free(&errors);
}

static void damaged_files(void **state)
{
	size_t length = strlen(config_default_yaml), size = length + 4096;
	char *text = malloc(size);

	assert_non_null(text);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		size_t n = length;
		unsigned hits;

		round_now = i;
		seed = i * UINT64_C(0x9e3779b97f4a7c15);
		hits = 1 + (unsigned)random_below(8);
		memcpy(text, config_default_yaml, n);
		while (hits--)
			n = damage(text, n, size);
		config_write_file(text, n);
		load_it(NULL, 0, true);
	}
	free(text);
}

static void damaged_options(void **state)
{
	static const char *const options[] = {
		"limits.unbound=2s", "listen[0].address=\"127.0.0.1:0\"", "domain={home: a.org, aliases: [b.org]}",
		"listen[4]={proto: http, address: \"127.0.0.1:0\"}", "core.trusted[1]=10.0.0.0/8",
	};

	for (unsigned i = 1; i <= ROUNDS; i++) {
		char text[3][256];
		const char *set[3];

		round_now = i;
		seed = i * UINT64_C(0xd1342543de82ef95);
		for (int j = 0; j < 3; j++) {
			const char *option = options[random_below(sizeof(options) / sizeof(options[0]))];
			size_t n = strlen(option);

			memcpy(text[j], option, n);
			for (unsigned hits = (unsigned)random_below(4); hits--;)
				n = damage(text[j], n, sizeof(text[j]) - 1);
			text[j][n] = '\0';
			set[j] = text[j];
		}
		load_it(set, 3, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(damaged_files),
		cmocka_unit_test(damaged_options),
	};

	return cmocka_run_group_tests(tests, config_enter, config_leave);
}
