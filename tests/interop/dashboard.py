#!/usr/bin/env python3
"""The dashboard in Debian's Chromium: figures move with real traffic, clicks do what they say, nothing scrolls sideways
on a phone, the policy holds, and what is wrong with the server is said.

usage: dashboard.py --server PATH [--pictures FOLDER] [--verbose]

Pictures of the page in its states are left in FOLDER (default: `dashboard` beside the server's folder). Last line
`N passed, N failed, N skipped`; exit code 1 when one failed. Without Chromium everything is skipped."""
import argparse
import asyncio
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]

import chromium  # noqa: E402
import peer  # noqa: E402
from run import Report  # noqa: E402
from ua import Failure, Witness, agent, check, same  # noqa: E402
from ua.server import Server, http_get  # noqa: E402

SIZES = ((320, 640), (1280, 800))
WIDTHS = (320, 390, 481, 500, 560, 641, 767, 768)


class Place:
    """A server, and pages of one browser."""

    def __init__(self, options, browser, pictures):
        self.options, self.browser, self.pictures = options, browser, pictures
        self.witness = Witness()
        self.server, self.agents, self.doubles = None, [], []

    async def start(self):
        self.server = await Server(self.options.server, "standalone", 2, "auto",
                                   {"runtime.drain": "60s", "policy.offline_pager": "reject"}).start()
        return self

    @property
    def url(self):
        return "http://%s:%d/" % self.server.ready.http

    async def open(self, url=None, width=1280, height=800):
        """The page, once it shows something."""
        page = await self.browser.page()
        await page.size(width, height)
        await page.open(url or self.url)
        await page.until("document.body && document.body.dataset.stale !== undefined", "a first answer")
        return page

    async def client(self, name):
        user = agent.Agent(self.witness, name, self.server.ready.sip["tcp"], "tcp", "example.com", feature_tag=False)
        self.agents.append(user)
        await user.open()
        same((await user.register()).status, 200, "REGISTER")
        return user

    async def double(self):
        one = await Double().start(self.server)
        self.doubles.append(one)
        return one

    async def picture(self, page, name):
        await page.picture(os.path.join(self.pictures, name + ".png"))

    async def end(self):
        for one in self.agents:
            one.close()
        for one in self.doubles:
            one.close()
        if self.server.alive:
            code = await self.server.stop()
            check(code == 0 and not self.server.trouble(), "exit code %s %s" % (code, " | ".join(self.server.trouble()[:12])))


class Double:
    """Serves the server's own page, but with whatever `metrics` says as figures: (status, text), or None for silence."""

    def __init__(self):
        self.metrics, self.page, self.asked = (404, ""), None, 0
        self.is_closed = asyncio.Event()

    async def start(self, server):
        self.page = await http_get(server.ready.http, "/")
        self.listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = "http://127.0.0.1:%d/" % self.listener.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader, writer):
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
            status, text, headers = 200, self.page[2], ["Content-Security-Policy: " + self.page[1]["content-security-policy"],
                                                        "Content-Type: text/html; charset=utf-8"]
            if path != b"/":
                self.asked += 1
                if self.metrics is None:
                    await self.is_closed.wait()
                    return
                status, text, headers = self.metrics[0], self.metrics[1].encode(), ["Content-Type: text/plain"]
            writer.write(("\r\n".join(["HTTP/1.1 %d X" % status, "Content-Length: %d" % len(text), "Connection: close"]
                                      + headers) + "\r\n\r\n").encode() + text)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self):
        self.is_closed.set()
        self.listener.close()


def state(name):
    return "document.getElementById('state').dataset.state === '%s'" % name


def figure(tile):
    """JavaScript: the number that a tile shows; NaN without one."""
    return "parseFloat(document.querySelector('#%s .value span').textContent.replace(/,/g, ''))" % tile


def total(tile):
    """JavaScript: the number that the note under it begins with."""
    return "parseFloat(document.querySelector('#%s .note').textContent.replace(/,/g, ''))" % tile


ROWS = "[...document.querySelectorAll('#%s tbody th')].map(e => e.firstChild.data)"


async def no_sideways(page, width, what):
    """A phone shows a page that is too wide by making all of it smaller: so its edges are looked at."""
    same(await page.value("[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && "
                          "e.getBoundingClientRect().right > %d).map(e => e.outerHTML.slice(0, 80))" % width), [],
         "beyond the right edge, %s" % what)
    same(await page.value("[innerWidth, document.documentElement.scrollWidth]"), [width, width], "width, %s" % what)


