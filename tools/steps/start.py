"""What GDB runs first: attaches to the machine that tools/step.py has started, then leads through the subject."""

import importlib
import json
import os
import sys

import gdb

from kd.command import as_word
from steps.cpus import Cpu, WalkError, quiet
from steps.guide import Guide, install_commands, say


def main():
    options = json.loads(os.environ.pop("STEP_OPTIONS"))
    Cpu.seconds = options["limit"]
    try:
        quiet("set disassembly-flavor intel")
        quiet(f"file {as_word(options['kernel'])}")
        quiet(f"target remote {options['socket']}")
        guide = Guide(importlib.import_module(f"steps.{options['subject']}"))
        guide.subject.FOLDER = options["drivers"]
        guide.introduce()
        if options["auto"]:
            leave(walk(guide))
        install_commands(guide)
        print()
        say("Type n, or just Enter, to do what is announced; `plan` lists the steps, `panel` shows the values again; "
            "all of GDB works in between, and `quit` ends it all.")
        guide.announce()
    except (WalkError, gdb.error) as problem:
        say(f"step: {problem}")
        leave(2)
    except Exception as problem:                # the last resort: GDB would print it, go on, and leave with 0
        say(f"step: internal error: {type(problem).__name__}: {problem}")
        leave(2)
    except KeyboardInterrupt:
        leave(130)


def walk(guide):
    """All steps without a reader; the exit status."""
    try:
        while guide.done < len(guide.steps):
            guide.announce()
            guide.advance()
    except (WalkError, gdb.error) as problem:
        say(f"step: {problem}")
        return 1 if guide.broken else 2
    return 1 if guide.broken else 0


def leave(status):
    """Ends GDB, and with it the machine."""
    try:
        quiet("disconnect")
    except gdb.error:
        pass                                    # there was no machine, or it has gone
    sys.stdout.flush()
    gdb.execute(f"quit {status}")
