"""Measures what the kernel costs, and sets each figure beside its reach.

It prints a table, and writes the figures as JSON.

usage: tools/tool cli.bench [--quick]      (--quick: only what is counted inside the kernel)

Instructions are counted by the kernel itself (tests/kernel/bench_*.c) on a machine whose time-stamp counter counts
them: the same on every host. Ratios come from one free run on two CPUs and one on four. Seconds are this host's, the
median of some runs, or a single build. OUT/bench.json is a list of {"name", "value", "unit", "reach"}; a reach of null means
that there is nothing to compare with. Missing a reach is no failure.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from host.make import build
from host.paths import OUT, TOP
from host.toolchain import tool
from machine.emulators import Machine
from machine.process import Run, handle_signals

STARTS = 5
LIMIT = 120
COUNTED = ("-icount", "shift=0,sleep=off")          # the time-stamp counter counts instructions
CONTENDERS = (2, 4)                                  # CPUs that want one lock
RAM_SIZES = (10, 12, 14, 16, 20, 24, 32, 64)        # MiB, tried upwards
TOUCHED = "kernel/ke/bugcheck.c"                    # the change of "rebuild after one change"


def figure(name, value, unit, reach):
    return {"name": name, "value": round(value, 3), "unit": unit, "reach": reach}


def run(machine, folder, until=None):
    """Boots a machine to its end, or only until a line of COM1 contains a text. Returns the outcome."""
    with Run(machine, folder) as running:
        if until is None:
            return running.wait(LIMIT)
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline and running.process.poll() is None:
            running.poll()
            if any(until in line for _, line in running.times):
                break
            time.sleep(0.001)
        return running.outcome("seen")


def inside(machine, folder):
    """The figures that the kernel has written to COM2."""
    outcome = run(machine, folder)
    if not outcome.verdict or outcome.verdict["end"] != "tests":
        sys.exit(f"bench: the kernel has not ended its measurements: {outcome.verdict}\n{outcome.serial[-2000:]}")
    lines = [json.loads(line) for line in outcome.channel.splitlines() if line.startswith('{"name"')]
    return [figure(line["name"], line["value"], line["unit"], line["reach"] or None) for line in lines]


def seconds_to_first_thread(way, folder):
    machine = Machine(way=way, build="free", cmdline="scenario=resident", cpus=4)
    times = [run(machine, folder, until="first thread").seconds_to("first thread") for _ in range(STARTS)]
    return statistics.median(when for when in times if when is not None)


def seconds_of_the_story(folder):
    """Boot by GRUB, all five acts, the blue screen, and its picture: what `run --headless` does when all is built."""
    with Run(Machine(way="bios", build="checked", cmdline="scenario=story", leave=False), folder) as running:
        outcome = running.wait(LIMIT)
        if not outcome.verdict or outcome.verdict.get("expected") is not True:
            sys.exit(f"bench: the story did not end as expected: {outcome.verdict}")
        running.screendump(folder / "screen.png")
        return time.monotonic() - running.started


def seconds_of_building(folder):
    """(a clean build with two jobs, a rebuild after one change until the blue screen), of a copy of the tree."""
    tree = folder / "tree"
    shutil.copytree(TOP, tree, ignore=lambda place, names: ("build", ".git") if place == str(TOP) else ("__pycache__",))
    environment = dict(os.environ, OUT=str(tree / "build"))
    make = ["make", "-C", str(tree), "-j2", "OUT=build"]
    start = time.monotonic()
    subprocess.run(make + ["iso"], check=True, stdout=subprocess.DEVNULL, timeout=900)
    clean = time.monotonic() - start
    time.sleep(1)                                   # make tells times apart by the second on some file systems
    os.utime(tree / TOUCHED)
    start = time.monotonic()
    subprocess.run(make + ["archive"], check=True, stdout=subprocess.DEVNULL, timeout=900)
    script = ("import sys; sys.path.insert(0, sys.argv[1] + '/tools')\n"
              "from machine.emulators import Machine; from machine.process import Run\n"
              "with Run(Machine(cmdline='scenario=paged'), sys.argv[1] + '/run') as run:\n"
              "    sys.exit((run.wait(60).verdict or {}).get('end') != 'bugcheck')\n")
    subprocess.run([sys.executable, "-c", script, tree], check=True, env=environment, timeout=120)
    return clean, time.monotonic() - start


def least_ram(folder):
    """MiB of the smallest machine, of those tried, on which a scenario comes to its end."""
    for size in RAM_SIZES:
        outcome = run(Machine(build="free", cmdline="scenario=passive", mem=size), folder)
        if outcome.verdict and outcome.verdict.get("expected") is True:
            return size
    sys.exit("bench: no machine was large enough")


def kernel_text():
    """KiB of code in the kernel of the free build."""
    listing = subprocess.run([tool("size"), "-A", OUT / "free/kernel.elf"], capture_output=True, text=True, check=True).stdout
    return sum(int(size) for size in re.findall(r"^\.text\S*\s+(\d+)", listing, re.MULTILINE)) / 1024


def on_this_host(folder):
    clean, again = seconds_of_building(folder)
    return [
        figure("PVH start of QEMU -> first thread, 4 CPUs, TCG", seconds_to_first_thread("pvh", folder), "s", 0.25),
        figure("GRUB/BIOS start of QEMU -> first thread", seconds_to_first_thread("bios", folder), "s", 0.7),
        figure("the whole story, headless, with the screenshot", seconds_of_the_story(folder), "s", 5),
        figure("clean build with 2 jobs", clean, "s", 15),
        figure("rebuild after one change until the blue screen", again, "s", 2),
        figure("RAM needed", least_ram(folder), "MiB", 16),
        figure("kernel text", kernel_text(), "KiB", 256),
    ]


def print_table(figures):
    width = max(len(row["name"]) for row in figures)
    print(f"{'operation':{width}}  {'reach':>8}  {'value':>9}  unit")
    for row in figures:
        reach = f"{row['reach']:g}" if row["reach"] is not None else ""
        missed = row["reach"] is not None and row["value"] > row["reach"]
        value = f"{row['value']:.2f}".rstrip("0").rstrip(".")
        print(f"{row['name']:{width}}  {reach:>8}  {value:>9}  {row['unit']}"
              + (f"   missed by {row['value'] - row['reach']:.3g}" if missed else ""))


def main(words):
    if words not in ([], ["--quick"]):
        return __doc__
    handle_signals()
    build("free", "iso", quiet=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        figures = inside(Machine(build="free", cmdline="bench", cpus=1, disk=False, extra=COUNTED), folder / "counted")
        if not words:
            build("checked", "iso", quiet=True)
            for cpus in CONTENDERS:
                for row in inside(Machine(build="free", cmdline="bench=ratio", cpus=cpus), folder / f"ratio{cpus}"):
                    figures.append(dict(row, name=f"{row['name']}, {cpus} CPUs"))
            figures += on_this_host(folder)
    print_table(figures)
    if os.getloadavg()[0] > os.cpu_count():
        print(f"this host is busy (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs): seconds are too long")
    (OUT / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(f"written to {OUT / 'bench.json'}")
    return 0
