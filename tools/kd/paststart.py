"""The start of GDB for `rewind`: makes the run again, goes to the event, then the prompt."""

import atexit
import json
import os

import gdb

from host.paths import CannotRun
from kd import everything, overlay
from kd.commands.pastcommands import find, move, past
from kd.target import modules
from kd.target.command import KdError, as_word, first_line
from kd.target.session import interact, leave, run_line, session


def main():
    with open(os.environ.pop("KD_OPTIONS"), encoding="utf-8") as file:
        options = json.load(file)
    session.kind, session.path, session.past = "past", options["target"], None
    session.plugin, session.run = options["plugin"], options["run"]
    modules.folders[:] = options["folders"]
    gdb.execute(f"file {as_word(options['kernel'])}", to_string=True)
    overlay.install()
    gdb.execute("set suppress-cli-notifications on")        # it would tell of each stop on the way
    everything.load()
    atexit.register(end)
    try:
        move(past(), find(past(), options["to"]))
    except (KdError, CannotRun, gdb.error) as problem:
        print(f"bugcheck: rewind: {first_line(problem)}")
        finish(2)
    good = True
    if options["commands"] is None:
        interact()
    else:
        good = run_line(options["commands"])
    finish(0 if good else 1)


def end():
    if session.past:
        session.past.leave()


def finish(status):
    end()
    leave(status)
