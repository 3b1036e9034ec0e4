"""Moves in the past of a seeded run: to, back, forward, events, why.

Only `tools/bugcheck rewind` has a past.
"""

import gdb

from kd.model.past import Past, describe
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import PAGE, address_of, grave, u64
from kd.target.processors import gdb_threads
from kd.target.session import session
from kd.target.symbols import symbol

DISPATCH_LEVEL = 2
SHOWN = 12


def past():
    """The past of this session, at the crash when it is asked for first."""
    if session.kind != "past":
        raise KdError("there is no past here: `tools/bugcheck rewind` opens the last seeded run that crashed")
    if session.past is None:
        session.past = Past()
        session.past.crash()
    return session.past


# ---- Which event ----

def concerns_page(address):
    return lambda event: event.a // PAGE == address // PAGE


def concerns_block(address):
    return lambda event: event.a <= address < event.a + max(event.b & 0xFFFFFFFF, 1)


def raises_to_dispatch(where):
    return lambda event: event.processor == where.guilty and event.detail >> 8 >= DISPATCH_LEVEL > event.detail & 0xFF


def is_held_lock(where):
    held = where.held_lock()
    return lambda event: event == held


def on_guilty(where):
    return lambda event: event.processor == where.guilty


# word: (kind, or None for any, what makes one of them the one that is meant, the complaint where there is none)
GOALS = {
    "trim": ("Trim", lambda where: concerns_page(where.fatal), "the page of {fatal} was never trimmed"),
    "allocate": ("PoolAllocate", lambda where: concerns_block(where.fatal), "{fatal} was never allocated from a pool"),
    "free": ("PoolFree", lambda where: concerns_block(where.fatal), "no block at {fatal} was ever freed"),
    "acquire": ("Acquire", is_held_lock, "CPU {guilty} held no spin lock at the crash"),
    "raise": ("Raise", raises_to_dispatch, "CPU {guilty} never raised its IRQL to DISPATCH_LEVEL"),
    "fault": ("PageFault", on_guilty, "CPU {guilty} never took a page fault"),
    "switch": ("Switch", on_guilty, "CPU {guilty} never switched threads"),
    "last": (None, on_guilty, "CPU {guilty} wrote no event down"),
}
CHECKED_ONLY = ("acquire", "raise")


def find(where, text):
    """The event that a text names: a goal, -N, or CPU:N; None for the bugcheck."""
    if text == "bugcheck":
        return None
    if text in GOALS:
        kind, condition, complaint = GOALS[text]
        fits = condition(where)
        if text in CHECKED_ONLY and where.machine.build != "checked":
            raise KdError(f"the {where.machine.build} build does not record that: make the run with the checked one")
        found = where.search(lambda event: kind in (None, event.kind) and fits(event))
        if found is None:
            raise KdError("in all of the run: " + complaint.format(fatal=grave(where.fatal), guilty=where.guilty))
        return found
    number, _, index = text.partition(":")
    if number.isdigit() and index.isdigit():
        found = where.events.get((int(number), int(index)))
        if found is None:
            raise KdError(f"event {text} is not known; `events` lists those that are")
        return found
    if text.startswith("-") and text[1:].isdigit() and int(text) < 0:
        return before_crash(where, int(text[1:]))
    raise KdError(f"'{text}' is no event: {', '.join(GOALS)}, bugcheck, -N before the crash, or CPU:N")


def before_crash(where, count):
    order = where.in_order()
    if count > len(order):
        raise KdError(f"only the last {len(order)} events are known")
    return order[-count]


def move(where, event):
    """Goes to an event; None is the crash."""
    if event is None:
        where.crash()
    else:
        where.go(event)
    show(where)


def select(cpu):
    """Makes a CPU the one that GDB shows."""
    thread = gdb_threads().get(cpu)
    if thread:
        thread.switch()


def show(where):
    """Where we are now: the event, and the function that writes it."""
    print(where.moment)
    select(where.here.processor if where.here else where.guilty)
    place = next((found for found in frames_here() if found), None)
    if place:
        print(f"    in {place}")


