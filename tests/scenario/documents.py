"""Documents of users: XCAP (RFC 4825), the admin API and imservctl, and what access rules do (design 10, 13;
6.2.6.1 step 2)."""
import asyncio
import re
import resource
import xml.etree.ElementTree as ElementTree

from registrar import reconnect
from ua import REQ, check, same
from ua.digest import Challenge, authorization
from ua.server import LISTEN, http_get
from world import DOMAIN, scenario

RULES, LISTS, GROUPS = "org.openmobilealliance.im-rules", "resource-lists", "org.openmobilealliance.groups"
TYPES = {RULES: "application/auth-policy+xml", LISTS: "application/resource-lists+xml",
         GROUPS: "application/vnd.oma.poc.groups+xml"}
ELEMENT, ATTRIBUTE = "application/xcap-el+xml", "application/xcap-att+xml"
TRUSTED = {"http.trusted": '["127.0.0.0/8"]'}

LIST = """<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">
  <!-- of mine -->
  <list name="friends"><entry uri="sip:bob@example.com"><display-name>Bob</display-name></entry><entry uri="sip:eve@example.com"/></list>
</resource-lists>
"""
GROUP = """<group xmlns="urn:oma:xml:poc:list-service" xmlns:rl="urn:ietf:params:xml:ns:resource-lists"
  xmlns:cp="urn:ietf:params:xml:ns:common-policy"><list-service uri="sip:group1@example.com">
  <display-name>Us</display-name><list><rl:entry uri="sip:bob@example.com"/></list><invite-members>true</invite-members>
  <max-participant-count>10</max-participant-count><cp:ruleset><cp:rule id="a"><cp:conditions/><cp:actions>
  <allow-initiate-conference>true</allow-initiate-conference></cp:actions></cp:rule></cp:ruleset></list-service></group>"""


def ruleset(*rules):
    return ('<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:im="urn:oma:xml:im">%s</ruleset>' % "".join(
        '<rule id="r%d"><conditions>%s</conditions><actions>%s</actions></rule>' % (i, conditions, "".join(
            "<im:%s>%s</im:%s>" % (action, value, action) for action, value in actions.items()))
        for i, (conditions, actions) in enumerate(rules)))


def one(*uris):
    return "<identity>%s</identity>" % "".join('<one id="%s"/>' % uri for uri in uris)


EVERYBODY = "<identity><many/></identity>"


def both(value):
    return {"allow-session": value, "allow-pager-mode-message": value}


class Xcap:
    """A client of one user, by the API's token unless headers say otherwise."""

    def __init__(self, world, user, *headers):
        self.address = world.server.ready.http
        self.user, self.headers = user, list(headers)
        if not headers:
            with open(world.server.token_file) as file:
                self.headers = [("Authorization", "Bearer " + file.read().strip())]

    def path(self, auid, name, node="", query=""):
        escape = lambda text: "".join(c if re.match(r"[A-Za-z0-9._~:/@*=-]", c) else "%%%02X" % ord(c) for c in text)
        return "/xcap/%s/users/%s/%s%s%s" % (auid, escape(self.user), escape(name), "/~~/" + escape(node) if node else "",
                                             query and "?" + query)

    async def do(self, method, auid, name, body=None, node="", query="", type=None, headers=()):
        """(status, headers, body)."""
        fields = self.headers + list(headers)
        if body is not None and type != "":
            fields.append(("Content-Type", type or (ELEMENT if node and "@" not in node.split("/")[-1][:1] else
                                                    ATTRIBUTE if node else TYPES.get(auid, "application/xml"))))
        if body is not None and not body:
            fields.append(("Content-Length", "0"))
        return await http_get(self.address, self.path(auid, name, node, query), method, headers=fields,
                              body=(body or "").encode())

    async def put(self, auid, name, body, status, **more):
        got, fields, answer = await self.do("PUT", auid, name, body, **more)
        same(got, status, "PUT %s %s: %r" % (name, more.get("node", ""), answer))
        if got == 409:
            same(fields["content-type"], "application/xcap-error+xml", "type of the 409")
            root = ElementTree.fromstring(answer)
            same(root.tag, "{urn:ietf:params:xml:ns:xcap-error}xcap-error", "root of the 409")
            return root[0].tag.split("}")[1], root[0]
        return fields.get("etag")

    async def get(self, auid, name, node="", query="", headers=()):
        got, fields, body = await self.do("GET", auid, name, node=node, query=query, headers=headers)
        return got, fields, body.decode()

    async def delete(self, auid, name, status, node="", headers=()):
        got, _, body = await self.do("DELETE", auid, name, node=node, headers=headers)
        same(got, status, "DELETE %s %s: %r" % (name, node, body))


