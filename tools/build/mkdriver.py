"""Joins a driver's objects into NAME.sys, an ELF file, sorted as #pragma alloc_text says.

usage: tools/tool build.mkdriver --output NAME.sys [--kernel kernel.elf] SOURCE... -- OBJECT...
       (one object for each source)

gcc knows no alloc_text, code_seg, data_seg, bss_seg or const_seg. Drivers are built with -ffunction-sections (judged ones
with -fdata-sections too), so each function has a section .text.FUNCTION; the linker script made here collects those that a
pragma names, or that are defined where a segment pragma is in force, into that section (PAGE, INIT, ...), and all others
into .text. NAME.sys has no debug information; NAME.dbg beside it has the same sections with it.

--kernel is for the kernel's own test modules: symbols that the driver leaves undefined are bound to the kernel's
addresses here, as absolute symbols. Such a module fits that very kernel only.
"""
import os
import re
import subprocess
import sys
import tempfile

from build.elffile import SHN_UNDEF, ElfFile
from host.toolchain import tool

CODE_SECTION = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*\Z")
PRAGMA = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+alloc_text[ \t]*\(([^)]*)\)", re.MULTILINE)
# Not to be read as code: comments, and quoted text (kept, since a section name may be quoted).
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')', re.DOTALL)


SEGMENT = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+(code|data|bss|const)_seg[ \t]*\(([^)]*)\)", re.MULTILINE)
# The compiler's section for each kind of thing that the segment pragmas rule over.
RULED = {"code": (".text.",), "data": (".data.",), "bss": (".bss.",), "const": (".rodata.",)}


class CannotJoin(Exception):
    """The driver cannot be made; the text is for the user."""


def strip_comments(text):
    """Removes comments, keeps the lines. A pragma inside a string never starts its line, so strings may stay."""
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    return COMMENT.sub(lambda m: m.group(1) or " " + "\n" * m.group(0).count("\n"), text)


CONDITIONAL = re.compile(r"[ \t]*#[ \t]*(if|ifdef|ifndef|elif|else|endif)\b[ \t]*(.*)")


def without_dead_code(text):
    """Empties the lines under `#if 0`, and under the #else of an `#if 1`; other conditions count as true on both sides."""
    lines, open_ones = [], []       # open_ones: [whether this branch is dead, whether the next one is]
    for line in text.split("\n"):
        found = CONDITIONAL.match(line)
        if found and found[1] in ("if", "ifdef", "ifndef"):
            open_ones.append({"0": [True, False], "1": [False, True]}.get(found[1] == "if" and found[2].strip(), [False, False]))
        elif found and open_ones:
            open_ones[-1][0] = open_ones[-1][1]
            if found[1] == "endif":
                open_ones.pop()
        lines.append("" if any(is_dead for is_dead, _ in open_ones) else line)
    return "\n".join(lines)


def read_source(path):
    """A source without its comments, line by line as it was."""
    with open(path, "rb") as file:
        content = file.read()
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    return without_dead_code(strip_comments(text))


def placements(path):
    """[(function, section)] of the alloc_text pragmas of one source."""
    text = read_source(path)
    result = []
    for match in PRAGMA.finditer(text):
        section, *functions = [word.strip().strip('"') for word in match.group(1).split(",")]
        if not CODE_SECTION.match(section) or not functions:
            raise CannotJoin(f"{path}: cannot read '{match.group(0).strip()}'")
        for function in functions:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", function):
                raise CannotJoin(f"{path}: alloc_text: '{function}' is not a function's name")
            result.append((function, section))
    return result


def input_sections(elf, function):
    """The sections of an object that hold a function: by its C name, or by its C++ name without the arguments."""
    mangled = (f"_Z{len(function)}{function}", f"_ZL{len(function)}{function}")
    found = []
    for section in elf.sections:
        if not section.name.startswith(".text."):
            continue
        name = section.name[len(".text."):]
        for prefix in ("unlikely.", "startup."):
            name = name.removeprefix(prefix)
        if name == function or name.startswith(function + ".") or name.startswith(mangled):
            found.append(section.name)
    return found


def segments(path):
    """{kind: [(line, section or None for the default)]} of the segment pragmas of one source, in the order of lines."""
    with open(path, "rb") as file:
        content = file.read()
    text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")
    text = without_dead_code(COMMENT.sub(lambda m: m.group(1) or " " + "\n" * m.group(0).count("\n"), text))
    current, stacks, found = {}, {}, {}
    for match in SEGMENT.finditer(text):
        kind, words = match[1], [word.strip() for word in match[2].split(",") if word.strip()]
        names = [word.strip('"') for word in words if word.startswith('"')]
        if words and words[0] == "push":
            stacks.setdefault(kind, []).append(current.get(kind))
        elif words and words[0] == "pop" and stacks.get(kind):
            current[kind] = stacks[kind].pop()
        elif not words:
            current[kind] = None
        if names:
            current[kind] = names[0]
        found.setdefault(kind, []).append((text.count("\n", 0, match.start()) + 1, current.get(kind)))
    return found


