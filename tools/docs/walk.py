"""Counts the walk of docs/walk.md: the files from vector 14 to the report of a fatal fault.

    tools/tool docs.walk            one line for each file, in the order in which it is entered, with instructions and functions
    tools/tool docs.walk --update   writes them into docs/walk.md

The free build runs the scenario "paged" on one CPU, and GDB steps through it from the gate of the page fault that is refused
until the report has a stack of its own: after the latch and the freeze, where docs/walk.md begins its page on the report.
"""
import json
import os
import re
import subprocess
from pathlib import Path

from host import toolchain
from host.make import build
from host.paths import OUT, TOP, CannotRun
from machine.emulators import Machine
from machine.process import Run

DOCUMENT = TOP / "docs/walk.md"
PLACE = re.compile(r"(<!-- walk: tools/tool docs.walk --update writes this -->\n```\n)(.*?)(```\n)", re.S)
LIMIT = 120

# Runs in GDB. The gate's stub is known by its number; a refused fault by CR8, which is DISPATCH_LEVEL then.
STEPPER = r"""
import gdb, json, os
gdb.execute("set confirm off"); gdb.execute("set pagination off")
address = lambda name: int(gdb.parse_and_eval(name).cast(gdb.lookup_type("unsigned long")))
gate, end = address("&KiVectorStubs") + 14 * 16, address("&KiCallOnStack")
gdb.execute(f"hbreak *{gate} if $cr8 >= 2"); gdb.execute("continue"); gdb.execute("delete")
seen = []
while (pc := int(gdb.selected_frame().pc())) != end and len(seen) < 20000:
    place, function = gdb.find_pc_line(pc), gdb.selected_frame().function()
    seen.append((place.symtab.filename if place.symtab else "?", function.name if function else ""))
    gdb.execute("stepi", to_string=True)
with open(os.environ["WALK"], "w") as file:
    json.dump(seen if pc == end else [], file)
gdb.execute("kill")
"""


def steps():
    """(file, function) of each instruction."""
    folder, found = OUT / "walk", OUT / "walk/steps.json"
    build("free", "kernel", "archive", quiet=True)
    settings = {"build": "free", "cmdline": "scenario=paged", "cpus": 1, "mem": 64, "seed": 1, "leave": False}
    run = Run(Machine(**settings), folder)
    link = f"{run.sockets}/gdb"
    run.machine = Machine(**settings, extra=("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"))
    found.unlink(missing_ok=True)
    script = folder / "stepper.py"
    with run:
        run.wait_for_debugger(Path(link))
        script.write_text(STEPPER)
        subprocess.run([toolchain.debugger() or "gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                        run.machine.files() / "kernel.elf", "-ex", f"target remote {link}", "-x", script],
                       env=dict(os.environ, WALK=str(found)), capture_output=True, timeout=LIMIT, check=False)
    seen = json.loads(found.read_text()) if found.exists() else []
    if not seen:
        raise CannotRun("walk: the fatal fault was not found, or did not lead to the report")
    return seen


def defines(path, name):
    """Whether a file itself has a function, and does not take it from a header."""
    return bool(name) and re.search(rf"^\w.*\b{re.escape(name)}\(", (TOP / path).read_text(), re.M)


def table(seen):
    """The lines: what an inline function of a header does counts for the file that calls it."""
    found, file = {}, ""                                    # {file: {function: instructions}}
    for name, function in seen:
        if not name.endswith(".h"):
            file = str(Path(name).relative_to(TOP)) if Path(name).is_absolute() else name
        counts = found.setdefault(file, {})
        counts[function] = counts.get(function, 0) + 1
    lines = [f"{sum(counts.values()):5}  {path:26} {' '.join(name for name in counts if defines(path, name))}".rstrip()
             for path, counts in found.items()]
    return [f"{len(seen)} instructions, {len(found)} files", *lines]


def main(words):
    if words not in ([], ["--update"]):
        raise CannotRun("usage: tools/tool docs.walk [--update]")
    lines = table(steps())
    print("\n".join(lines))
    if words:
        text = DOCUMENT.read_text()
        DOCUMENT.write_text(PLACE.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[3], text))
    return 0
