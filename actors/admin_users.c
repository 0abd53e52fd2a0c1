/* The users of the admin API: made, given a password, removed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "actors/admin_internal.h"
#include "actors/admin_worker.h"
#include "sip/owner.h"

static int hex_value(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

static size_t unescape(char *out, struct slice user)
{
	size_t n = 0;

	for (size_t i = 0; i < user.n; i++) {
		int high = i + 2 < user.n ? hex_value(user.p[i + 1]) : -1, low = high < 0 ? -1 : hex_value(user.p[i + 2]);
		if (user.p[i] == '%' && low >= 0) {
			out[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			out[n++] = user.p[i];
		}
	}
	return n;
}

bool admin_read_name(const struct sip_home *home, const char *text, struct admin_user_name *name)
{
	struct buffer canonical = buffer_over(name->canonical, sizeof(name->canonical));
	char uri[IM_CANONICAL_MAX];
	struct buffer out = buffer_over(uri, sizeof(uri));
	bool has_scheme = strncasecmp(text, "sip:", 4) == 0 || strncasecmp(text, "sips:", 5) == 0 ||
			  strncasecmp(text, "tel:", 4) == 0;
	struct sip_uri parsed;

	buffer_str(&out, has_scheme ? "" : "sip:");
	buffer_str(&out, text);
	if (!has_scheme && !strchr(text, '@')) {
		buffer_char(&out, '@');
		buffer_put(&out, home->home);
	}
	if (out.overflow || !sip_uri_parse(buffer_slice(&out), &parsed) || parsed.user.n == 0 ||
	    !sip_uri_is_home(&parsed, home) || !sip_uri_canonical(&canonical, &parsed, home))
		return false;
	name->canonical_n = canonical.n;
	const char *at = memrchr(canonical.p, '@', canonical.n);
	name->plain_n = unescape(name->plain, slice_of(canonical.p, (size_t)(at - canonical.p)));
	return true;
}

bool admin_read_user(const struct admin *admin, const char *text, struct admin_user_name *name)
{
	return admin_read_name(&admin->source.im->sip.home, text, name);
}

/* Groups and functions live under names that no user may take (design.md 9). */
static bool is_reserved(const struct admin *admin, const struct admin_user_name *name)
{
	struct slice user = sip_canonical_user(slice_of(name->canonical, name->canonical_n));

	return sip_name_is_group(user, &admin->source.im->sip) || sip_name_is_function(user, &admin->source.im->sip);
}

/* False: `answer` says what is wrong. */
static bool read_password(const struct admin *admin, struct slice body, const struct admin_user_name *name,
	struct user_facts *facts, struct admin_answer *answer)
{
	json_error_t error;
	json_t *json = body.n ? json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &error) : json_object();
	json_t *password = json_object_get(json, "password");
	bool is_good = json_is_object(json) && json_object_size(json) == (password ? 1 : 0) &&
		       (!password || (json_is_string(password) && json_string_length(password) > 0));

	if (!is_good) {
		admin_error(answer, 400, "expected {\"password\":\"...\"} or {}");
	} else if (password) {
		facts->has_password = true;
		is_good = digest_secret_make(&facts->secret, slice_of(name->plain, name->plain_n), admin->source.im->sip.home.home,
			slice_of(json_string_value(password), json_string_length(password))) == 0;
		if (!is_good)
			admin_error(answer, 503, "the password could not be hashed");
	}
	json_decref(json);
	return is_good;
}

static void answer_user(const struct admin_question *q, const struct admin_user_name *name, struct admin_answer *answer)
{
	switch (q->err) {
	case 0:
		admin_answer_json(answer, q->kind == ADMIN_USER_PUT && !q->existed ? 201 : 200, json_pack("{s:s%,s:b,s:b}",
			"user", name->canonical, name->canonical_n, "exists", q->kind == ADMIN_USER_PUT,
			"password", (int)q->facts.has_password));
		break;
	case ENOENT:
		admin_error(answer, q->if_present && q->kind == ADMIN_USER_PUT ? 412 : 404, "no such user");
		break;
	case EEXIST:
		admin_error(answer, 412, "there is such a user already");
		break;
	default:
		admin_error(answer, 503, "the store could not write it");
		break;
	}
}

static void change_user(struct admin *admin, const struct admin_request *request, const struct admin_user_name *name,
	struct admin_answer *answer)
{
	bool is_put = strcmp(request->method, "PUT") == 0;
	struct admin_question *q = admin_question_make(is_put ? ADMIN_USER_PUT : ADMIN_USER_DELETE, 0);
	struct worker_group *group = admin->source.group;

	if (!q)
		return; /* no body: the connection is closed */
	memcpy(q->canonical, name->canonical, name->canonical_n);
	q->canonical_n = name->canonical_n;
	q->if_absent = request->if_absent;
	q->if_present = request->if_present;
	if (!is_put || read_password(admin, request->body, name, &q->facts, answer)) {
		struct slice canonical = slice_of(name->canonical, name->canonical_n);
		if (admin_question_ask(q, group, sip_owner_of_name(canonical, group->count)))
			answer_user(q, name, answer);
		else
			admin_error(answer, 503, "a worker does not answer");
	}
	admin_question_release(q);
}

void admin_on_user(struct admin *admin, const struct admin_request *request, struct admin_answer *answer)
{
	struct admin_user_name name;

	if (strcmp(request->method, "PUT") != 0 && strcmp(request->method, "DELETE") != 0)
		admin_answer_method(answer, "PUT, DELETE");
	else if (!admin_read_user(admin, request->path, &name))
		admin_error(answer, 400, "expected a user of the home domain: NAME, NAME@DOMAIN or sip:NAME@DOMAIN");
	else if (strcmp(request->method, "PUT") == 0 && is_reserved(admin, &name))
		admin_error(answer, 409, "the name of a group or of a function of this server");
	else
		change_user(admin, request, &name, answer);
}
