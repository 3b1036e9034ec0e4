"""The event trace: each CPU's ring (kernel/include/trace.h), with its events in words.

The ring is read as bytes and piece by piece, because a small dump holds only a part of it. An event counts only when
it is whole: its time is stored last, so a place that was taken but not filled shows a time from before the whole ring.
"""

import struct
from collections import namedtuple
from functools import lru_cache

import gdb

from kd.model.bugcodes import row_of
from kd.target.command import KdError
from kd.target.memory import PAGE, grave, offset_of, try_read, type_named, value_of
from kd.target.processors import processors
from kd.target.symbols import is_kernel_address, nearest, symbol

EVENT = struct.Struct("<QQQII")
SECTOR = 512                                # of what a small dump holds
UPPER_HALF = 0xFFFFFFFF00000000
ERROR_WRITE, ERROR_FETCH = 2, 16            # of a page fault's error code
VECTORS = {0x1F: "APC", 0x2F: "DISPATCH", 0xD1: "clock", 0xE1: "IPI", 0xE2: "APIC error"}
OBJECTS = {0: "event", 1: "event", 2: "mutex", 3: "process", 4: "queue", 5: "semaphore", 6: "thread", 8: "timer",
           9: "timer"}
STATES = ("new", "ready", "running", "standby", "ended", "waits", "between")    # KTHREAD_STATE
THREAD = 6                                  # DISPATCHER_HEADER.Type
STATUSES = {0x100: "for an APC", 0x101: "alerted", 0x102: "time-out", 0xC0: "for a user APC"}

Event = namedtuple("Event", "processor index tsc kind detail a b caller")


@lru_cache(maxsize=None)
def enumerators(name):
    """{value: name} of an enumeration of the kernel's."""
    return {field.enumval: field.name for field in type_named(name).fields()}


def kind_name(number):
    """"PageFault" of TracePageFault."""
    return enumerators("KTRACE_KIND")[number].removeprefix("Trace")


def read_ring(block):
    """(events since the start, events that fit, the bytes of the ring with zeros where they cannot be read)."""
    count, bytes_, ring = int(block["TraceCount"]), int(block["TraceMask"]) + 1, int(block["TraceRing"])
    if bytes_ % EVENT.size or bytes_ > 1 << 26 or not is_kernel_address(ring):
        raise KdError(f"CPU {int(block['Number'])} has no event trace: its ring is at {grave(ring)}, {bytes_} bytes")
    return count, bytes_ // EVENT.size, read_what_is_there(ring, bytes_, (bytes_, PAGE, SECTOR))


def read_what_is_there(address, length, steps):
    """The bytes of a range, zeros for those that cannot be read: as a whole, or else in smaller and smaller steps."""
    data = try_read(address, length)
    if data is not None or not steps:
        return data or bytes(length)
    step, smaller = steps[0], steps[1:]
    return b"".join(read_what_is_there(address + at, min(step, length - at), smaller) for at in range(0, length, step))


def read_events(processor):
    """(the events of a CPU that are still there, oldest first; how many there have been since the start)."""
    count, size, data = read_ring(processor.block)
    events, oldest = [], None
    for index in range(max(0, count - size), count):
        tsc, a, b, word, caller = EVENT.unpack_from(data, index % size * EVENT.size)
        number = word & 0xFF
        if tsc == 0 or number not in enumerators("KTRACE_KIND") or not 0 < number < end_of_kinds():
            continue
        oldest = tsc if oldest is None else oldest
        if tsc >= oldest:
            events.append(Event(processor.number, index, tsc, kind_name(number), word >> 8, a, b,
                                caller | UPPER_HALF if caller else 0))
    return events, count


@lru_cache(maxsize=None)
def end_of_kinds():
    return next(value for value, name in enumerators("KTRACE_KIND").items() if name == "TraceKinds")


# ---- Words ----------------------------------------------------------------------------------------------------------

@lru_cache(maxsize=None)
def thread_text(address):
    """"'phase 1'", or the address of a thread that has gone."""
    name = ""
    if dispatcher_type(address) == THREAD:
        name = try_read(address + offset_of("KTHREAD", "Name"), 24) or b""
        name = name.split(b"\0")[0].decode("latin-1")
    return f"'{name}'" if name.isprintable() and name else f"thread {grave(address)}"


@lru_cache(maxsize=None)
def dispatcher_type(address):
    """DISPATCHER_HEADER.Type, or None where it cannot be read."""
    if not is_kernel_address(address):
        return None
    byte = try_read(address + offset_of("DISPATCHER_HEADER", "Type"), 1)
    return byte[0] if byte else None


@lru_cache(maxsize=None)
def place_text(address):
    """A symbol, or an address where there is none."""
    return symbol(address) if nearest(address) else grave(address)


@lru_cache(maxsize=None)
def caller_text(address):
    """The call before a return address; nothing where none was recorded."""
    return f", by {place_text(address - 1)}" if address else ""


@lru_cache(maxsize=None)
def object_text(address):
    """The target of a thread's wait: its kind as far as memory tells, and its name or address."""
    kind = OBJECTS.get(dispatcher_type(address))
    if kind == "thread":
        return f"the end of {thread_text(address)}"
    return f"{kind or 'object'} {place_text(address)}"


def tag_text(tag):
    """The four letters of a pool tag."""
    return "".join(chr(tag >> shift & 0x7F) if 32 < (tag >> shift & 0x7F) < 127 else "." for shift in (0, 8, 16, 24))


def words_of_wait(event):
    own = offset_of("KTHREAD", "Timer")
    reason = enumerators("KWAIT_REASON").get(event.detail, event.detail)
    what = "some time" if event.a in (event.b + own, 0) else object_text(event.a)
    return f"{thread_text(event.b)} waits for {what} ({reason})"


