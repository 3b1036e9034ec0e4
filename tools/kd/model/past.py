"""The past: a seeded run that crashed, made again and stopped once, at an earlier event.

A seeded run repeats to the last bit unless it is stopped on the way. So each move is a machine of its own, from
power-on or from a snapshot: a plugin of QEMU (tools/plugin/rewind.c) counts the stores to one word and pauses the machine
at the N-th. For an event of the trace the word is its CPU's cursor, which moves by one for each event.

A snapshot is QEMU's savevm at such a stop. With QEMU 7.2, what runs on from `-loadvm` is the same run to the last bit; with
QEMU 10 it may be another, which the events tell: then the snapshot is left out. What runs on from the stop itself is another.
"""

import os
import time
from collections import namedtuple
from pathlib import Path

import gdb

from kd.model import traceevents
from kd.target import modules, symbols
from kd.target.command import KdError
from kd.target.memory import address_of, is_readable, offset_of, size_of
from kd.target.processors import Processor, processors
from kd.target.session import session
from machine.emulators import make_snapshots
from machine.lastcrash import recall
from machine.process import Run

FIRST_STORES = 1
LIMIT = 300                                 # seconds of the host that a run may take
MOST_PASSES = 64                            # runs that look for an event older than the rings

# counts: events of each CPU before it
Snapshot = namedtuple("Snapshot", "name tsc counts")
Store = namedtuple("Store", "watch count cpu instruction address size")


