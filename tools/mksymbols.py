#!/usr/bin/python3
"""Makes the compact symbol file that the kernel reads when it prints a stack: functions, data, and source lines.

usage: mksymbols.py kernel.elf|NAME.sys OUTPUT

All numbers are little-endian 32-bit words unless noted. kernel/kd/symbols.c is the reader.
  header   "BCSYM01\\0"; base, low word and high word; then count and file offset of: groups, symbols, lines, files,
           and bytes of strings
  group    ELF section index (0 in a linked file: one group, from base); first symbol, symbols, first line, lines
  symbol   offset, bytes (0: up to the next one), name
  line     offset, file (16 bits), line (16 bits); line 0 ends a run
  file     name
Symbols and lines are sorted by offset within their group; names are offsets into the strings, which end with a 0 byte.
"""
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

from elffile import ET_REL, ElfFile

SECTION_STEP = 1 << 24
DDK = pathlib.Path(__file__).resolve().parent.parent / "kernel/include/ddk"


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
    subprocess.run(["ld", "-T", script_path, "--unresolved-symbols=ignore-all", "--noinhibit-exec", "-w",
                    "--no-warn-rwx-segments", "--build-id=none", "-z", "max-page-size=4096", "-o", output, path],
                   check=True, stderr=subprocess.DEVNULL)
    return ElfFile(output)


def split(path, folder):
    """(elf to read, base, function that gives (group, offset) of an address)."""
    elf = ElfFile(path)
    if elf.type == ET_REL:
        # The debug information of NAME.sys lies in NAME.dbg (tools/mkdriver.py); the indices are those of NAME.sys.
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
        # one that stands in KiCallOnStack for GDB. What the
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
    said = subprocess.run(["c++filt", "-p"], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    return {name: one_word(text) for name, text in zip(mangled, said.splitlines())}


def one_word(name):
    """A demangled name as a stack shows it: `List<int, 4>::operator new` has no blank, and a lambda is <lambda_1>."""
    name = re.sub(r"\{lambda\([^{}]*\)#(\d+)\}", r"<lambda_\1>", name)
    name = re.sub(r"\boperator (?=\w)", "operator_", name)
    return re.sub(r"\s+", "", name.replace("(anonymous namespace)::", ""))


def collect_lines(elf, base, place):
    """[(group, offset, file, line)], one row for each change; line 0 where a sequence ends.

    What a driver has from an inline function of our headers counts as the line before it: there the driver calls it.
    """
    rows = []
    headers = set() if base else {path.name for path in DDK.rglob("*.h")}
    for address, file, line in elf.lines():
        # Below: a section that the linker dropped.
        if address >= (base or SECTION_STEP) and not (line and os.path.basename(file) in headers):
            rows.append(place(address) + (os.path.basename(file) if line else "", line))
    # At one address the end of one sequence must not hide the start of the next, and the last row of a run counts.
    rows.sort(key=lambda r: (r[0], r[1], r[3] != 0))
    result = []
    for row in rows:
        if result and result[-1][:2] == row[:2]:
            result.pop()
        if not result or result[-1][0] != row[0] or result[-1][2:] != row[2:]:
            result.append(row)
    return result


def pack(base, symbols, lines):
    strings, files = Strings(), {}
    groups = sorted({g for g, _ in symbols} | {row[0] for row in lines})
    group_bytes, symbol_bytes, line_bytes = bytearray(), bytearray(), bytearray()
    by_group_symbols = {g: [] for g in groups}
    by_group_lines = {g: [] for g in groups}
    for (group, offset), (size, name) in sorted(symbols.items()):
        by_group_symbols[group].append((offset, size, name))
    for group, offset, file, line in lines:
        by_group_lines[group].append((offset, file, line))
    symbol_count = line_count = 0
    for group in groups:
        mine, rows = by_group_symbols[group], by_group_lines[group]
        group_bytes += struct.pack("<5I", group, symbol_count, len(mine), line_count, len(rows))
        for offset, size, name in mine:
            symbol_bytes += struct.pack("<3I", offset, size, strings.add(name))
        for offset, file, line in rows:
            line_bytes += struct.pack("<IHH", offset, files.setdefault(file, len(files)), min(line, 0xFFFF))
        symbol_count += len(mine)
        line_count += len(rows)
    file_bytes = b"".join(struct.pack("<I", strings.add(name)) for name in files)
    strings.add("")
    offset = 8 + 4 * 12
    header = b"BCSYM01\0" + struct.pack("<2I", base & 0xFFFFFFFF, base >> 32)
    for count, data in ((len(groups), group_bytes), (symbol_count, symbol_bytes), (line_count, line_bytes),
                        (len(files), file_bytes), (len(strings.bytes), strings.bytes)):
        header += struct.pack("<2I", count, offset)
        offset += len(data)
    return bytes(header + group_bytes + symbol_bytes + line_bytes + file_bytes + strings.bytes)


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: mksymbols.py kernel.elf|NAME.sys OUTPUT")
    with tempfile.TemporaryDirectory() as folder:
        elf, base, place = split(sys.argv[1], folder)
        result = pack(base, collect_symbols(elf, base, place), collect_lines(elf, base, place))
    with open(sys.argv[2], "wb") as file:
        file.write(result)


if __name__ == "__main__":
    main()
