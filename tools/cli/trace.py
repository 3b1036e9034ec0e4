"""Draws the event trace of a dump, for Perfetto and as a page of its own.

`tools/bugcheck trace [FILE] [--json OUT] [--html OUT] [--kernel ELF]`

FILE is a crash dump (build/run/crash.elf unless told). Written beside it, unless told where: trace.json, for
ui.perfetto.dev and chrome://tracing, and trace.html, one page that needs no network. GDB reads the rings out of the
dump (tools/kd/model/traceevents.py); this program gives them a shape.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from cli.options import Parser
from cli.traceshapes import MARKS, lanes_of, milestones
from host.paths import OUT, TOP, CannotRun

TEMPLATE = TOP / "tools/cli/tracepage.html"
LIMIT = 300                                 # seconds for GDB
ROWS = {"lock": 10, "wait": 10, "interrupt": 2, "dpc": 2}   # the first thread id of these bars in a Chrome trace
LOCK_ROW_NAME, BAR_ROW_NAME = "spin locks", "interrupts and DPCs"


def parse(words):
    parser = Parser("tools/bugcheck trace", "usage: tools/bugcheck trace [FILE] [--json OUT] [--html OUT] [--kernel ELF]")
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--html", type=Path)
    parser.add_argument("--kernel")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    options.file = options.file or OUT / "run/crash.elf"
    options.json = options.json or options.file.parent / "trace.json"
    options.html = options.html or options.file.parent / "trace.html"
    if not options.file.is_file():
        raise CannotRun(f"{options.file}: there is no such dump; tools/bugcheck run makes one")
    return options


def complaint(done, file):
    """The debugger's complaint: its last line, without the words that our own complaints begin with anyway."""
    said = (done.stdout.strip() or done.stderr.strip() or "the debugger said nothing").splitlines()[-1]
    for word in ("bugcheck: ", "kd: ", ".tracejson: ", f"{file}: "):
        said = said.removeprefix(word)
    return said


