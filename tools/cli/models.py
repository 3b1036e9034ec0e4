"""Checks the models of the kernel's locks and of its shoot-down: every schedule, by spin.

`tools/bugcheck models [NAME...] [--mutation MUTATION] [--cpus N] [--all]`

A model (tests/models/NAME.pml) has a mechanism's accesses to shared memory, one step each, and the rules that it keeps.
spin tries every order of the steps, for 2 and for 3 CPUs. A mutation is a fault that it must find. What breaks a rule is
shown as the shortest schedule, a column for each CPU. Exit 0 when the rules hold, 1 when one is broken, 2 when it could
not be tried.
"""

import argparse
import re
import shutil
import subprocess
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

from cli.options import Parser, whole
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun, shown

FOLDER = TOP / "tests/models"
LIMIT = 600                                     # seconds for a search
MEMORY = 2048                                   # MiB for a search
NARROWEST, WIDEST = 80, 160                     # columns
COUNTS = (2, 3)                                 # CPUs


def parse(words):
    parser = Parser("tools/bugcheck models")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--mutation")
    parser.add_argument("--cpus", type=whole(*COUNTS))
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(words)
    known = models()
    unknown = [name for name in options.names if name not in known]
    if unknown:
        raise CannotRun(f"no model is called '{unknown[0]}'; there are: {', '.join(known)}")
    if options.all and (options.mutation or options.cpus):
        raise CannotRun("--all has every mutation and number of CPUs: leave out --mutation and --cpus")
    if options.mutation:
        if len(options.names) != 1:
            raise CannotRun("--mutation: name the one model that it belongs to")
        mutations = known[options.names[0]].mutations
        if options.mutation not in mutations:
            raise CannotRun(f"{options.names[0]} has no mutation '{options.mutation}'; it has: {', '.join(mutations)}")
    options.models = [known[name] for name in options.names] or (list(known.values()) if options.all else [])
    return options


# ---- The models ----

@dataclass
class Mutation:
    name: str
    cpus: int                                   # how many it takes to see it
    text: str


class Model:
    """A file of tests/models: its sentence, its mutations, the names of its words of memory."""

    def __init__(self, path):
        self.path, self.name, self.source = path, path.stem, path.read_text()
        head = self.source.partition("*/")[0]
        self.thesis = re.match(r"/\* \S+: (.*)", head)[1]
        self.mutations = {name: Mutation(name, int(cpus or COUNTS[0]), text) for name, cpus, text in
                          re.findall(r"^ \* mutation (\w+)(?: \((\d) CPUs\))?: (.*?)(?: \*/)?$", head + "*/", re.M)}
        words = re.search(r"^ \* words: (.*)$", head, re.M)
        self.words = words[1].split(", ") if words else []

    def lines(self, file):
        return (self.path.parent / file).read_text().splitlines()

    def word(self, index, cpus):
        """The name of Memory[index]."""
        names = [name.replace("[CPU]", f"[{cpu}]") for name in self.words for cpu in range(cpus if "[CPU]" in name else 1)]
        return names[index]

    def first_cpu(self, cpus):
        """The number of CPU 0's process: the store buffers come first."""
        return cpus if self.words else 0


def models():
    return {path.stem: Model(path) for path in sorted(FOLDER.glob("*.pml"))}


def listing():
    for model in models().values():
        print(f"{model.name:12} {model.thesis}")
        for mutation in model.mutations.values():
            print(f"    --mutation {mutation.name:24} {mutation.text}")


# ---- One search ----

@dataclass
class Step:
    """One step of one CPU: the lines that it went through, and what it left."""
    cpu: int
    is_buffer: bool                             # the CPU's store buffer, not the CPU
    lines: list = field(default_factory=list)   # (file, number)
    left: list = field(default_factory=list)    # "variable = value", where that is new


@dataclass
class Result:
    states: int
    seconds: float
    broken: str = ""                            # the rule that does not hold; empty where all do
    steps: list = field(default_factory=list)
    rule: tuple = ()                            # (file, number) of the assertion that fails
    waits: dict = field(default_factory=dict)   # {CPU that waits forever: (file, number)}


def call(words, folder):
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise CannotRun(f"no {words[0]}: tools/bugcheck install models") from None
    except subprocess.TimeoutExpired:
        raise CannotRun(f"{words[0]} has not come to its end in {LIMIT} s; its files are in {shown(folder)}") from None
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["without a word"]
        raise CannotRun(f"{words[0]} failed in {shown(folder)}: {said[0]}")
    return done.stdout


