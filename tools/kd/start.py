"""What GDB runs first: opens the dump or the live machine that the launcher (tools/kdrun.py) names, then the prompt."""

import json
import os

import gdb

from kd import everything
from kd.command import first_line
from kd.session import interact, leave, run_line, session


def quiet(text):
    """Runs a command of GDB's without showing what it says."""
    return gdb.execute(text, to_string=True)


def main():
    options = json.loads(os.environ.pop("KD_OPTIONS"))
    try:
        open_target(options)
    except gdb.error as problem:
        print(f"kd: {options['target']}: {first_line(problem)}")
        leave(2)
    everything.load()
    if options["commands"] is None:
        interact()
        leave(0)
    leave(0 if run_line(options["commands"]) else 1)


def open_target(options):
    from kd import modules, unwinder
    session.kind, session.path, session.dump = options["kind"], options["target"], options.get("dump")
    modules.folders[:] = options["folders"]
    quiet(f"file {options['kernel']}")
    quiet("set disassembly-flavor intel")
    unwinder.install()
    quiet(("core-file " if session.kind == "dump" else "target remote ") + options["target"])
