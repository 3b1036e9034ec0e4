"""Boots thousands of seeded machines, and keeps each run that did not end as it should.

`tools/bugcheck soak [NAME...] [--runs N] [--jobs J] [--resume]`

Run N has one of the scenarios, a number of CPUs and a seed, all of which follow from N. Each must end as it should; every
fifth is made twice, and must leave the same bytes on COM1 and COM2. A line of build/soak/runs.jsonl tells how a run ended,
so a soak that was broken off goes on. Exit 0 without an anomaly, 1 with one, 2 when it could not go on.
"""

import argparse
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import sys
import threading
import time

from cli.options import Parser, say, whole
from host.folderlock import alone_in
from host.make import BUILDS, build
from host.paths import OUT, CannotRun, shown
from machine.emulators import Machine, qemu_version, repeat_command
from machine.process import Run, end_all, handle_signals, hang_report

FOLDER = OUT / "soak"
KINDS = {"story": dict(cmdline="scenario=story"), "pressure": dict(cmdline="scenario=pressure"),
         "files": dict(cmdline="test=files", volume=True)}
CPUS = (1, 2, 4, 16)
GUEST_LIMIT = 30        # seconds of the machine's own clock: a run takes less than one, and the tests inside report a hang after 20
HOST_LIMIT = 1800                               # for a machine that does not even count its time
LOOK = 5                                        # seconds between two looks at a machine's clock
TELL = 60                                       # seconds between two lines of progress, where they go to a file
CONFIDENCE = 0.95
PLANNED = ("names", "first", "twice", "build", "mem")       # a run follows from these and its number


