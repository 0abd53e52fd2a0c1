"""The command line of imservd (design 8, 9)."""
import os
import socket
import tempfile

from ua import check, same
from ua.server import LISTEN, run_command
from world import scenario


async def imservd(world, *arguments):
    return await run_command(world.server_path, *arguments, cwd=world.server.directory)


class File:
    """A config file that lives as long as the block."""

    def __init__(self, text):
        self.text = text

    def __enter__(self):
        handle, self.path = tempfile.mkstemp(suffix=".yaml")
        with os.fdopen(handle, "w") as out:
            out.write(self.text)
        return self.path

    def __exit__(self, *exception):
        os.unlink(self.path)


@scenario(modes=("standalone",), once=True)
async def version_and_help(world):
    """--version and --help print to stdout and end with 0."""
    code, out, _ = await imservd(world, "--version")
    same(code, 0, "--version")
    check("imserv" in out, "--version prints %r" % out)
    code, out, _ = await imservd(world, "--help")
    same(code, 0, "--help")
    for option in ("-c", "--set", "--insecure", "--check-config", "--print-config", "--version"):
        check(option in out, "--help does not name %s" % option)


@scenario(modes=("standalone",), once=True)
async def usage_errors(world):
    """Unknown options, missing values and contradictions: exit code 2."""
    for arguments in (("--nonsense",), ("-c",), ("--set",), ("--set", "limits.unbound"), ("stray",),
                      ("--check-config", "--print-config"), ("-c", "/nonexistent/file.yaml")):
        code, _, err = await imservd(world, *arguments)
        same(code, 2, " ".join(arguments))
        check(err.strip(), "no message for %s" % " ".join(arguments))


@scenario(modes=("standalone",), once=True)
async def check_config(world):
    """--check-config: 0 for the embedded default and for a good file."""
    same((await imservd(world, "--check-config"))[0], 0, "embedded default")
    with File("limits: {unbound: 3s}\nlog: {level: debug}\n") as path:
        same((await imservd(world, "-c", path, "--check-config"))[0], 0, "good file")
    text = "store: {path: /nonexistent/a.db}\nlog:\n  sink: /nonexistent/b.log\n  cdr: /\n"
    with File(text) as path:
        code, _, err = await imservd(world, "-c", path, "--check-config")
        same((code, [row.partition(": ")[2].partition(": ")[0] for row in err.splitlines()]),
             (2, ["store.path", "log.sink", "log.cdr"]), "files that cannot be written: " + err)
        for line, why in (("1: store.path", "no directory /nonexistent"), ("3: log.sink", "no directory /nonexistent"),
                          ("4: log.cdr", "Is a directory")):
            check(any(":" + line in row and why in row for row in err.splitlines()), "%s in %s" % (line, err))
        same((await imservd(world, "-c", path, "--print-config"))[0], 0, "--print-config looks at no file of them")


@scenario(modes=("standalone",), once=True)
async def print_config_round_trip(world):
    """What --print-config prints loads again to the same config; --set shows in it."""
    with File("limits: {unbound: 3s, header_bytes: 8KiB}\ndomain: {home: a.example.org}\n") as path:
        code, first, err = await imservd(world, "-c", path, "--set", "timers.t1=250ms", "--print-config")
    same(code, 0, "--print-config: " + err[:200])
    for key in ("unbound", "header_bytes", "msrp_transaction", "next_hop", "group_commit", "push_window"):
        check(key in first, "%s is not printed" % key)
    check("250ms" in first and "a.example.org" in first, "values are not printed")
    with File(first) as path:
        code, second, err = await imservd(world, "-c", path, "--print-config")
    same(code, 0, "printed config: " + err[:300])
    same(second, first, "config printed twice")


@scenario(modes=("standalone",), once=True)
async def all_errors_at_once(world):
    """A bad file: exit code 2, every error with file, line and key; --set errors too."""
    text = ("limits:\n  unbound: 3 parsecs\n  leg_high: -1\nlog: {level: loud}\n"
            "no_such_section: {x: 1}\npolicy:\n  no_such_key: true\n")
    with File(text) as path:
        code, _, err = await imservd(world, "-c", path, "--set", "timers.t1=never", "--check-config")
    same(code, 2, "bad file")
    for key, line in (("unbound", 2), ("leg_high", 3), ("level", 4), ("no_such_section", 5),
                      ("no_such_key", 7)):
        check(any(key in row and ":%d" % line in row and os.path.basename(path) in row
                  for row in err.splitlines()), "error of %s in line %d is not listed: %s" % (key, line, err))
    check("timers.t1" in err, "error of --set is not listed: " + err)


@scenario(modes=("standalone",), once=True)
async def dangerous_configs_are_refused(world):
    """Standalone without authentication on an address that is not loopback needs --insecure; ims without
    next_hop, or trusting everybody, is refused: exit code 2."""
    wide = 'listen=[{proto: udp, address: "0.0.0.0:0"}]'
    same((await imservd(world, "--set", wide, "--check-config"))[0], 2, "wildcard listener")
    same((await imservd(world, "--set", wide, "--insecure", "--check-config"))[0], 0, "with --insecure")
    same((await imservd(world, "--set", "core.mode=ims", "--check-config"))[0], 2, "ims without next_hop")
    hop = ("--set", "core.mode=ims", "--set", 'core.next_hop="sip:127.0.0.1:5080"')
    same((await imservd(world, *hop, "--check-config"))[0], 0, "ims")
    for everybody in ('["0.0.0.0/0"]', '["::/0"]'):
        code = (await imservd(world, *hop, "--set", "core.trusted=" + everybody, "--check-config"))[0]
        same(code, 2, "trusting " + everybody)


@scenario(modes=("standalone",), once=True)
async def busy_port(world):
    """A port that is taken: exit code 1 and a message that names it."""
    for kind, proto in ((socket.SOCK_STREAM, "tcp"), (socket.SOCK_STREAM, "msrp"),
                        (socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "http")):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            port = taken.getsockname()[1]
            others = LISTEN.replace('{proto: %s, address: "127.0.0.1:0"}' % proto,
                                    '{proto: %s, address: "127.0.0.1:%d"}' % (proto, port))
            check(str(port) in others, "listen list %s" % others)
            code, _, err = await imservd(world, "--set", "listen=" + others, "--set", "store.path=busy.db")
            same(code, 1, "busy %s port" % proto)
            check(str(port) in err, "message does not name the port: %s" % err[-300:])


@scenario(modes=("standalone",), once=True)
async def relative_log_sink(world):
    """log.sink as a relative path is opened against the directory of the configuration (design 13)."""
    with tempfile.TemporaryDirectory() as place, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        config = os.path.join(place, "imserv.yaml")
        with open(config, "w") as out:
            out.write("log: {sink: here.log}\nlisten: [{proto: tcp, address: \"127.0.0.1:%d\"}]\n"
                      % busy.getsockname()[1])
        same((await imservd(world, "-c", config))[0], 1, "port in use")
        with open(os.path.join(place, "here.log")) as log:
            check("cannot-listen" in log.read(), "the log says nothing")
