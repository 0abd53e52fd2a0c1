/* The command line of imflood: options with limits, one workload, one report. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load-tests/address.h"
#include "load-tests/churn_flood.h"
#include "load-tests/flood_options.h"
#include "load-tests/flood_report.h"
#include "load-tests/session_flood.h"

static const char help[] =
	"imflood session --target URI [options]\n"
	"  Sets up N one-to-one IM sessions and lets A send messages to B in each.\n"
	"  Every message is counted once at B and its answer once at A.  Exit status:\n"
	"  0 nothing was lost, 1 something was or went wrong, 2 usage.\n"
	"\n"
	"imflood churn --target URI [options]\n"
	"  N pairs of users set a session up, send one message, hang up, and begin again,\n"
	"  without pause. Told are sessions a second, CPU of the server for one, and how\n"
	"  long one took from INVITE to both legs bound. --sessions is N; --outstanding,\n"
	"  --rate, --chunk, --drain and modes without SIP do not apply.\n"
	"\n"
	"  --target URI         sip:HOST:PORT[;transport=udp|tcp]; for a relay or\n"
	"                       forwarder msrp:HOST:PORT (HOST is an address)\n"
	"  --mode MODE          standalone: register two users per session, INVITE\n"
	"                         through the server (default)\n"
	"                       ims: play the core with third-party REGISTER and\n"
	"                         P-Asserted-Identity; core.next_hop of the server must\n"
	"                         be the first --local address; a session is one\n"
	"                         terminating pass\n"
	"                       relay: no SIP, both legs dial into an MSRP relay that\n"
	"                         To-Path names\n"
	"                       forwarder: no SIP, both legs dial into `forwarder`\n"
	"  --local ADDR[:PORT]  where our connections come from (default 127.0.0.1);\n"
	"                       may be repeated, sessions take turns\n"
	"  --domain NAME        home domain of the users (default: the target's address)\n"
	"  --sessions N         1 to 100000, default 64\n"
	"  --outstanding K      messages under way per session, 1 to 4096, default 8; in\n"
	"                       an open loop the most that may be: what is due beyond\n"
	"                       waits, and its latency counts from when it was due\n"
	"  --window             closed loop: always K under way (default without --rate)\n"
	"  --rate R[/s]         open loop: R messages a second over all sessions\n"
	"  --size OCTETS        of a message, 1 to 1 GiB, default 300\n"
	"  --chunk OCTETS       of a chunk, 0 = one chunk per message (default)\n"
	"  --duration S         measured time, default 10; --warmup S before it, default 1\n"
	"  --drain S            how long the backlog of an open loop may still be sent, and\n"
	"                       then how long to wait for what is under way, default 5\n"
	"  --setup-timeout S    default 30 + sessions / 100\n"
	"  --setup-rate R[/s]   sessions set up a second (default: as fast as they come up)\n"
	"  --idle S             after the traffic nothing is sent for S seconds, then memory\n"
	"                       per session is told: its sessions alone, for all users are\n"
	"                       registered before the first of them\n"
	"  --connections-shared all A legs on one MSRP connection, all B legs on another\n"
	"  --deaf N             N more sessions, 0 to 1000, whose B does not read in every\n"
	"                       other eighth of the measured time, while A sends all it can;\n"
	"                       told is what that does to the others: their p99 without and\n"
	"                       with, of one run, which should be no more than 1.5 times the\n"
	"                       other (use an open loop: --rate)\n"
	"  --answer active|passive  who connects for B: we (default) or the server\n"
	"  --pid PID            server process (with its children): CPU per message,\n"
	"                       memory per session\n"
	"  --json               the report as one JSON object\n"
	"  --quiet              no progress lines\n";

enum {
	OPTION_FIRST = 256,
	TARGET,
	MODE,
	LOCAL,
	DOMAIN,
	SESSIONS,
	OUTSTANDING,
	WINDOW,
	RATE,
	SIZE,
	CHUNK,
	DURATION,
	WARMUP,
	DRAIN,
	SETUP_TIMEOUT,
	SETUP_RATE,
	IDLE,
	SHARED,
	DEAF,
	ANSWER,
	PID,
	JSON,
	QUIET,
	HELP
};

static const struct option long_options[] = {
	{ "target", required_argument, NULL, TARGET },
	{ "mode", required_argument, NULL, MODE },
	{ "local", required_argument, NULL, LOCAL },
	{ "domain", required_argument, NULL, DOMAIN },
	{ "sessions", required_argument, NULL, SESSIONS },
	{ "outstanding", required_argument, NULL, OUTSTANDING },
	{ "window", no_argument, NULL, WINDOW },
	{ "rate", required_argument, NULL, RATE },
	{ "size", required_argument, NULL, SIZE },
	{ "chunk", required_argument, NULL, CHUNK },
	{ "duration", required_argument, NULL, DURATION },
	{ "warmup", required_argument, NULL, WARMUP },
	{ "drain", required_argument, NULL, DRAIN },
	{ "setup-timeout", required_argument, NULL, SETUP_TIMEOUT },
	{ "setup-rate", required_argument, NULL, SETUP_RATE },
	{ "idle", required_argument, NULL, IDLE },
	{ "connections-shared", no_argument, NULL, SHARED },
	{ "deaf", required_argument, NULL, DEAF },
	{ "answer", required_argument, NULL, ANSWER },
	{ "pid", required_argument, NULL, PID },
	{ "json", no_argument, NULL, JSON },
	{ "quiet", no_argument, NULL, QUIET },
	{ "help", no_argument, NULL, HELP },
	{ 0 },
};

static bool refuse(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "imflood: --%s %s: expected %s\n", option, value, expected);
	return false;
}

static bool whole_number(const char *option, const char *text, uint64_t min, uint64_t max,
			 uint64_t *value)
{
	char expected[80];

	if (slice_u64(slice_str(text), max, value) && *value >= min)
		return true;
	snprintf(expected, sizeof(expected), "a whole number from %llu to %llu",
		 (unsigned long long)min, (unsigned long long)max);
	return refuse(option, text, expected);
}

static bool u32_number(const char *option, const char *text, uint32_t min, uint32_t max,
		       uint32_t *value)
{
	uint64_t v;

	if (!whole_number(option, text, min, max, &v))
		return false;
	*value = (uint32_t)v;
	return true;
}

static bool decimal(const char *option, const char *text, const char *unit, double min, double max,
		    double *value)
{
	char *end, expected[80];
	double v = strtod(text, &end);

	if (end != text && (*end == 0 || strcmp(end, unit) == 0) && v >= min && v <= max) {
		*value = v;
		return true;
	}
	snprintf(expected, sizeof(expected), "a number from %g to %g", min, max);
	return refuse(option, text, expected);
}

/* sip:HOST:PORT[;transport=udp|tcp] or msrp:HOST:PORT */
static bool target(struct flood_options *o, const char *text)
{
	struct slice parameters, s = slice_str(text), scheme = slice_cut(s, ':', NULL);
	bool is_sip = slice_eq(scheme, SLICE("sip")), is_msrp = slice_eq(scheme, SLICE("msrp"));
	struct slice host = slice_cut(slice_skip(s, scheme.n + 1), ';', &parameters);

	o->tcp = slice_eq(parameters, SLICE("transport=tcp"));
	if ((!is_sip && !is_msrp) ||
	    (parameters.p && !o->tcp && !slice_eq(parameters, SLICE("transport=udp"))) ||
	    !address_parse(host, is_sip ? 5060 : 2855, &o->target) || address_port(&o->target) == 0)
		return refuse("target", text,
			      "sip:ADDRESS:PORT[;transport=udp|tcp] or msrp:ADDRESS:PORT");
	return true;
}

