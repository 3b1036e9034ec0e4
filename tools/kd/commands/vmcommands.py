"""!vm and !memusage: the use of memory, by the kernel's counters and by a count of frames."""

from collections import Counter

import gdb

from kd.model.frames import LOCATIONS, pfn_address, ram_runs
from kd.model.pagetables import form, page_table_entries
from kd.model.poolblocks import special_arenas
from kd.model.records import records
from kd.model.regions import PAGE, RANGES, range_of, regions, used_pages
from kd.target.command import KdError, command, reason
from kd.target.memory import offset_of, read, size_of, value_of

FRAMES_AT_ONCE = 1 << 14
MOST_FRAMES = 1 << 28                           # 1 TiB: the direct map's region


def kilobytes(pages):
    return pages * PAGE // 1024


def row(label, pages):
    """One line of !vm: a number of pages, and the same in KB; a failure to learn it in its place."""
    try:
        number = pages() if callable(pages) else pages
        print(f"    {label + ':':<24}{number:>10} ({kilobytes(number):>12} Kb)")
    except (KdError, gdb.error) as problem:
        print(f"    {label + ':':<24}         ? ({reason(problem)})")


def attempt(label, printer):
    """Runs a printer; a line that says what cannot be read in place of what it prints."""
    try:
        printer()
    except (KdError, gdb.error) as problem:
        print(f"    {label}: ? ({reason(problem)})")


# ---- What has to be counted ----

def mapped_pages(kind):
    """How many pages of a region that the kernel cuts up have memory behind them, or are promised it."""
    known = range_of(kind)
    return sum(contents != 0 for _, contents in page_table_entries(known.start, known.highest))


def locked_pages():
    """How many frames MDLs and section locks hold in memory."""
    return sum(count != 0 for count, in every_frame("LockCount"))


def special_pages():
    used = 0
    for _, slots, table, _ in special_arenas():
        used += sum(state == 1 for state, in records("MM_SPECIAL_BLOCK", table, slots, "State")) if slots else 0
    return used


def every_frame(*fields):
    """The named fields of the record of each frame of RAM."""
    for first, end in ram_runs():
        if not first < end <= MOST_FRAMES:
            raise KdError(f"the kernel's list of RAM is corrupt: frames {first:x} to {end:x}")
        yield from records("MMPFN", pfn_address(first), end - first, *fields)


def ram_pages():
    return sum(end - first for first, end in ram_runs())


# ---- !vm ----

def print_page_file():
    if not value_of("MiHasPageFile"):
        print("    Page File: none: there is no disk, or paging has not begun")
        return
    slots, used = value_of("MiSlotCount"), value_of("MiSlotsUsed")
    print(f"    Page File: slots 1 to {slots} of the paging disk, {used} used")
    size = kilobytes(slots)
    print(f"      Current: {size:>10} Kb  Free Space: {kilobytes(slots - used):>10} Kb")
    print(f"      Minimum: {size:>10} Kb  Maximum:    {size:>10} Kb")


