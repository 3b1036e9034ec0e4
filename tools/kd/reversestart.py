"""The start of GDB for `rewind --reverse`: goes on to the bugcheck, then the prompt."""

import json
import os

import gdb

from kd import everything
from kd.start import open_target, quiet
from kd.target.command import first_line
from kd.target.session import interact, leave, run_line


def main():
    with open(os.environ.pop("KD_OPTIONS"), encoding="utf-8") as file:
        options = json.load(file)
    try:
        open_target(options)
        for place in options["stops"]:
            quiet(f"thbreak {place}")
        quiet("continue")
    except gdb.error as problem:
        print(f"kd: {options['target']}: {first_line(problem)}")
        leave(2)
    everything.load()
    print("kd: at the bugcheck, in the recording: reverse-stepi, reverse-continue and reverse-finish go back")
    if options["commands"] is None:
        interact()
        leave(0)
    leave(0 if run_line(options["commands"]) else 1)
