"""Explores the whole kernel: preempts a test at each place where its CPUs meet.

`tools/bugcheck explore race_NAME... | --test NAME`, a part of `tools/bugcheck explore` (tools/cli/explore.py).

A run without preemptions tells where two CPUs come to the same memory. Behind each such access a CPU is preempted, a run for
each, on two machines side by side. Where the time ends before the pairs do, schedules are drawn as by PCT (Burckhardt et al.,
2010), which has a bound. What has been tried is kept in build/explore, so a search that was broken off goes on.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from cli import kd, trace
from cli.exploreshow import Sources
from cli.options import Parser, say, whole
from cli.schedule import MEETING, WHOLE_TEST, Explored, Point, keep_apart
from cli.traceshapes import lanes_of
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, TOP, CannotRun, shown
from machine.emulators import Machine, qemu_version
from machine.process import Run, handle_signals

USUAL_SECONDS = 60                          # of a search
DEPTH = 3                                   # of what PCT looks for: its schedules have DEPTH - 1 preemptions
SLOTS = min(2, os.cpu_count() or 1)         # machines at once
PCT_SHARE = 0.4                             # of the time, where what is listed does not fit
TELL_SECONDS = 5
MOST_ROWS = 14                              # of the table, for one stretch of a CPU
MOST_NARROW = 24                            # columns of it
NEAR = 60                                   # accesses before and behind a preemption that may have to do with it
MOST_ACCESSES = 1 << 22                     # that the plugin records (MAXIMUM_ACCESSES)
SCHEDULER = ("scheduler.c", "wait.c", "ipi.c", "dpc.c", "clock.c")
SCHEDULER_LOCKS = ("KiDispatcherLock",)
LIMIT = 60                                  # seconds for the debugger


class Tried:
    """What is known of the schedules: {text: [failure or None, rounds stood]}, kept in a file as it grows."""

    def __init__(self, path, digest):
        self.path, self.known, self.lock = path, {}, threading.Lock()
        try:
            head, *rows = path.read_text().splitlines()
            if json.loads(head) == digest:
                self.known = dict(json.loads(row) for row in rows if row.endswith("]]"))    # not one that was cut off
        except (OSError, ValueError):
            pass
        path.write_text("".join(json.dumps(row) + "\n" for row in [digest, *self.known.items()]))

    def __contains__(self, text):
        return text in self.known

    def add(self, text, failure, rounds):
        with self.lock:
            self.known[text] = [failure, rounds]
            with self.path.open("a") as file:
                file.write(json.dumps([text, [failure, rounds]]) + "\n")


class Progress:
    """One line now and then on how far it is."""

    def __init__(self):
        self.start = self.told = time.monotonic()
        self.runs, self.lock = 0, threading.Lock()

    def rate(self):
        return self.runs / max(time.monotonic() - self.start, 0.001)

    def ran(self, what, done, of):
        with self.lock:
            self.runs += 1
            if time.monotonic() - self.told > TELL_SECONDS:
                self.told = time.monotonic()
                say(f"{what}: {done}{f' of {of}' if of else ''}, {self.rate():.1f} runs a second")


class Found(Exception):
    """A schedule that fails: its points, and the sentence."""

    def __init__(self, points, failure, drawn=None):
        super().__init__(failure)
        self.points, self.failure, self.drawn = points, failure, drawn


# ---- Where to preempt ----

def candidates(ran, after=None):
    """The places where a preemption may matter: behind each access to a word that another CPU comes to later, but for those
    that only look again at what they have just seen. Those at the start of each meeting come first, for there the test does
    what it is about. With `after`, only places behind that one."""
    found, seen, places, last, writes = [], after is None, {}, {}, {}
    for access, following in zip(ran.accesses, [*ran.accesses[1:], None]):
        point = Point(access.cpu, access.address, access.count)
        writes[access.word] = writes.get(access.word, 0) + access.is_store
        now = (access.address, access.word, writes[access.word])
        looks_again, last[access.cpu] = last.get(access.cpu) == now, now
        if not seen:
            seen = point == after
            continue
        is_first_half = following and following[:2] == access[:2] and following.is_store and not access.is_store
        if access.meets and not is_first_half and not looks_again:
            places[access.window] = places.get(access.window, 0) + 1
            found.append((places[access.window], access.window, point))
    return [point for _, _, point in sorted(found)]


class Search:
    """The search of one test."""

    def __init__(self, explored, tried, seconds):
        self.explored, self.tried, self.progress = explored, tried, Progress()
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.free = list(range(SLOTS))      # slots that no machine uses
        self.lock = threading.Lock()
        self.resumed = len(tried.known)

    def text(self, points):
        return self.explored.names.text(points)

    def slot_run(self, *arguments, **options):
        with self.lock:
            slot = self.free.pop()
        try:
            return self.explored.run(*arguments, **options, slot=slot)
        finally:
            with self.lock:
                self.free.append(slot)

    def attempt(self, points, what, done, of):
        """Tries one list, unless it is known. True: it was tried now or before; False: no time was left."""
        text = self.text(points)
        if text not in self.tried:
            if time.monotonic() > self.end:
                return False
            ran = self.slot_run(points)
            self.tried.add(text, ran.failure, [stood.rounds for stood in ran.stood])
            self.progress.ran(what, done, of)
        failure = self.tried.known[text][0]
        if failure:
            raise Found(points, failure)
        return True

    def all_of(self, lists, what):
        """Tries lists side by side; how many were tried. Found: the first that fails."""
        lists = list(lists)
        with ThreadPoolExecutor(SLOTS) as pool:
            jobs = [pool.submit(self.attempt, points, what, index, len(lists)) for index, points in enumerate(lists)]
            try:
                return sum(job.result() for job in jobs)
            finally:
                for job in jobs:
                    job.cancel()

    def stands(self, point):
        """Whether another CPU ran while this one stood, as far as is known."""
        known = self.tried.known.get(self.text([point]))
        return known is not None and any(known[1])

    def pairs(self, singles):
        """([(p, q)], how many were left out, whether that is all): q is a place that the run preempted at p comes to, where CPUs
        meet. Left out is a q at the scheduler's words, to which the CPUs come in every wait, where p is not at the same word.
        Each q comes once before one comes twice."""
        found, left_out, met = [], 0, {}
        for point in singles:
            if time.monotonic() > self.end:
                return found, left_out, False
            ran = self.slot_run([point], record=True)
            self.progress.runs += 1
            hot = hot_words(self.explored.names, ran.accesses)
            words = {Point(*access[:3]): access.word for access in ran.accesses}
            seconds = candidates(ran, point)
            kept = [other for other in seconds if words[other] not in hot or words[other] == words.get(point)]
            left_out += len(seconds) - len(kept)
            for rank, other in enumerate(kept):
                met[other] = met.get(other, 0) + 1
                found.append((met[other], rank, len(found), (point, other)))
        return [pair for *_, pair in sorted(found)], left_out, True

    # ---- Priorities ----

    def pct(self, base, events, file):
        """Draws schedules until the time is over; how many."""
        length, known = max(1, events), sum(text.startswith("pct:") for text in self.tried.known)
        file.write_text("".join(f"{address:x}\n" for address in sorted({access.address for access in base.accesses})))

        def draw(seed):
            text = f"pct:{seed}"
            if time.monotonic() > self.end:
                return False
            ran = self.slot_run(pct=(seed, DEPTH, length, file))
            self.tried.add(text, ran.failure, [stood.rounds for stood in ran.stood])
            self.progress.ran("schedules drawn", seed, 0)
            if ran.failure:
                raise Found([stood.point for stood in ran.stood], ran.failure, text)
            return True

        with ThreadPoolExecutor(SLOTS) as pool:
            seed, count = known, 0
            while time.monotonic() < self.end:
                batch = [pool.submit(draw, seed + index) for index in range(SLOTS * 4)]
                seed += len(batch)
                count += sum(job.result() for job in batch)
        return known + count

    # ---- The fewest preemptions ----

    def fails(self, points):
        text = self.text(points)
        if text not in self.tried:
            ran = self.slot_run(points)
            self.progress.runs += 1
            self.tried.add(text, ran.failure, [stood.rounds for stood in ran.stood])
        return self.tried.known[text][0]

    def shrink(self, points, failure):
        """Takes preemptions out, halves first, as long as it still fails. A schedule that was drawn may not fail as a list: None."""
        size = max(1, len(points) // 2)
        while points:
            for start in range(0, len(points), size):
                fewer = points[:start] + points[start + size:]
                said = self.fails(fewer)
                if said:
                    points, failure = fewer, said
                    break
            else:
                if size == 1:
                    break
                size //= 2
            size = max(1, min(size, len(points)))
        return (points if not points or self.fails(points) else None), failure


# ---- A schedule for people ----

def hot_words(names, accesses):
    """Words of the scheduler, to which the CPUs come all the time: they would fill every table."""
    own = {access.word for access in accesses if names.step(access.address)[0] in SCHEDULER}
    return own | {names.address(lock) & ~7 for lock in SCHEDULER_LOCKS}


def stretches(names, accesses, points):
    """The accesses around the preemptions to words over which the CPUs meet there: rows for the table."""
    hot, rows, last = hot_words(names, accesses), [], 0
    after = []
    for place in (index for index, access in enumerate(accesses) if Point(*access[:3]) in points):
        cpu, point = accesses[place].cpu, accesses[place]
        back = next((index for index in range(place + 1, len(accesses)) if accesses[index].cpu == cpu), len(accesses))
        others = {access.word for access in accesses[place + 1:back]}
        own = [[access for access in part if access.cpu == cpu and access.word not in hot]
               for part in (accesses[:place + 1], accesses[back:])]
        words = others & {access.word for access in own[0][-NEAR:] + own[1][:NEAR]} | {point.word}
        between = [access for access in accesses[place + 1:back] if access.word in words]
        if len(between) > MOST_ROWS:
            between = between[:MOST_ROWS // 2] + between[-MOST_ROWS // 2:]
        rows += [access for access in accesses[last:place + 1] if access.word in words and access.window == point.window][-MOST_ROWS:]
        rows += between
        after = [access for access in accesses[back:] if access.word in words and access.window == point.window][:MOST_ROWS // 2]
        last = back
    return rows + after


def table(names, rows, cpus):
    """Rows as a table with a column for each CPU that is in it: a heading for each function, a source line once."""
    shown_cpus = sorted({access.cpu for access in rows}) or list(range(cpus))
    width = max(MOST_NARROW, (max(80, min(160, shutil.get_terminal_size().columns)) + 3) // len(shown_cpus) - 3)
    sources, last, cells = Sources(), {}, []
    for access in rows:
        step = names.step(access.address)
        file, line, function = step
        if last.get(access.cpu, (None,) * 3)[2] != function:
            cells.append((access.cpu, f"{function} ({file})"))
        elif cells[-1][0] == access.cpu and last[access.cpu] == step:
            continue
        last[access.cpu] = step
        cells.append((access.cpu, f"{line:5}  {sources.text(file, line)}"))
    yield " | ".join(f"{f'CPU {cpu}':{width}}" for cpu in shown_cpus).rstrip()
    yield "-+-".join("-" * width for _ in shown_cpus)
    for cpu, text in cells:
        text = text if len(text) <= width else text[:width - 3] + "..."
        yield " | ".join(f"{text if cpu == column else '':{width}}" for column in shown_cpus).rstrip()


def ordinal(number):
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def sentence(names, point):
    file, line, function = names.step(point.address)
    return f"CPU {point.cpu} is preempted in {function} ({file}:{line}), behind its {ordinal(point.count)} access there"


def command(explored, points, more=""):
    cpus = f" --cpus {explored.cpus}" if explored.cpus != 2 else ""
    build = f" --build {explored.build}" if explored.build != "checked" else ""
    return f"tools/bugcheck explore {explored.test}{cpus}{build} --schedule '{explored.names.text(points)}'{more}"


def show(explored, points):
    """The schedule as a table and a page; the accesses come from one more run of it."""
    ran = explored.run(points, record=True)
    for point in points:
        print(f"{sentence(explored.names, point)}.")
    if not points:
        print("No CPU is preempted.")
    print("\n" + "\n".join(table(explored.names, stretches(explored.names, ran.accesses, points), explored.cpus)))
    print(f"\nThe same again: {command(explored, points)}")
    print(f"In the debugger, stopped at the last preemption: {command(explored, points, ' --gdb')}")
    try:
        print(f"What each CPU did: {shown(page(explored, points))}")
    except (CannotRun, OSError, subprocess.TimeoutExpired) as problem:
        say(f"no page of the timeline: {problem}")
    return ran.failure


# ---- Stopped machines: the debugger and the timeline ----

def stopped(explored, points, stop):
    """(a Run that is paused there, its GDB socket): stop is a preemption, from 1 on, or 0: the end of the test."""
    run, log = explored.start(points, stop=stop)
    link = f"{run.sockets}/gdb"
    run.machine.extra += ("-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
    run.start()
    keep_apart(run.process.pid, 0)
    deadline = time.monotonic() + LIMIT
    while not (log.exists() and log.read_text().endswith("stopped\n")):
        if run.process.poll() is not None or time.monotonic() > deadline:
            run.end()
            raise CannotRun("the run does not come to the preemption that it is to stop at" if stop else "the run does not come to its end")
        time.sleep(0.005)
    return run, link


def debug(explored, points, commands):
    """Opens the debugger at the last preemption of a schedule; its status."""
    run, link = stopped(explored, points, len(points))
    try:
        options = SimpleNamespace(live=link, file=None, kernel=str(OUT / explored.build / "kernel.elf"), commands=commands)
        return kd.debug(kd.session_options(options))
    finally:
        run.end()


def page(explored, points):
    """Writes the timeline of a schedule as a page; its path."""
    run, link = stopped(explored, points, 0)
    data = explored.folder / "trace"
    data.unlink(missing_ok=True)
    try:
        done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.kd", "--live", link, "--kernel",
                               OUT / explored.build / "kernel.elf", "-c", f".tracejson {data}"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT)
        if done.returncode or not data.exists():
            raise CannotRun((done.stdout.strip() or done.stderr.strip() or "the debugger said nothing").splitlines()[-1])
    finally:
        run.end()
    read = json.loads(data.read_text("utf-8"))
    made = explored.folder / "trace.html"
    made.write_text(trace.html_page(read, *lanes_of(read)), "utf-8")
    return made


# ---- The whole ----

def bound(cpus, events, depth, runs):
    """PCT's guarantee, in words."""
    least = cpus * max(1, events) ** (depth - 1)
    all_runs = 1 - (1 - 1 / least) ** runs
    return f"a fault of depth {depth} shows in a run with a probability of at least 1/{least:,}: in all {runs:,} with {all_runs:.2g}"


