"""What GDB runs first: opens the dump or the live machine that the launcher (tools/kdrun.py) names, then the prompt."""

import json
import os

import gdb

from kd import everything, modules, overlay
from kd.command import KdError, first_line
from kd.session import interact, leave, run_line, session


def quiet(text):
    """Runs a command of GDB's without showing what it says."""
    return gdb.execute(text, to_string=True)


def main():
    options = json.loads(os.environ.pop("KD_OPTIONS"))
    try:
        open_target(options)
    except (KdError, gdb.error) as problem:
        print(f"kd: {options['target']}: {first_line(problem)}")
        leave(2)
    everything.load()
    if options["commands"] is not None:
        leave(0 if run_line(options["commands"]) else 1)
    interact()
    leave(0)


def open_target(options):
    """The kernel's symbols, then the machine, then the modules that it has loaded."""
    session.kind, session.path, session.dump = options["kind"], options["target"], options.get("dump")
    modules.folders[:] = options["folders"]
    quiet(f"file {options['kernel']}")
    overlay.install(options.get("folder"))
    quiet(("core-file " if session.kind == "dump" else "target remote ") + options["target"])
    overlay.look()
    select_guilty()


def select_guilty():
    """A machine that has died is looked at from the CPU that it died on."""
    from kd.processors import guilty
    try:
        found = guilty()
        if found is not None and found.gdb_thread is not None:
            found.gdb_thread.switch()
    except (KdError, gdb.error) as problem:
        print(f"kd: which CPU the machine died on cannot be read: {first_line(problem)}")
