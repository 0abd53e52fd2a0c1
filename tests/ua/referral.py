"""REFER and the subscription that it implies (RFC 3515, RFC 4488, RFC 5368), as one sees them who sends it."""
import asyncio
from xml.sax.saxutils import quoteattr

from . import Failure, check, same, sip

TAG = ("Accept-Contact", "*;%s;require;explicit" % sip.FEATURE_TAG)
LIST_TYPE = "application/resource-lists+xml"


def resource_list(uris, extra=""):
    """RFC 4826; `extra`: elements besides, as they are."""
    entries = "".join("<entry uri=%s/>" % quoteattr(uri) for uri in uris)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">'
            "<list>%s%s</list></resource-lists>\n" % (entries, extra)).encode()


class Progress:
    """One NOTIFY of Event: refer, and what its sipfrag says; answered 200 when it is read by `Referral.progress()`."""

    def __init__(self, server):
        self.server, self.request = server, server.request
        state = self.request.get("Subscription-State", "")
        self.state, _, params = state.partition(";")
        self.params = dict(p.strip().partition("=")[::2] for p in params.split(";") if p)
        same(self.request.get("Content-Type", "").partition(";")[0], "message/sipfrag", "Content-Type of a NOTIFY")
        lines = self.request.body.decode().split("\r\n")
        check(lines[0].startswith("SIP/2.0 ") and lines[0][8:11].isdigit() and lines[0][11:12] == " ",
              "no status line in %r" % self.request.body)
        self.status = int(lines[0][8:11])
        self.headers = {name.strip(): value.strip() for name, _, value in (
            line.partition(":") for line in lines[1:] if line)}

    @property
    def is_last(self):
        return self.state == "terminated"


class Referral:
    """A REFER under way; its NOTIFYs, in the dialog that it makes or in which it was sent. A NOTIFY may come before
    the 202 (RFC 6665 4.1.2.4), and then it is what makes the dialog."""

    def __init__(self, agent, request, flow, dialog, make_dialog):
        self.agent, self.request, self.flow, self.dialog, self.make_dialog = agent, request, flow, dialog, make_dialog
        self.notifies = asyncio.Queue()
        self.is_own_dialog = dialog is None
        if self.is_own_dialog:
            agent.dialogs[(request.call_id, request.from_tag)] = self
        else:
            dialog.referrals.append(self)
        self.transaction = None
        self.is_over = False          # the last NOTIFY came

    def start(self):
        self.transaction = self.agent.layer.start(self.request, self.flow)
        return self

    def received(self, server):
        """The first request in the dialog that the REFER makes."""
        if server.request.method != "NOTIFY":
            server.respond(481, "Call/Transaction Does Not Exist")
            return
        if self.dialog is None:
            response = sip.Message(status=202, reason="By NOTIFY")
            response.add("To", server.request.get("From"))
            for value in server.request.list("Record-Route"):
                response.add("Record-Route", value)
            for value in server.request.list("Contact"):
                response.add("Contact", value)
            self.open(response)
        self.dialog.received(server)

    def open(self, response):
        if self.dialog is None:
            self.dialog = self.make_dialog(self.agent, self.flow, self.request, response, True)
            self.dialog.referrals.append(self)

    def takes(self, server):
        """Is that NOTIFY about this REFER? The CSeq of the REFER is its id (RFC 3515 2.4.6)."""
        event, _, params = server.request.get("Event", "").partition(";")
        if server.request.method != "NOTIFY" or event.strip() != "refer":
            return False
        number = dict(p.strip().partition("=")[::2] for p in params.split(";") if p).get("id")
        if self.is_over or (number is not None and int(number) != self.request.cseq[0]):
            return False
        self.is_over = server.request.get("Subscription-State", "").startswith("terminated")
        self.notifies.put_nowait(server)
        return True

    async def final(self, seconds=None):
        response = await self.transaction.final(seconds)
        if response.status < 300 and response.get("Refer-Sub", "").lower() != "false":
            self.open(response)
        elif self.is_own_dialog and self.dialog is None:
            self.agent.dialogs.pop((self.request.call_id, self.request.from_tag), None)
        return response

    async def accepted(self, seconds=None):
        response = await self.final(seconds)
        same(response.status, 202, "answer to REFER")
        return response

    async def refused(self, status, warning=None, seconds=None):
        response = await self.final(seconds)
        same(response.status, status, "answer to REFER")
        if warning:
            check(response.get("Warning", "").endswith('"%s"' % warning), "Warning %r" % response.get("Warning"))
        return response

    async def progress(self, answer=200, seconds=None):
        try:
            server = await asyncio.wait_for(self.notifies.get(), seconds or self.agent.patience)
        except asyncio.TimeoutError:
            raise Failure("%s got no NOTIFY of its REFER" % self.agent.name) from None
        progress = Progress(server)
        server.respond(answer, None, [("Contact", self.agent.contact)])
        return progress

    async def finished(self, seconds=None):
        """All that is told until the end: [Progress], the first of which says 100."""
        told = [await self.progress(seconds=seconds)]
        same((told[0].status, told[0].state), (100, "active"), "first NOTIFY of a REFER")
        while not told[-1].is_last:
            told.append(await self.progress(seconds=seconds))
        same(told[-1].params.get("reason"), "noresource", "reason of the last NOTIFY")
        check(all(p.status >= 200 for p in told[1:]), "statuses %s" % [p.status for p in told])
        return told


def build(agent, uri, to, dialog=None, silent=None, targets=None, headers=(), without=(), extra="", cid=None):
    """A REFER to `uri`, or in `dialog`. `targets`: a list of them in the body (RFC 5368), named by `to` or a cid: of its
    own; `silent`: Refer-Sub false (True), true (False) or none (None)."""
    more = [("Contact", agent.contact)]
    body = b""
    if targets is not None:
        cid = cid or sip.token(8) + "@" + agent.domain
        to = to or "<cid:%s>" % cid
        body = resource_list(targets, extra)
        silent = silent is not False
        more += [("Require", "multiple-refer" + (", norefersub" if silent else "")), ("Content-ID", "<%s>" % cid),
                 ("Content-Disposition", "recipient-list")]
    if silent is not None:
        more += [("Refer-Sub", "false" if silent else "true"), ("Supported", "norefersub")]
    more += [("Refer-To", to), *headers]
    if dialog:
        request = dialog.build("REFER", headers=more, body=body, content_type=LIST_TYPE)
        for name in without:
            request.remove(name)
        return request
    tag = [TAG] if agent.feature_tag else []
    return agent.build("REFER", uri, headers=tag + more, body=body, content_type=LIST_TYPE, without=without)