@command("!vm", "[FLAGS]", "the use of memory: page file, lists, pools, commit")
def vm(arguments):
    """!vm [FLAGS]: what the memory is used for, each number in pages and in KB.

    Available pages are those that can be given out at once: zeroed, free and standby. ResAvail is what may still be
    promised as resident. Usage of a pool is its address space with pages promised behind it; Maximum is the size of its
    address space on this machine. FLAGS are taken for the habit: there are no processes that 1 would leave out.
    """
    print("*** Virtual Memory Usage ***")
    row("Physical Memory", ram_pages)
    attempt("Page File", print_page_file)
    row("Available Pages", lambda: value_of("MiAvailablePages"))
    row("ResAvail Pages", lambda: value_of("MiResidentLimit") - value_of("MiResidentCommit"))
    row("Locked IO Pages", locked_pages)
    row("Free System PTEs", lambda: range_of("RegionSystemPtes").pages - used_pages("RegionSystemPtes"))
    row("Modified Pages", lambda: int(value_of("MiModifiedList")["Count"]))
    row("Standby Pages", lambda: int(value_of("MiStandbyList")["Count"]))
    row("NonPagedPool Usage", lambda: counter("NonPagedPoolBytes") // PAGE)
    row("NonPagedPool Max", lambda: range_of("RegionNonPagedPool").pages)
    row("PagedPool Usage", lambda: counter("PagedPoolBytes") // PAGE)
    row("PagedPool Maximum", lambda: range_of("RegionPagedPool").pages)
    row("Resident Pageable", lambda: value_of("MiResidentPages"))
    row("Special Pool", special_pages)
    row("Kernel Stacks", lambda: mapped_pages("RegionStacks"))
    row("Driver Commit", lambda: mapped_pages("RegionDriverImages"))
    row("Committed pages", lambda: value_of("MiCommittedPages"))
    row("Commit limit", lambda: value_of("MiCommitLimit"))
    attempt("Faults", print_faults)
    attempt("Shortage", print_warning)


def counter(name):
    return int(value_of("MiCounters")[name])


def print_faults():
    print(f"    Faults: {counter('PageFaults')}, of them demand zero {counter('DemandZeroFaults')}, "
          f"transition {counter('TransitionFaults')}, collided {counter('CollidedFaults')}; "
          f"pages read {counter('PageReads')}, written {counter('PageWrites')}, trimmed {counter('Trims')}")


def print_warning():
    """A line where the machine is short of memory."""
    if value_of("MiAvailablePages") < value_of("MiLowPages"):
        print(f"    ***** fewer than {value_of('MiLowPages')} pages are available: the trimmer is at work *****")


# ---- !memusage ----

def count_locations():
    """How many frames are in each state, from the database itself."""
    size, place, counts = size_of("MMPFN"), offset_of("MMPFN", "Location"), Counter()
    for first, end in ram_runs():
        if not first < end <= MOST_FRAMES:
            raise KdError(f"the kernel's list of RAM is corrupt: frames {first:x} to {end:x}")
        for at in range(first, end, FRAMES_AT_ONCE):
            batch = min(FRAMES_AT_ONCE, end - at)
            counts.update(read(pfn_address(at), batch * size)[place::size])
    return counts


def print_states(counts):
    labels = ("Zeroed", "Free", "Standby", "Modified", "ModifiedNoWrite", "Active/Valid", "Transition", "Bad")
    numbers = (0, 1, 2, 3, 4, 6, 7, 5)
    for label, number in zip(labels, numbers):
        print(f"{label + ':':>19} {counts[number]:>8} ({kilobytes(counts[number]):>8} kb)")
    unknown = sum(count for number, count in counts.items() if number not in LOCATIONS)
    if unknown:
        print(f"{'Unknown:':>19} {unknown:>8} ({kilobytes(unknown):>8} kb)")
    total = sum(counts.values())
    print(f"{'TOTAL:':>19} {total:>8} ({kilobytes(total):>8} kb)")


def print_disagreements(counts):
    """A line for each list whose own count is not the number of frames that say they are in it."""
    for number, name in ((0, "MiZeroedList"), (1, "MiFreeList"), (2, "MiStandbyList"), (3, "MiModifiedList")):
        listed = int(value_of(name)["Count"])
        if listed != counts[number]:
            print(f"    {name} counts {listed} pages, and {counts[number]} frames say that they are in it")


def print_frames():
    counts = count_locations()
    print_states(counts)
    print_disagreements(counts)


def usage_of(place):
    """How many pages of a region there are of each form, by its page tables."""
    if place.kind in RANGES:
        known = range_of(place.kind)
        start, pages = known.start, known.highest
    elif place.kind in ("RegionSpecialPool", "RegionSpecialPagedPool"):
        slots = dict((start, slots) for start, slots, _, _ in special_arenas())
        start, pages = place.start, slots.get(place.start, 0) * 2
    else:
        return None
    return Counter(form(contents) for _, contents in page_table_entries(start, pages))


def print_usage():
    print("\n  Usage Summary (in Kb):")
    print(f"    {'Region':<20} {'Valid':>9} {'Transition':>11} {'Page file':>10} {'Demand zero':>12}")
    for place in regions():
        try:
            uses = usage_of(place)
        except (KdError, gdb.error) as problem:
            print(f"    {place.name:<20} ? ({reason(problem)})")
            continue
        if uses:
            cells = [kilobytes(uses[kind]) for kind in ("valid", "transition", "page file", "demand zero")]
            print(f"    {place.name:<20} {cells[0]:>9} {cells[1]:>11} {cells[2]:>10} {cells[3]:>12}")


@command("!memusage", "", "every frame of RAM by its state, and the regions by what is behind them")
def memusage(arguments):
    """!memusage: counts the page-frame database, one state a line, and says where the kernel's own counters disagree.

    Active frames have an owner: a valid entry, the kernel image, a page table. Transition frames are being read or
    written. Zeroed, Free and Standby ones are available. Below, for each region that the kernel cuts up, what its
    page-table entries say: in memory, out of the working set but still in its frame, in the page file, never touched.
    """
    attempt("Page frames", print_frames)
    print_usage()