class Past:
    """The run that is being repeated, and where in it we are."""

    def __init__(self):
        self.folder = Path(session.path)
        self.machine, self.verdict = recall(session.run)
        self.fatal = int(self.verdict["p"][0], 16)
        self.run, self.guilty = None, 0
        self.events, self.here, self.moment = {}, None, ""
        self.cursors = {}                   # of each CPU: its trace cursor's address
        self.snapshots = []
        self.skew = {}                      # of each CPU: stores to the cursor that were no event: one sets it up

    # ---- One run ----

    def leave(self):
        """Ends the machine."""
        if self.run:
            try:
                gdb.execute("disconnect", to_string=True)
            except gdb.error:
                pass                        # the machine has left by itself
            self.run.end()
            self.run = None

    def start(self, watches, snapshot=None):
        """A new machine, stopped where a watch (ADDRESS, BYTES, COUNT) comes to its count; returns the stores noted. The
        counts begin at power-on, or at the snapshot."""
        self.leave()
        log, link = self.folder / "stores.log", os.path.relpath(self.folder / "gdb.sock")
        self.folder.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        Path(link).unlink(missing_ok=True)
        wanted = "".join(f",watch={address:#x}:{size}:{count}" for address, size, count in watches)
        load = ("-loadvm", snapshot.name) if snapshot else ()
        machine = type(self.machine)(**vars(self.machine))
        machine.extra += ("-plugin", f"{session.plugin},log={log}{wanted}",
                          "-drive", f"if=none,id=snapshots,format=qcow2,file={self.image()}", *load,
                          "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
        self.run = Run(machine, self.folder)
        self.run.start()
        self.wait_for_stop(log)
        gdb.execute(f"target remote {link}", to_string=True)
        forget()
        return [store_of(line) for line in log.read_text().splitlines() if line.startswith("store")]

    def image(self):
        """The image that holds the snapshots; QEMU takes one only if it has it from the start."""
        path = self.folder / "snapshots.qcow2"
        if not path.exists():
            make_snapshots(path, "4G")
        return path

    def save(self):
        """Keeps this moment, so that later ones start from it; returns the Snapshot."""
        counts = {number: int(self.block(number).block["TraceCount"]) for number in self.cursors}
        made = Snapshot(f"moment{len(self.snapshots)}", self.here.tsc, counts)
        complaint = self.run.monitor(f"savevm {made.name}").strip()
        if complaint:
            raise KdError(f"QEMU makes no snapshot: {complaint.splitlines()[0]}")
        self.snapshots.append(made)
        return made

    def snapshot_before(self, event):
        """The latest snapshot from which an event is still to come; None: from power-on."""
        usable = [kept for kept in self.snapshots if kept.counts[event.processor] <= event.index]
        return max(usable, key=lambda kept: kept.tsc, default=None)

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
        self.cursors = {found.number: found.prcb + offset_of("KPRCB", "TraceCursor") for found in processors()}
        self.take_events()
        self.moment = f"the bugcheck, on CPU {self.guilty}: {self.verdict['code']} is written down"

    def take_events(self):
        """Adds what the rings hold now to what is known; returns how many were new."""
        before = len(self.events)
        for number in self.cursors:
            for event in self.ring(number):
                self.events.setdefault((number, event.index), event)
        return len(self.events) - before

    def block(self, number):
        """The Processor of a CPU, also long before the kernel counts it among its own."""
        return Processor(number, self.cursors[number] - offset_of("KPRCB", "TraceCursor"))

    def ring(self, number):
        """The events that a CPU's ring holds now; none where the CPU has no ring yet."""
        found = self.block(number)
        if not is_readable(found.prcb, size_of("KPRCB")) or not int(found.block["TraceRing"]):
            return []
        return traceevents.read_events(found)[0]

    def in_order(self):
        """All known events in the order of time. In a seeded run the CPUs have one clock."""
        return sorted(self.events.values(), key=lambda event: (event.tsc, event.processor, event.index))

    def go(self, event):
        """Stops at an event, and makes sure that it is the same run; without a snapshot from which it is not."""
        snapshot = self.snapshot_before(event)
        try:
            self.arrive(event, snapshot)
        except KdError:
            if snapshot is None:
                raise
            self.snapshots.remove(snapshot)
            print(f"kd: from {snapshot.name} this QEMU makes another run: it is not used")
            self.go(event)

    def arrive(self, event, snapshot):
        """Stops at an event on the way from a snapshot, or from power-on; KdError where it is another run."""
        cpu = event.processor
        for _ in range(3):
            before = -snapshot.counts[cpu] if snapshot else self.skew.get(cpu, FIRST_STORES)
            self.start([(self.cursors[cpu], 8, event.index + 1 + before)], snapshot)
            off = event.index + 1 - int(self.block(cpu).block["TraceCount"])
            if off == 0:
                break
            self.skew[cpu] = self.skew.get(cpu, FIRST_STORES) + off
        else:
            raise KdError(f"the run does not come to event {cpu}:{event.index} as it did: start again")
        self.compare(event)
        self.here, self.moment = event, describe(event)

    def compare(self, event):
        """The events of this CPU before this one must be what they were, as far as they are known; the last of them must be there."""
        cpu, now = event.processor, {found.index: found for found in self.ring(event.processor)}
        for index in sorted({event.index - 1, *(index for index in now if index < event.index)}):
            earlier = self.events.get((cpu, index))
            if earlier is not None and now.get(index) != earlier:
                raise KdError(f"this is another run than the one that crashed: event {cpu}:{index} differs")

    def search(self, wanted):
        """The last known event that `wanted` accepts; older ones are fetched by going back as far as the rings reach."""
        for _ in range(MOST_PASSES):
            found = [event for event in self.in_order() if wanted(event)]
            if found:
                return found[-1]
            oldest = self.oldest_unknown()
            if oldest is None:
                return None
            print(f"kd: further back: CPU {oldest.processor} before its event {oldest.index}")
            self.go(oldest)
            if not self.take_events():
                return None
        return None

    def held_lock(self):
        """The Acquire of the spin lock that the CPU which crashed took last and still held; None."""
        released = set()
        for event in reversed([event for event in self.in_order() if event.processor == self.guilty]):
            if event.kind == "Release":
                released.add(event.a)
            elif event.kind == "Acquire":
                if event.a not in released:     # one that was released and taken again has been met before
                    return event
        return None

    def oldest_unknown(self):
        """The oldest known event of the CPU whose known past is shortest, where there is something before it."""
        first = {}
        for event in self.in_order():
            first.setdefault(event.processor, event)
        return max((event for event in first.values() if event.index > 1), key=lambda event: event.tsc, default=None)


def forget():
    """Forgets all that was read of the machine: it is of another time."""
    symbols.forget()
    modules.current.clear()
    for cached in vars(traceevents).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def store_of(line):
    _, watch, count, cpu, instruction, address, size = line.split()
    return Store(int(watch), int(count), int(cpu), int(instruction, 16), int(address, 16), int(size))


def describe(event):
    """One line about an event."""
    return f"event {event.processor}:{event.index}  tsc {event.tsc}  {traceevents.words(event)}"
