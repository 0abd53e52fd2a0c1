#!/usr/bin/env python3
"""Debian's baresip as a client in standalone mode: it registers, and MESSAGEs go both ways, between two baresips and
between a baresip and the test user agent.

usage: baresip.py --server PATH [--workers N] [--transport udp|tcp] [--verbose]

Last line `N passed, N failed, N skipped`; exit code 1 when one failed. Without baresip everything is skipped."""
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

from peer import describe, run_peer, run_with_server  # noqa: E402
from run import end_process, free_port  # noqa: E402
from ua import agent, check, same  # noqa: E402

MODULES = "/usr/lib/baresip/modules"
CONFIG = """module_path %s
sip_listen 127.0.0.1:0
module_tmp account.so
module ctrl_tcp.so
module_app contact.so
module_app menu.so
ctrl_tcp_listen 127.0.0.1:%d
"""


class Baresip:
    """One baresip, told what to do over its control connection."""

    def __init__(self, name, server, transport, contact):
        self.name, self.port = name, free_port()
        self.directory = tempfile.mkdtemp(prefix="imserv-baresip-")
        self._write("config", CONFIG % (MODULES, self.port))
        self._write("accounts", '<sip:%s@example.com>;outbound="sip:%s:%d;transport=%s";regint=60;auth_pass=none\n' % (
            (name,) + server + (transport,)))
        self._write("contacts", '"peer" <%s>\n' % contact)
        self.log = os.path.join(self.directory, "log")
        self.process = self.reader = self.writer = None

    def _write(self, name, text):
        with open(os.path.join(self.directory, name), "w", encoding="utf-8") as file:
            file.write(text)

    def printed(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    async def start(self):
        with open(self.log, "wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                "baresip", "-4", "-s", "-f", self.directory, "-t", "60", stdin=asyncio.subprocess.DEVNULL, stdout=log,
                stderr=log)
        end = time.monotonic() + 10
        while not self.writer:
            try:
                self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                check(time.monotonic() < end and self.process.returncode is None,
                      "baresip does not start: %s" % self.printed()[-400:])
                await asyncio.sleep(0.05)
        await self.comes("200 OK")
        return self

    async def comes(self, text, seconds=6):
        """It says so: the trace has every message that it got."""
        end = time.monotonic() + seconds
        while text not in self.printed():
            check(time.monotonic() < end, "%s did not say %r: %s" % (self.name, text, self.printed()[-400:]))
            await asyncio.sleep(0.02)

    def message(self, text):
        """To the one contact that it has."""
        command = json.dumps({"command": "message", "params": text}).encode()
        self.writer.write(b"%d:%s," % (len(command), command))

    async def end(self):
        if self.writer:
            self.writer.close()
        if self.process:
            await end_process(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)


class Place:
    def __init__(self, server, transport, witness):
        self.server, self.transport, self.witness = server, transport, witness
        self.ended = []

    @property
    def address(self):
        return self.server.ready.sip[self.transport]

    async def baresip(self, name, contact):
        one = Baresip(name, self.address, self.transport, contact)
        self.ended.append(one)
        return await one.start()

    async def client(self, name):
        user = agent.Agent(self.witness, name, self.address, self.transport, feature_tag=False)
        self.ended.append(user)
        await user.open()
        same((await user.register()).status, 200, "REGISTER")
        return user

    async def end(self):
        for one in self.ended:
            if isinstance(one, Baresip):
                await one.end()
            else:
                one.close()
        self.ended = []


async def with_test_agent(place):
    bob = await place.client("bob")
    carol = await place.baresip("carol", bob.uri)
    carol.message("hello bob")
    got = await bob.expect("MESSAGE")
    same(got.request.body, b"hello bob", "body")
    check("sip:carol@example.com" in got.request.get("From"), "From %s" % got.request.get("From"))
    got.respond(200, "OK")
    answer = await bob.pager("sip:carol@example.com", "hello carol")
    same(answer.status, 200, "MESSAGE to baresip")
    await carol.comes("hello carol")


async def two_of_them(place):
    dave = await place.baresip("dave", "sip:erin@example.com")
    erin = await place.baresip("erin", "sip:dave@example.com")
    dave.message("one two three")
    await erin.comes("one two three")
    erin.message("four five six")
    await dave.comes("four five six")


CASES = (with_test_agent, two_of_them)
MATRIX = ((1, "udp"), (4, "tcp"))


async def run_server(options, report, workers, transport):
    await run_with_server(CASES, describe("baresip", workers, transport), options, report, workers,
                          lambda server, witness: Place(server, transport, witness))


if __name__ == "__main__":
    run_peer(__doc__, "baresip", MATRIX, run_server)
