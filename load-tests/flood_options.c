/* The command line of imflood: every option with its limits, then what they say together. */
#include "load-tests/flood_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load-tests/address.h"
#include "load-tests/flood_report.h"

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
	STORM,
	PUSH,
	SHARED,
	DEAF,
	PAIRS,
	MIX,
	FLOWS,
	ROOMS,
	MEMBERS,
	SENDERS,
	UNANSWERED,
	FACTORY,
	GROUP,
	PASSWORD,
	FIRST_USER,
	RECORD,
	LABEL,
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
	{ "storm", required_argument, NULL, STORM },
	{ "push", no_argument, NULL, PUSH },
	{ "connections-shared", no_argument, NULL, SHARED },
	{ "deaf", required_argument, NULL, DEAF },
	{ "pairs", required_argument, NULL, PAIRS },
	{ "mix", required_argument, NULL, MIX },
	{ "flows", required_argument, NULL, FLOWS },
	{ "rooms", required_argument, NULL, ROOMS },
	{ "members", required_argument, NULL, MEMBERS },
	{ "senders", required_argument, NULL, SENDERS },
	{ "unanswered", no_argument, NULL, UNANSWERED },
	{ "factory", required_argument, NULL, FACTORY },
	{ "group", required_argument, NULL, GROUP },
	{ "password", required_argument, NULL, PASSWORD },
	{ "first-user", required_argument, NULL, FIRST_USER },
	{ "record", required_argument, NULL, RECORD },
	{ "label", required_argument, NULL, LABEL },
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

/* sip:HOST:PORT[;transport=udp|tcp|tls] or msrp:HOST:PORT */
static bool target(struct flood_options *o, const char *text)
{
	struct slice parameters, s = slice_str(text), scheme = slice_cut(s, ':', NULL);
	bool is_sip = slice_eq(scheme, SLICE("sip")), is_msrp = slice_eq(scheme, SLICE("msrp"));
	struct slice host = slice_cut(slice_skip(s, scheme.n + 1), ';', &parameters);

	o->target_text = text;
	o->tls = slice_eq(parameters, SLICE("transport=tls"));
	o->tcp = o->tls || slice_eq(parameters, SLICE("transport=tcp"));
	if ((!is_sip && !is_msrp) ||
	    (parameters.p && !o->tcp && !slice_eq(parameters, SLICE("transport=udp"))) ||
	    !address_parse(host, !is_sip ? 2855 : o->tls ? 5061 : 5060, &o->target) || address_port(&o->target) == 0)
		return refuse("target", text,
			      "sip:ADDRESS:PORT[;transport=udp|tcp|tls] or msrp:ADDRESS:PORT");
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

/* "message=90,session=4,pager=4,register=1,reinvite=1": weights; what is not named is none. */
static bool mix(struct flood_options *o, const char *text)
{
	struct slice rest = slice_str(text);

	memset(o->rates, 0, sizeof(o->rates));
	while (rest.p) {
		struct slice weight, name = slice_cut(slice_cut(rest, ',', &rest), '=', &weight);
		uint64_t value;
		int i = 0;
		while (i <= LOAD_REINVITE && !slice_eq(name, slice_str(load_info[i].name)))
			i++;
		if (i > LOAD_REINVITE || !slice_u64(weight, 1000000, &value))
			return refuse("mix", text, "message=N,session=N,pager=N,register=N,reinvite=N, each once or not at all");
		o->rates[i] = (double)value;
	}
	for (int i = 0; i < FLOOD_LOADS_N; i++)
		if (o->rates[i] > 0)
			return true;
	return refuse("mix", text, "at least one weight that is not 0");
}

static bool answer(struct flood_options *o, const char *text)
{
	o->answers_passive = strcmp(text, "passive") == 0;
	return o->answers_passive || strcmp(text, "active") == 0 ||
	       refuse("answer", text, "active or passive");
}

static bool uri(const char *option, const char *text, const char **value)
{
	*value = text;
	return (slice_starts(slice_str(text), SLICE("sip:")) && strlen(text) < 200) ||
	       refuse(option, text, "a sip: URI of less than 200 characters");
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
		o->is_closed = true;
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
	case FIRST_USER:
		return u32_number("first-user", value, 0, FIRST_USER_MAX, &o->first_user);
	case STORM:
		return decimal("storm", value, "s", 0.1, DURATION_MAX_S, &o->storm_s);
	case PUSH:
		o->is_push = true;
		return true;
	case SHARED:
		o->connections_shared = true;
		return true;
	case DEAF:
		return u32_number("deaf", value, 0, DEAF_MAX, &o->deaf);
	case PAIRS:
		return u32_number("pairs", value, 1, SESSIONS_MAX, &o->pairs);
	case MIX:
		return mix(o, value);
	case FLOWS:
		return u32_number("flows", value, 1, FLOWS_MAX, &o->flows);
	case ROOMS:
		return u32_number("rooms", value, 1, SESSIONS_MAX, &o->rooms);
	case MEMBERS:
		return u32_number("members", value, 2, MEMBERS_MAX, &o->members);
	case SENDERS:
		return u32_number("senders", value, 1, MEMBERS_MAX, &o->senders);
	case UNANSWERED:
		o->wants_no_answers = true;
		return true;
	case FACTORY:
		return uri("factory", value, &o->factory);
	case GROUP:
		return uri("group", value, &o->group);
	case PASSWORD:
		o->password = value;
		return true;
	case RECORD:
		o->record = value;
		return true;
	case LABEL:
		o->label = value;
		return true;
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
		fputs(imflood_help, stdout);
		exit(0);
	default:
		return false; /* getopt has said why */
	}
}

