"""The regions of the address space, from the kernel's one table, and their pages in use."""

from collections import namedtuple
from functools import lru_cache

from kd.model.records import static
from kd.target.command import KdError
from kd.target.memory import address_of, grave, read, u64, value_of

PAGE = 4096
STACK_GUARD_PAGES = 2                            # MM_STACK_GUARD_PAGES

Region = namedtuple("Region", "kind start end name")
Range = namedtuple("Range", "start pages bitmap highest")


@lru_cache(maxsize=1)
def regions():
    """The kernel's one table of address regions, in ascending order."""
    table = static("layout.c", "Regions")
    rows = [table[index] for index in range(table.type.range()[1] + 1)]
    return [Region(str(row["Kind"]), int(row["Start"]), int(row["End"]), row["Name"].string()) for row in rows[:-1]]


def region_of(address):
    """The region of an address, or None."""
    return next((row for row in regions() if row.start <= address < row.end), None)


def region(kind):
    """The region of one kind: region("RegionPagedPool")."""
    for row in regions():
        if row.kind == kind:
            return row
    raise KdError(f"the kernel's table of regions has no {kind}")


# ---- Which addresses the kernel has given out: a bitmap for each region that it cuts up itself ----

RANGES = {"RegionNonPagedPool": "MiNonPagedRange", "RegionPagedPool": "MiPagedRange",
          "RegionSystemPtes": "MiSystemRange", "RegionDriverImages": "MiImageRange", "RegionStacks": "MiStackRange"}
MOST_PAGES = 1 << 24                        # that the kernel makes a bitmap for


def range_of(kind):
    """The kernel's record of which pages of a region are given out, or None for a region that has none."""
    if kind not in RANGES:
        return None
    value, place = value_of(RANGES[kind]), region(kind)
    known = Range(int(value["Start"]), int(value["Pages"]), int(value["Bitmap"]), int(value["HighestUsed"]))
    if known.start != place.start or known.pages > MOST_PAGES or known.highest > known.pages:
        raise KdError(f"{RANGES[kind]} at {grave(address_of(RANGES[kind]))} is corrupt: {known.pages} pages from "
                      f"{grave(known.start)}")
    return known


def history(address, kind):
    """"in use", "freed", "never used" or None where the kernel keeps no record of the address."""
    known = range_of(kind)
    if known is None:
        return None
    page = (address - known.start) >> 12
    if page >= known.pages or page >= known.highest:
        return "never used"
    word = u64(known.bitmap + page // 64 * 8)
    return "in use" if word >> page % 64 & 1 else "freed"


def used_pages(kind):
    """How many pages of a region's address space are given out."""
    known = range_of(kind)
    bits = int.from_bytes(read(known.bitmap, known.pages // 8), "little")
    return bin(bits).count("1")