@scenario(once=True)
async def xcap_documents(world):
    """A document is made, read as it was written, replaced under conditions and deleted; each version has its ETag."""
    alice = await world.client("alice", register=False)
    x = Xcap(world, "sip:%s@%s" % (alice.name, DOMAIN))
    await x.delete(LISTS, "index", 404)
    same((await x.get(LISTS, "index"))[0], 404, "GET of nothing")
    await x.put(LISTS, "index", LIST, 412, headers=[("If-Match", "*")])
    first = await x.put(LISTS, "index", LIST, 201, headers=[("If-None-Match", "*")])
    await x.put(LISTS, "index", LIST, 412, headers=[("If-None-Match", "*")])
    got, fields, body = await x.get(LISTS, "index")
    same((got, fields["etag"], fields["content-type"], body), (200, first, TYPES[LISTS], LIST), "GET")
    same((await x.do("HEAD", LISTS, "index"))[0], 200, "HEAD")
    same((await x.get(LISTS, "index", headers=[("If-None-Match", '"x", W/%s' % first)]))[0], 304, "GET of what is known")
    second = await x.put(LISTS, "index", LIST.replace("eve", "eva"), 200, headers=[("If-Match", '"x", %s' % first)])
    check(second != first, "another version with the same ETag")
    await x.put(LISTS, "index", LIST, 412, headers=[("If-Match", first)])
    await x.delete(LISTS, "index", 412, headers=[("If-Match", first)])
    same((await x.get(LISTS, "index"))[2], LIST.replace("eve", "eva"), "after what was refused")
    other = Xcap(world, "sip:%s@%s" % ("x" + alice.name, DOMAIN))
    same((await other.get(LISTS, "index"))[0], 404, "GET of another user's")
    short = Xcap(world, alice.name)
    same((await short.get(LISTS, "index"))[0], 200, "GET by the bare name")
    await x.delete(LISTS, "index", 200, headers=[("If-Match", second)])
    await x.delete(LISTS, "index", 404)
    third = await x.put(LISTS, "index", LIST, 201)
    check(third not in (first, second), "an ETag came back")
    await x.delete(LISTS, "index", 200)
    await x.put(GROUPS, "g", GROUP, 201)
    await x.delete(GROUPS, "g", 200)
    # one that is larger than most is asked for twice, which is no failure
    failures = (await world.server.metrics()).sum("imserv_store_failures_total")
    large = LIST.replace("of mine", "x" * 100000)
    await x.put(LISTS, "large", large, 201)
    same((await x.get(LISTS, "large"))[2], large, "a large document")
    await x.delete(LISTS, "large", 200)
    same((await world.server.metrics()).sum("imserv_store_failures_total"), failures, "failures of the store")


