"""Goes back from a crash: makes the run again, stops it at an earlier event, debugs there.

`tools/bugcheck rewind [--to EVENT] [-c COMMANDS]` takes the last seeded run that crashed.

EVENT is trim, allocate, free, acquire, raise, fault, switch or bugcheck (the last one before the crash that concerns it), last
(the last one of the CPU that crashed, the default), -N (the N-th event before the crash on any CPU), or CPU:N (an event by its
number). Inside, `back`, `forward`, `to`, `events` and `why ADDRESS` go on.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from cli import kd, recording
from cli.options import Parser
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun
from machine.emulators import qemu_version
from machine.lastcrash import KEPT, recall, told
from machine.process import handle_signals

PLUGIN = TOP / "tools/plugin/rewind.c"


def parse(words):
    parser = Parser("tools/bugcheck rewind", "usage: tools/bugcheck rewind [--to EVENT] [-c COMMANDS]")
    parser.add_argument("--to", default="last")
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("scenario", nargs="?")
    parser.add_argument("-c", dest="commands")
    parser.add_argument("--run", type=Path, default=KEPT, help=argparse.SUPPRESS)       # another one than the last
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(join_to(words))


def join_to(words):
    """`--to -3` as one word: argparse would take -3 for an option."""
    joined, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        joined.append(f"--to={rest.pop(0)}" if word == "--to" and rest else word)
    return joined


def build_plugin():
    """The path of the plugin, built if it is older than its source."""
    made = OUT / "plugin/rewind.so"
    if not made.exists() or made.stat().st_mtime < max(path.stat().st_mtime for path in PLUGIN.parent.iterdir()):
        made.parent.mkdir(parents=True, exist_ok=True)
        fresh = made.with_suffix(f".{os.getpid()}")
        done = subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", fresh, PLUGIN,
                               "-ldl"], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise CannotRun(f"QEMU's plugin does not compile: {done.stderr.strip().splitlines()[0]}")
        fresh.rename(made)
    return made


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    if options.reverse:
        return recording.debug(options.scenario or "paged", options.commands)
    if options.scenario:
        raise CannotRun(f"'{options.scenario}': a scenario goes with --reverse; without it the last seeded run is taken")
    machine, _ = recall(options.run)
    for line in told(machine, options.run):
        print(f"bugcheck: {line}", file=sys.stderr)
    folder = options.run.absolute().parent / "rewind"
    with alone_in(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return debug(options, machine, folder)


def debug(options, machine, folder):
    """Opens the debugger at the event; its status."""
    places = [machine.archive and machine.archive.parent, machine.files() / "drivers"]
    settings = {"target": str(folder), "kernel": str(machine.files() / "kernel.elf"),
                "folders": [str(path) for path in places if path], "commands": options.commands, "to": options.to,
                "plugin": str(build_plugin()), "run": str(options.run)}
    return kd.debug(settings, "paststart")
