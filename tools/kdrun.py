"""Opens the kernel debugger: `tools/bugcheck kd [FILE|--live SOCKET] [-c COMMANDS]`, on Debian's GDB and its Python.

FILE is a dump (build/run/crash.elf unless told: the last crash of `run`); --live is the Unix socket of a QEMU's GDB
server. With -c it runs the commands, which `;` separates, and leaves: 0 when all went well, 1 when one failed, 2 when
there was nothing to debug.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from machine import OUT, TOP, CannotRun

KD = TOP / "tools"
BUILDS = ("checked", "free", "ubsan")


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message):
        raise CannotRun(f"{message}; usage: tools/bugcheck kd [FILE|--live SOCKET] [-c COMMANDS] [--kernel FILE]")


def parse(words):
    parser = Parser(prog="tools/bugcheck kd", add_help=False, allow_abbrev=False)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--live")
    parser.add_argument("--kernel")
    parser.add_argument("-c", dest="commands")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if options.file and options.live:
        raise CannotRun("a dump or a live machine, not both")
    return options


def gdb_words(options):
    """The command line of GDB for a session."""
    return [shutil.which("gdb"), "-nx", "-q", "-iex", "set debuginfod enabled off", "-iex", "set pagination off",
            "-iex", "set confirm off", "-iex", "set auto-load off", "-iex", "set history size 1000",
            "-iex", f"python import sys; sys.path.insert(0, {str(KD)!r}); sys.dont_write_bytecode = True",
            "-ex", "python import kd.start; kd.start.main()"]


def kernel_for(target, chosen):
    """The kernel.elf that fits."""
    if chosen:
        return Path(chosen)
    return OUT / "checked" / "kernel.elf"


def session_options(options):
    kind = "live" if options.live else "dump"
    target = Path(options.live or options.file or OUT / "run" / "crash.elf")
    if not target.exists():
        raise CannotRun(f"{target}: there is no such file")
    kernel = kernel_for(target, options.kernel)
    folders = [str(kernel.parent / "drivers"), str(target.parent)]
    return {"kind": kind, "target": str(target), "kernel": str(kernel), "folders": folders, "commands": options.commands}


def main(words):
    options = parse(words)
    if options.check:
        return 0
    if not shutil.which("gdb"):
        raise CannotRun("no GDB: Debian package gdb is not installed")
    environment = dict(os.environ, KD_OPTIONS=json.dumps(session_options(options)))
    return subprocess.run(gdb_words(options), env=environment).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except CannotRun as problem:
        print(f"bugcheck: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
