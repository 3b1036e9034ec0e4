"""Kernel threads and their stacks, walked through traps as the kernel's report walks them.

Call frame information tells the way.

    a waiting thread: KernelStack -> r15 r14 r13 r12 rbx rbp, return address into the scheduler

The rules are those of kernel/report/stack.c, read from the files with the debug information.
"""

import struct
from collections import namedtuple

import gdb

from build.callframes import RBP, RIP, RSP
from kd.target import scope
from kd.target.command import KdError
from kd.target.memory import MASK, address_of, grave, offset_of, size_of, structure, text_at, try_read, unreadable, walk_list
from kd.target.modules import module_at
from kd.target.processors import context_of_trap, current_number, processor, processors
from kd.target.symbols import line_of, nearest, symbol

Frame = namedtuple("Frame", "rip rsp rbp is_trap symbol trap_frame")
LIMIT = 128                                 # frames
# Sources in which a thread gives up its CPU, or loses it to an interrupt.
SCHEDULER = {"scheduler.c", "switch.asm", "wait.c", "delay.c", "lockwait.c", "dpc.c", "interrupts.c", "trap.asm"}
STATES = ("Initialized", "Ready", "Running", "Standby", "Terminated", "Waiting", "Transition")


def word(address):
    """The word at an address, or None."""
    data = try_read(address, 8) if address % 8 == 0 else None
    return struct.unpack("<Q", data)[0] if data else None


def is_trap_frame(address):
    """Whether a KTRAP_FRAME lies at an address that trap code left in rbp."""
    if address % 8 or try_read(address, size_of("KTRAP_FRAME")) is None:
        return False
    trap = structure("KTRAP_FRAME", address)
    return (trap["LinkRip"] == trap["Rip"] and trap["LinkRbp"] == trap["Rbp"] and int(trap["Vector"]) < 256
            and int(trap["SegCs"]) & 3 == 0 and int(trap["SegCs"]) != 0)


def described(rip, rsp, rbp, is_trap, trap_frame=0):
    """A Frame; a return address is named by the call before it."""
    if is_trap:
        return Frame(rip, rsp, rbp, True, symbol(rip), trap_frame)
    name = nearest(rip - 1)
    text = symbol(rip) if name is None else f"{name[0]}!{name[1]}+{name[2] + 1:#x}" if name[1] else symbol(rip)
    return Frame(rip, rsp, rbp, False, text, trap_frame)


def source_of(frame):
    """(file, line) of a frame, where a return address counts for the call before it; (None, None)."""
    return line_of(frame.rip if frame.is_trap else frame.rip - 1)


def caller_by_row(frame, row):
    """The caller of a Frame by its call frame information, or None."""
    start = ((frame.rbp if row.cfa[0] == RBP else frame.rsp) + row.cfa[1]) & MASK
    found = {}
    for number, otherwise in ((RIP, 0), (RSP, start), (RBP, frame.rbp)):
        kind, *where = row.registers.get(number, ("same",))
        found[number] = word(start + where[0]) if kind == "at" else otherwise
    if None in found.values() or not found[RIP]:
        return None
    trap = start - size_of("KTRAP_FRAME") if row.is_interrupt else 0
    return described(found[RIP], found[RSP], found[RBP], row.is_interrupt, trap if trap and is_trap_frame(trap) else 0)


def caller_of_nothing(frame):
    """The caller of an address where no code is: its return address is on top of the stack; or None."""
    back = word(frame.rsp) if frame.is_trap and nearest(frame.rip) is None else None
    return described(back, frame.rsp + 8, frame.rbp, False) if back and nearest(back) else None


def caller_by_rbp(frame):
    following, back = word(frame.rbp), word(frame.rbp + 8)
    return described(back, frame.rbp + 16, following, False) if following is not None and back else None


def caller_of(frame):
    """The next Frame outwards, or None."""
    address = frame.rip if frame.is_trap else frame.rip - 1
    module = module_at(address)
    row = module.row_at(address) if module else None
    if row is not None and row.cfa is not None and row.cfa[0] in (RSP, RBP):
        return caller_by_row(frame, row)
    return caller_of_nothing(frame) or caller_by_rbp(frame)


def follow(first, limit=LIMIT):
    """The stack from its first Frame on."""
    frames = [first]
    while len(frames) < limit:
        caller = caller_of(frames[-1])
        if caller is None or caller.rsp == frames[-1].rsp:      # the last one, or a loop
            break
        frames.append(caller)
    return frames


def stack_from(context, limit=LIMIT):
    """The stack of a Context: [Frame], innermost first."""
    return follow(described(context.rip, context.rsp, context.rbp, not context.is_call, context.trap_frame), limit)


def processor_stack(number):
    """The stack of what a CPU was doing: [Frame]."""
    return stack_from(processor(number).context)


def running_on(thread):
    """The Processor that a thread runs on, or None."""
    return next((p for p in processors() if p.thread == thread), None)


def saved_context(thread):
    """(rip, rsp, rbp) of a thread that does not run, as switch.asm left it; KdError where its stack is not there."""
    top = int(structure("KTHREAD", thread)["KernelStack"])
    rbp, rip = word(top + 0x28), word(top + 0x30)
    if rip is None or rbp is None:
        raise unreadable(top) if top else KdError(f"thread {grave(thread)} has no stack")
    return rip, top + 0x38, rbp


def stack_of(thread):
    """The stack of a thread, running or not: [Frame], innermost first."""
    on = running_on(thread)
    if on is not None:
        return stack_from(on.context)
    rip, rsp, rbp = saved_context(thread)
    is_new = rip == address_of("KiThreadStartup")
    return follow(described(rip, rsp, rbp, is_new))


def stack_in_scope():
    """The stack of what .thread or .trap chose, else of the selected CPU: [Frame], innermost first."""
    if scope.chosen is None:
        return processor_stack(current_number())
    if scope.chosen.kind == "trap":
        return stack_from(context_of_trap(scope.chosen.address))
    return stack_of(scope.chosen.address)


def all_threads():
    """The KTHREAD of every thread, in the order of their creation."""
    return walk_list(address_of("KiThreadList"), "KTHREAD", "ThreadListEntry")


def name_of(thread):
    """A thread's name."""
    return text_at(thread + offset_of("KTHREAD", "Name"), 24)


def state_name(value):
    """Waiting for 5."""
    return STATES[value] if 0 <= value < len(STATES) else f"state {value}?"


def top_frame(frames):
    """The first frame that is not the scheduler's: what the thread waits in."""
    for frame in frames:
        if source_of(frame)[0] not in SCHEDULER:
            return frame
    return frames[0] if frames else None


def is_thread(address):
    """Whether a KTHREAD lies at an address: its dispatcher header says so."""
    data = try_read(address, 1)
    try:
        return data is not None and address % 8 == 0 and data[0] == 6 and try_read(address, size_of("KTHREAD")) is not None
    except gdb.error:
        return False
