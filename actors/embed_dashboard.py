"""Makes one page of the dashboard's parts, as two C string literals: its Content-Security-Policy and itself.

usage: embed_dashboard.py dashboard.html dashboard.css dashboard.js reasons.def OUTPUT

The style, the script and the texts of the reasons go where the page says `@style@`, `@script@` and `@reasons@`.
The policy names style and script by their hashes, so nothing else can run, however it got in."""
import base64
import hashlib
import json
import re
import sys


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def literal(text):
    return "".join('"%s\\n"\n' % line.replace("\\", "\\\\").replace('"', '\\"') for line in text.splitlines())


def named(text):
    return "'sha256-%s'" % base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


html, style, script, rows, output = sys.argv[1:]
rows = re.findall(r'^REASON\(\w+,\s*"(\w+)",\s*"([^"]*)"\)', read(rows), re.M)
if not rows:
    sys.exit("embed_dashboard.py: no reasons found")
style, script = "\n" + read(style), "\n" + read(script).replace("@reasons@", json.dumps(dict(rows)))
if "</" in style or "</script" in script.lower() or "<!--" in script:
    sys.exit("embed_dashboard.py: the style or script would end early")
page = read(html).replace("@style@", style).replace("@script@", script)
policy = "; ".join((
    "default-src 'none'", "script-src " + named(script), "style-src " + named(style), "connect-src 'self'",
    "img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"))
with open(output, "w", encoding="utf-8") as out:
    out.write("#ifdef DASHBOARD_POLICY\n\"%s\"\n#endif\n" % policy)
    out.write("#ifdef DASHBOARD_PAGE\n%s#endif\n" % literal(page))