@scenario(once=True)
async def xcap_refusals(world):
    """Wrong paths, methods, types, sizes and documents, each with its code and, for 409, its reason."""
    alice = await world.client("alice", register=False)
    x = Xcap(world, "sip:%s@%s" % (alice.name, DOMAIN))
    address = world.server.ready.http
    for path, status in (("/xcap", 404), ("/xcap/", 404), ("/xcap/%s" % LISTS, 404), ("/xcap/%s/users/" % LISTS, 404),
                         ("/xcap/%s/users/%s" % (LISTS, x.user), 404), ("/xcap/%s/global/index" % LISTS, 404),
                         ("/xcap/pres-rules/users/%s/index" % x.user, 404), ("/xcap/%s/users/sip:a@b.org/index" % LISTS, 404),
                         ("/xcap/%s/users/%s/.." % (LISTS, x.user), 404), ("/xcap/%s/users/%s/a%%01" % (LISTS, x.user), 404),
                         ("/xcap/xcap-caps/global/index", 200)):
        got, fields, body = await http_get(address, path, headers=x.headers)
        same(got, status, path)
        if got == 200:
            same(fields["content-type"], "application/xcap-caps+xml", "type of the capabilities")
            auids = [e.text for e in ElementTree.fromstring(body).iter("{urn:ietf:params:xml:ns:xcap-caps}auid")]
            check(set(TYPES) < set(auids), "auids %s" % auids)
    for method in ("POST", "PATCH", "DEL"):
        got, fields, _ = await x.do(method, LISTS, "index", LIST)
        same((got, fields["allow"]), (405, "GET, HEAD, PUT, DELETE"), method)
    for type in ("", "text/xml", "application/xml", ELEMENT, TYPES[RULES]):
        await x.put(LISTS, "index", LIST, 415, type=type)
    same((await x.do("PUT", LISTS, "index", LIST, type="Application/Resource-Lists+XML; charset=utf-8"))[0], 201, "a type with case")
    await x.delete(LISTS, "index", 200)
    await x.put(LISTS, "index", LIST + "<!--%s-->" % ("x" * 262144), 413)
    same((await x.do("PUT", LISTS, "index", " " * 300000))[0], 413, "PUT of 300 000 octets")
    lists = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">%s</resource-lists>'
    group = '<group xmlns="urn:oma:xml:poc:list-service">%s</group>'
    for auid, body, error in (
            (LISTS, "", "not-well-formed"), (LISTS, "hello", "not-well-formed"), (LISTS, LIST[:-5], "not-well-formed"),
            (LISTS, lists % "<p:x/>", "not-well-formed"), (LISTS, lists % "&x;", "not-well-formed"),
            (LISTS, LIST.replace("UTF-8", "ISO-8859-1"), "not-utf-8"),
            (LISTS, '<!DOCTYPE a [<!ENTITY b "&c;&c;"><!ENTITY c "xxxxxxxx">]>' + LIST[39:], "constraint-failure"),
            (LISTS, lists % ("<list>" * 40 + "</list>" * 40), "constraint-failure"),
            (LISTS, "<resource-lists/>", "schema-validation-error"), (LISTS, ruleset(), "schema-validation-error"),
            (LISTS, lists % "<entry uri='sip:a@b'/>", "schema-validation-error"),
            (LISTS, lists % "<list><entry/></list>", "schema-validation-error"),
            (LISTS, lists % "<list name='a'/><list name='a'/>", "uniqueness-failure"),
            (LISTS, lists % "<list><list><entry uri='a:b'/><entry uri='a:b'/></list></list>", "uniqueness-failure"),
            (RULES, "<ruleset/>", "schema-validation-error"), (RULES, LIST, "schema-validation-error"),
            (RULES, ruleset().replace("</ruleset>", "<rule/></ruleset>"), "schema-validation-error"),
            (RULES, ruleset(("", {"allow-session": "maybe"})), "schema-validation-error"),
            (RULES, ruleset(("", {"allow-pager-mode-message": "true"})), "schema-validation-error"),
            (RULES, ruleset(("", {"allow-anonymity": "accept"})), "schema-validation-error"),
            (RULES, ruleset(("<identity/>", {})), "schema-validation-error"),
            (RULES, ruleset(("<identity><one/></identity>", {})), "schema-validation-error"),
            (RULES, ruleset(("", {}), ("", {})).replace("r1", "r0"), "uniqueness-failure"),
            (GROUPS, group % "", "schema-validation-error"), (GROUPS, "<group/>", "schema-validation-error"),
            (GROUPS, GROUP.replace("group1", "alice"), "constraint-failure"),
            (GROUPS, GROUP.replace("sip:bob@", "bob@"), "constraint-failure"),
            (GROUPS, GROUP.replace('<rl:entry uri="sip:bob@', '<rl:list><rl:entry uri="bob@').replace("/></list>", "/></rl:list></list>"),
             "constraint-failure"),
            (GROUPS, GROUP.replace("group1@example.com", "group1@example.org"), "constraint-failure"),
            (GROUPS, GROUP.replace(' uri="sip:group1@example.com"', ""), "schema-validation-error"),
            (GROUPS, GROUP.replace("<cp:conditions/>", "<cp:conditions><is-list-member>x</is-list-member></cp:conditions>"),
             "schema-validation-error"),
            (GROUPS, GROUP.replace(">10<", ">many<"), "schema-validation-error"),
            (GROUPS, GROUP.replace(">true</invite", ">yes</invite"), "schema-validation-error"),
            (GROUPS, GROUP.replace(">true</allow", ">accept</allow"), "schema-validation-error")):
        got, node = await x.put(auid, "index", body, 409)
        same(got, error, "error of %s" % body[:120])
        if error == "uniqueness-failure":
            check(node[0].get("field"), "no field")
        if error == "not-well-formed":
            lines = {LIST[:-5]: "line 5", "": "it is empty"}
            same(node.get("phrase"), lines.get(body, "line 1"), "phrase of %s" % body[:120])
    for auid in TYPES:
        same((await x.get(auid, "index"))[0], 404, "after what was refused")


def services(*uris):
    return GROUP.split("<list-service")[0] + "".join('<list-service uri="%s"/>' % uri for uri in uris) + "</group>"


