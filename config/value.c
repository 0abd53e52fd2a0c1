#include "config/value.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include "config/address.h"
#include "config/number.h"

/* ---- numbers ---- */

static bool number_fits(const struct schema_key *key, uint64_t value)
{
	if (value == 0 && key->flags & ZERO_IS_OFF)
		return true;
	if (key->flags & POWER_OF_TWO && (value & (value - 1)))
		return false;
	return value >= key->min && value <= key->max;
}

static bool number_set(const struct schema_key *key, struct slice text, void *field)
{
	uint64_t value;

	if (key->type == TYPE_AUTO && slice_eq(text, SLICE("auto")))
		value = 0;
	else if (!number_read(key->type, text, &value) || !number_fits(key, value))
		return false;
	if (key->size == sizeof(unsigned))
		*(unsigned *)field = (unsigned)value;
	else
		*(uint64_t *)field = value;
	return true;
}

/* ---- words and texts ---- */

static bool choice_read(const struct schema_choice *choices, struct slice text, unsigned *value)
{
	for (; choices->word; choices++)
		if (slice_eq(text, slice_str(choices->word))) {
			*value = choices->value;
			return true;
		}
	return false;
}

static bool bool_read(struct slice text, bool *value)
{
	*value = slice_eq(text, SLICE("true"));
	return *value || slice_eq(text, SLICE("false"));
}

/* All octets alphanumeric or one of `others`. */
static bool consists_of(struct slice text, const char *others)
{
	for (size_t i = 0; i < text.n; i++)
		if (!isalnum((unsigned char)text.p[i]) && !strchr(others, text.p[i]))
			return false;
	return text.n > 0;
}

/* What a SIP URI may look like here; the exact grammar is the SIP layer's when it is used. */
static bool uri_is_valid(struct slice text)
{
	struct slice user, host, rest = slice_skip(text, 4), port;

	if (!slice_case_starts(text, SLICE("sip:")))
		return false;
	user = slice_cut(rest, '@', &host);
	if (!host.p) {
		host = user;
		user = SLICE("x");
	}
	host = slice_cut(host, ';', NULL);
	if (slice_starts(host, SLICE("["))) {
		const char *end = memchr(host.p, ']', host.n);

		port = end ? slice_skip(host, (size_t)(end - host.p) + 1) : SLICE_EMPTY;
		host.n -= port.n;
		if (port.n && port.p[0] != ':')
			return false;
	} else {
		host = slice_cut(host, ':', &port);
	}
	return consists_of(user, "-_.!~*'()&=+$,;?/%:") && host_is_valid(host);
}

static bool text_is_valid(const struct schema_key *key, struct slice text)
{
	struct sockaddr_storage address;
	struct next_hop hop;
	struct network network;
	struct slice host;

	if (text.n == 0 && key->flags & EMPTY_IS_OFF)
		return true;
	if (text.n == 0 || (key->max && (text.n < key->min || text.n > key->max)))
		return false;
	switch (key->type) {
	case TYPE_HOST:
	case TYPE_HOSTS:
		return host_is_valid(text);
	case TYPE_ADDRESS:
		return address_parse(text, &address);
	case TYPE_USER:
		return consists_of(text, "-_.!~*'()&=+$,;?/%");
	case TYPE_URI:
		return uri_is_valid(text);
	case TYPE_HOP:
		return next_hop_parse(text, &hop, &host);
	case TYPE_TOKENS: /* RFC 3261 25.1 */
		return consists_of(text, "-.!%*_+`'~");
	case TYPE_NETWORKS:
		return network_parse(text, &network);
	case TYPE_TEXT:
	case TYPE_PATH:
	case TYPE_TEXTS:
	case TYPE_BOOL:
	case TYPE_COUNT:
	case TYPE_AUTO:
	case TYPE_RATE:
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_TIME_US:
	case TYPE_CHOICE:
	case TYPE_CHOICES:
		return true;
	}
	return false;
}

/* ---- what is expected ---- */

