"""Explores every schedule of two CPUs through a few instructions, one at a time.

`tools/bugcheck explore [NAME...|all] [--alike] [--schedule SCHEDULE [--gdb]] [--page FILE.html]`

Boots the tests inside the kernel (tests/kernel/test_explore*.c), which try all schedules with at most two preemptions, an
instruction at a time, and shows what broke a rule: the shortest schedule, as two columns of source lines. Exit 0 when the
rules hold, 1 when one is broken, 2 when it could not be tried.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cli import wholekernel
from cli.exploregdb import debug
from cli.exploreshow import columns, page, sentence
from cli.options import Parser, say
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, CannotRun, shown
from machine.emulators import Machine, qemu_version
from machine.process import Run, handle_signals

MEMORY = OUT / "explore.json"
LIMIT = 600                                     # seconds: the guest's for a test, and ours for a machine
EVERYTHING = "all"
USAGE = "usage: tools/bugcheck explore [NAME...|all] [--alike] [--schedule A,5,15 [--gdb]] [--page FILE.html]"


def parse(words):
    parser = Parser("tools/bugcheck explore", USAGE)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--schedule")
    parser.add_argument("--alike", action="store_true")
    parser.add_argument("--gdb", action="store_true")
    parser.add_argument("--page", type=Path)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if options.schedule is not None:
        check_schedule(options)
    if options.gdb and not options.schedule:
        raise CannotRun("--gdb: with which --schedule? `tools/bugcheck explore NAME` finds the shortest that breaks the rule")
    if options.page and len(options.names) != 1:
        raise CannotRun("--page: name the one exploration that it is to show")
    return options


def check_schedule(options):
    if not re.fullmatch(r"[AB](,\d{1,4}){0,2}", options.schedule):
        raise CannotRun(f"--schedule: '{options.schedule}' is no schedule: A,5,15 begins with A, goes to B after 5 "
                        "instructions and back after 15")
    numbers = [int(number) for number in options.schedule.split(",")[1:]]
    if numbers != sorted(set(numbers)) or 0 in numbers:
        raise CannotRun(f"--schedule: the numbers of '{options.schedule}' must rise from 1 on: they count from the start")
    if len(options.names) != 1 or options.names == [EVERYTHING]:
        raise CannotRun("--schedule: name the one exploration that it belongs to")


# ---- The machine ----

def machine_for(test, append=""):
    return Machine(build="free", cmdline=f"test={test} limit={LIMIT} {append}".strip(), cpus=2, mem=64, seed=1, dump=None)


def boot(test, append="", on_channel=None):
    """The lines of COM2 after a run of the free build on two CPUs."""
    with Run(machine_for(test, append), OUT / "explore", on_channel=on_channel) as run:
        outcome = run.wait(LIMIT)
    if not outcome.verdict:
        raise CannotRun(outcome.departure() if outcome.ended == "left" else f"no end after {LIMIT} s: {outcome.channel[-200:]}")
    if outcome.verdict["end"] != "tests":
        raise CannotRun(f"the machine stopped: {outcome.verdict.get('name', outcome.verdict['end'])}; "
                        f"{shown(OUT / 'explore/serial.log')} says why")
    return outcome.channel.splitlines()


# ---- What earlier runs have found ----

class Memory:
    """build/explore.json: what this kernel's explorations are, found and took, and how far a run came that was broken off."""

    def __init__(self):
        kernel = hashlib.sha256(b"".join((OUT / "free" / name).read_bytes() for name in ("kernel.elf", "drivers/ktest.sys")))
        self.data = {"kernel": kernel.hexdigest(), "rules": {}, "found": {}, "wanted": [], "done": []}
        try:
            old = json.loads(MEMORY.read_text())
        except (OSError, ValueError):
            old = {}
        if isinstance(old, dict) and old.get("kernel") == self.data["kernel"]:
            self.data |= old

    def __getitem__(self, name):
        return self.data[name]

    def write(self, **changes):
        self.data |= changes
        MEMORY.write_text(json.dumps(self.data))

    def rules(self):
        """{name: rule} of all that can be explored."""
        if not self["rules"]:
            self.write(rules=dict(re.findall(r"^# explore (\S+) (.*)$", "\n".join(boot("list")), re.M)))
        return self["rules"]

    def note(self, name, numbers, seconds):
        self.write(found=self["found"] | {name: dict(zip(("schedules", "instructions", "broken"), numbers), seconds=seconds)})

    def left_of(self, names):
        """The names that are still to be explored: all, or those that a run of the same names has left when it was broken off."""
        if self["wanted"] != names:
            self.write(wanted=names, done=[])
        return [name for name in names if name not in self["done"]]


class Clock:
    """Times the explorations of a machine by its lines, as they come, and shows on a terminal how far it is."""

    def __init__(self):
        self.is_shown, self.began, self.seconds, self.name = sys.stderr.isatty(), time.monotonic(), {}, ""

    def line(self, text):
        found = re.match(r"(?:not )?ok \d+ - explore_(\w+)$", text)
        if text.startswith("# rule "):
            self.began = time.monotonic()
            self.show(text.removeprefix("# rule "))
        elif found:
            self.seconds[found[1]] = round(time.monotonic() - self.began, 2)
            self.show("")

    def show(self, text):
        if self.is_shown:
            sys.stderr.write(f"\r\x1b[K{text[:76]}")
            sys.stderr.flush()


