"""Labs: what a lab asks for, and a kernel with a student's files in place of the tree's.

A lab is tests/labs/NN-name: lab.json (files, questions, parts), starter/ (the files that a student gets, by the tree's paths) and
mutants.txt (wrong solutions, made from the tree's own files, in the format of tools/build/mutants.py); its handout is
docs/labs/NN-name/README.md. The solution of a lab is the tree itself.

A student's kernel is built under OUT/labs: copies of the tree's objects, the student's own ones, and a link (OVERLAY in the Makefile).
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from build.mutants import read_table
from host import make
from host.paths import OUT, TOP, CannotRun
from host.toolchain import tool

LABS = TOP / "tests/labs"
HANDOUTS = TOP / "docs/labs"
BUILD = "free"
LARGEST = 256 << 10                             # bytes of a student's file
PATIENCE = 120                                  # seconds for a compiler
# What a build would read from outside: the grader's files, the environment, another folder.
READS = re.compile(r"incbin|%!|\.include|%(?:include|pathsearch|depend|use)\b\s*(?!\s|\"?(?:offsets|cfi|trace|checked)\.inc\"?)"
                   r"|#\s*(?:include|embed)[^\n]*(?:/|\.\.)|__has_(?:include|embed)", re.I)
PORTS = re.compile(r"(?:(?:rep\w*|data16|addr32|rex\S*|lock|[c-gs]s)\s+)*(?:in|out|ins[bwl]?|outs[bwl]?|wrmsr|rdmsr|lgdt|lidt|ltr)\b")
SETTLED = re.compile(r"^\s*[0-9a-f]+:\s+(?:[0-9a-f]{2} )+\s*(.*)$", re.M)
READ_MODIFY_WRITE = re.compile(r"^(?:bt[src]|xadd|cmpxchg|cmpxchg16b)\w*\s.*\(")


@dataclass
class Lab:
    """One lab; parts and questions as they stand in lab.json."""
    folder: Path
    number: str
    title: str
    hours: str
    files: list
    baseline: int                               # points of the starter
    questions: list
    parts: list

    @property
    def name(self):
        return self.folder.name

    def starter(self):
        return self.folder / "starter"

    def handout(self):
        return HANDOUTS / self.name / "README.md"

    def mutants(self):
        return read_table(self.folder / "mutants.txt")

    def part(self, name):
        found = [part for part in self.parts if part["name"] == name]
        if not found:
            raise CannotRun(f"lab {self.number} has no part '{name}'; there are: {', '.join(part['name'] for part in self.parts)}")
        return found[0]


def read_lab(folder):
    data = json.loads((folder / "lab.json").read_text())
    return Lab(folder, folder.name[:2], data["title"], data["hours"], data["files"], data["baseline"], data["questions"], data["parts"])


def labs():
    return [read_lab(path.parent) for path in sorted(LABS.glob("*/lab.json"))]


def lab(number):
    """The lab of a number, "3" or "03", or of a name."""
    known = labs()
    found = [one for one in known if number.zfill(2) == one.number or number == one.name]
    if not found:
        raise CannotRun(f"there is no lab '{number}'; there are: {', '.join(one.name for one in known)}")
    return found[0]


class Refused(Exception):
    """A student's file that is not taken: one sentence, with the student's file and line."""


# ---- A student's sources ----

def source_of(path, name):
    """The text of a student's file, if it is one that may be compiled."""
    if not path.is_file() or path.is_symlink():
        raise Refused(f"{name}: there is no such file; the lab wants it")
    if path.stat().st_size > LARGEST:
        raise Refused(f"{name}: it is larger than {LARGEST >> 10} KiB")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{name}: it is no text in UTF-8") from None
    if not text.strip():
        raise Refused(f"{name}: it is empty; `tools/bugcheck lab start` gave you one to begin with")
    for number, line in enumerate(text.replace("\\\n", "").splitlines(), 1):
        found = READS.search(line)
        if found:
            raise Refused(f"{name}:{number}: '{found[0].strip()}' reads what is not the lab's: take it out")
    return text


def complaint(output, names, files):
    """What a compiler or the linker says first, with the student's path."""
    lines = [line for line in output.splitlines() if re.search(r"error|undefined reference|multiple definition", line)]
    text = lines[0] if lines else (output.strip().splitlines() or ["it does not build"])[-1]
    undefined = re.search(r"(?:undefined reference to|hidden symbol) [`']([^']+)'", text)
    if undefined:
        return f"no file has the function {undefined[1]}, which the kernel calls"
    for name in names:
        text = text.replace(f"{files}/{name}", Path(name).name)
    return text


# ---- The object ----

def symbols_of(path, words):
    done = subprocess.run([tool("nm"), *words, str(path)], capture_output=True, text=True, timeout=PATIENCE)
    return {line.split()[-1] for line in done.stdout.splitlines() if line.strip()}


