/* config/config.c with everything below it: what operators write, and what they are told. */
#include "tests/unit/test_config_common.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include "config/schema.h"

/* ---- exact messages ---- */

static const struct {
	const char *what, *yaml, *want;
} files[] = {
	/* -- fine -- */
	{ "nothing", "", "" },
	{ "only a comment", "# nothing\n", "" },
	{ "an empty mapping", "{}\n", "" },
	{ "a null document", "---\n~\n", "" },
	{ "an empty section", "limits:\n", "" },
	{ "JSON is YAML", "{\"limits\": {\"unbound\": \"7s\"}}", "" },
	{ "CR LF", "limits:\r\n  unbound: 7s\r\n", "" },
	{ "a byte order mark", "\xef\xbb\xbflimits: {unbound: 7s}\n", "" },

	/* -- not YAML, or more of it than is supported -- */
	{ "an open bracket", "limits: {unbound: 5s\n",
	  "test.yaml:2: not YAML: did not find expected ',' or '}' while parsing a flow mapping\n" },
	{ "a tab", "limits:\n\tunbound: 5s\n",
	  "test.yaml:2: not YAML: found character that cannot start any token while scanning for "
	  "the next token\n" },
	{ "not UTF-8", "log:\n  level: \xff\n", "test.yaml:2: not YAML: invalid leading UTF-8 octet\n" },
	{ "two documents", "limits: {}\n---\nlimits: {}\n",
	  "test.yaml:2: a second document: expected one\n" },
	{ "an anchor", "limits: &a {unbound: 5s}\n",
	  "test.yaml:1: an anchor: anchors are not supported\n" },
	{ "anchor and alias", "limits: &a {}\ntimers: *a\n",
	  "test.yaml:1: an anchor: anchors are not supported\n"
	  "test.yaml:2: an alias: write the value out\n" },
	{ "an alias to itself", "limits: &a [*a]\n",
	  "test.yaml:1: an anchor: anchors are not supported\n"
	  "test.yaml:1: an alias: write the value out\n" },
	{ "a tag", "log: {level: !!str info}\n", "test.yaml:1: a tag: tags are not supported\n" },
	{ "a merge key", "limits:\n  <<: {unbound: 5s}\n",
	  "test.yaml:2: <<: a merge key: write the keys out\n" },
	{ "a key that is a list", "[a]: b\n", "test.yaml:1: a key that is not a plain text\n" },
	{ "too deep", "a: [[[[[[[[[[1]]]]]]]]]]\n",
	  "test.yaml:1: nested more deeply than any key is\n" },
	{ "a line break in a text", "domain: {home: \"a\\nb\"}\n",
	  "test.yaml:1: home: control characters are not supported\n" },
	{ "a zero octet in a text", "domain: {home: \"a\\0b\"}\n",
	  "test.yaml:1: home: control characters are not supported\n" },
	{ "a list at the top", "[a]\n", "test.yaml:1: expected a mapping of sections\n" },
	{ "a text at the top", "hello\n", "test.yaml:1: expected a mapping of sections\n" },

	/* -- keys -- */
	{ "an unknown section", "limit: {}\n",
	  "test.yaml:1: limit: unknown key: did you mean limits?\n" },
	{ "an unknown section like no other", "zzzzzzzz: 1\n", "test.yaml:1: zzzzzzzz: unknown key\n" },
	{ "an unknown key", "limits:\n  unbund: 5s\n",
	  "test.yaml:2: limits.unbund: unknown key: did you mean unbound?\n" },
	{ "another case", "limits:\n  Unbound: 5s\n",
	  "test.yaml:2: limits.Unbound: unknown key: did you mean unbound?\n" },
	{ "a key given twice", "limits:\n  unbound: 5s\n  unbound: 6s\n",
	  "test.yaml:3: unbound: given twice: expected once (before: line 2)\n" },
	{ "a section given twice", "limits: {}\n\nlimits: {}\n",
	  "test.yaml:3: limits: given twice: expected once (before: line 1)\n" },
	{ "a section that is a text", "limits: 5\n",
	  "test.yaml:1: limits: expected a mapping of keys\n" },
	{ "a section that is a list", "limits: [5]\n",
	  "test.yaml:1: limits: expected a mapping of keys\n" },
	{ "a list that is a mapping", "listen: {proto: udp}\n",
	  "test.yaml:1: listen: expected a list of mappings\n" },

	/* -- values of every type -- */
	{ "bool", "runtime: {pin_cpus: yes}\n",
	  "test.yaml:1: runtime.pin_cpus: \"yes\": expected true or false\n" },
	{ "no value", "runtime: {pin_cpus: }\n",
	  "test.yaml:1: runtime.pin_cpus: no value: expected true or false\n" },
	{ "a list for one", "runtime: {pin_cpus: [true]}\n",
	  "test.yaml:1: runtime.pin_cpus: a list: expected true or false\n" },
	{ "a mapping for one", "runtime: {pin_cpus: {a: b}}\n",
	  "test.yaml:1: runtime.pin_cpus: a mapping: expected true or false\n" },
	{ "auto", "runtime: {workers: 0}\n",
	  "test.yaml:1: runtime.workers: \"0\": expected auto or a number from 1 to 256\n" },
	{ "negative", "limits: {sessions: -1}\n",
	  "test.yaml:1: limits.sessions: \"-1\": expected a number from 1 to 100000000\n" },
	{ "beyond 32 bits", "limits: {sessions: 4294967297}\n",
	  "test.yaml:1: limits.sessions: \"4294967297\": expected a number from 1 to 100000000\n" },
	{ "beyond 64 bits", "limits: {sessions: 18446744073709551617}\n",
	  "test.yaml:1: limits.sessions: \"18446744073709551617\": expected a number from 1 to "
	  "100000000\n" },
	{ "octal or not", "limits: {sessions: 0100}\n",
	  "test.yaml:1: limits.sessions: \"0100\": expected a number from 1 to 100000000\n" },
	{ "a fraction", "limits: {sessions: 1.5}\n",
	  "test.yaml:1: limits.sessions: \"1.5\": expected a number from 1 to 100000000\n" },
	{ "power of two", "runtime: {recv_buffers: 1000}\n",
	  "test.yaml:1: runtime.recv_buffers: \"1000\": expected a number from 16 to 32768, a power of "
	  "two\n" },
	{ "size", "limits: {header_bytes: 16kb}\n",
	  "test.yaml:1: limits.header_bytes: \"16kb\": expected a size from 512 to 1MiB, such as 16KiB\n" },
	{ "size that wraps", "limits: {header_bytes: 18014398509481985KiB}\n",
	  "test.yaml:1: limits.header_bytes: \"18014398509481985KiB\": expected a size from 512 to "
	  "1MiB, such as 16KiB\n" },
	{ "time without unit", "limits: {unbound: 5}\n",
	  "test.yaml:1: limits.unbound: \"5\": expected a time from 100ms to 3600s, such as 5s\n" },
	{ "time with another unit", "limits: {unbound: 5000us}\n",
	  "test.yaml:1: limits.unbound: \"5000us\": expected a time from 100ms to 3600s, such as 5s\n" },
	{ "time with a blank", "limits: {unbound: 5 s}\n",
	  "test.yaml:1: limits.unbound: \"5 s\": expected a time from 100ms to 3600s, such as 5s\n" },
	{ "off where it is not allowed", "limits: {unbound: 0s}\n",
	  "test.yaml:1: limits.unbound: \"0s\": expected a time from 100ms to 3600s, such as 5s\n" },
	{ "rate", "limits: {invite_rate: 5}\n",
	  "test.yaml:1: limits.invite_rate: \"5\": expected a rate from 1/s to 1000000/s, or 0/s for "
	  "off\n" },
	{ "microseconds", "store: {group_commit: 5}\n",
	  "test.yaml:1: store.group_commit: \"5\": expected a time from 1us to 1s, or 0s for off, such as 500us\n" },
	{ "a word", "log: {level: loud}\n",
	  "test.yaml:1: log.level: \"loud\": expected one of error, warn, info, debug\n" },
	{ "a word in another case", "log: {level: INFO}\n",
	  "test.yaml:1: log.level: \"INFO\": expected one of error, warn, info, debug\n" },
	{ "words", "listen: [{proto: udp, address: \"127.0.0.1:0\"}, "
		   "{proto: http, address: \"127.0.0.1:0\", serve: [metrics, all]}, "
		   "{proto: msrp, address: \"127.0.0.1:0\"}]\n",
	  "test.yaml:1: listen[1].serve[1]: \"all\": expected one of metrics, admin, xcap\n" },
	{ "an empty text", "domain: {home: \"\"}\n",
	  "test.yaml:1: domain.home: \"\": expected a host name or IP address (IPv6 in brackets)\n" },
	{ "host", "domain: {home: a_b-.org}\n",
	  "test.yaml:1: domain.home: \"a_b-.org\": expected a host name or IP address (IPv6 in "
	  "brackets)\n" },
	{ "hosts", "domain: {aliases: [a.org, \"b c\", [d.org]]}\n",
	  "test.yaml:1: domain.aliases[1]: \"b c\": expected a host name or IP address (IPv6 in "
	  "brackets)\n"
	  "test.yaml:1: domain.aliases[2]: a list: expected a host name or IP address (IPv6 in "
	  "brackets)\n" },
	{ "one host for a list", "domain: {aliases: a.org}\n",
	  "test.yaml:1: domain.aliases: \"a.org\": expected a list, each a host name or IP address "
	  "(IPv6 in brackets)\n" },
	{ "user", "domain: {history_user: \"a b\"}\n",
	  "test.yaml:1: domain.history_user: \"a b\": expected the user part of a SIP URI\n" },
	{ "URI", "domain: {factory: \"tel:123\"}\n",
	  "test.yaml:1: domain.factory: \"tel:123\": expected a URI such as sip:user@host\n" },
	{ "header names", "deferred: {prune: [\"P-Secret\", \"no header\"]}\n",
	  "test.yaml:1: deferred.prune[1]: \"no header\": expected a header name\n" },
	{ "network", "core: {trusted: [10.0.0.1/8]}\n",
	  "test.yaml:1: core.trusted[0]: \"10.0.0.1/8\": expected a network such as 10.0.0.0/8 or "
	  "::1/128, without bits beyond the prefix\n" },
	{ "next hop", "core: {next_hop: \"sip:a:99999\"}\n",
	  "test.yaml:1: core.next_hop: \"sip:a:99999\": expected "
	  "sip:HOST[:PORT][;transport=udp|tcp|tls], or \"\"\n" },

	/* -- listen and tls -- */
	{ "not a mapping", "listen: [udp]\n",
	  "test.yaml:1: listen[0]: expected a mapping such as {proto: ...}\n"
	  "test.yaml:1: listen: warning: no MSRP listener: sessions need one\n" },
	{ "missing", "listen:\n  - {proto: udp}\n  - {address: \"127.0.0.1:0\"}\n"
		     "  - {proto: msrp, address: \"127.0.0.1:0\"}\n",
	  "test.yaml:2: listen[0].address: missing: expected in every entry\n"
	  "test.yaml:3: listen[1].proto: missing: expected in every entry\n" },
	{ "a name for an address", "listen:\n- proto: udp\n  address: localhost:5060\n"
				   "- {proto: msrp, address: \"127.0.0.1:0\"}\n",
	  "test.yaml:3: listen[0].address: \"localhost:5060\": expected an IP address and port such as "
	  "127.0.0.1:5060 or [::1]:5060\n" },
	{ "no SIP", "listen: [{proto: msrp, address: \"127.0.0.1:0\"}]\n",
	  "test.yaml:1: listen: no SIP listener: expected udp, tcp or tls\n" },
	{ "no MSRP", "listen: [{proto: udp, address: \"127.0.0.1:0\"}]\n",
	  "test.yaml:1: listen: warning: no MSRP listener: sessions need one\n" },
	{ "taken", "listen:\n- {proto: tcp, address: \"127.0.0.1:5060\"}\n"
		   "- {proto: udp, address: \"127.0.0.1:5060\"}\n"
		   "- {proto: msrp, address: \"127.0.0.1:5060\"}\n",
	  "test.yaml:4: listen[2].address: \"127.0.0.1:5060\" is taken by listen[0]\n" },
	{ "port 0 twice is two ports", "listen:\n- {proto: tcp, address: \"127.0.0.1:0\"}\n"
				       "- {proto: msrp, address: \"127.0.0.1:0\"}\n", "" },
	{ "options elsewhere",
	  "listen:\n- {proto: udp, address: \"127.0.0.1:0\", per_worker_ports: true, serve: [xcap]}\n"
	  "- {proto: msrp, address: \"127.0.0.1:0\", role: originating, tls: a}\n"
	  "- {proto: http, address: \"127.0.0.1:0\", advertise: a.org}\n",
	  "test.yaml:2: listen[0].per_worker_ports: only for msrp and msrps\n"
	  "test.yaml:2: listen[0].serve: only for http\n"
	  "test.yaml:3: listen[1].role: only for udp, tcp and tls\n"
	  "test.yaml:3: listen[1].tls: only for tls and msrps\n"
	  "test.yaml:4: listen[2].advertise: not for http\n" },
	{ "names of certificates",
	  "listen:\n- {proto: udp, address: \"127.0.0.1:0\"}\n"
	  "- {proto: tls, address: \"127.0.0.1:5061\", tls: a}\n"
	  "- {proto: msrps, address: \"127.0.0.1:2856\"}\n"
	  "- {proto: msrp, address: \"127.0.0.1:2855\"}\n"
	  "- {proto: tls, address: \"127.0.0.1:5062\", tls: b}\n"
	  "tls: [{name: b, cert: main.pem, key: main.key}]\n",
	  "test.yaml:3: listen[1].tls: \"a\": expected the name of an entry of tls\n"
	  "test.yaml:4: listen[2].tls: missing: expected the name of an entry of tls\n" },
	{ "TLS alone", "listen:\n- {proto: tls, address: \"127.0.0.1:5061\", tls: a}\n"
		       "- {proto: msrps, address: \"127.0.0.1:2856\", tls: a}\n"
		       "tls: [{name: a, cert: main.pem, key: main.key}]\n", "" },
	{ "TLS version", "tls: [{name: a, cert: main.pem, key: main.key, min: 1.1}]\n",
	  "test.yaml:1: tls[0].min: \"1.1\": expected 1.2 or 1.3\n" },
	{ "clients to verify by nothing", "tls: [{name: a, cert: main.pem, key: main.key, client_auth: optional}]\n",
	  "test.yaml:1: tls[0].client_auth: expected none, or a ca to verify clients by\n" },
	{ "files of certificates, all at once",
	  "tls:\n- {name: a, cert: nothing.pem, key: main.key}\n- name: b\n  cert: main.pem\n  key: other.key\n"
	  "  ca: main.key\n- {name: c, cert: test.yaml, key: nothing.key, ca: ca.pem}\n- {name: d, cert: main.pem}\n"
	  "- {name: d, cert: main.pem, key: main.key}\n",
	  "test.yaml:8: tls[3].key: missing: expected in every entry\n"
	  "test.yaml:9: tls[4].name: \"d\" is the name of tls[3] too\n"
	  "test.yaml:2: tls[0].cert: \"nothing.pem\": No such file or directory\n"
	  "test.yaml:5: tls[1].key: \"other.key\": is not the key of tls[1].cert\n"
	  "test.yaml:6: tls[1].ca: \"main.key\": holds no PEM certificate\n"
	  "test.yaml:7: tls[2].cert: \"test.yaml\": holds no PEM certificate\n"
	  "test.yaml:7: tls[2].key: \"nothing.key\": No such file or directory\n" },
	{ "a key that is none", "tls: [{name: a, cert: main.pem, key: main.pem}, {name: b, cert: main.pem, key: test.yaml}]\n",
	  "test.yaml:1: tls[0].key: \"main.pem\": holds no PEM private key\n"
	  "test.yaml:1: tls[1].key: \"test.yaml\": holds no PEM private key\n" },
	{ "a locked key", "tls: [{name: a, cert: main.pem, key: locked.key}]\n",
	  "test.yaml:1: tls[0].key: \"locked.key\": has a passphrase, and there is nobody to ask for it\n" },
	{ "loopback only",
	  "listen:\n- {proto: udp, address: \"0.0.0.0:5060\"}\n- {proto: msrp, address: \"[::]:2855\"}\n"
	  "- {proto: http, address: \"192.0.2.1:9090\"}\n- {proto: tcp, address: \"[::1]:5060\"}\n"
	  "- {proto: tcp, address: \"127.1.2.3:5060\"}\n"
	  "- {proto: tcp, address: \"[::ffff:127.0.0.1]:5060\"}\n",
	  "test.yaml:2: listen[0].address: \"0.0.0.0:5060\" is not loopback and core.authenticate is "
	  "none: anybody could speak for any user (--insecure permits it)\n"
	  "test.yaml:3: listen[1].address: \"[::]:2855\" is not loopback and core.authenticate is "
	  "none: anybody could speak for any user (--insecure permits it)\n"
	  "test.yaml:4: listen[2].address: \"192.0.2.1:9090\" is not loopback and core.authenticate is "
	  "none: anybody could speak for any user (--insecure permits it)\n" },

	/* -- modes -- */
	{ "ims without next hop", "core: {mode: ims}\n",
	  "test.yaml:1: core.mode: ims needs core.next_hop: sip:HOST[:PORT][;transport=udp|tcp|tls]\n" },
	{ "ims with an empty next hop", "core:\n  mode: ims\n  next_hop: ''\n",
	  "test.yaml:3: core.next_hop: empty: ims mode needs sip:HOST[:PORT][;transport=udp|tcp|tls]\n" },
	{ "ims may listen anywhere",
	  "core: {mode: ims, next_hop: \"sip:core.example.com\"}\n"
	  "listen:\n- {proto: udp, address: \"0.0.0.0:5060\", role: originating}\n"
	  "- {proto: msrp, address: \"[::]:2855\"}\n", "" },
	{ "ims that trusts all", "core:\n  mode: ims\n  next_hop: \"sip:[::1]:5070;transport=tcp\"\n"
				 "  trusted: [\"10.0.0.0/8\", \"0.0.0.0/0\", \"::/0\"]\n",
	  "test.yaml:4: core.trusted: \"0.0.0.0/0\" covers all addresses: expected the networks of the "
	  "core\n"
	  "test.yaml:4: core.trusted: \"::/0\" covers all addresses: expected the networks of the "
	  "core\n" },
	{ "ims that trusts nobody", "core: {mode: ims, next_hop: \"sip:a\", trusted: []}\n",
	  "test.yaml:1: core.trusted: warning: empty: no peer's identity counts, every request gets "
	  "403\n" },
	{ "standalone that trusts all is exempting all", "core: {trusted: [\"0.0.0.0/0\"]}\n", "" },
	{ "TLS to the next hop", "core: {mode: ims, next_hop: \"sip:a;transport=tls\"}\n",
	  "test.yaml:1: core.next_hop: transport=tls: expected an entry of tls with ca, to verify it by\n" },
	{ "TLS to the next hop, verified", "core: {mode: ims, next_hop: \"sip:a;transport=tls\"}\n"
		"tls: [{name: a, cert: main.pem, key: main.key, ca: ca.pem}]\n", "" },
	{ "next hop for nothing", "core: {next_hop: \"sip:a\"}\n",
	  "test.yaml:1: core.next_hop: warning: not used with core.mode: standalone\n" },
	{ "digest", "core: {authenticate: digest, users: provisioned}\n", "" },
	{ "digest opens a listener to the world", "core: {authenticate: digest}\n"
		"listen: [{proto: udp, address: \"0.0.0.0:0\"}, {proto: msrp, address: \"0.0.0.0:0\"}]\n", "" },
	{ "digest behind a core", "core: {mode: ims, next_hop: \"sip:a\", authenticate: digest, users: provisioned}\n",
	  "test.yaml:1: core.authenticate: warning: digest is not used with core.mode: ims: the core authenticates\n"
	  "test.yaml:1: core.users: warning: provisioned is not used with core.mode: ims: the core says who is "
	  "served\n" },
	{ "a role without core", "listen:\n- {proto: udp, address: \"127.0.0.1:0\", role: terminating}\n"
				 "- {proto: msrp, address: \"127.0.0.1:0\"}\n",
	  "test.yaml:2: listen[0].role: only with core.mode: ims\n" },
	{ "a mode nobody knows is not judged as standalone",
	  "core: {mode: imss}\nlisten: [{proto: udp, address: \"0.0.0.0:0\"}, "
	  "{proto: msrp, address: \"0.0.0.0:0\"}]\n",
	  "test.yaml:1: core.mode: \"imss\": expected one of standalone, ims\n" },

	/* -- one against another -- */
	{ "marks", "limits: {leg_high: 64KiB}\n",
	  "test.yaml:1: limits.leg_high: expected more than limits.leg_low, by default 64KiB\n" },
	{ "the other mark", "limits: {leg_low: 256KiB}\n",
	  "test.yaml:1: limits.leg_low: expected less than limits.leg_high\n" },
	{ "both marks", "limits:\n  leg_high: 8KiB\n  leg_low: 8KiB\n",
	  "test.yaml:3: limits.leg_low: expected less than limits.leg_high\n" },
	{ "session timer", "timers: {session_expires: 60s}\n",
	  "test.yaml:1: timers.session_expires: expected at least timers.min_se, by default 90s\n" },
	{ "short timers", "timers: {session_expires: 2s, min_se: 1s}\n",
	  "test.yaml:1: timers.min_se: warning: RFC 4028 asks for at least 90s\n" },
	{ "settings", "settings: {min_expires: 2h}\n",
	  "test.yaml:1: settings.min_expires: expected at most settings.expires\n" },
	{ "expiry", "deferred: {expires_max: 1d}\n",
	  "test.yaml:1: deferred.expires_max: expected at least deferred.expires_default, by default 7d\n" },
	{ "not yet, but as it is anyway", "presence: {publish: false}\n", "" },

	/* -- all at once -- */
	{ "many", "runtime: {io: fast}\nlimits:\n  unbound: soon\n  nonsense_here: 1\nlisten: 5\n"
		  "log: {level: loud}\n",
	  "test.yaml:1: runtime.io: \"fast\": expected one of auto, io_uring, epoll\n"
	  "test.yaml:5: listen: expected a list of mappings\n"
	  "test.yaml:4: limits.nonsense_here: unknown key\n"
	  "test.yaml:3: limits.unbound: \"soon\": expected a time from 100ms to 3600s, such as 5s\n"
	  "test.yaml:6: log.level: \"loud\": expected one of error, warn, info, debug\n" },
};

