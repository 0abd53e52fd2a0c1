"""The server under test as a process: start, ready line, memory, descriptors, HTTP, end."""
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import tempfile

from . import Failure, check

READY = re.compile(r"^imservd ready sip=(\S+) msrp=(\S+) http=(\S+) io=(\S+)$")
START_SECONDS = 20
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion|"
                     r"SUMMARY: ")

LISTEN = ('[{proto: udp, address: "127.0.0.1:0"}, {proto: tcp, address: "127.0.0.1:0"}, '
          '{proto: msrp, address: "127.0.0.1:0"}, {proto: http, address: "127.0.0.1:0"}]')
# the same and TLS with the certificate `main`
LISTEN_TLS = LISTEN.replace("{proto: http", '{proto: tls, address: "127.0.0.1:0", tls: main}, '
                            '{proto: msrps, address: "127.0.0.1:0", tls: main}, {proto: http')


def host_port(text):
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class Ready:
    """The ready line (design 8)."""

    def __init__(self, line):
        match = READY.match(line)
        if not match:
            raise Failure("ready line %r" % line)
        self.sip, self.msrp = {}, {}
        for entry in match.group(1).split(","):
            proto, _, address = entry.partition(":")
            self.sip[proto] = host_port(address.partition("/")[0])
        for entry in match.group(2).split(","):
            proto, _, address = entry.partition(":")
            self.msrp[proto] = host_port(address)
        self.http = host_port(match.group(3).partition(",")[0])  # of several the first
        self.io = match.group(4)


async def http_get(address, path, method="GET", seconds=5, headers=(), body=b""):
    """(status, headers, body) of one request."""
    async def talk():
        reader, writer = await asyncio.open_connection(*address)
        try:
            lines = ["%s %s HTTP/1.1" % (method, path), "Connection: close"]
            if not any(name == "Host" for name, _ in headers):
                lines.append("Host: %s:%d" % address)
            if body:
                lines.append("Content-Length: %d" % len(body))
            lines += ["%s: %s" % header for header in headers]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            data = await reader.read()
        finally:
            writer.close()
        head, _, content = data.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {n.strip().lower(): v.strip() for n, _, v in (x.partition(":") for x in lines[1:])}
        if fields.get("transfer-encoding") == "chunked":
            content = dechunk(content)
        return int(lines[0].split()[1]), fields, content
    return await asyncio.wait_for(talk(), seconds)


def dechunk(data):
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        out, data = out + data[:length], data[length + 2:]
        if not length:
            break
    return out


class Metrics:
    """OpenMetrics text, parsed strictly."""
    SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)( \S+)?$')
    SUFFIXES = {"counter": ("_total", "_created"), "gauge": ("",), "unknown": ("",), "info": ("_info",),
                "histogram": ("_bucket", "_count", "_sum", "_created"),
                "summary": ("", "_count", "_sum", "_created")}

    def __init__(self, text):
        self.values, self.types, self.help, self.problems = {}, {}, {}, []
        lines = text.split("\n")
        if lines[-2:] != ["# EOF", ""]:
            self.problems.append("does not end with # EOF")
        family = None
        for line in lines[:-2]:
            if line.startswith("# "):
                _, keyword, name, *rest = line.split(" ", 3)
                if keyword == "TYPE":
                    self.types[name], family = rest[0] if rest else "", name
                    if self.types[name] not in self.SUFFIXES:
                        self.problems.append("type %r" % line)
                elif keyword == "HELP":
                    self.help[name] = rest[0] if rest else ""
                elif keyword != "UNIT":
                    self.problems.append("comment %r" % line)
                continue
            match = self.SAMPLE.match(line)
            if not match:
                self.problems.append("line %r" % line)
                continue
            name, labels, value = match.group(1), match.group(2) or "", match.group(3)
            kind = self.types.get(family, "")
            if name not in [(family or "") + s for s in self.SUFFIXES.get(kind, ())]:
                self.problems.append("sample %s under family %s of type %s" % (name, family, kind))
            if name + labels in self.values:
                self.problems.append("sample %s%s twice" % (name, labels))
            self.values[name + labels] = float(value)

    def sum(self, name):
        """All samples of one name, whatever their labels; None without any."""
        found = [v for k, v in self.values.items() if k.partition("{")[0] == name]
        return sum(found) if found else None


