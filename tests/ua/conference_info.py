"""application/conference-info+xml as a client reads it (RFC 4575 with the limits of 7.2.2.11): strictly, and keeping
the state that full and partial documents make together."""
import re
import xml.etree.ElementTree as tree

from . import check, same

TYPE = "application/conference-info+xml"
NAMESPACE = "{urn:ietf:params:xml:ns:conference-info}"
STATUSES = ("connected", "disconnected", "alerting")
URI = re.compile(r"(sips?|tel):[^\s<>\"]+$")


class User:
    def __init__(self, element):
        check(set(element.keys()) <= {"entity", "state"}, "attributes of user %s" % element.attrib)
        self.entity, self.is_partial = element.get("entity"), element.get("state", "full") == "partial"
        check(self.entity and URI.match(self.entity), "entity of a user %r" % self.entity)
        children = list(element)
        self.display_text = None
        if children and children[0].tag == NAMESPACE + "display-text":
            self.display_text = children.pop(0).text
            check(self.display_text, "an empty display-text")
        same([c.tag for c in children], [NAMESPACE + "endpoint"], "what a user has")
        endpoint = children[0]
        check(set(endpoint.keys()) <= {"entity", "state"}, "attributes of endpoint %s" % endpoint.attrib)
        check(endpoint.get("entity") and URI.match(endpoint.get("entity")), "entity of an endpoint")
        self.endpoint = endpoint.get("entity")
        same([c.tag for c in endpoint], [NAMESPACE + "status"], "what an endpoint has")
        self.status = endpoint[0].text
        check(self.status in STATUSES, "status %r" % self.status)
        if re.match(r"sips?:anonymous", self.entity):
            check(re.fullmatch(r"sip:anonymous\d+@anonymous\.invalid", self.entity), "entity %r" % self.entity)
            same(self.endpoint, self.entity, "endpoint of one who hides")


class Document:
    def __init__(self, body):
        check(b"<!" not in body, "a document with more than elements: %r" % body)
        root = tree.fromstring(body)
        same(root.tag, NAMESPACE + "conference-info", "root")
        check(set(root.keys()) == {"entity", "state", "version"}, "attributes %s" % root.attrib)
        self.entity, self.state = root.get("entity"), root.get("state")
        check(URI.match(self.entity), "entity %r" % self.entity)
        check(self.state in ("full", "partial"), "state %r" % self.state)
        check(re.fullmatch(r"\d{1,10}", root.get("version")), "version %r" % root.get("version"))
        self.version = int(root.get("version"))
        same([c.tag for c in root], [NAMESPACE + "users"], "what a conference-info has")
        users = root[0]
        # RFC 4575 4.4: a whole <users> in a partial document takes the place of what was there
        same(users.get("state", "full"), self.state, "state of users")
        for element in users:
            same(element.tag, NAMESPACE + "user", "what users has")
        self.users = [User(element) for element in users]
        names = [user.entity for user in self.users]
        same(sorted(set(names)), sorted(names), "users, each once")


class View:
    """What one subscriber knows. `take()` each NOTIFY in its order."""

    def __init__(self, entity=None):
        self.entity, self.version, self.document = entity, None, None
        self.users = {}           # entity -> status, of those who are there or ring
        self.names = {}           # entity -> display-text

    def take(self, notification):
        request = notification.request
        same(request.get("Content-Type"), TYPE, "Content-Type")
        document = self.document = Document(request.body)
        self.entity = self.entity or document.entity
        same(document.entity, self.entity, "entity")
        if self.version is None:
            same(document.state, "full", "state of the first document")
        else:
            same(document.version, self.version + 1, "version")
        self.version = document.version
        if document.state == "full":
            self.users, self.names = {}, {}
        for user in document.users:
            if user.status == "disconnected":
                check(document.state == "partial", "%s has left in a full document" % user.entity)
                self.users.pop(user.entity, None)
            else:
                self.users[user.entity] = user.status
                self.names[user.entity] = user.display_text
        return document

    @property
    def connected(self):
        return {entity for entity, status in self.users.items() if status == "connected"}