/* Says so and goes on: the rest of the table is worth seeing too. */
static unsigned differs(const char *what, const char *got, const char *want)
{
	if (!strcmp(got, want))
		return 0;
	print_error("%s:\n got  \"%s\"\n want \"%s\"\n", what, got, want);
	return 1;
}

static void every_error_names_its_place(void **state)
{
	unsigned differing = 0;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct config *config;
		char *got = config_try(files[i].yaml, NULL, 0, false, &config);

		differing += differs(files[i].what, got, files[i].want);
		free(got);
		config_free(config);
	}
	assert_int_equal(differing, 0);
}

/* ---- --set ---- */

static const struct {
	const char *what, *set[3], *want;
} options[] = {
	{ "one key", { "limits.unbound=2s" }, "" },
	{ "a section", { "domain={home: a.org}" }, "" },
	{ "an entry's key", { "listen[0].address=127.0.0.1:0" }, "" },
	{ "IPv6 needs quotes", { "listen[0].address=[::1]:5060" },
	  "--set listen[0].address=[::1]:5060: not YAML: did not find expected node content "
	  "while parsing a flow node\n" },
	{ "IPv6 in quotes", { "listen[0].address=\"[::1]:5060\"" }, "" },
	{ "an entry", { "listen[0]={proto: udp, address: \"127.0.0.1:0\"}" }, "" },
	{ "an entry is replaced, not merged", { "listen[0]={proto: udp}" },
	  "--set listen[0]={proto: udp}: listen[0].address: missing: expected in every entry\n" },
	{ "one more entry", { "listen[4]={proto: http, address: \"127.0.0.1:0\"}" }, "" },
	{ "one more entry, key by key", { "listen[4].proto=http", "listen[4].address=127.0.0.1:0" }, "" },
	{ "a gap", { "listen[5]={proto: http, address: \"127.0.0.1:0\"}" },
	  "--set listen[5]={proto: http, address: \"127.0.0.1:0\"}: listen: [5]: expected an index from "
	  "0 to 4 (which appends)\n" },
	{ "an index beyond numbers", { "listen[99999999999999999999].proto=udp" },
	  "--set listen[99999999999999999999].proto=udp: listen: [99999999999999999999]: expected an "
	  "index from 0 to 4 (which appends)\n" },
	{ "an entry of a list of texts", { "core.trusted[2]=10.0.0.0/8" }, "" },
	{ "a whole list", { "listen=[{proto: udp, address: \"127.0.0.1:0\"}]" },
	  "--set listen=[{proto: udp, address: \"127.0.0.1:0\"}]: listen: warning: no MSRP listener: "
	  "sessions need one\n" },
	{ "a key that is not in the default", { "log.trace_dir=traces" },
	  "" },
	{ "a collector", { "log.hep=\"[::1]:9060;id=7\"" }, "" },
	{ "no collector", { "log.hep=tcp:a:1" },
	  "--set log.hep=tcp:a:1: log.hep: expected [udp:]HOST:PORT[;id=NUMBER]\n" },
	{ "an equals sign in VALUE", { "domain.factory=sip:a=b@c.org" }, "" },
	{ "no VALUE", { "limits.unbound" },
	  "--set limits.unbound: expected KEY=VALUE with a KEY such as limits.unbound or "
	  "listen[0].address\n" },
	{ "an empty VALUE", { "limits.unbound=" },
	  "--set limits.unbound=: limits.unbound: no value: expected a time from 100ms to 3600s, such as 5s\n" },
	{ "an empty KEY", { "=5s" },
	  "--set =5s: expected KEY=VALUE with a KEY such as limits.unbound or listen[0].address\n" },
	{ "a dot too many", { "limits..unbound=5s" },
	  "--set limits..unbound=5s: expected KEY=VALUE with a KEY such as limits.unbound or "
	  "listen[0].address\n" },
	{ "an open index", { "listen[0=5" },
	  "--set listen[0=5: expected KEY=VALUE with a KEY such as limits.unbound or "
	  "listen[0].address\n" },
	{ "an empty index", { "listen[]=5" },
	  "--set listen[]=5: listen: []: expected an index from 0 to 4 (which appends)\n" },
	{ "an index of a mapping", { "limits[0]=5" },
	  "--set limits[0]=5: limits: not a list: it has no entries\n" },
	{ "a name in a value", { "limits.unbound.x=5" },
	  "--set limits.unbound.x=5: limits.unbound: not a mapping: nothing has a name in it\n" },
	{ "a name in a list", { "listen.proto=udp" },
	  "--set listen.proto=udp: listen: not a mapping: nothing has a name in it\n" },
	{ "an unknown key", { "limits.unbund=5s" },
	  "--set limits.unbund=5s: limits.unbund: unknown key: did you mean unbound?\n" },
	{ "an unknown section", { "limitz.unbound=5s" },
	  "--set limitz.unbound=5s: limitz: unknown key: did you mean limits?\n" },
	{ "a value out of range", { "limits.unbound=99ms" },
	  "--set limits.unbound=99ms: limits.unbound: \"99ms\": expected a time from 100ms to 3600s, such as 5s\n" },
	{ "block syntax", { "domain=home: a.org" },
	  "--set domain=home: a.org: block syntax: expected flow syntax such as 5, [a, b] or {key: "
	  "value}\n" },
	{ "twice in one", { "domain={home: a.org, home: b.org}" },
	  "--set domain={home: a.org, home: b.org}: home: given twice: expected once\n" },
	{ "an alias", { "domain.home=*a" },
	  "--set domain.home=*a: an alias: write the value out\n" },
	{ "the option that caused it is named", { "core.mode=ims", "core.next_hop=\"\"" },
	  "--set core.next_hop=\"\": core.next_hop: empty: ims mode needs "
	  "sip:HOST[:PORT][;transport=udp|tcp|tls]\n" },
	{ "all at once", { "limits.unbound=x", "limits.reattach=y", "=" },
	  "--set =: expected KEY=VALUE with a KEY such as limits.unbound or listen[0].address\n"
	  "--set limits.unbound=x: limits.unbound: \"x\": expected a time from 100ms to 3600s, such as 5s\n"
	  "--set limits.reattach=y: limits.reattach: \"y\": expected a time from 100ms to 3600s, such as 10s\n" },
};

