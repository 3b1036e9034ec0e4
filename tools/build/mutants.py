"""The tables of mutants: faults to plant in the kernel, each with the test that sees it.

A table is tests/mutants/FOLDER.txt. An entry is a name with a file, and below it, indented: a sentence on what goes wrong, the old
and the new lines as in a diff, and what the fault dies by.

    to_the_tail: kernel/ke/scheduler.c
        A preempted thread goes behind its equals.
          if (Thread->Preempted) {
        - InsertHeadList(Head, &Thread->QueueListEntry);
        + InsertTailList(Head, &Thread->QueueListEntry);
        dies by: test thread_preempted

Lines that stay are indented by two more. They and the old lines must follow each other in the file at exactly one place; their own
indentation does not count, and neither does the line's number. "..." begins a second place. Instead of "dies by:" an entry may say
"equivalent:" with the reason why no test can see it, or "lives:" with the reason why none does yet.
"""

import re
import shlex
from dataclasses import dataclass, field

from host.paths import TOP, CannotRun

TABLES = TOP / "tests/mutants"
ENTRY = re.compile(r"(\w+): (\S+)$")
ENDS = ("dies by", "equivalent", "lives")
NOTES = ("equivalent", "lives", "hint")
KEPT, OLD, NEW = "  ", "- ", "+ "
DEFAULTS = {"build": "checked", "seed": "3", "cpus": "4", "mem": "256"}


@dataclass
class Killer:
    """What a mutant should die by: tests inside the kernel on one machine, words for pytest, or parts of a lab."""
    text: str
    test: str = ""                              # what the names of the tests begin with
    settings: dict = field(default_factory=dict)
    pytest: list = field(default_factory=list)
    parts: list = field(default_factory=list)


@dataclass
class Mutant:
    """One fault."""
    folder: str
    name: str
    file: str
    where: str                                  # "tests/mutants/ke.txt:12"
    what: str = ""
    places: list = field(default_factory=lambda: [[]])      # of each place [(kind, text)]
    killers: list = field(default_factory=list)
    equivalent: str = ""
    lives: str = ""
    hint: str = ""                              # of a lab's: what its author should look at

    def text(self):
        """All of it, for comparing with what was tried before."""
        return repr((self.file, self.places, [killer.text for killer in self.killers], self.equivalent, self.lives))


# ---- Reading ----

def killer(text, where):
    """The text of "dies by:", read."""
    kind, *words = shlex.split(text)
    if kind in ("pytest", "parts") and words:
        return Killer(text, **{kind: words})
    if kind == "explore" and len(words) == 1:
        return Killer(text, f"explore_{words[0]}", dict(DEFAULTS, build="free", seed="1", cpus="2", mem="64"))
    settings = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    if kind != "test" or not words or len(settings) != len(words) - 1 or not set(settings) <= {*DEFAULTS, "append"}:
        raise CannotRun(f"{where}: 'dies by: {text}' is neither test PREFIX with {', '.join(DEFAULTS)} or append, nor explore "
                        "NAME, nor pytest WORDS")
    return Killer(text, words[0], {**DEFAULTS, **settings})


def add_line(mutant, line, where):
    """One indented line of an entry."""
    kind, text = line[:2], line[2:]
    key, _, rest = line.partition(": ")
    if key == "dies by":
        mutant.killers.append(killer(rest, where))
    elif key in NOTES:
        setattr(mutant, key, rest)
    elif line == "...":
        mutant.places.append([])
    elif kind in (KEPT, OLD, NEW):
        mutant.places[-1].append((kind, text.strip()))
    elif mutant.places[0]:
        raise CannotRun(f"{where}: a line of a change begins with '- ', '+ ' or two blanks, and this is '{line}'")
    else:
        mutant.what = f"{mutant.what} {line}".strip()


def check(mutant):
    """An entry is whole."""
    ends = sum(map(bool, (mutant.killers, mutant.equivalent, mutant.lives)))
    if not mutant.what or not any(kind != KEPT for kind, _ in mutant.places[-1]) or ends != 1:
        raise CannotRun(f"{mutant.where}: '{mutant.name}' needs a sentence, a change, and one of: {', '.join(ENDS)}")


def read_table(path):
    """The mutants of one table; CannotRun names the line that is wrong."""
    mutants = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.relative_to(TOP) if path.is_relative_to(TOP) else path}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        if not line.startswith("    "):
            entry = ENTRY.match(line)
            if not entry:
                raise CannotRun(f"{where}: an entry begins with NAME: FILE, and this is '{line}'")
            mutants.append(Mutant(path.stem, entry[1], entry[2], where))
        elif not mutants:
            raise CannotRun(f"{where}: a line before the first entry")
        else:
            add_line(mutants[-1], line[4:].rstrip(), where)
    for mutant in mutants:
        check(mutant)
    return mutants


def read_tables(folder=TABLES):
    """The mutants of all tables; no name twice."""
    mutants = [mutant for path in sorted(folder.glob("*.txt")) for mutant in read_table(path)]
    seen = {}
    for mutant in mutants:
        first = seen.setdefault((mutant.folder, mutant.name), mutant)
        if first is not mutant:
            raise CannotRun(f"{mutant.where}: '{mutant.name}' is at {first.where} too")
    return mutants


# ---- Planting ----

def find_place(lines, place, mutant):
    """The index in lines at which the old lines of a place begin."""
    old = [text for kind, text in place if kind != NEW]
    plain = [line.strip() for line in lines]
    found = [at for at in range(len(lines) - len(old) + 1) if plain[at:at + len(old)] == old]
    if len(found) != 1:
        raise CannotRun(f"{mutant.where}: '{mutant.name}' does not apply: {mutant.file} has its old lines "
                        f"{'nowhere' if not found else f'{len(found)} times'}: {old[0] if old else ''}")
    return found[0]


def planted(mutant, text):
    """The text of the file with the fault in it."""
    lines = text.split("\n")
    for place in mutant.places:
        at = find_place(lines, place, mutant)
        old = sum(kind != NEW for kind, _ in place)
        indent = re.match(r"\s*", lines[at])[0]
        lines[at:at + old] = [indent + new for kind, new in place if kind != OLD]
    return "\n".join(lines)


def plant(mutant, top=TOP):
    """The text of the mutant's file in a tree, with the fault in it."""
    path = top / mutant.file
    if not path.is_file():
        raise CannotRun(f"{mutant.where}: '{mutant.name}' does not apply: there is no {mutant.file}")
    return planted(mutant, path.read_text())
