"""Calls of make, which builds a kernel, an archive or an ISO for the tools.

Make takes a space in a path for the end of a word, so it gets paths from the top of the tree.
"""

import contextlib
import os
import subprocess
import sys
import threading

from host.paths import OUT, TOP, CannotRun

BUILDS = ("checked", "free", "step", "ubsan", "race", "core")
PATIENCE = 5                    # seconds that a build may take without a word


def make_command(name, *targets):
    """The words that make these targets of a build; CannotRun where make could not write to OUT."""
    out = os.path.relpath(OUT, TOP)
    if any(letter.isspace() for letter in out):
        raise CannotRun(f"OUT is '{OUT}': make cannot build in a folder with a space in its name, unless it is the clone's")
    return ["make", "-s", "-C", str(TOP), f"-j{os.cpu_count()}", f"BUILD={name}", f"OUT={out}", *targets]


@contextlib.contextmanager
def told_if_long(name):
    """Around a build that shows nothing: a line when it takes long, as the first one does."""
    text = f"bugcheck: building the {name} kernel, which takes a minute or two the first time\n"
    timer = threading.Timer(PATIENCE, sys.stderr.write, (text,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def build(name, *targets, quiet=False):
    """Makes targets of a build; its output is shown unless quiet."""
    with told_if_long(name) if quiet else contextlib.nullcontext():
        done = subprocess.run(make_command(name, *targets), stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode:
        raise CannotRun(f"the {name} build failed")


def build_for(machine, quiet=False):
    """The files that a machine boots: PVH needs no ISO, and so no GRUB."""
    build(machine.build, *(("kernel", "archive") if machine.way == "pvh" else ("iso",)), quiet=quiet)
