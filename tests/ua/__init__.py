"""The independent test user agent: SIP, SDP, MSRP, a tiny S-CSCF. It shares no code with the server
and was written from the specification, so that a mistake made on one side is not made on both."""
import re


class Failure(AssertionError):
    """A scenario saw something that the specification does not permit."""


def REQ(*ids):
    """Cite requirements of the specification next to the assertion that shows them."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def same(got, expected, what):
    if got != expected:
        raise Failure("%s: expected %r, got %r" % (what, expected, got))


class Witness:
    """Collects what was wrong on the wire while a scenario ran, wherever it was noticed: protocol
    code notes and goes on, the runner fails the scenario afterwards. `server` is False when user
    agents talk to each other and the rules for an IM Server do not apply."""

    def __init__(self, server=True):
        self.server = server
        self.violations = []
        self.kinds = set()
        self.secrets = {}        # text that only its owner may see -> owner
        self.public = set()      # addresses of the server: a port of UDP may have the number of one of TCP
        self.trace = []          # (direction, text) of the last messages, for failure reports

    def note(self, text):
        """Each kind of violation once: names, numbers and random strings do not make a new kind."""
        kind = re.sub(r"[a-z0-9]*\d[a-z0-9]*|[a-z0-9]{20,}", "", text)
        if kind not in self.kinds and len(self.violations) < 50:
            self.kinds.add(kind)
            self.violations.append(text)

    def reset(self):
        for kept in (self.violations, self.kinds, self.secrets, self.trace):
            kept.clear()

    def expect(self, condition, text):
        if not condition:
            self.note(text)

    def saw(self, arrow, who, text):
        self.trace.append("%s %s %s" % (who, arrow, text))
        if len(self.trace) > 400:
            del self.trace[:200]

    def leak_check(self, owner, data):
        for secret, keeper in self.secrets.items() if self.server else ():
            if keeper != owner and secret not in self.public and secret in data:
                self.note("%s was shown %r, which belongs to %s" % (owner, secret, keeper))