def frames_here():
    """The selected CPU's functions, a text for each frame."""
    frame = gdb.newest_frame()
    while frame is not None and frame.is_valid():
        place = frame.find_sal()
        file = place.symtab.filename.rpartition("/")[2] if place.symtab else None
        if file and file != "trace.h":          # where the event is written; its owner is the next frame
            yield f"{symbol(frame.pc())} ({file}:{place.line})"
        frame = frame.older()


# ---- The commands ----

@command("to", "EVENT", "goes to an event of the run that crashed")
def to(arguments):
    """EVENT is one of
      trim      when the page that the crash is about was last taken from memory
      allocate  when its owner allocated it;  free  when it was freed
      acquire   when the CPU that crashed took the spin lock that it held, the last of them (checked build)
      raise     when it last raised its IRQL to DISPATCH_LEVEL or above (checked build)
      fault, switch   its last page fault, its last thread switch
      last      its last event of any kind
      bugcheck  the crash
      -N        the N-th event before the crash, on any CPU
      CPU:N     the event with this number, as `events` shows it
    The machine is started again from power-on and stops there for the first time, the same way each time. It stops in
    the code that writes the event, which does so at DISPATCH_LEVEL or above: that is why !irql is never less here."""
    if len(arguments) != 1:
        raise KdError("which event? `help to`")
    where = past()
    move(where, find(where, arguments[0]))


def step(arguments, direction):
    where = past()
    count = evaluate(arguments[0]) if arguments else 1
    order = where.in_order()
    here = order.index(where.here) if where.here else len(order)
    place = here + direction * count
    if not 0 <= place <= len(order):
        raise KdError(f"no event is known there: {here} before this moment and {len(order) - here} behind it")
    move(where, order[place] if place < len(order) else None)


@command("back", "[N]", "goes to the N-th event before this one, on any CPU")
def back(arguments):
    """N is 1 unless told."""
    step(arguments, -1)


@command("forward", "[N]", "goes to the N-th event after this one, on any CPU")
def forward(arguments):
    """N is 1 unless told. The last one is the crash."""
    step(arguments, 1)


@command("snapshot", "", "keeps this moment: going to later ones starts here, not at power-on")
def snapshot(arguments):
    """For long runs: go to an event before what you look for, `snapshot`, and each move behind it is short."""
    where = past()
    if where.here is None:
        raise KdError("not at an event: `to` one first")
    made = where.save()
    print(f"kept: event {where.here.processor}:{where.here.index}, as {made.name}")


@command("events", "[N]", "the last N events before here, of all CPUs in the order of time")
def events(arguments):
    """N is 12 unless told. `>` marks where we are."""
    where = past()
    count, order = evaluate(arguments[0]) if arguments else SHOWN, where.in_order()
    end = order.index(where.here) + 1 if where.here else len(order)
    for event in order[max(end - count, 0):end]:
        print((">" if event == where.here else " ") + " " + describe(event))


@command("why", "ADDRESS [BYTES]", "goes to the last store to an address before the crash")
def why(arguments):
    """BYTES is 8 unless told. The run is made twice: once to count the stores, once to stop at the last. Stores by another
    address of the same memory, and the disk's, are not seen."""
    if not 1 <= len(arguments) <= 2:
        raise KdError("which address? `help why`")
    where = past()
    address, size = evaluate(arguments[0]), evaluate(arguments[1]) if len(arguments) > 1 else 8
    if not 1 <= size <= PAGE:
        raise KdError(f"{size} bytes: from 1 to {PAGE}")
    stores = [store for store in where.start([(address, size, 0), (address_of("KiBugCheckData"), 8, 1)])
              if store.watch == 0]
    where.here, where.moment = None, "the bugcheck"
    if not stores:
        raise KdError(f"nothing was ever stored to {grave(address)} by this address")
    print(f"{len(stores)} stores to {grave(address)}, the last ones:")
    for store in stores[-SHOWN:]:
        print(f"  {store.count:>6}  CPU {store.cpu}  {store.size} bytes to {grave(store.address)}  by "
              f"{symbol(store.instruction)}")
    where.start([(address, size, stores[-1].count)])
    where.moment = f"behind store {stores[-1].count} to {grave(address)}"
    select(stores[-1].cpu)
    print(f"{where.moment}: it is {u64(address):#x} now")
