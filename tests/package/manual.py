"""What comes with the programs: manual pages that are clean and name the options that there are, no more and no less;
completions of bash that offer them; `meson install` that puts all of it where it is looked for.

usage: manual.py --server PATH"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import report
from report import Skip, command

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# program -> folder below the build folder, page, where its options are declared
PROGRAMS = {
    "imservd": ("actors", "actors/imservd.8", ("config/command_line.c",)),
    "imservctl": ("actors", "actors/imservctl.1", ("actors/ctl.c",)),
    "imflood": ("load-tests", "load-tests/imflood.1",
                ("load-tests/imflood.c", "load-tests/flood_options.c", "load-tests/report_page.c")),
}
COMMANDS = ("status", "sessions", "conferences", "mailbox", "user", "doc", "drain", "reload", "trace", "history")
build = None


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def same(got, expected, what):
    check(got == expected, "%s: %s, expected %s" % (what, sorted(got - expected), sorted(expected - got))
          if isinstance(got, set) else "%s: %r, expected %r" % (what, got, expected))


def text_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def program(name):
    return os.path.join(build, PROGRAMS[name][0], name)


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def declared(name):
    """What the parser of the command line takes."""
    source = "".join(map(text_of, PROGRAMS[name][2]))
    return {"--" + word for word in re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument', source)} | set(
        re.findall(r'"(--[a-z-]+)"', source))


def pages():
    """All of the tree, also those that are made while building."""
    folders = [os.path.join(top, folder) for top in (ROOT, build) for folder in ("actors", "config", "load-tests")]
    return sorted(os.path.join(folder, name) for folder in folders for name in os.listdir(folder)
                  if re.search(r"\.[158]$", name))


# --- manual pages ---

def help_is_true(name):
    """--help names exactly the options that are taken, and --version is one line."""
    code, text = command(program(name), "--help")
    same(code, 0, "exit code of --help")
    same(options_in(text), declared(name), "--help")
    code, text = command(program(name), "--version")
    check(code == 0 and re.fullmatch(name + r" \d+\.\d+\.\d+\n", text), "--version: %d %r" % (code, text))


def page_names_the_options(name):
    """The page has exactly the options of --help."""
    page = text_of(PROGRAMS[name][1])
    code, text = command(program(name), "--help")
    lines = [line for line in page.split("\n") if not line.startswith('.\\"')]
    same(options_in("\n".join(lines).replace("\\-", "-")), options_in(text), PROGRAMS[name][1])
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", '"EXIT STATUS"', "EXAMPLES", '"SEE ALSO"'):
        check("\n.SH %s\n" % section in page, "%s has no %s" % (PROGRAMS[name][1], section))


def page_names_the_commands():
    page = text_of(PROGRAMS["imservctl"][1]).replace("\\-", "-")
    commands = page[page.index(".SH COMMANDS"):page.index(".SH OPTIONS")]
    for word in COMMANDS:
        check(re.search(r'^\.BI? "?%s\b' % word, commands, re.M), "imservctl.1 does not explain " + word)
        code, text = command(program("imservctl"), word, "--help")
        check(code == 0 and text.startswith("usage: imservctl [OPTION]... " + word), "%s --help: %s" % (word, text))


def page_is_clean(path):
    """groff finds nothing to complain about, nor does mandoc; no line of what it makes is cut."""
    if not shutil.which("groff"):
        raise Skip("no groff")
    code, text = command("groff", "-man", "-ww", "-Tutf8", "-z", "-rLL=78n", path)
    same((code, text), (0, ""), "groff")
    if shutil.which("mandoc"):
        code, text = command("mandoc", "-Tlint", "-Wwarning", path)
        same((code, text), (0, ""), "mandoc")
    if shutil.which("lexgrog"):
        code, text = command("lexgrog", path)
        same(code, 0, "what apropos(1) would know of it: " + text)
    code, text = command("groff", "-man", "-Tascii", "-P-cbou", "-rLL=78n", path)
    widest = max(text.split("\n"), key=len)
    check(code == 0 and len(widest) <= 80, "too wide: " + widest)


def keys_of(value):
    """Names of all members of a JSON document, at any depth."""
    if isinstance(value, list):
        return {name for entry in value for name in keys_of(entry)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {name for entry in value.values() for name in keys_of(entry)}


class Server:
    """A server on ports of its own, in a folder of its own."""
    SETTING = ('listen=[{proto: udp, address: "127.0.0.1:0"}, {proto: msrp, address: "127.0.0.1:0"}, '
               '{proto: http, address: "127.0.0.1:0"}]')

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="imserv-manual-")
        self.process = subprocess.Popen([program("imservd"), "--set", self.SETTING, "--set", "log.sink=log"], cwd=self.folder,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        line = ""
        while not line.startswith("imservd ready"):
            line = self.process.stderr.readline().decode()
            check(line, "the server ended at its start")
        self.sip, self.http = re.search(r"sip=udp:(\S+) .*http=(\S+) ", line).groups()
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


def named(page, keys):
    with_quotes = set(re.findall(r'"([^" ]+)"', text_of(page).replace("\\(dq", '"')))
    same(keys - with_quotes, set(), "what JSON has and %s does not name" % page)


def pages_name_the_json():
    """Every member of what imservctl and imflood print as JSON is in their page."""
    with Server() as server:
        api = ("--api", "http://" + server.http, "--token-file", os.path.join(server.folder, "imserv.db.token"), "--json")
        for words in (("status",), ("sessions",), ("reload",), ("user", "add", "alice"), ("status", "now")):
            code, text = command(program("imservctl"), *api, *words)
            answer = json.loads(re.search(r"^\{.*^\}|^\{.*\}$", text, re.M | re.S).group(0))
            answer.pop("refused", None)  # its members are reasons
            named(PROGRAMS["imservctl"][1], keys_of(answer))
        for workload in ("session", "mixed"):
            code, text = command(program("imflood"), workload, "--target", "sip:" + server.sip, "--domain", "example.com",
                                 "--sessions", "2", "--rate", "50", "--duration", "0.5", "--warmup", "0", "--pid",
                                 str(server.process.pid), "--quiet", "--json")
            check(code == 0, "imflood %s: %s" % (workload, text[-400:]))
            answer = json.loads(text[text.index("{"):])
            answer.pop("errors")  # its members are kinds of errors
            named(PROGRAMS["imflood"][1], keys_of(answer))


# --- completion ---

ASK = r"""
source "$1"; shift
PATH="$1:$2:$PATH"; shift 2
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
function=$(complete -p "$1" | sed -E 's/.*-F ([^ ]+) .*/\1/')
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def offered(*words):
    """What bash offers for the last of these words."""
    code, text = command("bash", "--norc", "-c", ASK, "bash", os.path.join(ROOT, "actors/imserv.bash"),
                         os.path.join(build, "actors"), os.path.join(build, "load-tests"), *words)
    same(code, 0, "bash: " + text)
    return {line for line in text.split("\n") if line}