static bool mode(struct flood_options *o, const char *text)
{
	static const char *const names[] = { "standalone", "ims", "relay", "forwarder" };

	for (unsigned i = 0; i < 4; i++) {
		if (strcmp(text, names[i]) == 0) {
			o->mode = (enum flood_mode)i;
			return true;
		}
	}
	return refuse("mode", text, "standalone, ims, relay or forwarder");
}

static bool local(struct flood_options *o, const char *text)
{
	if (o->locals_n == LOCAL_ADDRESSES_MAX)
		return refuse("local", text, "at most 64 addresses");
	if (!address_parse(slice_str(text), 0, &o->locals[o->locals_n]))
		return refuse("local", text, "an address, with or without port");
	o->locals_n++;
	return true;
}

static bool answer(struct flood_options *o, const char *text)
{
	o->answers_passive = strcmp(text, "passive") == 0;
	return o->answers_passive || strcmp(text, "active") == 0 ||
	       refuse("answer", text, "active or passive");
}

static bool server_pid(struct flood_options *o, const char *text)
{
	uint32_t pid;

	if (!u32_number("pid", text, 1, 1u << 22, &pid))
		return false;
	o->server_pid = (pid_t)pid;
	return true;
}

static bool take(struct flood_options *o, int option, const char *value)
{
	switch (option) {
	case TARGET:
		return target(o, value);
	case MODE:
		return mode(o, value);
	case LOCAL:
		return local(o, value);
	case DOMAIN:
		o->domain = value;
		return true;
	case SESSIONS:
		return u32_number("sessions", value, 1, SESSIONS_MAX, &o->sessions);
	case OUTSTANDING:
		return u32_number("outstanding", value, 1, OUTSTANDING_MAX, &o->outstanding);
	case WINDOW:
		o->rate = 0;
		return true;
	case RATE:
		return decimal("rate", value, "/s", 0.1, RATE_MAX, &o->rate);
	case SIZE:
		return u32_number("size", value, 1, SIZE_MAX_OCTETS, &o->size);
	case CHUNK:
		return u32_number("chunk", value, 0, SIZE_MAX_OCTETS, &o->chunk);
	case DURATION:
		return decimal("duration", value, "s", 0.1, DURATION_MAX_S, &o->duration_s);
	case WARMUP:
		return decimal("warmup", value, "s", 0, DURATION_MAX_S, &o->warmup_s);
	case DRAIN:
		return decimal("drain", value, "s", 0, DURATION_MAX_S, &o->drain_s);
	case SETUP_TIMEOUT:
		return decimal("setup-timeout", value, "s", 0.1, DURATION_MAX_S,
			       &o->setup_timeout_s);
	case SETUP_RATE:
		return decimal("setup-rate", value, "/s", 0.1, RATE_MAX, &o->setup_rate);
	case IDLE:
		return decimal("idle", value, "s", 0.1, DURATION_MAX_S, &o->idle_s);
	case SHARED:
		o->connections_shared = true;
		return true;
	case DEAF:
		return u32_number("deaf", value, 0, DEAF_MAX, &o->deaf);
	case ANSWER:
		return answer(o, value);
	case PID:
		return server_pid(o, value);
	case JSON:
		o->json = true;
		return true;
	case QUIET:
		o->quiet = true;
		return true;
	case HELP:
		fputs(help, stdout);
		exit(0);
	default:
		return false; /* getopt has said why */
	}
}

