"""Going back: the seeded run that crashed is made again, and stopped once, at an earlier event.

A seeded run repeats to the last bit as long as nobody stops it on the way. So each move is a machine of its own, from
power-on: QEMU's plugin (tools/plugin/rewind.c) counts the stores to one word and pauses the machine at the N-th. For an
event of the trace the word is its CPU's cursor, which moves by one for each event.
"""

import os
import struct
import time
from collections import namedtuple
from pathlib import Path

import gdb

from kd import modules, symbols
from kd.command import KdError
from kd.memory import address_of, is_readable, offset_of, read, size_of, type_named, u64
from kd.session import session
from kd.symbols import symbol
from lastrun import recall
from running import Run

EVENT_BYTES = 32
FIRST_STORES = 1
LIMIT = 300                                 # seconds of the host that a run may take
MOST_PASSES = 64                            # runs that look for an event older than the rings

Event = namedtuple("Event", "tsc cpu index kind detail a b caller")
Store = namedtuple("Store", "watch count cpu instruction address size")


class Past:
    """The run that is being repeated, and where in it we are."""

    def __init__(self):
        self.folder = Path(session.path)
        self.machine, self.verdict = recall(session.run)
        self.fatal = int(self.verdict["p"][0], 16)
        self.run, self.runs, self.guilty = None, 0, 0
        self.events, self.here, self.moment = {}, None, ""
        self.cursors = {}                   # of each CPU: its trace cursor's address
        self.skew = {}                      # of each CPU: stores to the cursor that were no event: one sets it up

    # ---- One run ----

    def leave(self):
        """Ends the machine."""
        if self.run:
            gdb.execute("disconnect", to_string=True)
            self.run.end()
            self.run = None

    def start(self, watches):
        """A new machine, stopped where a watch (ADDRESS, BYTES, COUNT) comes to its count; returns the stores noted."""
        self.leave()
        self.runs += 1
        log, link = self.folder / "stores.log", os.path.relpath(self.folder / "gdb.sock")
        self.folder.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        Path(link).unlink(missing_ok=True)
        wanted = "".join(f",watch={address:#x}:{size}:{count}" for address, size, count in watches)
        machine = type(self.machine)(**vars(self.machine))
        machine.extra += ("-plugin", f"{session.plugin},log={log}{wanted}",
                          "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
        self.run = Run(machine, self.folder)
        self.run.start()
        self.wait_for_stop(log)
        gdb.execute(f"target remote {link}", to_string=True)
        symbols.forget()
        modules.current.clear()
        return [store_of(line) for line in log.read_text().splitlines() if line.startswith("store")]

    def wait_for_stop(self, log):
        deadline = time.monotonic() + LIMIT
        while not (log.exists() and log.read_bytes().endswith(b"stopped\n")):
            if self.run.process.poll() is not None or time.monotonic() > deadline:
                why = "did not come there" if self.run.process.poll() is not None else f"took more than {LIMIT} s"
                said = self.run.outcome("left").stderr.strip()
                self.run.end()
                self.run = None
                raise KdError(f"the run {why}{': ' + said.splitlines()[0] if said else ''}")
            time.sleep(0.005)

    # ---- The events ----

    def crash(self):
        """Goes to where the bugcheck's code is written down, and learns the events before it."""
        self.here = None
        stores = self.start([(address_of("KiBugCheckData"), 8, 1)])
        self.guilty = stores[-1].cpu
        for cpu in range(self.machine.cpus):
            block = u64(address_of("KiProcessorBlock") + 8 * cpu)
            if block:
                self.cursors[cpu] = block + offset_of("KPRCB", "TraceCursor")
        self.take_events()
        self.moment = f"the bugcheck, on CPU {self.guilty}: {self.verdict['code']} is written down"

    def count_of(self, cpu):
        """How many events this CPU has written so far."""
        return (u64(self.cursors[cpu]) & (1 << 56) - 1) // EVENT_BYTES

    def take_events(self):
        """Adds what the rings hold now to what is known; returns how many were new."""
        before = len(self.events)
        for cpu, cursor in self.cursors.items():
            base = cursor - offset_of("KPRCB", "TraceCursor")
            if not is_readable(base, size_of("KPRCB")):
                continue                    # this CPU does not run yet
            ring = u64(base + offset_of("KPRCB", "TraceRing"))
            size = (struct.unpack("<I", read(base + offset_of("KPRCB", "TraceMask"), 4))[0] + 1) // EVENT_BYTES
            content, count = read(ring, size * EVENT_BYTES), self.count_of(cpu)
            for index in range(max(count - size, 0), count):
                event = event_of(cpu, index, content[index % size * EVENT_BYTES:][:EVENT_BYTES])
                if event.tsc and event.kind:
                    self.events.setdefault((cpu, index), event)
        return len(self.events) - before

    def in_order(self):
        """All known events in the order of time. In a seeded run the CPUs have one clock."""
        return sorted(self.events.values())

    def go(self, event):
        """Stops at an event, and makes sure that it is the same run."""
        for _ in range(3):
            count = event.index + 1 + self.skew.get(event.cpu, FIRST_STORES)
            self.start([(self.cursors[event.cpu], 8, count)])
            off = event.index + 1 - self.count_of(event.cpu)
            if off == 0:
                break
            self.skew[event.cpu] = self.skew.get(event.cpu, FIRST_STORES) + off
        else:
            raise KdError(f"the run does not come to event {event.cpu}:{event.index} as it did: start again")
        self.compare(event)
        self.here, self.moment = event, describe(event)

    def compare(self, event):
        """The event before this one must be what it was."""
        earlier = self.events.get((event.cpu, event.index - 1))
        if earlier is None:
            return
        base = self.cursors[event.cpu] - offset_of("KPRCB", "TraceCursor")
        ring = u64(base + offset_of("KPRCB", "TraceRing"))
        mask = struct.unpack("<I", read(base + offset_of("KPRCB", "TraceMask"), 4))[0]
        now = event_of(event.cpu, earlier.index, read(ring + (earlier.index * EVENT_BYTES & mask), EVENT_BYTES))
        if now != earlier:
            raise KdError(f"this is another run than the one that crashed: event {event.cpu}:{earlier.index} differs")

    def search(self, wanted):
        """The last known event that `wanted` accepts; older ones are fetched by going back as far as the rings reach."""
        for _ in range(MOST_PASSES):
            found = [event for event in self.in_order() if wanted(event)]
            if found:
                return found[-1]
            oldest = self.oldest_unknown()
            if oldest is None:
                return None
            print(f"kd: further back: CPU {oldest.cpu} before its event {oldest.index}")
            self.go(oldest)
            if not self.take_events():
                return None
        return None

    def held_lock(self):
        """The Acquire of the spin lock that the CPU which crashed took last and still held; None."""
        names, released = kind_names(), set()
        for event in reversed([event for event in self.in_order() if event.cpu == self.guilty]):
            if names.get(event.kind) == "Release":
                released.add(event.a)
            elif names.get(event.kind) == "Acquire":
                if event.a not in released:
                    return event
                released.discard(event.a)
        return None

    def oldest_unknown(self):
        """The oldest event of the CPU whose known past is shortest, where there is something before it."""
        first = {}
        for event in self.events.values():
            if event.cpu not in first or event.index < first[event.cpu].index:
                first[event.cpu] = event
        left = [event for event in first.values() if event.index > 1]
        return max(left, default=None)


def store_of(line):
    _, watch, count, cpu, instruction, address, size = line.split()
    return Store(int(watch), int(count), int(cpu), int(instruction, 16), int(address, 16), int(size))


def event_of(cpu, index, content):
    """An Event from its 32 bytes (KTRACE_EVENT, trace.h)."""
    tsc, a, b, kind, caller = struct.unpack("<QQQII", content)
    return Event(tsc, cpu, index, kind & 0xFF, kind >> 8, a, b, caller | 0xFFFFFFFF00000000 if caller else 0)


def kind_names():
    """{number: "Trim"} of KTRACE_KIND."""
    return {field.enumval: field.name.removeprefix("Trace") for field in type_named("KTRACE_KIND").fields()}


def describe(event):
    """One line about an event."""
    name = kind_names().get(event.kind, f"kind {event.kind}")
    caller = f" by {symbol(event.caller)}" if event.caller else ""
    return f"event {event.cpu}:{event.index}  CPU {event.cpu}  tsc {event.tsc}  {name} {event.a:#x} {event.b:#x}" \
           f" ({event.detail:#x}){caller}"