# --- cases ---

async def figures_follow_traffic(place):
    """Sessions, messages, refusals and workers on the page are those of the server."""
    page = await place.open()
    await page.until(state("ready"), "ready")
    await page.until(figure("sessions") + " === 0", "no session")
    same(await page.value(ROWS % "workers"), ["0", "1"], "workers")
    check("0.1.0" in await page.value("document.getElementById('facts').textContent"), "no version")
    check(place.url[7:-1] in await page.value("document.getElementById('facts').textContent"), "not which server")
    check(place.url[7:-1] in await page.value("document.title"), "not which server, title")
    await page.until("/^0 of [0-9,]+$/.test(document.querySelector('#sessions .value').textContent)", "of how many")
    same(await page.value("document.getElementById('concerns').textContent"), "Of nothing since the start.", "concerns")
    alice, bob = await place.client("alice"), await place.client("bob")
    sa, sb = await agent.establish(alice, bob)
    for text in ("one", "two", "three"):
        await sa.send(text)
        await sb.receive()
        pager = asyncio.ensure_future(alice.pager(bob, text))
        (await bob.expect("MESSAGE")).respond(200)
        same((await pager).status, 200, "MESSAGE")
    nobody = await alice.pager("sip:nobody-here@example.com", "x")
    check(nobody.status >= 400, "MESSAGE to nobody: %s" % nobody)
    await page.until(figure("sessions") + " === 1", "one session")
    await page.until(total("pager") + " === 3", "three pager messages")
    await page.until(figure("registrations") + " === 2", "two registrations")
    await page.until("(%s).includes('offline')" % (ROWS % "refusals"), "a refusal in the table")
    for tile in ("pager", "msrp", "refused", "sip"):
        await page.until(figure(tile) + " > 0", "%s per second" % tile)
    for tile in ("sip-latency", "chunk-latency", "store-latency"):
        await page.until("/^[0-9].* (µs|ms|s)$/.test(document.querySelector('#%s .value span').textContent)" % tile, tile)
        await page.until("document.querySelector('#%s svg').getAttribute('aria-label').includes('most')" % tile, "label of " + tile)
    await page.until("document.querySelector('#sessions .curve').getAttribute('d').includes('L')", "a line of sessions")
    row = await page.value("[...document.querySelectorAll('#refusals tbody tr')].find(e => e.textContent.startsWith('offline')).textContent")
    check("the user is not registered" in row, "no explanation in %s" % row)
    await place.picture(page, "busy")
    await sa.hang_up()
    await sb.wait_bye()
    await page.until(figure("sessions") + " === 0", "no session any more")
    same(page.errors, [], "console")
    same({url for url in page.requests if not url.startswith("data:")}, {place.url, place.url + "metrics"}, "what it asked for")


async def clicks(place):
    """Tables sort and filter, the window can be switched, the list of all figures opens."""
    alice = await place.client("alice")
    for target in ("sip:nobody-here@example.com", "sip:nobody@elsewhere.example.org"):
        await alice.pager(target, "x")
    page = await place.open()
    await page.until("document.querySelectorAll('#refusals tbody th').length >= 2", "two reasons")
    some = await page.value(ROWS % "refusals")
    head = "document.querySelector('#refusals thead th:nth-child(%d)').ariaSort"
    await page.click("#refusals thead th:nth-child(1) button")
    same(await page.value(ROWS % "refusals"), sorted(some), "reasons by name")
    same(await page.value(head % 1), "ascending", "aria-sort")
    await page.click("#refusals thead th:nth-child(1) button")
    same(await page.value(ROWS % "refusals"), sorted(some, reverse=True), "reasons by name, backwards")
    same((await page.value(head % 1), await page.value(head % 2)), ("descending", "none"), "aria-sort")
    await page.click("#refusals-filter")
    await page.type("REGISTERED")   # only in an explanation, in small letters
    same(await page.value(ROWS % "refusals"), ["offline"], "filtered")
    await page.type(" nonsense")
    check("No reason has these words" in await page.value("document.querySelector('#refusals tbody').textContent"), "empty table")
    await page.value("document.getElementById('refusals-filter').select()")
    await page.type("msrp_")
    same(await page.value(ROWS % "refusals"), [], "MSRP had no trouble")
    await page.click("#refusals-all")
    found = await page.value(ROWS % "refusals")
    check(len(found) > 5 and all("msrp_" in name for name in found), "with what never happened: %s" % found)
    await page.click("summary")
    await page.until("document.querySelectorAll('#figures tbody tr').length > 100", "all figures")
    await page.click("#figures-filter")
    await page.type("uptime")
    same(await page.value(ROWS % "figures"), ["uptime_seconds"], "filtered figures")
    await no_sideways(page, 1280, "all figures")
    same(page.errors, [], "console")


