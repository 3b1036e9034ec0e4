"""Builds a driver from elsewhere, unmodified, and names each call that is unknown here.

Headers are found in any letter case, and Microsoft's pragmas and literals are understood.

    modules = build(["lock.c"], "free")         # or Unbuildable, whose text is for the result line
    modules[0].path, modules[0].symbols

A NAME.fix among the sources is a repair (repair.py): the source beside it with that diff applied.
What a Windows compiler forgives and gcc does not is bridged beside the source, in build/driver/NAME (NAME-verifier,
NAME-2): links for headers that are spelt in another case or with backslashes, a copy in UTF-8 of a source in UTF-16.
"""

import difflib
import fcntl
import os
import re
import shutil
import subprocess
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from build import literals, mkdriver, mkexports, mksymbols, tryexits
from build.elffile import SHN_UNDEF, ElfFile, readelf
from build.repair import is_repair, source_of
from host.folderlock import lock_of
from host.make import make_command, told_if_long
from host.paths import OUT, TOP, CannotRun
from host.toolchain import tool

DDK = TOP / "kernel/include/ddk"
LANGUAGES = {".c": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".c++": "c++"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.M)
ERROR = re.compile(r"^(.*?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$")
# gcc's complaints of a name that no header declares, and their meaning to the user.
UNKNOWN = ((re.compile(r"implicit declaration of function [‘'`](\w+)"), "calls {}"),
           (re.compile(r"[‘'`](\w+)[’'] was not declared in this scope"), "uses {}"),
           (re.compile(r"[‘'`](\w+)[’'] undeclared"), "uses {}"),
           (re.compile(r"unknown type name [‘'`](\w+)"), "uses the type {}"),
           (re.compile(r"[‘'`](\w+)[’'] does not name a type"), "uses the type {}"),
           (re.compile(r"([^\s:]+): No such file or directory"), "includes {}"))
TAKEN = {"nt", "kernel", "fastfat", "virtio-blk", "ivshmem", "ktest"}
NAME_LENGTH = 63                    # LDR_NAME_BYTES of kernel/include/ldr.h, less its terminator
MOST_DRIVERS = 8                    # JUDGE_MAXIMUM_DRIVERS of kernel/judge/judge.h
NO_HEADER = re.compile(r"([^\s:]+): No such file or directory")
MOST_HEADERS, MOST_FOLDERS = 50, 100
OWNER = "sources.txt"               # in a driver's folder: the paths of its sources
RACE_CALLS = "__tsan_"               # the compiler's, which the race build alone makes, and exports
ELF_FLAGS_OFFSET = 48               # e_flags
INTEGRITY_CHECKED = 0x20            # LDR_INTEGRITY_CHECKED of kernel/include/ldr.h


class Unbuildable(Exception):
    """The driver cannot be built. The text is for the result line; details are the compiler's own words."""

    def __init__(self, text, details="", missing=()):
        super().__init__(text)
        self.details = details
        self.missing = list(missing)        # [Missing], when that is all that is wrong


@dataclass(frozen=True)
class Missing:
    """A name that the driver needs and does not get."""
    use: str                # "calls ZwGadget"
    why: str                # "which is not in the subset"
    place: str              # "file.c:12"
    hint: str = ""


@dataclass(frozen=True)
class Settings:
    """A project file's settings, beside its sources."""
    includes: tuple = ()            # folders
    defines: tuple = ()             # NAME or NAME=VALUE
    integrity_check: bool = False   # /INTEGRITYCHECK
    variant: str = ""               # a part of the folder's name: "verifier"


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
    with lock_of(OUT / f".{build}").open("w") as lock, told_if_long(build):
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
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", plain).strip("_") or "driver"
    if len(name) > NAME_LENGTH:
        raise CannotRun(f"'{os.path.basename(path)}' makes a driver's name of {len(name)} characters, and the loader takes "
                        f"{NAME_LENGTH}: give the file a shorter name")
    unique, number = name, 2
    while unique.lower() in taken:
        unique, number = f"{name[:NAME_LENGTH - 3]}_{number}", number + 1
    return unique


def has_entry(text):
    """Whether a source defines DriverEntry: it is then a driver of its own, and not a part of one."""
    code = mkdriver.strip_comments(text)
    return bool(re.search(r"\bDriverEntry\s*\([^;{}]*\)\s*\{", code) or
                re.search(r"\bDRIVER_INITIALIZE\b.*\bDriverEntry\s*\(", code))


def check_clients(files, clients):
    """CannotRun for a client that is no driver of its own, Unbuildable where only the clients are drivers."""
    sources = {path: source_of(path) for path in (*files, *clients)}
    entries = {path: has_entry(read_source(source)[0]) for path, source in sources.items() if language_of(source)}
    for client in clients:
        if not entries[client]:
            raise CannotRun(f"--with {client}: it has no DriverEntry, so it is a part of the driver: name it without --with")
    if not any(entries[path] for path in files):
        raise Unbuildable(f"{', '.join(map(str, files))}: there is no DriverEntry")


