"""Does imflood see what goes wrong? A pairing forwarder plants one fault in its traffic, and the
report must name it; a SIP proxy loses datagrams, and the sessions must come up all the same.
Usage: test_imflood.py IMFLOOD"""
import asyncio
import json
import logging
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile

from imflood_focus import Focus
from imflood_peers import FAULT_AT, Forwarder, Proxy, Stream
from imflood_run import imflood, say
from imflood_store import Store
from imflood_told import check_hints, check_phases, check_report, check_server_ended

# fault, what it is planted in, errors that must be reported and no others
FAULTS = (
    (None, "SEND", set()),
    ("drop", "SEND", {"lost"}),
    ("twice", "SEND", {"duplicate"}),
    ("corrupt", "SEND", {"body", "lost"}),
    ("shorten", "SEND", {"body", "lost"}),
    ("other session", "SEND", {"foreign", "lost"}),
    ("other path", "SEND", {"foreign", "lost"}),
    ("wrong range", "SEND", {"body", "lost"}),  # content depends on its place
    ("abort", "SEND", {"aborted", "lost"}),
    ("garbage", "SEND", {"syntax", "lost"}),
    ("drop", "200", {"unconfirmed"}),
    ("twice", "200", {"duplicate"}),
    ("refuse", "200", {"status", "unconfirmed"}),
    ("garbage", "200", {"syntax", "unconfirmed"}),
)
# What may come on top: when a connection goes, how much was under way depends on the moment.
SIDE_EFFECTS = {"garbage": {"closed", "unconfirmed", "lost"}}


# fault in one MESSAGE, errors that must be reported and no others
PAGER_FAULTS = (
    ("twice", {"duplicate"}),
    ("repeat", set()),
    ("corrupt", {"body"}),
    ("other user", {"foreign"}),
    ("steal", {"lost"}),
)


async def check_fault(program, fault, where, wanted):
    forwarder = Forwarder(fault, where)
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, errors, report = await imflood(program, "--mode", "forwarder", "--target",
                                         "msrp:127.0.0.1:%d" % port, "--sessions", "4", "--window",
                                         "--outstanding", "4", "--drain", "0.5", "--duration", "0.8")
    server.close()
    right = wanted <= errors <= wanted | SIDE_EFFECTS.get(fault, set())
    right = right and code == (1 if wanted else 0)
    right = right and forwarder.seen > FAULT_AT and report["arrival_us"]["count"] > 0
    say(right, "%s in a %s: reported %s, exit %d" % (fault or "nothing", where, sorted(errors), code))
    return right


def nobody_left(proxy, report):
    """All users were registered, and took that back: the next run does not call dead ports."""
    return proxy.registered >= 20 and not proxy.contacts and report["registrations_left"] == 0


async def check_sessions(program, *options):
    loop = asyncio.get_running_loop()
    transport, proxy = await loop.create_datagram_endpoint(Proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d" % port,
                                         "--sessions", "10", "--window", *options)
    transport.close()
    right = code == 0 and not errors and report["sessions_up"] == 10
    right = right and report["arrival_us"]["count"] > 0 and nobody_left(proxy, report)
    say(right, "sessions over a lossy proxy %s: %d of 10 up, reported %s"
        % (" ".join(options), report["sessions_up"], sorted(errors)))
    return right


async def check_churn(program):
    """Sessions one after the other between the same users, with datagrams lost."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "10", "--window",
                                         "--duration", "2", workload="churn")
    transport.close()
    right = code == 0 and not errors and report["workload"] == "churn" and report["achieved_per_s"] > 3
    say(right, "churn over a lossy proxy: %.0f sessions/s, reported %s" % (report["achieved_per_s"], sorted(errors)))
    return right


async def check_deaf(program):
    """Two sessions that do not read now and then; the others have their latency told for both times."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code, errors, report = await imflood(program, "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port,
                                         "--sessions", "4", "--deaf", "2", "--rate", "200", "--duration", "2")
    server.close()
    counts = [report[name]["count"] for name in ("without_deaf_us", "with_deaf_us")]
    right = code == 0 and not errors and report["sessions_up"] == 6 and report["deaf_octets"] > 0
    # half of the time is of each kind, less a half; who does not read is not measured
    right = right and all(60 <= n <= 130 for n in counts) and report["deaf_ratio"] > 0
    say(right, "deaf readers: %d messages without, %d with, reported %s" % (*counts, sorted(errors)))
    return right