def read_trace(options):
    """The trace as plain data, read by the debugger."""
    with tempfile.TemporaryDirectory(prefix="trace-") as folder:
        path = Path(folder) / "trace"
        kernel = ["--kernel", options.kernel] if options.kernel else []
        try:
            done = subprocess.run(
                [sys.executable, TOP / "tools/tool", "cli.kd", options.file, *kernel, "-c", f".tracejson {path}"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=LIMIT)
        except subprocess.TimeoutExpired:
            raise CannotRun(f"{options.file}: the debugger has not read the trace in {LIMIT} s") from None
        if done.returncode or not path.exists():
            raise CannotRun(f"{options.file}: {complaint(done, options.file)}")
        trace = json.loads(path.read_text("utf-8"))
    if not any(cpu["events"] for cpu in trace["cpus"]):
        raise CannotRun(f"{options.file}: it holds no event of the trace (a small dump need not)")
    return trace


# ---- Chrome's format: a process for each CPU ------------------------------------------------------------------------

def named(pid, tid, what, name):
    return {"ph": "M", "pid": pid, "tid": tid, "name": what, "args": {"name": name}}


def chrome_lane(trace, lane):
    """The rows of one CPU: what ran, interrupts and DPCs, locks, the counter of the IRQL, marks."""
    pid = lane.cpu + 1
    rows = [named(pid, 0, "process_name", f"CPU {lane.cpu}"), named(pid, 1, "thread_name", "thread")]
    for kind, name in (("interrupt", BAR_ROW_NAME), ("lock", LOCK_ROW_NAME)):
        for row in sorted({bar.row for bar in lane.bars if ROWS[bar.kind] == ROWS[kind]}):
            rows.append(named(pid, ROWS[kind] + row, "thread_name", name))
    for start, stop, thread in lane.threads:
        rows.append({"ph": "X", "pid": pid, "tid": 1, "ts": start, "dur": round(stop - start, 4), "cat": "thread",
                     "name": trace["threads"].get(str(thread), hex(thread))})
    for bar in lane.bars:
        rows.append({"ph": "X", "pid": pid, "tid": ROWS[bar.kind] + bar.row, "ts": bar.start,
                     "dur": round(bar.end - bar.start, 4), "name": bar.name, "cat": bar.kind,
                     "args": {"until": "the machine stopped" if bar.is_open else "it ended"}})
    for time, level in lane.levels:
        rows.append({"ph": "C", "pid": pid, "ts": time, "name": "IRQL", "args": {"IRQL": level}})
    for event in lane.events:
        if event.kind in MARKS:
            rows.append({"ph": "i", "pid": pid, "tid": 1, "ts": event.time, "name": event.kind, "cat": "event",
                         "s": "g" if event.kind == "BugCheck" else "t",
                         "args": {"event": event.index, "what": trace["texts"][event.text]}})
    return rows


def chrome_json(trace, lanes):
    """A trace in the Trace Event Format: times in microseconds."""
    return {"displayTimeUnit": "ns", "traceEvents": [row for lane in lanes for row in chrome_lane(trace, lane)],
            "otherData": {"seed": trace["seed"], "build": "checked" if trace["checked"] else "free",
                          "bugcheck": bug_text(trace)}}


# ---- The page -------------------------------------------------------------------------------------------------------

def bug_text(trace):
    """"0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL", or nothing for a machine that lives."""
    bug = trace["bugcheck"]
    return f"0x{bug['code']:X} {bug['name']}" if bug else ""


def page_lane(trace, lane, counts):
    """One lane as the page wants it."""
    names, numbers = [], {}
    for _, _, thread in lane.threads:
        if thread not in numbers:
            numbers[thread] = len(names)
            names.append(trace["threads"].get(str(thread), hex(thread)))
    idle = next((cpu["idle"] for cpu in trace["cpus"] if cpu["cpu"] == lane.cpu), 0)
    return {"cpu": lane.cpu, "count": counts[lane.cpu], "names": names, "idle": numbers.get(idle, -1),
            "threads": [[start, stop, numbers[thread]] for start, stop, thread in lane.threads],
            "levels": lane.levels,
            "bars": [[bar.start, bar.end, bar.kind, bar.row, bar.name, bar.is_open] for bar in lane.bars],
            "events": [[event.time, event.kind, event.index, event.text] for event in lane.events]}


def page_data(trace, lanes, end):
    """The page's data, as JSON that a script element may contain."""
    counts = {cpu["cpu"]: cpu["count"] for cpu in trace["cpus"]}
    bug = trace["bugcheck"]
    died = next((event.time for lane in lanes for event in reversed(lane.events) if event.kind == "BugCheck"), end)
    data = {"end": end, "seed": trace["seed"], "checked": trace["checked"], "texts": trace["texts"],
            "bug": bug and {"text": bug_text(trace), "cpu": bug["cpu"], "time": died,
                            "parameters": [f"0x{value:X}" for value in bug["parameters"]]},
            "way": [[event.time, event.cpu, event.index, event.text] for event in milestones(trace)],
            "lanes": [page_lane(trace, lane, counts) for lane in lanes], "schedule": trace.get("schedule")}
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def html_page(trace, lanes, end):
    before, mark, after = TEMPLATE.read_text("utf-8").partition("{{DATA}}")
    if not mark:
        raise CannotRun(f"{TEMPLATE}: it has no place for the data")
    return before + page_data(trace, lanes, end) + after


def write(path, text):
    try:
        path.write_text(text, "utf-8")
    except OSError as problem:
        raise CannotRun(f"{path}: {problem.strerror}") from None
    print(f"written to {os.path.relpath(path) if path.is_relative_to(Path.cwd()) else path}")


def main(words):
    options = parse(words)
    if options.check:
        return 0
    trace = read_trace(options)
    lanes, end = lanes_of(trace)
    events = sum(len(lane.events) for lane in lanes)
    print(f"{events} events of {len(lanes)} CPUs, {end / 1000:.3f} ms: {bug_text(trace) or 'alive'}")
    write(options.json, json.dumps(chrome_json(trace, lanes)) + "\n")
    write(options.html, html_page(trace, lanes, end))
    return 0