def group(paths, texts):
    """The modules: a file with DriverEntry begins one, a file without belongs to the one before."""
    modules, taken, waiting = [], set(TAKEN), []
    for path in paths:
        if has_entry(texts[path]):
            modules.append(Module(module_name(path, taken), waiting + [path]))
            taken.add(modules[-1].name.lower())
            waiting = []
        elif modules:
            modules[-1].sources.append(path)
        else:
            waiting.append(path)        # helpers named before their driver
    if not modules:
        raise Unbuildable(f"{', '.join(map(str, paths))}: there is no DriverEntry")
    if len(modules) > MOST_DRIVERS:
        raise CannotRun(f"{len(modules)} of the files are drivers of their own, and one run takes {MOST_DRIVERS}")
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


def bridge_headers(source, text, overlay, seen, includes):
    """Links in overlay for each header of a source, and of its own headers, that is spelt in another way."""
    folder = Path(source).resolve().parent
    folders = (folder, *map(Path, includes), DDK)
    for _, name in INCLUDE.findall(text):
        exact = next((path for path in (place / name for place in folders) if path.is_file()), None)
        found = exact or find_header(name, folders)
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
            bridge_headers(found, found.read_text("utf-8", "replace"), overlay, seen, includes)


def compile_source(source, text, is_wide, folder, number, flags, settings):
    """One object; Unbuildable with the compiler's words."""
    target, overlay = folder / f"{number}.o", folder / f"include{number}"
    shutil.rmtree(overlay, ignore_errors=True)
    overlay.mkdir(parents=True)
    language = language_of(source)
    bridge_headers(source, text, overlay, set(), settings.includes)
    command = [tool("gcc") if language == "c" else tool("g++"), *flags[language != "c"], "-x", language,
               "-iquote", str(Path(source).resolve().parent), "-I", str(overlay), "-I", str(Path(source).resolve().parent),
               *(f"-I{Path(place).resolve()}" for place in settings.includes), *(f"-D{name}" for name in settings.defines)]
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
        raise compile_problem(done.stderr, headers_missing(command, subject, done.stderr, folder / f"standins{number}"))
    return target


def headers_missing(command, subject, text, standins):
    """[Missing] of all headers that are not there, and of calls: the compiler stops at the first, so it gets empty headers."""
    found = {}
    shutil.rmtree(standins, ignore_errors=True)
    for _ in range(MOST_HEADERS):
        line = next((match for match in map(ERROR.match, text.splitlines()) if match and NO_HEADER.search(match[3])), None)
        name = line and NO_HEADER.search(line[3])[1]
        standin = standins / (name or "none")
        if not name or name in found or not standin.resolve().is_relative_to(standins.resolve()):
            break
        found[name] = missing_name(f"includes {name}", name, f"{os.path.basename(line[1])}:{line[2]}", set())
        standin.parent.mkdir(parents=True, exist_ok=True)
        standin.touch()
        text = run_compiler(command, "-I", str(standins), "-E", subject, "-o", os.devnull).stderr
    rest = run_compiler(command, "-I", str(standins), "-fsyntax-only", subject).stderr if found else ""
    shutil.rmtree(standins, ignore_errors=True)
    errors = [match for match in map(ERROR.match, rest.splitlines()) if match]
    # Types and macros may well be in those headers; calls are too, and do not exist here either.
    return list(found.values()) + [item for item in unknown_names(errors) if item.use.startswith("calls ")] * bool(found)


def missing_name(use, name, place, names):
    """The Missing for a use of a name; names are those of the export table."""
    if name in names:
        return Missing(use, "which no header that it includes declares", place)
    return Missing(use, "which is not in the subset", place, suggestion(name, names))


def told(missing):
    """All that is missing, in one line: uses of one kind under one verb."""
    if len(missing) == 1:
        return f"{missing[0].use}, {missing[0].why} ({missing[0].place}){missing[0].hint}"
    parts = {}
    for item in missing:
        verb, _, name = item.use.rpartition(" ")
        parts.setdefault((item.why, verb), []).append(f"{name} ({item.place}{item.hint})")
    texts = [f"{verb} {', '.join(items)}, {why if len(items) == 1 else why.replace('which is', 'which are')}"
             for (why, verb), items in parts.items()]
    return "; ".join(texts)


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


def compile_problem(text, headers=()):
    """The Unbuildable for what the compiler said; headers: [Missing] that it stopped at."""
    if headers:
        return Unbuildable(told(headers), only_errors(text), headers)
    errors = [match for match in map(ERROR.match, text.splitlines()) if match]
    if not errors:
        return Unbuildable(f"the compiler failed: {last_line(text)}", text)
    where, line, said = errors[0].groups()
    place = f"({os.path.basename(where)}:{line})"
    unknown = unknown_names(errors)
    if unknown and any(pattern.search(said) for pattern, _ in UNKNOWN):
        return Unbuildable(told(unknown), only_errors(text), unknown)
    if "with SSE disabled" in said:
        return Unbuildable(f"calculates in floating point, for which threads here have no registers {place}", only_errors(text))
    return Unbuildable(f"{said} {place}" + (f", and {len(errors) - 1} more errors" if len(errors) > 1 else ""),
                       only_errors(text))