def search(model, cpus, mutation=None):
    """Tries every order of the steps, in breadth, so that the first that breaks a rule is a shortest one."""
    folder, start = OUT / "models" / "-".join(filter(None, (model.name, str(cpus), mutation))), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (model.path, *model.path.parent.glob("*.h")):
        shutil.copy(path, folder)
    settings = [f"-DCPUS={cpus}", *([f"-DMUTATION_{mutation}"] if mutation else [])]
    call(["spin", *settings, "-a", model.path.name], folder)
    optimize = "-O0" if mutation or cpus == COUNTS[0] else "-O1"        # a large search is worth a longer compilation
    call(["gcc", optimize, "-w", "-DBFS", "-DSAFETY", "-DNOFAIR", f"-DMEMLIM={MEMORY}", "-o", "pan", "pan.c"], folder)
    text = call([folder / "pan", "-w20"], folder)
    states, errors = re.search(r"^ *(\S+) states, stored", text, re.M), re.search(r"errors: (\d+)", text)
    if not states or not errors or (errors[1] == "0" and "Search not completed" in text):
        raise CannotRun(f"the search of {model.name} did not come to its end; {shown(folder)} has its files: {text.strip()[:100]}")
    result = Result(int(float(states[1])), 0)
    if errors[1] != "0":
        read_trail(call(["spin", *settings, "-t", "-p", "-g", "-l", model.path.name], folder), model, cpus, result)
    result.seconds = time.monotonic() - start
    return result


STEP = re.compile(r" *(\d+):\tproc +(\d+) \((\w+):\d+\) ([\w.]+):(\d+) \(state \d+\)(?:\t\[(.*)\])?( <valid end state>)?$")
CHANGE = re.compile(r"\t\t(?:queue \d+ \((\w+)\): (.*)|(?:\w+\((\d+)\):)?(\w[\w.\[\]]*) = (\d+))$")


def read_trail(text, model, cpus, result):
    """The steps of a schedule, the rule that it breaks, and where CPUs wait, out of what spin says of its trail."""
    before, values = None, initial(model)
    moves, _, end = text.partition("spin: trail ends")
    for line in moves.splitlines():
        step, change = STEP.match(line), CHANGE.match(line)
        if step:
            number, process, file, at = step[1], int(step[2]), step[4], int(step[5])
            if (number, process) != before:
                before = (number, process)
                result.steps.append(Step((process - model.first_cpu(cpus)) % cpus, step[3] != "Cpu"))
            if step[6] not in ("else", "(1)") and not step[6].startswith("goto "):
                result.steps[-1].lines.append((file, at))
        elif change and result.steps:
            note_change(change, model, cpus, values, result.steps[-1])
        elif "Error: assertion violated" in line:
            file, at = re.match(r"spin: ([\w.]+):(\d+), ", line).groups()
            result.rule, result.broken = (file, int(at)), comment(model, file, int(at))
            break
    if not result.rule:
        result.broken = "no CPU waits forever"
        result.waits = {int(step[2]) - model.first_cpu(cpus): (step[4], int(step[5]))
                        for step in map(STEP.match, end.splitlines()) if step and step[3] == "Cpu" and not step[7]}


def initial(model):
    """{(None, variable): value} of the shared variables that do not begin as 0; of an array, its name's."""
    numbers = {"true": "1", **dict(re.findall(r"^#define (\w+) (\d+)", model.source, re.M))}
    lines = re.findall(r"^(?:bool|bit|byte) (.*?);", model.source, re.M)
    return {(None, name): numbers.get(value, value) for line in lines
            for name, value in re.findall(r"(\w+)(?:\[\w+\])? = (\w+)", line)}


def note_change(change, model, cpus, values, step):
    """Adds "variable = value" to what a step left, if it is another value than before."""
    queue, members, owner, name, value = change.groups()
    if queue:
        name, value = queue, members
    if name.startswith("Buffer[") or name == "At":
        return                                  # a store in a buffer is shown when it reaches memory
    if name.startswith("Memory["):
        name = model.word(int(name[7:-1]), cpus)
    before = values.get((owner, name), values.get((None, name.partition("[")[0]), "" if queue else "0"))
    if before != value:
        step.left = [other for other in step.left if not other.startswith(f"{name} = ")] + [f"{name} = {value}"]
    values[owner, name] = value


# ---- A schedule as a table ----

def code(model, file, number):
    """The text of a line, without its comment, and without the part of the model that it leads to."""
    text = " ".join(re.sub(r"/\*.*?(\*/|$)", "", model.lines(file)[number - 1]).split())
    parts = "|".join(re.findall(r"^inline (\w+)", model.source, re.M))
    return re.sub(rf" ->( (assert|{parts})\(.*)?$", "", text)


def plain(text):
    """A line's text without what only holds it together."""
    text = re.sub(r"^(?:d_step|atomic) \{ (.*) \}(?:; break)?;?$", r"\1", text.removeprefix(":: "))
    return re.sub(r" -> break$", "", text).rstrip(" ;")


def comment(model, file, number):
    """The comment on a line, which is a rule's sentence."""
    found = re.search(r"/\* (.*?) \*/", model.lines(file)[int(number) - 1])
    return found[1] if found else f"line {number} of {file}"


