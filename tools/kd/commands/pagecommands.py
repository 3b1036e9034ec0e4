"""!pte, !pfn and !address: where an address is, and whether DISPATCH_LEVEL may touch it."""

import textwrap

import gdb

from kd.model.frames import LOCATIONS, is_ram, pfn_address
from kd.model.pagetables import (NAMES, VALID, entry_address, flags, form, frame, frame_of, is_canonical, is_large,
                           protection, prototype, slot, walk)
from kd.model.poolblocks import find_block, find_special
from kd.model.regions import PAGE, STACK_GUARD_PAGES, history, region_of, regions
from kd.model.threads import all_threads
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import grave, size_of, structure
from kd.target.symbols import symbol

COLUMN = 27
MARGIN = " " * (3 * COLUMN)


def one_number(arguments, usage):
    """The value of the only argument, or KdError with how it is to be called."""
    if not arguments:
        raise KdError(f"usage: {usage}")
    return evaluate(" ".join(arguments))


# ---- !pte ----

def columns(cells):
    return "".join(cell.ljust(COLUMN) for cell in cells).rstrip()


def translation(entry):
    """The third line of a column: where the entry leads."""
    kind = form(entry.contents)
    if kind == "valid":
        return f"pfn {frame(entry.contents):<10x}{flags(entry.contents)}"
    return "cannot be read" if kind == "unreadable" else "not valid"


def contents_text(entry):
    return "contains ????????????????" if entry.contents is None else f"contains {entry.contents:016X}"


def invalid_lines(entry, address):
    """The lines under an entry that is not valid: where its page is, as WinDbg names it."""
    kind, contents = form(entry.contents), entry.contents
    if kind == "transition":
        return [f"Transition: {frame(contents):x}", f"Protect: {protection(contents)}"]
    if kind == "page file":
        return ["PageFile:  0", f"Offset: {slot(contents):x}", f"Protect: {protection(contents)}"]
    if kind == "demand zero":
        return ["DemandZero", f"Protect: {protection(contents)}"]
    if kind == "prototype":
        return [f"Proto: {prototype(contents):016X}", f"Protect: {protection(contents)}"]
    return ["Page has been freed"] if kind == "zero" and was_freed(address) else []


def was_freed(address):
    """Whether the kernel's records say that the address was given out once and is no longer."""
    special = find_special(address)
    if special is not None:
        return special.state == "freed" and address & ~(PAGE - 1) == special.start & ~(PAGE - 1)
    place = region_of(address)
    try:
        return place is not None and history(address, place.kind) == "freed"
    except KdError:
        return False


def print_entries(address, entries):
    print(" " * 43 + f"VA {address:016x}")
    print(columns(f"{NAMES[level]} at {entry_address(address, level):016X}" for level in (4, 3, 2, 1)))
    contents, leads = [contents_text(entry) for entry in entries], [translation(entry) for entry in entries]
    last = entries[-1]
    if is_large(last):
        missing = last.level - 1
        contents += ["contains " + "0" * 16] * missing
        leads += [""] * (missing - 1) + [f"LARGE PAGE pfn {frame_of(address, entries):x}"]
    print(columns(contents))
    print(columns(leads))
    if last.contents is not None and not last.contents & VALID:
        for line in invalid_lines(last, address):
            print(" " * (COLUMN * (4 - last.level) + 1) + line)


def pfn_of(number):
    """The page frame's structure; KdError where there is none, or it cannot be read."""
    if not is_ram(number):
        raise KdError(f"page frame {number:x}: no RAM that the kernel manages")
    return structure("MMPFN", pfn_address(number))


def pageable(address, entries):
    """(whether the trimmer may take the page behind a valid entry, or None; how many locks hold it)."""
    if entries[-1].level != 1:
        return False, 0
    try:
        pfn = pfn_of(frame(entries[-1].contents))
        return bool(pfn["IsPageable"]), int(pfn["LockCount"])
    except (KdError, gdb.error):
        return None, 0


def location_of(number):
    """Where the database says that a frame is: "on the Standby list"."""
    try:
        location = LOCATIONS.get(int(pfn_of(number)["Location"]), "?")
    except (KdError, gdb.error):
        return "its state cannot be read"
    return f"on the {location} list" if location in ("Standby", "Modified") else f"state {location}"