async def sizes(place):
    """A phone and a desk, by day and by night: nothing scrolls sideways, every text has contrast."""
    alice = await place.client("alice")
    await alice.pager("sip:nobody-here@example.com", "x")
    page = await place.open()
    await page.until("document.querySelectorAll('#refusals tbody tr').length > 0", "a refusal")
    await page.click("#refusals-all")
    await page.click("summary")
    await page.until("document.querySelectorAll('#figures tbody tr').length > 100", "all figures")
    for width, height in SIZES:
        for is_dark in (False, True):
            what = "%dx%d%s" % (width, height, " dark" if is_dark else "")
            await page.size(width, height, is_dark)
            await no_sideways(page, width, what)
            same(await page.value(PALE), [], "too little contrast, %s" % what)
    await page.click("#refusals-all")
    await page.click("summary")
    for width, height in SIZES:
        for is_dark in (False, True):
            await page.size(width, height, is_dark)
            await place.picture(page, "%dx%d%s" % (width, height, "-dark" if is_dark else ""))
    same(page.errors, [], "console")


# Texts whose contrast with what is behind them is under 4.5 (WCAG 2.1, 1.4.3).
PALE = """(() => {
	const read = text => (text.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
	const light = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const ground = e => { for (; e; e = e.parentElement) { const c = read(getComputedStyle(e).backgroundColor);
		if (c.length < 4 || c[3] === 1) return c; } return [255, 255, 255]; };
	return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !['OPTION', 'SCRIPT'].includes(e.tagName) &&
		[...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).filter(e => {
			const a = light(read(getComputedStyle(e).color)), b = light(ground(e));
			return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5; }).map(e => e.outerHTML.slice(0, 80));
})()"""


async def draining_and_gone(place):
    """Says that the server drains and what is left, then since when it does not answer; and greets it when it is back."""
    alice, bob = await place.client("alice"), await place.client("bob")
    sa, sb = await agent.establish(alice, bob)
    page = await place.open()
    await page.until(state("ready"), "ready")
    place.server.terminate()
    await page.until(state("draining"), "draining")
    await page.until("document.getElementById('state').textContent.includes('1 session is left')", "what is left")
    await place.picture(page, "draining")
    await sa.hang_up()
    await sb.wait_bye()
    same(await place.server.wait(), 0, "exit code")
    await page.until(state("gone"), "gone")
    check("No answer since" in await page.value("document.title.replace('no', 'No')"), "title")
    same(await page.value("document.body.dataset.stale"), "yes", "figures are shown as old")
    await no_sideways(page, 1280, "gone")
    await page.size(320, 640)
    await place.picture(page, "gone")


HISTOGRAM = "".join("imserv_sip_transaction_seconds_bucket{le=\"%s\"} %%(%s)d\n" % (le, name) for le, name in (
    ("0.001000", "fast"), ("0.002000", "fair"), ("+Inf", "all"))) + "imserv_sip_transaction_seconds_count %(all)d\n"


def busy_worker(number):
    """Figures as wide as they come."""
    return "".join('imserv_worker_%s{worker="%d"} %s\n' % (name, number, value) for name, value in (
        ("sessions", 12345), ("connections", 24690), ("busy_ratio", 0.876)))


