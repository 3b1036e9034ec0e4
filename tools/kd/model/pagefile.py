"""The page file at hand: paged-out memory, read from the disk's image or from RAM.

The page-table entry of a paged-out address names a slot; slot N is the page at N * 4096 of the disk that the kernel
pages to. A dump's folder has its image: pagefile.img, or shared.img of a seeded run. The reader gets a note of that,
once, at the end of the command.
"""

import os
from contextlib import contextmanager

import gdb

from kd.model.pagetables import form, is_canonical, slot as slot_in, walk
from kd.model.records import static
from kd.model.regions import PAGE, region, region_of
from kd.target.command import KdError, afterwards
from kd.target.memory import grave, memory_itself, other_sources, structure, text_at, value_of
from kd.target.session import session

PAGEABLE = ("RegionPagedPool", "RegionSpecialPagedPool", "RegionDriverImages")
IMAGES = {"virtio-blk": "pagefile.img", "ivshmem": "shared.img"}
RAM_STORE = "RAM store"
SLACK = 10                                      # seconds by which an image may be younger than its dump
MOST_NAMED = 3                                  # pages that the line behind a command names

used = {}                                       # page -> (slot, where from), since the command began
silent = []                                     # not empty: no note


# ---- Where the slots are ----

def device_name():
    """The kernel's name of the disk that it pages to; None where it pages to none."""
    if not value_of("MiHasPageFile"):
        return None
    return text_at(int(structure("BLOCK_DEVICE", int(static("pagefile.c", "Device")))["Name"]))


def image_name():
    """The name of the paging disk's image; None where the kernel pages to no disk."""
    try:
        name = device_name()
    except (KdError, gdb.error):                # a small dump: only seeded machines have the shared disk
        return "shared.img" if (session.dump or {}).get("seed") else "pagefile.img"
    return next((image for word, image in IMAGES.items() if name and name.startswith(word)), None)


def image_path():
    """The image of the paging disk beside what is being debugged; KdError with the reason where there is none."""
    image = image_name()
    if image is None or not session.path:
        raise KdError("the page file is not at hand")
    path = os.path.join(os.path.dirname(os.path.abspath(session.path)), image)
    try:
        age = os.stat(path).st_mtime - os.stat(session.path).st_mtime
    except OSError:
        raise KdError(f"the page file is not at hand: no {image} beside the dump") from None
    if session.kind == "dump" and age > SLACK:
        raise KdError(f"{image} beside the dump is younger than the dump: it belongs to a later run")
    return path


def from_image(slot):
    path = image_path()
    try:
        with open(path, "rb") as image:
            image.seek(slot * PAGE)
            contents = image.read(PAGE)
    except OSError as problem:
        raise KdError(f"the page file {path} cannot be read: {problem.strerror}") from None
    if len(contents) != PAGE:
        raise KdError(f"the page file {path} ends before slot {slot:#x}")
    return contents, os.path.basename(path)


def from_ram(slot):
    """The slot of a page file that the kernel keeps in RAM, through the direct map."""
    chunks, size = value_of("RamChunks"), int(value_of("RamDevice")["MaximumBytes"])
    offset = slot * PAGE
    if size <= 0 or size % PAGE or offset // size > chunks.type.range()[1]:
        raise KdError(f"the RAM store has no slot {slot:#x}")
    address = region("RegionDirectMap").start + int(chunks[offset // size]) + offset % size
    contents = memory_itself(address, PAGE)
    if contents is None:
        raise KdError("the page file was in RAM, and that RAM is not in the dump")
    return contents, "the RAM store"


def read_slot(slot):
    """(the page in a slot of the page file, where it was read from); KdError where it is not at hand."""
    return from_ram(slot) if is_in_ram() else from_image(slot)


def is_in_ram():
    try:
        return device_name() == RAM_STORE
    except (KdError, gdb.error):
        return False


# ---- Paged-out addresses ----

def slot_of(address):
    """The slot of a paged-out address, or None."""
    if not is_canonical(address):
        return None
    contents = walk(address)[-1].contents
    if form(contents) == "unreadable":
        return noted_slot(address)
    return slot_in(contents) if form(contents) == "page file" else None


def noted_slot(address):
    """The slot of an address by the dump's own table of what it leaves out, or None."""
    for start, end, _, first in (session.dump or {}).get("left_out", ()):
        if start <= address < end and first is not None:
            return first + (address - start) // PAGE
    return None


def paged_out(address, length):
    """The bytes at an address of which at least one page is not in memory, or None where some of them are nowhere."""
    try:
        place = region_of(address)
        if place is None or place.kind not in PAGEABLE or address + length > place.end:
            return None
        parts, at, end = [], address, address + length
        while at < end:
            step = min(PAGE - at % PAGE, end - at)
            parts.append(memory_itself(at, step) or piece(at, step))
            at += step
        return b"".join(parts)
    except (KdError, gdb.error):
        return None


def piece(address, length):
    """Bytes of one page that is in the page file; KdError where it is not there, or not at hand."""
    slot = slot_of(address)
    if slot is None:
        raise KdError("not paged out")
    contents, source = read_slot(slot)
    if not silent:
        used[address - address % PAGE] = slot, source
    return contents[address % PAGE:address % PAGE + length]


def complaint(slot):
    """Why the contents of a slot cannot be shown, to stand behind "page file slot N"; empty where they can."""
    try:
        read_slot(slot)
        return ""
    except (KdError, gdb.error) as problem:
        return f" ({problem})"


@contextmanager
def unannounced():
    """Within it there is no note that something was read from the page file."""
    silent.append(True)
    try:
        yield
    finally:
        silent.pop()


def report():
    """Says which pages the command that ends here has read from the page file."""
    if not used:
        return
    first = sorted(used.items())[:MOST_NAMED]
    named = [f"{grave(page)} (slot {slot:#x} of {source})" for page, (slot, source) in first]
    more = f" and {len(used) - MOST_NAMED} more" if len(used) > MOST_NAMED else ""
    used.clear()
    print(f"kd: paged out, read from the page file: {', '.join(named)}{more}")


other_sources.append(paged_out)
afterwards.append(report)
