"""Makes the symbol file by which the kernel walks and prints a stack.

It has functions, data and source lines, and how to get from each instruction to the caller.

usage: tools/tool build.mksymbols kernel.elf|NAME.sys OUTPUT

All numbers are little-endian 32-bit words unless noted. kernel/ldr/symbols.c is the reader.
  header   "BCSYM02\\0"; base, low word and high word; then count and file offset of: groups, symbols, lines, rows, rules,
           files, and bytes of strings
  group    ELF section index (0 in a linked file: one group, from base); first and number of its symbols, lines, rows
  symbol   offset, bytes (0: up to the next one), name
  line     offset, file (16 bits), line (16 bits); line 0 ends a run
  row      rule (lowest 8 bits), offset: the rule holds from there on; rule 0: no function
  rule     where the frame begins, relative to rsp or rbp (16 bits); flags (8); words below it of rip, rbp, rsp (8 each: 0
           means rbp as it is, rsp where the frame begins); two bytes of 0
  file     name
Symbols, lines and rows are sorted by offset within their group; names are offsets into the strings, which end with a 0
byte.
"""
import os
import pathlib
import re
import struct
import subprocess
import tempfile

from build.callframes import RBP, RIP, RSP, CallFrames, rows_of
from build.elffile import ET_REL, ElfFile
from host.paths import TOP
from host.toolchain import tool

SECTION_STEP = 1 << 24
MOST_RULES = 256
FROM_RBP, INTERRUPTED, OUTERMOST = 1, 2, 4              # flags of a rule
NO_RULE = bytes(8)
DDK = (TOP / "kernel/include/ddk").resolve()


class TooManyRules(Exception):
    """The file format cannot hold the ways to find a caller; the text says of which file."""


class Strings:
    """A string table in which each text occurs once."""

    def __init__(self):
        self.bytes = bytearray()
        self.offsets = {}

    def add(self, text):
        if text not in self.offsets:
            self.offsets[text] = len(self.bytes)
            self.bytes += text.encode("ascii", "replace") + b"\0"
        return self.offsets[text]


def link_apart(module, path, folder):
    """A copy of a relocatable file in which each section has an address of its own, so that its line table is
    unambiguous: section i of the module lies at i * SECTION_STEP."""
    script = "SECTIONS {\n" + "".join(
        f'  "{s.name}" {s.index * SECTION_STEP:#x} : {{ *("{s.name}") }}\n'
        for s in module.sections if s.is_allocated) + "}\n"
    script_path, output = os.path.join(folder, "apart.ld"), os.path.join(folder, "apart.elf")
    with open(script_path, "w", encoding="ascii") as file:
        file.write(script)
    subprocess.run([tool("ld"), "-T", script_path, "--unresolved-symbols=ignore-all", "--noinhibit-exec", "-w",
                    "--no-warn-rwx-segments", "--build-id=none", "-z", "max-page-size=4096", "-o", output, path],
                   check=True, stderr=subprocess.DEVNULL)
    return ElfFile(output)


