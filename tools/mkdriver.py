#!/usr/bin/python3
"""Joins the objects of one driver into NAME.sys, a relocatable ELF file, and honours #pragma alloc_text on the way.

usage: mkdriver.py --output NAME.sys [--kernel kernel.elf] SOURCE... -- OBJECT...   (one object for each source)

gcc knows no alloc_text. Drivers are built with -ffunction-sections, so each function has a section .text.FUNCTION; the
linker script made here collects those that a pragma names into the section that the pragma names (PAGE, INIT, ...), and
all others into .text. NAME.sys has no debug information; NAME.dbg beside it has the same sections with it.

--kernel is for the kernel's own test modules: symbols that the driver leaves undefined are bound to the kernel's
addresses here, as absolute symbols. Such a module fits that very kernel only.
"""
import os
import re
import subprocess
import sys
import tempfile

from elffile import ElfFile, SHN_UNDEF

CODE_SECTION = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*\Z")
PRAGMA = re.compile(r"^[ \t]*#[ \t]*pragma[ \t]+alloc_text[ \t]*\(([^)]*)\)", re.MULTILINE)
# What must not be read as code: comments, and quoted text (kept, since a section name may be quoted).
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')', re.DOTALL)


def strip_comments(text):
    """Removes comments, keeps the lines. A pragma inside a string never starts its line, so strings may stay."""
    text = text.replace("\\\r\n", " ").replace("\\\n", " ")
    return COMMENT.sub(lambda m: m.group(1) or " " + "\n" * m.group(0).count("\n"), text)


def placements(path):
    """[(function, section)] of the alloc_text pragmas of one source."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = strip_comments(file.read())
    result = []
    for match in PRAGMA.finditer(text):
        section, *functions = [word.strip().strip('"') for word in match.group(1).split(",")]
        if not CODE_SECTION.match(section) or not functions:
            sys.exit(f"{path}: cannot read '{match.group(0).strip()}'")
        for function in functions:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", function):
                sys.exit(f"{path}: alloc_text: '{function}' is not a function's name")
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


def linker_script(sources, objects, kernel):
    placed = {}  # section -> input patterns
    for source, path in zip(sources, objects):
        elf = ElfFile(path)
        for function, section in placements(source):
            found = input_sections(elf, function)
            if not found:
                print(f"{source}: alloc_text({section}, {function}): there is no such function", file=sys.stderr)
            for name in found:
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
        sys.exit(f"{objects[0]}: the kernel has no {', '.join(missing)}")
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
        sys.exit(f"mkdriver.py: {len(sources)} sources, but {len(objects)} objects")
    return options["--output"], options["--kernel"], sources, objects


def main():
    output, kernel, sources, objects = parse_arguments(sys.argv[1:])
    debug = os.path.splitext(output)[0] + ".dbg"
    script = "\n".join(linker_script(sources, objects, kernel)) + "\n"
    with tempfile.NamedTemporaryFile("w", suffix=".ld") as file:
        file.write(script)
        file.flush()
        command = ["ld", "-r", "-d", "-z", "noexecstack", "-T", file.name, "-o", debug, *objects]
        if subprocess.run(command, check=False).returncode != 0:
            sys.exit(f"mkdriver.py: could not link {output}; the linker script was:\n{script}")
    subprocess.run(["objcopy", "--strip-debug", debug, output], check=True)


if __name__ == "__main__":
    main()