async def wide_figures(place):
    """Large figures fit in pages of all widths; lines have a scale, and are drawn over what was watched."""
    double = await place.double()

    def answer(uptime):
        counted = "imserv_sip_rx_requests_total %d\n" % (uptime * 12345)
        counted += "".join('imserv_worker_%s_total{worker="0"} %d\n' % (name, uptime * 123456)
                           for name in ("loops", "sip_messages", "chunks"))
        double.metrics = some_metrics(uptime, sessions=98765, more=counted + busy_worker(0) + busy_worker(1) +
                                      "imserv_sessions_limit 100000\nimserv_deferred_messages 0\n")

    answer(100.3)
    page = await place.open(double.url)
    for uptime in (104.1, 108.3, 112.001):   # in binary, the first is not what is left of the last
        answer(uptime)
        await page.value("watch()")
    same(await page.value("document.querySelector('#sessions .value').textContent"), "98,765 of 100,000", "of how many")
    same(await page.value("[...document.querySelectorAll('#sessions .scale span')].map(e => e.textContent)"),
         ["11 s ago", "max 98,765"], "scale of a young line")
    for tile in ("sessions", "sip"):
        line = await page.value("document.querySelector('#%s .curve').getAttribute('d')" % tile)
        check(line.startswith("M0.00 ") and "L100.00 " in line, "not all the width of %s: %s" % (tile, line))
    same(await page.value("document.getElementById('deferred').checkVisibility()"), False, "deferred messages of none")
    for width in WIDTHS:
        await page.size(width, 800)
        await no_sideways(page, width, "wide figures, %d" % width)
    double.metrics = some_metrics(116, more="imserv_deferred_messages 3\n")
    await page.value("watch()")
    same(await page.value("document.getElementById('deferred').checkVisibility()"), True, "deferred messages")
    same(page.errors, [], "console")


def some_metrics(uptime, sessions=7, fast=0, fair=0, all=0, more=""):
    return (200, "# TYPE imserv_uptime_seconds gauge\nimserv_uptime_seconds %s\nimserv_ready 1\nimserv_draining 0\n"
            "imserv_sessions %d\n%s%s# EOF\n" % (uptime, sessions, HISTOGRAM % {"fast": fast, "fair": fair, "all": all}, more))


async def figures_that_are_known(place):
    """Percentiles and rates of figures made for the purpose; a restart begins anew; hostile labels are only text."""
    double = await place.double()
    double.metrics = some_metrics(100, all=0)
    page = await place.open(double.url)
    await page.until(figure("sessions") + " === 7", "sessions")
    # 90 within 1 ms, 10 more within 2 ms: half within 0.556 ms, 99 of 100 within 1.9 ms
    double.metrics = some_metrics(102, fast=90, fair=100, all=100, more='imserv_refused_total{reason="store"} 0\n')
    await page.until("document.querySelector('#sip-latency .value span').textContent === '1.9 ms'", "p99")
    check("p50 556 µs · of 100 in the 2 s watched" in await page.value("document.querySelector('#sip-latency .note').textContent"), "p50")
    double.metrics = some_metrics(104, fast=90, fair=100, all=100, more='imserv_refused_total{reason="store"} 5\n'
                                  'imserv_refused_total{reason="<img src=x onerror=document.title=1>"} 6\n')
    await page.until("document.getElementById('concerns').textContent.startsWith('store: ')", "short of the store")
    check("5 since start, 5 in the 4 s watched" in await page.value("document.getElementById('concerns').textContent"), "how often")
    check("<img src=x onerror=document.title=1>" in await page.value(ROWS % "refusals"), "a label as text")
    same(await page.value("document.querySelectorAll('img').length"), 0, "a label as HTML")
    double.metrics = some_metrics(3, sessions=1)
    await page.until("document.getElementById('facts').textContent.includes('up 3 s')", "started again")
    same(await page.value("document.querySelector('#sip-latency .value span').textContent"), "–", "latency after the restart")
    same(page.errors, [], "console")


async def minutes_not_watched(place):
    """Of what was before the page was opened, or while it had no answer, it says totals, never that there was nothing."""
    double = await place.double()
    note, latency = ("document.querySelector('#%s .note').textContent" % tile for tile in ("refused", "sip-latency"))
    concerns = "document.getElementById('concerns').textContent"

    def answer(uptime, refused):
        double.metrics = some_metrics(uptime, all=40, more='imserv_refused_total{reason="session_limit"} %d\n' % refused)

    answer(100, 13)
    page = await place.open(double.url)
    await page.until(concerns + ".endsWith('13 since start')", "what was before")
    same(await page.value(note), "13 since start", "refused, freshly opened")
    same(await page.value("[...document.querySelectorAll('#refusals tbody td')].map(e => e.textContent)"), ["–", "–", "13"],
         "per s, in window, in all")
    same(await page.value(latency), "none watched yet; 40 since start", "latency, freshly opened")
    for uptime in range(110, 170, 10):
        answer(uptime, 13)
        await page.value("watch()")
    answer(170, 15)
    await page.value("watch()")
    await page.click("input[name=window][value='60']")
    same(await page.value(note), "2 in 1 min", "refused in a minute that was watched")
    same(await page.value(latency), "none in 1 min", "latency of a minute that was watched")
    await page.click("input[name=window][value='300']")
    same(await page.value(note), "15 since start", "refused: the longer window is not watched")
    check("15 since start, 2 in the 1 min 10 s watched" in await page.value(concerns), "since start and watched")
    await page.click("input[name=window][value='60']")
    answer(900, 21)   # twelve minutes without an answer
    await page.value("watch()")
    check((await page.value(concerns)).endswith("21 since start"), "after a hole")
    for uptime in range(910, 970, 10):
        answer(uptime, 21)
        await page.value("watch()")
    same(await page.value(concerns), "Of nothing in the last 1 min.", "a minute without refusals")
    same(page.errors, [], "console")