static void write_choices(const struct schema_choice *choices, FILE *out)
{
	for (const struct schema_choice *c = choices; c->word; c++)
		fprintf(out, "%s%s", c == choices ? "" : ", ", c->word);
}

static void write_range(const struct schema_key *key, FILE *out)
{
	number_write(key->type, key->min, out);
	fputs(" to ", out);
	number_write(key->type, key->max, out);
	if (key->flags & ZERO_IS_OFF) {
		fputs(", or ", out);
		number_write(key->type, 0, out);
		fputs(" for off", out);
	}
	if (key->flags & POWER_OF_TWO)
		fputs(", a power of two", out);
}

/* What stands before a range, or the whole expectation; of lists that of an entry. */
static const char *expectation(enum schema_type type)
{
	switch (type) {
	case TYPE_BOOL:
		return "true or false";
	case TYPE_COUNT:
		return "a number from ";
	case TYPE_AUTO:
		return "auto or a number from ";
	case TYPE_RATE:
		return "a rate from ";
	case TYPE_SIZE:
		return "a size from ";
	case TYPE_TIME:
	case TYPE_TIME_US:
		return "a time from ";
	case TYPE_CHOICE:
	case TYPE_CHOICES:
		return "one of ";
	case TYPE_TEXT:
	case TYPE_TEXTS:
		return "a text";
	case TYPE_PATH:
		return "a path";
	case TYPE_HOST:
	case TYPE_HOSTS:
		return "a host name or IP address (IPv6 in brackets)";
	case TYPE_ADDRESS:
		return "an IP address and port such as 127.0.0.1:5060 or [::1]:5060";
	case TYPE_USER:
		return "the user part of a SIP URI";
	case TYPE_URI:
		return "a URI such as sip:user@host";
	case TYPE_HOP:
		return "sip:HOST[:PORT][;transport=udp|tcp|tls]";
	case TYPE_TOKENS:
		return "a header name";
	case TYPE_NETWORKS:
		return "a network such as 10.0.0.0/8 or ::1/128, without bits beyond the prefix";
	}
	return "";
}

static bool is_list(enum schema_type type)
{
	return type == TYPE_CHOICES || type == TYPE_TEXTS || type == TYPE_HOSTS ||
	       type == TYPE_TOKENS || type == TYPE_NETWORKS;
}

static bool is_number(enum schema_type type)
{
	return type == TYPE_COUNT || type == TYPE_AUTO || type == TYPE_RATE || type == TYPE_SIZE ||
	       number_is_time(type);
}

/* Without the "a list, each" of lists. */
static void write_entry_expectation(const struct schema_key *key, FILE *out)
{
	fputs(expectation(key->type), out);
	if (is_number(key->type))
		write_range(key, out);
	else if (key->choices)
		write_choices(key->choices, out);
	else if (key->type == TYPE_TEXT || key->type == TYPE_PATH || key->type == TYPE_TEXTS)
		fprintf(out, " of %s%llu octets", key->min == key->max ? "" : "up to ",
			(unsigned long long)key->max);
	if (key->flags & EMPTY_IS_OFF)
		fputs(", or \"\"", out);
}

void value_expectation(const struct schema_key *key, FILE *out)
{
	if (is_list(key->type))
		fputs("a list, each ", out);
	write_entry_expectation(key, out);
}

/* What people forget is the unit: the default shows how it is written. */
static void write_example(const struct schema_key *key, FILE *out)
{
	uint64_t number;

	if (key->type != TYPE_SIZE && !number_is_time(key->type))
		return;
	if (!key->fallback || !number_read(key->type, slice_str(key->fallback), &number) || number < key->min)
		number = key->max; /* off by default: the unit is what counts */
	fputs(", such as ", out);
	number_write(key->type, number, out);
}

