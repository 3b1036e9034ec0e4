"""Plants faults in the kernel, one at a time, and tells which of them the tests see.

usage: tools/tool cli.mutants [--folder FOLDER] [--name NAME] [--jobs N] [--fresh] [--tables DIR]

The faults stand in tests/mutants, a table for each folder, each with the test that it should die by; tools/build/mutants.py
describes the tables. Every worker has a copy of the tree under OUT/mutants, with builds of its own, in which a fault costs one
object and the links. First each test that a fault should die by must pass without any. A fault is killed when its test fails, the
machine stops, or the guest's time is over. What was tried before is not tried again while the tree and the entry are the same;
--fresh forgets it. Exit 0 when at least 90 % of the faults die, 1 when fewer do or an entry is wrong, 2 for wrong words.
"""

import hashlib
import json
import os
import queue
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from build.mutants import TABLES, plant, read_tables
from cli.options import Parser, whole
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun, shown
from machine.emulators import Machine
from machine.process import Run, handle_signals

FOLDER = OUT / "mutants"
ENOUGH = 90                                     # percent
GUEST_SECONDS = 3                               # of a test's thread, in counted time
EMULATOR_SECONDS = 40                           # of QEMU's CPU time, where the guest's own clock stands still
PATIENCE = 900                                  # of the wall, for a build or for pytest
PARTS = ("Makefile", "arch", "boot", "kernel", "tests", "tools")    # what a mutant's death may depend on
SEEDED_BUILDS = ("checked", "free")             # taken over from OUT, where they are the tree's own


@dataclass
class Verdict:
    """What became of a mutant, or of a test without any."""
    end: str                                    # "killed", "lives", "wrong"
    how: str = ""


@dataclass
class OfThisTree(Machine):
    """A machine whose kernel is a copy's."""
    tree: object = field(default=TOP, kw_only=True)

    def files(self):
        return self.tree / "build" / self.build


# ---- A copy of the tree ----

def sources():
    """The paths of all files of the tree that may matter, relative to it."""
    done = subprocess.run(["git", "-C", str(TOP), "ls-files", "-co", "--exclude-standard", "--", *PARTS],
                          capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise CannotRun(f"git does not list the tree's files: {done.stderr.strip()}")
    return [name for name in done.stdout.splitlines() if (TOP / name).is_file()]


def digest(names):
    """Of all that a mutant's death may depend on but its own entry."""
    total = hashlib.sha256()
    for name in names:
        if not name.startswith(("tests/mutants/", "tests/test_mutants.py", "tools/cli/mutants.py")):
            total.update(f"{name}\0".encode() + (TOP / name).read_bytes())
    return total.hexdigest()


def refresh(tree, names):
    """Makes the copy the same as the tree; a file that differs gets the time of this moment, so that make sees it."""
    is_new = not tree.exists()
    for name in names:
        ours, theirs = TOP / name, tree / name
        if theirs.is_file() and theirs.read_bytes() == ours.read_bytes():
            continue
        theirs.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copy2 if is_new else shutil.copy)(ours, theirs)
    wanted = set(names)
    for part in PARTS[1:]:
        for path in (tree / part).rglob("*"):
            if path.is_file() and str(path.relative_to(tree)) not in wanted and "__pycache__" not in path.parts:
                path.unlink()
    if is_new and OUT == TOP / "build":         # their rules name files by the path to OUT
        for build in SEEDED_BUILDS:
            if (OUT / build / "kernel.elf").exists():
                shutil.copytree(OUT / build, tree / "build" / build, symlinks=True)


