"""A subscriber (RFC 6665): SUBSCRIBE in a dialog of its own or in that of an INVITE, and the NOTIFYs that come of it.
They may come before the 200 to SUBSCRIBE is seen, so they are awaited from the beginning."""
import asyncio

from . import Failure, check, same, sip

STATES = ("active", "pending", "terminated")
REASONS = ("deactivated", "probation", "rejected", "timeout", "giveup", "noresource", "invariant")   # RFC 6665 4.1.3


class Notification:
    """A NOTIFY that was answered."""

    def __init__(self, request):
        self.request, self.body = request, request.body
        state, *parameters = [p.strip() for p in (request.get("Subscription-State") or "").split(";")]
        self.state, self.parameters = state, dict(p.partition("=")[::2] for p in parameters)
        self.reason = self.parameters.get("reason")
        self.expires = int(self.parameters["expires"]) if "expires" in self.parameters else None
        check(state in STATES, "Subscription-State %r" % request.get("Subscription-State"))
        if state == "terminated":
            check(self.reason in REASONS, "reason %r" % self.reason)
        else:
            check(self.expires is not None and self.reason is None, "parameters %r" % self.parameters)


class Subscription:
    """`dialog`: one that is there already, in which the SUBSCRIBE goes; `event`: with its id, if it has one. For REFER
    give the dialog that it made, or was sent in, and call no subscribe()."""

    def __init__(self, user, uri, event, accept=None, headers=(), dialog=None):
        self.user, self.uri, self.event, self.accept = user, getattr(uri, "uri", uri), event, accept
        self.headers, self.dialog = list(headers), dialog
        self.queue = dialog.incoming if dialog else asyncio.Queue()
        self.response = None
        self.is_over = False

    def _lines(self, expires):
        lines = [("Accept-Contact", "*;" + sip.FEATURE_TAG), ("Event", self.event)]
        lines += [("Accept", self.accept)] if self.accept else []
        return lines + ([("Expires", str(expires))] if expires is not None else [])

    async def subscribe(self, expires=3600, headers=(), without=(), **more):
        """The final response; a 2xx makes the dialog."""
        from .agent import Dialog
        if self.dialog:
            self.response = await self.again(expires, headers)
            return self.response
        request = self.user.build("SUBSCRIBE", self.uri, headers=self._lines(expires) + self.headers + list(headers),
                                  without=without, **more)
        key = (request.call_id, request.from_tag)
        self.user.dialogs[key] = self
        transaction = self.user.start(request)
        self.response = response = await transaction.final()
        if 200 <= response.status < 300:
            self.dialog = Dialog(self.user, transaction.flow, request, response, True)
            self.dialog.incoming = self.queue
            if expires is not None:
                check(int(response.get("Expires")) <= expires, "Expires %r" % response.get("Expires"))
        else:
            del self.user.dialogs[key]
        return response

    def received(self, server):   # until there is a dialog
        self.queue.put_nowait(server)

    async def again(self, expires=3600, headers=()):
        """A SUBSCRIBE in the dialog; the response."""
        more = [("Contact", self.user.contact), *self._lines(expires), *self.headers]
        names = [name for name, _ in headers]
        return await self.dialog.request(
            "SUBSCRIBE", headers=[m for m in more if m[0] not in names] + list(headers)).final()

    async def request(self, seconds=None):
        """The next NOTIFY, not yet answered."""
        try:
            server = await asyncio.wait_for(self.queue.get(), seconds or self.user.patience)
        except asyncio.TimeoutError:
            raise Failure("%s got no NOTIFY" % self.user.name) from None
        same(server.request.method, "NOTIFY", "request in the dialog")
        return server

    async def notify(self, status=200, seconds=None):
        """The next NOTIFY, answered: after a terminated one none may come."""
        server = await self.request(seconds)
        check(not self.is_over, "a NOTIFY after the last")
        request = server.request
        same(request.get("Event"), self.event, "Event")
        check(request.list("Contact"), "NOTIFY without Contact")
        if request.body:
            check(request.get("Content-Type"), "body without Content-Type")
        notification = Notification(request)
        self.is_over = notification.state == "terminated"
        server.respond(status)
        return notification

    async def quiet(self, seconds):
        """No NOTIFY for so long."""
        try:
            server = await asyncio.wait_for(self.queue.get(), seconds)
        except asyncio.TimeoutError:
            return
        raise Failure("a NOTIFY too many: %s" % server.request)
