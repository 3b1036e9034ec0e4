"""Builds a driver that somebody else wrote, unmodified: headers in any letter case, pragmas, unknown calls told by name.

    modules = build(["lock.c"], "free")         # or Unbuildable, whose text is for the result line
    modules[0].path, modules[0].symbols

What a Windows compiler forgives and gcc does not is bridged beside the source, in build/driver/NAME: links for headers that
are spelt in another case or with backslashes, a copy in UTF-8 of a source in UTF-16.
"""

import difflib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import leaving
import literals
import mkdriver
import mkexports
import mksymbols
from alone import lock_of
from building import make_command
from elffile import SHN_UNDEF, ElfFile, readelf
from machine import OUT, TOP, CannotRun

DDK = TOP / "kernel/include/ddk"
LANGUAGES = {".c": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".c++": "c++"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)
ERROR = re.compile(r"^(.*?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$")
# What gcc says of a name that no header declares, and what that is to the user.
UNKNOWN = ((re.compile(r"implicit declaration of function [‘'`](\w+)"), "calls {}"),
           (re.compile(r"[‘'`](\w+)[’'] was not declared in this scope"), "uses {}"),
           (re.compile(r"[‘'`](\w+)[’'] undeclared"), "uses {}"),
           (re.compile(r"unknown type name [‘'`](\w+)"), "uses the type {}"),
           (re.compile(r"[‘'`](\w+)[’'] does not name a type"), "uses the type {}"),
           (re.compile(r"([^\s:]+): No such file or directory"), "includes {}"))
TAKEN = {"nt", "kernel", "fastfat", "virtio-blk", "ivshmem", "ktest"}
NAME_LENGTH = 28


class Unbuildable(Exception):
    """The driver cannot be built. The text is for the result line; details are the compiler's own words."""

    def __init__(self, text, details=""):
        super().__init__(text)
        self.details = details


@dataclass
class Module:
    """One .sys to load: its name, its sources as the user wrote them, what was built."""
    name: str
    sources: list
    objects: list = field(default_factory=list)
    differences: list = field(default_factory=list)     # texts: where the source means something else on Windows
    path: Path | None = None
    symbols: Path | None = None


