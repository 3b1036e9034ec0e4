"""Kernel threads, and their stacks: by the chain of frame pointers, through traps, as the kernel's own report walks them.

    every function:   push rbp; mov rbp, rsp      so  [rbp] = the caller's rbp,  [rbp + 8] = the return address
    a trap:           rbp = its KTRAP_FRAME       so  [rbp] = LinkRbp,           [rbp + 8] = LinkRip
    a waiting thread: KernelStack -> r15 r14 r13 r12 rbx rbp, return address into the scheduler

The rules are those of kernel/kd/stack.c. What has no frame yet (its first instruction) or never has one (.text.leaf) has
its return address on top of the stack.
"""

import struct
from collections import namedtuple

import gdb

from kd.command import KdError
from kd.memory import address_of, grave, offset_of, size_of, structure, text_at, try_read, walk_list
from kd.processors import context_of_trap, processors
from kd.symbols import line_of, nearest, symbol

Frame = namedtuple("Frame", "rip rsp rbp is_trap symbol trap_frame")
LIMIT = 128                                 # frames
SCHEDULER = {"scheduler.c", "switch.asm", "wait.c", "delay.c", "lockwait.c"}     # sources in which a thread gives up its CPU
STATES = ("Initialized", "Ready", "Running", "Standby", "Terminated", "Waiting", "Transition")


def word(address):
    """The word at an address, or None."""
    data = try_read(address, 8) if address % 8 == 0 else None
    return struct.unpack("<Q", data)[0] if data else None


def is_between(address, start, end):
    return address_of(start) <= address < address_of(end)


def is_trap_frame(address):
    """Whether a KTRAP_FRAME lies at an address that trap code left in rbp."""
    if address % 8 or try_read(address, size_of("KTRAP_FRAME")) is None:
        return False
    trap = structure("KTRAP_FRAME", address)
    return (trap["LinkRip"] == trap["Rip"] and trap["LinkRbp"] == trap["Rbp"] and int(trap["Vector"]) < 256
            and int(trap["SegCs"]) & 3 == 0 and int(trap["SegCs"]) != 0)


def is_unframed(rip):
    """Code that has not made its frame yet, or never makes one; also an address where no code is."""
    if is_between(rip, "LeafTextStart", "LeafTextEnd"):
        return True
    found = nearest(rip)
    return found is None or found[1] is not None and found[2] == 0


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


def interrupted(context):
    """The frames of where a CPU was: one, or two where its caller would be missing from the chain."""
    frames = [described(context.rip, context.rsp, context.rbp, not context.is_call, context.trap_frame)]
    caller = word(context.rsp) if not context.is_call and is_unframed(context.rip) else None
    if caller and nearest(caller):
        frames.append(described(caller, context.rsp + 8, context.rbp, False))
    return frames


def follow(frames, limit=LIMIT):
    """Completes a stack from its first frames."""
    while len(frames) < limit:
        last = frames[-1]
        following, back = word(last.rbp), word(last.rbp + 8)
        if following is None or back is None:
            break
        if is_between(last.rip, "KiTrapCodeStart", "KiTrapCodeEnd") and is_trap_frame(last.rbp):
            frames += interrupted(context_of_trap(last.rbp))
        elif back == 0:
            break
        else:
            frames.append(described(back, last.rbp + 16, following, False))
        if frames[-1].rbp == last.rbp:
            break                           # a loop
    return frames[:limit]


def stack_from(context, limit=LIMIT):
    """The stack of a Context: [Frame], innermost first."""
    return follow(interrupted(context), limit)


def processor_stack(number):
    """The stack of what a CPU was doing: [Frame]."""
    from kd.processors import processor
    return stack_from(processor(number).context)


def running_on(thread):
    """The Processor that a thread runs on, or None."""
    return next((p for p in processors() if p.thread == thread), None)


def saved_context(thread):
    """(rip, rsp, rbp) of a thread that does not run, as switch.asm left it; KdError where its stack is not there."""
    top = int(structure("KTHREAD", thread)["KernelStack"])
    rbp, rip = word(top + 0x28), word(top + 0x30)
    if rip is None or rbp is None:
        from kd.memory import unreadable
        raise unreadable(top) if top else KdError(f"thread {grave(thread)} has no stack")
    return rip, top + 0x38, rbp


def stack_of(thread):
    """The stack of a thread, running or not: [Frame], innermost first."""
    on = running_on(thread)
    if on is not None:
        return stack_from(on.context)
    rip, rsp, rbp = saved_context(thread)
    is_new = rip == address_of("KiThreadStartup")
    return follow([described(rip, rsp, rbp, is_new)])


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
