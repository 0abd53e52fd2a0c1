"""The servers that compare.py loads: how each is started, ended, and what imflood is told of it."""
import json
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)


class CannotRun(Exception):
    pass


def on_cpu(cpu, command, real_time=False):
    pinned = ["taskset", "-c", str(cpu)] + command if os.cpu_count() > 1 else command
    return ["chrt", "-f", "1"] + pinned if real_time else pinned


def meson_targets(build, names):
    listing = subprocess.run(["meson", "introspect", "--targets", build], check=True,
                             capture_output=True)
    known = {target["name"] for target in json.loads(listing.stdout)}
    return [name for name in names if name in known]


def build(directory):
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        subprocess.run(["meson", "setup", directory, ROOT, "--buildtype=release"], check=True,
                       stdout=sys.stderr)
    wanted = meson_targets(directory, ["imservd", "imflood", "forwarder", "test_core_timer"])
    command = ["meson", "compile", "-C", directory, "-j", "2"] + wanted
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise CannotRun("the release flavour in %s does not build" % directory)


def ready_line(process, log, pattern, seconds=60):
    """Waits until the log of a server has a line that matches; the match."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with open(log) as text:
            found = re.search(pattern, text.read())
        if found:
            return found
        time.sleep(0.05)
    with open(log) as text:
        raise CannotRun("%s did not start: %s" % (process.args, text.read()[-600:]))


def start(command, log, arguments):
    with open(log, "w") as out:
        return subprocess.Popen(on_cpu(0, command, arguments.real_time), stdin=subprocess.DEVNULL, stdout=out,
                                stderr=out)


def stop(process):
    """SIGTERM, and after 5 s SIGKILL, to this process alone; Kamailio ends its own children."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_imserv(arguments, scratch, transport="udp", settings=()):
    command = [os.path.join(arguments.build, "actors", "imservd")]
    settings = ["runtime.workers=1", "runtime.drain=0s", "log.level=warn", *settings]
    settings += ['store.path="%s/imserv.db"' % scratch]
    settings += ['listen[%d].address="127.0.0.1:0"' % i for i in range(4)]
    for setting in settings + arguments.set:
        command += ["--set", setting]
    log = os.path.join(scratch, "imserv.log")
    process = start(command, log, arguments)
    sip = ready_line(process, log, r"imservd ready sip=\S*?udp:([\d.]+:\d+)").group(1)
    if transport == "tcp":
        with open(log) as text:
            sip = re.search(r"ready sip=\S*?tcp:([\d.]+:\d+)", text.read()).group(1)
    return process, ["--mode", "standalone", "--target", "sip:%s;transport=%s" % (sip, transport)]


def start_kamailio(arguments, scratch, transport="udp", settings=()):
    port = 20000 + os.getpid() % 10000
    log = os.path.join(scratch, "kamailio.log")
    command = ["kamailio", "-f", os.path.join(HERE, "kamailio-msrp.cfg"), "-x", "fm", "-X", "fm",
               "-m", "1024", "-M", "64", "-DD", "-E", "-w", scratch, "-Y", scratch,
               "-A", "MSRP_PORT=%d" % port]
    process = start(command + (["-A", "SAMPLE=1"] if arguments.sample_script else []), log, arguments)
    ready_line(process, log, r"Listening on")
    time.sleep(1)  # it says so before its workers run
    return process, ["--mode", "relay", "--target", "msrp:127.0.0.1:%d" % port]


def start_kamailio_sip(arguments, scratch, transport="udp", settings=()):
    """The same program as SIP proxy; the default allocator is 1.6 to 5 times slower and is not the bar."""
    port = 20000 + os.getpid() % 10000
    log = os.path.join(scratch, "kamailio.log")
    process = start(["kamailio", "-f", os.path.join(HERE, "kamailio-sip.cfg"), "-x", "tlsf", "-X", "tlsf",
                     "-m", "1024", "-M", "64", "-DD", "-E", "-w", scratch, "-Y", scratch,
                     "-A", "SIP_PORT=%d" % port], log, arguments)
    ready_line(process, log, r"Listening on")
    time.sleep(1)  # as above
    return process, ["--mode", "standalone", "--target", "sip:127.0.0.1:%d;transport=%s" % (port, transport)]


def start_forwarder(arguments, scratch, transport="udp", settings=()):
    log = os.path.join(scratch, "forwarder.log")
    process = start([os.path.join(arguments.build, "load-tests", "forwarder"), "0"], log, arguments)
    address = ready_line(process, log, r"forwarder ready tcp:(\S+)").group(1)
    return process, ["--mode", "forwarder", "--target", "msrp:" + address]


# By the kind of traffic: a peer is not one program for both.
STARTERS = {"msrp": {"imserv": start_imserv, "kamailio": start_kamailio, "forwarder": start_forwarder},
            "sip": {"imserv": start_imserv, "kamailio": start_kamailio_sip}}