def verdict_of_valid(address, entries):
    try:
        if not is_ram(frame_of(address, entries)):
            return "yes. The page is no RAM but a device's, and nothing takes it away."
        can_go, locks = pageable(address, entries)
    except (KdError, gdb.error):
        can_go, locks = None, 0
    if can_go is None:
        return "unknown. The page is there now; whether it may be taken away, the page-frame database does not tell."
    if can_go and locks:
        return f"yes, for now. The page is pageable, but locked in memory: {locks} MDLs or locked sections hold it."
    if can_go:
        return ("only by luck. The page is in memory now, but it is pageable: the trimmer may take it at any moment, "
                "and then the same touch stops the machine.")
    return "yes. The page is resident, and nothing takes it away."


def verdict_of_hole(address, entries):
    place = region_of(address)
    if address >> 63 == 0:
        return "no, and at no other level: this is the user half of the address space, and there is no user mode here."
    if place is None:
        return "no, and at no other level: the address is in no region of the kernel's address space."
    if entries[-1].level > 1:
        return "no, and at no other level: nothing is mapped there, not even a page table."
    if was_freed(address):
        return "no, and at no other level: the page was given back, and nothing has taken its place."
    if history(address, place.kind) == "in use":
        return "no, and at no other level: a guard page, given out without a page behind it."
    return "no, and at no other level: nothing is mapped there."


def verdict(address, entries):
    """Whether the address may be touched at DISPATCH_LEVEL, and why."""
    contents, kind = entries[-1].contents, form(entries[-1].contents)
    if kind == "valid":
        return verdict_of_valid(address, entries)
    if kind == "transition":
        where = f"page frame {frame(contents):x} ({location_of(frame(contents))})"
        return (f"no. The contents are still in {where}, but the entry is not valid: the touch is a page fault, and at "
                f"that level every page fault is the end.")
    if kind == "page file":
        return (f"no. The page is in the page file, slot 0x{slot(contents):x}: it must be read, a wait for the disk "
                f"gives up the CPU, and the scheduler that would take it runs at DISPATCH_LEVEL itself.")
    if kind == "demand zero":
        return ("no. The page was never touched: the first touch is a page fault that has to find a page frame, and "
                "may have to wait for one.")
    if kind == "prototype":
        return "no. A view of a cached page, mapped and not yet touched: the first touch is a page fault."
    if kind == "unreadable":
        return "unknown. The entry cannot be read from this memory."
    return verdict_of_hole(address, entries)


def say(label, text):
    print(textwrap.fill(f"{label}: {text}", 110, subsequent_indent="    "))


@command("!pte", "ADDRESS", "the page-table entries of an address, and what they say of its page")
def pte(arguments):
    """!pte ADDRESS: the addresses and contents of the PXE, PPE, PDE and PTE that translate an address.

    A valid entry shows the page frame (pfn) that it leads to, and its flags, a - for one that is not set:
    C copy on write, G global, L large, D dirty, A accessed, N not cached, T write through, K kernel or U user,
    W writable or R read-only, E executable, V valid.
    An entry that is not valid shows where its page is: Transition (still in that frame), PageFile (Offset is the
    number of the slot, in hexadecimal), DemandZero (never touched), Proto (a view), or "Page has been freed".
    The last line says whether the address may be touched at DISPATCH_LEVEL. All numbers are hexadecimal.
    """
    address = one_number(arguments, "!pte ADDRESS")
    if not is_canonical(address):
        raise KdError(f"{address:016x} is no address: bits 48-63 must repeat bit 47; no entry belongs to it")
    entries = walk(address)
    print_entries(address, entries)
    place = region_of(address)
    print(f"Region: {place.name if place else 'none'}")
    say("At DISPATCH_LEVEL", verdict(address, entries))


# ---- !pfn ----

def containing_frame(pte_address):
    """The frame of the page table that holds a PTE, as text."""
    try:
        entries = walk(pte_address)
        return f"{frame(entries[-1].contents):06X}" if form(entries[-1].contents) == "valid" else "?"
    except (KdError, gdb.error):
        return "?"


def link(number):
    return f"{'(end)':<8}" if number == (1 << 64) - 1 else f"{number:08X}"


def pfn_flags(pfn):
    """The letters that WinDbg puts behind the state, and the words for them."""
    letters = (("M", "IsModified", "Modified"), ("R", "HasRead", "Read in progress"),
               ("W", "HasWrite", "Write in progress"), ("P", "IsPageable", "Pageable"),
               ("D", "IsDeleted", "Deleted: freed when its transfer ends"))
    found = [(letter, word) for letter, field, word in letters if int(pfn[field])]
    return "".join(letter for letter, _ in found), ", ".join(word for _, word in found)