/* ---- what several options say together ---- */

static bool wrong(const char *text)
{
	fprintf(stderr, "imflood: %s\n", text);
	return false;
}

static const char *const workloads[] = { "session", "churn", "pager", "mixed", "deferred", "conference" };

const char *workload_name(enum flood_workload workload)
{
	return workloads[workload];
}

static bool fits_workload(const struct flood_options *o, bool has_mix)
{
	bool is_session = o->workload == WORKLOAD_SESSION, is_mixed = o->workload == WORKLOAD_MIXED,
	     is_deferred = o->workload == WORKLOAD_DEFERRED, is_room = o->workload == WORKLOAD_CONFERENCE;

	if (!is_room && (o->rooms || o->members || o->senders || o->wants_no_answers || o->factory || o->group))
		return wrong("--rooms, --members, --senders, --unanswered, --factory and --group are for conference");
	if (is_room && o->senders > o->members)
		return wrong("--senders is more than --members");
	if (!is_session && (o->mode == MODE_RELAY || o->mode == MODE_FORWARDER))
		return wrong("modes relay and forwarder have no SIP: they are for session");
	if (!is_session && (o->deaf || o->connections_shared || o->chunk || (o->idle_s > 0 && !is_room)))
		return wrong("--deaf, --connections-shared and --chunk are for session, --idle for session and conference");
	if (o->workload == WORKLOAD_CHURN && o->setup_rate > 0)
		return wrong("--setup-rate is not for churn, where --rate says how many sessions are set up");
	if (!is_mixed && (o->pairs || has_mix))
		return wrong("--pairs and --mix are for mixed");
	if ((is_mixed || is_deferred) && o->is_closed)
		return wrong("--window is not for mixed and deferred, which are open loops");
	if (is_deferred && o->mode == MODE_IMS)
		return wrong("deferred is for --mode standalone");
	if (!is_deferred && (o->storm_s > 0 || o->is_push))
		return wrong("--storm and --push are for deferred");
	if (o->deaf && o->connections_shared)
		return wrong("--deaf needs --connections-shared left away: each session on a connection of its own");
	return true;
}

static bool fits_limits(const struct flood_options *o)
{
	bool has_pager = o->workload == WORKLOAD_PAGER || o->workload == WORKLOAD_DEFERRED || o->rates[LOAD_PAGER] > 0;

	if (o->workload == WORKLOAD_CONFERENCE && ((uint64_t)o->rooms * o->members > SESSIONS_MAX ||
			(uint64_t)o->rooms * o->members * o->senders > SLOTS_MAX)) {
		fprintf(stderr, "imflood: --rooms times --members exceeds %u, or times --senders %u\n", SESSIONS_MAX, SLOTS_MAX);
		return false;
	}
	if ((uint64_t)(o->sessions + o->deaf) * o->outstanding > SLOTS_MAX) {
		fprintf(stderr, "imflood: --sessions times --outstanding exceeds %u\n", SLOTS_MAX);
		return false;
	}
	if (o->workload == WORKLOAD_PAGER && o->is_closed && (uint64_t)o->sessions * o->outstanding > PAGER_SLOTS_MAX) {
		fprintf(stderr, "imflood: --sessions times --outstanding exceeds %u\n", PAGER_SLOTS_MAX);
		return false;
	}
	if (o->chunk && o->size / o->chunk >= 0xffffff)
		return wrong("--size and --chunk make more than 16 million chunks");
	if (has_pager && (o->size < PAGER_SIZE_MIN || o->size > PAGER_SIZE_MAX)) {
		fprintf(stderr, "imflood: --size of a pager message: expected %u to %u\n", PAGER_SIZE_MIN, PAGER_SIZE_MAX);
		return false;
	}
	return true;
}

