"""What test_imflood.py lets imflood load: a registrar that keeps MESSAGEs for who is away, calls him when he comes
back as a client of OMA IM, sends what it has kept over MSRP in chunks of any size, hangs up, and plants one fault in
the second message of whom it calls first."""
import asyncio
import re

from imflood_focus import Focus, value_of
from imflood_peers import Stream

TYPES = "multipart/mixed message/sip message/sipfrag message/msrpfrag"


class Call:
    """To one user, with what he gets; `waiting`: SENDs of the message that is out, not answered yet."""

    def __init__(self, number, user, messages, faulty):
        self.number, self.user, self.messages, self.faulty = number, user, messages, faulty
        self.writer, self.theirs, self.at, self.waiting, self.is_over, self.dialling = None, None, 0, 0, False, None

    @property
    def dialog(self):
        return "p%d" % self.number


class Store(Focus):
    def __init__(self, fault):
        super().__init__(fault)
        self.kept, self.calls, self.byes, self.wrong, self.server_tcp, self.seen = {}, [], 0, [], None, set()

    def connection_made(self, transport):
        self.transport = transport

    async def open_tcp(self):
        """SIP over one connection of theirs."""
        await self.open()
        self.transport.close()
        self.server_tcp = await asyncio.start_server(
            lambda reader, writer: Stream(writer).read(reader, self), "127.0.0.1", 0)
        self.port = self.server_tcp.sockets[0].getsockname()[1]

    def close(self):
        super().close()
        if self.server_tcp:
            self.server_tcp.close()

    # SIP

    def datagram_received(self, octets, source):
        text = octets.decode()
        lines = text.split("\r\n")
        if lines[0].startswith("REGISTER"):
            self.on_register(text, lines, source)
        elif lines[0].startswith("MESSAGE"):
            user = re.search(r"sip:(\w+)@", lines[0]).group(1)
            if self.is_new(text):
                self.kept.setdefault(user, []).append(octets)
            self.answer(lines, source, "202 Accepted")
        elif lines[0].startswith("SIP/2.0 200") and "INVITE" in value_of("CSeq", text):
            self.on_answered(text)
        elif lines[0].startswith("SIP/2.0 200") and "BYE" in value_of("CSeq", text):
            self.on_ended(text)

    def is_new(self, text):
        """Whom the machine has no time for repeats his request."""
        key = value_of("Call-ID", text), value_of("CSeq", text)
        is_new = key not in self.seen
        self.seen.add(key)
        return is_new

    def on_register(self, text, lines, source):
        user = re.search(r"^To: <sip:(\w+)@", text, re.M).group(1)
        self.contacts[user] = re.search(r"^Contact: <sip:\w+@([\d.]+):(\d+)", text, re.M).groups()
        self.answer(lines, source, "200 OK")
        if self.is_new(text) and user.startswith("b") and "\nExpires: 0\r" not in text and self.kept.get(user):
            if "+g.oma.sip-im" not in value_of("Contact", text):
                self.wrong.append("a Contact without feature tag")
            self.call(user)

    def call(self, user):
        kept, is_first = self.kept[user], not self.calls
        # the first one is called twice
        messages, self.kept[user] = (kept[:3], kept[3:]) if is_first else (kept, [])
        if is_first:
            self.disarrange(user, messages)
        call = Call(len(self.calls), user, messages, is_first)
        self.calls.append(call)
        if is_first and self.fault == "message":
            return self.transport.sendto(kept[1], (self.contacts[user][0], int(self.contacts[user][1])))
        body = self.sdp(call, "actpass") + "a=sendonly\r\n"
        self.request("INVITE", user, call.dialog, 1, body.replace("accept-types:*", "accept-types:" + TYPES))

    def disarrange(self, user, messages):
        """Faults of a mailbox."""
        if self.fault == "drop":
            del messages[1]
        elif self.fault == "twice":
            messages.insert(1, messages[1])
        elif self.fault == "swap":
            messages[:2] = messages[1::-1]
        elif self.fault == "other user":
            other = next(name for name, kept in self.kept.items() if name != user and kept)
            messages.append(self.kept[other].pop())

    def on_answered(self, text):
        call = next(call for call in self.calls if call.dialog == value_of("Call-ID", text))
        self.request("ACK", call.user, call.dialog, 1)
        call.theirs = value_of("a=path", text)
        if "\r\na=recvonly\r\n" not in text or value_of("a=accept-types", text) != TYPES:
            self.wrong.append("an answer that is not that of a receiver")
        if value_of("a=setup", text) == "passive" and not call.dialling:
            call.dialling = asyncio.ensure_future(self.dial(call))

    async def dial(self, call):
        host, port = re.match(r"msrp://([\d.]+):(\d+)/", call.theirs).groups()
        reader, call.writer = await asyncio.open_connection(host, int(port))
        self.deliver(call)
        await self.on_connection(reader, call.writer)

    def on_ended(self, text):
        self.byes += 1
        call = next(call for call in self.calls if call.dialog == value_of("Call-ID", text))
        call.writer.close()
        if self.kept[call.user]:
            self.call(call.user)

    # MSRP

    def wrapped(self, call, number, message):
        """Content-Type and content of what is sent for a MESSAGE: some have lost what says who sent it."""
        if call.faulty and number == 1 and self.fault == "corrupt":
            message = message[:-1] + bytes([message[-1] ^ 1])
        kind = b"message/sip"
        if number % 2:
            kind, message = b"message/sipfrag;version=2.0", re.sub(rb"Via: .*\r\n", b"", message)
        part = b"\r\n--b'=ound\r\nContent-Type: %s\r\nContent-Transfer-Encoding: binary\r\n\r\n%s" % (kind, message)
        if call.faulty and number == 1 and self.fault == "two parts":
            part += part
        before = b"a preamble" if number % 3 else b""
        content = before + part + b"\r\n--b'=ound--\r\n"
        return b"multipart/mixed; boundary=\"b'=ound\"", content[0 if before else 2:]

    def chunks(self, call, number, kind, content):
        """One to five chunks, the last of them whole or a single octet."""
        n, fault = number % 5 + 1, self.fault if call.faulty and number == 1 else None
        cuts = [0] + [len(content) * i // n for i in range(1, n)] + [len(content)]
        if n == 5:
            cuts[-2] = cuts[-1] - 1
        for i, (start, end) in enumerate(zip(cuts, cuts[1:])):
            flag = b"$" if i == n - 1 else b"#" if fault == "abort" else b"+"
            at = start + 2 if fault == "gap" and i else start + 1
            identifier = b"s%dm%dc%d" % (call.number, number, i)
            yield b"MSRP %s SEND\r\nTo-Path: %s\r\nFrom-Path: msrp://127.0.0.1:%d/s%d;tcp\r\n" % (
                identifier, call.theirs.encode(), self.msrp, call.number) + (
                b"Message-ID: %d.%d\r\n" % (call.number, number)) + (
                b"Byte-Range: %d-%s/%d\r\nContent-Type: %s\r\n\r\n%s\r\n-------%s%s\r\n" % (
                    at, b"*" if i % 2 else b"%d" % (end + at - start - 1), len(content), kind, content[start:end],
                    identifier, flag))
            if flag == b"#":
                return

    def deliver(self, call):
        """The next message, or the end."""
        if call.at == len(call.messages):
            call.is_over = True
            if not (call.faulty and self.fault == "no bye"):
                self.request("BYE", call.user, call.dialog, 2)
            return
        chunks = list(self.chunks(call, call.at, *self.wrapped(call, call.at, call.messages[call.at])))
        if self.fault == "close" and call.faulty and call.at == 1:
            call.writer.write(chunks[0][:-60])
            call.writer.close()
            return
        call.waiting, call.at = len(chunks), call.at + 1
        for chunk in chunks:
            call.writer.write(chunk)

    def on_message(self, message, identifier, writer):
        found = re.match(rb"MSRP s(\d+)m\d+c\d+ 200 ", message)
        if found:
            call = self.calls[int(found.group(1))]
            call.waiting -= 1
        elif b" SEND\r\n" in message[:60]:
            call = self.calls[int(re.search(rb"To-Path: msrp://[\d.:]+/s(\d+);", message).group(1))]
            call.writer = writer
            call.theirs = re.search(rb"From-Path: (.*)\r\n", message).group(1).decode()
            writer.write(b"MSRP %s 200 OK\r\nTo-Path: %s\r\nFrom-Path: msrp://127.0.0.1:%d/s%d;tcp\r\n-------%s$\r\n"
                         % (identifier, call.theirs.encode(), self.msrp, call.number, identifier))
        else:
            return
        if call.waiting == 0 and not call.is_over:
            self.deliver(call)