static void refuse(const struct schema_key *key, const struct node *node, const char *path,
		   bool is_entry, struct config_errors *errors)
{
	char *expected = NULL;
	size_t n;
	FILE *out = open_memstream(&expected, &n);
	bool is_whole = out != NULL;

	if (out) {
		if (is_entry)
			write_entry_expectation(key, out);
		else
			value_expectation(key, out);
		write_example(key, out);
		is_whole = fclose(out) == 0;
	}
	if (!is_whole || !expected)
		errors->out_of_memory = true;
	else if (node->kind == NODE_SCALAR && !node->is_null)
		config_error(errors, node->place, path, "\"%.80s\": expected %s", node->text, expected);
	else
		config_error(errors, node->place, path, "%s: expected %s",
			     node->kind == NODE_MAP    ? "a mapping"
			     : node->kind == NODE_LIST ? "a list"
						       : "no value",
			     expected);
	free(expected);
}

/* ---- lists ---- */

/* One entry into field[at]; false when it is not what is expected. */
static bool entry_set(const struct schema_key *key, const struct node *node, unsigned at, void *field,
		      struct config_errors *errors)
{
	struct text_list *texts = field;
	struct network_list *networks = field;
	struct slice text = slice_str(node->text);
	unsigned bit;
	char *copy;

	if (node->kind != NODE_SCALAR || node->is_null)
		return false;
	if (key->type == TYPE_CHOICES) {
		if (!choice_read(key->choices, text, &bit))
			return false;
		*(unsigned *)field |= bit;
		return true;
	}
	if (!text_is_valid(key, text))
		return false;
	copy = strdup(node->text);
	if (!copy) {
		errors->out_of_memory = true;
	} else if (key->type == TYPE_NETWORKS) {
		network_parse(text, &networks->list[at]); /* true: it was valid above */
		networks->list[at].text = copy;
		networks->count = at + 1;
	} else {
		texts->list[at] = copy;
		texts->count = at + 1;
	}
	return true;
}

static void list_read(const struct schema_key *key, const struct node *node, const char *path,
		      void *field, struct config_errors *errors)
{
	unsigned count = node_count(node), at = 0, index = 0;
	char entry_path[160];

	if (key->type != TYPE_CHOICES && count) {
		bool is_network = key->type == TYPE_NETWORKS;
		void *list = calloc(count, is_network ? sizeof(struct network) : sizeof(char *));

		if (!list) {
			errors->out_of_memory = true;
			return;
		}
		if (is_network)
			((struct network_list *)field)->list = list;
		else
			((struct text_list *)field)->list = list;
	}
	for (const struct node *n = node->first; n; n = n->next, index++) {
		if (entry_set(key, n, at, field, errors)) {
			at++;
			continue;
		}
		snprintf(entry_path, sizeof(entry_path), "%s[%u]", path, index);
		refuse(key, n, entry_path, true, errors);
	}
}

/* ---- any value ---- */

static bool scalar_set(const struct schema_key *key, const struct node *node, void *field,
		       struct config_errors *errors)
{
	struct slice text = slice_str(node->text);

	if (is_number(key->type))
		return number_set(key, text, field);
	if (key->type == TYPE_BOOL)
		return bool_read(text, field);
	if (key->type == TYPE_CHOICE)
		return choice_read(key->choices, text, field);
	if (!text_is_valid(key, text))
		return false;
	*(char **)field = strdup(node->text);
	if (!*(char **)field)
		errors->out_of_memory = true;
	return true;
}

static size_t size_of(enum schema_type type)
{
	switch (type) {
	case TYPE_BOOL:
		return sizeof(bool);
	case TYPE_COUNT:
	case TYPE_AUTO:
	case TYPE_RATE:
	case TYPE_CHOICE:
	case TYPE_CHOICES:
		return sizeof(unsigned);
	case TYPE_SIZE:
	case TYPE_TIME:
	case TYPE_TIME_US:
		return sizeof(uint64_t);
	case TYPE_TEXT:
	case TYPE_PATH:
	case TYPE_HOST:
	case TYPE_ADDRESS:
	case TYPE_USER:
	case TYPE_URI:
	case TYPE_HOP:
		return sizeof(char *);
	case TYPE_TEXTS:
	case TYPE_HOSTS:
	case TYPE_TOKENS:
		return sizeof(struct text_list);
	case TYPE_NETWORKS:
		return sizeof(struct network_list);
	}
	return 0;
}

