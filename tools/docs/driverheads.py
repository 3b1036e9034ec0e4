"""The tables of tests/drivers/: each driver's head, as data and as pages.

Each folder there is a theme and has a page of its own. NAME.c is a driver; NAME.fix beside it is its repair, a diff (repair.py).
A head is the comment on top of a source, or the prose above the diff; lines that begin with a key tell how the driver ends:
    expect: completed | deadlock TEXT | unbuildable TEXT | failed 0xSTATUS | undecided TEXT | race TEXT
    expect: bugcheck CODE (P1, P2, P3, P4) in MODULE[!function]    a parameter is a number, >N, * or a word of WORDS
    expect-some: ...    the same, and over all seeds it must come at least once
    repaired: FILE      what does it right, where that is not the NAME.fix beside it
    run: OPTIONS        of tools/bugcheck driver; and --seeds N where several schedules matter
    with: FILE...       further sources

usage: tools/tool docs.driverheads [--update]   compares, or rewrites, the README.md of tests/drivers/ and of each theme
"""
import re
from dataclasses import dataclass, field
from pathlib import Path

from build import repair
from host.paths import TOP, CannotRun

FOLDER = TOP / "tests/drivers"
SOURCES = (".c", ".cc", ".cpp", ".C", repair.SUFFIX)
BUGCHECK = re.compile(r"bugcheck (0x[0-9A-Fa-f]+) \((.*)\)(?: in (\*|[\w-]+)(?:!(\w+))?)?\s*$")
KINDS = ("completed", "deadlock", "unbuildable", "failed", "undecided", "race")
# Addresses by the names of their regions: from (the MM_ name in mm.h) to.
WORDS = {"thread": ("MM_NONPAGED_POOL", "MM_SYSTEM_CACHE"), "nonpaged": ("MM_NONPAGED_POOL", "MM_SYSTEM_CACHE"),
         "paged": ("MM_PAGED_POOL", "MM_STACKS"), "stack": ("MM_STACKS", "MM_SPECIAL_POOL"),
         "special": ("MM_SPECIAL_POOL", "MM_PFN_DATABASE"), "cache": ("MM_SYSTEM_CACHE", "MM_SYSTEM_CACHE_END"),
         "kernel": ("MM_KERNEL_BASE", "MM_DRIVER_IMAGES"), "driver": ("MM_DRIVER_IMAGES", "MM_DRIVER_IMAGES_END"),
         "systempte": ("MM_SYSTEM_PTES", "MM_PAGED_POOL")}


# Calls that let two things happen at once, in the driver or on its behalf: threads and queued work, the disk, other drivers.
COMPANY = re.compile(r"Thread\b|Dpc|Timer|WorkItem|Apc|Queue|KeDelay|KeWait|Ipi|Cancel|Notify|Pending|PENDING|Callback|Stall|IoCall"
                     r"|Zw\w*File|PagedPool|POOL_FLAG_PAGED|PAGE|MmLock")


class HeadError(Exception):
    """A head that cannot be read; the text names the file."""


@dataclass
class Expectation:
    """One way for a driver to end."""
    text: str                                   # as in the head
    kind: str
    must_come: bool = False
    rest: str = ""                              # what the verdict's text must contain, or the status
    code: int = 0
    parameters: list = field(default_factory=list)
    module: str | None = None
    function: str | None = None


@dataclass
class Head:
    """A driver's source, by its own head."""
    path: Path
    thesis: str
    expected: list
    repaired: str | None
    run: list
    partners: list

    @property
    def theme(self):
        """The folder that it is in."""
        return self.path.parent.name

    @property
    def paths(self):
        """All its sources."""
        return [self.path, *(self.path.parent / name for name in self.partners)]

    @property
    def texts(self):
        """Its files: of a repair, the source and the diff."""
        paths = self.paths + ([repair.read(self.path)[1]] if repair.is_repair(self.path) else [])
        return [path.read_text("utf-8", "replace") for path in paths]

    @property
    def is_alone(self):
        """Whether the driver is one thread's work from beginning to end, so that real threads cannot end it differently."""
        return not any(map(COMPANY.search, self.texts)) and len(self.expected) == 1

    @property
    def seeds(self):
        """How many schedules it wants to be seen under."""
        if "--seeds" in self.run:
            return int(self.run[self.run.index("--seeds") + 1])
        return 20 if len(self.expected) > 1 else 1

    @property
    def options(self):
        """The options of tools/bugcheck driver."""
        words = list(self.run)
        if "--seeds" in words:
            del words[words.index("--seeds"):words.index("--seeds") + 2]
        return words