def note(search, start):
    """Writes down what a search took, for the list; its seconds."""
    took = time.monotonic() - start
    (search.explored.folder / "taken").write_text(json.dumps([search.progress.runs, round(took, 1)]))
    return took


def explore(explored, rule, seconds, preemptions):
    """Searches; prints what was found. True: nothing fails."""
    start = time.monotonic()
    explored.folder.mkdir(parents=True, exist_ok=True)
    search = Search(explored, Tried(explored.folder / "tried", explored.digest()), seconds)
    if search.resumed:
        say(f"{explored.test}: goes on from {search.resumed} schedules that are known; --fresh forgets them")
    try:
        told = look(search, preemptions)
        print(f"{explored.test}: holds in {told}, {note(search, start):.0f} s: {rule}", flush=True)
        return True
    except Found as found:
        runs, took = search.progress.runs, note(search, start)
        points, failure = search.shrink(found.points, found.failure)
        print(f"{explored.test}: BROKEN, found by run {runs} after {took:.0f} s: {rule}\n\n{failure}.")
        if points is None:
            print(f"It was drawn as {found.drawn}, and does not fail as the list of its preemptions, which is:")
            print("\n".join(f"  {sentence(explored.names, point)}" for point in found.points))
        else:
            show(explored, points)
        return False