static void *field_of(const struct schema_key *key, void *section)
{
	assert(key->size == size_of(key->type)); /* a row of schema.def names a field of another type */
	return (char *)section + key->offset;
}

void value_read(const struct schema_key *key, const struct node *node, const char *path,
		void *section, struct config_errors *errors)
{
	void *field = field_of(key, section);

	if (is_list(key->type) && node->kind == NODE_LIST)
		list_read(key, node, path, field, errors);
	else if (is_list(key->type) || node->kind != NODE_SCALAR || node->is_null ||
		 !scalar_set(key, node, field, errors))
		refuse(key, node, path, false, errors);
}

void value_default(const struct schema_key *key, void *section, struct config_errors *errors)
{
	struct config_place place = { "config/schema.def", 0 };
	struct tree tree = { 0 };
	struct node empty = { .kind = NODE_SCALAR, .place = place, .text = (char[]){ "" } };
	struct node *node = &empty;

	if (!key->fallback)
		return;
	if (key->fallback[0])
		node = tree_parse(&tree, slice_str(key->fallback), place.source, false, errors);
	if (node)
		value_read(key, node, key->name, section, errors);
	tree_free(&tree);
}

/* ---- writing ---- */

static void quoted(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void list_write(const struct schema_key *key, const void *field, FILE *out)
{
	const struct text_list *texts = field;
	const struct network_list *networks = field;
	const char *comma = "";

	fputc('[', out);
	if (key->type == TYPE_CHOICES) {
		for (const struct schema_choice *c = key->choices; c->word; c++)
			if (*(const unsigned *)field & c->value) {
				fprintf(out, "%s%s", comma, c->word);
				comma = ", ";
			}
	} else if (key->type == TYPE_NETWORKS) {
		for (unsigned i = 0; i < networks->count; i++) {
			fputs(i ? ", " : "", out);
			quoted(networks->list[i].text, out);
		}
	} else {
		for (unsigned i = 0; i < texts->count; i++) {
			fputs(i ? ", " : "", out);
			quoted(texts->list[i], out);
		}
	}
	fputc(']', out);
}

bool value_write(const struct schema_key *key, const void *section, FILE *out)
{
	const void *field = (const char *)section + key->offset;

	if (is_list(key->type)) {
		list_write(key, field, out);
	} else if (is_number(key->type)) {
		uint64_t value = key->size == sizeof(unsigned) ? *(const unsigned *)field
							       : *(const uint64_t *)field;

		if (key->type == TYPE_AUTO && value == 0)
			fputs("auto", out);
		else
			number_write(key->type, value, out);
	} else if (key->type == TYPE_BOOL) {
		fputs(*(const bool *)field ? "true" : "false", out);
	} else if (key->type == TYPE_CHOICE) {
		for (const struct schema_choice *c = key->choices; c->word; c++)
			if (c->value == *(const unsigned *)field)
				fputs(c->word, out);
	} else {
		const char *text = *(char *const *)field;

		if (!text)
			return false;
		quoted(text, out);
	}
	return true;
}

void value_free(const struct schema_key *key, void *section)
{
	void *field = field_of(key, section);
	struct text_list *texts = field;
	struct network_list *networks = field;

	if (key->type == TYPE_CHOICES)
		return;
	if (key->type == TYPE_NETWORKS) {
		for (unsigned i = 0; i < networks->count; i++)
			free(networks->list[i].text);
		free(networks->list);
	} else if (is_list(key->type)) {
		for (unsigned i = 0; i < texts->count; i++)
			free(texts->list[i]);
		free(texts->list);
	} else if (!is_number(key->type) && key->type != TYPE_BOOL && key->type != TYPE_CHOICE) {
		free(*(char **)field);
	}
}