def measure(memory, names):
    """Explores all in one machine where one of them has not been explored with this kernel."""
    if all(name in memory["found"] for name in names):
        return
    say(f"measuring what has not been tried with this kernel: {len(names)} explorations")
    clock = Clock()
    text = "\n".join(boot("explore", on_channel=clock.line))
    for part in re.split(r"^# rule ", text, flags=re.M)[1:]:
        name, numbers = re.search(r"ok \d+ - explore_(\w+)$", part, re.M), re.search(r"^# explored (\d+) (\d+) (\d+)$", part, re.M)
        if name and numbers:
            memory.note(name[1], [int(number) for number in numbers.groups()], clock.seconds.get(name[1], 0))
    clock.show("")


def listing(memory):
    """What can be explored, one a line, with the number of its schedules and the time that they take."""
    rules = memory.rules()
    measure(memory, rules)
    width, found = max(map(len, rules)), memory["found"]
    for name, rule in rules.items():
        print(f"{name:{width}}  {found[name]['schedules']:>5,} schedules, {found[name]['seconds']:>4.1f} s  {rule}")
    schedules, seconds = (sum(found[name][what] for name in rules) for what in ("schedules", "seconds"))
    print(f"{len(rules)} explorations, {schedules:,} schedules, {seconds:.1f} s, as last measured with this kernel. A name explores one, "
          f"'{EVERYTHING}' each, and a start of the machine, about half a second, comes to each.")


# ---- One exploration ----

@dataclass
class Told:
    """What a run said: the rule, the numbers (none for one schedule), a schedule with its steps and how it ended."""
    rule: str
    numbers: list
    schedule: str
    steps: list
    end: int
    ending: str
    holds: bool


def told(lines):
    text = "\n".join(lines)
    rule, numbers = re.search(r"^# rule (.*)$", text, re.M), re.search(r"^# explored (\d+) (\d+) (\d+)$", text, re.M)
    if not rule:
        raise CannotRun(f"the kernel said nothing of it: {lines[-3:]}")
    schedule, end = re.search(r"^# schedule (\S+)$", text, re.M), re.search(r"^# end (\d+) (.*)$", text, re.M)
    steps = [(context, int(at), int(irql), file, int(line), function) for context, at, irql, file, line, function
             in re.findall(r"^# step ([AB]) (\d+) (\d+) (\S+):(\d+) (\S+)$", text, re.M)]
    return Told(rule[1], [int(number) for number in numbers.groups()] if numbers else [], schedule[1] if schedule else "",
                steps, int(end[1]) if end else 0, end[2] if end else "", bool(re.search(r"^ok 1 ", text, re.M)))


def explore(name, memory, alike, page_path):
    """Tries all schedules; prints what was found. True: the rule holds."""
    clock = Clock()
    found = told(boot(f"explore_{name}", "alike" if alike else "", on_channel=clock.line))
    took, (schedules, instructions, broken) = clock.seconds.get(name, 0), found.numbers
    clock.show("")
    if not alike:
        memory.note(name, found.numbers, took)
    memory.write(done=[*memory["done"], name])
    if not broken:
        print(f"{name}: holds in all {schedules:,} schedules ({instructions:,} instructions, {took:.1f} s): {found.rule}", flush=True)
        return True
    print(f"{name}: BROKEN in {broken:,} of {schedules:,} schedules: {found.rule}\n")
    show(name, found, page_path)
    return False


def show(name, found, page_path):
    print(f"The shortest: {sentence(found.schedule)}.\n")
    print("\n".join(columns(found.steps)))
    print(f"\nThe end: {found.ending}.")
    print(f"The same again: tools/bugcheck explore {name} --schedule {found.schedule}\n"
          "Stopped there: the same with --gdb", flush=True)
    write_page(name, found, page_path)


def write_page(name, found, path):
    if path is None:
        return
    title = f"{name}: {found.rule}"
    subtitle = f"{sentence(found.schedule)}. The end, after {found.end} instructions: {found.ending}."
    try:
        path.write_text(page(title, subtitle, found.steps, found.end), "utf-8")
    except OSError as problem:
        raise CannotRun(f"--page: {path}: {problem.strerror}") from None
    print(f"The timeline: {shown(path)}")


def repeat(name, schedule, page_path):
    """One schedule. True: the rule holds."""
    found = told(boot(f"explore_{name}", f"schedule={schedule}"))
    print(f"{name}: {'holds' if found.holds else 'BROKEN'}: {found.rule}\n{sentence(found.schedule)}.\n")
    print("\n".join(columns(found.steps)))
    print(f"\nThe end: {found.ending}.")
    write_page(name, found, page_path)
    return found.holds


def explore_each(names, memory, options):
    """Explores what a run that was broken off has left of these names, or all of them. True: the rules hold."""
    left = memory.left_of(names) if not options.alike else names
    if len(left) < len(names):
        say(f"going on where the last run was broken off: {len(names) - len(left)} of {len(names)} are done")
    holds = [explore(name, memory, options.alike, options.page) for name in left]
    holds += [not memory["found"][name]["broken"] for name in names if name not in left]
    memory.write(wanted=[], done=[])
    return all(holds)


def main(words):
    if wholekernel.concerns(words):
        return wholekernel.main(words)
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    build("free", "kernel", "archive", quiet=True)
    with alone_in(OUT / "explore"):
        memory = Memory()
        rules = memory.rules()
        unknown = [name for name in options.names if name not in rules and name != EVERYTHING]
        if unknown:
            raise CannotRun(f"nothing to explore is called '{unknown[0]}'; there are: {', '.join(rules)}")
        names = list(rules) if EVERYTHING in options.names else list(dict.fromkeys(options.names))
        if not names:
            listing(memory)
            wholekernel.listing()
            return 0
        if options.gdb:
            return debug(names[0], options.schedule, machine_for)
        if options.schedule:
            return 0 if repeat(names[0], options.schedule, options.page) else 1
        return 0 if explore_each(names, memory, options) else 1
