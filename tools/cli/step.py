"""Steps one instruction at a time with a guide, by itself or with a reader.

`tools/bugcheck step spinlock|pagefault|pagein|dpc|switch [--auto]`

Starts a small machine that repeats itself to the instruction, stopped before its first one, and opens GDB on it with a
guide (tools/steps) that runs it to the place, then announces each step, does it, and shows what the machine looks like now.
--auto waits for no answers: the exit status is 0 when all went as announced, 1 when not, 2 when it could not.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cli.options import Parser
from host import toolchain
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, CannotRun
from machine.emulators import Machine, qemu_version
from machine.process import Run, handle_signals

NOT_REACHED, AGAIN = 2, 3                        # AGAIN: GDB asks for a new machine, to go back (tools/steps/start.py)
# GDB's, before it reads anything; a busy host's QEMU may take its time to answer.
SETTINGS = ("debuginfod enabled off", "pagination off", "confirm off", "auto-load off", "remotetimeout 60",
            "prompt (gdb) ")


@dataclass
class Subject:
    """A mechanism to step through: the machine for it, and its lesson."""
    cmdline: str
    cpus: int
    disk: bool
    shows: str


SUBJECTS = {
    "spinlock": Subject("step=spinlock", 2, False, "two CPUs take one lock; then a lock that lets both in"),
    "pagefault": Subject("scenario=paged", 1, True, "from the store through the page tables to the bugcheck"),
    "pagein": Subject("scenario=passive", 1, True, "the same store at PASSIVE_LEVEL: the thread waits, the page comes back"),
    "dpc": Subject("step=dpc", 1, False, "a DPC waits in the interrupt controller until CR8 drops"),
    "switch": Subject("step=switch", 1, False, "one thread gives its CPU to another"),
}


def parse(words):
    parser = Parser("tools/bugcheck step", f"usage: tools/bugcheck step {'|'.join(SUBJECTS)} [--auto] [--timeout S]")
    parser.add_argument("subject", nargs="?")
    parser.add_argument("--auto", action="store_true")
    parser.add_argument("--timeout", default="60")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if options.subject not in SUBJECTS:
        what = f"unknown subject '{options.subject}'" if options.subject else "step through what?"
        known = "; ".join(f"{name} ({subject.shows})" for name, subject in SUBJECTS.items())
        raise CannotRun(f"{what} There are: {known}" if what.endswith("?") else f"{what}; there are: {known}")
    if not options.timeout.isdigit() or not 1 <= int(options.timeout) <= 3600:
        raise CannotRun(f"--timeout: '{options.timeout}' is not a whole number of seconds from 1 to 3600")
    return options


def machine_of(subject, link):
    return Machine(build="step", cmdline=subject.cmdline, cpus=subject.cpus, mem=64, seed=1, disk=subject.disk, leave=False,
                   extra=("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"))


def debugger(options, machine, link, at):
    """The command line of GDB, and the environment that tells the guide what to do, and after which step to begin."""
    gdb = toolchain.debugger()
    if not gdb:
        raise CannotRun("no GDB: Debian package gdb is not installed")
    told = {"kernel": str(machine.files() / "kernel.elf"), "drivers": str(machine.files() / "drivers"),
            "socket": str(link), "subject": options.subject, "auto": options.auto, "limit": int(options.timeout),
            "at": at, "again": str(OUT / "walk/again")}
    line = [gdb, "-q", "-nx"] + [word for setting in SETTINGS for word in ("-iex", f"set {setting}")]
    line += ["-iex", toolchain.debugger_python(),
             "-ex", "python from kd.target.session import begin; import steps.start; begin(steps.start.main)"]
    return line, dict(os.environ, STEP_OPTIONS=json.dumps(told))


def walk(options, at=0):
    """Starts the machine and GDB, and waits for GDB; the exit status."""
    subject, folder = SUBJECTS[options.subject], OUT / "walk"
    run = Run(machine_of(subject, None), folder)
    link = f"{run.sockets}/gdb"                 # a short path: a socket's name has at most 107 bytes
    run.machine = machine_of(subject, link)
    line, environment = debugger(options, run.machine, link, at)
    with run:
        run.wait_for_debugger(Path(link))
        if options.auto:
            status = subprocess.run(line, env=environment, stdin=subprocess.DEVNULL).returncode
            if status not in (0, 1):
                spoken = [text for text in run.serial.text().splitlines() if text.strip()] or ["(none at all)"]
                print(f"bugcheck: the last line on COM1 was: {spoken[-1]}", file=sys.stderr)
            return status
        signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is GDB's: it stops a machine that runs
        return subprocess.run(line, env=environment).returncode


def walk_until_left(options):
    """A walk, and again from an earlier step as often as the reader goes back; the exit status."""
    again = OUT / "walk/again"
    at = 0
    while True:
        again.unlink(missing_ok=True)
        status = walk(options, at)
        if status != AGAIN or not again.exists():
            return status
        at = int(again.read_text())


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    build("step", "kernel", "archive", quiet=True)
    with alone_in(OUT / "walk"):
        status = walk_until_left(options)
    return status if status in (0, 1) else NOT_REACHED