static void set_options_name_themselves(void **state)
{
	unsigned differing = 0;

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct config *config;
		unsigned count = 0;
		char *got;

		while (count < 3 && options[i].set[count])
			count++;
		got = config_try(NULL, options[i].set, count, false, &config);
		differing += differs(options[i].what, got, options[i].want);
		free(got);
		config_free(config);
	}
	assert_int_equal(differing, 0);
}

static struct config *load(const char *yaml, const char *const *set, unsigned count)
{
	struct config *config;
	char *got = config_try(yaml, set, count, false, &config);

	CHECK(config, "%s\n", got);
	free(got);
	return config;
}

static void layers_lie_over_each_other(void **state)
{
	static const char *const set[] = { "limits.reattach=3s", "limits.reattach=4s",
					   "domain={aliases: [c.org]}", "listen[1].address=127.0.0.1:7" };
	struct config *c = load("limits: {unbound: 2s, reattach: 2s}\n"
				"domain: {home: b.org, aliases: [x.org, y.org]}\n"
				"listen:\n- {proto: udp, address: \"127.0.0.1:5\"}\n"
				"- {proto: msrp, address: \"127.0.0.1:6\"}\n", set, 4);

	assert_int_equal(c->limits.unbound_ms, 2000);	    /* the file   */
	assert_int_equal(c->limits.reattach_ms, 4000);	    /* last --set */
	assert_int_equal(c->limits.chunk_stall_ms, 10000);  /* default    */
	assert_string_equal(c->domain.home, "b.org");	    /* merged     */
	assert_int_equal(c->domain.aliases.count, 1);	    /* replaced   */
	assert_string_equal(c->domain.aliases.list[0], "c.org");
	assert_int_equal(c->listen.count, 2);		    /* replaced   */
	assert_string_equal(c->listen.list[1].address, "127.0.0.1:7");
	assert_int_equal(c->listen.list[1].proto, LISTEN_MSRP);
	config_free(c);
}