/* What each load has of the whole rate; in a closed loop only whether there is any. */
static void share_rate(struct flood_options *o)
{
	static const enum flood_load only[] = { [WORKLOAD_SESSION] = LOAD_MESSAGE, [WORKLOAD_CHURN] = LOAD_SESSION,
		[WORKLOAD_PAGER] = LOAD_PAGER, [WORKLOAD_DEFERRED] = LOAD_DEFERRED, [WORKLOAD_CONFERENCE] = LOAD_COPY };
	static const double mixed[FLOOD_LOADS_N] = {
		[LOAD_MESSAGE] = 90, [LOAD_SESSION] = 3, [LOAD_PAGER] = 5, [LOAD_REGISTER] = 1, [LOAD_REINVITE] = 1
	};
	double sum = 0;

	if (!o->is_closed && o->rate == 0)
		o->rate = o->workload == WORKLOAD_CHURN ? 100 : 1000;
	if (o->workload != WORKLOAD_MIXED) {
		o->rates[only[o->workload]] = o->is_closed ? 1 : o->rate;
		return;
	}
	for (int i = 0; i < FLOOD_LOADS_N; i++)
		sum += o->rates[i];
	if (sum == 0)
		memcpy(o->rates, mixed, sizeof(mixed));
	sum = 0;
	for (int i = 0; i < FLOOD_LOADS_N; i++)
		sum += o->rates[i];
	for (int i = 0; i < FLOOD_LOADS_N; i++)
		o->rates[i] *= o->rate / sum;
}

static bool locals_fit(struct flood_options *o)
{
	if (!o->locals_n) {
		struct slice loopback = o->target.ss_family == AF_INET6 ? SLICE("::1") : SLICE("127.0.0.1");
		o->locals_n = address_parse(loopback, 0, &o->locals[0]);
	}
	for (unsigned i = 0; i < o->locals_n; i++)
		if (o->locals[i].ss_family != o->target.ss_family)
			return wrong("--local and --target are not of one address family");
	if (!o->flows)
		o->flows = o->locals_n;
	if (o->flows < o->locals_n)
		return wrong("--flows is less than there are --local addresses");
	return true;
}

static void fill_rooms(struct flood_options *o)
{
	o->rooms = o->rooms ? o->rooms : 1;
	o->members = o->members ? o->members : 10;
	o->senders = o->senders ? o->senders : 1;
	o->sessions = o->rooms * o->members; /* its limit is checked below */
}

static bool consistent(struct flood_options *o, bool has_mix)
{
	if (o->target.ss_family == AF_UNSPEC)
		return wrong("--target is missing");
	if (o->is_closed && o->rate > 0)
		return wrong("--window and --rate exclude each other: a closed loop has no rate");
	if (o->workload == WORKLOAD_CONFERENCE)
		fill_rooms(o);
	if (!fits_workload(o, has_mix) || !fits_limits(o) || !locals_fit(o))
		return false;
	share_rate(o);
	o->sessions += o->deaf;
	if (o->workload == WORKLOAD_CHURN || o->workload == WORKLOAD_PAGER || o->workload == WORKLOAD_DEFERRED) {
		o->pairs = o->sessions;
		o->sessions = 0;
	} else if (o->workload == WORKLOAD_MIXED && !o->pairs) {
		o->pairs = 64;
	}
	if (o->drain_s < 0) /* beyond timer F a request has an answer, or will have none */
		o->drain_s = o->workload == WORKLOAD_SESSION || o->workload == WORKLOAD_CONFERENCE ? 5 : 35;
	if (o->storm_s == 0)
		o->storm_s = 10;
	if (o->setup_timeout_s == 0)
		o->setup_timeout_s =
			30 + options_pairs(o) / 100.0 + (o->setup_rate > 0 ? options_pairs(o) / o->setup_rate : 0);
	return true;
}

bool options_read(struct flood_options *o, int argc, char **argv)
{
	bool has_mix = false;

	*o = (struct flood_options){
		.workload = o->workload, .sessions = 64, .outstanding = 8, .size = 300, .duration_s = 10, .warmup_s = 1, .drain_s = -1
	};
	for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
		has_mix |= option == MIX;
		if (!take(o, option, optarg))
			return false;
	}
	if (optind != argc) {
		fprintf(stderr, "imflood: unexpected argument \"%s\"\n", argv[optind]);
		return false;
	}
	return consistent(o, has_mix);
}
