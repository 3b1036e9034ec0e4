"""The source lines of NAME.sym, which are those that the kernel prints.

GDB's own are not the same: it takes an instruction for a part of the next statement where the compiler has moved it
there, and a call of an inline function of the headers for the header.
"""

import os
import struct
from bisect import bisect_right

MAGIC = b"BCSYM02\0"
HEADER = struct.Struct("<8sQ14I")           # tools/build/mksymbols.py says what is where
GROUP = struct.Struct("<7I")
LINE = struct.Struct("<IHH")


class LineTable:
    """One file: {ELF section index: ([offset], [(file, line)])}; the index is 0 in the kernel's, from its base on."""

    def __init__(self, data):
        magic, self.base, *tables = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ValueError("no symbol file of this version")
        groups, _, lines, _, _, files, strings = zip(tables[::2], tables[1::2])
        names = [text_at(data, strings[1] + name) for name, in struct.iter_unpack("<I", data[files[1]:files[1] + 4 * files[0]])]
        self.groups = {}
        for index, _, _, first, count, _, _ in GROUP.iter_unpack(data[groups[1]:groups[1] + groups[0] * GROUP.size]):
            start = lines[1] + first * LINE.size
            rows = list(LINE.iter_unpack(data[start:start + count * LINE.size]))
            self.groups[index] = [offset for offset, _, _ in rows], [(names[file], line) for _, file, line in rows]

    def line_at(self, index, offset):
        """(file, line) of an offset in a group, or None."""
        offsets, places = self.groups.get(index, ((), ()))
        row = bisect_right(offsets, offset) - 1
        return places[row] if row >= 0 and places[row][1] else None


def text_at(data, start):
    return data[start:data.index(b"\0", start)].decode("ascii")


def read(path):
    """The LineTable for a file with debug information (kernel.elf, NAME.dbg), made beside it; None where there is none."""
    folder, file = os.path.split(path)
    name = os.path.splitext(file)[0] + ".sym"
    for place in (folder, os.path.join(folder, "symbols"), os.path.join(folder, "..", "symbols")):
        try:
            with open(os.path.join(place, name), "rb") as table:
                return LineTable(table.read())
        except (OSError, ValueError, struct.error):
            continue
    return None