/* Limits that concern several options at once. */
static bool consistent(struct flood_options *o)
{
	if (o->target.ss_family == AF_UNSPEC) {
		fprintf(stderr, "imflood: --target is missing\n");
		return false;
	}
	if (o->deaf && (o->is_churn || o->connections_shared)) {
		fprintf(stderr, "imflood: --deaf is for session, each on a connection of its own\n");
		return false;
	}
	o->sessions += o->deaf;
	if ((uint64_t)o->sessions * o->outstanding > SLOTS_MAX) {
		fprintf(stderr, "imflood: --sessions times --outstanding exceeds %u\n", SLOTS_MAX);
		return false;
	}
	if (o->chunk && o->size / o->chunk >= 0xffffff) {
		fprintf(stderr, "imflood: --size and --chunk make more than 16 million chunks\n");
		return false;
	}
	if (o->is_churn && (o->mode == MODE_RELAY || o->mode == MODE_FORWARDER || o->rate > 0 || o->chunk)) {
		fprintf(stderr, "imflood: churn needs SIP and knows no --rate or --chunk\n");
		return false;
	}
	if (o->is_churn && (o->setup_rate > 0 || o->idle_s > 0)) {
		fprintf(stderr, "imflood: churn knows no --setup-rate and no --idle\n");
		return false;
	}
	if (!o->locals_n) {
		struct slice loopback =
			o->target.ss_family == AF_INET6 ? SLICE("::1") : SLICE("127.0.0.1");
		o->locals_n = address_parse(loopback, 0, &o->locals[0]);
	}
	for (unsigned i = 0; i < o->locals_n; i++) {
		if (o->locals[i].ss_family != o->target.ss_family) {
			fprintf(stderr,
				"imflood: --local and --target are not of one address family\n");
			return false;
		}
	}
	if (o->setup_timeout_s == 0)
		o->setup_timeout_s = 30 + o->sessions / 100.0 + (o->setup_rate > 0 ? o->sessions / o->setup_rate : 0);
	return true;
}

/* Two connections per session, and some of our own. */
static bool raise_descriptors(const struct flood_options *o)
{
	struct rlimit files;
	rlim_t needed = o->connections_shared ? 100 : (rlim_t)o->sessions * 2 + 100;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return true; /* then opening them will tell */
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < needed) {
		fprintf(stderr,
			"imflood: %u sessions need %llu descriptors, the limit is %llu (ulimit "
			"-n)\n",
			o->sessions, (unsigned long long)needed,
			(unsigned long long)files.rlim_max);
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	struct flood_options o = { .sessions = 64,
				   .outstanding = 8,
				   .size = 300,
				   .duration_s = 10,
				   .warmup_s = 1,
				   .drain_s = 5 };
	static struct flood_report report;

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		fputs(help, stdout);
		return 0;
	}
	o.is_churn = argc >= 2 && strcmp(argv[1], "churn") == 0;
	if (argc < 2 || (strcmp(argv[1], "session") != 0 && !o.is_churn)) {
		fprintf(stderr,
			"imflood: unknown workload \"%s\"; known: session, churn (imflood --help)\n",
			argc < 2 ? "" : argv[1]);
		return 2;
	}
	for (int option; (option = getopt_long(argc - 1, argv + 1, "", long_options, NULL)) != -1;)
		if (!take(&o, option, optarg))
			return 2;
	if (optind != argc - 1) {
		fprintf(stderr, "imflood: unexpected argument \"%s\"\n", argv[optind + 1]);
		return 2;
	}
	if (!consistent(&o) || !raise_descriptors(&o))
		return 2;
	int err = o.is_churn ? churn_flood_run(&o, &report) : session_flood_run(&o, &report);
	if (err) {
		fprintf(stderr, "imflood: %s\n", strerror(err));
		return 1;
	}
	if (o.json)
		report_json(&report, &o);
	else
		report_text(&report, &o);
	return report_errors(&report) ? 1 : 0;
}