class Copy:
    """One worker's tree, in which mutants are planted, built and run."""

    def __init__(self, number):
        self.folder = FOLDER / str(number)
        self.tree = self.folder / "tree"
        self.process = None                     # of make or pytest, while it runs
        self.changed = None                     # (path, text) of the file that has a mutant in it

    def plant(self, mutant):
        path = self.tree / mutant.file
        text = plant(mutant, self.tree)
        self.changed = path, path.read_text()
        path.write_text(text)

    def restore(self):
        if self.changed:
            path, text = self.changed
            path.write_text(text)
            self.changed = None

    def call(self, words):
        """(status, output) of a program in the copy, with all that it started ended."""
        environment = {key: value for key, value in os.environ.items() if key not in ("OUT", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *words], cwd=self.tree, env=environment, text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                                        start_new_session=True)
        try:
            output = self.process.communicate(timeout=PATIENCE)[0]
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            output = self.process.communicate()[0] + f"\nno end after {PATIENCE} s"
        status, self.process = self.process.returncode, None
        return status, output

    def build(self, name):
        """Makes a build; CannotRun with the first complaint."""
        status, output = self.call(["make", "-s", f"BUILD={name}", "OUT=build", "kernel", "archive"])
        if status:
            complaint = next((line for line in output.splitlines() if "rror" in line), output.strip())
            raise CannotRun(f"does not build: {complaint}")

    def run(self, killer):
        """Runs what a mutant should die by."""
        return self.run_pytest(killer) if killer.pytest else self.run_inside(killer)

    def run_inside(self, killer):
        """Tests inside the kernel, on one machine."""
        chosen = killer.settings
        seed = None if chosen["seed"] == "none" else int(chosen["seed"])
        self.build(chosen["build"])
        limit = "" if seed is None or killer.test.startswith("explore_") else f"limit={GUEST_SECONDS}"
        words = f"test={killer.test} {limit} {chosen.get('append', '')}"
        machine = OfThisTree(build=chosen["build"], cmdline=" ".join(words.split()), cpus=int(chosen["cpus"]),
                             mem=int(chosen["mem"]), seed=seed, tree=self.tree)
        with Run(machine, self.folder / "run") as run:
            resource.prlimit(run.process.pid, resource.RLIMIT_CPU, (EMULATOR_SECONDS, EMULATOR_SECONDS))
            return judged(run.wait(PATIENCE))

    def run_pytest(self, killer):
        """Tests around the kernel, which build what they need."""
        words = [f"tests/{word}" if word.startswith("test_") else word for word in killer.pytest]
        status, output = self.call([sys.executable, "tools/tool", "cli.test", "-q", "-x", "-p", "no:cacheprovider", *words])
        if status == 0:
            return Verdict("lives")
        failed = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(.*)$", output, re.M)
        if status == 1 and failed and "build failed" not in output:
            return Verdict("killed", failed[1][:160])
        return Verdict("wrong", f"pytest {' '.join(words)}: {output.strip().splitlines()[-1] if output.strip() else status}")


def judged(outcome):
    """What the end of a machine says."""
    verdict = outcome.verdict
    failed = re.findall(r"^# (?!Totals)(.*)\n(?:# .*\n)*not ok \d+ - (\w+)", outcome.channel, re.M)
    if verdict and verdict["end"] == "tests" and verdict["expected"] is True:
        return Verdict("lives")
    if failed:
        return Verdict("killed", f"{failed[0][1]}: {failed[0][0]}")
    if verdict:
        return Verdict("killed", f"{verdict['end']} {verdict.get('code', '')} {verdict.get('name', '')}".strip())
    if outcome.status in (-signal.SIGKILL, -signal.SIGXCPU):
        return Verdict("killed", f"no end after {EMULATOR_SECONDS} s of the emulator's time")
    return Verdict("wrong" if outcome.ended == "limit" else "killed", outcome.departure())


# ---- Work ----

class Memory:
    """What was found before: {name: [digest, end, how]}, in a file that is always whole."""

    def __init__(self, path, is_fresh):
        self.path, self.lock = path, threading.Lock()
        try:
            self.known = {} if is_fresh else json.loads(path.read_text())
        except (OSError, ValueError):
            self.known = {}

    def recall(self, name, mark):
        found = self.known.get(name)
        return Verdict(*found[1:]) if found and found[0] == mark and found[1] != "wrong" else None

    def keep(self, name, mark, verdict):
        with self.lock:
            self.known[name] = [mark, verdict.end, verdict.how]
            fresh = self.path.with_suffix(".new")
            fresh.write_text(json.dumps(self.known, indent=0, sort_keys=True))
            fresh.replace(self.path)


def try_mutant(copy, mutant):
    """Builds a mutant and runs what it should die by, one after the other."""
    try:
        copy.plant(mutant)
        verdict = Verdict("lives")
        for killer in mutant.killers:
            verdict = copy.run(killer)
            if verdict.end != "lives":
                break
        return verdict
    except CannotRun as problem:
        return Verdict("wrong", str(problem))
    finally:
        copy.restore()


def try_killer(copy, killer):
    """Runs a test on the tree as it is: what fails there says nothing of a mutant."""
    try:
        verdict = copy.run(killer)
    except CannotRun as problem:
        return Verdict("wrong", str(problem))
    return verdict if verdict.end == "lives" else Verdict("wrong", f"fails without a mutant: {verdict.how}")


