/* imservctl: what comes in pages of items: sessions, conferences, a mailbox, history. */
#include "actors/ctl.h"

#include <stdlib.h>

#define PAGE_ITEMS "limit=200" /* ADMIN_SESSIONS_MAX: the fewest questions */

struct list {
	const char *path;         /* with its query, if any */
	void (*head)(void);
	void (*row)(json_t *item);
};

/* ---- pages ---- */

static bool next_path(char path[CTL_PATH_MAX], const struct list *list, const char *next)
{
	struct buffer out = buffer_over(path, CTL_PATH_MAX);

	buffer_printf(&out, "%s%c" PAGE_ITEMS, list->path, strchr(list->path, '?') ? '&' : '?');
	if (next) {
		buffer_lit(&out, "&from=");
		ctl_put_escaped(&out, next);
	}
	buffer_char(&out, 0);
	return !out.overflow;
}

/* Page by page, so that two hundred thousand sessions take no more memory than two hundred. */
static void tell_page(const struct ctl *ctl, const struct list *list, json_t *page, bool is_first)
{
	json_t *item;
	size_t i;

	if (is_first && !ctl->is_json)
		list->head();
	json_array_foreach(json_object_get(page, "items"), i, item) {
		if (!ctl->is_json) {
			list->row(item);
			continue;
		}
		fputs(is_first && i == 0 ? "{\"items\": [\n  " : ",\n  ", stdout);
		ctl_print_part(item, JSON_COMPACT);
	}
	if (is_first && ctl->is_json && i == 0)
		fputs("{\"items\": [", stdout);
}

/* The document ends as one, whatever happened in the middle; what was told to people is on standard error. */
static void end_document(const struct ctl *ctl, int code)
{
	if (ctl->is_json)
		fputs(code ? "\n], \"error\": 0, \"reason\": \"not all could be read\"}\n" : "\n], \"next\": null}\n", stdout);
}

static int broken(const struct ctl *ctl, const char *why)
{
	ctl_tell_error(ctl, 0, why);
	return CTL_UNREACHABLE;
}

static int all_pages(const struct ctl *ctl, const struct list *list)
{
	struct ctl quiet = *ctl; /* once the document has begun, errors are told at its end */
	char path[CTL_PATH_MAX], *place = NULL;
	bool is_first = true;
	int code = CTL_DONE;

	do {
		json_t *page;
		if (!next_path(path, list, place)) {
			code = ctl_usage(&quiet, "that is too long");
			break;
		}
		if ((code = ctl_ask(&quiet, &(struct ctl_request){ .method = "GET", .path = path }, &page, NULL)))
			break;
		const char *next = json_string_value(json_object_get(page, "next"));
		char *following = next ? strdup(next) : NULL;
		if (!json_is_array(json_object_get(page, "items")) || (next && place && strcmp(next, place) == 0))
			code = broken(&quiet, "the server's list is none that this version can read");
		else if (next && !following)
			code = broken(&quiet, "no memory");
		else
			tell_page(ctl, list, page, is_first);
		if (!code)
			is_first = quiet.is_json = false;
		free(place);
		place = following;
		json_decref(page);
	} while (!code && place && !ferror(stdout));
	if (!is_first)
		end_document(ctl, code);
	free(place);
	return code;
}

/* ---- rows ---- */

static const char *who(json_t *item, const char *key)
{
	const char *name = ctl_text(item, key);

	return name[0] ? name : "(anonymous)";
}

static void session_head(void)
{
	printf("%-16s %-9s %7s %8s  %s\n", "ID", "STATE", "AGE", "OCTETS", "FROM -> TO");
}

static void session_row(json_t *item)
{
	char age[32], octets[32];
	struct buffer age_out = buffer_over(age, sizeof(age)), octets_out = buffer_over(octets, sizeof(octets));

	ctl_put_duration(&age_out, json_number_value(json_object_get(item, "age_s")));
	buffer_char(&age_out, 0);
	ctl_put_octets(&octets_out, ctl_number(item, "octets"));
	buffer_char(&octets_out, 0);
	printf("%-16.24s %-9.16s %7s %8s  ", ctl_text(item, "id"), ctl_text(item, "state"), age, octets);
	ctl_print_clean(stdout, who(item, "from"));
	fputs(" -> ", stdout);
	ctl_print_clean(stdout, who(item, "to"));
	putchar('\n');
}

static void conference_head(void)
{
	printf("%-16s %-9s %7s %6s %8s  %s\n", "ID", "KIND", "AGE", "USERS", "MESSAGES", "URI, BEGUN BY");
}

