"""Runs one scenario for a person: builds, boots, shows the story, judges how it ended.

The exit status is 0 if the scenario ended as expected, 1 if not, 2 if it could not be run.
tools/bugcheck calls this after it has seen to the packages; `tools/bugcheck help` explains the options.
"""

import argparse
import glob
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from cli.options import Parser, say, scenarios, whole
from host import toolchain
from host.folderlock import alone_in
from host.make import BUILDS, build_for
from host.paths import OUT, TOP, CannotRun, shown
from machine.dumpdisk import dump_line, forget_dump, keep_dump, link_kernel
from machine.emulators import DUMP_LEVELS, Machine, qemu_version
from machine.lastcrash import remember
from machine.process import Run, handle_signals, hang_report

def beyond_core():
    """The scenarios that need more than the kernel within the kernel."""
    return re.findall(r'RING_SCENARIO\("([^"]+)"', (TOP / "kernel/story/scenarios.def").read_text())


def check_core(options, known):
    """The core has neither the tests inside the kernel nor every scenario, and loads no file system."""
    if options.test or options.volume:
        raise CannotRun(f"--core has no {'tests inside it' if options.test else 'file system'}: take the whole kernel, without --core")
    if options.scenario in beyond_core():
        raise CannotRun(f"the core has no scenario '{options.scenario}'; it has: "
                        f"{', '.join(name for name in known if name not in beyond_core())}")


def parse(words):
    parser = Parser("tools/bugcheck")
    parser.add_argument("command", choices=("run", "gdb"))
    parser.add_argument("scenario", nargs="?")
    parser.add_argument("--headless", action="store_true")
    builds = parser.add_mutually_exclusive_group()
    builds.add_argument("--free", dest="build", action="store_const", const="free")
    builds.add_argument("--core", dest="build", action="store_const", const="core")
    builds.add_argument("--build", choices=BUILDS)
    ways = parser.add_mutually_exclusive_group()
    for way in ("bios", "uefi", "pvh", "bochs"):
        ways.add_argument(f"--{way}", dest="way", action="store_const", const=way)
    parser.add_argument("--cpus", type=whole(1, 255), default=4)
    parser.add_argument("--mem", type=whole(4, 1 << 20), default=256)
    parser.add_argument("--seed", type=whole(0, (1 << 63) - 1))
    parser.add_argument("--timeout", type=whole(1, 86400), default=120)
    parser.add_argument("--test")
    parser.add_argument("--append", default="")
    parser.add_argument("--qemu", action="append", default=[])
    parser.add_argument("--no-disk", action="store_true")
    parser.add_argument("--volume", type=lambda word: word == "new" or Path(word), default=False)
    parser.add_argument("--dump", choices=DUMP_LEVELS, default="full")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)   # the scenario may stand before, among or behind the options
    known = scenarios()
    if options.scenario is not None and options.scenario not in known:
        raise CannotRun(f"unknown scenario '{options.scenario}'; the scenarios are: {', '.join(known)}")
    if options.build == "core":
        check_core(options, known)
    if options.seed is not None and options.way not in (None, "pvh"):
        raise CannotRun("--seed needs --pvh: GRUB reads its ISO at host time, which is not repeatable")
    return options


def machine_of(options):
    is_direct = options.seed is not None or options.command == "gdb" or toolchain.prefix()     # no GRUB for this CPU elsewhere
    way = options.way or ("pvh" if is_direct else "bios")
    what = f"test={options.test}" if options.test else f"scenario={options.scenario or 'story'}"
    usual = "step" if options.command == "gdb" else "checked"
    return Machine(way=way, build=options.build or usual, cmdline=f"{what} {options.append}".strip(),
                   cpus=options.cpus, mem=options.mem, seed=options.seed, disk=not options.no_disk, volume=options.volume,
                   dump=None if options.dump == "none" or options.build == "core" else options.dump,
                   leave=way == "bochs", extra=tuple(options.qemu))


def groups_of(machine):
    """The groups of tools/packages that a machine needs."""
    groups = {"pvh": ["run"], "uefi": ["run", "iso", "uefi"]}
    return groups.get(machine.way, ["run", "iso"])


def has_window(options):
    """Whether a window can be opened; says in one line why not where a person might expect one."""
    if options.headless or options.way == "bochs":
        return False
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        say("no display: the screen goes to a file")
        return False
    if not glob.glob("/usr/lib/*/qemu/ui-gtk.so"):
        say("no window: the package qemu-system-gui is not installed; the screen goes to a file")
        return False
    return True


