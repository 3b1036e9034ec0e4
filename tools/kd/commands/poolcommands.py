"""!pool, !poolval and !poolused: a block's owner, its page's headers, who holds how much."""

from fnmatch import fnmatchcase

import gdb

from kd.model.poolblocks import (HEAPS, IN_USE, PARKED, PROTECTED, UNIT, find_large, find_special, free_list_faults, own_use,
                           pool_page, shadow_blocks, state, tag_text, walk_headers)
from kd.model.pooltags import OTHERS, TagOwners, tag_uses
from kd.model.regions import PAGE, history, region_of
from kd.target.command import KdError, command, reason
from kd.target.expression import evaluate
from kd.target.memory import grave, is_readable, read, try_read, why_unreadable
from kd.target.symbols import symbol

POOLS = {"RegionPagedPool": "Paged pool", "RegionNonPagedPool": "Nonpaged pool", "RegionSpecialPool": "Special pool",
         "RegionSpecialPagedPool": "Special pool"}
CONTENTS, ONLY_THIS = 1, 2                      # the flags of !pool


def pool_name(address):
    place = region_of(address)
    return POOLS.get(place.kind, "Unknown") if place else "Unknown"


def known(ask, *arguments):
    """The rows of one of the kernel's tables; None where the table cannot be read."""
    try:
        return ask(*arguments)
    except (KdError, gdb.error):
        return None


def large_block(address):
    """The allocation of whole pages that holds an address, or None; where the table cannot be read, that is said."""
    try:
        return find_large(address)
    except (KdError, gdb.error) as problem:
        print(f" whether it is a large allocation is not known: {reason(problem)}")
        return None


# ---- !pool ----

def shown_tag(tag):
    return tag_text(tag) + (" (Protected)" if tag & PROTECTED else "")


def owner_line(tag, owners):
    owner = owners.find(tag)
    return f"\t\tPooltag {tag_text(tag)} : " + (f"Binary : {owner}" if owner else "in the code of no module")


def print_contents(start, size):
    """The bytes of a block as numbers of 32 bits, as far as they are there."""
    for line in range(start, start + size, 16):
        raw = try_read(line, min(16, start + size - line))
        words = [int.from_bytes(raw[at:at + 4], "little") for at in range(0, len(raw), 4)] if raw else []
        print(f"        {grave(line)}  {' '.join(f'{word:08x}' for word in words) or '????????'}")


def print_block(block, is_wanted, owners, flags):
    mark = "*" if is_wanted else " "
    tag = f"{mark}{shown_tag(block.tag)}" if block.tag or not block.from_shadow else ""
    print(f"{mark}{block.header:016x} size: {block.size * UNIT:4x} previous size: {block.previous * UNIT:4x}  "
          f"({state(block) + ')':<10} {tag}".rstrip())
    if is_wanted and block.tag:
        print(owner_line(block.tag, owners))
    if flags & CONTENTS and not block.from_shadow:
        print_contents(block.header + UNIT, (block.size - 1) * UNIT)


def print_large(block, owners, flags):
    print(f"*{block.start:016x} : large page allocation, tag is {shown_tag(block.tag)}, size is {block.size:#x} bytes "
          f"({block.pages} page{'s' * (block.pages != 1)}, {HEAPS.get(block.heap, 'unknown')})")
    print(owner_line(block.tag, owners))
    if flags & CONTENTS:
        print_contents(block.start, min(block.size, PAGE))


def print_special(block, owners, flags):
    kind = "Paged" if block.paged else "NonPaged"
    print(f"*{block.start & ~(PAGE - 1):016x} size: {block.size:4x} data: {block.start:016x} ({kind}, {block.state}) "
          f"*{shown_tag(block.tag)}")
    if block.tag:
        print(owner_line(block.tag, owners))
    for word, frames in (("allocated", block.allocated_by), ("freed", block.freed_by)):
        for number, place in enumerate(frames):
            print(f"        {word + ' by' if number == 0 else '':<13} {symbol(place)}")
    if flags & CONTENTS and block.state == "allocated":
        print_contents(block.start, block.size)


