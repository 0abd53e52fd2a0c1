"""Debian's Chromium without a screen, told what to do by the DevTools protocol over a pipe."""
import asyncio
import base64
import fcntl
import json
import os
import shutil
import tempfile

from run import end_process
from ua import Failure, check

PROGRAM = "chromium"
START_SECONDS = 40
ANSWER_SECONDS = 30
MESSAGE_MAX = 64 << 20
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
           "--no-proxy-server", "--hide-scrollbars",
           # nothing but the server under test is ever asked
           "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--remote-debugging-pipe")


class CannotStart(Exception):
    """The browser does not run on this machine."""


def high_pipe():
    """A pipe whose ends are neither 3 nor 4, which it is to become. (Only bash knows descriptors of two digits.)"""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high


class Browser:
    """One browser; its pages by page()."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="imserv-chromium-")
        self.process = self.writer = self.reading = None
        self.number, self.answers, self.pages = 0, {}, {}

    async def start(self):
        """It reads its orders from descriptor 3 and writes to 4."""
        orders, ours = high_pipe()
        theirs, said = high_pipe()
        try:
            with open(os.path.join(self.directory, "log"), "wb") as log:
                self.process = await asyncio.create_subprocess_exec(
                    "bash", "-c", 'exec "$@" 3<&%d 4>&%d' % (orders, said), "bash", PROGRAM, *OPTIONS,
                    "--user-data-dir=" + os.path.join(self.directory, "profile"), "about:blank",
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(orders, said),
                    env=dict(os.environ, HOME=self.directory))
        finally:
            os.close(orders)
            os.close(said)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(ours, "wb"))
        self.writer = asyncio.StreamWriter(transport, protocol, None, loop)
        reader = asyncio.StreamReader(limit=MESSAGE_MAX)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(theirs, "rb"))
        self.reading = asyncio.ensure_future(self._read(reader))
        try:
            await self.ask("Browser.getVersion", seconds=START_SECONDS)
        except Failure as why:
            with open(os.path.join(self.directory, "log"), encoding="utf-8", errors="replace") as log:
                raise CannotStart("%s: %s" % (why, " | ".join(log.read().splitlines()[-3:]))) from None
        return self

    async def _read(self, reader):
        while True:
            try:
                message = json.loads((await reader.readuntil(b"\0"))[:-1])
            except asyncio.IncompleteReadError:
                for waiting in self.answers.values():
                    waiting.done() or waiting.set_exception(Failure("the browser ended"))
                return
            if "id" in message:
                waiting = self.answers.pop(message["id"], None)
                if waiting and not waiting.done():
                    waiting.set_result(message)
            elif message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].on_event(message["method"], message["params"])

    async def ask(self, method, parameters=None, session=None, seconds=ANSWER_SECONDS):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        waiting = self.answers[self.number] = asyncio.get_running_loop().create_future()
        if self.reading.done():
            raise Failure("the browser ended")
        self.writer.write(json.dumps(message).encode() + b"\0")
        try:
            answer = await asyncio.wait_for(waiting, seconds)
        except asyncio.TimeoutError:
            raise Failure("no answer to %s" % method) from None
        check("error" not in answer, "%s: %s" % (method, answer.get("error")))
        return answer["result"]

    async def page(self):
        target = (await self.ask("Target.createTarget", {"url": "about:blank"}))["targetId"]
        session = (await self.ask("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.ask(domain + ".enable")
        return page

    async def close_pages(self):
        for page in list(self.pages.values()):
            await self.ask("Target.closeTarget", {"targetId": page.target})
        self.pages = {}

    async def end(self):
        if self.process:
            try:
                await self.ask("Browser.close", seconds=5)
                await asyncio.wait_for(self.process.wait(), 5)
            except (Failure, asyncio.TimeoutError, ConnectionError):
                await end_process(self.process)
            self.writer.close()
        if self.reading:
            self.reading.cancel()
        shutil.rmtree(self.directory, ignore_errors=True)


class Page:
    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.errors = []     # what the console says, uncaught errors, what the policy forbade
        self.requests = []   # every URL it asked for

    def on_event(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append("exception: %s" % json.dumps(params["exceptionDetails"])[:400])
        elif method == "Runtime.consoleAPICalled":
            self.errors.append("console.%s: %s" % (params["type"], json.dumps(params["args"])[:200]))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            self.errors.append("%s: %s (%s)" % (entry["level"], entry["text"], entry.get("url", "")))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    async def ask(self, method, parameters=None):
        return await self.browser.ask(method, parameters, self.session)

    async def open(self, url):
        result = await self.ask("Page.navigate", {"url": url})
        check("errorText" not in result, "%s: %s" % (url, result.get("errorText")))

    async def value(self, expression):
        """Of a JavaScript expression, or of the promise that it is."""
        result = await self.ask("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        check("exceptionDetails" not in result, "%s: %s" % (expression, json.dumps(result.get("exceptionDetails"))[:300]))
        return result["result"].get("value")

    async def until(self, expression, what, seconds=20):
        """Waits until it is true of the page."""
        end = asyncio.get_running_loop().time() + seconds
        while not await self.value(expression):
            check(asyncio.get_running_loop().time() < end, "%s: not within %d s (%s)" % (what, seconds, expression))
            await asyncio.sleep(0.1)

    async def click(self, selector):
        """With the mouse, in the middle of what it finds."""
        place = await self.value("(e => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); "
                                 "return [r.x + r.width / 2, r.y + r.height / 2]; })(document.querySelector(%s))"
                                 % json.dumps(selector))
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", {"type": kind, "x": place[0], "y": place[1], "button": "left",
                                                        "clickCount": 1})

    async def type(self, text):
        await self.ask("Input.insertText", {"text": text})

    async def size(self, width, height, is_dark=False):
        await self.ask("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})
        await self.ask("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]})

    async def picture(self, path, is_whole=True):
        result = await self.ask("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": is_whole})
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(result["data"]))
