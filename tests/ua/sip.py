"""SIP messages (RFC 3261): building, strict parsing, and the checks made on everything received."""
import re
import secrets

COMPACT = {"v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "l": "Content-Length",
           "c": "Content-Type", "e": "Content-Encoding", "k": "Supported", "s": "Subject",
           "o": "Event", "u": "Allow-Events", "r": "Refer-To", "b": "Referred-By",
           "x": "Session-Expires", "a": "Accept-Contact", "j": "Reject-Contact"}
TOKEN = re.compile(r"^[A-Za-z0-9.!%*_+`'~-]+$")
REQUEST_LINE = re.compile(r"^([A-Za-z0-9.!%*_+`'~-]+) (\S+) SIP/2\.0$")
STATUS_LINE = re.compile(r"^SIP/2\.0 ([1-6]\d\d) ([^\r\n]*)$")
VIA = re.compile(r"^SIP/2\.0/(UDP|TCP|TLS) ([^;\s]+)\s*((?:;.*)?)$")
FEATURE_TAG = "+g.oma.sip-im"


class Malformed(Exception):
    """What arrived is not SIP."""


def token(octets=8):
    return secrets.token_hex(octets)


def branch():
    return "z9hG4bK" + token(10)


class Message:
    """A request (method, uri) or a response (status, reason); headers keep order and spelling."""

    def __init__(self, method=None, uri=None, status=None, reason=None):
        self.method, self.uri, self.status, self.reason = method, uri, status, reason
        self.headers = []
        self.body = b""

    def __str__(self):
        return "%s %s" % ((self.method, self.uri) if self.method else (self.status, self.reason))

    def all(self, name):
        name = name.lower()
        return [v for n, v in self.headers if n.lower() == name]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def list(self, name):
        return [item for value in self.all(name) for item in split_list(value)]

    def add(self, name, value):
        self.headers.append((name, str(value)))
        return self

    def remove(self, name):
        self.headers = [(n, v) for n, v in self.headers if n.lower() != name.lower()]
        return self

    def put(self, name, value):
        """Replace the header where it first stood, or append it."""
        for i, (n, _) in enumerate(self.headers):
            if n.lower() == name.lower():
                self.headers[i] = (n, str(value))
                self.headers = [h for j, h in enumerate(self.headers)
                                if j <= i or h[0].lower() != name.lower()]
                return self
        return self.add(name, value)

    def push(self, name, value):
        """Add as the topmost header of this name."""
        for i, (n, _) in enumerate(self.headers):
            if n.lower() == name.lower():
                self.headers.insert(i, (name, value))
                return self
        return self.add(name, value)

    def copy(self):
        twin = Message(self.method, self.uri, self.status, self.reason)
        twin.headers = list(self.headers)
        twin.body = self.body
        return twin

    def encode(self):
        start = ("%s %s SIP/2.0" % (self.method, self.uri) if self.method
                 else "SIP/2.0 %d %s" % (self.status, self.reason))
        headers = self.headers
        if self.get("Content-Length") is None:
            headers = headers + [("Content-Length", str(len(self.body)))]
        lines = [start] + ["%s: %s" % h for h in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body

    @property
    def cseq(self):
        number, method = self.get("CSeq").split()
        return int(number), method

    @property
    def call_id(self):
        return self.get("Call-ID")

    @property
    def from_tag(self):
        return address(self.get("From"))[2].get("tag")

    @property
    def to_tag(self):
        return address(self.get("To"))[2].get("tag")

    @property
    def branch(self):
        return via(self.list("Via")[0])[2].get("branch")


def split_list(value):
    """Split at commas that are neither quoted nor inside <>."""
    out, start, quoted, angle, i = [], 0, False, False, 0
    while i < len(value):
        c = value[i]
        if quoted:
            if c == "\\":
                i += 1
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c == "<":
            angle = True
        elif c == ">":
            angle = False
        elif c == "," and not angle:
            out.append(value[start:i].strip())
            start = i + 1
        i += 1
    out.append(value[start:].strip())
    return out


def parameters(text):
    """';a=b;c' -> {'a': 'b', 'c': ''}; names in lower case."""
    out = {}
    for part in re.findall(r';\s*((?:"(?:[^"\\]|\\.)*"|[^;"])+)', text):
        name, _, value = part.partition("=")
        out[name.strip().lower()] = value.strip()
    return out


def address(value):
    """'"A" <sip:a@b;x>;tag=1' -> (display, uri, parameters)."""
    match = re.match(r'^\s*((?:"(?:[^"\\]|\\.)*")|[^<"]*?)\s*<([^>]*)>\s*(;.*)?$', value, re.S)
    if match:
        return match.group(1).strip('"'), match.group(2), parameters(match.group(3) or "")
    uri, _, rest = value.strip().partition(";")
    return "", uri.strip(), parameters(";" + rest if rest else "")


def via(value):
    """'SIP/2.0/UDP host:port;branch=x' -> (transport, sent-by, parameters)."""
    match = VIA.match(value.strip())
    if not match:
        raise Malformed("Via %r" % value)
    return match.group(1), match.group(2), parameters(match.group(3))


def bracketed(host):
    """A host as URIs and Via have it: IPv6 in brackets (RFC 3261 25.1, IPv6reference)."""
    return "[%s]" % host if ":" in host else host


def uri_parts(uri):
    """'sip:user@host:port;x=y' -> (scheme, user, host, port or None, parameters)."""
    scheme, _, rest = uri.partition(":")
    rest = rest.partition("?")[0]
    user = None
    if "@" in rest:
        user, _, rest = rest.rpartition("@")
    host, _, tail = rest.partition(";")
    match = re.match(r"^(\[[^\]]*\]|[^:]*)(?::(\d+))?$", host)
    if not match:
        raise Malformed("URI %r" % uri)
    port = int(match.group(2)) if match.group(2) else None
    return scheme.lower(), user, match.group(1), port, parameters(";" + tail if tail else "")


def parse_head(head):
    """The text up to, without, the empty line."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8: %r" % head[:80])
    lines = []
    for line in text.split("\r\n"):
        if "\r" in line or "\n" in line or "\0" in line:
            raise Malformed("bare CR, LF or NUL in %r" % line)
        if line[:1] in (" ", "\t") and lines:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    request, status = REQUEST_LINE.match(lines[0]), STATUS_LINE.match(lines[0])
    if request:
        message = Message(request.group(1), request.group(2))
    elif status:
        message = Message(status=int(status.group(1)), reason=status.group(2))
    else:
        raise Malformed("start line %r" % lines[0])
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if not colon or not TOKEN.match(name):
            raise Malformed("header line %r" % line)
        message.add(COMPACT.get(name.lower(), name), value.strip())
    return message


def content_length(message):
    values = set(message.all("Content-Length"))
    if not values:
        return None
    if len(values) > 1 or not re.match(r"^\d{1,9}$", next(iter(values))):
        raise Malformed("Content-Length %r" % sorted(values))
    return int(values.pop())


def parse_datagram(data):
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank:
        raise Malformed("no empty line in %r" % data[:80])
    message = parse_head(head)
    length = content_length(message)
    if length is not None and length != len(body):
        raise Malformed("Content-Length %d, body of %d octets" % (length, len(body)))
    message.body = body
    return message


ONCE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type", "Content-Length", "Expires",
        "Session-Expires", "Min-SE", "Server", "User-Agent", "Date", "Event")


def check_any(m, witness):
    """What holds for every message that a well-behaved server sends."""
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        if not m.all(name):
            witness.note("%s without %s" % (m, name))
            return False
    for name in ONCE:
        witness.expect(len(m.all(name)) <= 1, "%s with %s repeated" % (m, name))
    if not re.match(r"^\d{1,10} [A-Z]+$", m.get("CSeq")) or m.cseq[0] >= 2 ** 31:
        witness.note("%s with CSeq %r" % (m, m.get("CSeq")))
        return False
    witness.expect(m.from_tag, "%s without From tag" % m)
    witness.expect(m.get("Content-Length") is not None, "%s without Content-Length" % m)
    witness.expect(not m.body or m.get("Content-Type"), "%s with body, without Content-Type" % m)
    for value in m.list("Via"):
        try:
            via(value)
        except Malformed as error:
            witness.note("%s: %s" % (m, error))
            return False
    return True


def check_request(m, witness):
    if not check_any(m, witness):
        return False
    witness.expect(m.cseq[1] == m.method, "%s with CSeq %s" % (m, m.get("CSeq")))
    witness.expect((m.branch or "").startswith("z9hG4bK"), "%s: branch %r" % (m, m.branch))
    witness.expect(re.match(r"^\d{1,3}$", m.get("Max-Forwards", "")),
                   "%s: Max-Forwards %r" % (m, m.get("Max-Forwards")))
    if m.method in ("INVITE", "SUBSCRIBE", "REFER"):
        witness.expect(len(m.list("Contact")) == 1, "%s: Contact %r" % (m, m.all("Contact")))
    if m.method == "MESSAGE":
        witness.expect(not m.all("Contact"), "MESSAGE with Contact (RFC 3428 9)")
    is_passed_on = m.method == "SUBSCRIBE" or m.method == "REFER" and not m.to_tag
    if witness.server and m.method not in ("ACK", "CANCEL") and not is_passed_on:
        # IM-6.2.7.1-5, flows.md head
        witness.expect(m.get("User-Agent", "").startswith("IM-serv/OMA1.0"),
                       "%s: User-Agent %r" % (m, m.get("User-Agent")))
    return True


def check_response(m, request, witness):
    """A response as its request demands it (RFC 3261 8.2.6)."""
    if not check_any(m, witness):
        return False
    what = "%s to %s" % (m, request.method)
    # a received or rport parameter may have been added to the topmost Via only
    mine, theirs = request.list("Via"), m.list("Via")
    if len(mine) != len(theirs):
        witness.note("%s: Via count %d, sent %d" % (what, len(theirs), len(mine)))
    for ours, echo in zip(mine, theirs):
        transport, sent_by, params = via(ours)
        got_transport, got_sent_by, got = via(echo)
        got = {k: v for k, v in got.items() if k not in ("received", "rport")}
        params = {k: v for k, v in params.items() if k != "rport"}
        witness.expect((transport, sent_by, params) == (got_transport, got_sent_by, got),
                       "%s: Via %r came back as %r" % (what, ours, echo))
    for name in ("From", "Call-ID", "CSeq"):
        witness.expect(m.get(name) == request.get(name),
                       "%s: %s %r came back as %r" % (what, name, request.get(name), m.get(name)))
    if request.to_tag:
        witness.expect(m.get("To") == request.get("To"), "%s: To changed to %r" % (what, m.get("To")))
    else:
        witness.expect(address(m.get("To"))[1] == address(request.get("To"))[1],
                       "%s: To changed to %r" % (what, m.get("To")))
        witness.expect(m.status == 100 or m.to_tag, "%s: no To tag" % what)
    if request.method == "INVITE" and 200 <= m.status < 300:
        witness.expect(len(m.list("Contact")) == 1, "%s: Contact %r" % (what, m.all("Contact")))
        if not request.to_tag:
            witness.expect(m.all("Allow"), "%s: no Allow" % what)
    if m.status == 405:
        witness.expect(m.all("Allow"), "%s: no Allow (RFC 3261 8.2.1)" % what)
    if m.status == 420:
        witness.expect(m.all("Unsupported"), "%s: no Unsupported (RFC 3261 8.2.2.3)" % what)
    if m.status == 422:
        witness.expect(m.all("Min-SE"), "%s: no Min-SE (RFC 4028 6)" % what)
    if m.status == 423:
        witness.expect(m.all("Min-Expires"), "%s: no Min-Expires" % what)
    if m.status == 415:
        witness.expect(m.all("Accept"), "%s: no Accept (RFC 3261 8.2.3)" % what)
    if m.status == 401:
        witness.expect(m.all("WWW-Authenticate"), "%s: no WWW-Authenticate" % what)
    if m.status == 407:
        witness.expect(m.all("Proxy-Authenticate"), "%s: no Proxy-Authenticate" % what)
    if witness.server and m.status > 100:
        witness.expect(m.get("Server", "").startswith("IM-serv/OMA1.0"),
                       "%s: Server %r" % (what, m.get("Server")))
    for text in m.list("Warning"):
        witness.expect(re.match(r'^\d{3} \S+ "([^"\\]|\\.)*"$', text), "%s: Warning %r" % (what, text))
    return True


def response_to(request, status, reason, to_tag=None):
    """The skeleton of RFC 3261 8.2.6.2."""
    response = Message(status=status, reason=reason)
    for name in ("Via",) + (("Record-Route",) if request.method in ("INVITE", "SUBSCRIBE", "REFER", "NOTIFY") else ()):
        for value in request.all(name):
            response.add(name, value)
    response.add("From", request.get("From"))
    to = request.get("To")
    if to_tag and not request.to_tag and status > 100:
        to += ";tag=" + to_tag
    response.add("To", to)
    response.add("Call-ID", request.call_id)
    response.add("CSeq", request.get("CSeq"))
    return response
