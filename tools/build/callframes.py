"""DWARF's call frame information (.debug_frame): the way from an instruction to its caller.

A row holds from one address on: where the frame begins (the CFA: what rsp was before the call) and where the caller's
registers are. Registers have DWARF's numbers. The kernel's table (mksymbols.py) and the debugger (kd) are made from this.
"""
import struct
from bisect import bisect_right
from collections import namedtuple

RBX, RBP, RSP, RIP = 3, 6, 7, 16
NAMES = ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip")
SHT_RELA, SHF_ALLOC, SHN_LORESERVE = 4, 2, 0xFF00
R_X86_64_64 = 1

# cfa: (register, offset), None where only an expression tells. registers: {number: ("at", offset from the CFA),
# ("in", register), ("undefined",)}; what is not there is as the caller left it. is_interrupt: rip is no return address.
Row = namedtuple("Row", "cfa registers is_interrupt")
Common = namedtuple("Common", "code_unit data_unit is_interrupt row instructions")
Function = namedtuple("Function", "start end common instructions")


class Cursor:
    """Reads numbers from bytes, one after the other."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def number(self, size):
        self.at += size
        return int.from_bytes(self.data[self.at - size:self.at], "little")

    def leb(self, is_signed=False):
        value = shift = 0
        while True:
            byte = self.number(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value - (1 << shift) if is_signed and byte & 0x40 else value

    def skip(self, size):
        self.at += size

    def text(self):
        end = self.data.index(b"\0", self.at)
        self.at, start = end + 1, self.at
        return self.data[start:end].decode("ascii")


def sections_of(data):
    """[(name, type, flags, address, bytes, link, info)] of an ELF64 file."""
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<3H", data, 0x3A)
    rows = [struct.unpack_from("<2I4Q2I", data, table + number * size) for number in range(count)]
    strings = data[rows[names][4]:rows[names][4] + rows[names][5]]
    return [(Cursor(strings, row[0]).text(), row[1], row[2], row[3], data[row[4]:row[4] + row[5]], row[6], row[7])
            for row in rows]


def frame_section(data, places):
    """The bytes of .debug_frame. places: {section: address} of a relocatable file in memory; a function in a section that
    is not there stays at 0."""
    sections = sections_of(data)
    number = next((n for n, section in enumerate(sections) if section[0] == ".debug_frame"), None)
    if number is None:
        return b""
    content = bytearray(sections[number][4])
    for _, kind, _, _, relocations, link, info in sections:
        if kind != SHT_RELA or info != number:
            continue
        symbols = sections[link][4]
        for at, what, addend in struct.iter_unpack("<2Qq", relocations):
            _, _, _, section, value, _ = struct.unpack_from("<I2BH2Q", symbols, (what >> 32) * 24)
            if what & 0xFFFFFFFF == R_X86_64_64 and section < SHN_LORESERVE:
                place = places.get(sections[section][0])
                struct.pack_into("<Q", content, at, 0 if place is None else place + value + addend)
    return bytes(content)


class CallFrames:
    """The call frame information of one file."""

    def __init__(self, path, places=None):
        with open(path, "rb") as file:
            section = frame_section(file.read(), places or {})
        self.functions = sorted(self.read_functions(section), key=lambda function: function.start)
        self.starts = [function.start for function in self.functions]

    def read_functions(self, section):
        commons, at = {}, 0
        while at + 4 <= len(section):
            cursor = Cursor(section, at)
            end = cursor.number(4) + at + 4
            owner = cursor.number(4)
            if owner == 0xFFFFFFFF:
                commons[at] = read_common(cursor, end)
            else:
                start, size = cursor.number(8), cursor.number(8)
                yield Function(start, start + size, commons[owner], section[cursor.at:end])
            at = end

    def function_at(self, address):
        """The Function that an address lies in, or None."""
        index = bisect_right(self.starts, address) - 1
        return self.functions[index] if index >= 0 and address < self.functions[index].end else None

    def row_at(self, address):
        """The Row of an address, or None."""
        function, found = self.function_at(address), None
        for start, row in rows_of(function) if function else ():
            if start > address:
                break
            found = row
        return found


def read_common(cursor, end):
    version = cursor.number(1)
    augmentation = cursor.text()
    if version >= 4:
        cursor.number(2)                    # bytes of an address and of a segment
    code_unit, data_unit = cursor.leb(), cursor.leb(True)
    _ = cursor.number(1) if version == 1 else cursor.leb()
    common = Common(code_unit, data_unit, "S" in augmentation, None, cursor.data[cursor.at:end])
    first = Row(None, {}, common.is_interrupt)
    for _, first in run(common, common.instructions, 0, first):
        pass
    return common._replace(row=first)


def rows_of(function):
    """(address, Row) of a Function, in the order of addresses; one for each address."""
    last = None
    for found in run(function.common, function.instructions, function.start, function.common.row):
        if last and found[0] != last[0]:
            yield last
        last = found
    if last:
        yield last


def run(common, instructions, address, row):
    """Interprets instructions: (address, Row) after each run of them that belongs to one address."""
    cursor, kept = Cursor(instructions), []
    cfa, registers = row.cfa, dict(row.registers)

    def now():
        return address, Row(cfa, dict(registers), row.is_interrupt)

    def restore(number):
        registers.pop(number, None)
        if number in common.row.registers:
            registers[number] = common.row.registers[number]

    while cursor.at < len(instructions):
        code = cursor.number(1)
        high, low = code & 0xC0, code & 0x3F
        if high == 0x40 or code in (0x02, 0x03, 0x04):              # advance_loc
            yield now()
            address += (low if high else cursor.number(1 << code - 2)) * common.code_unit
        elif high == 0x80:                                          # offset
            registers[low] = ("at", cursor.leb() * common.data_unit)
        elif high == 0xC0:                                          # restore
            restore(low) if common.row else registers.pop(low, None)
        elif code == 0x05:                                          # offset_extended
            number = cursor.leb()
            registers[number] = ("at", cursor.leb() * common.data_unit)
        elif code == 0x06:                                          # restore_extended
            restore(cursor.leb())
        elif code == 0x07:                                          # undefined
            registers[cursor.leb()] = ("undefined",)
        elif code == 0x08:                                          # same_value
            registers.pop(cursor.leb(), None)
        elif code == 0x09:                                          # register
            number = cursor.leb()
            registers[number] = ("in", cursor.leb())
        elif code == 0x0A:                                          # remember_state
            kept.append((cfa, dict(registers)))
        elif code == 0x0B:                                          # restore_state
            cfa, registers = kept.pop()
        elif code == 0x0C:                                          # def_cfa
            number = cursor.leb()
            cfa = (number, cursor.leb())
        elif code == 0x0D:                                          # def_cfa_register
            cfa = (cursor.leb(), cfa[1])
        elif code == 0x0E:                                          # def_cfa_offset
            cfa = (cfa[0], cursor.leb())
        elif code == 0x0F:                                          # def_cfa_expression
            cfa = None
            cursor.skip(cursor.leb())
        elif code in (0x10, 0x16):                                  # expression, val_expression
            registers[cursor.leb()] = ("undefined",)
            cursor.skip(cursor.leb())
        elif code == 0x2E:                                          # GNU_args_size
            cursor.leb()
        elif code != 0x00:
            raise ValueError(f"call frame instruction {code:#x} at {address:#x} is not known")
    yield now()
