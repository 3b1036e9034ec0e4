"""Looks for data races: the tests inside the kernel, in the build that watches accesses.

`tools/bugcheck races [PATTERN] [--seed N | --free-running] [--cpus N] [--every N]`

Each race that the kernel tells (kernel/kd/racereport.c) is printed once: both accesses in one line, then both stacks. Exit 0
when there was none, 1 when there was one or the machine stopped, 2 when it could not be tried. A test that fails is named: some
count on more speed than a watched kernel has.
"""

import argparse
import re
import time

from cli.options import Parser, whole
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, CannotRun, shown
from machine.emulators import Machine, qemu_version
from machine.process import Run, handle_signals

LIMIT = 1800                                    # seconds for a machine
EVERY = 400                                     # EVERY of kernel/kd/race.c
CPUS, SEEDS = (2, 4), (1, 2)
LINE = re.compile(r"^race: (.*)$", re.M)


def parse(words):
    parser = Parser("tools/bugcheck races", "usage: tools/bugcheck races [PATTERN] [--seed N | --free-running] [--cpus N] [--every N]")
    parser.add_argument("pattern", nargs="?", default="concurrent")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--seed", type=whole(0, (1 << 63) - 1))
    ways.add_argument("--free-running", action="store_true")
    parser.add_argument("--cpus", type=whole(2, 64))
    parser.add_argument("--every", type=whole(1, 1_000_000), default=EVERY)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    if not re.fullmatch(r"\w+", options.pattern):
        raise CannotRun(f"'{options.pattern}' is no start of a test's name")
    return options


def runs_of(options):
    """[(seed or None, CPUs)]"""
    cpus = [options.cpus] if options.cpus else CPUS
    if options.free_running:
        return [(None, count) for count in cpus]
    if options.seed is not None:
        return [(options.seed, count) for count in cpus]
    return [(None, count) for count in cpus] + list(zip(SEEDS, cpus))


def blocks_of(serial):
    """{the line that names both accesses: the whole block}, in the order of the report."""
    blocks, last = {}, None
    for line in LINE.findall(serial):
        if not line.startswith(" "):
            last = line
            blocks.setdefault(last, [])
        if last is not None:
            blocks[last].append(line)
    return blocks


def boot(pattern, seed, cpus, every):
    """The outcome of one machine that has run these tests."""
    machine = Machine(build="race", cmdline=f"test={pattern} raceevery={every} limit={LIMIT}", cpus=cpus, seed=seed)
    with Run(machine, OUT / "races") as run:
        return run.wait(LIMIT)


def stopped(outcome):
    """How the machine ended, where it was not with the tests; empty for that."""
    if not outcome.verdict:
        return outcome.departure() if outcome.ended == "left" else f"no end after {LIMIT} s"
    end = outcome.verdict["end"]
    return "" if end == "tests" else f"the machine stopped: {outcome.verdict.get('name', end)}"


def try_one(options, seed, cpus, known):
    """Runs one machine and prints the races that are new. True: all is well."""
    start = time.monotonic()
    outcome = boot(options.pattern, seed, cpus, options.every)
    results = re.findall(r"^(not ok|ok) \d+ - (\w+)", outcome.channel, re.M)
    failures = [name for result, name in results if result != "ok"]
    blocks, wrong = blocks_of(outcome.serial), stopped(outcome)
    way = "free-running" if seed is None else f"seed {seed}"
    print(f"{cpus} CPUs, {way}: {len(results)} tests, {len(blocks)} races, {time.monotonic() - start:.0f} s"
          + (f"; failed: {', '.join(failures)}" if failures else ""), flush=True)
    for name, lines in blocks.items():
        if name not in known:
            known.add(name)
            print("\n".join(lines) + "\n", flush=True)
    if not results and not wrong:
        raise CannotRun(f"no test's name starts with '{options.pattern}'")
    if wrong:
        print(f"{wrong}; {shown(OUT / 'races/serial.log')} says more", flush=True)
    return not blocks and not wrong


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    qemu_version()
    build("race", "kernel", "archive", quiet=True)
    known = set()
    with alone_in(OUT / "races"):
        return 0 if all([try_one(options, seed, cpus, known) for seed, cpus in runs_of(options)]) else 1