def look(search, preemptions):
    """All stages, with at most so many preemptions; a text on what was tried."""
    explored, progress = search.explored, search.progress
    base = explored.run(record=True)
    progress.runs += 1
    if base.failure:
        raise Found([], base.failure)
    if base.events >= MOST_ACCESSES:
        say(f"{explored.test}: only its first {MOST_ACCESSES:,} accesses to memory are looked at")
    singles = candidates(base)
    last = search.end
    search.end = time.monotonic() + (last - time.monotonic()) * (1 - PCT_SHARE)
    search.all_of([[point] for point in singles], "single preemptions")
    tried = sum(search.text([point]) in search.tried for point in singles)
    told = f"{tried:,} of {len(singles):,} single preemptions"
    if tried == len(singles) and preemptions == 1:
        return f"{told} ({progress.rate() * 60:.0f} runs a minute)"
    if tried == len(singles):
        lists, left_out, is_all = search.pairs([point for point in singles if search.stands(point)])
        search.all_of(lists, "pairs")
        tried = sum(search.text(pair) in search.tried for pair in lists)
        told += f", {tried:,} of {'' if is_all else 'more than '}{len(lists):,} pairs ({left_out:,} only meet in the scheduler)"
        if is_all and tried == len(lists):
            return f"{told} ({progress.rate() * 60:.0f} runs a minute)"
    search.end = last
    events = len(base.accesses)
    drawn = search.pct(base, events, explored.folder / "events")
    told += f" ({progress.rate() * 60:.0f} runs a minute); then {drawn:,} schedules drawn by PCT: "
    return told + "; ".join(bound(explored.cpus, events, depth, drawn) for depth in range(2, DEPTH + 1))


