/* imservctl: users and their passwords. */
#include "actors/ctl.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX 1024

/* ---- a password ---- */

static struct termios terminal; /* as it was */

static void on_signal(int number)
{
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal); /* nothing could be done about it */
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

/* Who gives up in the middle keeps a terminal that shows what he types. */
static void catch_signals(void (*handler)(int))
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		(void)signal(numbers[i], handler);
}

/* A line without its end; false: none, or too long. */
static bool read_line(char line[PASSWORD_MAX])
{
	if (!fgets(line, PASSWORD_MAX, stdin))
		return false;
	size_t n = strcspn(line, "\r\n");
	if (line[n] == 0 && n == PASSWORD_MAX - 1)
		return false;
	line[n] = 0;
	return true;
}

/* Unseen, and twice, for nobody sees what he types. */
static const char *ask_password(char password[PASSWORD_MAX])
{
	char again[PASSWORD_MAX] = "";
	struct termios silent = terminal;
	bool is_read;

	catch_signals(on_signal);
	silent.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0)
		return "the terminal would show the password";
	fputs("new password: ", stderr);
	is_read = read_line(password);
	if (is_read) {
		fputs("\nonce more: ", stderr);
		is_read = read_line(again);
	}
	fputc('\n', stderr);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal); /* nothing could be done about it */
	catch_signals(SIG_DFL);
	bool is_same = strcmp(password, again) == 0;
	explicit_bzero(again, sizeof(again));
	return !is_read ? "expected a password" : is_same ? NULL : "these two differ";
}

/* The first line of standard input.  NULL, or what is wrong. */
static const char *read_password(char password[PASSWORD_MAX])
{
	const char *wrong;

	if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &terminal) == 0)
		wrong = ask_password(password);
	else
		wrong = read_line(password) ? NULL : "expected a password on standard input, at most 1022 octets";
	return wrong ? wrong : password[0] ? NULL : "the password is empty";
}

/* {"password":"..."}, the caller's; NULL: it is no UTF-8. */
static char *password_body(const char *password)
{
	json_t *object = json_pack("{s:s}", "password", password);
	char *body = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return body;
}

/* ---- commands ---- */

static void tell_user(json_t *answer)
{
	ctl_print_field("user", ctl_text(answer, "user"));
	ctl_print_field("exists", json_is_true(json_object_get(answer, "exists")) ? "yes" : "no");
	ctl_print_field("password", json_is_true(json_object_get(answer, "password")) ? "yes" : "no");
}

static int change_password(struct ctl *ctl, struct ctl_request *request)
{
	char password[PASSWORD_MAX] = "", *body;
	const char *wrong = read_password(password);

	if (wrong)
		return ctl_usage(ctl, "%s", wrong);
	request->method = "PUT";
	request->condition = "If-Match: *"; /* a mistyped name is no new user */
	request->body = body = password_body(password);
	explicit_bzero(password, sizeof(password));
	if (!body)
		return ctl_usage(ctl, "expected a password in UTF-8");
	int code = ctl_do(ctl, request, tell_user);
	explicit_bzero(body, strlen(body));
	free(body);
	return code;
}

int ctl_user(struct ctl *ctl)
{
	const char *verb = ctl->words[1], *name = ctl->words[2];
	char path[CTL_PATH_MAX];
	struct ctl_request request = { .path = path };

	/* an empty name would be another resource of the server's */
	if (!name[0] || !ctl_path(path, (const char *[]){ "users", name, NULL }))
		return ctl_usage(ctl, "that is no name of a user");
	if (strcmp(verb, "passwd") == 0)
		return change_password(ctl, &request);
	if (strcmp(verb, "add") == 0) {
		request.method = "PUT";
		request.condition = "If-None-Match: *";
	} else if (strcmp(verb, "del") == 0) {
		request.method = "DELETE";
	} else {
		return ctl_usage(ctl, "expected add, del or passwd");
	}
	return ctl_do(ctl, &request, tell_user);
}
