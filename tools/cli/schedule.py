"""A run whose preemptions come from a list: the plugin's arguments and notes, names.

A preemption is a CPU, an instruction and a count: the CPU gives its turns away behind its N-th access to memory by that
instruction, counted from where the test begins. As text: 0@IoAcquireRemoveLockEx+0x1a#1, in ktest!... for the tests' module.
"""

import hashlib
import os
import re
import subprocess
from bisect import bisect_right
from collections import namedtuple
from pathlib import Path

from host.paths import OUT, TOP, CannotRun
from kd.target.linetable import GROUP, HEADER, LineTable, text_at
from machine.emulators import Machine
from machine.process import Run

PLUGIN = TOP / "tools/plugin/schedule.c"
MODULE = "ktest"
GUEST_SECONDS = 2                           # for a test, which takes milliseconds
HOST_SECONDS = 60                           # for a machine
MEETING = ("ktest!KtMeetingBegins", "ktest!KtMeetingEnds")      # tests/kernel/race.h
WHOLE_TEST = ("ktest!TestThread", "KeEndMachine")               # tests/kernel/ktest.c
PTES = (0xFFFFF68000000000, 0xFFFFF70000000000)     # the self map: the MMU reads and writes there too

Point = namedtuple("Point", "cpu address count")
Access = namedtuple("Access", "cpu address count word is_store meets window")
Stood = namedtuple("Stood", "point rounds")
Ran = namedtuple("Ran", "failure stood accesses events seconds")


def build_plugin():
    """The path of the plugin, built if it is older than its source."""
    made = OUT / "plugin/schedule.so"
    if not made.exists() or made.stat().st_mtime < max(path.stat().st_mtime for path in PLUGIN.parent.iterdir()):
        made.parent.mkdir(parents=True, exist_ok=True)
        fresh = made.with_suffix(f".{os.getpid()}")
        done = subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o", fresh, PLUGIN, "-ldl"],
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise CannotRun(f"QEMU's plugin does not compile: {done.stderr.strip().splitlines()[0]}")
        fresh.rename(made)
    return made


# ---- Names ----

class Symbols:
    """The functions of one symbol file (tools/build/mksymbols.py), by group and offset."""

    def __init__(self, path):
        data = path.read_bytes()
        self.lines = LineTable(data)
        _, _, *tables = HEADER.unpack_from(data)
        groups, symbols, _, _, _, _, strings = zip(tables[::2], tables[1::2])
        self.functions = {}                 # group: ([offset], [name])
        self.places = {}                    # name: (group, offset)
        self.ambiguous = set()              # names of several
        for index, first, count, *_ in GROUP.iter_unpack(data[groups[1]:groups[1] + groups[0] * GROUP.size]):
            rows = [tuple(int.from_bytes(data[at:at + 4], "little") for at in range(start, start + 12, 4))
                    for start in range(symbols[1] + first * 12, symbols[1] + (first + count) * 12, 12)]
            names = [text_at(data, strings[1] + name) for _, _, name in rows]
            self.functions[index] = [offset for offset, _, _ in rows], names
            for name, (offset, _, _) in zip(names, rows):
                if self.places.setdefault(name, (index, offset)) != (index, offset):
                    self.ambiguous.add(name)

    def function_at(self, index, offset):
        """(name, offset in it), or None."""
        offsets, names = self.functions.get(index, ((), ()))
        at = bisect_right(offsets, offset) - 1
        return (names[at], offset - offsets[at]) if at >= 0 else None


class Names:
    """Addresses of the kernel and of the tests' module by name, and back."""

    def __init__(self, build, sections):
        folder = OUT / build / "symbols"
        self.kernel, self.module = Symbols(folder / "kernel.sym"), Symbols(folder / f"{MODULE}.sym")
        self.sections = sections            # [(index, start, bytes)] of the module

    def place(self, address):
        """(symbols, prefix, group, offset) of an address; one that is not in the module is taken for the kernel's."""
        for index, start, size in self.sections:
            if start <= address < start + size:
                return self.module, f"{MODULE}!", index, address - start
        return self.kernel, "", 0, address - self.kernel.lines.base

    def name(self, address):
        """FUNCTION+OFFSET, or the number where two static functions have that name."""
        symbols, prefix, index, offset = self.place(address)
        name, inside = symbols.function_at(index, offset) or ("", 0)
        if name not in symbols.places or name in symbols.ambiguous:
            return f"{address:#x}"
        return f"{prefix}{name}{f'+{inside:#x}' if inside else ''}"

    def step(self, address):
        """(file, line, function)."""
        symbols, _, index, offset = self.place(address)
        found = symbols.function_at(index, offset)
        file, line = symbols.lines.line_at(index, offset) or ("?", 0)
        return file, line, found[0] if found else "?"

    def address(self, name):
        """The address of a name as name() writes it; CannotRun where there is no such place."""
        found = re.fullmatch(rf"({MODULE}!)?([\w.$]+?)(?:\+(0x[0-9a-fA-F]+|\d+))?", name)
        symbols = self.module if found and found[1] else self.kernel
        if found and found[2] in symbols.places and found[2] not in symbols.ambiguous:
            index, offset = symbols.places[found[2]]
            starts = {index: start for index, start, _ in self.sections} if found[1] else {0: self.kernel.lines.base}
            if index in starts:
                return starts[index] + offset + int(found[3] or "0", 0)
        if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", name):
            return int(name, 16)
        raise CannotRun(f"--schedule: no function of this kernel, or more than one, is called '{name}'")

    def text(self, points):
        """A schedule as a word for the command line."""
        return ",".join(f"{point.cpu}@{self.name(point.address)}#{point.count}" for point in points)

    def points(self, text):
        """The same back."""
        points = []
        for part in filter(None, text.split(",")):
            found = re.fullmatch(r"(\d{1,2})@([\w.$!+]+)#(\d{1,9})", part)
            if not found or found[3] == "0":
                raise CannotRun(f"--schedule: '{part}' is no preemption: CPU@FUNCTION+OFFSET#N is behind the CPU's N-th access there")
            points.append(Point(int(found[1]), self.address(found[2]), int(found[3])))
        return points