static void set_forms_reach_their_fields(void **state)
{
	static const char *const set[] = { "listen[4].proto=http", "listen[4].address=\"[::1]:80\"",
					   "core.trusted[2]=10.0.0.0/8", "runtime={workers: 3}",
					   "policy.content_types=[]" };
	struct config *c = load(NULL, set, 5);

	assert_int_equal(c->listen.count, 5);
	assert_int_equal(c->listen.list[4].bind.ss_family, AF_INET6);
	assert_int_equal(((struct sockaddr_in6 *)&c->listen.list[4].bind)->sin6_port, htons(80));
	assert_int_equal(c->core.trusted.count, 3);
	assert_int_equal(c->core.trusted.list[2].bits, 8);
	assert_int_equal(c->runtime.workers, 3);
	assert_int_equal(c->runtime.recv_buffers, 2048);
	assert_int_equal(c->policy.content_types.count, 0);
	config_free(c);
}

/* ---- the default ---- */

static void default_is_that_of_the_contract(void **state)
{
	struct config *c = load(NULL, NULL, 0);

	assert_int_equal(c->runtime.workers, 0);
	assert_int_equal(c->runtime.io, IO_AUTO);
	assert_int_equal(c->runtime.recv_buffer_size, 16384);
	assert_int_equal(c->runtime.drain_ms, 30000);
	assert_int_equal(c->listen.count, 4);
	assert_int_equal(c->listen.list[2].proto, LISTEN_MSRP);
	assert_int_equal(c->listen.list[2].bind.ss_family, AF_INET);
	assert_int_equal(((struct sockaddr_in *)&c->listen.list[2].bind)->sin_port, htons(2855));
	assert_int_equal(c->listen.list[3].serve, SERVE_METRICS | SERVE_ADMIN | SERVE_XCAP);
	assert_null(c->listen.list[3].tls);
	assert_null(c->listen.list[3].advertise);
	assert_int_equal(c->tls.count, 0);
	assert_string_equal(c->domain.home, "example.com");
	assert_string_equal(c->domain.groups.list[0], "group*");
	assert_int_equal(c->core.mode, MODE_STANDALONE);
	assert_int_equal(c->core.trusted.count, 2);
	assert_null(c->core.hop.host);
	assert_int_equal(c->limits.max_size_file, 100 << 20);
	assert_int_equal(c->limits.invite_rate, 0);
	assert_int_equal(c->timers.t1_ms, 500);
	assert_int_equal(c->policy.unavailable_session_code, 480);
	assert_true(c->policy.unavailable_session_code_auto);
	assert_int_equal(c->deferred.expires_max_ms, 30ull * 86400000);
	assert_int_equal(c->store.group_commit_us, 500);
	assert_string_equal(c->log.sink, "stderr");
	assert_string_equal(c->log.cdr, "");
	config_free(c);
}