def completion_of_options(name):
    found = {word for word in offered(name, "--") if word.startswith("--")}
    code, text = command(program(name), "--help")
    same(found, options_in(text), "options of " + name)


def completion_of_words():
    same(offered("imservctl", ""), set(COMMANDS), "commands")
    for words, expected in (
            (("imservctl", "s"), {"status", "sessions"}), (("imservctl", "user", ""), {"add", "del", "passwd"}),
            (("imservctl", "--api", "http://h:1", "--json", "user", "p"), {"passwd"}),
            (("imservctl", "user", "add", ""), set()), (("imservctl", "status", ""), set()),
            (("imservctl", "mailbox", "alice", ""), {"delete"}), (("imservctl", "doc", ""), {"put", "get", "del"}),
            (("imservctl", "doc", "get", "res"), {"resource-lists"}), (("imservctl", "history", ""), {"search"}),
            (("imservctl", "--timeout", ""), set()), (("imservctl", "--api", ""), {"http://127.0.0.1:9090"}),
            (("imservctl", "user", "--j"), {"--json"}), (("imservd", "--set", "limits.unb"), {"limits.unbound="}),
            (("imservd", "--set", "lis"), {"listen="}), (("imservd", "--set", "core.next"), {"core.next_hop="}),
            (("imservd", "--set", "tl"), {"tls="}), (("imservd", "--check"), {"--check-config"}),
            (("imflood", ""), {"session", "churn", "pager", "mixed", "deferred", "conference", "report"}), (("imflood", "ch"), {"churn"}),
            (("imflood", "session", "--mode", "s"), {"standalone"}),
            (("imflood", "session", "--target", ""), set()), (("imflood", "session", "--answer", ""), {"active", "passive"})):
        same(offered(*words), expected, " ".join(words))
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a b.yaml", "a.token"):
            open(os.path.join(folder, name), "w").close()
        same(offered("imservd", "-c", folder + "/a "), {folder + "/a b.yaml"}, "files of -c")
        same(offered("imservctl", "--token-file", folder + "/a."), {folder + "/a.token"}, "files of --token-file")


# --- installation ---

def installed_files():
    """`meson install` puts programs, pages and completions where they are looked for; the programs run from there."""
    if not shutil.which("meson"):
        raise Skip("no meson")
    with tempfile.TemporaryDirectory() as folder:
        code, text = command("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", folder, seconds=120)
        same(code, 0, "meson install: " + text[-300:])
        found = {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names}
        for path in ("sbin/imservd", "bin/imservctl", "bin/imflood", "share/man/man8/imservd.8", "share/man/man1/imservctl.1",
                     "share/man/man1/imflood.1", "share/man/man5/imserv.yaml.5", "share/bash-completion/completions/imservctl",
                     "share/bash-completion/completions/imservd", "share/bash-completion/completions/imflood"):
            place = [name for name in found if name.endswith("/" + path) or name.endswith("/" + path + ".gz")]
            check(place, "%s is not installed: %s" % (path, sorted(found)))
            if "bin/" in path:
                same(command(os.path.join(folder, place[0]), "--version")[0], 0, path + " --version")


def main():
    global build
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--server", required=True)
    build = os.path.dirname(os.path.dirname(os.path.abspath(parser.parse_args().server)))
    for name in PROGRAMS:
        report.run(help_is_true, name)
        report.run(page_names_the_options, name)
        report.run(completion_of_options, name)
    report.run(page_names_the_commands)
    for path in pages():
        report.run(page_is_clean, path)
    report.run(pages_name_the_json)
    report.run(completion_of_words)
    report.run(installed_files)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
