"""Memory as WinDbg shows it: db dd dq dc dps, dt of structures, .formats of a number."""

import gdb

from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import MASK, grave, try_read, type_named, unreadable
from kd.target.symbols import nearest, symbol

ROW = 16                                    # bytes
MOST = 1 << 20                              # bytes of one command


def range_of(arguments, default, unit):
    """(address, units) of "ADDRESS [LCOUNT]"."""
    words = list(arguments)
    if not words:
        raise KdError("an address is missing")
    count = default
    if len(words) > 1 and words[-1][:1] in "lL" and len(words[-1]) > 1:
        count = evaluate(words.pop()[1:])
    if count * unit > MOST:
        raise KdError(f"{count:#x} units are more than one command shows ({MOST // unit:#x})")
    if count == 0:
        raise KdError("L0 asks for nothing; L1 is the least")
    return evaluate(" ".join(words)), count


def bytes_at(address, length):
    """One row: each byte, None where it cannot be read. KdError for what lies outside of the address space."""
    data = try_read(address & MASK, length)
    if data is not None:
        return list(data)
    return [one[0] if (one := try_read(address + index & MASK, 1)) else None for index in range(length)]


def letters(row):
    return "".join("?" if byte is None else chr(byte) if 32 <= byte < 127 else "." for byte in row)


def number(row):
    """The bytes of one number as text, in the order of digits; ? where it cannot be read."""
    return "??" * len(row) if None in row else bytes(reversed(row)).hex()


def show(arguments, unit, default, with_letters, with_grave=False):
    """db, dd, dq, dc: rows of 16 bytes."""
    address, count = range_of(arguments, default, unit)
    left, seen, first = count * unit, False, address
    while left > 0:
        row = bytes_at(address, min(ROW, left))
        seen = seen or any(byte is not None for byte in row)
        cells = [number(row[at:at + unit]) for at in range(0, len(row), unit)]
        cells = [f"{cell[:8]}`{cell[8:]}" for cell in cells] if with_grave else cells
        text = " ".join(cells)
        if unit == 1 and len(cells) > 8:
            text = " ".join(cells[:8]) + "-" + " ".join(cells[8:])
        width = ROW // unit * (2 * unit + 1 + with_grave) - 1
        print(f"{grave(address & MASK)}  {text:{width}}{'  ' + letters(row) if with_letters else ''}".rstrip())
        address, left = address + ROW, left - ROW
    if not seen:
        raise unreadable(first)


@command("db", "ADDRESS [LCOUNT]", "memory as bytes and letters")
def show_bytes(arguments):
    """L20 after the address: 0x20 bytes. Memory that cannot be read shows as ??."""
    show(arguments, 1, 128, True)


@command("dd", "ADDRESS [LCOUNT]", "memory as words of 32 bits")
def show_doubles(arguments):
    """As db."""
    show(arguments, 4, 32, False)


@command("dq", "ADDRESS [LCOUNT]", "memory as words of 64 bits")
def show_quads(arguments):
    """As db."""
    show(arguments, 8, 16, False, True)


@command("dc", "ADDRESS [LCOUNT]", "memory as words of 32 bits, and letters")
def show_doubles_and_letters(arguments):
    """As db."""
    show(arguments, 4, 32, True)


@command("dps", "ADDRESS [LCOUNT]", "memory as pointers, with the symbol that each points to")
def show_pointers(arguments):
    """For stacks and tables of routines. Where an address has a source line, it is shown too."""
    address, count = range_of(arguments, 16, 8)
    seen = False
    for place in range(address, address + 8 * count, 8):
        data = try_read(place & MASK, 8)
        seen = seen or data is not None
        print(f"{grave(place & MASK)}  {pointer_text(data)}".rstrip())
    if not seen:
        raise unreadable(address)


def pointer_text(data):
    if data is None:
        return "????????`????????"
    value = int.from_bytes(data, "little")
    found = nearest(value)
    if found is None:
        return grave(value)
    line = f" [{found[3]} @ {found[4]}]" if found[3] else ""
    return f"{grave(value)} {symbol(value)}{line}"


@command("dt", "TYPE [ADDRESS] | TYPE FIELD [ADDRESS]", "a structure: its fields with offsets, and their contents")
def show_type(arguments):
    """dt KTHREAD: the fields. dt KTHREAD ADDRESS: with what is there. dt KTHREAD Wait: fields that begin with Wait.
    A module's types are found by their names alone; nt!_KTHREAD is taken too."""
    if not arguments:
        raise KdError("a type is missing: dt KTHREAD [ADDRESS]")
    name = arguments[0].rpartition("!")[2]
    kind = type_named(name.removeprefix("_") if name.startswith("_") else name)
    fields, address = [], None
    for word in arguments[1:]:
        if is_field(kind, word) and address is None:
            fields.append(word)
        else:
            address = evaluate(word)
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        show_plain(name, kind, address)
        return
    show_fields(name, kind, fields, address)