/* imserv.yaml and the default of each row are two places for one fact. */
static void rows_and_embedded_default_agree(void **state)
{
	struct config *embedded = load(NULL, NULL, 0);
	char *want = config_text(embedded);

	for (const struct schema_section *s = schema_sections; s->name; s++)
		for (const struct schema_key *k = s->keys; k->name && !s->entry_size; k++) {
			struct config *config;
			char *option = NULL, *got;

			assert_true(asprintf(&option, "%s.%s=%s", s->name, k->name,
					     k->fallback[0] ? k->fallback : "\"\"") > 0);
			config = load(NULL, (const char *const *)&option, 1);
			got = config_text(config);
			CHECK(!strcmp(got, want), "%s is not what imserv.yaml says\n", option);
			free(got);
			config_free(config);
			free(option);
		}
	free(want);
	config_free(embedded);
}

/* ---- limits at the limit and one beyond ---- */

static void number_of(char *text, size_t size, const struct schema_key *k, uint64_t value)
{
	const char *unit = k->type == TYPE_RATE ? "/s" : k->type == TYPE_TIME ? "ms"
			   : k->type == TYPE_TIME_US ? "us" : "";

	snprintf(text, size, "%llu%s", (unsigned long long)value, unit);
}

static bool is_number(const struct schema_key *k)
{
	return k->type == TYPE_COUNT || k->type == TYPE_AUTO || k->type == TYPE_RATE ||
	       k->type == TYPE_SIZE || k->type == TYPE_TIME || k->type == TYPE_TIME_US;
}

