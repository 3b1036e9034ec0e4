"""Whose fault a crash is: the stack that tells, and in it the first frame that is neither the kernel's nor the disk's.

The kernel does what it is asked, and the file system works for whoever called it; so both are passed over. Where no
driver is on the stack, because the damage is found late (at a thread's end, in a worker, in the reaper), it is the
routine that the parameters or the thread name.
"""

from collections import namedtuple

import gdb

from kd.bugcodes import Bug
from kd.command import KdError
from kd.memory import structure, text_at, value_of
from kd.processors import guilty, processor
from kd.records import static
from kd.symbols import line_of, nearest
from kd.threads import is_thread, processor_stack

SERVANTS = ("nt", "fastfat", "virtio-blk", "ivshmem")       # who works for others
CLOCK_WATCHDOG_TIMEOUT = 0x101

# frame: the Frame, or None where only a routine or a name is known; address: to look up; why: how it was found
Blame = namedtuple("Blame", "module function offset address file line frame why")


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
    file, line = line_of(address)
    offset = found[2] if frame is None or frame.is_trap else found[2] + 1
    return Blame(found[0], found[1], offset, address, file, line, frame, why)


def is_driver(address):
    """Whether an address lies in a module that works for nobody else."""
    found = nearest(address)
    return found is not None and found[0] not in SERVANTS


def find(bug, frames):
    """Whom to look at: a Blame."""
    for frame in frames:
        if is_driver(looked_up(frame)):
            return blame_of(looked_up(frame), frame, "first frame that is neither the kernel's nor the file system's")
    for address, why in routines(bug):
        if address and is_driver(address):
            return blame_of(address, None, why)
    driver = judged_driver()
    if driver:
        return Blame(driver, None, 0, None, None, None, None, "the driver that was being loaded or unloaded")
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
            yield int(structure("KTHREAD", value)["StartRoutine"]), f"start routine of the thread in parameter {index + 1}"
        else:
            yield value, f"parameter {index + 1}"
    try:
        yield static_value("judge.c", "StepRoutine"), "the routine that was being called"
        thread = int(value_of("KiBug")["Thread"])
        if is_thread(thread):
            yield int(structure("KTHREAD", thread)["StartRoutine"]), "start routine of the thread that died"
    except (KdError, gdb.error):
        return


def static_value(source, name):
    return int(static(source, name))


def judged_driver():
    """The driver that was being loaded or unloaded, or None."""
    try:
        name = static_value("judge.c", "StepName")
        return text_at(name) if name else None
    except (KdError, gdb.error):
        return None