async def pager(program, proxy, *options):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: proxy, ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    try:
        return await imflood(program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "10", *options,
                             workload="pager")
    finally:
        transport.close()


async def check_pager(program):
    """MESSAGE with datagrams lost, in an open and in a closed loop: all arrive, once."""
    results = []
    for options in (("--rate", "200"), ("--window", "--outstanding", "2")):
        proxy = Proxy()
        code, errors, report = await pager(program, proxy, *options, "--duration", "1")
        right = code == 0 and not errors and report["repeated"]["sent"] > 0 and report["arrival_us"]["count"] > 20
        right = right and nobody_left(proxy, report)
        say(right, "pager over a lossy proxy %s: %d arrived, %d repeated, reported %s"
            % (options[0], report["arrival_us"]["count"], report["repeated"]["sent"], sorted(errors)))
        results.append(right)
    return all(results)


async def check_pager_fault(program, fault, wanted):
    proxy = Proxy(fault, 0)
    code, errors, report = await pager(program, proxy, "--rate", "200", "--duration", "0.5", "--drain",
                                        "5" if fault == "steal" else "35")
    right = errors == wanted and code == (1 if wanted else 0) and proxy.messages > FAULT_AT
    right = right and report["repeated"]["received"] >= (fault == "repeat")
    say(right, "pager, %s: reported %s, exit %d" % (fault, sorted(errors), code))
    return right


async def check_refused(program):
    """503 is counted per method and status, with its Retry-After."""
    proxy = Proxy("refuse", 0)
    code, errors, report = await pager(program, proxy, "--rate", "100")
    wanted = [{"method": "MESSAGE", "status": 503, "count": proxy.messages, "with_retry_after": proxy.messages,
               "retry_after_max_s": 7}]
    right = code == 1 and errors == {"sip_status"} and report["refused"] == wanted and proxy.messages > 0
    say(right, "pager refused: %s" % report["refused"])
    return right


async def check_death(program):
    """A target that falls silent: the run ends, and says what is missing."""
    code, errors, report = await pager(program, Proxy("die", 0), "--rate", "100", "--drain", "0.2")
    right = code == 1 and errors == {"lost"} and report["arrival_us"]["count"] == 0
    right = right and report["registrations_left"] == 20
    say(right, "pager to a target that dies: reported %s" % sorted(errors))
    return right


async def check_password(program):
    """The proxy asks for credentials, without qop and with it, and works them out by itself."""
    results = []
    for algorithms, password, wanted in ((("MD5",), "secret", set()), (("MD5", "SHA-256"), "secret", set()),
                                         (("SHA-256",), "wrong", {"sip_status"}),
                                         (("SHA-512-256",), "secret", {"sip_status"})):
        proxy = Proxy(lost=0)
        proxy.algorithms = algorithms
        code, errors, report = await pager(program, proxy, "--rate", "100", "--password", password)
        right = errors == wanted and code == (1 if wanted else 0)
        best = algorithms[-1]
        right = right and (wanted or nobody_left(proxy, report))
        right = right and proxy.authorized == (set() if wanted else {("REGISTER", best, False), ("MESSAGE", best, True)})
        right = right and all(refusal["status"] in (401, 407) for refusal in report["refused"])
        say(right, "digest %s, password %s: %s, reported %s"
            % (" ".join(algorithms), password, sorted(proxy.authorized), sorted(errors)))
        results.append(right)
    return all(results)


def certificate(directory):
    """A context of a server with a certificate made now."""
    key, cert = os.path.join(directory, "key.pem"), os.path.join(directory, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert],
                   check=True, capture_output=True, timeout=120)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