@scenario(once=True)
async def xcap_group_names(world):
    """The name of a group is that of one document, whoever owns it and however it is written; it is free again when
    that document has another, or is gone."""
    alice, bob = await world.client("alice", register=False), await world.client("bob", register=False)
    a, b = Xcap(world, "sip:%s@%s" % (alice.name, DOMAIN)), Xcap(world, "sip:%s@%s" % (bob.name, DOMAIN))
    name, *more = ["sip:group-%s%s@%s" % (alice.name, more, DOMAIN) for more in ("", "-2", "-3")]
    many = ["sip:group-%s-x%d@%s" % (alice.name, i, DOMAIN) for i in range(65)]

    async def taken(x, document, body):
        error, node = await x.put(GROUPS, document, body, 409)
        same((error, node[0].get("field")), ("uniqueness-failure", "list-service/@uri"), "PUT of %s" % body[-120:])

    await a.put(GROUPS, "index", services(name), 201)
    await a.put(GROUPS, "index", services(name, more[0]), 200)
    for x, document in ((b, "index"), (a, "more")):
        await taken(x, document, services(name))
        await taken(x, document, services(more[1], more[0].replace("sip:", "sips:").replace("group", "%67roup") + ";x=y"))
        same((await x.get(GROUPS, document))[0], 404, "after what was refused")
    await taken(b, "index", services(more[1], more[1] + ";x=y"))
    await b.put(GROUPS, "index", services(more[1]), 201)
    await taken(a, "index", services(name, more[1]))
    # one by one they are free again
    await a.put(GROUPS, "index", services(name), 200)
    await b.put(GROUPS, "index", services(more[0], more[1]), 200)
    await a.delete(GROUPS, "index", 200)
    await b.put(GROUPS, "index", name, 200, node="group/list-service[1]/@uri")
    await a.put(GROUPS, "index", services(more[0]), 201)
    error, _ = await a.put(GROUPS, "many", services(*many), 409)
    same(error, "constraint-failure", "65 groups in one document")
    await a.put(GROUPS, "many", services(*many[1:]), 201)
    for x, document in ((a, "many"), (a, "index"), (b, "index")):
        await x.delete(GROUPS, document, 200)


@scenario(once=True)
async def xcap_nodes(world):
    """Elements and attributes are read, replaced, inserted and removed; the rest stays as it was written."""
    alice = await world.client("alice", register=False)
    x = Xcap(world, "sip:%s@%s" % (alice.name, DOMAIN))
    friends = 'resource-lists/list[@name="friends"]'
    bob = friends + '/entry[@uri="sip:bob@example.com"]'
    got, node = await x.put(LISTS, "index", "<list/>", 409, node="resource-lists/list")
    same(got, "no-parent", "into no document")
    first = await x.put(LISTS, "index", LIST, 201)
    got, fields, body = await x.get(LISTS, "index", bob)
    same((got, fields["content-type"], fields["etag"]), (200, ELEMENT, first), "GET of an element")
    same(body, '<entry uri="sip:bob@example.com"><display-name>Bob</display-name></entry>', "element")
    same((await x.get(LISTS, "index", friends + "/*[2]/@uri"))[1:], ({**(await x.get(LISTS, "index", friends + "/*[2]/@uri"))[1],
         "content-type": ATTRIBUTE}, "sip:eve@example.com"), "GET of an attribute")
    same((await x.get(LISTS, "index", "a:resource-lists/a:list/a:entry[1]/a:display-name",
                      "xmlns(a=urn:ietf:params:xml:ns:resource-lists)"))[2], "<display-name>Bob</display-name>", "GET by prefix")
    same((await x.get(LISTS, "index", "resource-lists/namespace::*"))[2],
         '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>', "GET of namespaces")
    for node, status in (("resource-lists/list/entry", 404), ("resource-lists/x", 404), ("resource-lists/a:list", 400),
                         ("resource-lists/list[0]", 400), ("resource-lists/list[", 400)):
        same((await x.get(LISTS, "index", node))[0], status, "GET " + node)
    # in, and what is not meant
    entry = '<entry uri="sip:carol@example.com"/>'
    carol = friends + '/entry[@uri="sip:carol@example.com"]'
    await x.put(LISTS, "index", entry, 412, node=carol, headers=[("If-Match", '"x"')])
    await x.put(LISTS, "index", entry, 412, node=carol, headers=[("If-Match", "*")])
    second = await x.put(LISTS, "index", entry, 201, node=carol, headers=[("If-Match", first)])
    check(second != first, "the same ETag")
    await x.put(LISTS, "index", entry, 412, node=carol, headers=[("If-None-Match", "*")])
    await x.put(LISTS, "index", entry, 200, node=carol)
    same((await x.get(LISTS, "index"))[2], LIST.replace("</list>", entry + "</list>"), "the document")
    for body, node, error in (
            ("<entry uri='sip:dave@example.com'/>", carol, "cannot-insert"), ("<list/>", "resource-lists/list[3]", "cannot-insert"),
            ("<entry/>", friends + "/x/entry", "no-parent"), ("<entry", carol, "not-xml-frag"), ("", carol, "not-xml-frag"),
            ("<entry uri='sip:carol@example.com'><b></entry></b></entry>", carol, "not-xml-frag"),
            ("<p:x/>", friends + "/entry[1]/display-name", "cannot-insert"),
            ('<entry uri="sip:bob@example.com"/>', friends + "/entry[4]", "uniqueness-failure"),
            ("<entry/>", friends + "/entry[4]", "schema-validation-error"), ("<", carol + "/@uri", "not-xml-att-value"),
            ("&x;", carol + "/@x", "not-xml-att-value"), ("sip:x@y", carol + "/@uri", "cannot-insert"),
            ("sip:x@y", friends + "/x/@uri", "no-parent"), ("sip:bob@example.com", friends + "/entry[3]/@uri", "uniqueness-failure")):
        got, found = await x.put(LISTS, "index", body, 409, node=node)
        same(got, error, "PUT %s to %s" % (body, node))
        if error == "no-parent":
            check(found[0].text.endswith("/index/~~/resource-lists/list%5B%40name=%22friends%22%5D".replace("%40", "@")),
                  "ancestor %s" % found[0].text)
    await x.put(LISTS, "index", entry, 415, node=carol, type=TYPES[LISTS])
    await x.put(LISTS, "index", "x", 415, node=carol + "/@uri", type=ELEMENT)
    await x.put(LISTS, "index", "x", 405, node="resource-lists/namespace::*")
    await x.put(LISTS, "index", "sip:dora@example.com", 200, node=friends + "/entry[3]/@uri")
    await x.put(LISTS, "index", "1 &amp; 2", 201, node="resource-lists/list/@x")
    same((await x.get(LISTS, "index", "resource-lists/list/@x"))[2], "1 &amp; 2", "the new attribute")
    await x.delete(LISTS, "index", 200, node="resource-lists/list/@x")
    await x.delete(LISTS, "index", 404, node="resource-lists/list/@x")
    # out
    await x.delete(LISTS, "index", 404, node=carol)
    for node, error in ((friends + "/entry[1]", "cannot-delete"), ("resource-lists", "cannot-delete"),
                        (friends + "/entry[1]/@uri", "schema-validation-error")):
        got, _, body = await x.do("DELETE", LISTS, "index", node=node)
        same((got, error.encode() in body), (409, True), "DELETE %s: %r" % (node, body))
    await x.delete(LISTS, "index", 200, node=friends + "/entry[3]")
    same((await x.get(LISTS, "index"))[2], LIST, "the document as at first")
    await x.delete(LISTS, "index", 200)
    await x.delete(LISTS, "index", 404, node=carol)