def is_field(kind, word):
    """Whether a word is the beginning of a field's name: not of an address."""
    return any(found[1].lower().startswith(word.lower()) for found in fields_of(kind))


def fields_of(kind, base=0):
    """[(offset, name, type, bit offset, bits)] with those of nameless structures inside."""
    if kind.code not in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return []
    found = []
    for field in kind.fields():
        if not hasattr(field, "bitpos"):
            continue
        if not field.name:
            found += fields_of(field.type.strip_typedefs(), base + field.bitpos // 8)
        else:
            found.append((base + field.bitpos // 8, field.name, field.type, field.bitpos % 8, field.bitsize))
    return found


def show_plain(name, kind, address):
    if address is None:
        print(f"{name}: {kind}, {kind.sizeof} bytes")
        return
    print(gdb.Value(address).cast(kind.pointer()).dereference().format_string(max_elements=16))


def show_fields(name, kind, wanted, address):
    """The rows of dt."""
    if address is not None and try_read(address, kind.sizeof) is None and try_read(address, 1) is None:
        raise unreadable(address)
    for offset, field, type_, bit, bits in fields_of(kind):
        if wanted and not any(field.lower().startswith(word.lower()) for word in wanted):
            continue
        text = f"Pos {bit}, {bits} Bits" if bits else type_text(type_)
        if address is not None:
            text = contents(address + offset, type_, bit, bits)
        print(f"   +0x{offset:03x} {field:24} : {text}")
    if not wanted:
        print(f"   {name}: {kind.sizeof:#x} bytes")


def type_text(type_):
    """Ptr64 KTHREAD for KTHREAD *."""
    kind = type_.unqualified()
    if kind.strip_typedefs().code == gdb.TYPE_CODE_PTR and kind.code == gdb.TYPE_CODE_PTR:
        return f"Ptr64 {kind.target().unqualified()}"
    return str(kind)


def contents(address, type_, bit=0, bits=0):
    """A field's contents, in a few words."""
    kind = type_.strip_typedefs()
    data = try_read(address & MASK, kind.sizeof)
    if data is None:
        return "??"
    value = int.from_bytes(data[:8], "little")
    if bits:
        return f"{value >> bit & (1 << bits) - 1:#x}"
    if kind.code == gdb.TYPE_CODE_PTR:
        found = nearest(value)
        return f"0x{grave(value)} {symbol(value)}" if found else f"0x{grave(value)}" if value else "(null)"
    if kind.code == gdb.TYPE_CODE_ARRAY:
        return array_text(kind, data, type_)
    if kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return structure_text(address, type_, kind)
    if kind.code == gdb.TYPE_CODE_ENUM:
        return f"{value:#x} ({gdb.Value(data, kind)})"
    return f"{value:#x}" if kind.sizeof > 1 else f"{value:#x}{f' {chr(value)!r}' if 32 < value < 127 else ''}"


def array_text(kind, data, type_):
    target = kind.target().strip_typedefs()
    if target.sizeof == 1 and any(data):
        text = data.split(b"\0")[0]
        return f'[{kind.sizeof}] "{letters(text)}"' if all(32 <= byte < 127 for byte in text) else f"{type_}"
    return f"{type_}"


def structure_text(address, type_, kind):
    """A structure in a line: a printer's words where there is one (LIST_ENTRY, UNICODE_STRING, ...)."""
    value = gdb.Value(address).cast(type_.unqualified().pointer()).dereference()
    printer = gdb.default_visualizer(value)
    try:
        text = printer.to_string() if printer is not None else None
    except (gdb.error, KdError):
        text = None
    return f"{type_.unqualified()} {text}" if text else f"{type_.unqualified()}"


@command(".formats", "EXPRESSION", "a number in all bases, and as letters and a time")
def formats(arguments):
    """Hex, decimal, octal, binary, letters; Time is what a LARGE_INTEGER of 100 ns units since 1601 says."""
    value = evaluate(" ".join(arguments))
    data = value.to_bytes(8, "big")
    print("Evaluate expression:")
    print(f"  Hex:     {grave(value)}")
    print(f"  Decimal: {value - (value >> 63 << 64)}")
    print(f"  Octal:   {value:022o}")
    print("  Binary:  " + " ".join(f"{byte:08b}" for byte in data))
    print(f"  Chars:   {letters(data)}")
    print(f"  Time:    {time_text(value)}")


def time_text(value):
    """A number of 100 ns units since 1601 as a time."""
    from datetime import datetime, timedelta
    try:
        return (datetime(1601, 1, 1) + timedelta(microseconds=value // 10)).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    except OverflowError:
        return "Invalid"