def unknown_names(errors):
    """[Missing] of the names that no header declares, each once, in the order of the compiler's complaints."""
    names, found = exports(), {}
    for where, line, said in (match.groups() for match in errors):
        for pattern, what in UNKNOWN:
            match = pattern.search(said)
            if match:
                found.setdefault(match[1], missing_name(what.format(match[1]), match[1],
                                                        f"{os.path.basename(where)}:{line}", names))
                break
    return list(found.values())


# ---- Linking ----

def undefined(module):
    """{name: place of its first use} of what the module needs from the kernel."""
    names = {s.name for s in ElfFile(module.path).symbols() if s.section == SHN_UNDEF and s.bind != "LOCAL"}
    missing = {name for name in names - exports() if not name.startswith(RACE_CALLS)}
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
                found = subprocess.run([tool("addr2line"), "-e", path, "-j", section, row[1]], capture_output=True, text=True)
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
        needed = [missing_name(f"calls {name}", name, place, names) for name, place in missing.items()]
        raise Unbuildable(told(needed), details, needed)
    try:
        mksymbols.make_symbols(module.path, module.symbols)
    except Exception:                   # any leavings of the compiler: stacks without names are better than no run
        module.symbols = None


def folder_of(name, paths, variant):
    """build/driver/NAME for the first sources of that name, NAME-2 for others that are called so; NAME-verifier...

    A file in the folder says whose it is.
    """
    owner = "\n".join(str(Path(path).resolve()) for path in paths)
    for number in range(1, MOST_FOLDERS):
        folder = OUT / "driver" / "-".join([name] + [variant] * bool(variant) + [str(number)] * (number > 1))
        folder.mkdir(parents=True, exist_ok=True)
        mine = folder / f"{OWNER}.{os.getpid()}"
        mine.write_text(owner)
        try:
            os.link(mine, folder / OWNER)       # whole, or not at all
        except FileExistsError:
            pass
        mine.unlink()
        if (folder / OWNER).read_text() == owner:
            return folder
    raise CannotRun(f"build/driver has {MOST_FOLDERS} folders for drivers that are called {name}: remove some")


def mark_integrity(path):
    """Sets the flag that the linker's /INTEGRITYCHECK would set in the image's header: here in that of the ELF file."""
    with Path(path).open("r+b") as file:
        file.seek(ELF_FLAGS_OFFSET)
        file.write(INTEGRITY_CHECKED.to_bytes(4, "little"))


def results_of(jobs):
    """{path: object} of the compilations; Unbuildable with all that is missing in any of them."""
    done, problems = {}, []
    for path, job in jobs.items():
        try:
            done[path] = job.result()
        except Unbuildable as problem:
            problems.append(problem)
    other = next((problem for problem in problems if not problem.missing), None)
    if other:
        raise other
    if problems:
        first = {}
        for item in (item for problem in problems for item in problem.missing):
            first.setdefault(item.use, item)
        missing = list(first.values())
        raise Unbuildable(told(missing), "\n".join(problem.details for problem in problems), missing)
    return done


def build(paths, kind, folder=None, enter=None, settings=Settings()):
    """[Module] of the sources; the kernel of this kind must have been made. CannotRun: no sources, Unbuildable.

    enter(folder) is called before anything is written into the folder.
    """
    for place in settings.includes:
        if not Path(place).is_dir():
            raise CannotRun(f"-I {place}: there is no such folder")
    origins = tuple(str(Path(path).parent) for path in paths if is_repair(path))     # a repaired source's headers stayed there
    settings = replace(settings, includes=(*origins, *settings.includes))
    paths = [source_of(path) for path in paths]
    read = {path: read_source(path) for path in paths if language_of(path)}
    modules = group(paths, {path: text for path, (text, _) in read.items()})
    flags = [line.split() for line in (OUT / kind / "driver.flags").read_text().splitlines()]
    flags = [[f"-I{TOP}/{word[2:]}" if word.startswith("-Ikernel") else word for word in line] for line in flags]
    folder = folder or folder_of(modules[0].name, paths, settings.variant)
    folder.mkdir(parents=True, exist_ok=True)
    if enter:
        enter(folder)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {path: pool.submit(compile_source, path, *read[path], folder, number, flags, settings)
                for number, path in enumerate(paths)}
    objects = results_of(jobs)
    for module in modules:
        module.objects = [objects[path] for path in module.sources]
        module.differences = [f"{path}:{line}: {what}" for path in module.sources
                              for line, what in tryexits.differences(read[path][0], language_of(path))]
        link(module, folder)
        if settings.integrity_check:
            mark_integrity(module.path)
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