def parse_expectation(path, text, must_come):
    kind, _, rest = text.partition(" ")
    if kind == "bugcheck":
        found = BUGCHECK.match(text)
        if not found:
            raise HeadError(f"{path}: cannot read 'expect: {text}'")
        parameters = [word.strip() for word in found[2].split(",")]
        for word in parameters:
            if word not in WORDS and not re.fullmatch(r"\*|>?(0x[0-9A-Fa-f]+|-?\d+)", word):
                raise HeadError(f"{path}: '{word}' is no parameter: a number, >N, * or one of {', '.join(WORDS)}")
        if len(parameters) != 4:
            raise HeadError(f"{path}: a bugcheck has four parameters, 'expect: {text}' names {len(parameters)}")
        return Expectation(text, kind, must_come, "", int(found[1], 16), parameters,
                           None if found[3] == "*" else found[3], found[4])
    if kind not in KINDS:
        raise HeadError(f"{path}: 'expect: {text}': it begins with bugcheck, {', '.join(KINDS)}")
    return Expectation(text, kind, must_come, rest.strip())


def head_lines(path):
    """The lines of a source's first comment, or of the text above a diff."""
    if repair.is_repair(path):
        return repair.read(path)[0].splitlines()
    comment = repair.HEAD.match(path.read_text("utf-8", "replace"))
    return [re.sub(r"^\s*(?:\*|//)? ?", "", line).rstrip() for line in (comment[1] or comment[2]).splitlines()] if comment else []


def read_head(path):
    """The Head of a source; None for one without an expectation: a part of another driver."""
    lines, beside = head_lines(path), path.with_suffix(repair.SUFFIX)
    keys, prose = {}, []
    for line in lines:
        found = re.match(r"(expect|expect-some|repaired|run|with): *(.*)$", line)
        if found:
            keys.setdefault(found[1], []).append(found[2].strip())
        elif not keys:
            prose.append(line)
    if not any(key.startswith("expect") for key in keys):
        return None
    thesis = " ".join(" ".join(prose).split())
    thesis = re.sub(rf"^{re.escape(path.name)}: ", "", thesis).rstrip(".")
    expected = [parse_expectation(path.name, text, False) for text in keys.get("expect", [])]
    expected += [parse_expectation(path.name, text, True) for text in keys.get("expect-some", [])]
    repaired = keys.get("repaired", [beside.name if beside != path and beside.exists() else None])[0]
    return Head(path, thesis, expected, repaired, " ".join(keys.get("run", [])).split(),
                " ".join(keys.get("with", [])).split())


def sources():
    """Every source and repair, theme by theme, in the order of names."""
    return sorted(path for path in FOLDER.rglob("*") if path.suffix in SOURCES)


def all_heads():
    """Every driver, in the order of themes and names."""
    paths = sources()
    return [head for head in map(read_head, paths) if head]


# ---- Comparing ----

def regions():
    """{word: (from, to)}."""
    text = (TOP / "kernel/include/mm.h").read_text()
    names = {name: int(value, 16) for name, value in re.findall(r"#define (MM_\w+) (0x[0-9A-F]+)ULL", text)}
    return {word: (names[start], names[end]) for word, (start, end) in WORDS.items()}


def parameter_fits(want, got):
    if want == "*":
        return True
    if want in WORDS:
        start, end = regions()[want]
        return start <= got < end
    if want.startswith(">"):
        return got > int(want[1:], 0)
    return got == int(want, 0) % (1 << 64)


def fits(expected, result):
    """Whether a result (of tools/bugcheck driver --json) is what was expected."""
    if expected.kind != result["result"]:
        return False
    if expected.kind == "bugcheck":
        got = [int(text, 16) for text in result["parameters"]]
        return (int(result["code"], 16) == expected.code
                and all(parameter_fits(want, value) for want, value in zip(expected.parameters, got))
                and expected.module in (None, result["module"])
                and expected.function in (None, result["function"]))
    if expected.kind == "failed":
        return not expected.rest or int(result["status"], 16) == int(expected.rest.split()[0], 16)
    words = " ".join([result["text"], *result.get("notes", [])]).lower()
    return expected.rest.lower() in words


