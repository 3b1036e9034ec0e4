"""Runs DWARF line programs (versions 2 to 5): which address belongs to which line of which file."""
import struct

from elffile import SHF_COMPRESSED, ElfError

LNS_COPY, LNS_ADVANCE_PC, LNS_ADVANCE_LINE, LNS_SET_FILE, _, LNS_NEGATE_STMT, LNS_BASIC_BLOCK, \
    LNS_CONST_ADD_PC, LNS_FIXED_ADVANCE_PC = range(1, 10)
LNE_END_SEQUENCE, LNE_SET_ADDRESS = 1, 2
LNCT_PATH = 1
FORM_STRING, FORM_LINE_STRP, FORM_STRP, FORM_UDATA, FORM_DATA1, FORM_DATA2, FORM_DATA4, FORM_DATA8, FORM_DATA16 = \
    0x08, 0x1F, 0x0E, 0x0F, 0x0B, 0x05, 0x06, 0x07, 0x1E


class Reader:
    """A cursor over bytes."""

    def __init__(self, data, position=0):
        self.data, self.position = data, position

    def number(self, code):
        value, = struct.unpack_from("<" + code, self.data, self.position)
        self.position += struct.calcsize(code)
        return value

    def uleb(self):
        value = shift = 0
        while True:
            byte = self.data[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def sleb(self):
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) else value

    def string(self):
        end = self.data.index(0, self.position)
        text = self.data[self.position:end].decode("utf-8", "replace")
        self.position = end + 1
        return text


def sequences(elf):
    """Yields each sequence of each unit as a list of (address, file, line); line 0 marks its end."""
    line_section = elf.section(".debug_line")
    if line_section is None:
        return
    tables = {}
    for form, name in ((FORM_LINE_STRP, ".debug_line_str"), (FORM_STRP, ".debug_str")):
        section = elf.section(name)
        tables[form] = elf.data(section) if section else b"\0"
        if section and section.flags & SHF_COMPRESSED:
            raise ElfError(f"{name} is compressed: build without -gz")
    data = elf.data(line_section)
    position = 0
    while position + 4 <= len(data):
        length, = struct.unpack_from("<I", data, position)
        end = position + 4 + length
        yield from run_unit(Reader(data, position + 4), end, tables)
        position = end


def run_unit(reader, end, tables):
    version = reader.number("H")
    if not 2 <= version <= 5:
        raise ElfError(f"line table of version {version}")
    if version == 5:
        reader.number("H")  # sizes of addresses and segment selectors
    header_length = reader.number("I")
    program = reader.position + header_length
    minimum = reader.number("B")
    if version >= 4:
        reader.number("B")
    reader.number("B")
    line_base, line_range, opcode_base = reader.number("b"), reader.number("B"), reader.number("B")
    lengths = [0] + [reader.number("B") for _ in range(opcode_base - 1)]
    files = file_names_5(reader, tables) if version == 5 else file_names_2(reader)
    reader.position = program
    yield from run_program(reader, end, files, (minimum, line_base, line_range, opcode_base, lengths))


def file_names_2(reader):
    while reader.string():
        pass  # folders
    names = [""]
    while True:
        name = reader.string()
        if not name:
            return names
        names.append(name)
        for _ in range(3):
            reader.uleb()


def file_names_5(reader, tables):
    names = []
    for _ in ("folders", "files"):
        format_count = reader.number("B")
        formats = [(reader.uleb(), reader.uleb()) for _ in range(format_count)]
        names = []
        for _ in range(reader.uleb()):
            name = ""
            for content, form in formats:
                value = read_form(reader, form, tables)
                name = value if content == LNCT_PATH else name
            names.append(name)
    return names


def read_form(reader, form, tables):
    if form == FORM_STRING:
        return reader.string()
    if form in tables:
        return Reader(tables[form], reader.number("I")).string()
    if form == FORM_UDATA:
        return reader.uleb()
    if form == FORM_DATA16:
        reader.position += 16
        return 0
    code = {FORM_DATA1: "B", FORM_DATA2: "H", FORM_DATA4: "I", FORM_DATA8: "Q"}.get(form)
    if code is None:
        raise ElfError(f"line table with form {form:#x}")
    return reader.number(code)


def run_program(reader, end, files, parameters):
    minimum, line_base, line_range, opcode_base, lengths = parameters
    data = reader.data
    const_advance = (255 - opcode_base) // line_range * minimum
    address, file, line, rows = 0, 1, 1, []
    while reader.position < end:
        opcode = data[reader.position]
        reader.position += 1
        if opcode >= opcode_base:
            opcode -= opcode_base
            address += opcode // line_range * minimum
            line += line_base + opcode % line_range
            rows.append((address, files[file], line))
        elif opcode == 0:
            length = reader.uleb()
            next_position = reader.position + length
            extended = reader.number("B")
            if extended == LNE_END_SEQUENCE:
                rows.append((address, "", 0))
                yield rows
                address, file, line, rows = 0, 1, 1, []
            elif extended == LNE_SET_ADDRESS:
                address = reader.number("Q")
            reader.position = next_position
        elif opcode == LNS_COPY:
            rows.append((address, files[file], line))
        elif opcode == LNS_ADVANCE_PC:
            address += reader.uleb() * minimum
        elif opcode == LNS_ADVANCE_LINE:
            line += reader.sleb()
        elif opcode == LNS_SET_FILE:
            file = reader.uleb()
        elif opcode == LNS_CONST_ADD_PC:
            address += const_advance
        elif opcode == LNS_FIXED_ADVANCE_PC:
            address += reader.number("H")
        elif opcode not in (LNS_NEGATE_STMT, LNS_BASIC_BLOCK):
            for _ in range(lengths[opcode]):
                reader.uleb()