def print_page(address, flags):
    """The blocks of a page of small ones, with a mark at the one that holds the address."""
    own = known(own_use, address)
    if own:
        print(f"*{address & ~(PAGE - 1):016x} : the pool's own: {own}")
        return
    if not is_readable(address) and known(history, address, region_of(address).kind) == "freed":
        print(f" {address & ~(PAGE - 1):016x} was given back as a whole page: nothing has been allocated there since")
        return
    page, owners = pool_page(address), TagOwners()
    if page.source == "shadow":
        print(f" the page itself is not there ({why_unreadable(page.start)})\n"
              " the blocks are those of the kernel's own record of the page")
    found = False
    for block in page.blocks:
        is_wanted = block.header <= address < block.header + block.size * UNIT
        found |= is_wanted
        if is_wanted or not flags & ONLY_THIS:
            print_block(block, is_wanted, owners, flags)
    if page.faults:
        where, what = page.faults[0]
        print(f" {where:016x} is not a valid pool block: {what}; !poolval {page.start:x} tells more")
    if not found:
        print(f" {address:016x} lies in none of the blocks that can be read")


@command("!pool", "ADDRESS [FLAGS]", "the pool block that holds an address, with the other blocks of its page")
def pool(arguments):
    """!pool ADDRESS [FLAGS]: the blocks of the page that holds an address; * marks the block of the address itself.

    Each line: the header, the block's size with its header and the size of the block before it (in hexadecimal), its
    state and tag. (Free ) is a block that a CPU keeps for its next allocation of that size. Allocations of whole pages
    and those of special pool (with who allocated and freed them) have a line of their own. The owner is the first
    module, drivers before the kernel, whose code contains the tag. Of a page of paged pool that is neither in memory
    nor in a page file at hand, the blocks come from the kernel's record of it: their states and tags, no contents.

    FLAGS: 1 the contents too; 2 only the block of the address; 3 both.
    """
    if not arguments:
        raise KdError("usage: !pool ADDRESS [FLAGS]")
    address, flags = evaluate(arguments[0]), evaluate(arguments[1]) if len(arguments) > 1 else 0
    print(f"Pool page {address:016x} region is {pool_name(address)}")
    if pool_name(address) == "Unknown":
        place = region_of(address)
        print(f" {address:016x} is no pool memory: it lies in {place.name if place else 'no region of the kernel'}")
        return
    if pool_name(address) == "Special pool":
        special = find_special(address)
        if special is None or special.state == "never used":
            print(f" {address:016x} lies in no block: that slot of special pool was never used")
        else:
            print_special(special, TagOwners(), flags)
        return
    large = large_block(address)
    if large:
        print_large(large, TagOwners(), flags)
    else:
        print_page(address, flags)


# ---- !poolval ----

def chain_lines(page, blocks, faults):
    """The lines for the header that breaks the chain: what it says, and the region that it spoils."""
    where = faults[0][0]
    lines = [f"[ {address:016x} ]: {text}" for address, text in faults]
    before = blocks[-1] if blocks else None
    start = before.header if before else page
    lines.append(f"[ {start:016x} --> {where:016x} (size = {where - start:#x} bytes)]: Corrupt region")
    return lines


