/* imservctl: the admin API of a running imserv on the command line (design.md 8). */
#include "actors/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#define API_DEFAULT   "http://127.0.0.1:9090"
#define TOKEN_NAME    "imserv.db.token"
#define TOKEN_SYSTEM  "/var/lib/imserv/" TOKEN_NAME /* the state directory of the service */
#define WAIT_S        "20"
#define WAIT_S_MAX    86400

/* ---- commands ---- */

struct ctl_command {
	const char *name, *arguments;
	int least, most; /* words, the name included */
	int (*run)(struct ctl *ctl);
	const char *summary;
	const char *help;
};

#define WORDS_MAX 64

static const struct ctl_command commands[] = {
	{ "status", "", 1, 1, ctl_status, "what the server is and how much it has to do",
	  "Version, state, mode, configuration and its last reload, what exists now, limits\n"
	  "of which more than 80 % are used, and all refusals since the start by reason.\n" },
	{ "sessions", "", 1, 1, ctl_sessions, "the IM sessions that exist now",
	  "State, age, octets carried so far, and who invited whom; (anonymous) asked for\n"
	  "privacy. There is one line a session, however many there are. Users in\n"
	  "conferences, each a session in status, are with conferences.\n" },
	{ "conferences", "", 1, 1, ctl_conferences, "the conferences that exist now",
	  "Kind (group, adhoc, 1-1: of two), age, how many users are in it, messages so\n"
	  "far, its address, and who began it; (anonymous) asked for privacy.\n" },
	{ "mailbox", "USER [delete ID]", 2, 4, ctl_mailbox, "messages that wait for a user",
	  "The oldest first: when each came, its octets, urgency, sender and subject, and\n"
	  "its ID. delete removes one; who reads it just now may still see it.\n" },
	{ "user", "add|del|passwd USER", 3, 3, ctl_user, "make a user, or remove, or give a password",
	  "add     a new user; without a password nobody can log in as him\n"
	  "del     he and his password go; sessions that he has go on\n"
	  "passwd  for one who exists; a terminal is asked, unseen and twice, else it is\n"
	  "        the first line of standard input\n" },
	{ "doc", "put|get|del AUID XUI NAME", 5, 5, ctl_doc, "documents of users, as XCAP has them",
	  "put reads the document from standard input, get writes it to standard output.\n"
	  "AUID is org.openmobilealliance.im-rules (who may write to the user),\n"
	  "org.openmobilealliance.groups or resource-lists; XUI the user's sip: URI.\n"
	  "get also knows org.openmobilealliance.deferred-list, NAME index: what waits.\n" },
	{ "drain", "", 1, 1, ctl_drain, "no new work, then the end, as by SIGTERM",
	  "Returns at once; the server ends with its last session, or after runtime.drain.\n" },
	{ "reload", "", 1, 1, ctl_reload, "read the configuration again, as by SIGHUP",
	  "All or nothing: what is wrong is listed, and what was in force stays.\n"
	  "Keys that take effect only after a restart are named.\n" },
	{ "trace", "USER [--pcap FILE]", 2, 2, ctl_trace, "SIP messages of a user as they come",
	  "Until interrupted: each with its time, way, transport and peer, then its headers\n"
	  "and descriptions; and the reason of every refusal. Never content or credentials.\n"
	  "With --json each is an object on a line of its own.\n"
	  "  --pcap FILE  a capture file instead, for Wireshark and its like; - is standard\n"
	  "               output. Each message is a datagram there, whatever carried it.\n" },
	{ "history", "search [WORD...]", 2, WORDS_MAX, ctl_history, "not in this version: history",
	  "  --user USER  of this user only\n"
	  "  --from TIME  not before, as 2026-01-31T08:00:00Z\n"
	  "  --to TIME    not after\n"
	  "Not in this version of the server, which says so: exit code 1.\n" },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct ctl_command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* ---- help ---- */

static const char user_help[] =
	"USER is a name of the home domain: alice, alice@a.example or sip:alice@a.example\n";

static void print_synopsis(FILE *out, const struct ctl_command *c)
{
	fprintf(out, "usage: imservctl [OPTION]... %s%s%s\n", c->name, c->arguments[0] ? " " : "", c->arguments);
}

static void print_command_help(const struct ctl_command *c)
{
	print_synopsis(stdout, c);
	printf("%s\n\n%s%s", c->summary, c->help, strstr(c->arguments, "USER") ? user_help : "");
	puts("imservctl --help lists the options");
}

static void print_help(void)
{
	char left[96];

	fputs("usage: imservctl [OPTION]... COMMAND\n\n", stdout);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct ctl_command *c = &commands[i];
		snprintf(left, sizeof(left), "%s%s%s", c->name, c->arguments[0] ? " " : "", c->arguments);
		printf("  %-31s %s\n", left, c->summary);
	}
	printf("%s\n"
	       "  --api URL           the server's http listener (default " API_DEFAULT ")\n"
	       "  --token-file FILE   the server's http.token_file (" TOKEN_NAME " here, else\n"
	       "                      " TOKEN_SYSTEM ")\n"
	       "  --json              the result as one JSON document, also when it is an error\n"
	       "  --timeout SECONDS   for a server that says nothing (default " WAIT_S ")\n"
	       "  --user USER, --from TIME, --to TIME    history search: whose, and when\n"
	       "  --pcap FILE         trace: a capture file instead of text\n"
	       "  -h, --help          this; behind a command, what it does\n"
	       "  --version           the version of this program\n"
	       "Options may stand anywhere; -- ends them.\n"
	       "\n"
	       "Exit: 0 done, 1 refused, or the output could not be written, 2 usage,\n"
	       "3 the server cannot be reached, or does not answer in time.\n", user_help);
}