def segment_placements(source, path):
    """[(input section, section)] for what an object defines where a segment pragma of its source is in force."""
    rules = segments(source)
    if not rules:
        return []
    lines = {}      # symbol -> line of its definition in this very source
    listed = subprocess.run([tool("nm"), "-l", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    for row in listed.splitlines():
        symbol, _, place = row.partition("\t")
        if os.path.basename(place.rpartition(":")[0]) == os.path.basename(source):
            lines[symbol.split()[-1]] = int(place.rpartition(":")[2])
    result = []
    for section in ElfFile(path).sections:
        for kind, changes in rules.items():
            prefix = next((prefix for prefix in RULED[kind] if section.name.startswith(prefix)), None)
            line = lines.get(section.name[len(prefix):]) if prefix else None
            if line is not None:
                ruling = [name for at, name in changes if at < line]
                if ruling and ruling[-1] and CODE_SECTION.match(ruling[-1]):
                    result.append((section.name, ruling[-1]))
    return result


def linker_script(sources, objects, kernel):
    placed, pragmas = {}, set()  # section -> input patterns; what alloc_text names
    for source, path in zip(sources, objects):
        elf = ElfFile(path)
        for function, section in placements(source):
            found = input_sections(elf, function)
            if not found:
                print(f"{source}: alloc_text({section}, {function}): there is no such function", file=sys.stderr)
            for name in found:
                placed.setdefault(section, []).append(f'"{path}"({name})')
                pragmas.add((path, name))
        for name, section in segment_placements(source, path):
            if (path, name) not in pragmas:     # alloc_text has the last word
                placed.setdefault(section, []).append(f'"{path}"({name})')
    lines = ["SECTIONS", "{"]
    for section, inputs in sorted(placed.items()):
        inputs = " ".join(dict.fromkeys(inputs))
        lines.append(f"  {section} 0 : {{ {inputs} *({section}) }}")
    lines += [
        "  .text 0 : { *(.text .text.*) }",
        "  .rodata 0 : { *(.rodata .rodata.*) }",
        "  .init_array 0 : { *(SORT_BY_INIT_PRIORITY(.init_array.*) .init_array .ctors) }",
        "  .data 0 : { *(.data .data.*) }",
        "  .bss 0 : { *(.bss .bss.* COMMON) }",
        "  /DISCARD/ : { *(.comment) *(.note.*) *(.eh_frame) }",
        "}",
    ]
    return lines + kernel_symbols(objects, kernel)


def kernel_symbols(objects, kernel):
    """Assignments for what the objects leave undefined, with the kernel's addresses."""
    if kernel is None:
        return []
    addresses = {s.name: s.value for s in ElfFile(kernel).symbols() if s.section != SHN_UNDEF and s.bind != "LOCAL"}
    wanted, defined = set(), set()
    for path in objects:
        for symbol in ElfFile(path).symbols():
            if symbol.bind != "LOCAL":
                (wanted if symbol.section == SHN_UNDEF else defined).add(symbol.name)
    missing = sorted(wanted - defined - addresses.keys())
    if missing:
        raise CannotJoin(f"{objects[0]}: the kernel has no {', '.join(missing)}")
    return [f'"{name}" = {addresses[name]:#x};' for name in sorted(wanted - defined)]


def parse_arguments(arguments):
    options = {"--output": None, "--kernel": None}
    while arguments and arguments[0] in options:
        if len(arguments) < 2:
            sys.exit(__doc__)
        options[arguments[0]] = arguments[1]
        arguments = arguments[2:]
    if options["--output"] is None or "--" not in arguments:
        sys.exit(__doc__)
    middle = arguments.index("--")
    sources, objects = arguments[:middle], arguments[middle + 1:]
    if not objects or len(sources) != len(objects):
        sys.exit(f"mkdriver: {len(sources)} sources, but {len(objects)} objects")
    return options["--output"], options["--kernel"], sources, objects


def join(output, kernel, sources, objects):
    """Makes output (NAME.sys) and NAME.dbg of the objects; CannotJoin says why not."""
    debug = os.path.splitext(output)[0] + ".dbg"
    script = "\n".join(linker_script(sources, objects, kernel)) + "\n"
    with tempfile.NamedTemporaryFile("w", suffix=".ld") as file:
        file.write(script)
        file.flush()
        command = [tool("ld"), "-r", "-d", "--force-group-allocation", "-z", "noexecstack", "-T", file.name, "-o", debug, *objects]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise CannotJoin(f"{done.stderr}could not link {output}; the linker script was:\n{script}")
    subprocess.run([tool("objcopy"), "--strip-debug", debug, output], check=True)


def main(words):
    try:
        join(*parse_arguments(words))
    except CannotJoin as problem:
        return f"mkdriver: {problem}"
    return 0
