"""Reads tests/rfc4975.txt, whose head says what its lines mean, and compares octets with what they say."""
import re
import secrets

IDENT = rb"[A-Za-z0-9][A-Za-z0-9.\-+%=]{3,31}"
LINE = re.compile(r"([ABC])([<>]) ?(.*)$")
PLACE = re.compile(r"\{([^{}]*)\}")
ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rn\\])")
ESCAPED = {b"r": b"\r", b"n": b"\n", b"\\": b"\\"}


class Step:
    """kind `>` or `<`: lines of one connection; `closed`, `closes`, `over`, or `after` so many seconds."""

    def __init__(self, kind, side=None, line=0):
        self.kind, self.side, self.line = kind, side, line
        self.lines = []
        self.seconds = 0


class Case:
    def __init__(self, name, line):
        self.name, self.line = name, line
        self.rules, self.setup, self.steps = [], [], []

    @property
    def lives(self):
        """The session goes on after it, so that another play can use it."""
        return not any(s.kind == "over" or s.kind in ("closed", "closes") and s.side != "C" for s in self.steps)

    @property
    def needs_own(self):
        """It cannot be played on a session of others."""
        return bool(self.setup) or not self.lives

    @property
    def needs_simulator(self):
        return any(s.kind == "after" for s in self.steps)


def read(path):
    """(cases, rules that are shown elsewhere or bind nobody here)."""
    cases, others = [], []
    with open(path, encoding="utf-8") as lines:
        for number, text in enumerate(lines, 1):
            text = text.rstrip("\n")
            if text and not text.startswith("#"):
                _read_line(text, number, cases, others)
    names = [case.name for case in cases]
    for case in cases:
        if not case.rules or not case.steps or names.count(case.name) > 1:
            raise ValueError("line %d: a case without rule or steps, or of the same name" % case.line)
    return cases, others


def _read_line(text, number, cases, others):
    word, _, rest = text.partition(" ")
    match = LINE.match(text)
    if word in ("elsewhere", "none"):
        others.append((word, rest))
    elif word == "case":
        cases.append(Case(rest, number))
    elif word == "rule":
        cases[-1].rules.append(rest)
    elif word == "setup":
        cases[-1].setup += rest.split()
    elif match:
        side, kind, line = match.groups()
        steps = cases[-1].steps
        if not steps or (steps[-1].kind, steps[-1].side) != (kind, side):
            steps.append(Step(kind, side, number))
        steps[-1].lines.append(line)
    elif rest in ("closed", "closes") and word in "ABC":
        cases[-1].steps.append(Step(rest, word, number))
    elif text == "over":
        cases[-1].steps.append(Step("over", None, number))
    elif word == "after" and rest.endswith("s"):
        cases[-1].steps.append(Step("after", None, number))
        cases[-1].steps[-1].seconds = int(rest[:-1])
    elif text == "then":   # ends a step, so that the next line begins another one
        cases[-1].steps.append(Step("then", None, number))
    else:
        raise ValueError("line %d: %r" % (number, text))


def expand(line, kind):
    """The short ways to write a line."""
    answer = re.fullmatch(r"\{answer ([^ ]+) (.*)\}", line)
    if line == "{paths}":
        return ["To-Path: {to}", "From-Path: {me}"] if kind == ">" else ["To-Path: {me}", "From-Path: {to}"]
    if answer and kind == ">":
        return ["MSRP %s %s" % answer.groups(), "To-Path: {to}", "From-Path: {me1}", "-------%s$" % answer[1]]
    if answer:
        return ["MSRP %s %s{any}" % answer.groups(), "To-Path: {me1}", "From-Path: {to}", "-------%s$" % answer[1]]
    return [line]


def _literal(text):
    return ESCAPE.sub(lambda m: ESCAPED.get(m[1]) or bytes([int(m[1][1:], 16)]), text.encode())


class Play:
    """One run of a case: what its names stand for. `sides`: of A and B what {to} and the like stand for."""

    def __init__(self, sides):
        self.sides, self.names = sides, {}
        self.heard = []           # what the server chose

    def _place(self, name, side):
        """The octets of a placeholder, or None."""
        if name == "empty":
            return b""
        repeat = re.fullmatch(r"(.)\*(\d+)", name)
        if repeat:
            return repeat[1].encode() * int(repeat[2])
        where, _, what = name.rpartition(".")
        value = self.sides.get(where or side, {}).get(what)
        return value.encode() if value is not None else self.names.get(name.partition(":")[0])

    def _parts(self, line, side):
        """Octets, and names of what has none yet."""
        at = 0
        for match in PLACE.finditer(line):
            yield _literal(line[at:match.start()]), None
            value = self._place(match[1], side)
            yield value or b"", None if value is not None else match[1]
            at = match.end()
        yield _literal(line[at:]), None

    def octets(self, step):
        """What the client writes in this step."""
        out = b""
        for line in self._lines(step):
            for octets, name in self._parts(line.removesuffix("\\") if _is_open(line) else line, step.side):
                if name:
                    name, _, length = name.partition(":")
                    octets = self.names[name] = _fresh(int(length or 8))
                out += octets
            out += b"" if _is_open(line) else b"\r\n"
        return out

    def pattern(self, step):
        """A regular expression for what must come in this step."""
        out, seen = b"", set()
        for line in self._lines(step):
            for octets, name in self._parts(line.removesuffix("\\") if _is_open(line) else line, step.side):
                if name == "any":
                    out += rb"[^\r\n]*"
                elif name == "lines":
                    out += rb"(?:[!-,.-9;-~][!-9;-~]*: [^\r\n]*\r\n)*?"
                elif name in seen:
                    out += b"(?P=%s)" % name.encode()
                elif name:
                    seen.add(name)
                    out += b"(?P<%s>%s)" % (name.encode(), IDENT)
                else:
                    out += re.escape(octets)
            out += b"" if _is_open(line) or line == "{lines}" else b"\r\n"
        return re.compile(out, re.S)

    def learn(self, match):
        self.names.update(match.groupdict())
        self.heard += match.groupdict().values()

    def _lines(self, step):
        for line in step.lines:
            yield from expand(line, step.kind)


def _is_open(line):
    return line.endswith("\\") and not line.endswith("\\\\")


def _fresh(length):
    return ("t" + secrets.token_hex(16))[:length].encode()