static void conference_row(json_t *item)
{
	char age[32];
	struct buffer age_out = buffer_over(age, sizeof(age));

	ctl_put_duration(&age_out, json_number_value(json_object_get(item, "age_s")));
	buffer_char(&age_out, 0);
	printf("%-16.24s %-9.16s %7s %6lld %8lld  ", ctl_text(item, "id"), ctl_text(item, "kind"), age,
		(long long)ctl_number(item, "participants"), (long long)ctl_number(item, "messages"));
	ctl_print_clean(stdout, ctl_text(item, "uri"));
	fputs(", ", stdout);
	ctl_print_clean(stdout, who(item, "from"));
	putchar('\n');
}

static void mailbox_head(void)
{
	printf("%-20s %8s %-6s %-26s  %s\n", "RECEIVED", "OCTETS", "TYPE", "ID", "FROM, SUBJECT");
}

/* The sender without the parameters behind <URI>, which are of his dialog only. */
static void print_sender(const char *from)
{
	const char *end = strrchr(from, '>');
	char *text = end ? strndup(from, (size_t)(end - from) + 1) : NULL;

	ctl_print_clean(stdout, text ? text : from);
	free(text);
}

static void mailbox_row(json_t *item)
{
	const char *subject = ctl_text(item, "subject");
	char octets[32];
	struct buffer octets_out = buffer_over(octets, sizeof(octets));

	ctl_put_octets(&octets_out, ctl_number(item, "size"));
	buffer_char(&octets_out, 0);
	printf("%-20.24s %8s %-6s %-26.40s  ", ctl_text(item, "received"), octets,
		json_is_true(json_object_get(item, "urgent")) ? "urgent" : ctl_text(item, "type"), ctl_text(item, "id"));
	print_sender(ctl_text(item, "from"));
	if (subject[0]) {
		fputs(", ", stdout);
		ctl_print_clean(stdout, subject);
	}
	putchar('\n');
}

/* What has no columns. */
static void plain_row(json_t *item)
{
	bool is_first = true;
	const char *key;
	json_t *value;

	json_object_foreach(item, key, value) {
		char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
		fputs(is_first ? "" : " ", stdout);
		ctl_print_clean(stdout, key);
		putchar('=');
		ctl_print_clean(stdout, json_is_string(value) ? json_string_value(value) : text ? text : "");
		free(text);
		is_first = false;
	}
	putchar('\n');
}

/* ---- commands ---- */

int ctl_sessions(struct ctl *ctl)
{
	return all_pages(ctl, &(struct list){ "sessions", session_head, session_row });
}

int ctl_conferences(struct ctl *ctl)
{
	return all_pages(ctl, &(struct list){ "conferences", conference_head, conference_row });
}

static void tell_deleted(json_t *answer)
{
	(void)answer;
	puts("deleted");
}

int ctl_mailbox(struct ctl *ctl)
{
	char path[CTL_PATH_MAX];
	bool deletes = ctl->count > 2;

	if (deletes && (ctl->count != 4 || strcmp(ctl->words[2], "delete") != 0 || !ctl->words[3][0]))
		return ctl_usage(ctl, "expected USER, or USER delete ID");
	if (!ctl->words[1][0] || !ctl_path(path, (const char *[]){ "mailbox", ctl->words[1], deletes ? ctl->words[3] : NULL, NULL }))
		return ctl_usage(ctl, "that is no name of a user");
	if (deletes)
		return ctl_do(ctl, &(struct ctl_request){ .method = "DELETE", .path = path }, tell_deleted);
	return all_pages(ctl, &(struct list){ path, mailbox_head, mailbox_row });
}

static void put_query(struct buffer *out, const char *name, const char *value, bool *is_first)
{
	if (!value)
		return;
	buffer_char(out, *is_first ? '?' : '&');
	buffer_str(out, name);
	buffer_char(out, '=');
	ctl_put_escaped(out, value);
	*is_first = false;
}

static void tell_items(json_t *answer)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(answer, "items"), i, item)
		plain_row(item);
}

int ctl_history(struct ctl *ctl)
{
	char path[CTL_PATH_MAX], words[CTL_PATH_MAX];
	struct buffer out = buffer_over(path, sizeof(path)), text = buffer_over(words, sizeof(words));
	bool is_first = true;

	if (strcmp(ctl->words[1], "search") != 0)
		return ctl_usage(ctl, "expected search");
	for (int i = 2; i < ctl->count; i++) {
		buffer_str(&text, i > 2 ? " " : "");
		buffer_str(&text, ctl->words[i]);
	}
	buffer_char(&text, 0);
	buffer_lit(&out, "history");
	put_query(&out, "user", ctl->user, &is_first);
	put_query(&out, "q", ctl->count > 2 && !text.overflow ? words : NULL, &is_first);
	put_query(&out, "from", ctl->from, &is_first);
	put_query(&out, "to", ctl->to, &is_first);
	buffer_char(&out, 0);
	if (out.overflow || text.overflow)
		return ctl_usage(ctl, "that is too long");
	/* `from` is a time there and no place: the API has no pages of history */
	return ctl_do(ctl, &(struct ctl_request){ .method = "GET", .path = path }, tell_items);
}