async def check_streams(program):
    """The same proxy by one connection, plain and encrypted; then TLS towards who has none."""
    results = []
    with tempfile.TemporaryDirectory(prefix="imflood-") as scratch:
        for transport, context, fails in (("tcp", None, False), ("tls", certificate(scratch), False), ("tls", None, True)):
            on_connection = lambda reader, writer: Stream(writer).read(reader, Proxy(lost=0))
            server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=context)
            target = "sip:127.0.0.1:%d;transport=%s" % (server.sockets[0].getsockname()[1], transport)
            code, errors, report = await imflood(
                program, "--target", target, "--sessions", "4", "--rate", "100", "--setup-timeout",
                "1" if fails else "30", "--drain", "1" if fails else "35", workload="pager")
            server.close()
            right = code == (1 if fails else 0) and ("setup" in errors if fails else not errors)
            right = right and (report["arrival_us"]["count"] == 30) != fails
            say(right, "pager over %s%s: %d arrived, reported %s"
                % (transport, " to who has none" if fails else "", report["arrival_us"]["count"], sorted(errors)))
            results.append(right)
    return all(results)


async def check_cut_off(program):
    """The only connection is closed in the middle: the run ends long before its time."""
    on_connection = lambda reader, writer: Stream(writer).read(reader, Proxy("die", 0))
    results = []
    for workload, rate in (("pager", "100"), ("churn", "20")):
        server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
        target = "sip:127.0.0.1:%d;transport=tcp" % server.sockets[0].getsockname()[1]
        code, errors, report = await imflood(program, "--target", target, "--sessions", "4", "--rate", rate, "--duration",
                                             "600", workload=workload)
        server.close()
        right = code == 1 and {"closed", "lost"} <= errors and report["measured_s"] < 500
        say(right, "%s that is cut off: ends, reported %s" % (workload, sorted(errors)))
        results.append(right)
    return all(results)


# fault in one copy for one member, errors that must be reported and no others
ROOM_FAULTS = (
    (None, set()),
    ("drop", {"lost", "order"}),
    ("twice", {"duplicate"}),
    ("corrupt", {"body", "lost", "order"}),
    ("swap", {"lost", "order", "duplicate"}),  # what comes too late does not count
    ("refuse", {"sip_status"}),
)


async def check_rooms(program, fault, wanted, *options):
    focus = Focus(fault)
    await focus.open()
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d" % focus.port, "--rooms", "2", "--members",
                                         "5", "--senders", "2", "--rate", "200", "--drain", "0.5", "--duration", "0.5",
                                         *options, workload="conference")
    focus.close()
    # what is lost leaves no room for later ones
    right = wanted <= errors <= wanted | ({"unsent"} if "lost" in wanted else set()) and code == (1 if wanted else 0)
    if fault != "refuse":
        right = right and report["sessions_up"] == 10 and report["arrival_us"]["count"] > 100
    if not fault:
        copies = report["loads"]["copy"]
        # each message to four others; in the measured time of 0.5 s some 100 of them
        confirmed = copies["confirmation_us"]["count"]
        right = right and (confirmed == 0 if options else copies["arrival_us"]["count"] == 4 * confirmed)
        right = right and 380 <= copies["arrival_us"]["count"] <= 420
    say(right, "%s in a room: reported %s, exit %d, %d copies" % (fault or "nothing", sorted(errors), code,
                                                                  report["arrival_us"]["count"]))
    return right


# fault in one stored message, errors that must be reported and no others
PUSH_FAULTS = (
    ("drop", {"lost"}),  # the first ones: imflood waits ten seconds for what is lost
    ("gap", {"order", "lost"}),
    ("abort", {"aborted", "lost"}),
    ("two parts", {"foreign", "lost"}),
    ("message", {"foreign", "lost"}),
    ("close", {"closed", "lost", "sip_timeout"}),
    ("no bye", {"lost", "sip_timeout"}),
    (None, set()),
    ("twice", set()),  # at least once: told as repeated
    ("corrupt", {"body"}),
    ("swap", {"order"}),
    ("other user", {"foreign", "order"}),
)


async def check_push(program, fault, wanted, transport="udp", *options):
    """What was kept for five users, of whom one is called twice."""
    store = Store(fault)
    await (store.open() if transport == "udp" else store.open_tcp())
    code, errors, report = await imflood(program, "--target", "sip:127.0.0.1:%d;transport=%s" % (store.port, transport),
                                         "--sessions", "5", "--rate", "100", "--storm", "0.2", "--push", *options,
                                         workload="deferred")
    store.close()
    storm = report["storm"]
    right = errors == wanted and code == (1 if wanted else 0) and not store.wrong and 29 <= storm["stored"] <= 31
    right = right and (storm["delivered"] == storm["stored"]) == ("lost" not in wanted)
    right = right and (report["repeated"]["received"] > 0) == (fault == "twice")
    if "lost" not in wanted:
        right = right and len(store.calls) == store.byes == 6 and not store.kept["b000000"]
    say(right, "%s in what is pushed over %s: %d of %d delivered, reported %s %s" % (
        fault or "nothing", " ".join((transport, *options)), storm["delivered"], storm["stored"], sorted(errors),
        store.wrong or ""))
    return right


