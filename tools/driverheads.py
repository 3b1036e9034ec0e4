#!/usr/bin/python3
"""The table of the test drivers: what each file of tests/drivers/ says in its head, as data and as tests/drivers/README.md.

A head is the comment on top of a source; the lines of it that begin with a key tell how the driver ends:
    expect: completed | deadlock TEXT | unbuildable TEXT | failed 0xSTATUS | undecided TEXT
    expect: bugcheck CODE (P1, P2, P3, P4) in MODULE[!function]    a parameter is a number, >N, * or a word of WORDS
    expect-some: ...    the same, and over all seeds it must come at least once
    repaired: FILE      the twin that does it right
    run: OPTIONS        of tools/bugcheck driver; and --seeds N where several schedules matter
    with: FILE...       further sources

usage: driverheads.py [--update]   compares, or rewrites, tests/drivers/README.md
"""
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
FOLDER = TOP / "tests/drivers"
SOURCES = (".c", ".cc", ".cpp", ".C")
BUGCHECK = re.compile(r"bugcheck (0x[0-9A-Fa-f]+) \((.*)\)(?: in (\*|[\w-]+)(?:!(\w+))?)?\s*$")
KINDS = ("completed", "deadlock", "unbuildable", "failed", "undecided")
# Addresses by the names of their regions: from (the MM_ name in mm.h) to.
WORDS = {"thread": ("MM_NONPAGED_POOL", "MM_SYSTEM_CACHE"), "nonpaged": ("MM_NONPAGED_POOL", "MM_SYSTEM_CACHE"),
         "paged": ("MM_PAGED_POOL", "MM_STACKS"), "stack": ("MM_STACKS", "MM_SPECIAL_POOL"),
         "special": ("MM_SPECIAL_POOL", "MM_PFN_DATABASE"), "cache": ("MM_SYSTEM_CACHE", "MM_SYSTEM_CACHE_END"),
         "kernel": ("MM_KERNEL_BASE", "MM_DRIVER_IMAGES"), "driver": ("MM_DRIVER_IMAGES", "MM_DRIVER_IMAGES_END"),
         "systempte": ("MM_SYSTEM_PTES", "MM_PAGED_POOL")}


# What lets two things happen at once, in the driver or on its behalf: threads and whatever is queued, the disk, other drivers.
COMPANY = re.compile(r"Thread\b|Dpc|Timer|WorkItem|Apc|Queue|KeDelay|KeWait|Ipi|Cancel|Notify|Pending|PENDING|Callback|Stall|IoCall"
                     r"|Zw\w*File|PagedPool|POOL_FLAG_PAGED|PAGE|MmLock")


class HeadError(Exception):
    """A head that cannot be read; the text names the file."""


@dataclass
class Expectation:
    """One way for a driver to end."""
    text: str                                   # as it stands in the head
    kind: str
    must_come: bool = False
    rest: str = ""                              # what the verdict's text must contain, or the status
    code: int = 0
    parameters: list = field(default_factory=list)
    module: str | None = None
    function: str | None = None


@dataclass
class Head:
    """What a driver's source says of itself."""
    path: Path
    thesis: str
    expected: list
    repaired: str | None
    run: list
    partners: list

    @property
    def paths(self):
        """All its sources."""
        return [self.path, *(self.path.parent / name for name in self.partners)]

    @property
    def is_alone(self):
        """Whether the driver is one thread's work from beginning to end, so that real threads cannot end it differently."""
        return not any(COMPANY.search(path.read_text("utf-8", "replace")) for path in self.paths) and len(self.expected) == 1

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


def read_head(path):
    """The Head of a source; None for one without an expectation: a part of another driver."""
    text = path.read_text("utf-8", "replace")
    comment = re.match(r"\s*(?:/\*(.*?)\*/|((?://.*\n)+))", text, re.S)
    lines = [re.sub(r"^\s*(?:\*|//)? ?", "", line).rstrip() for line in (comment[1] or comment[2]).splitlines()] if comment else []
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
    return Head(path, thesis, expected, (keys.get("repaired") or [None])[0], " ".join(keys.get("run", [])).split(),
                " ".join(keys.get("with", [])).split())


def all_heads():
    """Every driver of the folder, in the order of names."""
    paths = sorted(path for path in FOLDER.iterdir() if path.suffix in SOURCES)
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

Small WDM drivers, each with one lesson: how it ends, and its repaired twin. This table is made from their heads
(`tools/driverheads.py`, part of `make docs`), and `tests/test_drivers.py` runs each of them under seeds and under real
threads, and compares. A driver in which nothing can happen at once (no thread of its own, nothing queued, no disk) has its
run with real threads only in `tools/bugcheck test --all`. Run one by hand:

    tools/bugcheck driver tests/drivers/{example}

A parameter `*` may be anything; `driver`, `kernel`, `stack`, `paged`, `nonpaged`, `thread`, `special` are addresses of that
kind. A driver with several ends has them all, as the seed chooses.
"""


def link(name):
    return f"[{name}]({name})"


def table(heads):
    rows = ["| driver | what it does | run with | how it ends |", "|---|---|---|---|"]
    for head in heads:
        ends = "<br>".join(f"`{item.text}`" for item in head.expected)
        if head.repaired:
            ends += f"<br>repaired: {link(head.repaired)}"
        rows.append(" | ".join(["| " + link(head.path.name), head.thesis.replace("|", "\\|"),
                                f"`{' '.join(head.run)}`" if head.run else "", ends + " |"]))
    return "\n".join(rows) + "\n"


def document():
    """tests/drivers/README.md."""
    heads = all_heads()
    groups = sorted({head.path.name.split("_")[0] for head in heads})
    text = INTRODUCTION.replace("{example}", heads[0].path.name if heads else "FILE")
    for group in groups:
        text += f"\n## {group}\n\n" + table([head for head in heads if head.path.name.split("_")[0] == group])
    return text


def main():
    update, path = sys.argv[1:] == ["--update"], FOLDER / "README.md"
    if sys.argv[1:] and not update:
        sys.exit(__doc__)
    try:
        fresh = document()
    except HeadError as problem:
        sys.exit(f"driverheads: {problem}")
    if update:
        path.write_text(fresh)
    elif not path.exists() or path.read_text() != fresh:
        sys.exit("driverheads: tests/drivers/README.md is not what the drivers' heads say; run: make docs")


if __name__ == "__main__":
    main()
