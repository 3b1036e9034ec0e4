"""Runs the parts of a lab with a student's kernel: the share of its runs that is right.

Facts come from the host: each test that a part names must be reported as passed, on COM2, by a machine that came to the end of its
tests. Seeds of the parts with "drawn" come from the run's nonce, so that no kernel knows them.
"""

import functools
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from build import labs
from cli.explore import boot as explore_boot
from cli.explore import told
from host.folderlock import alone_in
from host.paths import OUT, TOP
from machine.emulators import Machine
from machine.process import Run

GUEST_SECONDS = 3                               # of a test, in counted time
FREE_SECONDS = 30                               # of a test, by the clock
EMULATOR_SECONDS = 10                           # of QEMU's CPU time, where the guest's own clock stands still
ENOUGH = 3                                      # schedules, one behind the other, that fail: the others are not tried
HANGS, LESS = 3, 3                              # so many hangs of a kernel, and each further one gets only so many seconds
PATIENCE = 240                                  # of the wall
LARGEST = 8 << 20                               # bytes of a log
QUICK, FULL = 2, 20                             # seeds
SANDBOX = ("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny")


@dataclass
class StudentsMachine(Machine):
    """A machine with a student's kernel."""
    kernel: object = field(default=None, kw_only=True)

    def files(self):
        return self.kernel.folder / self.build


@dataclass
class Shown:
    """What a run of a part came to: whether it is right, and, where not, what went wrong and how to see it again."""
    right: bool
    why: str = ""
    replay: str = ""
    detail: str = ""


# ---- The tests inside the kernel ----

@functools.cache
def tests_named(prefix):
    """The tests of the tree whose names begin so: those that a report must have."""
    text = "\n".join(path.read_text() for path in sorted((TOP / "tests/kernel").glob("test_*.c")))
    return [name for name in re.findall(r"^KTEST(?:_ALONE)?\((\w+)\)", text, re.M) if name.startswith(prefix)]


def boot(kernel, prefix, seed, cpus, more=""):
    """The Outcome of one machine with the tests of a prefix; its logs and its time are limited."""
    limit = GUEST_SECONDS if seed is not None else FREE_SECONDS
    machine = StudentsMachine(build=labs.BUILD, cmdline=f"test={prefix} limit={limit} {more}".strip(), cpus=cpus, mem=64, seed=seed,
                              kernel=kernel, extra=SANDBOX)
    seconds = EMULATOR_SECONDS if kernel.hangs < HANGS else LESS
    with Run(machine, kernel.folder / "run") as run:
        resource.prlimit(run.process.pid, resource.RLIMIT_CPU, (seconds, seconds))
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (LARGEST, LARGEST))
        outcome = run.wait(PATIENCE)
    kernel.hangs += is_hang(outcome)
    return outcome


def is_hang(outcome):
    return outcome.status in (-signal.SIGKILL, -signal.SIGXCPU) or outcome.ended == "limit"


def judged(outcome, wanted):
    """(right, why) of a machine that had to pass these tests."""
    passed = set(re.findall(r"^ok \d+ - (\w+)", outcome.channel, re.M))
    failed = re.search(r"^# (?!Totals)(.*)\n(?:# .*\n)*not ok \d+ - (\w+)", outcome.channel, re.M)
    verdict, missing = outcome.verdict, [name for name in wanted if name not in passed]
    if verdict and verdict["end"] == "tests" and verdict["expected"] is True and not missing:
        return True, ""
    at = f"in {wanted[0]}" if len(wanted) == 1 else f"when {len(wanted) - len(missing)} of {len(wanted)} tests had passed"
    if failed:
        return False, f"{failed[2]}: {failed[1].removeprefix(failed[2] + ': ')}"
    if verdict and verdict["end"] == "bugcheck":
        return False, f"the machine stopped {at}: {verdict.get('code', '')} {verdict.get('name', '')}".rstrip()
    if outcome.status == -signal.SIGXFSZ:
        return False, f"it printed more than {LARGEST >> 20} MiB and was ended"
    if is_hang(outcome):
        return False, f"it hangs {at}: no end in the time that it gets"
    if verdict:
        return False, f"it ended {at}, with '{verdict['end']}'"
    return False, f"it left without a verdict {at}: a triple fault, or a reset"


def run_tests(kernel, part, seed, cpus, more=""):
    """Each prefix of a part on one machine; the first that is not right."""
    for prefix in part["tests"]:
        right, why = judged(boot(kernel, prefix, seed, cpus, more), tests_named(prefix))
        if not right:
            is_first = prefix == kernel.lab.part(part["name"])["tests"][0]
            way = "".join(([] if is_first else [f" --test {prefix}"]) + ([f" --seed {seed}"] if seed is not None else [])
                          + ([f" --append {more}"] if more else []))
            return Shown(False, why, f"tools/bugcheck grade replay {kernel.lab.number} {part['name']}{way}")
    return Shown(True)