def single_bits(raw, page, headers):
    """The single bits of these headers each of which, turned back, makes the whole page consistent."""
    for at in (header - page + byte for header in headers for byte in range(4)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            if not walk_headers(bytes(changed), page)[1]:
                yield page + at, bit


def other_faults(raw, page, blocks):
    """The defects where the headers agree: seals of kept blocks, links of free ones, the shadow."""
    lines = []
    for block in blocks:
        if block.type == PARKED:
            seal = ~block.header & (1 << 64) - 1
            body = block.header + UNIT - page
            for at in (body, body + 8):
                if int.from_bytes(raw[at:at + 8], "little") != seal:
                    word = int.from_bytes(raw[at:at + 8], "little")
                    lines.append(f"[ {block.header:016x} ]: written to after it was freed: {word:016x} at "
                                 f"{page + at:016x} should be {seal:016x}")
        elif not block.type & IN_USE and block.size > 1:
            lines += free_list_faults(block.header + UNIT)
    if region_of(page).kind == "RegionPagedPool":
        lines += shadow_faults(page, blocks)
    return lines


def shadow_faults(page, blocks):
    try:
        shadow = shadow_blocks(page)
    except (KdError, gdb.error):
        return []                               # a dump without it says nothing against the page
    if shadow is None:
        return ["the kernel has no record of this page: it is no page of small paged blocks"]
    here, there = {block.header for block in blocks}, {block.header for block in shadow}
    return [f"[ {header:016x} ]: a block in the {'headers' if header in here else 'kernel record of the page'} only"
            for header in sorted(here ^ there)]


def print_single_bits(raw, page, blocks, where):
    print("\nScanning for single bit errors...\n")
    found = list(single_bits(raw, page, [where] + [block.header for block in blocks[-1:]]))
    for address, bit in found:
        print(f"bit {bit} of the byte at {address:016x}: turned back, the page is consistent")
    if not found:
        print("None found")


@command("!poolval", "ADDRESS", "whether the headers of a pool page agree, and which is the first that does not")
def poolval(arguments):
    """!poolval ADDRESS: checks the headers of the pool page that holds an address.

    Sizes are in units of 16 bytes, as they stand in the headers. The first header that contradicts the others is named;
    what lies before it was written past its end, or it was overwritten. A page whose headers agree is also looked at
    for freed blocks that were written to, and for free blocks whose links lead astray.
    """
    if not arguments:
        raise KdError("usage: !poolval ADDRESS")
    address = evaluate(arguments[0])
    page = address & ~(PAGE - 1)
    print(f"Pool page {page:016x} region is {pool_name(page)}")
    if pool_name(page) not in ("Paged pool", "Nonpaged pool"):
        print(" no page of small pool blocks: it has no headers to validate")
        return
    large = large_block(address)
    if large:
        print(f" part of the large page allocation at {large.start:016x}: it has no headers to validate")
        return
    raw = read(page, PAGE)
    print(f"\nValidating Pool headers for pool page: {page:016x}\n")
    blocks, faults = walk_headers(raw, page)
    others = other_faults(raw, page, blocks)
    if not faults and not others:
        print(f"Pool page [ {page:016x} ] is __VALID.")
        return
    print(f"Pool page [ {page:016x} ] is __inVALID.\n\nAnalyzing linked list...")
    for line in (chain_lines(page, blocks, faults) if faults else []) + others:
        print(line)
    if faults:
        print_single_bits(raw, page, blocks, faults[0][0])


# ---- !poolused ----

SORTED = {2: "NonPaged Pool Consumed", 4: "Paged Pool Consumed"}


def wanted_uses(pattern):
    """The tags that hold something, or match the pattern."""
    for use in tag_uses():
        if use.nonpaged.allocs or use.paged.allocs:
            if pattern is None or fnmatchcase(use.name, pattern) or fnmatchcase(use.name.rstrip(), pattern):
                yield use


def use_columns(use, verbose):
    if verbose:
        return f"{use.allocs:>9} {use.frees:>9} {use.allocs - use.frees:>8} {use.bytes:>12}"
    return f"{use.allocs - use.frees:>9} {use.bytes:>12}"


def print_uses(uses, verbose, owners):
    names = f"{'Allocs':>9} {'Frees':>9} {'Diff':>8} {'Used':>12}" if verbose else f"{'Allocs':>9} {'Used':>12}"
    width = len(names)
    print(f"\n      {'NonPaged':^{width}}  {'Paged':^{width}}".rstrip())
    print(f" Tag  {names}  {names}\n")
    for use in uses:
        owner = owners.find(use.tag) if use.name != OTHERS else None
        print(f" {use.name} {use_columns(use.nonpaged, verbose)}  {use_columns(use.paged, verbose)}"
              + (f"\tBinary : {owner}" if owner else ""))


def total(uses):
    """The sum over (nonpaged, paged)."""
    return [type(part[0])(*map(sum, zip(*part))) for part in zip(*((use.nonpaged, use.paged) for use in uses))]


@command("!poolused", "[FLAGS [TAG]]", "who holds how much of the pools, by tag")
def poolused(arguments):
    """!poolused [FLAGS [TAG]]: for each pool tag how many blocks are allocated, and the bytes in them with headers.

    FLAGS: 1 also all allocations and frees since start; 2 sorted by nonpaged bytes; 4 sorted by paged bytes.
    TAG: only this one; * and ? stand for any characters. Tags that have no row in the kernel's table any more are
    counted together as (..). The module behind "Binary" is the first, drivers before the kernel, whose code contains
    the tag.
    """
    flags = evaluate(arguments[0]) if arguments else 0
    uses = list(wanted_uses(arguments[1] if len(arguments) > 1 else None))
    if len(arguments) > 1 and not uses:
        raise KdError(f"no tag '{arguments[1]}' was ever used; !poolused lists those that were")
    by = next((bit for bit in (2, 4) if flags & bit), 0)
    keys = {0: lambda use: 0, 2: lambda use: -use.nonpaged.bytes, 4: lambda use: -use.paged.bytes}
    uses.sort(key=lambda use: (keys[by](use), use.name))
    print(f"   Sorting by {SORTED.get(by, 'Tag')}\n\n  Pool Used:", end="")
    print_uses(uses, flags & 1, TagOwners())
    nonpaged, paged = total(uses) if uses else (None, None)
    if uses:
        print(f" TOTAL{use_columns(nonpaged, flags & 1)}  {use_columns(paged, flags & 1)}")
