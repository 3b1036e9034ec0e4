"""The reason why memory is not there, from the page tables and from the dump's own words.

The self map makes every page-table entry readable as memory, on a dump as on a live machine.
"""

import struct

from kd.model.pagefile import complaint
from kd.target.memory import MASK, reasons, try_read

SELF_MAP = (0xFFFFF6FB7DBED000, 0xFFFFF6FB7DA00000, 0xFFFFF6FB40000000, 0xFFFFF68000000000)     # PXE, PPE, PDE, PTE
VALID, LARGE, PROTOTYPE, TRANSITION = 1 << 0, 1 << 7, 1 << 10, 1 << 11


def entry_address(level, address):
    """Where the entry of an address lies: level 0 is the PXE, 3 the PTE."""
    return SELF_MAP[level] + (((address & 0xFFFFFFFFFFFF) >> (39 - 9 * level)) << 3)


def is_canonical(address):
    return address >> 47 in (0, 0x1FFFF)


def page_entry(address):
    """(level, entry) of the lowest entry that exists for an address: 0 PXE to 3 PTE; entry None: not to be read."""
    for level in range(4):
        data = try_read(entry_address(level, address), 8)
        if data is None:
            return level, None
        entry = struct.unpack("<Q", data)[0]
        if not entry & VALID or level in (1, 2) and entry & LARGE:
            return level, entry
    return 3, entry


def explain(address):
    """Why an address cannot be read."""
    if not is_canonical(address & MASK):
        return "not a canonical address"
    level, entry = page_entry(address)
    if entry is None:
        return "not mapped, or its page tables are not in the dump"
    if entry & VALID:
        return "not in the dump"
    if level < 3 or entry == 0:
        return "not mapped"
    return describe_invalid(entry)


def describe_invalid(entry):
    """The meaning of a PTE that is not valid."""
    if entry & PROTOTYPE:
        return "a view of a cached page, mapped and not yet touched"
    if entry & TRANSITION:
        return f"paged out, in transition: page frame {entry >> 12 & 0xFFFFFFFFFF:#x}"
    if entry >> 32:
        return f"paged out, page file slot {entry >> 32:#x}{complaint(entry >> 32)}"
    return "not touched yet (demand zero)"


reasons.append(explain)