@scenario(own=TRUSTED, once=True)
async def xcap_asserted_identity(world):
    """Whom a peer of http.trusted asserts, by either header, gets his own documents and no others."""
    alice, bob = "sip:alice@" + DOMAIN, "sip:bob@" + DOMAIN
    await Xcap(world, alice).put(LISTS, "index", LIST, 201)
    for name, value, status in (
            ("X-XCAP-Asserted-Identity", '"%s"' % alice, 200), ("X-XCAP-Asserted-Identity", alice, 200),
            ("X-3GPP-Asserted-Identity", '"%s", "%s"' % (bob, alice), 200), ("x-3gpp-asserted-identity", alice.upper()[:3] + alice[3:], 200),
            ("X-XCAP-Asserted-Identity", '"%s"' % bob, 403), ("X-XCAP-Asserted-Identity", "sip:alice@example.org", 403),
            ("X-XCAP-Asserted-Identity", "", 403), ("X-XCAP-Asserted-Identity", '"sip:%s"' % ("a" * 500), 403),
            ("P-Asserted-Identity", alice, 401)):
        got, fields, _ = await Xcap(world, alice, (name, value)).get(LISTS, "index")
        same(got, status, "%s: %s" % (name, value[:60]))
    mine = Xcap(world, bob, ("X-XCAP-Asserted-Identity", '"%s"' % bob))
    await mine.put(RULES, "index", ruleset(), 201)
    got, _, _ = await Xcap(world, alice, *mine.headers).do("PUT", LISTS, "index", LIST)
    same(got, 403, "PUT of another's")
    got, _, _ = await Xcap(world, alice, *mine.headers).do("DELETE", LISTS, "index")
    same(got, 403, "DELETE of another's")
    same((await Xcap(world, alice).get(LISTS, "index"))[0], 200, "after what was refused")
    REQ("IM-12.2-3", "IM-12.1.6-1")


@scenario(once=True)
async def xcap_strangers(world):
    """Who proves nothing gets 401, before anything is told; an asserted identity of a peer not trusted counts for
    nothing."""
    alice = "sip:alice@" + DOMAIN
    before = await world.server.metrics()
    for headers in ([("X-Nothing", "x")], [("X-XCAP-Asserted-Identity", alice)], [("Authorization", "Bearer x")],
                    [("Authorization", "Basic eDp5")]):
        for path in ("index", "nothing"):
            got, fields, body = await Xcap(world, alice, *headers).get(LISTS, path)
            same((got, "www-authenticate" in fields), (401, True), str(headers))
            check(b"http.token_file" in (body if isinstance(body, bytes) else body.encode()), "what is expected: %r" % body)
    got, _, _ = await Xcap(world, alice, ("X-Nothing", "x")).do("PUT", LISTS, "index", LIST)
    same(got, 401, "PUT")
    same((await Xcap(world, alice).get(LISTS, "index"))[0], 404, "after the PUT")
    after = await world.server.metrics()
    count = lambda m: sum(m.values.get('imserv_refused_total{reason="%s"}' % reason) or 0 for reason in ("xcap_identity", "credentials"))
    check(count(after) >= count(before) + 9, "refusals counted: %s, %s" % (count(before), count(after)))


