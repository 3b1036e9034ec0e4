"""The kernel.elf that a memory belongs to: its code is in it, byte for byte. Needs no GDB.

    fits("build/checked/kernel.elf", reader)        # True, False, or None where the memory has nothing to compare

reader(address, length) gives the bytes at an address, or None. Data changes while a kernel runs, code and constants do
not; a breakpoint that a debugger has set is forgiven.
"""

import struct

ELF = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM = struct.Struct("<IIQQQQQQ")
PT_LOAD, WRITABLE = 1, 2
PAGE = 4096
HIGH = 1 << 63
BREAKPOINTS = 64                            # bytes that may differ: int3 in place of an instruction's first byte
INT3 = 0xCC


class NotAnElf(Exception):
    """The file is no ELF64 file that could be read; the text is one line."""


def program_headers(path):
    """[(type, flags, offset, address, bytes in the file)] of an ELF64 file."""
    try:
        with open(path, "rb") as file:
            first = file.read(ELF.size)
            if len(first) < ELF.size or first[:5] != b"\x7fELF\x02":
                raise NotAnElf(f"{path}: no ELF64 file")
            fields = ELF.unpack(first)
            file.seek(fields[5])
            table = file.read(PROGRAM.size * fields[10])
    except OSError as problem:
        raise NotAnElf(f"{path}: {problem.strerror}") from None
    usable = len(table) // PROGRAM.size * PROGRAM.size
    return [(row[0], row[1], row[2], row[3], row[5]) for row in PROGRAM.iter_unpack(table[:usable])]


def is_core(path):
    """Whether a file is an ELF64 core."""
    try:
        with open(path, "rb") as file:
            first = file.read(ELF.size)
    except OSError:
        return False
    return len(first) == ELF.size and first[:5] == b"\x7fELF\x02" and ELF.unpack(first)[1] == 4


def constant_pages(path):
    """Yields (address, bytes) of each page of a kernel's code and constants."""
    with open(path, "rb") as file:
        for kind, flags, offset, address, length in program_headers(path):
            if kind != PT_LOAD or flags & WRITABLE or address < HIGH:
                continue
            for place in range(0, length, PAGE):
                file.seek(offset + place)
                yield address + place, file.read(min(PAGE, length - place))


def fits(path, reader):
    """Whether what there is of a kernel's code in memory is this kernel's; None: nothing of it is there."""
    compared = forgiven = 0
    for address, expected in constant_pages(path):
        found = reader(address, len(expected))
        if found is None:
            continue
        compared += 1
        if found != expected:
            wrong = [byte for byte, right in zip(found, expected) if byte != right]
            forgiven += len(wrong)
            if forgiven > BREAKPOINTS or any(byte != INT3 for byte in wrong):
                return False
    return True if compared else None


def core_reader(path):
    """A reader of an ELF core's memory, as far as the file goes."""
    loads = [(address, length, offset) for kind, _, offset, address, length in program_headers(path) if kind == PT_LOAD]
    file = open(path, "rb")     # lives as long as the reader

    def read(address, length):
        for start, size, offset in loads:
            if start <= address and address + length <= start + size:
                file.seek(offset + address - start)
                data = file.read(length)
                return data if len(data) == length else None
        return None
    return read