def repeat(explored, text, rule):
    """One schedule. True: it holds."""
    points = explored.names.points(text)
    ran = explored.run(points)
    missed = len(points) - len(ran.stood)
    print(f"{explored.test}: {'BROKEN: ' + ran.failure if ran.failure else 'holds'}: {rule}\n")
    if missed:
        say(f"{missed} of the preemptions did not come: their places were not reached so often")
    show(explored, points)
    return not ran.failure


# ---- The command ----

FOLDER = OUT / "explore"
TOO_NEW = (9, 0)                                # of QEMU's versions
RACE = "race_"
USAGE = "usage: tools/bugcheck explore race_NAME...|--test NAME [--seconds S] [--schedule LIST [--gdb [-c COMMANDS]]]"


def concerns(words):
    """Whether the words of `explore` are for this engine: a race by name, or a test."""
    return "--test" in words or any(word.startswith(("--test=", RACE)) for word in words)


def parse(words):
    parser = Parser("tools/bugcheck explore", USAGE)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--test")
    parser.add_argument("--cpus", type=whole(2, 16), default=2)
    parser.add_argument("--build", choices=("checked", "free"), default="checked")
    parser.add_argument("--seconds", type=whole(1, 86400), default=USUAL_SECONDS)
    parser.add_argument("--preemptions", type=whole(1, 2), default=2)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--schedule")
    parser.add_argument("--gdb", action="store_true")
    parser.add_argument("-c", dest="commands")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    options.names += [options.test] if options.test else []
    if options.schedule is not None and len(options.names) != 1:
        raise CannotRun("--schedule: name the one test that it belongs to")
    if options.gdb and not options.schedule:
        raise CannotRun("--gdb: with which --schedule? A search prints the schedule that fails")
    return options