# ---- The document ----

INTRODUCTION = """\
# The test drivers

{count} small WDM drivers, each with one lesson: how it ends. Beside a driver that ends badly is its repair, a diff of a few lines
(`.fix`). Run one by hand, and its repair:

    tools/bugcheck driver tests/drivers/lock/lock_leak_fast.c
    tools/bugcheck driver tests/drivers/lock/lock_leak_fast.fix

`tests/test_drivers.py` runs each of them, and each repair, under seeds and under real threads, and compares. A driver in which
nothing can happen at once (no thread of its own, nothing queued, no disk) has its run with real threads only in
`tools/bugcheck test --all`. These pages are made from the drivers' heads (`make docs`).

"""
PAGE = """\
# {theme}: {what}

A parameter `*` may be anything; `driver`, `kernel`, `stack`, `paged`, `nonpaged`, `thread`, `special` are addresses of that kind.
A driver with several ends has them all, as the seed chooses. [All themes](../README.md)

"""
THEMES = {"calls": "what public drivers call and include, in C and C++",
          "dpc": "deferred procedure calls and timers",
          "fault": "faults, exceptions and `__try`",
          "file": "files on C:, and the IRQL at which they may be used",
          "image": "a driver's own image: sections, unloading",
          "io": "requests, their completion and cancellation, MDLs, devices",
          "judge": "threads that do not end, and those that do",
          "lock": "spin locks, mutexes, push locks, resources: leaks, order, recursion",
          "notify": "notify routines, callbacks, processes",
          "paging": "paged memory, paged code, and the IRQL",
          "pool": "blocks, tags, overruns, uses after the free",
          "sample": "drivers of the shapes that public samples have",
          "stack": "the kernel stack and its end",
          "thread": "threads and APCs",
          "verifier": "what Driver Verifier finds",
          "wait": "events, semaphores, waits",
          "work": "work items and worker threads"}


def link(name, text=None):
    return f"[{text or name}]({name})"


def repair_cell(head, by_name):
    """The link to what does it right, with what that says of itself."""
    if head.repaired not in by_name:
        return ""
    thesis = by_name[head.repaired].thesis.replace("|", "\\|")
    return f"{link(head.repaired, 'repair' if repair.is_repair(head.repaired) else None)}: {thesis}"


def table(heads):
    """A row for each driver; a repair is in its driver's row."""
    by_name = {head.path.name: head for head in heads}
    rows = ["| driver | what it does | run with | how it ends | what mends it |", "|---|---|---|---|---|"]
    for head in heads:
        if repair.is_repair(head.path):
            continue
        ends = "<br>".join(f"`{item.text}`" for item in head.expected)
        rows.append(" | ".join(["| " + link(head.path.name), head.thesis.replace("|", "\\|"),
                                f"`{' '.join(head.run)}`" if head.run else "", ends, repair_cell(head, by_name) + " |"]))
    return "\n".join(rows) + "\n"


def documents():
    """{path: text} of all the pages."""
    heads = all_heads()
    drivers = [head for head in heads if not repair.is_repair(head.path)]
    rows = ["| theme | drivers | about |", "|---|--:|---|"]
    pages = {}
    for theme in sorted({head.theme for head in drivers}):
        if theme not in THEMES:
            raise HeadError(f"tests/drivers/{theme}: no such theme; move the driver to one of {', '.join(THEMES)}")
        own = [head for head in heads if head.theme == theme]
        rows.append(f"| {link(theme + '/README.md', theme)} | {sum(head in drivers for head in own)} | {THEMES[theme]} |")
        pages[FOLDER / theme / "README.md"] = PAGE.format(theme=theme, what=THEMES[theme]) + table(own)
    return {FOLDER / "README.md": INTRODUCTION.format(count=len(drivers)) + "\n".join(rows) + "\n", **pages}


def main(words):
    update = words == ["--update"]
    if words and not update:
        return __doc__
    try:
        pages = documents()
    except (HeadError, CannotRun) as problem:
        return f"driverheads: {problem}"
    for path, fresh in pages.items():
        if update:
            path.write_text(fresh)
        elif not path.exists() or path.read_text() != fresh:
            return f"driverheads: {path.relative_to(TOP)} is not what the drivers' heads say; run: make docs"
    return 0