class Server:
    """`settings` maps keys of design 9 to YAML flow text for --set; None: that of the file. `file` among them is the
    text of a configuration file, where NEXT_HOP stands for `next_hop`."""

    def __init__(self, path, mode="standalone", workers=1, io="auto", settings=None, next_hop="",
                 environment=None):
        self.path, self.mode, self.workers, self.io = os.path.abspath(path), mode, workers, io
        self.environment = environment or {}
        self.directory = tempfile.mkdtemp(prefix="imserv-test-")
        self.settings = {"listen": LISTEN, "runtime.workers": str(workers), "runtime.io": io,
                         "core.mode": mode}
        if next_hop:
            self.settings["core.next_hop"] = '"%s"' % next_hop
        self.settings.update(settings or {})
        self.next_hop, self.file = next_hop, self.settings.pop("file", None)
        self.process = self.ready = None
        self.lines = []
        self.reader = None
        with open(self.path, "rb") as program:
            text = program.read()
        self.is_thread_sanitized, self.is_address_sanitized = b"__tsan_init" in text, b"__asan_init" in text

    async def start(self):
        arguments = []
        if self.file is not None:
            self.configure(self.file)
            arguments += ["-c", self.file_name]
        for key, value in self.settings.items():
            if value is None:
                continue
            arguments += ["--set", "%s=%s" % (key, value)]
        environment = dict(os.environ, **self.environment)
        # with a small quarantine the memory bounds of the scenarios hold for sanitized builds too
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:quarantine_size_mb=1")
        self.process = await asyncio.create_subprocess_exec(
            self.path, *arguments, cwd=self.directory, stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, env=environment, limit=1 << 20)
        try:
            await asyncio.wait_for(self._wait_ready(), START_SECONDS)
        except asyncio.TimeoutError:
            await self.kill()
            raise Failure("no ready line within %d s: %s" % (START_SECONDS, self.tail())) from None
        self.reader = asyncio.ensure_future(self._read())
        return self

    async def _wait_ready(self):
        while True:
            line = (await self.process.stderr.readline()).decode("utf-8", "replace")
            if not line:
                raise Failure("server ended at start with %s: %s" % (
                    await self.process.wait(), self.tail()))
            self.lines.append(line.rstrip("\n"))
            if line.startswith("imservd ready"):
                self.ready, self.ready_line = Ready(line.rstrip("\n")), line
                return

    async def _read(self):
        while True:
            line = await self.process.stderr.readline()
            if not line:
                return
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
            if len(self.lines) > 5000:
                del self.lines[100:2000]

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.returncode is None

    def tail(self, lines=12):
        return " | ".join(self.lines[-lines:])

    def trouble(self):
        """What sanitizers or assertions printed."""
        found = [i for i, line in enumerate(self.lines) if TROUBLE.search(line)]
        return self.lines[found[0]:found[0] + 25] if found else []

    def reload(self):
        self.signal(signal.SIGHUP)

    @property
    def file_name(self):
        return os.path.join(self.directory, "imserv.yaml")

    def configure(self, text):
        """Writes the configuration file; at once, for the server may read it at any time."""
        self.file = text
        with open(self.file_name + ".new", "w") as file:
            file.write(text.replace("NEXT_HOP", '"%s"' % self.next_hop))
        os.replace(self.file_name + ".new", self.file_name)

    async def reread(self, text, expected=200):
        """The answer of the API to a reload with this file."""
        self.configure(text)
        status, answer = await self.api("POST", "reload")
        if status != expected:
            raise Failure("reload answers %d %s" % (status, answer))
        return answer

    async def logged(self, text, seconds=5):
        """Waits for a line of the log with this text."""
        end = asyncio.get_running_loop().time() + seconds
        while not any(text in line for line in self.lines):
            if asyncio.get_running_loop().time() > end:
                raise Failure("%r is not in the log: %s" % (text, self.tail(5)))
            await asyncio.sleep(0.01)

    def rss(self):
        """Resident anonymous memory in octets: pages of the program file do not count. Always 0 with the
        thread sanitizer, whose notes about every octet ever touched would be counted."""
        if self.is_thread_sanitized:
            return 0
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        raise Failure("no RssAnon")

    def _http_sockets(self):
        """Links of its HTTP connections, without the listener's."""
        found = set()
        with open("/proc/%d/net/tcp" % self.pid) as file:
            for line in list(file)[1:]:
                words = line.split()
                if words[1].endswith(":%04X" % self.ready.http[1]) and words[3] != "0A":  # LISTEN
                    found.add("socket:[%s]" % words[9])
        return found

    def descriptors(self):
        """What each that is open leads to: sockets, pipes, files. Not counted: those of the database, which sqlite opens
        when it first needs them, the pipes to the thread sanitizer's own symbolizer, and connections of HTTP: the one
        that asked for the gauges may be closed a moment later."""
        folder, found, asking = "/proc/%d/fd/" % self.pid, [], self._http_sockets()
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):  # closed meanwhile
                found.append(os.readlink(folder + name))
        return [link for link in found if not link.endswith((".db", ".db-wal", ".db-shm")) and link not in asking
                and not (self.is_thread_sanitized and link.startswith("pipe:"))]

    @property
    def token_file(self):
        return os.path.join(self.directory, "imserv.db.token")

    async def api(self, method, path, body=None, headers=()):
        """(status, JSON) of the admin API, with the server's token."""
        with open(self.token_file) as file:
            headers = [("Authorization", "Bearer " + file.read().strip())] + list(headers)
        status, _, data = await http_get(self.ready.http, "/api/v1/" + path, method, headers=headers,
                                         body=b"" if body is None else json.dumps(body).encode())
        return status, json.loads(data)

    async def ctl(self, *words, stdin="", token_file=None):
        """(exit code, stdout, stderr) of imservctl, which stands beside the server."""
        program = os.path.join(os.path.dirname(self.path), "imservctl")
        return await run_command(program, "--api", "http://%s:%d" % self.ready.http, "--token-file",
                                 token_file or self.token_file, *words, stdin=stdin)

    async def get(self, path, method="GET"):
        return await http_get(self.ready.http, path, method)

    async def metrics(self):
        status, _, body = await self.get("/metrics")
        check(status == 200, "/metrics answers %d" % status)
        return Metrics(body.decode())

    def terminate(self):
        self.signal(signal.SIGTERM)

    def signal(self, number):
        """By pid: Process.send_signal() would look whether the process has ended and so take its exit code from
        whoever waits for it."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def wait(self, seconds=15):
        """The exit code."""
        try:
            code = await asyncio.wait_for(self.process.wait(), seconds)
        except asyncio.TimeoutError:
            raise Failure("server did not end within %.0f s" % seconds) from None
        if self.reader:
            await self.reader
        shutil.rmtree(self.directory, ignore_errors=True)
        return code

    async def stop(self):
        """SIGTERM twice: at once (design 8). Returns the exit code."""
        if self.alive:
            self.terminate()
            await asyncio.sleep(0.05)
            if self.alive:
                self.terminate()
        try:
            return await self.wait()
        except Failure:
            await self.kill()
            raise

    async def restart(self, kill=False):
        """Ends it, by SIGTERM or SIGKILL, and starts it again with its store, on the same ports."""
        ports = re.findall(r"127\.0\.0\.1:\d+", self.ready_line)
        kinds = re.findall(r"proto: (\w+)", self.settings["listen"])
        order = [k for k in kinds if k in ("udp", "tcp", "tls")] + [
            k for k in kinds if k in ("msrp", "msrps")] + ["http"]
        found = dict(zip(order, ports))
        for kind in kinds:
            self.settings["listen"] = re.sub(r'(proto: %s, address: )"[^"]*"' % kind,
                                             r'\1"%s"' % found[kind], self.settings["listen"])
        self.signal(signal.SIGKILL if kill else signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), 15)
        check(kill or code == 0, "server ended with %s: %s" % (code, self.tail()))
        await self.reader
        return await self.start()

    async def kill(self):
        if self.alive:
            self.signal(signal.SIGKILL)
            await self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


async def run_command(path, *arguments, seconds=15, cwd=None, stdin=""):
    """(exit code, stdout, stderr) of a short command."""
    process = await asyncio.create_subprocess_exec(
        path, *arguments, cwd=cwd, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin.encode()), seconds)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        raise Failure("%s %s did not end" % (path, " ".join(arguments))) from None
    return process.returncode, out.decode(), err.decode()