class Known:
    """What a build's tests are: {race: rule}, the names of all tests, and where their module lies."""

    def __init__(self, name, cpus):
        self.build, self.cpus = name, cpus
        machine = Machine(build=name, cmdline="test=list jitter=0", cpus=cpus, mem=64, seed=1, disk=False, dump=None)
        with Run(machine, FOLDER / "list") as run:
            outcome = run.wait(LIMIT)
        if not outcome.verdict:
            raise CannotRun(f"the kernel does not tell its tests: {outcome.stderr.strip() or outcome.departure()}")
        self.races = dict(re.findall(r"^# race (\S+) (.*)$", outcome.channel, re.M))
        self.tests = set(re.findall(r"^# test (\S+)$", outcome.channel, re.M))
        self.sections = [(int(index), int(start, 16), int(size, 16)) for index, start, size
                         in re.findall(r"^# section (\d+) (\w+) (\w+)$", outcome.channel, re.M)]

    def rule(self, test):
        return self.races.get(test) or test.replace("_", " ")

    def explored(self, test):
        folder = FOLDER / f"{test}.{self.build}.{self.cpus}"
        return Explored(test, self.build, self.cpus, folder, self.sections, MEETING if test in self.races else WHOLE_TEST)


def taken(explored):
    """What the last search of a test took, in words."""
    try:
        runs, seconds = json.loads((explored.folder / "taken").read_text())
        return f"{runs:>6,} schedules {seconds:>6.1f} s"
    except (OSError, ValueError):
        return f"not tried yet, {USUAL_SECONDS} s at most"


def listing():
    """The races, with what the last search of each did."""
    build("checked", "kernel", "archive", quiet=True)
    known = Known("checked", 2)
    width = max(map(len, known.races))
    print("\nOf the whole kernel, with real threads on two CPUs (--test NAME: under any other test inside the kernel):")
    for name, rule in known.races.items():
        print(f"{name:{width}}  {taken(known.explored(name)):31}  {rule}")


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    if qemu_version() >= TOO_NEW:
        raise CannotRun("the whole kernel is explored under QEMU 7.2 and 8: with the plugin QEMU 10 ends by SIGABRT; "
                        "the container has 7.2: tools/bugcheck container explore NAME")
    build(options.build, "kernel", "archive", quiet=True)
    with alone_in(FOLDER):
        known = Known(options.build, options.cpus)
        for name in options.names:
            if name not in known.tests:
                raise CannotRun(f"no test inside the kernel is called '{name}'; those made for this are: {', '.join(known.races)}")
        return 0 if all([one(known.explored(name), known.rule(name), options) for name in options.names]) else 1


def one(explored, rule, options):
    """Searches one test, or repeats one schedule of it. True: it holds."""
    if options.fresh:
        shutil.rmtree(explored.folder, ignore_errors=True)
    if options.gdb:
        return debug(explored, explored.names.points(options.schedule), options.commands) == 0
    if options.schedule is not None:
        return repeat(explored, options.schedule, rule)
    return explore(explored, rule, options.seconds, options.preemptions)