/* Whether the value is accepted by the row; rules over several keys may still object. */
static bool row_takes(const struct schema_section *s, const struct schema_key *k, uint64_t value)
{
	char number[40], option[160], *got;
	const char *set = option;
	struct config *config;
	bool is_taken;

	number_of(number, sizeof(number), k, value);
	snprintf(option, sizeof(option), "%s.%s=%s", s->name, k->name, number);
	got = config_try(NULL, &set, 1, false, &config);
	snprintf(option, sizeof(option), "\"%s\": expected", number);
	is_taken = !strstr(got, option);
	free(got);
	config_free(config);
	return is_taken;
}

static void every_number_has_its_limits(void **state)
{
	unsigned checked = 0;

	for (const struct schema_section *s = schema_sections; s->name; s++)
		for (const struct schema_key *k = s->keys; k->name && !s->entry_size; k++) {
			unsigned step = k->flags & POWER_OF_TWO ? 2 : 1;

			if (!is_number(k))
				continue;
			CHECK(row_takes(s, k, k->min), "%s.%s: minimum refused\n", s->name, k->name);
			CHECK(row_takes(s, k, k->max), "%s.%s: maximum refused\n", s->name, k->name);
			CHECK(!row_takes(s, k, step == 2 ? k->max * 2 : k->max + 1),
			      "%s.%s: more than the maximum taken\n", s->name, k->name);
			if (k->min > 1)
				CHECK(!row_takes(s, k, step == 2 ? k->min / 2 : k->min - 1),
				      "%s.%s: less than the minimum taken\n", s->name, k->name);
			if (k->min)
				CHECK(row_takes(s, k, 0) == !!(k->flags & ZERO_IS_OFF),
				      "%s.%s: 0\n", s->name, k->name);
			checked++;
		}
	CHECK(checked > 40, "only %u numbers were checked\n", checked);
}

