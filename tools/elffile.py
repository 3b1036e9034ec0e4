"""A reader for the part of ELF64 that the build tools need: sections, their bytes, symbols. For x86-64."""
import struct
from collections import namedtuple

SHT_SYMTAB = 2
SHT_NOBITS = 8
SHF_ALLOC = 2
SHF_EXECINSTR = 4
SHF_COMPRESSED = 0x800
SHN_UNDEF = 0
SHN_ABS = 0xFFF1
STB_LOCAL = 0
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = range(5)

Section = namedtuple("Section", "index name type flags address offset size link info entsize")
Symbol = namedtuple("Symbol", "name value size bind type section")


class ElfError(Exception):
    """The file is no ELF64 file that these tools can read."""


class ElfFile:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        if self.bytes[:6] != b"\x7fELF\x02\x01":
            raise ElfError(f"{path}: not a little-endian ELF64 file")
        header = struct.unpack_from("<16xHHIQQQIHHHHHH", self.bytes)
        self.type, self.machine = header[0], header[1]
        table, entry, count, names = header[5], header[10], header[11], header[12]
        raw = [struct.unpack_from("<IIQQQQIIQQ", self.bytes, table + entry * i) for i in range(count)]
        strings = raw[names][4] if count else 0
        self.sections = [
            Section(i, self._string(strings + r[0]), r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[9])
            for i, r in enumerate(raw)
        ]

    def _string(self, offset):
        return self.bytes[offset:self.bytes.index(0, offset)].decode("ascii", "replace")

    def data(self, section):
        if section.type == SHT_NOBITS:
            return bytes(section.size)
        return self.bytes[section.offset:section.offset + section.size]

    def section(self, name):
        return next((s for s in self.sections if s.name == name), None)

    def symbols(self):
        table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
        if table is None:
            return []
        strings = self.data(self.sections[table.link])
        result = []
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", self.data(table)):
            text = strings[name:strings.index(0, name)].decode("ascii", "replace")
            result.append(Symbol(text, value, size, info >> 4, info & 15, section))
        return result