class Work:
    """Jobs, dealt to workers with a copy of the tree each, and what they found."""

    def __init__(self, memory, mark, names):
        self.memory, self.mark, self.names = memory, mark, names
        self.jobs, self.found, self.count, self.problem = queue.Queue(), {}, 0, None
        self.copies, self.stopped = [], False

    def add(self, name, text, action):
        """action(copy) gives the verdict; one that is known is not sought again."""
        mark = hashlib.sha256((self.mark + text).encode()).hexdigest()
        known = self.memory.recall(name, mark)
        if known:
            self.found[name] = known
        else:
            self.jobs.put((name, mark, action))

    def run(self, workers):
        self.count = self.jobs.qsize()
        threads = [threading.Thread(target=self.work, args=(number,), daemon=True) for number in range(min(workers, self.count))]
        try:
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.1)                 # a signal reaches the main thread here
        finally:
            self.stopped = True
            for copy in self.copies:
                if copy.process:
                    os.killpg(copy.process.pid, signal.SIGTERM)
        if self.problem:
            raise self.problem

    def work(self, number):
        try:
            copy = Copy(number)
            self.copies.append(copy)
            refresh(copy.tree, self.names)
            while not self.stopped:
                name, mark, action = self.jobs.get_nowait()
                start = time.monotonic()
                verdict = action(copy)
                if not self.stopped:
                    self.tell(name, mark, verdict, time.monotonic() - start)
        except queue.Empty:
            pass
        except Exception as problem:            # the main thread ends with it
            self.problem, self.stopped = problem, True

    def tell(self, name, mark, verdict, seconds):
        self.found[name] = verdict
        self.memory.keep(name, mark, verdict)
        done = self.count - self.jobs.qsize()
        word = "passes" if name.startswith("without a mutant: ") and verdict.end == "lives" else verdict.end
        print(f"{done:4}/{self.count} {seconds:5.1f} s  {word:6}  {name}{': ' if verdict.how else ''}{verdict.how}", flush=True)


# ---- The score ----

def score(mutants, found):
    """Prints the table by folder and the mutants that live; returns the exit status."""
    dead = {mutant.where for mutant in mutants if mutant.killers and found[label(mutant)].end == "killed"}
    rows = {}
    for mutant in mutants:
        for row in (rows.setdefault(mutant.folder, [0, 0, 0]), rows.setdefault("all", [0, 0, 0])):
            row[2] += bool(mutant.equivalent)
            row[0] += not mutant.equivalent
            row[1] += mutant.where in dead
    rows["all"] = rows.pop("all")
    print(f"\n{'folder':10} {'faults':>7} {'killed':>7} {'score':>7}   {'equivalent':>10}")
    for folder, (count, killed, equal) in rows.items():
        print(f"{folder:10} {count:7} {killed:7} {percent(killed, count):5} %   {equal:10}")
    alive = [mutant for mutant in mutants if not mutant.equivalent and mutant.where not in dead]
    wrong = [mutant for mutant in alive if mutant.killers and found[label(mutant)].end == "wrong"]
    for mutant in alive:
        why = mutant.lives or found[label(mutant)].how or "its test passes"
        print(f"{'wrong' if mutant in wrong else 'lives'}: {label(mutant)} ({mutant.where}): {mutant.what} [{why}]")
    count, killed, _ = rows["all"]
    return 1 if wrong or killed * 100 < count * ENOUGH else 0


def percent(part, whole_):
    return part * 100 // whole_ if whole_ else 100


def label(mutant):
    return f"{mutant.folder}/{mutant.name}"


def choose(mutants, options):
    """Those of a folder, or of a name; CannotRun where there is none."""
    chosen = [mutant for mutant in mutants if options.folder in (None, mutant.folder) and options.name in (None, mutant.name)]
    if not chosen:
        folders = ", ".join(sorted({mutant.folder for mutant in mutants}))
        raise CannotRun(f"no mutant is in folder '{options.folder}'; there are: {folders}" if options.name is None else
                        f"no mutant is called '{options.name}'; tests/mutants lists them")
    return chosen


def parse(words):
    parser = Parser("tools/tool cli.mutants")
    parser.add_argument("--folder")
    parser.add_argument("--name")
    parser.add_argument("--jobs", type=whole(1, 64), default=len(os.sched_getaffinity(0)))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--tables", type=Path, default=TABLES)
    return parser.parse_args(words)


def main(words):
    if words in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0
    options = parse(words)
    handle_signals()
    mutants = choose(read_tables(options.tables), options)
    with alone_in(FOLDER):
        names = sources()
        for mutant in mutants:
            plant(mutant)                       # one that does not apply is told before anything is built
        FOLDER.mkdir(parents=True, exist_ok=True)
        work = Work(Memory(FOLDER / "found.json", options.fresh), digest(names), names)
        killers = {killer.text: killer for mutant in mutants for killer in mutant.killers}
        for text, killer in killers.items():
            work.add(f"without a mutant: {text}", text, lambda copy, killer=killer: try_killer(copy, killer))
        for mutant in mutants:
            if mutant.killers:
                work.add(label(mutant), mutant.text(), lambda copy, mutant=mutant: try_mutant(copy, mutant))
        start = time.monotonic()
        work.run(options.jobs)
        failing = [f"{name}: {verdict.how}" for name, verdict in work.found.items()
                   if name.startswith("without a mutant: ") and verdict.end != "lives"]
        status = score(mutants, work.found)
        for line in failing:
            print(f"wrong: {line}")
        print(f"{(time.monotonic() - start) / 60:.1f} minutes; what was found is in {shown(FOLDER / 'found.json')}")
        return 1 if failing else status