@scenario(modes=("standalone",), own={"core.authenticate": "digest"}, once=True)
async def xcap_digest(world):
    """HTTP digest with the password of SIP: either algorithm; wrong, borrowed and repeated credentials."""
    for name in ("alice", "bob"):
        same((await world.server.api("PUT", "users/" + name, {"password": "secret"}))[0], 201, "PUT user")
    x = Xcap(world, "sip:alice@" + DOMAIN, ("X-Nothing", "x"))
    path = x.path(LISTS, "index")

    async def challenges():
        reader, writer = await asyncio.open_connection(*x.address)
        writer.write(("GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: close\r\n\r\n" % ((path,) + x.address)).encode())
        head = (await asyncio.wait_for(reader.read(), 10)).decode().split("\r\n")
        writer.close()
        return [Challenge(line.split(":", 1)[1].strip()) for line in head if line.lower().startswith("www-authenticate:")]

    async def ask(challenge, status, user="alice", password="secret", method="PUT", uri=None, target=None, **more):
        headers = [("Authorization", authorization(challenge, user, password, method, uri or path, **more)),
                   ("Content-Type", TYPES[LISTS])]
        got, fields, body = await http_get(x.address, target or path, method, headers=headers,
                                           body=LIST.encode() if method == "PUT" else b"")
        same(got, status, "%s %s: %r" % (user, more, body))
        return fields

    offered = await challenges()
    same([c.algorithm for c in offered], ["SHA-256", "MD5"], "algorithms")
    for challenge, nc in zip(offered, (11, 21)):                 # of one nonce
        await ask(challenge, 201, nc=nc)
        await ask(challenge, 401, nc=nc)                         # used before
        await ask(challenge, 200, method="DELETE", nc=nc + 1, user="alice@" + DOMAIN)
    challenge = offered[0]
    await ask(challenge, 401, nc=3, password="other")
    await ask(challenge, 401, nc=4, user="nobody")
    await ask(challenge, 403, nc=5, user="bob")
    await ask(challenge, 400, nc=6, uri="/xcap/elsewhere")       # made for something else
    await ask(challenge, 400, nc=7, edit={"response": None})
    await ask(challenge, 401, nc=8, method="GET", edit={"nonce": '"%s"' % ("0" * 48)})
    await ask(challenge, 404, nc=9, method="GET", uri="http://%s:%d%s" % (x.address + (path,)))
    await ask(challenge, 404, nc=10, method="GET", target=path.replace("index", "i%6Edex"))


@scenario()
async def rules_reject(world):
    """A ruleset takes effect with its answer: who is rejected gets 403, by MESSAGE and by INVITE each under its own
    action, whether the user is there or not; without the document he is let in again."""
    alice, bob = await world.pair()
    x = Xcap(world, bob.uri)

    async def message(status):
        sending = asyncio.ensure_future(alice.pager(bob, "hello"))
        if status == 200:
            (await bob.expect("MESSAGE")).respond(200)
        same((await sending).status, status, "MESSAGE")

    async def session(status):
        if status == 200:
            sa, sb = await world.session(alice, bob)
            await sa.hang_up()
            await sb.wait_bye()
            return
        same((await alice.invite(bob).transaction.final()).status, status, "INVITE")

    await message(200)
    await x.put(RULES, "index", ruleset((one(alice.uri), both("reject"))), 201)
    await message(403)
    await session(403)
    REQ("IM-6.2.6.1-2", "IM-6.2.6.1-3", "IM-6.2.6.1-4", "IM-12.2-1", "IM-G-2")
    await x.put(RULES, "index", ruleset((EVERYBODY, {"allow-session": "reject"})), 200)
    await message(200)
    await session(403)
    await x.put(RULES, "index", "<im:allow-session xmlns:im='urn:oma:xml:im'>pass</im:allow-session>", 200,
                node="ruleset/rule/actions/im:allow-session", query="xmlns(im=urn:oma:xml:im)")
    await session(200)
    await x.put(RULES, "more", ruleset((EVERYBODY, {"allow-pager-mode-message": "reject"})), 201)
    await message(403)
    await session(200)
    await x.delete(RULES, "index", 200)
    await message(403)
    await x.delete(RULES, "more", 200)
    await message(200)
    # rejected before it counts whether he is there
    await x.put(RULES, "index", ruleset((one(alice.uri), both("reject"))), 201)
    await bob.register(0)
    await message(403)
    await session(403)
    await x.delete(RULES, "index", 200)


