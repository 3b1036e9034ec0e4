"""The guilty module of a crash: the first frame that is neither the kernel's nor the disk's.

The kernel does its callers' bidding, and so does the file system; so both are passed over. Where no
driver is on the stack, because the damage is found late (at a thread's end, in a worker, in the reaper), it is the
routine that the parameters or the thread name, or the driver that was being loaded or unloaded.
"""

import re
from collections import namedtuple

import gdb

from kd.model.records import static
from kd.model.threads import is_thread, processor_stack
from kd.target.command import KdError
from kd.target.memory import structure, text_at, value_of
from kd.target.modules import module_named, unloaded_at
from kd.target.processors import guilty
from kd.target.symbols import nearest

SERVANTS = ("nt", "fastfat", "virtio-blk", "ivshmem")       # who works for others
CLOCK_WATCHDOG_TIMEOUT = 0x101

# frame: the Frame, or None where only a routine or a name is known; path: of the source; why: how it was found
Blame = namedtuple("Blame", "module function offset path file line frame why")


def crash_stack(bug):
    """(CPU, [Frame]) of the stack that tells: of the CPU that died, or of the one that a watchdog found hanging."""
    number = guilty().number if guilty() else 0
    if bug.code == CLOCK_WATCHDOG_TIMEOUT and bug.parameters[3] < value_of("KeNumberProcessors"):
        number = bug.parameters[3]
    return number, processor_stack(number)


def looked_up(frame):
    """The address that names a frame: a return address counts for the call before it."""
    return frame.rip if frame.is_trap else frame.rip - 1


def blame_of(address, frame, why):
    """A Blame for an address, or None where no module is."""
    found = nearest(address)
    if found is None:
        return None
    offset = found[2] if frame is None or frame.is_trap else found[2] + 1
    return Blame(found[0], found[1], offset, path_of(address, found[3]), found[3], found[4], frame, why)


def path_of(address, file):
    """The path of a source by its base name, where GDB finds the address in it, or in a function that is inlined there."""
    place = gdb.find_pc_line(address).symtab
    block = gdb.block_for_pc(address)
    while block is not None and (place is None or place.filename.rpartition("/")[2] != file):
        place = block.function.symtab if block.function else place
        block = block.superblock
    return place.fullname() if place is not None and place.filename.rpartition("/")[2] == file else None


def is_driver(address):
    """Whether an address lies in a module that does not work for another."""
    found = nearest(address)
    return found is not None and found[0] not in SERVANTS


def find(bug, frames):
    """Whom to look at: a Blame."""
    for frame in frames:
        if is_driver(looked_up(frame)):
            return blame_of(looked_up(frame), frame, "first frame that is neither the kernel's nor the file system's")
        gone = unloaded_at(looked_up(frame))
        if gone:
            return Blame(gone, None, 0, None, None, None, frame, "its code was called after it was unloaded")
    for address, why in routines(bug):
        if address and is_driver(address):
            return blame_of(address, None, why)
    judged = judged_driver()
    if judged:
        return judged
    for frame in frames:
        found = nearest(looked_up(frame))
        if found and found[0] != "nt":
            return blame_of(looked_up(frame), frame, "no driver is involved but this one")
    return blame_of(looked_up(frames[0]), frames[0], "all of the stack is the kernel's") if frames else None


def routines(bug):
    """Routines that parameters and threads name, the likeliest first: (address, how it is known)."""
    for index in range(4):
        kind, value = bug.kind(index)[0], bug.parameters[index]
        if kind == "THREAD" and is_thread(value):
            yield int(structure("KTHREAD", value)["StartRoutine"]), f"the thread in parameter {index + 1} began there"
        else:
            yield value, f"parameter {index + 1} names it"
    try:
        thread = int(value_of("KiBug")["Thread"])
        if is_thread(thread):
            yield int(structure("KTHREAD", thread)["StartRoutine"]), "the thread that died began there"
    except (KdError, gdb.error):
        return


JUDGED = re.compile(r"(?P<module>[^!+\s]+)!(?P<function>[^+\s]+)(?:\+0x(?P<offset>[0-9a-f]+))?"
                    r"(?: \((?P<file>[^:]+):(?P<line>\d+)\))?")


def judged_driver():
    """A Blame for the driver that was being loaded or unloaded, or None; the rules of judge/judge.c."""
    try:
        step = int(static("judge.c", "StepName"))
        name = text_at(step) if step else None
        unloading = text_at(int(static("judge.c", "UnloadName").address))
        if name and int(static("judge.c", "IsLoading")):
            entry = int(structure("KLDR_DATA_TABLE_ENTRY", module_named(name).entry)["EntryPoint"])
            return blame_of(entry, None, "its DriverEntry was running") if entry else named(name)
    except (KdError, gdb.error):
        return None
    found = JUDGED.match(unloading or "")
    if found is None:
        return named(name) if name else None
    return Blame(found["module"], found["function"], int(found["offset"] or "0", 16), None, found["file"],
                 int(found["line"]) if found["line"] else None, None, "its DriverUnload was running")


def named(name):
    """A Blame for a driver of which no more is known."""
    return Blame(name, None, 0, None, None, None, None, "the driver that was being loaded or unloaded")


def servant_of(frames, guilty):
    """The frame of a module that died while it worked for the guilty one, or None: the file system's, the kernel's."""
    if guilty is None or guilty.frame is None or not frames or guilty.frame is frames[0]:
        return None
    return frames[0]


def called_by(frames, guilty):
    """The name of the kernel's routine that the guilty frame called, or None: "ZwWriteFile"."""
    if guilty is None or guilty.frame not in frames[1:]:
        return None
    found = nearest(looked_up(frames[frames.index(guilty.frame) - 1]))
    return found[1] if found and found[0] == "nt" else None