static void texts_have_their_limits(void **state)
{
	char option[300] = "domain.history_user=";
	const char *set = option;
	struct config *config;
	char *got;

	memset(option + strlen(option), 'a', 128);
	got = config_try(NULL, &set, 1, false, &config);
	assert_non_null(config);
	config_free(config);
	free(got);
	option[strlen(option)] = 'a';
	got = config_try(NULL, &set, 1, false, &config);
	assert_null(config);
	free(got);
}

static void lists_have_their_limit(void **state)
{
	for (unsigned count = CONFIG_LIST_MAX; count <= CONFIG_LIST_MAX + 1; count++) {
		size_t n = 0, size = 16 * count + 64;
		char *yaml = malloc(size), *got;
		struct config *config;

		assert_non_null(yaml);
		n += (size_t)snprintf(yaml + n, size - n, "domain: {aliases: [");
		for (unsigned i = 0; i < count; i++)
			n += (size_t)snprintf(yaml + n, size - n, "%sa%u", i ? ", " : "", i);
		snprintf(yaml + n, size - n, "]}\n");
		got = config_try(yaml, NULL, 0, false, &config);
		assert_string_equal(got, count == CONFIG_LIST_MAX
						 ? "" : "test.yaml:1: aliases: more than 256 entries\n");
		if (config)
			assert_int_equal(config->domain.aliases.count, CONFIG_LIST_MAX);
		config_free(config);
		free(got);
		free(yaml);
	}
}

