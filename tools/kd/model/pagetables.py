"""The page tables as the machine walks them: the entries of an address, and their meaning.

    entries = walk(address)         # [PXE, PPE, PDE, PTE], cut after the first that is not valid, or is a large page
    entries[-1].contents            # None where the memory that holds the entry cannot be read

An entry is read through the kernel's own window on its page tables (the self map); where that is not in the dump, by
its physical address through the direct map of RAM, from the top-level table on, which lies in the kernel image.
"""

from collections import namedtuple

import gdb

from kd.model.regions import PAGE, region
from kd.target.command import KdError
from kd.target.memory import address_of, read

VALID, WRITE, USER, WRITE_THROUGH, CACHE_DISABLE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
ACCESSED, DIRTY, LARGE, GLOBAL, COPY_ON_WRITE = 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9
PROTOTYPE, TRANSITION, NO_EXECUTE = 1 << 10, 1 << 11, 1 << 63
FRAME = 0x000FFFFFFFFFF000
SLOT_SHIFT = 32
PROTECTIONS = {0: "0", 1: "1 - Readonly", 2: "2 - Execute", 3: "3 - ExecuteRead", 4: "4 - ReadWrite"}
NAMES = {4: "PXE", 3: "PPE", 2: "PDE", 1: "PTE"}

Entry = namedtuple("Entry", "level address contents")


def is_canonical(address):
    return address >> 47 in (0, 0x1FFFF)


def entry_address(address, level):
    """Where the self map shows the entry of an address: level 1 is the PTE, 4 the PXE."""
    base = region("RegionPageTables").start
    for _ in range(level):
        address = base + ((address >> 9) & 0x7FFFFFFFF8)
    return address


def index_at(address, level):
    return address >> 12 + 9 * (level - 1) & 0x1FF


def read_table(address, level, table, offset, size):
    """Bytes of the page table that holds the entry of an address; table is its physical address, or None."""
    window = entry_address(address, level) & ~(PAGE - 1)
    try:
        return read(window + offset, size)
    except (KdError, gdb.error) as problem:
        if table is None:
            raise KdError(f"the {NAMES[level]} at {window + offset:016X} cannot be read: {problem}") from None
    return read(region("RegionDirectMap").start + table + offset, size)


def top_table():
    """The physical address of the top-level table, or None."""
    try:
        return address_of("Pml4")
    except KdError:
        return None


def walk(address):
    """The entries that translate an address, from the PXE down to one that is not valid, large, unreadable or a PTE."""
    entries, table = [], top_table()
    for level in (4, 3, 2, 1):
        contents = None
        try:
            raw = read_table(address, level, table, index_at(address, level) * 8, 8)
            contents = int.from_bytes(raw, "little")
        except (KdError, gdb.error):
            pass
        entries.append(Entry(level, entry_address(address, level), contents))
        if contents is None or not contents & VALID or is_large(entries[-1]):
            break
        table = contents & FRAME
    return entries


def is_large(entry):
    return entry.level in (2, 3) and entry.contents is not None and entry.contents & (VALID | LARGE) == VALID | LARGE


def frame(contents):
    return (contents & FRAME) >> 12


def frame_of(address, entries):
    """The page frame behind an address whose last entry is valid."""
    last = entries[-1]
    return frame(last.contents) + (address >> 12 & (1 << 9 * (last.level - 1)) - 1)


def form(contents):
    """An entry's kind, in one word or two."""
    if contents is None:
        return "unreadable"
    if contents & VALID:
        return "valid"
    if contents == 0:
        return "zero"
    if contents & PROTOTYPE:
        return "prototype"
    if contents & TRANSITION:
        return "transition"
    return "page file" if contents >> SLOT_SHIFT else "demand zero"


def slot(contents):
    """The page-file slot that an entry of the page-file form names."""
    return contents >> SLOT_SHIFT


def prototype(contents):
    """Where the prototype entry lies that an entry of that form points to."""
    return (contents >> 16) | (0xFFFF << 48 if contents >> 63 else 0)


def protection(contents):
    """The rights that an entry which is not valid keeps for its page."""
    number = contents >> 5 & 0x1F
    return PROTECTIONS.get(number, f"{number:x}")


def flags(contents):
    """The flag letters of a valid entry: CGLDANTKWEV; the last letter but five is K or U, the next W or R."""
    letters = "".join(letter if contents & bit else "-" for letter, bit in (
        ("C", COPY_ON_WRITE), ("G", GLOBAL), ("L", LARGE), ("D", DIRTY), ("A", ACCESSED), ("N", CACHE_DISABLE),
        ("T", WRITE_THROUGH)))
    return (letters + ("U" if contents & USER else "K") + ("W" if contents & WRITE else "R")
            + ("-" if contents & NO_EXECUTE else "E") + "V")


def page_table_entries(start, pages):
    """Yields (address, contents) for the PTEs of a range; what has no table that can be read is left out."""
    end = start + pages * PAGE
    at = start
    while at < end:
        stop = min(end, (at | 0x1FFFFF) + 1)
        entries = walk(at)
        if entries[-1].level == 1:
            table = frame(entries[-2].contents) * PAGE
            try:
                raw = read_table(at, 1, table, index_at(at, 1) * 8, (stop - at) // PAGE * 8)
            except (KdError, gdb.error):
                raw = b""
            for place in range(0, len(raw), 8):
                yield at + place // 8 * PAGE, int.from_bytes(raw[place:place + 8], "little")
        at = stop