@scenario(own={}, once=True)
async def rules_outlive_the_process(world):
    """After a restart the rules of each are there, before the first request."""
    alice, bob = await world.pair()
    x = Xcap(world, bob.uri)
    for i in range(3):
        await x.put(RULES, "r%d" % i, ruleset((one("sip:nobody%d@%s" % (i, DOMAIN)), both("accept"))), 201)
    await x.put(RULES, "r1", ruleset((one(alice.uri), both("reject"))), 200)
    same((await alice.pager(bob, "hello")).status, 403, "MESSAGE before")
    carol, dora = await world.client("carol"), await world.client("dora")
    await Xcap(world, carol.uri).put(RULES, "index", ruleset((EVERYBODY, both("reject"))), 201)
    await Xcap(world, dora.uri).put(RULES, "index", ruleset((one(bob.uri), both("reject"))), 201)
    await world.server.restart(True)
    for user in (alice, bob, carol, dora):
        await reconnect(user)
    x.address = world.server.ready.http
    same((await x.get(RULES, "r1"))[2], ruleset((one(alice.uri), both("reject"))), "the document afterwards")
    same((await alice.pager(bob, "hello")).status, 403, "MESSAGE afterwards")
    for sender, receiver in ((bob, carol), (bob, dora), (alice, carol)):
        same((await sender.pager(receiver, "hello")).status, 403, "%s to %s" % (sender.name, receiver.name))


@scenario(once=True)
async def documents_by_imservctl(world):
    """imservctl doc put, get, del; and the API behind it with its codes."""
    alice = await world.client("alice", register=False)
    server, user = world.server, "%s@%s" % (alice.name, DOMAIN)
    words = (RULES, "sip:" + user, "index")
    code, _, err = await server.ctl("doc", "get", *words)
    check(code == 1 and "404" in err, "get of nothing: %d %s" % (code, err))
    code, out, err = await server.ctl("doc", "put", *words, stdin=ruleset())
    same(code, 0, "doc put: " + err)
    code, out, err = await server.ctl("doc", "get", *words)
    same((code, out), (0, ruleset()), "doc get")
    same((await Xcap(world, user).get(RULES, "index"))[2], ruleset(), "the same by XCAP")
    code, out, err = await server.ctl("doc", "put", *words, stdin="<ruleset/>")
    check(code == 1 and "schema-validation-error" in err, "doc put of nonsense: %s" % err)
    same((await server.ctl("doc", "del", *words))[0], 0, "doc del")
    same((await server.ctl("doc", "del", *words))[0], 1, "doc del again")
    for method, path, status in (("GET", "docs/x/%s/index" % user, 404), ("GET", "docs/%s/index" % LISTS, 404),
                                 ("GET", "docs/%s/a@b.org/index" % LISTS, 400), ("POST", "docs/%s/%s/index" % (LISTS, user), 405),
                                 ("GET", "docs/%s/%s/" % (LISTS, user), 404), ("PUT", "docs/%s/%s/index" % (LISTS, user), 409)):
        got, answer = await server.api(method, path, {} if method == "PUT" else None)
        same((got, answer["error"]), (status, status), "%s %s" % (method, path))
    got, answer = await server.api("PUT", "docs/%s/%s/index" % (LISTS, user), {}, headers=[("Content-Type", "text/plain")])
    same(got, 415, "PUT of another type")
    token = Xcap(world, user).headers
    path = "/api/v1/docs/%s/%s/index" % (LISTS, user)
    got, fields, _ = await http_get(server.ready.http, path, "PUT", headers=token, body=LIST.encode())
    same((got, '"' in fields["etag"]), (201, True), "PUT without a type")
    got, _, _ = await http_get(server.ready.http, path, headers=token + [("If-None-Match", fields["etag"])])
    same(got, 304, "GET of what is known")
    got, _, _ = await http_get(server.ready.http, path, "PUT", headers=token + [("If-None-Match", "*")], body=LIST.encode())
    same(got, 412, "PUT of what is there")
    got, _, _ = await http_get(server.ready.http, path, "PUT", headers=token, body=b" " * 300000)
    same(got, 413, "PUT of 300 000 octets")
    same((await server.api("DELETE", "docs/%s/%s/index" % (LISTS, user)))[0], 200, "DELETE")