# ---- Runs ----

class Explored:
    """A test inside the kernel, ready to be run under schedules."""

    def __init__(self, test, build, cpus, folder, sections, marks):
        self.test, self.build, self.cpus, self.folder = test, build, cpus, folder
        self.names = Names(build, sections)
        self.plugin = build_plugin()
        self.marks = [self.names.address(mark) for mark in marks]
        self.last = self.names.address("KeEndMachine")

    def digest(self):
        """Of what runs: the same list is another schedule in another kernel."""
        files = [OUT / self.build / "kernel.elf", OUT / self.build / f"drivers/{MODULE}.sys", PLUGIN]
        made = hashlib.sha256(f"{self.cpus}".encode())
        for path in files:
            made.update(path.read_bytes())
        return made.hexdigest()[:16]

    def machine(self, log, points, record=False, pct=None, stop=None):
        begin, end = self.marks
        words = f"{self.plugin},log={log},begin={begin:#x},end={end:#x},end={self.last:#x}"
        words += "".join(f",point={point.cpu}:{point.address:#x}:{point.count}" for point in points)
        words += f",record=1,shared={PTES[0]:#x}:{PTES[1]:#x}" if record else ""
        words += f",stop={stop}" if stop is not None else ""
        if pct:
            seed, depth, length, events = pct
            words += f",pct={seed}:{depth}:{length},events={events}"
        return Machine(build=self.build, cmdline=f"test={self.test} jitter=0 limit={GUEST_SECONDS}", cpus=self.cpus, mem=64,
                       seed=1, disk=False, dump=None, extra=("-plugin", words))

    def start(self, points=(), record=False, pct=None, stop=None, slot=0):
        """The Run, not yet started, and its log."""
        folder = self.folder / f"run{slot}"
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "schedule.log"
        log.unlink(missing_ok=True)
        return Run(self.machine(log, points, record, pct, stop), folder), log

    def run(self, points=(), record=False, pct=None, slot=0):
        """Runs one schedule to its end: a Ran."""
        run, log = self.start(points, record, pct, slot=slot)
        with run:
            keep_apart(run.process.pid, slot)
            outcome = run.wait(HOST_SECONDS)
        if "KTAP version 1" not in outcome.channel:
            said = outcome.stderr.strip().splitlines()
            raise CannotRun(f"QEMU could not run the test: {said[0] if said else outcome.departure()}")
        skipped = re.search(r"# SKIP (.*)$", outcome.channel, re.M)
        if skipped:
            raise CannotRun(f"{self.test} is skipped here: {skipped[1]}")
        stood, accesses, events = read_log(log)
        return Ran(failure_of(outcome), stood, accesses, events, outcome.seconds)


def keep_apart(process, slot):
    """Machines that run side by side have a CPU of the host each."""
    allowed = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(process, {allowed[slot % len(allowed)]})
    except OSError:
        pass                                # it has left already


def read_log(path):
    """The plugin's notes: [Stood], [Access], the number of events."""
    stood, accesses, events, window = [], [], 0, 0
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, *words = line.split()
        if kind == "access":
            accesses.append(Access(int(words[0]), int(words[1], 16), int(words[2]), int(words[3], 16) & ~7,
                                   words[5] == "1", words[6] == "1", window))
        elif kind == "stood":
            stood.append(Stood(Point(int(words[0]), int(words[1], 16), int(words[2])), int(words[3])))
        elif kind == "events":
            events += int(words[0])
        elif kind == "ended":
            window += 1
    return stood, accesses, events


def failure_of(outcome):
    """One sentence on what went wrong, or None. CannotRun where the emulator has failed: that breaks no rule."""
    verdict = outcome.verdict
    if verdict is None and outcome.status is not None and outcome.status < 0:
        raise CannotRun(outcome.departure())
    if verdict is None:
        return (f"the machine does not come to an end in {HOST_SECONDS} s" if outcome.ended == "limit" else outcome.departure())
    if verdict["end"] == "bugcheck":
        return f"bugcheck {verdict['code']} {verdict['name']}, {verdict['where']}"
    if verdict["expected"] is True:
        return None
    if "Bail out!" in outcome.channel:
        return "a thread waits forever"
    found = re.search(r"^# (\S+:\d+: .*)$", outcome.channel, re.M)
    return found[1] if found else "the test fails"
