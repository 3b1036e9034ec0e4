"""Counts walks through the kernel: files, instructions and hops from one event to another.

    tools/tool docs.walk            of docs/walk.md: a fatal page fault, from vector 14 to the report
    tools/tool docs.walk thread     a new thread, from PsCreateSystemThread to the first instruction of KiStartThread
    tools/tool docs.walk create     a file that is opened, from ZwCreateFile to the first request to the disk
    tools/tool docs.walk --update   writes the first one into docs/walk.md

One line for each file, with its instructions and functions, as the free build runs on one CPU: GDB steps through it. A hop is
a step from one file into another. The fault is followed until the report has a stack of its own: after the latch and the
freeze, where docs/walk.md begins its page on the report.
"""
import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from host import toolchain
from host.make import build
from host.paths import OUT, TOP, CannotRun
from machine.emulators import Machine
from machine.process import Run

DOCUMENT = TOP / "docs/walk.md"
PLACE = re.compile(r"(<!-- walk: tools/tool docs.walk --update writes this -->\n```\n)(.*?)(```\n)", re.S)
LIMIT = 300


@dataclass
class Walk:
    """Where it begins and ends, as GDB's expressions, and what makes the kernel go it."""
    cmdline: str
    begin: str
    end: str
    condition: str = "1"


WALKS = {
    # The gate's stub is known by its number; a refused fault by CR8, which is DISPATCH_LEVEL then.
    "fault": Walk("scenario=paged", "(char*)&KiVectorStubs + 14 * 16", "&KiCallOnStack", "$cr8 >= 2"),
    "thread": Walk("test=thread_object_outlives", "&PsCreateSystemThread", "&KiStartThread"),
    "create": Walk("test=files_hold", "&ZwCreateFile", "&'kernel/io/ramvolume.c'::Submit"),
}

# Runs in GDB. QEMU logs each instruction, so that GDB need not ask where the machine is after each.
STEPPER = r"""
import gdb, json, os, re
gdb.execute("set confirm off"); gdb.execute("set pagination off")
begin, end, condition = json.loads(os.environ["BETWEEN"])
log = os.environ["WALK"] + ".log"
address = lambda text: int(gdb.parse_and_eval(text).cast(gdb.lookup_type("unsigned long")))
where = lambda: int(gdb.selected_frame().pc())

def place(pc):
    block, found = gdb.block_for_pc(pc), gdb.find_pc_line(pc).symtab
    while block and not block.function:
        block = block.superblock
    return (found.filename if found else "a driver"), (block.function.name if block else "")

gdb.execute(f"hbreak *{address(begin)} if {condition}"); gdb.execute("continue"); gdb.execute("delete")
gdb.execute(f"hbreak *{address(end)}"); gdb.execute(f"monitor logfile {log}"); gdb.execute("monitor log exec,nochain")
while where() != address(end) and os.path.getsize(log) < 100 << 20:
    try:
        gdb.execute("stepi 100000", to_string=True)
    except gdb.MemoryError:                     # the step is done; its frame has no caller that could be shown
        pass
gdb.execute("monitor log none")
passed = [int(found[1], 16) for found in re.finditer(r"^Trace \d+: \S+ \[[0-9a-f]+/([0-9a-f]+)/", open(log).read(), re.M)]
places = {pc: place(pc) for pc in set(passed)}
with open(os.environ["WALK"], "w") as file:
    json.dump([places[pc] for pc in passed] if where() == address(end) else [], file)
gdb.execute("kill")
"""


def steps(name):
    """(file, function) of each instruction."""
    folder, walk = OUT / "walk" / name, WALKS[name]         # its own: two walks may be counted at a time
    found = folder / "steps.json"
    build("free", "kernel", "archive", quiet=True)
    settings = {"build": "free", "cmdline": walk.cmdline, "cpus": 1, "mem": 64, "seed": 1, "leave": False}
    run = Run(Machine(**settings), folder)
    link = f"{run.sockets}/gdb"
    run.machine = Machine(**settings, extra=("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"))
    for old in folder.glob("steps.json*"):
        old.unlink()
    script = folder / "stepper.py"
    with run:
        run.wait_for_debugger(Path(link))
        script.write_text(STEPPER)
        done = subprocess.run([toolchain.debugger() or "gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                               run.machine.files() / "kernel.elf", "-ex", f"target remote {link}", "-x", script],
                              env=dict(os.environ, WALK=str(found), BETWEEN=json.dumps((walk.begin, walk.end, walk.condition))),
                              capture_output=True, text=True, timeout=LIMIT, check=False)
    seen = json.loads(found.read_text()) if found.exists() else []
    if not seen:
        said = done.stderr.strip().splitlines()
        raise CannotRun(f"walk: {walk.begin} was not reached, or did not lead to {walk.end}{': ' + said[-1] if said else ''}")
    return seen


def defines(path, name):
    """Whether a file itself has a function, and does not take it from a header."""
    return path != "a driver" and bool(name) and re.search(rf"^\w.*\b{re.escape(name)}\(", (TOP / path).read_text(), re.M)


def table(seen):
    """The lines: what an inline function of a header does counts for the file that calls it."""
    found, file, hops = {}, "", -1                          # {file: {function: instructions}}
    for name, function in seen:
        if not name.endswith((".h", ".inc")):
            inside = str(Path(name).relative_to(TOP)) if Path(name).is_absolute() else name
            hops += inside != file
            file = inside
        counts = found.setdefault(file, {})
        counts[function] = counts.get(function, 0) + 1
    lines = [f"{sum(counts.values()):5}  {path:26} {' '.join(name for name in counts if defines(path, name))}".rstrip()
             for path, counts in found.items()]
    return [f"{len(seen)} instructions, {len(found)} files, {hops} hops", *lines]


def main(words):
    name = words[0] if words and words[0] in WALKS else "fault"
    if words not in ([], [name], ["--update"]):
        raise CannotRun(f"usage: tools/tool docs.walk [{'|'.join(WALKS)}|--update]")
    lines = table(steps(name))
    print("\n".join(lines))
    if words == ["--update"]:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(PLACE.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[3], text))
    return 0
