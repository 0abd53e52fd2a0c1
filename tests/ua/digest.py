"""Digest authentication of the client side (RFC 7616, RFC 8760), with Python's own hashes."""
import hashlib
import re
import secrets

from . import check

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Challenge:
    """One WWW-Authenticate or Proxy-Authenticate."""

    def __init__(self, header):
        scheme, _, rest = header.partition(" ")
        check(scheme == "Digest", "challenge %r" % header)
        self.raw = dict(re.findall(r'\s*([A-Za-z0-9-]+)=((?:"(?:[^"\\]|\\.)*")|[^,\s]+)\s*,?', rest))
        self.values = {name.lower(): value.strip('"') for name, value in self.raw.items()}

    def __getattr__(self, name):
        return self.values.get(name)

    @property
    def is_stale(self):
        return (self.stale or "").lower() == "true"


def challenges(response):
    """Those of a 401 or 407, in their order."""
    name = "WWW-Authenticate" if response.status == 401 else "Proxy-Authenticate"
    return [Challenge(value) for value in response.all(name)]


def authorization(challenge, user, password, method, uri, nc=1, cnonce=None, edit=None):
    """The header value. `edit` changes the directives (name -> value as written) before they are joined;
    None leaves one out."""
    digest = lambda text: HASHES[challenge.algorithm or "MD5"](text.encode()).hexdigest()
    cnonce = cnonce or secrets.token_hex(8)
    ha1 = digest("%s:%s:%s" % (user, challenge.realm, password))
    count = "%08x" % nc
    response = digest(":".join((ha1, challenge.nonce, count, cnonce, "auth", digest(method + ":" + uri))))
    directives = {"username": '"%s"' % user, "realm": '"%s"' % challenge.realm, "nonce": '"%s"' % challenge.nonce,
                  "uri": '"%s"' % uri, "response": '"%s"' % response, "cnonce": '"%s"' % cnonce, "nc": count,
                  "qop": "auth", "opaque": '"%s"' % challenge.opaque, "algorithm": challenge.algorithm}
    directives.update(edit or {})
    return "Digest " + ", ".join("%s=%s" % item for item in directives.items() if item[1] is not None)


class Login:
    """What a client knows of itself: it answers the challenge it got last, counting up."""

    def __init__(self, user, password, algorithm="SHA-256"):
        self.user, self.password, self.algorithm = user, password, algorithm
        self.challenge, self.nc = None, 0

    def learn(self, response):
        self.challenge = next(c for c in challenges(response) if c.algorithm == self.algorithm)
        self.nc = 0
        return self.challenge

    def authorize(self, request, **more):
        """Add credentials for a request outside dialogs, once there was a challenge."""
        if self.challenge is None:
            return request
        self.nc += 1
        name = "Authorization" if request.method in ("REGISTER", "PUBLISH", "SUBSCRIBE") else "Proxy-Authorization"
        more.setdefault("nc", self.nc)
        return request.put(name, authorization(self.challenge, self.user, self.password, request.method, request.uri,
                                               **more))