@scenario(once=True, seconds=40)
async def xcap_at_the_same_time(world):
    """Of several who write under one condition one succeeds; the rules that count are those of the document that
    is there at last."""
    alice, bob = await world.pair()
    x = Xcap(world, bob.uri)
    for round in range(4):
        answers = await asyncio.gather(*(x.do("PUT", LISTS, "index", LIST.replace("eve", "e%d" % i),
                                              headers=[("If-None-Match", "*")]) for i in range(6)))
        same(sorted(got for got, _, _ in answers), [201] + 5 * [412], "PUTs of what is not there")
        etag = next(fields["etag"] for got, fields, _ in answers if got == 201)
        answers = await asyncio.gather(*(x.do("PUT" if i else "DELETE", LISTS, "index", LIST if i else None,
                                              headers=[("If-Match", etag)]) for i in range(6)))
        same(sorted(got for got, _, _ in answers), [200] + 5 * [412], "changes of one version")
        await x.do("DELETE", LISTS, "index")
        answers = await asyncio.gather(*(x.do("PUT", RULES, "index", ruleset((one(alice.uri), both(value))))
                                         for value in ("accept", "reject", "pass", "reject", "accept", "reject")))
        check(all(got in (200, 201) for got, _, _ in answers), "PUTs of rules: %s" % [a[0] for a in answers])
        rejects = "reject" in (await x.get(RULES, "index"))[2]
        sending = asyncio.ensure_future(alice.pager(bob, "hello"))
        if not rejects:
            (await bob.expect("MESSAGE")).respond(200)
        same((await sending).status, 403 if rejects else 200, "MESSAGE in round %d" % round)
        await x.delete(RULES, "index", 200)


@scenario(own={}, settle=False, once=True, seconds=40)
async def xcap_on_a_full_disk(world):
    """What cannot be written is 503 and changes nothing, neither the document nor whom it lets in; later it works."""
    alice, bob = await world.pair()
    x = Xcap(world, bob.uri)
    rules = ruleset((one(alice.uri), both("reject")))
    await x.put(RULES, "index", rules, 201)
    soft, hard = resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (4096, hard))
    await x.put(RULES, "index", ruleset(), 503)
    await x.delete(RULES, "index", 503)
    resource.prlimit(world.server.pid, resource.RLIMIT_FSIZE, (soft, hard))
    end = asyncio.get_running_loop().time() + 20
    while (await x.get(RULES, "index"))[0] == 503:
        check(asyncio.get_running_loop().time() < end, "the store does not come back")
        await asyncio.sleep(0.1)
    same((await x.get(RULES, "index"))[2], rules, "the document")
    same((await alice.pager(bob, "hello")).status, 403, "MESSAGE")
    await x.delete(RULES, "index", 200)
    sending = asyncio.ensure_future(alice.pager(bob, "hello"))
    (await bob.expect("MESSAGE")).respond(200)
    same((await sending).status, 200, "MESSAGE without rules")


def without(what):
    """Settings of a server whose HTTP listener does all but that."""
    serve = [s for s in ("metrics", "admin", "xcap") if s != what]
    return dict(TRUSTED, listen=LISTEN.replace("proto: http,", "proto: http, serve: [%s]," % ", ".join(serve)))


@scenario(modes=("standalone",), own=without("xcap"), once=True)
async def xcap_is_not_served(world):
    """A listener whose `serve` has no xcap knows no such path; the API works there."""
    x = Xcap(world, "sip:alice@" + DOMAIN)
    for path in (x.path(LISTS, "index"), "/xcap/xcap-caps/global/index"):
        same((await http_get(x.address, path, headers=x.headers))[0], 404, path)
    got, _, _ = await x.do("PUT", LISTS, "index", LIST)
    check(got in (404, 405), "PUT got %d" % got)
    same((await world.server.api("GET", "docs/%s/alice/index" % LISTS))[0], 404, "nothing was written")
    same((await world.server.api("GET", "status"))[0], 200, "the API")


@scenario(modes=("standalone",), own=without("admin"), once=True)
async def xcap_without_the_api(world):
    """Where no listener serves the API there is no token, and XCAP works for those who are asserted."""
    alice = "sip:alice@" + DOMAIN
    x = Xcap(world, alice, ("X-XCAP-Asserted-Identity", '"%s"' % alice))
    await x.put(LISTS, "index", LIST, 201)
    same((await x.get(LISTS, "index"))[0], 200, "GET")
    same((await Xcap(world, alice, ("Authorization", "Bearer ")).get(LISTS, "index"))[0], 401, "an empty token")
    same((await http_get(x.address, "/api/v1/status"))[0], 404, "the API")


@scenario(once=True)
async def rules_have_an_end(world):
    """All documents of a user together: each message to him may be held against each name in them."""
    bob = Xcap(world, "rules-bob")
    many = ruleset(("<identity>%s</identity>" % ("<many/>" * 33000), both("accept")))
    await bob.put(RULES, "index", many, 201)
    await bob.put(RULES, "more", many, 507)
    await bob.delete(RULES, "index", 200)
    await bob.put(RULES, "more", many, 201)
    await bob.delete(RULES, "more", 200)