def words_of_wake(event):
    status = event.detail
    how = STATUSES.get(status, f"object {status}" if status < 0x40 else f"status 0x{status:06x}")
    by = "its time is over" if event.b == event.a + offset_of("KTHREAD", "Timer") else f"{object_text(event.b)}, {how}"
    return f"{thread_text(event.a)} wakes: {by}"


def words_of_switch(event):
    state = STATES[event.detail] if event.detail < len(STATES) else f"state {event.detail}"
    return f"{thread_text(event.a)} ({state}) -> {thread_text(event.b)}"


def vector_text(vector):
    return f"interrupt 0x{vector:02X}" + (f" ({VECTORS[vector]})" if vector in VECTORS else " (device)")


def words_of_fault(event):
    error, irql = event.detail & 0xFF, event.detail >> 8
    access = "execute" if error & ERROR_FETCH else "write" if error & ERROR_WRITE else "read"
    return f"page fault: {access} of {grave(event.a)} at IRQL {irql}, by {place_text(event.b)}"


def words_of_pool(event, verb):
    return (f"{verb} {grave(event.a)}, {event.b & 0xFFFFFFFF} bytes of {'paged' if event.detail else 'nonpaged'} pool, "
            f"tag '{tag_text(event.b >> 32)}'{caller_text(event.caller)}")


def words_of_level(event, verb):
    return f"IRQL {verb} {event.detail & 0xFF} -> {event.detail >> 8}{caller_text(event.caller)}"


def words_of_lock(event, verb):
    return (f"lock {place_text(event.a)} {verb} by {thread_text(event.b)}, IRQL {event.detail}"
            f"{caller_text(event.caller)}")


WORDS = {
    "Wait": words_of_wait,
    "Wake": words_of_wake,
    "Switch": words_of_switch,
    "Interrupt": lambda e: f"{vector_text(e.a)}: IRQL {e.detail} -> {e.a >> 4}, at {place_text(e.b)}",
    "InterruptEnd": lambda e: f"end of {vector_text(e.a)}: IRQL {e.a >> 4} -> {e.detail}, to {place_text(e.b)}",
    "Dpc": lambda e: f"DPC {grave(e.a)}: {place_text(e.b)}",
    "DpcEnd": lambda e: f"end of DPC {grave(e.a)}: {place_text(e.b)}",
    "Ipi": lambda e: f"IPI 0x{e.a:02X} ({VECTORS.get(e.a, 'other')}) sent to CPU {e.b}{caller_text(e.caller)}",
    "PageFault": words_of_fault,
    "Trim": lambda e: f"trim: page {grave(e.a)} leaves the working set, its PTE was {e.b:#x}",
    "PageIn": lambda e: f"page-in of {grave(e.a)} from slot {e.b:#x} " + ("has ended" if e.detail else "starts"),
    "PoolAllocate": lambda e: words_of_pool(e, "allocate"),
    "PoolFree": lambda e: words_of_pool(e, "free"),
    "BugCheck": lambda e: f"bugcheck 0x{e.a:X} ({e.b:#x}, ...), at {place_text(e.caller)}",
    "Raise": lambda e: words_of_level(e, "raised"),
    "Lower": lambda e: words_of_level(e, "lowered"),
    "Acquire": lambda e: words_of_lock(e, "acquired"),
    "Contend": lambda e: words_of_lock(e, "is waited for"),
    "Release": lambda e: words_of_lock(e, "released"),
}


def words(event):
    """The event in one line."""
    return WORDS[event.kind](event)


# ---- The whole trace, for tools/cli/trace.py ----------------------------------------------------------------------------

def bugcheck():
    """The machine's cause of death; None when it lives."""
    data = value_of("KiBugCheckData")
    bug = value_of("KiBug")
    if int(data[0]) == 0:
        return None
    return {"code": int(data[0]), "parameters": [int(data[n]) for n in range(1, 5)], "cpu": int(bug["Processor"]),
            "irql": int(bug["Irql"]), "name": row_of(int(data[0])).name}


def collect():
    """All rings as plain data: lists, numbers and texts."""
    texts, numbers, cpus = [], {}, []
    for processor in processors():
        events, count = read_events(processor)
        rows = []
        for event in events:
            text = words(event)
            number = numbers.setdefault(text, len(texts))
            if number == len(texts):
                texts.append(text)
            rows.append([event.index, event.tsc, event.kind, event.detail, event.a, event.b, event.caller, number])
        cpus.append({"cpu": processor.number, "count": count, "idle": int(processor.block["IdleThread"]),
                     "running": int(processor.block["CurrentThread"]), "events": rows})
    threads = {row[key] for cpu in cpus for row in cpu["events"] if row[2] == "Switch" for key in (4, 5)}
    threads |= {cpu["running"] for cpu in cpus}
    locks = {row[4] for cpu in cpus for row in cpu["events"] if row[2] in ("Acquire", "Contend", "Release")}
    routines = {row[5] for cpu in cpus for row in cpu["events"] if row[2] == "Dpc"}
    return {"hz": int(value_of("HalFeatures")["TscHz"]), "seed": value_of("KeSeed"), "bugcheck": bugcheck(),
            "checked": has_lock_events(), "cpus": cpus, "texts": texts,
            "threads": {str(thread): thread_text(thread).strip("'") for thread in threads},
            "places": {str(address): place_text(address) for address in locks | routines}}


def has_lock_events():
    """Whether the kernel is the checked build, which traces IRQL and locks."""
    try:
        gdb.parse_and_eval("KiLockAcquired")
        return True
    except gdb.error:
        return False