# ---- The engines: each yields the runs of a part ----

def by_tests(kernel, part, settings):
    """The public tests, under one seed; each prefix counts alone."""
    for prefix in part["tests"]:
        yield run_tests(kernel, {**part, "tests": [prefix]}, part.get("seed", 3), part["cpus"])


def by_seeds(kernel, part, settings):
    """The same tests under many schedules: 1, 2, 3 ..., or drawn by the nonce."""
    count = settings.seeds or (QUICK if settings.quick else FULL)
    drawn = random.Random(f"{settings.nonce} {part['name']}")
    more = f"nonce={drawn.randrange(1, 1 << 20)}" if part.get("drawn") else ""     # other rounds, too: ShareOf in tests/kernel/kthelp.c
    wrong = []
    for seed in [drawn.randrange(1 << 20, 1 << 40) for _ in range(count)] if part.get("drawn") else range(1, count + 1):
        found = wrong[0] if len(wrong) >= ENOUGH else run_tests(kernel, part, seed, part["cpus"], more)
        wrong = [] if found.right else [*wrong, found]
        yield found


def by_threads(kernel, part, settings):
    """Real threads of the host. A host may be busy: three failures of three count."""
    found = run_tests(kernel, part, None, part["cpus"])
    for _ in range(ENOUGH - 1):
        found = found if found.right else run_tests(kernel, part, None, part["cpus"])
    yield found


def by_exploration(kernel, part, settings):
    """Every schedule of two CPUs, an instruction at a time."""
    for name in part["explore"]:
        process = subprocess.Popen([sys.executable, TOP / "tools/tool", "cli.explore", name], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, cwd=TOP, start_new_session=True,
                                   env=dict(os.environ, **kernel.environment()))
        try:
            out, err = process.communicate(timeout=PATIENCE // 4)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            out, err = process.communicate()
            err = f"no end after {PATIENCE // 4} s"
        replay = f"tools/bugcheck grade explore {kernel.lab.number} {part['name']}"
        if process.returncode == 0 and f"{name}: holds in all " in out:
            yield Shown(True)
        elif process.returncode == 1 and ": BROKEN in " in out:
            first, _, rest = out.partition("\n")
            yield Shown(False, first.strip(), replay, rest.split("The same again:")[0].strip())
        else:
            why = (err.strip().splitlines() or ["?"])[-1].removeprefix("bugcheck: ")
            yield Shown(False, f"{name}: it could not be explored: {why}", replay)


def by_rules(kernel, part, settings):
    """The instructions themselves."""
    for name in part["files"]:
        path = kernel.folder / labs.BUILD / labs.object_of(name)
        text = labs.unlocked(path)
        if text:
            yield Shown(False, f"{Path(name).name}: `{text}` reads, changes and writes memory without LOCK: another CPU comes in between")
        else:
            yield Shown(labs.is_atomic(path), f"{Path(name).name}: it has no xchg with memory and no LOCK: nothing in it is one step")


def by_answers(kernel, part, settings):
    """The predictions, against what the tree's own kernel was seen to do."""
    try:
        answers = json.loads((settings.folder / "answers.json").read_text())
        assert isinstance(answers, dict)
    except (OSError, ValueError, AssertionError):
        answers = {}
    for number, question in enumerate(kernel.lab.questions, 1):
        given = str(answers.get(str(number), "")).strip().lower()
        value = measured(question)
        right = next((letter for letter, (low, high) in question["answers"].items() if low <= value <= high), None)
        if given == right:
            yield Shown(True)
        else:
            was = f"not {given}" if given in question["answers"] else "and answers.json has no letter for it"
            yield Shown(False, f"question {number}: {question['found'].format(value)}, {was}")


@functools.cache
def explored(name):
    """What an exploration of the tree's own kernel says; once, however many questions ask."""
    with alone_in(OUT / "explore", PATIENCE, lambda text: None):
        return told(explore_boot(f"explore_{name}"))


def measured(question):
    """The number that a question asks for."""
    found = explored(question["explore"])
    schedules, _, broken = found.numbers
    first = int(found.schedule.split(",")[1]) if "," in found.schedule else 0
    return {"schedules": schedules, "broken": broken, "percent": 100 * broken / schedules, "first": first}[question["number"]]


ENGINES = {"tests": by_tests, "seeds": by_seeds, "threads": by_threads, "explore": by_exploration, "rules": by_rules, "answers": by_answers}


def grade(kernel, part, settings):
    """(points, [what each run came to]) of one part."""
    runs = list(ENGINES[part["engine"]](kernel, part, settings))
    right = sum(run.right for run in runs)
    if part["points"] < 0:                      # it can only take
        return (0 if right == len(runs) else part["points"]), runs
    return part["points"] * right / len(runs), runs
