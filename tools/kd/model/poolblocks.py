"""Pool blocks as the allocator keeps them: in a page, on their own, or in special pool.

Reads memory and judges it, shadows of paged-out pages too; poolcommands.py prints.

    block = find_block(address)         # Block, Large, Special, or None
    page = pool_page(address)           # Page: blocks, where they were read from, what is wrong with the headers
"""

from collections import namedtuple

import gdb

from kd.model.records import records, static
from kd.model.regions import PAGE, region, region_of
from kd.target.command import KdError
from kd.target.memory import address_of, offset_of, read, size_of, structure, try_read, u64, value_of, why_unreadable

UNIT = 16
UNITS = PAGE // UNIT
FREE, IN_USE, PARKED = 0x00, 0x04, 0x40         # POOL_HEADER.PoolType
HEAPS = {0: "executable nonpaged", 1: "paged", 2: "no-execute nonpaged"}
SHADOW_USED = 0x8000
BIG_DELETED = 1
MOST_BIG = 1 << 20                              # entries of a table that is believed
SPECIAL_STATES = {0: "never used", 1: "allocated", 2: "freed"}
PROTECTED = 1 << 31

Block = namedtuple("Block", "header size previous type index tag from_shadow")
Large = namedtuple("Large", "start tag pages heap size")
Special = namedtuple("Special", "start size tag state fill paged allocated_by freed_by")
Page = namedtuple("Page", "start blocks faults source")


# ---- Tags ----

def tag_text(tag):
    """A tag as its four characters, in memory order; without the bit that protects it."""
    raw = (tag & ~PROTECTED).to_bytes(4, "little")
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else "." if byte else " " for byte in raw)


def tag_names():
    """The kernel's table of tags: index -> tag."""
    table = value_of("MiPoolTag")
    count = table.type.range()[1] + 1
    raw = read(address_of("MiPoolTag"), count * 4)
    return [int.from_bytes(raw[at:at + 4], "little") for at in range(0, len(raw), 4)]


# ---- Pages of small blocks ----

def block_at(raw, page, unit):
    """The block whose header is the unit-th of a page."""
    at = unit * UNIT
    previous, index, size, kind = raw[at:at + 4]
    return Block(page + at, size, previous, kind, index, int.from_bytes(raw[at + 4:at + 8], "little"), False)


def state(block):
    """"Allocated", "Free", or "Free " for one that a CPU keeps for its next allocation."""
    if block.type & IN_USE:
        return "Allocated"
    return "Free " if block.type == PARKED else "Free"


def faults_of(block, expected, page, heap):
    """The defects of one header, given the size of the block before it; the worst first."""
    unit = (block.header - page) // UNIT
    found = []
    if block.previous != expected:
        found.append(f"invalid previous size [ {block.previous:#x} ] should be [ {expected:#x} ]")
    if block.size == 0:
        found.append("invalid block size [ 0x0 ]")
    elif unit + block.size > UNITS:
        found.append(f"invalid block size [ {block.size:#x} ]: only [ {UNITS - unit:#x} ] are left of the page")
    if block.type not in (FREE, PARKED) and not (block.type & IN_USE and block.type & 3 in (1, 2)):
        found.append(f"invalid pool type [ {block.type:#x} ]")
    if heap is not None and block.index not in heap:
        found.append(f"invalid pool index [ {block.index:#x} ]")
    return found


def walk_headers(raw, page):
    """(blocks, faults) of a page in memory: the headers from its start, up to the first that contradicts the others."""
    paged = page < region("RegionPagedPool").end and page >= region("RegionPagedPool").start
    heap = (1,) if paged else (0, 2)
    blocks, faults, unit, expected = [], [], 0, 0
    while unit < UNITS:
        block = block_at(raw, page, unit)
        wrong = faults_of(block, expected, page, heap)
        faults += [(block.header, text) for text in wrong]
        if block.size == 0 or unit + block.size > UNITS or wrong:
            break
        blocks.append(block)
        expected, unit = block.size, unit + block.size
    return blocks, faults


