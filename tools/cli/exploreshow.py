"""Schedules for a person: the two-column table, the sentence, the timeline as a page.

A step is (context, instruction, IRQL, file, line, function): the line that a context comes to behind so many instructions.
"""

import itertools
import os
import shutil
import subprocess

from cli.trace import html_page
from cli.traceshapes import Event, Lane
from host.paths import TOP

NARROWEST, WIDEST = 80, 160                     # columns
LONGEST_TURN = 30                               # lines that are all shown
HZ = 1_000_000_000                              # the page's clock: an instruction takes a nanosecond


class Sources:
    """The lines of the kernel and its tests, by the name of the file."""

    def __init__(self):
        names = subprocess.run(["git", "-C", str(TOP), "ls-files", "-co", "--exclude-standard", "arch", "kernel", "tests/kernel"],
                               capture_output=True, text=True, timeout=60).stdout.split("\n")
        self.paths = {(TOP / name).name: TOP / name for name in names if name.endswith((".c", ".asm", ".h", ".inc"))}
        overlay = TOP / os.environ.get("OVERLAY", "none")       # a student's files, in place of the tree's
        self.paths.update((path.name, path) for path in overlay.rglob("*.*") if path.is_file())
        self.lines = {}

    def text(self, file, line):
        """A line without its comment, its spaces made one each."""
        if file not in self.lines:
            path = self.paths.get(file)
            self.lines[file] = path.read_text("utf-8", "replace").splitlines() if path else []
        lines = self.lines[file]
        text = lines[line - 1].split(";" if file.endswith(".asm") else "/*")[0] if 0 < line <= len(lines) else ""
        return " ".join(text.split())


def turns(steps):
    """The steps of each turn."""
    return [list(turn) for _, turn in itertools.groupby(steps, key=lambda step: step[0])]


def shortened(turn):
    """A long turn by its functions: of one that is not the explored fragment's own only where it begins, without a text."""
    if len(turn) <= LONGEST_TURN:
        yield from ((*step, True) for step in turn)
        return
    before = None
    for step in turn:
        is_own = step[3].startswith("test_explore")
        if is_own or before != step[5]:
            yield *step, is_own
        before = step[5]


def columns(steps):
    """The steps as rows: A on the left, B on the right."""
    width = (max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns)) - 3) // 2
    sources, rows, last = Sources(), [], {}
    for context, _, _, file, line, function, is_told in itertools.chain.from_iterable(map(shortened, turns(steps))):
        if not is_told:
            rows.append((context, f"  ... {function} ({file})"))
        elif last.get(context) != function:
            rows.append((context, f"{function} ({file})"))
        last[context] = function
        if is_told:
            rows.append((context, f"{line:5}  {sources.text(file, line)}"))
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


# ---- The page of tools/bugcheck trace, with a lane for each context ----

def lane_of(cpu, context, steps, end, numbers, texts, sources):
    """A lane: the functions as what runs, the IRQL, a mark for each line."""
    lane, ends = Lane(cpu, []), [step[1] for step in steps[1:]] + [end]
    for number, ((of, at, irql, file, line, function), until) in enumerate(zip(steps, ends)):
        if of != context:
            continue
        name = numbers.setdefault(function, len(numbers))
        if lane.threads and lane.threads[-1][1:] == (at / 1000, name):
            lane.threads[-1] = (lane.threads[-1][0], until / 1000, name)
        else:
            lane.threads.append((at / 1000, until / 1000, name))
        if not lane.levels or lane.levels[-1][1] != irql:
            lane.levels.append((at / 1000, irql))
        texts.append(f"{file}:{line}  {sources.text(file, line)}")
        lane.events.append(Event(cpu, (number, at, "Line", 0, 0, 0, 0, len(texts) - 1), 0, HZ))
    return lane


def page(title, subtitle, steps, end):
    """A schedule as a page of HTML."""
    numbers, texts, sources = {"KtIdle": 0}, [], Sources()
    lanes = [lane_of(cpu, context, steps, end, numbers, texts, sources) for cpu, context in enumerate("AB")]
    trace = {"seed": None, "checked": True, "bugcheck": None, "texts": texts,
             "threads": {str(number): name for name, number in numbers.items()},
             "cpus": [{"cpu": lane.cpu, "count": len(lane.events), "idle": 0, "events": []} for lane in lanes],
             "schedule": {"title": title, "subtitle": subtitle}}
    return html_page(trace, lanes, end / 1000)
