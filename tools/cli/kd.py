"""Opens the kernel debugger on a dump or a running machine: GDB with its Python.

`tools/bugcheck kd [FILE|--live SOCKET] [-c COMMANDS]`

FILE is a dump (build/run/crash.elf unless told: the last crash of `run`); --live is the Unix socket of a QEMU's GDB
server. With -c it runs the commands, which `;` separates, and leaves: 0 when all went well, 1 when one failed, 2 when
there was nothing to debug. The kernel.elf is the one whose code the dump holds; --kernel names another.
"""

import argparse
import json
import os
import signal
import stat
import subprocess
import tempfile
from pathlib import Path

from cli.options import Parser, say
from host import toolchain
from host.make import BUILDS
from host.paths import OUT, CannotRun
from kd.target.fits import NotAnElf, core_reader, fits, is_core
from machine.dumpfile import NotADump, inspect

FAILED = 2


def parse(words):
    parser = Parser("tools/bugcheck kd", "usage: tools/bugcheck kd [FILE|--live SOCKET] [--kernel FILE] [-c COMMANDS]")
    parser.add_argument("file", nargs="?")
    parser.add_argument("--live")
    parser.add_argument("--kernel")
    parser.add_argument("-c", dest="commands")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if options.file and options.live:
        raise CannotRun("a dump or a live machine, not both")
    return options


def gdb_words(start="start"):
    """The command line of GDB for a session; nothing of the user's own settings disturbs it. kd.START opens what is debugged."""
    gdb = toolchain.debugger()
    if gdb is None:
        raise CannotRun("no GDB: Debian package gdb is not installed")
    settings = ("debuginfod enabled off", "pagination off", "confirm off", "auto-load off", "history size 1000",
                "startup-quietly on", "height 0", "python print-stack none")
    words = [gdb, "-nx", "-q"]
    for setting in settings:
        words += ["-iex", f"set {setting}"]
    return words + ["-iex", toolchain.debugger_python(),
                    "-ex", f"python import kd.{start}; kd.target.session.begin(kd.{start}.main)",
                    "-ex", f"quit {FAILED}"]     # never reached, unless the debugger's own code could not even be loaded


def candidates(target, chosen, build=None):
    """The kernels that a dump or machine may have run, the likeliest first."""
    if chosen:
        if not Path(chosen).is_file():
            raise CannotRun(f"{chosen}: there is no such kernel")
        return [Path(chosen)]
    names = ([build] if build in BUILDS else []) + [name for name in BUILDS if name != build]
    found = [target.parent / "kernel.elf"] + [OUT / name / "kernel.elf" for name in names]
    found = [path.absolute() for path in found if path.is_file()]
    if not found:
        raise CannotRun(f"no kernel.elf beside {target} or in {OUT}: build it (make), or name it with --kernel")
    return found


def kernel_of_dump(target, chosen, build):
    """The kernel.elf that a dump's code is of; CannotRun when none fits."""
    paths = candidates(target, chosen, build)
    reader = core_reader(target)
    unsure = None
    for path in paths:
        judged = fits(path, reader)
        if judged:
            return path
        if judged is None and unsure is None:
            unsure = path
    if unsure is not None:
        say(f"{target}: none of the kernel's code is in it; {unsure} is taken for its kernel")
        return unsure
    names = ", ".join(map(str, paths))
    raise CannotRun(f"{target}: another kernel's dump: its code is not that of {names}; name the right one with --kernel")


def dump_options(target, chosen):
    """A dump's facts, for the session."""
    if not target.exists():
        hint = "" if target != OUT / "run" / "crash.elf" else "; tools/bugcheck run makes one when the machine crashes"
        raise CannotRun(f"{target}: there is no such file{hint}")
    if not is_core(target):
        raise CannotRun(f"{target}: not a dump: no ELF64 core file begins there")
    dump = None
    try:
        dump = inspect(str(target))
        for problem in dump.problems:
            say(f"{target}: {problem}; what is there is shown")
    except NotADump:
        pass                                # a core by QEMU's dump-guest-memory is as good
    kernel = kernel_of_dump(target, chosen, dump.build if dump else None)
    left_out = [list(row) for row in dump.left_out] if dump else []
    return {"kind": "dump", "kernels": [str(kernel)],
            "dump": dump and {"level": dump.level, "build": dump.build, "complete": dump.complete, "seed": dump.seed,
                              "problems": dump.problems, "version": dump.version, "left_out": left_out,
                              "slot_bytes": dump.slot_bytes, "tsc": dump.tsc, "tsc_hz": dump.tsc_hz}}


def live_options(target, chosen):
    """The same of a live machine; which kernel it runs is found out when its memory can be read."""
    if not target.exists():
        raise CannotRun(f"{target}: there is no such socket; start QEMU with -chardev socket,path={target},server=on,"
                        "wait=off,id=g -gdb chardev:g")
    if not stat.S_ISSOCK(target.stat().st_mode):
        raise CannotRun(f"{target}: not a socket; a dump is opened without --live")
    return {"kind": "live", "kernels": list(map(str, candidates(target, chosen))), "dump": None}


def session_options(options):
    """All that kd.start wants to know."""
    target = Path(options.live or options.file or OUT / "run" / "crash.elf")
    about = live_options(target, options.kernel) if options.live else dump_options(target, options.kernel)
    places = [str(target.parent), *(str(Path(kernel).parent / "drivers") for kernel in about["kernels"])]
    judged = sorted((path for path in (OUT / "driver").glob("*") if path.is_dir()), key=lambda path: path.name)
    return about | {"target": str(target), "folders": places, "drivers": [str(path) for path in judged],
                    "commands": options.commands}


def debug(settings, start="start"):
    """Runs GDB with the settings that kd.START wants to know; returns the exit status."""
    words = gdb_words(start)
    with tempfile.TemporaryDirectory(prefix="bugcheck-kd-") as folder:
        path = Path(folder) / "options.json"
        path.write_text(json.dumps(settings | {"folder": folder}))
        environment = dict(os.environ, KD_OPTIONS=str(path), PYTHONDONTWRITEBYTECODE="1")
        signal.signal(signal.SIGINT, lambda *_: None)       # Ctrl-C is GDB's
        status = subprocess.run(words, env=environment).returncode
    return status if status >= 0 else 128 - status


def main(words):
    options = parse(words)
    if options.check:
        return 0
    try:
        return debug(session_options(options))
    except NotAnElf as trouble:
        raise CannotRun(trouble) from None
