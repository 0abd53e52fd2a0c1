"""Session descriptions with one m=message line (RFC 4566, RFC 4975 8, RFC 6135)."""
import re

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


def build(path, setup=None, direction=None, accept="text/plain message/cpim", version=1, extra=()):
    """An offer or answer whose MSRP endpoint is `path`, our msrp.Uri."""
    proto = "TCP/TLS/MSRP" if path.secure else "TCP/MSRP"
    host = path.host.strip("[]")
    address = "IP%d %s" % (6 if ":" in host else 4, host)
    lines = ["v=0", "o=- %d %d IN %s" % (path.port * 7919, version, address), "s=-",
             "c=IN " + address, "t=0 0", "m=message %d %s *" % (path.port, proto),
             "a=accept-types:" + accept, "a=path:" + " ".join([*path.relays, str(path)])]
    if setup:
        lines.append("a=setup:" + setup)
    if path.fingerprint:
        lines.append("a=fingerprint:" + path.fingerprint)
    if direction:
        lines.append("a=" + direction)
    lines += list(extra)
    return ("\r\n".join(lines) + "\r\n").encode()


class Description:
    """What a peer said; `problems` lists what is wrong with it."""

    def __init__(self, body):
        self.problems = []
        self.session, self.media = [], []
        text = body.decode("utf-8", "replace")
        if not text.endswith("\r\n"):
            self.problems.append("does not end with CRLF")
        for line in text.split("\r\n")[:-1]:
            if not re.match(r"^[a-z]=\S.*$", line):
                self.problems.append("line %r" % line)
                continue
            if line.startswith("m="):
                self.media.append((line[2:].split(), []))
            else:
                (self.media[-1][1] if self.media else self.session).append((line[0], line[2:]))
        order = "".join(kind for kind, _ in self.session)
        if not re.match(r"^vosi?u?e*p*c?b*(tr*)+z?k?a*$", order):
            self.problems.append("session lines in the order %r" % order)
        if len(self.media) != 1:
            self.problems.append("%d m-lines" % len(self.media))
            self.media = self.media or [(["none", "0", "none", "*"], [])]
        self.line = self.media[0][0]
        if len(self.line) < 4 or self.line[0] != "message" or self.line[2] not in (
                "TCP/MSRP", "TCP/TLS/MSRP"):
            self.problems.append("m-line %r" % self.line)
            self.line = (self.line + ["0", "none", "*"])[:4]
        self.port = int(self.line[1])
        self.path = (self.attribute("path") or "").split()
        self.setup = self.attribute("setup")
        self.is_secure = self.line[2] == "TCP/TLS/MSRP"
        self.fingerprint = self.attribute("fingerprint")
        if any(uri.startswith("msrps:") != self.is_secure for uri in self.path[:1]):
            self.problems.append("%s with path %s" % (self.line[2], self.path[0]))
        self.accept_types = (self.attribute("accept-types") or "").split()
        if self.port and not self.path:
            self.problems.append("no a=path")
        if self.port and not self.accept_types:
            self.problems.append("no a=accept-types")
        if self.setup not in (None, "active", "passive", "actpass", "holdconn"):
            self.problems.append("a=setup:%s" % self.setup)
        self.directions = [v for _, v in self.media[0][1] if v in DIRECTIONS]
        if len(self.directions) > 1:
            self.problems.append("directions %r" % self.directions)

    def attribute(self, name):
        for kind, value in self.media[0][1] + self.session:
            key, _, rest = value.partition(":")
            if kind == "a" and key == name:
                return rest
        return None

    @property
    def direction(self):
        if self.directions:
            return self.directions[0]
        return next((v for _, v in self.session if v in DIRECTIONS), "sendrecv")

    @property
    def origin(self):
        """(session id, version) of the o= line."""
        fields = dict(self.session)["o"].split()
        return fields[1], int(fields[2])
