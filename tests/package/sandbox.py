#!/usr/bin/env python3
"""Runs a command behind the system call filter of a systemd unit, as systemd would set it, without systemd running:
SystemCallFilter, SystemCallErrorNumber=EPERM, RestrictAddressFamilies, MemoryDenyWriteExecute, NoNewPrivileges.

usage: sandbox.py UNIT COMMAND [ARGUMENT...]"""
import ctypes
import errno
import os
import platform
import re
import socket
import struct
import subprocess
import sys

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000
LOAD, EQUAL, SET, RETURN = 0x20, 0x15, 0x45, 0x06   # BPF: ld abs, jeq, jset, ret
NUMBER, ARCH, ARGUMENTS = 0, 4, 16                  # offsets in struct seccomp_data
PROT_EXEC_AND_WRITE = 0x4 | 0x2


def settings(unit, name):
    """The words of a setting; an empty assignment resets it, as systemd does."""
    words = []
    for line in open(unit):
        if line.startswith(name + "="):
            value = line.partition("=")[2].split()
            words = words + [value] if value else []
    return words


def numbers():
    """System calls of this machine by name."""
    out = subprocess.run(["gcc", "-E", "-dM", "-include", "asm/unistd.h", "-x", "c", "/dev/null"], check=True,
                         capture_output=True, text=True).stdout
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)\n", out)}


def members(group):
    """What a group of systemd holds, by systemd's own words."""
    out = subprocess.run(["systemd-analyze", "syscall-filter", "--no-pager", group], check=True,
                         capture_output=True, text=True).stdout
    found = set()
    for line in out.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= members(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed(unit):
    """Names that SystemCallFilter leaves; @default is always there."""
    names = members("@default")
    for words in settings(unit, "SystemCallFilter"):
        deny = words[0].startswith("~")
        words[0] = words[0].lstrip("~")
        for word in words:
            these = members(word) if word.startswith("@") else {word}
            names = names - these if deny else names | these
    return names


def program(unit):
    """Classic BPF over struct seccomp_data: arch, then one comparison a call."""
    known = numbers()
    refuse = ERRNO | errno.EPERM
    code = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, AUDIT_ARCH[platform.machine()]), (RETURN, 0, 0, KILL),
            (LOAD, 0, 0, NUMBER)]
    # socket() of another family
    families = [getattr(socket, name) for words in settings(unit, "RestrictAddressFamilies") for name in words]
    code += [(EQUAL, 0, len(families) + 3, known["socket"]), (LOAD, 0, 0, ARGUMENTS)]
    code += [(EQUAL, len(families) - i, 0, family) for i, family in enumerate(families)]
    code += [(RETURN, 0, 0, ERRNO | errno.EAFNOSUPPORT), (LOAD, 0, 0, NUMBER)]
    # memory that is written and executed
    for name in ("mmap", "mprotect", "pkey_mprotect"):
        code += [(EQUAL, 0, 5, known[name]), (LOAD, 0, 0, ARGUMENTS + 2 * 8), (SET, 0, 2, 0x4),
                 (SET, 0, 1, 0x2), (RETURN, 0, 0, refuse), (LOAD, 0, 0, NUMBER)]
    for name in sorted(allowed(unit)):
        if name in known:
            code += [(EQUAL, 0, 1, known[name]), (RETURN, 0, 0, ALLOW)]
    return code + [(RETURN, 0, 0, refuse)]


def install(code):
    class Program(ctypes.Structure):
        _fields_ = [("count", ctypes.c_ushort), ("code", ctypes.c_char_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    octets = b"".join(struct.pack("=HBBI", op, yes, no, k) for op, yes, no, k in code)
    if libc.prctl(38, 1, 0, 0, 0) != 0:   # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(22, 2, ctypes.byref(Program(len(code), octets)), 0, 0) != 0:  # PR_SET_SECCOMP, by a filter
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def main():
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    install(program(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
