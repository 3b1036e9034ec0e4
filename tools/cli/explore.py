"""Explores every schedule of two CPUs through a few instructions, one at a time.

`tools/bugcheck explore [NAME...] [--schedule SCHEDULE]`

Boots the tests inside the kernel (tests/kernel/test_explore.c), which try all schedules with at most two preemptions, an
instruction at a time, and shows what broke a rule: the shortest schedule, as two columns of source lines. Exit 0 when the
rules hold, 1 when one is broken, 2 when it could not be tried.
"""

import argparse
import json
import re
import shutil
import subprocess
import time

from cli.options import Parser
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, TOP, CannotRun
from machine.emulators import Machine, qemu_version
from machine.process import Run, handle_signals

MEMORY = OUT / "explore.json"                   # {name: [schedules, seconds]} of the last time
LIMIT = 600                                     # seconds for a machine
NARROWEST, WIDEST = 80, 160                     # columns


def parse(words):
    parser = Parser("tools/bugcheck explore", "usage: tools/bugcheck explore [NAME...] [--schedule A,5,15]")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--schedule")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if options.schedule is not None:
        if not re.fullmatch(r"[AB](,\d{1,4}){0,2}", options.schedule):
            raise CannotRun(f"--schedule: '{options.schedule}' is no schedule: A,5,15 begins with A, goes to B after 5 "
                            "instructions and back after 15")
        numbers = [int(number) for number in options.schedule.split(",")[1:]]
        if numbers != sorted(set(numbers)) or 0 in numbers:
            raise CannotRun(f"--schedule: the numbers of '{options.schedule}' must rise from 1 on: they count from the start")
        if len(options.names) != 1:
            raise CannotRun("--schedule: name the one exploration that it belongs to")
    return options


def boot(test, append=""):
    """The lines of COM2 after a run of the free build on two CPUs."""
    machine = Machine(build="free", cmdline=f"test={test} limit={LIMIT} {append}".strip(), cpus=2, mem=64, seed=1, dump=None)
    with Run(machine, OUT / "explore") as run:
        outcome = run.wait(LIMIT)
    if not outcome.verdict:
        raise CannotRun(outcome.departure() if outcome.ended == "left" else f"no end after {LIMIT} s: {outcome.channel[-200:]}")
    if outcome.verdict["end"] != "tests":
        raise CannotRun(f"the machine stopped: {outcome.verdict.get('name', outcome.verdict['end'])}; build/explore/serial.log says why")
    return outcome.channel.splitlines()


def known():
    """{name: rule} of all that can be explored."""
    return dict(re.findall(r"^# explore (\S+) (.*)$", "\n".join(boot("list")), re.M))


def remembered():
    try:
        return json.loads(MEMORY.read_text())
    except (OSError, ValueError):
        return {}


def listing(rules):
    """What can be explored, one a line, with what it took the last time."""
    past = remembered()
    width = max(map(len, rules))
    for name, rule in rules.items():
        took = "{:>7,} schedules, {:>4.1f} s".format(*past[name]) if name in past else "not tried yet"
        print(f"{name:{width}}  {took:26}  {rule}")


# ---- A schedule as two columns ----

def source_lines():
    """{name of a file: its lines}, of the kernel and its tests."""
    names = subprocess.run(["git", "-C", str(TOP), "ls-files", "-co", "--exclude-standard", "arch", "kernel", "tests/kernel"],
                           capture_output=True, text=True, timeout=60).stdout.split("\n")
    paths = [TOP / name for name in names if name.endswith((".c", ".asm", ".h", ".inc"))]
    return {path.name: path for path in paths}


def text_of(paths, file, line, cache):
    if file not in cache:
        cache[file] = paths[file].read_text("utf-8", "replace").splitlines() if file in paths else []
    lines = cache[file]
    return lines[line - 1].split(";" if file.endswith(".asm") else "/*")[0].strip() if 0 < line <= len(lines) else ""


def columns(steps):
    """The steps [(context, file, line, function)] as rows: A on the left, B on the right."""
    width = (max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns)) - 3) // 2
    paths, cache, rows, last = source_lines(), {}, [], {}
    for context, file, line, function in steps:
        if last.get(context) != function:
            rows.append((context, f"{function} ({file})"))
            last[context] = function
        rows.append((context, f"{line:5}  {' '.join(text_of(paths, file, line, cache).split())}"))
    yield f"{'A':{width}} | B"
    yield "-" * width + "-+-" + "-" * width
    for context, text in rows:
        text = text if len(text) <= width else text[:width - 3] + "..."
        yield (f"{text:{width}} |" if context == "A" else f"{'':{width}} | {text}").rstrip()


def sentence(schedule):
    """What a schedule is, in words."""
    first, *numbers = schedule.split(",")
    other = "B" if first == "A" else "A"
    if not numbers:
        return f"{first} begins, and is not preempted"
    back = f", and {first} after {numbers[1]} of both" if len(numbers) > 1 else ""
    return f"{first} begins; {other} has the CPU after {numbers[0]} instruction{'s' if numbers[0] != '1' else ''}{back}"


# ---- One exploration ----

def told(lines):
    """What a run said: the rule, the numbers or None, the schedule or None, its steps."""
    text = "\n".join(lines)
    rule, numbers = re.search(r"^# rule (.*)$", text, re.M), re.search(r"^# explored (\d+) (\d+) (\d+)$", text, re.M)
    schedule = re.search(r"^# schedule (\S+)$", text, re.M)
    steps = [(context, file, int(line), function)
             for context, file, line, function in re.findall(r"^# step ([AB]) (\S+):(\d+) (\S+)$", text, re.M)]
    if not rule:
        raise CannotRun(f"the kernel said nothing of it: {lines[-3:]}")
    return rule[1], [int(number) for number in numbers.groups()] if numbers else None, schedule[1] if schedule else None, steps


def explore(name):
    """Tries all schedules; prints what was found. True: the rule holds."""
    start = time.monotonic()
    rule, (schedules, instructions, broken), schedule, steps = told(boot(f"explore_{name}"))
    took = time.monotonic() - start
    MEMORY.write_text(json.dumps({**remembered(), name: [schedules, round(took, 1)]}))
    if not broken:
        print(f"{name}: holds in all {schedules:,} schedules ({instructions:,} instructions, {took:.1f} s): {rule}")
        return True
    print(f"{name}: BROKEN in {broken:,} of {schedules:,} schedules: {rule}\n")
    show(name, schedule, steps)
    return False


def show(name, schedule, steps):
    print(f"The shortest: {sentence(schedule)}.\n")
    print("\n".join(columns(steps)))
    print(f"\nThe same again: tools/bugcheck explore {name} --schedule {schedule}")


def repeat(name, schedule):
    """One schedule. True: the rule holds."""
    lines = boot(f"explore_{name}", f"schedule={schedule}")
    rule, _, made, steps = told(lines)
    holds = any(line.startswith("ok 1 ") for line in lines)
    print(f"{name}: {'holds' if holds else 'BROKEN'}: {rule}\n{sentence(made)}.\n")
    print("\n".join(columns(steps)))
    return holds


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    build("free", "kernel", "archive", quiet=True)
    with alone_in(OUT / "explore"):
        rules = known()
        unknown = [name for name in options.names if name not in rules]
        if unknown:
            raise CannotRun(f"nothing to explore is called '{unknown[0]}'; there are: {', '.join(rules)}")
        if not options.names:
            listing(rules)
            return 0
        if options.schedule:
            return 0 if repeat(options.names[0], options.schedule) else 1
        return 0 if all([explore(name) for name in options.names]) else 1
