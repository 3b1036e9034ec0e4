"""The images of modules: a driver's imports, where each was written, and the texts in it.

A driver is a relocatable ELF file, bound to the kernel's export table by its relocations (ldr/relocate.c): each says
which place gets the address of which symbol. binutils' readelf tells them; the memory tells the present content.
"""

import os
import re
from collections import namedtuple

from build.elffile import SHN_ABS, SHN_UNDEF, ElfError, ElfFile, readelf
from kd.model.records import records
from kd.target.command import KdError
from kd.target.memory import MASK, address_of, structure, text_at, try_read, value_of

Place = namedtuple("Place", "section offset kind symbol addend")
Slot = namedtuple("Slot", "address place target")       # target: the address that memory has there, or None
TITLE = re.compile(r"^Relocation section '\.rela(\S+)' at offset")
ROW = re.compile(r"^([0-9a-f]+) +[0-9a-f]+ +(R_X86_64_\w+) +[0-9a-f]+ +(\S+)(?: ([+-]) ([0-9a-f]+))?$")
KINDS = {"R_X86_64_64": ("absolute", 8), "R_X86_64_PC64": ("relative", 8), "R_X86_64_PC32": ("relative", 4),
         "R_X86_64_PLT32": ("call", 4), "R_X86_64_32": ("absolute", 4), "R_X86_64_32S": ("absolute", 4)}
MOST_EXPORTS = 1 << 16
PAGE = 4096


def places(path):
    """A Place for each relocation of a section that can be in memory."""
    section = None
    for line in readelf(path, "--relocs"):
        title = TITLE.match(line)
        if title:
            section = None if title[1].startswith(".debug") else title[1]
        row = ROW.match(line)
        if row and section and row[2] in KINDS:
            addend = int(row[5] or "0", 16) * (-1 if row[4] == "-" else 1)
            yield Place(section, int(row[1], 16), row[2], row[3], addend)


def file_of(module):
    """The file with a module's relocations: NAME.sys beside its symbols, or those, which have them too."""
    if module.path is None:
        raise KdError(f"the file of {module.name} is not found: it has to lie beside the dump or the kernel.elf")
    image = os.path.splitext(module.path)[0] + ".sys"
    return image if os.path.isfile(image) else module.path


def imported_names(path):
    """{name: its address where the tool that joined the driver has bound it, else None} of what a file takes from
    elsewhere."""
    try:
        return {s.name: s.value if s.section == SHN_ABS else None for s in ElfFile(path).symbols()
                if s.section in (SHN_UNDEF, SHN_ABS) and s.type not in ("FILE", "SECTION")}
    except ElfError as problem:
        raise KdError(str(problem)) from None


def target_at(address, kind, addend):
    """The symbol's address that a relocated place has in memory, or None where it is not there."""
    data = try_read(address, KINDS[kind][1])
    if data is None:
        return None
    value = int.from_bytes(data, "little", signed=kind != "R_X86_64_32")
    base = 0 if KINDS[kind][0] == "absolute" else address
    return value - addend + base & MASK


def imports(module):
    """{name: [Slot]} of a module, and the names that are bound in its file."""
    path = file_of(module)
    names = imported_names(path)
    starts = {section.name: section.start for section in module.sections}
    found = {}
    for place in places(path):
        if place.symbol not in names or place.section not in starts:
            continue
        address = starts[place.section] + place.offset
        found.setdefault(place.symbol, []).append(Slot(address, place, target_at(address, place.kind, place.addend)))
    return found, names


def exports():
    """{name: address} of the kernel's export table."""
    count = value_of("LdrExportCount")
    if count > MOST_EXPORTS:
        raise KdError(f"the export table is corrupt: it says that it has {count} entries")
    rows = records("LDR_EXPORT", address_of("LdrExports"), count, "Name", "Address")
    return {text_at(name, 80): address for name, address in rows}


# ---- Texts ----

def is_code(module, section):
    """Whether a section holds code."""
    value = structure("KLDR_DATA_TABLE_ENTRY", module.entry)
    for index in range(int(value["SectionCount"])):
        if int(value["Section"][index]["Start"]) == section.start:
            return bool(int(value["Section"][index]["IsExecutable"]))
    return False


def pieces(section):
    """(address, bytes) of what can be read of a section, page by page, joined where it can."""
    start, held = section.start, b""
    place, end = section.start, section.start + section.size
    while place < end:
        step = min(PAGE - place % PAGE, end - place)
        data = try_read(place, step)
        if data is None:
            if held:
                yield start, held
            held, start = b"", place + step
        else:
            held += data
        place += step
    if held:
        yield start, held


def texts(section, shortest):
    """(address, "ascii" or "utf-16", text) of the printable texts in a section, by address."""
    ascii_text = re.compile(rb"[\x20-\x7e\t]{%d,}" % shortest)
    wide_text = re.compile(rb"(?:[\x20-\x7e\t]\0){%d,}" % shortest)
    for start, data in pieces(section):
        found = [(start + m.start(), "ascii", m[0].decode("ascii")) for m in ascii_text.finditer(data)]
        found += [(start + m.start(), "utf-16", m[0].decode("utf-16-le")) for m in wide_text.finditer(data)]
        yield from sorted(found)


def missing_bytes(section):
    """How many bytes of a section cannot be read."""
    return section.size - sum(len(data) for _, data in pieces(section))
