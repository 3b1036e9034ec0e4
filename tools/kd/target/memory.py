"""The machine's memory: bytes, words, structures, lists, texts, or one clear error.

Works the same on a dump and on a live machine, because GDB reads both. A structure is a gdb.Value that reads its fields
when they are asked for; types come from the kernel's own debug information.
"""

import struct
from functools import lru_cache

import gdb

from kd.target.command import KdError, explanations

PAGE = 4096
MASK = (1 << 64) - 1
LARGEST_PAGED = 1 << 20                     # a read that is longer is not pieced together from memory and page file
# Added by the model: (address, length) -> bytes that are not in memory, or None; address -> why it has nothing to read.
other_sources, reasons = [], []


def grave(address):
    """fffff800`12345678"""
    return f"{address >> 32 & 0xFFFFFFFF:08x}`{address & 0xFFFFFFFF:08x}"


def try_read(address, length):
    """The bytes at an address, or None; what is paged out is read from the page file where that is at hand."""
    data = memory_itself(address, length)
    if data is None and 0 < length <= LARGEST_PAGED and address >= 0:
        return next((found for source in other_sources if (found := source(address, length)) is not None), None)
    return data


def memory_itself(address, length):
    """The bytes at an address as they are in memory, or None."""
    if length == 0:
        return b""
    if address < 0 or length < 0 or address + length > MASK + 1:
        return None
    try:
        return bytes(gdb.selected_inferior().read_memory(address, length))
    except (gdb.error, MemoryError, OverflowError, ValueError):
        return None


def read(address, length):
    """The bytes at an address; KdError names the first that is not there."""
    data = try_read(address, length)
    if data is None:
        raise unreadable(first_unreadable(address, length))
    return data


def first_unreadable(address, length):
    """The first page's part of a range that cannot be read."""
    place = address
    while place < address + length:
        step = min(PAGE - place % PAGE, address + length - place)
        if try_read(place, step) is None:
            return place
        place += step
    return address


def unreadable(address):
    """The error for memory that is not there."""
    address &= MASK
    return KdError(f"memory at {grave(address)} cannot be read: {why_unreadable(address)}")


def is_readable(address, length=1):
    """Whether all of a range can be read."""
    return try_read(address, length) is not None


def u8(address):
    return read(address, 1)[0]


def u64(address):
    return struct.unpack("<Q", read(address, 8))[0]


pointer = u64


@lru_cache(maxsize=None)
def type_named(name):
    """A type of the kernel's by its name, with or without the underscore of its tag: gdb.Type, or KdError."""
    for candidate in (name, f"struct _{name}", f"struct {name}", f"union _{name}", f"union {name}", f"enum {name}"):
        try:
            return gdb.lookup_type(candidate).strip_typedefs()
        except gdb.error:
            continue
    raise KdError(f"there is no type '{name}' in the kernel's debug information")


def structure(name, address):
    """The structure of this type at an address; it is read when its fields are asked for."""
    return gdb.Value(address & MASK).cast(type_named(name).pointer()).dereference()


def field_type(found, word):
    """(offset in bits, type) of one field, also of a nameless structure or union inside; None."""
    found = found.strip_typedefs()
    if found.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return None
    for field in found.fields():
        if not hasattr(field, "bitpos"):
            continue
        if field.name == word:
            return field.bitpos, field.type
        inner = field_type(field.type, word) if not field.name else None
        if inner:
            return field.bitpos + inner[0], inner[1]
    return None


@lru_cache(maxsize=None)
def offset_of(name, path):
    """The offset in bytes of a field: offset_of("KPRCB", "DpcData.DpcLock")."""
    bits, found = 0, type_named(name)
    for word in path.split("."):
        step = field_type(found, word)
        if step is None:
            raise KdError(f"{name} has no field '{path}'")
        bits, found = bits + step[0], step[1]
    return bits // 8


def size_of(name):
    """The bytes of a type."""
    return type_named(name).sizeof


@lru_cache(maxsize=None)
def address_of(name):
    """The address of one of the kernel's symbols by name."""
    try:
        return int(gdb.parse_and_eval(f"(unsigned long)&'{name}'")) & MASK
    except gdb.error:
        raise KdError(f"the kernel has no symbol '{name}'") from None


def value_of(name):
    """The value of one of the kernel's variables: int for numbers and pointers, gdb.Value otherwise."""
    try:
        value = gdb.parse_and_eval(f"'{name}'")
    except gdb.error:
        raise KdError(f"the kernel has no variable '{name}'") from None
    kind = value.type.strip_typedefs().code
    try:
        return int(value) if kind in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_BOOL,
                                      gdb.TYPE_CODE_CHAR) else value
    except gdb.MemoryError:
        raise unreadable(address_of(name)) from None


def walk_list(head, name=None, field=None, limit=10000):
    """The addresses of the structures in a list, or of its entries where no type is given.

    A loop, a bad link or memory that is not there ends it with one line that says so.
    """
    offset = offset_of(name, field) if name else 0
    what = f"{name}.{field}" if name else "the list"
    seen, here = set(), head
    while True:
        links = try_read(here, 8)
        if links is None:
            print(f"kd: {what}: the list at {grave(head)} ends early: {unreadable(here)}")
            return
        following = struct.unpack("<Q", links)[0]
        back = try_read(following + 8, 8)
        if back is None:
            print(f"kd: {what}: the list at {grave(head)} is corrupt: Flink at {grave(here)} is {grave(following)}: "
                  f"{why_unreadable(following)}")
            return
        if struct.unpack("<Q", back)[0] != here:
            print(f"kd: {what}: the list at {grave(head)} is corrupt: Flink at {grave(here)} is {grave(following)}, "
                  f"but its Blink is {grave(struct.unpack('<Q', back)[0])}")
            return
        if following == head:
            return
        if following in seen or len(seen) >= limit:
            why = "it loops" if following in seen else f"more than {limit} entries"
            print(f"kd: {what}: the list at {grave(head)} ends at {grave(following)}: {why}")
            return
        seen.add(following)
        yield following - offset
        here = following


def text_at(address, limit=256):
    """The C string at an address, cut at limit; what is not ASCII shows as a dot."""
    found = b""
    while len(found) < limit:
        step = min(PAGE - (address + len(found)) % PAGE, limit - len(found))
        part = try_read(address + len(found), step)
        if part is None:
            if not found:
                raise unreadable(address)
            break
        found += part
        if 0 in part:
            break
    return printable(found.split(b"\0")[0].decode("latin-1"))


def printable(text):
    """A text without what would disturb a terminal."""
    return "".join(letter if " " <= letter <= "~" or letter > "\xa0" else "." for letter in text)


def unicode_text(value):
    """The text of a UNICODE_STRING, which is a gdb.Value or the address of one."""
    if isinstance(value, int):
        value = structure("UNICODE_STRING", value)
    length, buffer = int(value["Length"]), int(value["Buffer"])
    if length == 0 or buffer == 0:
        return ""
    return printable(read(buffer, length).decode("utf-16-le", "replace"))


def why_unreadable(address):
    """Why an address has nothing to read: not canonical, not mapped, paged out, not in the dump."""
    return reasons[0](address & MASK) if reasons else "not mapped, or not in the dump"


explanations.append(unreadable)
