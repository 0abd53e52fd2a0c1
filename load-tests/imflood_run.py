"""One short run of imflood, for test_imflood.py and imflood_told.py."""
import asyncio
import json


def say(right, text):
    print("%-4s %s" % ("ok" if right else "FAIL", text))


async def imflood(program, *options, workload="session"):
    """Exit code and report of one short run."""
    command = [program, workload, "--json", "--quiet", "--duration", "0.3", "--warmup", "0"]
    process = await asyncio.create_subprocess_exec(*command, *options,
                                                   stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except asyncio.TimeoutError:
        process.kill()
        raise
    report = json.loads(out)
    return process.returncode, {name for name, n in report["errors"].items() if n}, report