def shadow_of(page):
    """The address of the kernel's shadow of a page of small paged blocks, or None."""
    leaves = static("poolshadow.c", "Leaf")
    number = (page - region("RegionPagedPool").start) // PAGE
    per_leaf = size_of("SHADOW_LEAF") // 8
    if number // per_leaf > leaves.type.range()[1]:
        return None
    leaf = int(leaves[number // per_leaf])
    return (u64(leaf + number % per_leaf * 8) or None) if leaf else None


def shadow_blocks(page):
    """The blocks of a page of paged pool from its shadow, or None: it has none."""
    shadow = shadow_of(page)
    if shadow is None:
        return None
    starts = int.from_bytes(read(shadow + offset_of("POOL_SHADOW", "Starts"), UNITS // 8), "little")
    raw = read(shadow + offset_of("POOL_SHADOW", "Tag"), UNITS)
    tags, names = [int.from_bytes(raw[at:at + 2], "little") for at in range(0, UNITS, 2)], tag_names()
    units = [unit for unit in range(UNITS) if starts >> unit & 1] + [UNITS]
    blocks, previous = [], 0
    for unit, after in zip(units, units[1:]):
        used = tags[unit // 2] & SHADOW_USED if after - unit > 1 else 0
        tag = names[tags[unit // 2] % len(names)] if used else 0
        blocks.append(Block(page + unit * UNIT, after - unit, previous, IN_USE | 2 if used else FREE, 1, tag, True))
        previous = after - unit
    return blocks


def pool_page(address):
    """The page of small blocks at an address: from its headers, or from the shadow where the page is not in memory."""
    page = address & ~(PAGE - 1)
    raw = try_read(page, PAGE)
    if raw is not None:
        return Page(page, *walk_headers(raw, page), "headers")
    if region_of(page).kind == "RegionPagedPool":
        blocks = shadow_blocks(page)
        if blocks is not None:
            return Page(page, blocks, [], "shadow")
    read(page, PAGE)                            # says why there is nothing
    return None


# ---- Allocations of whole pages ----

def large_blocks():
    """All allocations of whole pages."""
    table = structure("POOL_BIG_TABLE", value_of("MiBigTable"))
    count, start = int(table["Entries"]), int(table["Entry"])
    if not 0 < count <= MOST_BIG or count & (count - 1):
        raise KdError(f"the table of large pool blocks is corrupt: {count} entries at {start:016x}")
    for address, tag, pages, heap, size in records("POOL_BIG_PAGE", start, count, "Va", "Tag", "Pages", "HeapIndex",
                                                   "Bytes"):
        if address > BIG_DELETED:
            yield Large(address, tag, pages, heap, size)


def find_large(address):
    return next((block for block in large_blocks() if block.start <= address < block.start + block.pages * PAGE), None)


# ---- Pages of the nonpaged pool that hold no blocks ----

def own_use(address):
    """The memory manager's own use of a page of the nonpaged pool, in words, or None."""
    for start, size, words in own_pages():
        if start and start <= address < (start + size + PAGE - 1 & -PAGE):
            return words
    return None


def own_pages():
    """(start, bytes, what it is) of each part of nonpaged pool that is no block."""
    parks, leaves, table = value_of("MiPoolParks"), static("poolshadow.c", "Leaf"), value_of("MiBigTable")
    for number in range(parks.type.range()[1] + 1):
        yield int(parks[number]), size_of("POOL_PARKS"), f"the freed blocks that CPU {number} keeps for later"
    for number in range(leaves.type.range()[1] + 1):
        yield int(leaves[number]), PAGE, "which pages of paged pool have a record of their blocks"
    entries = int(structure("POOL_BIG_TABLE", table)["Entries"])
    if 0 < entries <= MOST_BIG:
        yield table, size_of("POOL_BIG_TABLE") + entries * size_of("POOL_BIG_PAGE"), "the table of large allocations"
    bitmap, words = int(static("pagefile.c", "Bitmap")), int(static("pagefile.c", "Words"))
    yield bitmap, words * 8, "which slots of the page file are used"


# ---- Special pool ----

def special_arenas():
    """(address of the first slot, slots, address of their records, whether it is pageable)."""
    arenas = static("specialpool.c", "Arena")
    for paged in (0, 1):
        yield int(arenas[paged]["Start"]), int(arenas[paged]["Slots"]), int(arenas[paged]["Block"]), bool(paged)


def frames_of(record, field):
    values = record[field]
    return [int(values[index]) for index in range(values.type.range()[1] + 1) if int(values[index])]


def find_special(address):
    """The special-pool record of an address in one of its slots, also of the guard page behind a block; or None."""
    for start, slots, table, paged in special_arenas():
        slot = (address - start) // (2 * PAGE)
        if slots and address >= start and slot < slots:
            record = structure("MM_SPECIAL_BLOCK", table + slot * size_of("MM_SPECIAL_BLOCK"))
            kind = int(record["State"])
            return Special(int(record["Start"]), int(record["Bytes"]), int(record["Tag"]),
                           SPECIAL_STATES.get(kind, f"state {kind}, which is none"), int(record["Fill"]), paged,
                           frames_of(record, "AllocatedBy"), frames_of(record, "FreedBy"))
    return None


# ---- Whichever it is ----

def find_block(address):
    """The block that an address lies in: a Block, a Large, a Special; None where it lies in no block of a pool."""
    place = region_of(address)
    kind = place.kind if place else None
    if kind in ("RegionSpecialPool", "RegionSpecialPagedPool"):
        return find_special(address)
    if kind not in ("RegionPagedPool", "RegionNonPagedPool"):
        return None
    try:
        large, is_certain = find_large(address), True
    except (KdError, gdb.error):                # a small dump does not have the table
        large, is_certain = None, False
    if large:
        return large
    try:
        page = pool_page(address)
    except (KdError, gdb.error):
        return None
    if page.faults and not is_certain:
        return None
    return next((block for block in page.blocks if block.header <= address < block.header + block.size * UNIT), None)


def free_list_faults(entry):
    """The defects of the links of a free block: a line for each that leads astray."""
    lines = []
    links = try_read(entry, 16)
    if links is None:
        return [f"[ {entry - UNIT:016x} ]: the links of the free block cannot be read"]
    names = (("Flink", 0, 8), ("Blink", 8, 0))
    for name, at, back in names:
        other = int.from_bytes(links[at:at + 8], "little")
        raw = try_read(other + back, 8)
        if raw is None:
            if not is_elsewhere(other):
                lines.append(f"[ {entry - UNIT:016x} ]: {name} of the free block is {other:016x}, where nothing is")
        elif int.from_bytes(raw, "little") != entry:
            lines.append(f"[ {entry - UNIT:016x} ]: {name} of the free block leads to {other:016x}, "
                         f"which leads back to {int.from_bytes(raw, 'little'):016x}")
    return lines


def is_elsewhere(address):
    """Whether what cannot be read may be sound all the same: left out of the dump, or paged-out paged pool."""
    why, place = why_unreadable(address), region_of(address)
    return "not in the dump" in why or "paged out" in why and place is not None and place.kind == "RegionPagedPool"