def parse(words):
    parser = Parser("tools/bugcheck soak")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--runs", type=whole(1, 10_000_000))
    parser.add_argument("--jobs", type=whole(1, 1024), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--first", type=whole(0, (1 << 63) - 1), default=1)
    parser.add_argument("--twice", type=whole(0, 10_000_000), default=5)
    parser.add_argument("--build", choices=BUILDS, default="checked")
    parser.add_argument("--mem", type=whole(4, 1 << 20), default=64)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true")
    again.add_argument("--anew", action="store_true")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    unknown = [name for name in options.names if name not in KINDS]
    if unknown:
        raise CannotRun(f"nothing to soak is called '{unknown[0]}'; there are: {', '.join(KINDS)}")
    options.names = sorted(set(options.names), key=list(KINDS).index) or list(KINDS)
    return options


# ---- The plan, and what was done of it ----

def machine_of(number, plan):
    """The machine of a run: scenarios take turns, then numbers of CPUs, then seeds."""
    rest, kind = divmod(number, len(plan["names"]))
    rest, cpus = divmod(rest, len(CPUS))
    return Machine(build=plan["build"], cpus=CPUS[cpus], mem=plan["mem"], seed=plan["first"] + rest, **KINDS[plan["names"][kind]])


def name_of(machine):
    return next(name for name, settings in KINDS.items() if settings["cmdline"] == machine.cmdline)


def is_twice(number, plan):
    return plan["twice"] > 0 and number % plan["twice"] == 0


def kernel_files(name):
    return [OUT / name / file for file in ("kernel.elf", "boot.cpio")]


def kernel_of(name):
    """A digest that tells this kernel from another one."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in kernel_files(name))).hexdigest()[:16]


def times_of(name):
    return [path.stat().st_mtime_ns for path in kernel_files(name)]


class State:
    """build/soak/runs.jsonl: the plan in the first line, then a line for each run."""

    def __init__(self, path):
        self.path, self.plan, self.runs = path, None, {}
        try:
            lines = path.read_text().splitlines()
        except OSError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
                self.plan = entry.get("plan", self.plan)
                self.runs.update({entry["run"]: entry} if "run" in entry else {})
            except (ValueError, AttributeError):
                pass                            # the last line of a soak that was killed: its run is made again

    def begin(self, plan):
        self.plan, self.runs = plan, {}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self):
        """All of it anew, without a line that was cut off."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text("".join(json.dumps(entry) + "\n" for entry in [{"plan": self.plan}, *self.runs.values()]))
        fresh.replace(self.path)

    def add(self, entry):
        self.runs[entry["run"]] = entry
        with open(self.path, "a") as file:
            file.write(json.dumps(entry) + "\n")

    def missing(self):
        return (number for number in range(self.plan["runs"]) if number not in self.runs)

    def is_done(self):
        return self.plan is not None and next(self.missing(), None) is None


def opened(options, state):
    """The state to go on with: a new one, or that of a soak that was broken off. Its kernel is built."""
    plan = {name: getattr(options, name) for name in PLANNED} | {"runs": options.runs or 10_000, "kernel": kernel_of(options.build)}
    if options.resume:
        if state.plan is None:
            raise CannotRun(f"--resume: {shown(state.path)} has no soak to go on with")
        if state.plan["kernel"] != plan["kernel"]:
            raise CannotRun("--resume: the kernel is another one than the soak began with; --anew begins with this one")
        state.plan["runs"] = options.runs or state.plan["runs"]
        state.write()
    elif state.plan is not None and not state.is_done() and not options.anew:
        raise CannotRun(f"{shown(FOLDER)} has {len(state.runs):,} of {state.plan['runs']:,} runs: --resume goes on with them, "
                        "--anew forgets them")
    else:
        shutil.rmtree(FOLDER, ignore_errors=True)
        state.begin(plan)
    return state


# ---- One run ----

def guest_seconds(run):
    """Seconds since its start by a seeded machine's own clock, or None."""
    try:
        now = run.qmp("qom-get", path="/machine", property="rtc-time")
    except CannotRun:
        return None
    return now["tm_mday"] * 86400 + now["tm_hour"] * 3600 + now["tm_min"] * 60 + now["tm_sec"] - 86400


def complaint(outcome):
    """The fault of a machine that has ended, in a line; empty if there is none."""
    verdict = outcome.verdict
    if verdict is None:
        return outcome.departure()
    if verdict.get("expected") is not True:
        return f"ended with {verdict['end']} {verdict.get('code', '')} {verdict.get('name', '')}".rstrip() + ", which is not expected"
    if verdict["end"] == "tests":
        planned, passed = re.findall(r"^1\.\.(\d+)", outcome.channel, re.M), re.findall(r"^ok \d+ ", outcome.channel, re.M)
        if not planned or int(planned[-1]) != len(passed) or re.search(r"^not ok ", outcome.channel, re.M):
            return f"{len(passed)} tests passed of {planned[-1] if planned else 'none'}"
    return ""


def boot(machine, folder, job):
    """(the bytes of COM1 and COM2, its fault): one run of a machine to its end."""
    with Run(machine, folder, worker=job) as run:
        outcome, looked = run.wait(LOOK), 0
        while outcome.ended == "limit":
            looked = guest_seconds(run) or looked
            if looked > GUEST_LIMIT or outcome.seconds > HOST_LIMIT:
                lines = hang_report(run, outcome.seconds)
                (folder / "hang").write_text("\n".join(lines) + "\n")
                clock = f"{looked} s of its own time" if looked > GUEST_LIMIT else f"{outcome.seconds:.0f} s of the host's time"
                return b"", f"hangs: no end after {clock}; {lines[0].partition('; ')[2]}"
            outcome = run.wait(outcome.seconds + LOOK)
    return b"\0".join((folder / name).read_bytes() for name in ("serial.log", "channel.log")), complaint(outcome)


def first_difference(one, other):
    """The first difference of two runs, in words; empty if there is none."""
    if one == other:
        return ""
    at = next((at for at, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    port, start = ("COM2", one.index(b"\0") + 1) if b"\0" in one[:at] else ("COM1", 0)
    return f"the same seed gave other bytes, from byte {at - start} of {port} on"


def make_run(number, plan, job):
    """Makes a run, twice if that is planned; its entry. The folder of an anomaly is kept."""
    machine, folder, start = machine_of(number, plan), FOLDER / f"job{job}", time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    said, wrong = boot(machine, folder / "first", job)
    twice = not wrong and is_twice(number, plan)
    if twice:
        again, wrong = boot(machine, folder / "second", job)
        wrong = wrong or first_difference(said, again)
    entry = {"run": number, "name": name_of(machine), "cpus": machine.cpus, "seed": machine.seed, "twice": twice,
             "seconds": round(time.monotonic() - start, 2), "bytes": hashlib.sha256(said).hexdigest()[:16], "wrong": wrong}
    return entry, machine, folder


def keep(entry, machine, folder):
    """Puts an anomaly's folder aside, with the command that repeats it."""
    kept = FOLDER / f"run{entry['run']}"
    shutil.rmtree(kept, ignore_errors=True)
    folder.rename(kept)
    entry |= {"folder": str(kept), "repeat": repeat_command(machine)}
    (kept / "repeat").write_text(entry["repeat"] + "\n")


# ---- All of them ----

class Workers:
    """As many jobs as there are CPUs, each with a run at a time."""

    def __init__(self, state, jobs):
        self.state, self.lock, self.is_over, self.problem = state, threading.Lock(), threading.Event(), None
        self.left, self.times = state.missing(), times_of(state.plan["build"])
        self.threads = [threading.Thread(target=self.work, args=(job,)) for job in range(jobs)]

    def next(self):
        with self.lock:
            return None if self.is_over.is_set() else next(self.left, None)

    def work(self, job):
        try:
            for number in iter(self.next, None):
                entry, machine, folder = make_run(number, self.state.plan, job)
                if times_of(machine.build) != self.times:
                    raise CannotRun("the kernel was built anew during the soak: --anew begins with this one")
                with self.lock:
                    if self.is_over.is_set():
                        return                  # the machine was ended with the soak
                    if entry["wrong"]:
                        keep(entry, machine, folder)
                        wipe()
                        say(told(entry))
                    self.state.add(entry)
        except Exception as problem:
            if not self.is_over.is_set():
                self.problem = problem
                self.is_over.set()

    def run(self, tell):
        """Until all is done, or one of the jobs has a problem, or the user has had enough."""
        try:
            for thread in self.threads:
                thread.start()
            while any(thread.is_alive() for thread in self.threads):
                time.sleep(0.2)
                tell()
        finally:
            self.is_over.set()
            end_all()
            for thread in self.threads:
                thread.join()
            for job in range(len(self.threads)):
                shutil.rmtree(FOLDER / f"job{job}", ignore_errors=True)
        if self.problem:
            raise self.problem


class Progress:
    """One line that is written over at a terminal, a line a minute elsewhere."""

    def __init__(self, state):
        self.state, self.start, self.before, self.told = state, time.monotonic(), len(state.runs), time.monotonic()

    def line(self):
        done, total = len(self.state.runs), self.state.plan["runs"]
        pace = (time.monotonic() - self.start) / max(1, done - self.before)
        left = pace * (total - done) / 60
        return (f"{done:,} of {total:,} runs, {len(anomalies(self.state)):,} anomalies; "
                + (f"about {left / 60:.1f} h left" if left > 90 else f"about {left:.0f} min left"))

    def __call__(self):
        if sys.stderr.isatty():
            print(f"\r{self.line():78}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self.told >= TELL:
            self.told = time.monotonic()
            say(self.line())


def wipe():
    """Takes the line of progress off a terminal."""
    if sys.stderr.isatty():
        print(f"\r{'':78}\r", end="", file=sys.stderr, flush=True)


# ---- The summary ----

def anomalies(state):
    return [entry for entry in list(state.runs.values()) if entry["wrong"]]


def told(entry):
    """An anomaly in a line or two."""
    again = f"\n    again: {entry['repeat']}\n    kept:  {shown_path(entry['folder'])}"
    return f"run {entry['run']}: {entry['name']}, {entry['cpus']} CPUs, seed {entry['seed']}: {entry['wrong']}{again}"


def shown_path(path):
    return os.path.relpath(path) if str(path).startswith(os.getcwd() + os.sep) else path


def upper_bound(runs, found, confidence=CONFIDENCE):
    """The largest rate at which so few anomalies, or fewer, are still as likely as 1 - confidence (Clopper and Pearson)."""
    if found >= runs:
        return 1.0

    def likely(rate):
        logs = (math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1) + k * math.log(rate)
                + (runs - k) * math.log1p(-rate) for k in range(found + 1))
        return sum(map(math.exp, logs))
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if likely(middle) > 1 - confidence else (low, middle)
    return high


def summary(state):
    """Lines: a table of scenarios and CPUs, the rate, the anomalies."""
    yield f"{'scenario':10} {'CPUs':>4} {'runs':>8} {'twice':>8} {'anomalies':>10}"
    for name, cpus in itertools.product(state.plan["names"], CPUS):
        runs = [entry for entry in state.runs.values() if (entry["name"], entry["cpus"]) == (name, cpus)]
        if runs:
            yield (f"{name:10} {cpus:>4} {len(runs):>8,} {sum(entry['twice'] for entry in runs):>8,} "
                   f"{sum(bool(entry['wrong']) for entry in runs):>10,}")
    found, runs = anomalies(state), len(state.runs)
    for entry in found:
        yield told(entry)
    rate = f"; with 95 % confidence their rate is below {upper_bound(runs, len(found)):.2%}" if runs else ""
    yield (f"{runs:,} of {state.plan['runs']:,} runs, {sum(entry['twice'] for entry in state.runs.values()):,} of them twice: "
           f"{len(found) or 'no'} anomal{'y' if len(found) == 1 else 'ies'}{rate}")


def soak(state, jobs):
    progress = Progress(state)
    try:
        Workers(state, jobs).run(progress)
    finally:
        wipe()
        print("\n".join(summary(state)), flush=True)
        if not state.is_done():
            say("broken off; tools/bugcheck soak --resume goes on")
    return 1 if anomalies(state) else 0


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    with alone_in(FOLDER):
        state = State(FOLDER / "runs.jsonl")
        if options.resume and state.plan:
            options.build = state.plan["build"]
        build(options.build, "kernel", "archive", quiet=True)
        return soak(opened(options, state), options.jobs)