async def answers_that_are_none(place):
    """No metrics here, an error, half an answer, nonsense and silence are told apart, and it recovers."""
    double = await place.double()
    page = await place.open(double.url)
    await page.until(state("unserved"), "404")
    await place.picture(page, "unserved")
    good = some_metrics(5)
    for answer, words in (((500, "x"), "Answers 500"), ((200, "hello"), "not all of the figures"),
                          ((200, good[1][:-6]), "not all of the figures"), ((200, ""), "not all of the figures")):
        double.metrics = answer
        await page.value("watch()")
        check(await page.value(state("gone")) and words in await page.value("document.getElementById('state').textContent"),
              "%r: no %r" % (answer, words))
        double.metrics = good
        await page.value("watch()")
        check(await page.value(state("ready")), "not ready after " + words)
    double.metrics = None
    await page.until(state("gone") + " && document.getElementById('state').textContent.includes('No answer since')", "silence", 40)
    double.metrics = good
    await page.until(state("ready"), "ready after silence", 40)


async def other_pages_cannot(place):
    """A page of another site can neither read the figures nor call the API nor frame the dashboard; what is put into
    the page does not run."""
    page = await place.open()
    await page.until(state("ready"), "ready")
    await page.value("(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; "
                     "document.body.append(s); document.body.setAttribute('onclick', 'window.ran = 2'); document.body.click(); })()")
    same(await page.value("window.ran"), None, "a script put into the page")
    check(any("Content Security Policy" in error for error in page.errors), "nothing was forbidden: %s" % page.errors)
    double = await place.double()
    page = await place.open(double.url)
    with open(place.server.token_file) as file:
        token = file.read().strip()
    for path, options in (("metrics", "{}"), ("", "{}"), ("livez", "{}"), ("metrics", "{mode: 'no-cors'}"),
                          ("api/v1/status", "{headers: {Authorization: 'Bearer %s'}}" % token)):
        same(await page.value("fetch('%s%s', %s).then(a => a.text(), () => '')" % (place.url, path, options)), "",
             "fetch of %s with %s" % (path or "/", options))
    same((await http_get(place.server.ready.http, "/livez"))[0], 200, "the server")


CASES = (figures_follow_traffic, clicks, sizes, draining_and_gone, figures_that_are_known, wide_figures,
         minutes_not_watched, answers_that_are_none, other_pages_cannot)


async def run_all(options, report, pictures):
    browser = chromium.Browser()
    try:
        await browser.start()
        for case in CASES:
            if options.match in case.__name__:
                await run_one(case, options, browser, report, pictures)
    except (chromium.CannotStart, OSError) as why:
        report.skip("dashboard (chromium)", "it does not start: %s" % why)
    finally:
        await browser.end()


async def run_one(case, options, browser, report, pictures):
    place = Place(options, browser, pictures)
    try:
        await place.start()
        await peer.run_case(case, "chromium", place, options, report, seconds=90)
    except Failure as why:
        report.fail("server (chromium)", why)
    finally:
        try:
            await place.end()
        except Failure as why:
            report.fail("end of %s (chromium)" % case.__name__, why)
        await browser.close_pages()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--pictures")
    parser.add_argument("--match", default="")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    pictures = options.pictures or os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(options.server))), "dashboard")
    report = Report(options.verbose)
    if shutil.which(chromium.PROGRAM):
        asyncio.run(run_all(options, report, pictures))
    else:
        report.skip("dashboard (chromium)", "not installed")
    print("%d passed, %d failed, %d skipped" % (report.passed, report.failed, report.skipped))
    sys.exit(1 if report.failed or not report.passed + report.skipped else 0)


if __name__ == "__main__":
    main()