def instructions_of(path):
    done = subprocess.run([tool("objdump"), "-d", str(path)], capture_output=True, text=True, timeout=PATIENCE)
    return [found.strip() for found in SETTLED.findall(done.stdout)]


def object_of(name):
    return Path("obj") / re.sub(r"\.c$", ".o", name.replace(".asm", ".asm.o"))


def check_reads(path, own, name):
    """What the compiler says that it read: the student's file, and headers of the tree's. (NASM tells of incbin, not of %include.)"""
    words = path.with_suffix(".d").read_text().replace("\\\n", " ").partition(":")[2].split("\n")[0].split()
    for word in words:
        read = (TOP / word).resolve()
        if read != own.resolve() and not (read.suffix in (".h", ".inc", ".def") and read.is_relative_to(TOP.resolve())):
            raise Refused(f"{name}: it reads {word}, which is not the lab's: take it out")


def check_object(path, own, name):
    """The student's object against the tree's: the same functions, no others of the kernel's, no ports."""
    missing = symbols_of(own, ["-g", "--defined-only"]) - symbols_of(path, ["-g", "--defined-only"])
    if missing:
        raise Refused(f"{name}: it has no {', '.join(sorted(missing))} (`global`, or a function that is not static)")
    foreign = symbols_of(path, ["-u"]) - symbols_of(own, ["-u"]) - symbols_of(own, ["-g", "--defined-only"])
    foreign -= {"__stack_chk_fail", "__stack_chk_guard", "memset", "memcpy"}
    if foreign:
        raise Refused(f"{name}: it uses {', '.join(sorted(foreign))}, which this lab does without")
    ports = [text for text in instructions_of(path) if PORTS.match(text)]
    if ports and not any(PORTS.match(text) for text in instructions_of(own)):
        raise Refused(f"{name}: '{ports[0]}' speaks to a device or changes the machine, which this lab does without")


def unlocked(path):
    """The first instruction that reads, changes and writes memory without LOCK; other CPUs come between."""
    return next((text for text in instructions_of(path) if READ_MODIFY_WRITE.match(text)), None)


def is_atomic(path):
    """One instruction at least does in one step what is several."""
    return any(text.startswith("lock ") or re.match(r"xchg\w*\s.*\(", text) for text in instructions_of(path))


# ---- The kernel ----

def from_top(path):
    return os.path.relpath(path, TOP)


class Kernel:
    """A kernel with a student's files, in a folder of its own under OUT; used as OUT and OVERLAY by the other tools."""

    def __init__(self, lab_, folder):
        self.lab, self.folder, self.files = lab_, folder, folder / "files"
        self.hangs = 0                          # machines with it that were ended for their time

    def environment(self):
        """Paths from the top of the tree: make takes a space for the end of a word."""
        return {"OUT": str(self.folder), "OVERLAY": from_top(self.files)}

    def seed(self):
        """The tree's own build, copied where it has changed since the last time."""
        make.build(BUILD, "kernel", "archive", quiet=True)
        base = OUT / BUILD
        mark = hashlib.sha256((base / "kernel.elf").read_bytes() + (base / "boot.cpio").read_bytes()).hexdigest()
        note = self.folder / "seeded"
        if note.is_file() and note.read_text() == mark:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(base, self.folder / BUILD, ignore=shutil.ignore_patterns("*.iso"))
        note.write_text(mark)

    def build(self, texts):
        """{path in the tree: text} put in the place of the tree's files; Refused with the first complaint."""
        self.seed()
        self.hangs = 0
        (self.folder / BUILD / "kernel.elf").unlink(missing_ok=True)   # what is refused leaves no older kernel to replay
        shutil.rmtree(self.files, ignore_errors=True)
        for name, text in texts.items():
            path = self.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (self.folder / BUILD / object_of(name)).unlink(missing_ok=True)
        for name in texts:                      # alone, before anything of the grader's is near
            self.make(from_top(self.folder / BUILD / object_of(name)))
            check_reads(self.folder / BUILD / object_of(name), self.files / name, Path(name).name)
            check_object(self.folder / BUILD / object_of(name), OUT / BUILD / object_of(name), Path(name).name)
        self.make("kernel", "archive")

    def make(self, *targets):
        overlay = self.environment()["OVERLAY"]
        command = ["make", "-s", "-C", str(TOP), f"BUILD={BUILD}", f"OUT={from_top(self.folder)}", f"OVERLAY={overlay}", *targets]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise Refused(f"the compiler does not come to an end in {PATIENCE} s") from None
        if done.returncode:
            raise Refused(complaint(done.stderr + done.stdout, self.lab.files, overlay))


def texts_of(lab_, folder):
    """The student's files of a folder: {path in the tree: text}."""
    return {name: source_of(folder / Path(name).name, Path(name).name) for name in lab_.files}
