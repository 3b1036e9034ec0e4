"""The start of GDB for `step`: attaches to the machine, then leads through the subject."""

import importlib
import json
import os
import sys

import gdb

from kd.overlay import ThreadList
from kd.target.command import as_word
from steps.cpus import Cpu, MachineGone, WalkError, quiet
from steps.guide import Guide, Prompt, say

AGAIN = 3                                       # the exit status that asks tools/cli/step.py for a new machine


def main():
    options = json.loads(os.environ.pop("STEP_OPTIONS"))
    Cpu.seconds = options["limit"]
    try:
        quiet("set disassembly-flavor intel")
        quiet(f"file {as_word(options['kernel'])}")
        quiet(f"target remote {options['socket']}")
        ThreadList()
        guide = Guide(importlib.import_module(f"steps.{options['subject']}"))
        guide.subject.FOLDER = options["drivers"]
        guide.introduce(options["at"])
        if options["auto"]:
            leave(walk(guide))
        if not options["at"]:
            print()
            say("Press Enter (or type n) to do what is announced. `help` lists the guide's other words; all of GDB works in between, "
                "and `quit` ends it all.")
        guide.announce()
    except (WalkError, gdb.error) as problem:
        say(f"step: {problem}")
        leave(2)
    except KeyboardInterrupt:
        leave(130)
    if Prompt(guide, lambda number: again(number, options["again"])).interact():
        leave(0)
    say("This is GDB's own prompt. `quit` ends it, and the machine.")


def walk(guide):
    """All steps without a reader; the exit status."""
    try:
        while guide.done < len(guide.steps):
            guide.announce()
            guide.advance()
    except MachineGone as problem:
        say(f"step: {problem}")
        return 1 if guide.broken else 2
    except (WalkError, gdb.error) as problem:
        say(f"NOT as announced: {problem}", "  *** ")
        return 1
    return 1 if guide.broken else 0


def again(number, path):
    """Ends this GDB and its machine; tools/cli/step.py starts both anew, and so many steps are done in silence."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(str(number))
    leave(AGAIN)


def leave(status):
    """Ends GDB, and with it the machine."""
    try:
        quiet("disconnect")
    except gdb.error:
        pass                                    # there was no machine, or it has gone
    sys.stdout.flush()
    gdb.execute(f"quit {status}")