static void files_have_their_limit(void **state)
{
	for (size_t n = CONFIG_FILE_BYTES_MAX; n <= CONFIG_FILE_BYTES_MAX + 1; n++) {
		struct config_source source = { "test.yaml", NULL, 0, false };
		struct config_errors errors = { 0 };
		struct config *config = NULL;
		char *text = malloc(n);

		assert_non_null(text);
		memset(text, ' ', n);
		for (size_t i = 0; i < n; i += 64)
			text[i] = '#';
		for (size_t i = 63; i < n; i += 64)
			text[i] = '\n';
		config_write_file(text, n);
		free(text);
		if (n == CONFIG_FILE_BYTES_MAX) {
			assert_int_equal(config_load(&config, &source, &errors), 0);
		} else {
			assert_int_equal(config_load(&config, &source, &errors), EINVAL);
			assert_string_equal(errors.list[0].text, "larger than 1MiB: expected a configuration");
		}
		config_errors_free(&errors);
		config_free(config);
	}
}

static void errors_have_their_limit(void **state)
{
	struct config_errors errors = { 0 };
	struct config_place place = { "f", 1 };
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	for (unsigned i = 0; i < CONFIG_ERRORS_MAX + 1; i++)
		config_error(&errors, place, "k", "e");
	assert_int_equal(errors.count, CONFIG_ERRORS_MAX);
	assert_int_equal(errors.errors, CONFIG_ERRORS_MAX + 1);
	config_errors_print(&errors, out);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(text + n - 11, "and 1 more\n");
	free(text);
	config_errors_free(&errors);
}

/* ---- the rest of the contract ---- */

static void insecure_is_a_decision(void **state)
{
	static const char *const set[] = { "listen[0].address=0.0.0.0:5060" };
	struct config *config;
	char *got = config_try(NULL, set, 1, true, &config);

	assert_string_equal(got, "");
	assert_non_null(config);
	config_free(config);
	free(got);
}

static void unreadable_files(void **state)
{
	struct config_source source = { "nowhere.yaml", NULL, 0, false };
	struct config_errors errors = { 0 };
	struct config *config = NULL;

	assert_int_equal(config_load(&config, &source, &errors), EINVAL);
	assert_string_equal(errors.list[0].text, "cannot be read: No such file or directory");
	assert_string_equal(errors.list[0].source, "nowhere.yaml");
	config_errors_free(&errors);
	source.file = ".";
	assert_int_equal(config_load(&config, &source, &errors), EINVAL);
	assert_string_equal(errors.list[0].text, "cannot be read: Is a directory");
	config_errors_free(&errors);
	assert_null(config);
}

static void what_is_derived(void **state)
{
	struct config *c = load("core: {mode: ims, next_hop: \"sip:[::1]:5070;transport=tcp\"}\n", NULL, 0);

	assert_string_equal(c->core.hop.host, "::1");
	assert_int_equal(c->core.hop.port, 5070);
	assert_int_equal(c->core.hop.transport, NEXT_HOP_TCP);
	assert_int_equal(c->policy.unavailable_session_code, 403);
	config_free(c);
	c = load("policy: {unavailable_session_code: 486}\n", NULL, 0);
	assert_int_equal(c->policy.unavailable_session_code, 486);
	assert_false(c->policy.unavailable_session_code_auto);
	config_free(c);
}

static void paths_start_at_the_file(void **state)
{
	struct config *c = load(NULL, NULL, 0);
	struct config_source source = { "./test.yaml", NULL, 0, false };
	struct config_errors errors = { 0 };
	char *path = config_path(c, "imserv.db");

	assert_string_equal(path, "imserv.db");
	free(path);
	config_free(c);
	config_write_file("", 0);
	assert_int_equal(config_load(&c, &source, &errors), 0);
	path = config_path(c, "imserv.db");
	assert_string_equal(path, "./imserv.db");
	free(path);
	path = config_path(c, "/var/imserv.db");
	assert_string_equal(path, "/var/imserv.db");
	free(path);
	config_free(c);
	config_errors_free(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_names_its_place),
		cmocka_unit_test(set_options_name_themselves),
		cmocka_unit_test(layers_lie_over_each_other),
		cmocka_unit_test(set_forms_reach_their_fields),
		cmocka_unit_test(default_is_that_of_the_contract),
		cmocka_unit_test(rows_and_embedded_default_agree),
		cmocka_unit_test(every_number_has_its_limits),
		cmocka_unit_test(texts_have_their_limits),
		cmocka_unit_test(lists_have_their_limit),
		cmocka_unit_test(files_have_their_limit),
		cmocka_unit_test(errors_have_their_limit),
		cmocka_unit_test(insecure_is_a_decision),
		cmocka_unit_test(unreadable_files),
		cmocka_unit_test(what_is_derived),
		cmocka_unit_test(paths_start_at_the_file),
	};

	return cmocka_run_group_tests(tests, config_enter, config_leave);
}