int ctl_usage(const struct ctl *ctl, const char *format, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	ctl_tell_error(ctl, 0, why);
	if (ctl->command)
		print_synopsis(stderr, ctl->command);
	else
		fputs("imservctl --help lists commands and options\n", stderr);
	return CTL_USAGE;
}

/* ---- the token ---- */

static int load_token(struct ctl *ctl)
{
	char why[400];

	if (!ctl->token_file) /* here, as after README's start, else the service's, also one we must not see */
		ctl->token_file = access(TOKEN_NAME, F_OK) != 0 && (access(TOKEN_SYSTEM, F_OK) == 0 || errno == EACCES) ?
			TOKEN_SYSTEM : TOKEN_NAME;
	/* admin_token_load() would make one */
	int err = access(ctl->token_file, F_OK) == 0 ? admin_token_load(ctl->token_file, ctl->token) : errno;
	snprintf(why, sizeof(why), "token file %.200s: %s", ctl->token_file,
		err == EPERM ? "others can read it: chmod 600" : err == EINVAL ? "there is no token in it" :
		err == EACCES ? "not yours to read: be the server's user, or root (sudo)" : strerror(err));
	if (!err || err == ENOENT) /* without one the server refuses, if there is a server */
		return CTL_DONE;
	ctl_tell_error(ctl, 0, why);
	return CTL_REFUSED;
}

/* ---- the command line ---- */

enum { OPTION_API = 256, OPTION_JSON, OPTION_TOKEN_FILE, OPTION_TIMEOUT, OPTION_USER, OPTION_FROM, OPTION_TO, OPTION_PCAP, OPTION_VERSION };

static const struct option long_options[] = {
	{ "api", required_argument, NULL, OPTION_API },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "token-file", required_argument, NULL, OPTION_TOKEN_FILE },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "user", required_argument, NULL, OPTION_USER },
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "to", required_argument, NULL, OPTION_TO },
	{ "pcap", required_argument, NULL, OPTION_PCAP },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPTION_VERSION },
	{ NULL, 0, NULL, 0 },
};

struct line {
	struct ctl ctl;
	char *words[WORDS_MAX];
	const char *timeout, *wrong; /* the first option that is unknown, or without its value */
	bool is_help, is_version, has_too_many;
};

static void add_word(struct line *line, char *word)
{
	if (line->ctl.count < WORDS_MAX)
		line->words[line->ctl.count++] = word;
	else
		line->has_too_many = true;
}

