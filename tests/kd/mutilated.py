"""Runs inside kd: damages the session's dump in 200 ways, opens each in this same GDB, and asks commands of it."""

import random
import tempfile

import gdb

from kd import overlay
from kd.start import quiet
from kd.target import modules, scope
from kd.target.command import commands, first_line
from kd.target.session import run_command, session

COUNT = 200
ASKED = 4                                       # commands of each dump
UNASKED = ("q", "help", "u")                    # leave, or do not look at the dump


def damage(data, chance):
    """A dump with flipped bytes, a hole, or without its end."""
    kind = chance.randrange(4)
    if kind == 0:
        return data[:chance.randrange(64, len(data))]
    if kind == 1:                               # the headers and the notes
        for _ in range(chance.randrange(1, 20)):
            data[chance.randrange(0, 8192)] = chance.randrange(256)
    elif kind == 2:
        start = chance.randrange(len(data))
        data[start:start + 65536] = bytes(len(data[start:start + 65536]))
    else:
        for _ in range(chance.randrange(1, 5000)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    return data


def ask(path, names):
    """Opens a dump and runs commands on it."""
    try:
        quiet(f"core-file {path}")
    except (gdb.error, gdb.MemoryError) as problem:
        print(f"not opened: {first_line(problem)}")
        return
    scope.chosen, scope.frame_number = None, 0
    modules.known.clear()
    modules.current.clear()
    overlay.look()
    for name in names:
        run_command(name)


def main():
    chance = random.Random(2024)
    with open(session.path, "rb") as file:
        whole = file.read()
    names = sorted(name for name in commands if name not in UNASKED and not name.startswith(".trace"))
    for index in range(COUNT):
        with tempfile.NamedTemporaryFile(suffix=".elf") as file:
            file.write(damage(bytearray(whole), chance))
            file.flush()
            print(f"dump {index}")
            ask(file.name, [names[(index * ASKED + each) % len(names)] for each in range(ASKED)])
    print(f"all {COUNT}")


main()
