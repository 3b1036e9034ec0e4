"""Arrays of the kernel's structures, a thousand entries read in one piece."""

import gdb

from kd.target.command import KdError
from kd.target.memory import field_type, offset_of, read, type_named

CHUNK = 1 << 20


def place_of(name, field):
    """Where a number field lies: (offset, bytes, is signed)."""
    found = field_type(type_named(name), field)
    if found is None:
        raise KdError(f"{name} has no field '{field}'; open the kernel.elf that this memory belongs to")
    plain = found[1].strip_typedefs()
    signed = plain.code == gdb.TYPE_CODE_INT and plain.is_signed
    return offset_of(name, field), plain.sizeof, signed


def records(name, address, count, *fields):
    """Yields a tuple of the named number fields for each of count structures that stand in a row."""
    size, places = type_named(name).sizeof, [place_of(name, field) for field in fields]
    step = max(1, CHUNK // size)
    for first in range(0, count, step):
        batch = min(step, count - first)
        raw = read(address + first * size, batch * size)
        for at in range(0, batch * size, size):
            yield tuple(int.from_bytes(raw[at + offset:at + offset + width], "little", signed=signed)
                        for offset, width, signed in places)


def static(source, name):
    """A variable that only one source file knows, as a gdb.Value: static("bigpool.c", "Table")."""
    try:
        return gdb.parse_and_eval(f"'{source}'::{name}")
    except gdb.error as problem:
        raise KdError(f"{source} has no variable {name} in these symbols: {problem}") from None
