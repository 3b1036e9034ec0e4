"""The start of GDB for `kd`: opens the dump or the live machine, then the prompt."""

import json
import os
import sys

import gdb

from kd import everything, overlay
from kd.target import modules
from kd.target.command import KdError, as_word, first_line
from kd.target.fits import fits
from kd.target.memory import try_read
from kd.target.processors import guilty
from kd.target.session import interact, leave, run_line, session


def quiet(text):
    """Runs a command of GDB's without showing what it says."""
    try:
        return gdb.execute(text, to_string=True)
    except UnicodeDecodeError:              # it has run; what a damaged dump calls itself is no text
        return ""


def main():
    with open(os.environ.pop("KD_OPTIONS"), encoding="utf-8") as file:
        options = json.load(file)
    try:
        open_target(options)
    except (KdError, gdb.error) as problem:
        print(f"kd: {options['target']}: {first_line(problem)}", file=sys.stderr)
        leave(2)
    everything.load()
    if options["commands"] is not None:
        leave(0 if run_line(options["commands"]) else 1)
    greet()
    interact()
    leave(0)


def greet():
    """A greeting that fails is no reason to end, nor is a file that cannot be loaded."""
    try:
        from kd.commands.analyze import greet as tell
        tell()
    except Exception as problem:
        print(f"kd: {first_line(problem)}; `help` lists the commands")


def open_target(options):
    """The kernel's symbols, the machine, and the modules that it has loaded."""
    session.kind, session.path, session.dump = options["kind"], options["target"], options.get("dump")
    modules.folders[:], modules.more_folders[:] = options["folders"], options.get("drivers", [])
    kernels = options["kernels"] if "kernels" in options else [options["kernel"]]
    if session.kind == "live":
        quiet(f"target remote {options['target']}")
        quiet(f"file {as_word(running_kernel(kernels))}")
        overlay.install()
    else:
        quiet(f"file {as_word(options['kernels'][0])}")
        overlay.install()
        open_core(options["target"])
    overlay.look()
    if overlay.is_up():
        select_guilty()


def open_core(path):
    """Opens a dump. Since GDB 16 its name is one word of the command; before, it is the whole rest of the line."""
    try:
        quiet(f"core-file {as_word(path)}")
    except gdb.error:
        quiet(f"core-file {path}")


def running_kernel(kernels):
    """The kernel.elf that a live machine runs; the likeliest where it has not come to run one."""
    judged = [fits(path, try_read) for path in kernels]
    for path, fitting in zip(kernels, judged):
        if fitting:
            return path
    if None in judged:
        return kernels[judged.index(None)]
    raise KdError(f"it runs another kernel than {', '.join(kernels)}; name the right one with --kernel")


def select_guilty():
    """A machine that has died is looked at from the CPU that it died on."""
    try:
        found = guilty()
        if found is not None and found.gdb_thread is not None:
            found.gdb_thread.switch()
    except (KdError, gdb.error) as problem:
        print(f"kd: which CPU the machine died on cannot be read: {first_line(problem)}")