async def check_mixed(program):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Proxy(lost=0), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    code, errors, report = await imflood(
        program, "--target", "sip:127.0.0.1:%d" % port, "--sessions", "5", "--pairs", "5", "--rate", "200",
        "--duration", "1", "--mix", "message=10,session=2,pager=4,register=2,reinvite=2", workload="mixed")
    transport.close()
    counts = {name: load["arrival_us"]["count"] for name, load in report["loads"].items()}
    right = code == 0 and not errors
    # each has its part of what was due, to one more or less
    right = right and all(abs(counts[name] - n) <= 1 for name, n in
                          (("message", 100), ("session", 20), ("pager", 40), ("register", 20), ("reinvite", 20)))
    say(right, "mixed: %s, reported %s" % (counts, sorted(errors)))
    return right


# Arguments that are wrong, and what the one line must name.
USAGE = (
    ([], "unknown workload"),
    (["flood"], "unknown workload"),
    (["session"], "--target"),
    (["session", "--target", "sip:localhost:5060"], "--target"),
    (["session", "--target", "sip:127.0.0.1:5060;transport=sctp"], "--target"),
    (["session", "--target", "sip:127.0.0.1:5060", "--nonsense"], "nonsense"),
    (["session", "--target", "sip:127.0.0.1:5060", "more"], "more"),
    (["session", "--target", "sip:127.0.0.1:5060", "--mode", "core"], "--mode"),
    (["session", "--target", "sip:127.0.0.1:5060", "--sessions", "0"], "--sessions"),
    (["session", "--target", "sip:127.0.0.1:5060", "--rate", "fast"], "--rate"),
    (["session", "--target", "sip:127.0.0.1:5060", "--rate", "5", "--window"], "--window"),
    (["session", "--target", "sip:127.0.0.1:5060", "--local", "::1"], "--local"),
    (["session", "--target", "sip:127.0.0.1:5060", "--local", "127.0.0.1", "--local", "127.0.0.2", "--flows", "1"],
     "--flows"),
    (["session", "--target", "sip:127.0.0.1:5060", "--mix", "message=1"], "--mix"),
    (["session", "--target", "sip:127.0.0.1:5060", "--deaf", "1", "--connections-shared"], "--deaf"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--window"], "--window"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--mix", "message=0"], "--mix"),
    (["mixed", "--target", "sip:127.0.0.1:5060", "--mix", "messages=1"], "--mix"),
    (["pager", "--target", "msrp:127.0.0.1:5060", "--mode", "relay"], "relay"),
    (["pager", "--target", "sip:127.0.0.1:5060", "--size", "31"], "--size"),
    (["churn", "--target", "sip:127.0.0.1:5060", "--chunk", "10"], "--chunk"),
    (["churn", "--target", "sip:127.0.0.1:5060", "--setup-rate", "10"], "--setup-rate"),
    (["session", "--target", "sip:127.0.0.1:5060", "--rooms", "2"], "--rooms"),
    (["conference", "--target", "sip:127.0.0.1:5060", "--members", "1"], "--members"),
    (["conference", "--target", "sip:127.0.0.1:5060", "--members", "3", "--senders", "4"], "--senders"),
    (["conference", "--target", "sip:127.0.0.1:5060", "--rooms", "100000", "--members", "2"], "--rooms"),
    (["conference", "--target", "sip:127.0.0.1:5060", "--group", "room"], "--group"),
    (["pager", "--target", "sip:127.0.0.1:5060", "--push"], "--push"),
    (["report"], "records"),
    (["report", "--nonsense"], "nonsense"),
)


def check_usage(program):
    wrong = []
    for arguments, named in USAGE:
        run = subprocess.run([program] + arguments, capture_output=True, text=True, timeout=30)
        if run.returncode != 2 or run.stderr.count("\n") != 1 or named not in run.stderr or run.stdout:
            wrong.append((arguments, run.returncode, run.stderr))
    say(not wrong, "%d wrong command lines: exit 2 and one line each %s" % (len(USAGE), wrong or ""))
    return not wrong


