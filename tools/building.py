"""Calls make for the tools. Make takes a space in a path for the end of a word, so it is told paths from the top of the tree."""

import os
import subprocess

from machine import OUT, TOP, CannotRun


def make_command(name, *targets):
    """The words that make these targets of a build; CannotRun where make could not write to OUT."""
    out = os.path.relpath(OUT, TOP)
    if any(letter.isspace() for letter in out):
        raise CannotRun(f"OUT is '{OUT}': make cannot build in a folder with a space in its name, unless it is the clone's")
    return ["make", "-s", "-C", str(TOP), f"-j{os.cpu_count()}", f"BUILD={name}", f"OUT={out}", *targets]


def build(name, *targets, quiet=False):
    """Makes targets of a build; its output is shown unless quiet."""
    done = subprocess.run(make_command(name, *targets), stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode:
        raise CannotRun(f"the {name} build failed")


def build_for(machine, quiet=False):
    """What a machine boots: PVH needs no ISO, and so no GRUB."""
    build(machine.build, *(("kernel", "archive") if machine.way == "pvh" else ("iso",)), quiet=quiet)