def make_kernel(build):
    """The kernel, the boot archive and the flags for drivers; quick when nothing has changed."""
    with lock_of(OUT / f".{build}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(make_command(build, "judge"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              errors="replace")
    if done.returncode:
        raise CannotRun(f"the {build} build of the kernel failed: {first_error(done.stderr)}")


def last_line(text):
    return (text.strip().splitlines() or ["(without a word)"])[-1]


def first_error(text):
    return next((line for line in text.splitlines() if "error" in line), last_line(text))


# ---- The sources ----

def language_of(path):
    """The language of a file by its name; CannotRun for one that is no source."""
    suffix = Path(path).suffix
    language = LANGUAGES.get(suffix.lower())
    if language is None:
        raise CannotRun(f"'{path}' is no C or C++ source: its name must end in {', '.join(LANGUAGES)}")
    return language


def read_source(path):
    """(text, whether it is in UTF-16) of a source; CannotRun where there is no file, Unbuildable for one without text."""
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise CannotRun(f"there is no file '{path}'") from None
    except IsADirectoryError:
        raise CannotRun(f"'{path}' is a folder, not a source file") from None
    except OSError as error:
        raise CannotRun(f"cannot read '{path}': {error.strerror}") from None
    if not content.strip():
        raise Unbuildable(f"'{path}' is empty")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace"), True
    if b"\0" in content:
        raise Unbuildable(f"'{path}' is no source: it has binary content")
    return content.decode("utf-8", "replace"), False


def module_name(path, taken):
    """A name for the loader: the file's, with letters, digits, dashes and underscores alone."""
    plain = unicodedata.normalize("NFKD", Path(path).stem.replace("ß", "ss")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_")[:NAME_LENGTH] or "driver"
    unique, number = name, 2
    while unique.lower() in taken:
        unique, number = f"{name[:NAME_LENGTH - 3]}_{number}", number + 1
    return unique


def group(paths, texts):
    """The modules: a file with DriverEntry begins one, a file without belongs to the one before."""
    modules, taken, waiting = [], set(TAKEN), []
    for path in paths:
        code = mkdriver.strip_comments(texts[path])
        if re.search(r"\bDriverEntry\s*\([^;{}]*\)\s*\{", code) or re.search(r"\bDRIVER_INITIALIZE\b.*\bDriverEntry\s*\(",
                                                                           code):
            modules.append(Module(module_name(path, taken), waiting + [path]))
            taken.add(modules[-1].name.lower())
            waiting = []
        elif modules:
            modules[-1].sources.append(path)
        else:
            waiting.append(path)        # helpers named before their driver
    if not modules:
        raise Unbuildable(f"{', '.join(map(str, paths))}: there is no DriverEntry")
    return modules


# ---- Compiling ----

def find_header(name, folders):
    """The file that a Windows compiler would take for an #include, where gcc finds none by that spelling."""
    wanted = name.replace("\\", "/")
    for folder in folders:
        place = Path(folder)
        for part in wanted.split("/"):
            if part in (".", ".."):
                place = place / part
                continue
            try:
                found = next((entry for entry in os.listdir(place) if entry.lower() == part.lower()), None)
            except OSError:
                found = None
            if found is None:
                place = None
                break
            place = place / found
        if place is not None and place.is_file():
            return place
    return None


def bridge_headers(source, text, overlay, seen):
    """Links in overlay for each header of a source, and of its own headers, that is spelt in another way."""
    folder = Path(source).resolve().parent
    for _, name in INCLUDE.findall(text):
        exact = next((path for path in (folder / name, DDK / name) if path.is_file()), None)
        found = exact or find_header(name, (folder, DDK))
        if found is None or (name, found) in seen:
            continue
        seen.add((name, found))
        if exact is None:
            link = overlay / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_relative_to(overlay) or ".." in Path(name).parts:
                continue
            link.unlink(missing_ok=True)
            link.symlink_to(found.resolve())
        if not found.resolve().is_relative_to(DDK):
            bridge_headers(found, found.read_text("utf-8", "replace"), overlay, seen)


def compile_source(source, text, is_wide, folder, number, flags):
    """One object; Unbuildable with the compiler's words."""
    target, overlay = folder / f"{number}.o", folder / f"include{number}"
    shutil.rmtree(overlay, ignore_errors=True)
    overlay.mkdir(parents=True)
    language = language_of(source)
    bridge_headers(source, text, overlay, set())
    command = ["gcc" if language == "c" else "g++", *flags[language != "c"], "-x", language,
               "-iquote", str(Path(source).resolve().parent), "-I", str(overlay), "-I", str(Path(source).resolve().parent)]
    subject = str(source)
    if is_wide:
        subject = str(folder / f"{number}{Path(source).suffix}")
        Path(subject).write_text(f'#line 1 "{source}"\n{text}', "utf-8")
    if subject.startswith("-"):
        subject = f"./{subject}"
    done = run_compiler(command, "-c", subject, "-o", str(target))
    if done.returncode != 0 and literals.are_in(text):
        prepared = run_compiler(command, "-E", subject)
        copy = folder / f"{number}.{'i' if language == 'c' else 'ii'}"
        copy.write_text(literals.bridged(prepared.stdout), "utf-8")
        command[command.index("-x") + 1] = "cpp-output" if language == "c" else "c++-cpp-output"
        done = run_compiler(command, "-c", str(copy), "-o", str(target))
    if done.returncode != 0:
        raise compile_problem(done.stderr)
    return target


def run_compiler(command, *words):
    return subprocess.run([*command, *words], capture_output=True, text=True, errors="replace",
                          env=dict(os.environ, LC_ALL="C.UTF-8"))


def only_errors(text):
    """The compiler's words about errors: without its warnings."""
    kept, keeping = [], True
    for line in text.splitlines():
        if re.match(r"^[^ ].*?:\d+:(\d+:)? (warning|note):", line):
            keeping = "note:" in line and keeping
        elif re.match(r"^[^ ].*?: ", line):
            keeping = "error" in line or "In file included" in line
        elif re.match(r"^\S.*: (In|At) ", line):
            keeping = False
        if keeping:
            kept.append(line)
    return "\n".join(kept)


def exports():
    return set(mkexports.read_names(TOP / "kernel/ldr/exports.def"))


def suggestion(name, names):
    near = difflib.get_close_matches(name, names, 1, 0.85)
    return f"; did you mean {near[0]}?" if near else ""


def compile_problem(text):
    """The Unbuildable for what the compiler said."""
    errors = [match for match in map(ERROR.match, text.splitlines()) if match]
    if not errors:
        return Unbuildable(f"the compiler failed: {last_line(text)}", text)
    where, line, said = errors[0].groups()
    place = f"({os.path.basename(where)}:{line})"
    for pattern, what in UNKNOWN:
        found = pattern.search(said)
        if found:
            names = exports()
            if found[1] in names:
                return Unbuildable(f"{what.format(found[1])}, which no header that it includes declares {place}",
                                   only_errors(text))
            return Unbuildable(f"{what.format(found[1])}, which is not in the subset {place}"
                               + suggestion(found[1], names), only_errors(text))
    if "with SSE disabled" in said:
        return Unbuildable(f"calculates in floating point, for which threads here have no registers {place}", only_errors(text))
    return Unbuildable(f"{said} {place}" + (f", and {len(errors) - 1} more errors" if len(errors) > 1 else ""),
                       only_errors(text))


# ---- Linking ----

def undefined(module):
    """{name: place of its first use} of what the module needs from the kernel."""
    names = {s.name for s in ElfFile(module.path).symbols() if s.section == SHN_UNDEF and s.bind != "LOCAL"}
    missing = names - exports()
    return {name: place_of(name, module) for name in sorted(missing)}


def place_of(name, module):
    """"file.c:12" of the first use of a symbol, or the file alone."""
    for source, path in zip(module.sources, module.objects):
        section = ""
        for line in readelf(path, "--relocs"):
            head = re.match(r"Relocation section '\.rela(\S+)'", line)
            section = head[1] if head else section
            row = re.match(rf"([0-9a-f]+)\s+[0-9a-f]+\s+\S+\s+[0-9a-f]+\s+{re.escape(name)}\b", line)
            if row and not section.startswith(".debug"):
                found = subprocess.run(["addr2line", "-e", path, "-j", section, row[1]], capture_output=True, text=True)
                place = os.path.basename(found.stdout.strip().split(" ")[0])
                return place if re.search(r":\d+$", place) else os.path.basename(source)
    return os.path.basename(module.sources[0])


def link(module, folder):
    """NAME.sys and NAME.sym; Unbuildable names the first call that the kernel has not."""
    module.path, module.symbols = folder / f"{module.name}.sys", folder / f"{module.name}.sym"
    defined = {s.name for path in module.objects for s in ElfFile(path).symbols()
               if s.section != SHN_UNDEF and s.bind != "LOCAL"}
    if "DriverEntry" not in defined:
        mangled = any(re.match(r"_Z\w*DriverEntry", name) for name in defined)
        raise Unbuildable(f"{os.path.basename(module.sources[0])}: " + (
            'DriverEntry is a C++ function: it needs extern "C"' if mangled else "there is no DriverEntry"))
    try:
        mkdriver.join(str(module.path), None, module.sources, [str(path) for path in module.objects])
    except mkdriver.CannotJoin as problem:
        said = [line for line in str(problem).splitlines() if "multiple definition" in line] or [str(problem).split("\n")[0]]
        raise Unbuildable(re.sub(r"^.*?ld: ", "", said[0]), "") from None
    missing = undefined(module)
    if missing:
        names = exports()
        details = "\n".join(f"{place}: {name} is not in the subset{suggestion(name, names)}"
                            for name, place in missing.items())
        name, place = next(iter(missing.items()))
        raise Unbuildable(f"calls {name}, which is not in the subset ({place}){suggestion(name, names)}", details)
    symbols = subprocess.run([sys.executable, mksymbols.__file__, module.path, module.symbols], capture_output=True)
    if symbols.returncode != 0:
        module.symbols = None           # stacks without names are better than no run


def build(paths, kind, folder=None, enter=None):
    """[Module] of the sources; the kernel of this kind must have been made. CannotRun: no sources, Unbuildable.

    enter(folder) is called before anything is written into the folder.
    """
    read = {path: read_source(path) for path in paths if language_of(path)}
    modules = group(paths, {path: text for path, (text, _) in read.items()})
    flags = [line.split() for line in (OUT / kind / "driver.flags").read_text().splitlines()]
    flags = [[f"-I{TOP}/{word[2:]}" if word.startswith("-Ikernel") else word for word in line] for line in flags]
    folder = folder or OUT / "driver" / modules[0].name
    folder.mkdir(parents=True, exist_ok=True)
    if enter:
        enter(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {path: pool.submit(compile_source, path, *read[path], folder, number, flags)
                for number, path in enumerate(paths)}
    for module in modules:
        module.objects = [jobs[path].result() for path in module.sources]
        module.differences = [f"{path}:{line}: {what}" for path in module.sources
                              for line, what in leaving.differences(read[path][0])]
        link(module, folder)
    return modules


# ---- The boot archive ----

def entry(name, content):
    """One file of a cpio archive of the newc format."""
    fields = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08X" % number for number in fields) + name.encode() + b"\0"
    return head + b"\0" * (-len(head) % 4) + content + b"\0" * (-len(content) % 4)


def entries(content):
    """(name, bytes) of each file of a newc archive."""
    offset = 0
    while content[offset:offset + 6] == b"070701":
        size, length = (int(content[offset + 6 + 8 * n:offset + 14 + 8 * n], 16) for n in (6, 11))
        name = content[offset + 110:offset + 110 + length - 1].decode()
        start = offset + 110 + length + (-(110 + length) % 4)
        if name == "TRAILER!!!":
            return
        yield name, content[start:start + size]
        offset = start + size + (-size % 4)


def make_archive(path, base, modules):
    """The boot archive of a build with the modules in it, and without what only tests and stories need."""
    ours = {}
    for module in modules:
        ours[f"drivers/{module.name}.sys"] = module.path.read_bytes()
        if module.symbols:
            ours[f"symbols/{module.name}.sym"] = module.symbols.read_bytes()
    kept = {name: data for name, data in entries(base.read_bytes()) if "ktest" not in name}
    path.write_bytes(b"".join(entry(*item) for item in {**kept, **ours}.items()) + entry("TRAILER!!!", b""))
    return path
