"""The sections, symbols and source lines of an ELF file, as binutils' readelf tells them."""
import re
import subprocess
from collections import namedtuple

from host.toolchain import tool

ET_REL = "REL"
SHN_UNDEF, SHN_ABS = "UND", "ABS"

Section = namedtuple("Section", "index name address size is_allocated")
Symbol = namedtuple("Symbol", "name value size bind type section")

SECTION_ROW = re.compile(r"^  \[ *(\d+)\] (\S+) +[A-Z_]+ +([0-9a-f]{16}) [0-9a-f]{6,} ([0-9a-f]{6,}) [0-9a-f]{2} +([A-Za-z]*) ")
SYMBOL_ROW = re.compile(r"^ *\d+: ([0-9a-f]{16}) +(\d+|0x[0-9a-f]+) (\w+) +(\w+) +\w+ +(?:\[[^]]*\] +)?(\w+) (\S+)$")
LINE_ROW = re.compile(r"^(\S+) +(\d+|-) +(0x[0-9a-f]+|0)\b")


class ElfError(Exception):
    """readelf cannot read the file."""


def readelf(path, *options):
    """The lines that readelf prints."""
    done = subprocess.run([tool("readelf"), "--wide", *options, path], capture_output=True, text=True, check=False,
                          errors="replace")         # it cuts long names, also within a letter
    if done.returncode != 0:
        raise ElfError(f"{path}: {done.stderr.strip()}")
    return done.stdout.splitlines()


class ElfFile:
    """One file; nothing of it is kept but what is asked for."""

    def __init__(self, path):
        self.path = path
        self.type, self.sections = None, []
        for line in readelf(path, "--file-header", "--section-headers"):
            if line.startswith("  Type:"):
                self.type = line.split()[1]
            row = SECTION_ROW.match(line)
            if row:
                self.sections.append(Section(int(row[1]), row[2], int(row[3], 16), int(row[4], 16), "A" in row[5]))

    def section(self, index):
        """The section of this index, None for the special ones."""
        return next((s for s in self.sections if s.index == index), None)

    def symbols(self):
        """Every named symbol; its section is an index, or SHN_UNDEF, SHN_ABS, COM."""
        for line in readelf(self.path, "--symbols"):
            row = SYMBOL_ROW.match(line)
            if row:
                index = int(row[5]) if row[5].isdigit() else row[5]
                yield Symbol(row[6], int(row[1], 16), int(row[2], 0), row[4], row[3], index)

    def lines(self):
        """(address, file, line) of the line table, in its order; line 0 ends a run of addresses."""
        for text in readelf(self.path, "--debug-dump=decodedline"):
            row = LINE_ROW.match(text)
            if row:
                yield int(row[3], 16), row[1], 0 if row[2] == "-" else int(row[2])