def check_help(program):
    """Each option that --help names is known, and none is known that it does not name."""
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=30).stdout
    named = {option for option in re.findall(r"--([a-z][a-z-]+)", told)} - {"output", "version"}
    unknown = []
    for option in sorted(named):
        run = subprocess.run([program, "session", "--" + option, "?"], capture_output=True, text=True, timeout=30)
        if "unrecognized" in run.stderr:
            unknown.append(option)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "flood_options.c")) as source:
        known = set(re.findall(r'\{ "([a-z-]+)", (?:required|no)_argument', source.read()))
    right = not unknown and known == named and len(named) > 25
    say(right, "%d options in --help, unknown %s, not told %s" % (len(named), unknown, sorted(known ^ named)))
    return right


async def check_interrupt(program):
    """SIGINT in the middle: what was found so far is told."""
    forwarder = Forwarder(None, "SEND")
    server = await asyncio.start_server(forwarder.on_connection, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        program, "session", "--mode", "forwarder", "--target", "msrp:127.0.0.1:%d" % port, "--sessions", "2",
        "--rate", "100", "--duration", "600", "--warmup", "0", "--json", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    line = b""
    while not line.startswith(b"measure"):
        line = await asyncio.wait_for(process.stderr.readline(), 60)
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    server.close()
    report = json.loads(out)
    # 1: on a machine that had no time for it, what was under way had no answer within its 2 s
    right = process.returncode in (0, 1) and report["arrival_us"]["count"] > 0 and report["measured_s"] < 500
    say(right, "interrupted after %.1f s: %d messages told, exit %d"
        % (report["measured_s"], report["arrival_us"]["count"], process.returncode))
    return right


async def check_interrupt_unregisters(program):
    """SIGINT while users call each other: they take their registrations back all the same."""
    loop = asyncio.get_running_loop()
    transport, proxy = await loop.create_datagram_endpoint(lambda: Proxy(lost=0), ("127.0.0.1", 0))
    process = await asyncio.create_subprocess_exec(
        program, "churn", "--target", "sip:127.0.0.1:%d" % transport.get_extra_info("sockname")[1], "--sessions", "10",
        "--rate", "20", "--duration", "600", "--warmup", "0", "--json", stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    line = b""
    while not line.startswith(b"measure"):
        line = await asyncio.wait_for(process.stderr.readline(), 60)
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    transport.close()
    right = nobody_left(proxy, json.loads(out))
    say(right, "interrupted churn: %d were registered, left %s" % (proxy.registered, sorted(proxy.contacts)))
    return right


async def in_groups(checks, size=4):
    results = []
    while checks:
        group, checks = checks[:size], checks[size:]
        for result in await asyncio.gather(*group, return_exceptions=True):
            if isinstance(result, BaseException):
                say(False, "a check did not come to its end: %r" % result)
            results.append(result is True)
    return results


async def main():
    program = sys.argv[1]
    results = [check_usage(program), check_help(program)]
    checks = [check_fault(program, *row) for row in FAULTS]
    checks += [check_sessions(program, *options) for options in
               ((), ("--answer", "passive"), ("--answer", "passive", "--connections-shared"))]
    checks += [check_churn(program), check_deaf(program), check_pager(program)]
    checks += [check_pager_fault(program, *row) for row in PAGER_FAULTS]
    checks += [check_rooms(program, *row) for row in ROOM_FAULTS]
    checks += [check_rooms(program, None, set(), "--unanswered")]
    checks += [check_push(program, *row) for row in PUSH_FAULTS]
    checks += [check_push(program, None, set(), "udp", "--answer", "passive", "--size", "20000"),
               check_push(program, None, set(), "tcp", "--size", "61440")]
    checks += [check_streams(program), check_cut_off(program), check_refused(program), check_password(program), check_death(program), check_mixed(program),
               check_interrupt(program), check_interrupt_unregisters(program),
               check_hints(program), check_server_ended(program), check_report(program), check_phases(program)]
    results += await in_groups(checks)
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    sys.exit(0 if all(results) else 1)


logging.getLogger("asyncio").setLevel(logging.ERROR)  # that a fault closes a connection in the middle is meant
asyncio.run(main())
