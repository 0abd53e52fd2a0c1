"""What test_imflood.py lets imflood load: registrar, conference factory and MSRP switch in one, which calls whom the
list names, sends what one member sends to all others, and plants one fault in the copies for the first who joined."""
import asyncio
import re

END = re.compile(rb"-------([a-z0-9]+)[$+#]\r\n")
FAULT_AT = 20  # which copy is touched
COPIED = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")


def value_of(name, text):
    found = re.search(r"^%s:? ?(.*?)\r?$" % name, text, re.M)
    return found and found.group(1)


class Member:
    def __init__(self, room, number, theirs):
        self.room, self.number, self.theirs, self.writer = room, number, theirs, None


class Focus(asyncio.DatagramProtocol):
    def __init__(self, fault):
        self.fault, self.contacts, self.members, self.originators = fault, {}, [], {}
        self.copies, self.held, self.rooms = 0, None, 0

    async def open(self):
        self.server = await asyncio.start_server(self.on_connection, "127.0.0.1", 0)
        self.msrp = self.server.sockets[0].getsockname()[1]
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = self.transport.get_extra_info("sockname")[1]

    def close(self):
        self.server.close()
        self.transport.close()

    # SIP

    def sdp(self, member, setup):
        return ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=message %d TCP/MSRP *\r\n"
                "a=accept-types:*\r\na=path:msrp://127.0.0.1:%d/s%d;tcp\r\na=setup:%s\r\n"
                % (self.msrp, self.msrp, member.number, setup))

    def join(self, room, theirs):
        self.members.append(Member(room, len(self.members), theirs))
        return self.members[-1]

    def send(self, lines, to, body=""):
        text = "\r\n".join(lines + ["Contact: <sip:focus@127.0.0.1:%d>;isfocus" % self.port] +
                           (["Content-Type: application/sdp"] if body else []) + ["Content-Length: %d" % len(body), "", body])
        self.transport.sendto(text.encode(), to)

    def answer(self, lines, to, status, body=""):
        kept = [line + (";tag=f" if line.startswith("To:") and ";tag=" not in line else "") for line in lines
                if line.startswith(COPIED)]
        self.send(["SIP/2.0 " + status] + kept, to, body)

    def request(self, method, user, dialog, cseq, body=""):
        host, port = self.contacts[user]
        self.send(["%s sip:%s@%s:%s SIP/2.0" % (method, user, host, port),
                   "Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKf%s%s%d" % (self.port, method, dialog, cseq), "Max-Forwards: 70",
                   "From: <sip:focus@x>;tag=f", "To: <sip:%s@x>" % user, "Call-ID: %s" % dialog,
                   "CSeq: %d %s" % (cseq, method)], (host, int(port)), body)

    def datagram_received(self, octets, source):
        text = octets.decode()
        lines = text.split("\r\n")
        if lines[0].startswith("REGISTER"):
            user = re.search(r"^To: <sip:(\w+)@", text, re.M).group(1)
            self.contacts[user] = re.search(r"^Contact: <sip:\w+@([\d.]+):(\d+)", text, re.M).groups()
            self.answer(lines, source, "200 OK")
        elif lines[0].startswith("INVITE"):
            self.on_invite(text, lines, source)
        elif lines[0].startswith("BYE"):
            self.answer(lines, source, "200 OK")
            for user, dialog in self.originators.get(value_of("Call-ID", text), (0, 0, ()))[2]:
                self.request("BYE", user, dialog, 2)
        elif lines[0].startswith("SIP/2.0 200") and "INVITE" in value_of("CSeq", text):
            self.on_answer(text)

    def on_invite(self, text, lines, source):
        dialog = value_of("Call-ID", text)
        if dialog in self.originators:
            return
        if self.fault == "refuse":
            self.originators[dialog] = 0, 0, ()
            return self.answer(lines, source, "486 Busy Here")
        self.rooms += 1
        users = re.findall(r'<entry uri="sip:(\w+)@', text)
        own = self.join(self.rooms, value_of("a=path", text))
        calls = tuple((user, "c%d-%s" % (self.rooms, user)) for user in users)
        self.originators[dialog] = lines, (source, own), calls
        for user, call in calls:
            self.request("INVITE", user, call, 1, self.sdp(self.join(self.rooms, None), "actpass"))

    def on_answer(self, text):
        dialog, user = value_of("Call-ID", text), re.search(r"^To: <sip:(\w+)@", text, re.M).group(1)
        self.request("ACK", user, dialog, 1)
        for lines, where, calls in self.originators.values():
            if calls and calls[0][1] == dialog:  # the first who joins
                source, own = where
                self.answer(lines, source, "200 OK", self.sdp(own, "passive"))

    # MSRP

    def damage(self, copy):
        """What goes out for one copy."""
        content = copy.find(b"\r\n\r\n") + 50
        return {
            "drop": b"",
            "twice": copy + copy,
            "corrupt": copy[:content] + bytes([copy[content] ^ 1]) + copy[content + 1:],
            None: copy,
        }[self.fault]

    def copy(self, message, sender, member):
        path = re.search(rb"To-Path: .*\r\nFrom-Path: .*\r\n", message).group(0)
        own = b"To-Path: %s\r\nFrom-Path: msrp://127.0.0.1:%d/s%d;tcp\r\n" % (
            member.theirs.encode(), self.msrp, member.number)
        copy = message.replace(path, own)
        first = next(m for m in self.members if m.writer and m.room == 1 and m.theirs != self.members[0].theirs)
        if member is not first:
            return copy
        self.copies += 1
        if self.fault == "swap" and self.copies == FAULT_AT:
            self.held = sender, copy
            return b""
        if self.fault == "swap" and self.held and self.held[0] is sender:
            copy, self.held = copy + self.held[1], None
            return copy
        return self.damage(copy) if self.copies == FAULT_AT else copy

    async def on_connection(self, reader, writer):
        held = b""
        try:
            while octets := await reader.read(65536):
                held += octets
                while end := END.search(held):
                    self.on_message(held[:end.end()], end.group(1), writer)
                    held = held[end.end():]
        except ConnectionError:
            pass
        writer.close()

    def on_message(self, message, identifier, writer):
        if b" SEND\r\n" not in message[:60]:
            return
        number = int(re.search(rb"To-Path: msrp://[\d.:]+/s(\d+);", message).group(1))
        sender, path = self.members[number], re.search(rb"From-Path: (.*)\r\n", message).group(1)
        sender.writer, sender.theirs = writer, path.decode()
        if b"\r\nFailure-Report: no\r\n" not in message:
            writer.write(b"MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: msrp://127.0.0.1:%d/s%d;tcp\r\n-------%s$\r\n"
                         % (identifier, path, self.msrp, number, identifier))
        for member in self.members if b"Content-Type:" in message else ():
            if member is not sender and member.room == sender.room and member.writer:
                member.writer.write(self.copy(message, sender, member))