@command("!pfn", "FRAME", "the page-frame database's record of one frame of RAM")
def pfn_command(arguments):
    """!pfn FRAME: the record (MMPFN) of a page frame; FRAME is a number as !pte prints it behind "pfn".

    flink and blink link the frames of one list; a frame in no list shows the word in their place: the read in
    progress, or the length of a contiguous allocation. "reference count" counts the locks that keep the page in memory.
    pteaddress is the one entry that maps or remembers a pageable page, restore pte what that entry becomes when the
    frame gets another owner (the page-file slot in bits 32-63), containing page the frame of the entry's page table.
    The flags: M modified, R read in progress, W write in progress, P pageable, D deleted during its transfer.
    """
    number = one_number(arguments, "!pfn FRAME")
    pfn = pfn_of(number)
    pte_address, location = int(pfn["PteAddress"]), int(pfn["Location"])
    letters, words = pfn_flags(pfn)
    print(f"    PFN {number:08X} at address {pfn_address(number):016X}")
    print(f"    flink       {link(int(pfn['Next']))}  blink / share count {link(int(pfn['Previous']))}"
          f"  pteaddress {pte_address:016X}")
    print(f"    reference count {int(pfn['LockCount']):04X}    Cached")
    state = LOCATIONS.get(location, f"state {location}, which is none")
    print(f"    restore pte {int(pfn['OriginalPte']):08X}  containing page "
          f"{containing_frame(pte_address) if pte_address else '000000'}  {state:<10} {letters}".rstrip())
    if words:
        print(f"    {words}")
    if pte_address:
        print(f"    maps or remembers {address_of_pte(pte_address):016x}")


# ---- !address ----

def address_of_pte(pte_address):
    """The address that a PTE in the self map belongs to."""
    address = (pte_address << 25 & (1 << 64) - 1) >> 16
    return address | 0xFFFF << 48 if address >> 47 & 1 else address


def content(address, place):
    """The owner of the address, in a few words."""
    if place is None:
        return "a NULL pointer" if address < 0x10000 else "nothing"
    if place.kind == "RegionStacks":
        return stack_text(address)
    if place.kind in ("RegionKernelImage", "RegionDriverImages"):
        return symbol(address)
    if place.kind == "RegionDirectMap":
        return f"physical address {address - place.start:x}, page frame {address - place.start >> 12:x}"
    if place.kind == "RegionPfnDatabase":
        return f"the record of page frame {(address - place.start) // size_of('MMPFN'):x}"
    if place.kind == "RegionPageTables":
        return f"page-table entry of {address_of_pte(address & ~7):016x}"
    block = find_block(address)
    return f"pool block, see !pool {address:x}" if block else "unknown"


def stack_text(address):
    """Whose stack, or guard page below one, an address of the stack region is."""
    for thread in all_threads():
        try:
            record = structure("KTHREAD", thread)
            base, limit = int(record["StackBase"]), int(record["StackLimit"])
        except (KdError, gdb.error):
            continue
        if limit - STACK_GUARD_PAGES * PAGE <= address < base:
            where = "the guard page below the stack" if address < limit else "the stack"
            return f"{where} of thread {thread:016x} ({limit:016x} - {base:016x})"
    return "no thread's stack: one that is kept for the next thread, or nothing"


@command("!address", "[ADDRESS]", "the region of the address space that holds an address; without one, all regions")
def address_command(arguments):
    """!address ADDRESS: the region of the kernel's one table of address regions, and what lies at the address.

    Without an address: the whole table.
    """
    if not arguments:
        for row in regions():
            print(f"  {row.start:016x} - {row.end:016x}  {row.name}")
        return
    address = evaluate(" ".join(arguments))
    place = region_of(address)
    print(f"Usage:                  {place.name if place else 'none'}")
    if place:
        print(f"Base Address:           {grave(place.start)}")
        print(f"End Address:            {grave(place.end)}")
        print(f"Region Size:            {grave(place.end - place.start)}")
    print(f"Page:                   {form(walk(address)[-1].contents) if is_canonical(address) else 'not canonical'}")
    print(f"Content:                {content(address, place)}")