static void take(struct line *line, int option, char **argv)
{
	struct ctl *ctl = &line->ctl;

	switch (option) {
	case 1: /* a word, wherever it stands */
		add_word(line, optarg);
		break;
	case OPTION_API:
		ctl->api = optarg;
		break;
	case OPTION_JSON:
		ctl->is_json = true;
		break;
	case OPTION_TOKEN_FILE:
		ctl->token_file = optarg;
		break;
	case OPTION_TIMEOUT:
		line->timeout = optarg;
		break;
	case OPTION_USER:
		ctl->user = optarg;
		break;
	case OPTION_FROM:
		ctl->from = optarg;
		break;
	case OPTION_TO:
		ctl->to = optarg;
		break;
	case OPTION_PCAP:
		ctl->pcap = optarg;
		break;
	case 'h':
		line->is_help = true;
		break;
	case OPTION_VERSION:
		line->is_version = true;
		break;
	default:
		if (!line->wrong)
			line->wrong = argv[optind - 1];
		break;
	}
}

static void read_line(struct line *line, int argc, char **argv)
{
	int option;

	opterr = 0; /* told once all is read, for --json may come last */
	while ((option = getopt_long(argc, argv, "-h", long_options, NULL)) != -1)
		take(line, option, argv);
	for (; optind < argc; optind++)
		add_word(line, argv[optind]);
	line->ctl.words = line->words;
}

/* Whether words and options fit; the exit code. */
static int check(struct line *line)
{
	struct ctl *ctl = &line->ctl;
	uint64_t seconds;

	if (line->wrong)
		return ctl_usage(ctl, "%.100s: no such option, or its value is missing", line->wrong);
	if (ctl->count == 0)
		return ctl_usage(ctl, "expected a command");
	if (!(ctl->command = find_command(line->words[0])))
		return ctl_usage(ctl, "%.100s: no such command", line->words[0]);
	if (line->has_too_many || ctl->count > ctl->command->most)
		return ctl_usage(ctl, "%s: too many words", ctl->command->name);
	if (ctl->count < ctl->command->least)
		return ctl_usage(ctl, "%s: something is missing", ctl->command->name);
	if ((ctl->user || ctl->from || ctl->to) && ctl->command->run != ctl_history)
		return ctl_usage(ctl, "--user, --from and --to are for history");
	if (ctl->pcap && (ctl->command->run != ctl_trace || ctl->is_json))
		return ctl_usage(ctl, ctl->is_json ? "--pcap and --json do not go together" : "--pcap is for trace");
	if (!slice_u64(slice_str(line->timeout), WAIT_S_MAX, &seconds) || seconds == 0)
		return ctl_usage(ctl, "--timeout %.60s: expected seconds, 1 to %u", line->timeout, WAIT_S_MAX);
	ctl->wait_ms = (unsigned)seconds * 1000;
	return CTL_DONE;
}

static int run(struct line *line)
{
	int code;

	if (line->is_help && !line->wrong) {
		line->ctl.command = line->ctl.count ? find_command(line->words[0]) : NULL;
		if (line->ctl.command)
			print_command_help(line->ctl.command);
		else
			print_help();
		return CTL_DONE;
	}
	if (line->is_version && !line->wrong) {
		puts("imservctl " IMSERV_VERSION);
		return CTL_DONE;
	}
	if ((code = check(line)) || (code = load_token(&line->ctl)))
		return code;
	return line->ctl.command->run(&line->ctl);
}

/* A descriptor that is closed would be the next socket's: what is printed would go to the server.  The null device
 * opened the wrong way fails what was to be read or written. */
static void hold_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY); /* the lowest that is free: this one */
}

int main(int argc, char **argv)
{
	struct line line = { .ctl.api = API_DEFAULT, .timeout = WAIT_S };

	hold_descriptors();
	signal(SIGPIPE, SIG_IGN); /* ctl_finish() sees it */
	read_line(&line, argc, argv);
	return ctl_finish(run(&line));
}