def split(path, folder):
    """(elf to read, base, function that gives (group, offset) of an address)."""
    elf = ElfFile(path)
    if elf.type == ET_REL:
        # The debug information of NAME.sys lies in NAME.dbg (tools/build/mkdriver.py); the indices are those of NAME.sys.
        debug = os.path.splitext(path)[0] + ".dbg"
        apart = link_apart(elf, debug if os.path.exists(debug) else path, folder)
        return apart, 0, lambda address: (address // SECTION_STEP, address % SECTION_STEP)
    base = min(s.address for s in elf.sections if s.is_allocated and s.address >= 1 << 63)
    return elf, base, lambda address: (0, address - base)


def collect_symbols(elf, base, place):
    symbols = {}
    for symbol in elf.symbols():
        section = elf.section(symbol.section)
        if section is None or not section.is_allocated or symbol.value < base:
            continue
        # Local labels of the assembler ("KiFoo.loop") and of the compiler (".LC0") would hide their functions, as would the
        # one that is in KiCallOnStack for GDB. What the
        # compiler made of a function ("Foo.isra.0", "Foo.cold") counts as that function.
        name = symbol.name.split(".")[0] if symbol.type == "FUNC" else symbol.name
        if symbol.type not in ("NOTYPE", "OBJECT", "FUNC") or re.search(r"^\.|^\$|\.[A-Za-z_]|^__morestack$", name):
            continue
        key = place(symbol.value)
        rank = (symbol.type == "FUNC", symbol.bind != "LOCAL", symbol.size)
        if name and (key not in symbols or rank > symbols[key][0]):
            symbols[key] = (rank, symbol.size, name)
    plain = demangled({name for _, _, name in symbols.values()})
    return {key: (size, plain.get(name, name)) for key, (_, size, name) in symbols.items()}


def demangled(names):
    """{mangled: as the author wrote it} of the C++ names among these, without parameters and without blanks."""
    mangled = sorted(name for name in names if name.startswith("_Z"))
    if not mangled:
        return {}
    said = subprocess.run([tool("c++filt"), "-p"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    return {name: one_word(text) for name, text in zip(mangled, said.splitlines())}


def one_word(name):
    """A demangled name as a stack shows it: `List<int, 4>::operator new` has no blank, and a lambda is <lambda_1>."""
    name = re.sub(r"\{lambda\([^{}]*\)#(\d+)\}", r"<lambda_\1>", name)
    name = re.sub(r"\boperator (?=\w)", "operator_", name)
    return re.sub(r"\s+", "", name.replace("(anonymous namespace)::", ""))


def collect_lines(elf, base, place):
    """[(group, offset, file, line)], one row for each change; line 0 where a sequence ends.

    What comes from an inline function of the drivers' headers counts as the line that calls it.
    """
    # Below: a section that the linker dropped.
    rows = [row for row in elf.lines() if row[0] >= (base or SECTION_STEP)]
    headers = {path.name for path in DDK.rglob("*.h")}
    callers = calling_lines(elf, {address for address, file, line in rows if line and os.path.basename(file) in headers})
    rows = [place(address) + (callers.get(address, (os.path.basename(file), line)) if line else ("", 0))
            for address, file, line in rows]
    # At one address the end of one sequence must not hide the start of the next, and the last row of a run counts.
    rows.sort(key=lambda r: (r[0], r[1], r[3] != 0))
    result = []
    for row in rows:
        if result and result[-1][:2] == row[:2]:
            result.pop()
        if not result or result[-1][0] != row[0] or result[-1][2:] != row[2:]:
            result.append(row)
    return result


def calling_lines(elf, addresses):
    """{address: (file, line)} of the innermost place outside the drivers' headers, where there is one."""
    if not addresses:
        return {}
    asked = "\n".join(f"{address:#x}" for address in sorted(addresses))
    said = subprocess.run([tool("addr2line"), "-a", "-i", "-e", elf.path], input=asked, capture_output=True, text=True, check=True).stdout
    found, address = {}, None
    for line in said.splitlines():
        if line.startswith("0x"):
            address = int(line, 16)
            continue
        file, _, number = line.split(" (")[0].rpartition(":")
        if address not in found and number.isdigit() and DDK not in pathlib.Path(file).parents:
            found[address] = (os.path.basename(file), int(number))
    return found


def collect_rows(elf, place):
    """([(group, offset, rule number)], [rule]): one row for each change; rule 0 where a function ends."""
    rows, rules = [], {NO_RULE: 0}
    for function in CallFrames(elf.path).functions:
        if not any(s.is_allocated and s.address <= function.start < s.address + s.size for s in elf.sections):
            continue                                    # not of this file (kernel/dump/drivercfi.asm), or dropped
        for address, row in rows_of(function):
            rows.append(place(address) + (1, rules.setdefault(rule_of(row), len(rules))))
        rows.append(place(function.end) + (0, 0))
    if len(rules) > MOST_RULES:
        raise TooManyRules(f"{elf.path}: {len(rules)} ways to find a caller are more than {MOST_RULES}")
    rows.sort()
    result = []
    for group, offset, _, rule in rows:
        if result and result[-1][:2] == (group, offset):
            result.pop()                                # where one function ends the next begins
        if not result or result[-1][0] != group or result[-1][2] != rule:
            result.append((group, offset, rule))
    return result, list(rules)


def rule_of(row):
    """The bytes of a rule; NO_RULE where it cannot be said so."""
    if row.cfa is None or row.cfa[0] not in (RSP, RBP):
        return NO_RULE
    words = [-where[1] // 8 if where and where[0] == "at" else 0 for where in (row.registers.get(n) for n in (RIP, RBP, RSP))]
    flags = ((FROM_RBP if row.cfa[0] == RBP else 0) | (INTERRUPTED if row.is_interrupt else 0)
             | (0 if words[0] else OUTERMOST))
    return struct.pack("<H6B", row.cfa[1], flags, *words, 0, 0)


def pack(base, symbols, lines, rows, rules):
    strings, files = Strings(), {}
    groups = sorted({g for g, _ in symbols} | {row[0] for row in lines} | {row[0] for row in rows})
    symbol_rows = [(group, struct.pack("<3I", offset, size, strings.add(name)))
                   for (group, offset), (size, name) in sorted(symbols.items())]
    line_rows = [(group, struct.pack("<IHH", offset, files.setdefault(file, len(files)), min(line, 0xFFFF)))
                 for group, offset, file, line in lines]
    unwind_rows = [(group, struct.pack("<I", offset << 8 | rule)) for group, offset, rule in rows]
    group_bytes, tables = b"", (symbol_rows, line_rows, unwind_rows)
    first = [0] * len(tables)
    for group in groups:
        counts = [sum(1 for row in table if row[0] == group) for table in tables]
        group_bytes += struct.pack("<7I", group, *(number for pair in zip(first, counts) for number in pair))
        first = [start + count for start, count in zip(first, counts)]
    file_bytes = b"".join(struct.pack("<I", strings.add(name)) for name in files)
    strings.add("")
    parts = [(len(groups), group_bytes), *((len(table), b"".join(row for _, row in table)) for table in tables),
             (len(rules), b"".join(rules)), (len(files), file_bytes), (len(strings.bytes), bytes(strings.bytes))]
    offset = 16 + 8 * len(parts)
    header = b"BCSYM02\0" + struct.pack("<2I", base & 0xFFFFFFFF, base >> 32)
    for count, data in parts:
        header += struct.pack("<2I", count, offset)
        offset += len(data)
    return header + b"".join(data for _, data in parts)


def make_symbols(path, output):
    """The symbol file of a kernel.elf or a NAME.sys; TooManyRules, or what the tools of binutils raise."""
    with tempfile.TemporaryDirectory() as folder:
        elf, base, place = split(path, folder)
        result = pack(base, collect_symbols(elf, base, place), collect_lines(elf, base, place), *collect_rows(elf, place))
    with open(output, "wb") as file:
        file.write(result)


def main(words):
    if len(words) != 2:
        return "usage: tools/tool build.mksymbols kernel.elf|NAME.sys OUTPUT"
    try:
        make_symbols(*words)
    except TooManyRules as problem:
        return f"mksymbols: {problem}"
    return 0