def function(model, file, number):
    """The part of the model that a line belongs to."""
    heads = [re.match(r"inline (\w+)|active .*proctype (\w+)", line) for line in model.lines(file)[:number]]
    return next((head[1] or head[2] for head in reversed(heads) if head), file)


def is_noise(text):
    """A line that only leads to another, or that tidies up."""
    return re.fullmatch(r"::|do|if|fi;?|od;?|(:: )?(else|true|skip;?)|[{}]|(:: )?(d_step|atomic|STEP) \{|"
                        r"assert\(.*|(byte|bit|bool) .*", text) is not None


def merged(steps):
    """The steps, with those in one that a CPU makes in one line after the other."""
    last = None
    for step in steps:
        if last and not step.is_buffer and (step.cpu, step.is_buffer, step.lines[:1]) == (last.cpu, last.is_buffer, last.lines[-1:]):
            last.lines += step.lines
            last.left += step.left
            continue
        if last:
            yield last
        last = Step(step.cpu, step.is_buffer, list(step.lines), list(step.left))
    if last:
        yield last


def rows_of(model, steps):
    """(CPU, text) of each row."""
    last = {}
    for step in merged(steps):
        if step.is_buffer:
            yield step.cpu, f"{'':7}its buffer: {', '.join(step.left) or 'a store of the same value'}"
            continue
        rows = []
        for file, number in dict.fromkeys(step.lines):
            text = code(model, file, number)
            if "/* tidy */" in model.lines(file)[number - 1] or is_noise(text):
                continue
            if last.get(step.cpu) != function(model, file, number):
                last[step.cpu] = function(model, file, number)
                rows.append((step.cpu, last[step.cpu]))
            rows.append((step.cpu, f"{number:5}  {plain(text)}"))
        if rows and step.left:
            rows[-1] = (step.cpu, f"{rows[-1][1]}  [{', '.join(step.left)}]")
        yield from rows


def table(model, steps, cpus):
    """Lines: a column for each CPU."""
    whole_width = max(NARROWEST, min(WIDEST, shutil.get_terminal_size().columns))
    width = (whole_width - 3 * (cpus - 1)) // cpus
    yield " | ".join(f"{f'CPU {cpu}':{width}}" for cpu in range(cpus)).rstrip()
    yield "-+-".join("-" * width for _ in range(cpus))
    for cpu, text in rows_of(model, steps):
        for piece in textwrap.wrap(text, width, subsequent_indent=" " * 9, drop_whitespace=True) or [""]:
            indent = text[:len(text) - len(text.lstrip())]
            piece = piece if piece.startswith(indent) else indent + piece
            yield " | ".join(f"{piece if column == cpu else '':{width}}" for column in range(cpus)).rstrip()


def show(model, cpus, mutation, result):
    steps = f"{len(result.steps)} steps"
    print(f"{label(model, mutation)}: BROKEN on {cpus} CPUs, after {steps}: {result.broken}\n")
    print("\n".join(table(model, result.steps, cpus)))
    print()
    if result.rule:
        file, number = result.rule
        print(f"Which breaks line {number}: {re.search(r'assert.*', model.lines(file)[number - 1].partition('/*')[0])[0].rstrip(' ;')}\n")
    for cpu, (file, number) in sorted(result.waits.items()):
        print(f"CPU {cpu} waits forever in {function(model, file, number)}, line {number}: {plain(code(model, file, number))}")
    print(f"{chr(10) if result.waits else ''}The same again: tools/bugcheck models {model.name} --cpus {cpus}"
          + (f" --mutation {mutation}" if mutation else ""))


# ---- What is asked for ----

def label(model, mutation):
    return model.name + (f" with {mutation}" if mutation else "")


def check(model, cpus, mutation=None):
    """Tries one model on so many CPUs. True: the rules hold."""
    result = search(model, cpus, mutation)
    if result.broken:
        show(model, cpus, mutation, result)
    else:
        print(f"{label(model, mutation)}: holds on {cpus} CPUs ({result.states:,} states, {result.seconds:.1f} s)", flush=True)
    return not result.broken


def finds(model, mutation):
    """Tries one mutation. True: it is found."""
    result = search(model, mutation.cpus, mutation.name)
    found = f'found on {mutation.cpus} CPUs, after {len(result.steps)} steps, against "{result.broken}"' if result.broken \
        else "NOT FOUND: the rules hold with it"
    print(f"{label(model, mutation.name)}: {found}", flush=True)
    return bool(result.broken)


def main(words):
    options = parse(words)
    if options.check:
        return 0
    if not options.models:
        listing()
        return 0
    is_well = True
    with alone_in(OUT / "models"):
        for model in options.models:
            mutation = model.mutations.get(options.mutation)
            counts = [options.cpus] if options.cpus else [mutation.cpus] if mutation else COUNTS
            is_well &= all([check(model, cpus, options.mutation) for cpus in counts])
            if options.all:
                is_well &= all([finds(model, each) for each in model.mutations.values()])
    return 0 if is_well else 1