def judge(outcome):
    """One line on how the run ended, and whether that is how it should end."""
    verdict = outcome.verdict
    if verdict is None:
        return outcome.departure(), False
    ended = verdict["end"]
    if ended == "bugcheck":
        ended = f"bugcheck {verdict.get('code')} {verdict.get('name')}"
    expected = verdict.get("expected") is True
    return (f"{verdict.get('scenario') or 'the kernel'} ended with: {ended}, "
            f"{'as expected' if expected else 'which is NOT expected'} ({outcome.seconds:.1f} s)"), expected


def show(machine, folder, limit, window):
    """Boots, prints COM1 as it comes, leaves the files; returns the exit status."""
    screen = folder / "screen.png"
    screen.unlink(missing_ok=True)
    (folder / "verdict.json").unlink(missing_ok=True)
    forget_dump(folder)
    with Run(machine, folder, on_line=lambda line: print(line, flush=True)) as run:
        outcome = run.wait(limit)
        alive = run.process.poll() is None
        if outcome.ended == "left" and not outcome.serial.strip() and outcome.stderr.strip():
            raise CannotRun(f"QEMU could not start: {outcome.stderr.strip().splitlines()[0]}")
        if outcome.ended == "limit":
            for line in hang_report(run, limit):
                say(line)
        if alive and machine.way != "bochs":
            run.screendump(screen)
        text, expected = judge(outcome)
        say(text)
        remember(machine, outcome.verdict)
        if expected and outcome.verdict["end"] == "completed" and outcome.verdict.get("scenario"):
            say("next: tools/bugcheck run paged (the same touch at the wrong IRQL); tools/bugcheck list names the others")
        if outcome.verdict:
            (folder / "verdict.json").write_text(json.dumps(outcome.verdict) + "\n")
        say(f"screen: {shown(screen) if screen.exists() else 'none'}   serial: {shown(folder / 'serial.log')}")
        if window and outcome.ended == "verdict":
            say("close the window to end")
            run.process.wait()
    kept = keep_dump(folder)
    if kept:
        link_kernel(machine)
        say(dump_line(*kept))
    return 0 if expected else 1


def command_run(options):
    machine, folder = machine_of(options), OUT / "run"
    if machine.way != "bochs":
        qemu_version()
    window = has_window(options)
    build_for(machine)
    if window:
        machine.display = "gtk"
        try:
            return show(machine, folder, options.timeout, True)
        except CannotRun as problem:
            say(f"no window ({problem}); the screen goes to a file")
            machine.display = "none"
    return show(machine, folder, options.timeout, False)


def command_gdb(options):
    machine, folder = machine_of(options), OUT / "run"
    if machine.way == "bochs":
        raise CannotRun("gdb needs QEMU, not --bochs")
    qemu_version()
    build_for(machine)
    link = Path(os.path.relpath(folder / "gdb.sock"))       # relative: a socket's name has at most 107 bytes
    link.unlink(missing_ok=True)
    machine.extra += ("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
    kernel, serial = str(shown(machine.files() / "kernel.elf")), str(shown(folder / "serial.log"))
    debugger = [toolchain.debugger() or "gdb", "-q", "-iex", "set debuginfod enabled off", "-iex", "set pagination off",
                "-iex", f"python import sys; sys.path.insert(0, {str(TOP / 'tools')!r})", kernel,
                "-ex", "python import kd.plain", "-ex", f"target remote {link}", "-ex", "hbreak KeBugCheckEx",
                "-ex", "hbreak KiBugCheckFromTrap", "-ex", f"python kd.plain.greet({machine.build!r}, {serial!r})"]
    with Run(machine, folder) as run:
        run.wait_for_debugger(link)
        if sys.stdin.isatty():
            say("the machine stands at its first instruction; `continue` lets it run")
            signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C is GDB's: it stops a machine that runs
            return subprocess.run(debugger).returncode
        say(f"the machine stands at its first instruction, for {options.timeout} s: "
            f"gdb -q {kernel} -ex 'target remote {link}'")
        run.wait(options.timeout)
    return 0


def main(words):
    if words == ["--check-qemu"]:
        qemu_version()
        return 0
    options = parse(words)
    if options.check:           # the launcher's question: are the words right, and what do they need?
        print(*groups_of(machine_of(options)), *(["gdb"] if options.command == "gdb" else []))
        return 0
    handle_signals()
    with alone_in(OUT / "run"):
        return command_gdb(options) if options.command == "gdb" else command_run(options)
