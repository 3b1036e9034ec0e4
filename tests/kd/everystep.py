"""For GDB: goes through stepped.c's Sample and all that it calls, and writes each instruction's state and stack.

An instruction is written down the first times that it is met.
A line is "rip rsp rbp", "|", the frames that GDB finds by DWARF, "|", those that kd's k finds, "|", the words from rsp on.
The environment names the tools (TOOLS), the kernel without its table for drivers (KERNEL), the socket (SOCKET), the folders
of symbols (FOLDERS), the file to write (OUTPUT) and how many instructions at most (LIMIT).
"""

import os
import sys

import gdb

WORDS, FRAMES, PAGE = 768, 10, 4096
VISITS = 2                                  # of one instruction; loops are gone through silently
sys.path.insert(0, os.environ["TOOLS"])
for setting in ("pagination off", "confirm off", "debuginfod enabled off", "backtrace past-main on"):
    gdb.execute(f"set {setting}")
gdb.execute(f"file {os.environ['KERNEL']}", to_string=True)
gdb.execute(f"target remote {os.environ['SOCKET']}", to_string=True)

from kd.model import threads             # noqa: E402
from kd.target import modules             # noqa: E402
from kd.target.processors import Context           # noqa: E402


def number(name):
    return int(gdb.selected_frame().read_register(name)) & (1 << 64) - 1


def gdb_frames():
    found, frame = [], gdb.newest_frame()
    while frame is not None and len(found) < FRAMES:
        if frame.type() != gdb.INLINE_FRAME:
            found.append(frame.pc())
        frame = frame.older()
    return found


def words_at(address):
    """Up to WORDS words; fewer where the stack ends."""
    found, end = b"", address + 8 * WORDS
    while address < end:
        count = min(end, (address | PAGE - 1) + 1) - address
        try:
            found += gdb.selected_inferior().read_memory(address, count).tobytes()
        except gdb.MemoryError:
            break
        address += count
    return found


def stop_at(place):
    breakpoint_ = gdb.Breakpoint(place, type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
    gdb.execute("continue", to_string=True)
    breakpoint_.delete()


modules.folders[:] = os.environ["FOLDERS"].split(":")
stop_at("PnpCallDriverEntry")
modules.refresh()
while not any(module.name == "stepped" for module in modules.current):
    stop_at("PnpCallDriverEntry")
    modules.refresh()
stop_at("Sample")
with open(os.environ["OUTPUT"], "w", encoding="ascii") as output:
    start, visits = number("rsp"), {}
    for _ in range(int(os.environ["LIMIT"])):
        rip, rsp, rbp = map(number, ("rip", "rsp", "rbp"))
        if rsp > start:
            break
        visits[rip] = visits.get(rip, 0) + 1
        if visits[rip] > VISITS:
            gdb.execute("stepi", to_string=True)
            continue
        ours = [frame.rip for frame in threads.stack_from(Context(rip, rsp, rbp, 0), FRAMES)]
        words = words_at(rsp)
        stack = [int.from_bytes(words[at:at + 8], "little") for at in range(0, len(words), 8)]
        print(" | ".join(" ".join(f"{value:x}" for value in row) for row in ((rip, rsp, rbp), gdb_frames(), ours, stack)), file=output)
        gdb.execute("stepi", to_string=True)
    for module in modules.current:
        for section in module.sections:
            print(f"section {module.name} {section.index} {section.start:x} {section.size:x}", file=output)
try:
    gdb.execute("kill")
except gdb.error:                           # the machine is gone before it has answered
    pass
