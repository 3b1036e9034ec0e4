"""A crash dump checked without a debugger: its bugcheck, its memory, its damage.

    found = inspect("build/run/crash.elf")
    found.code, found.parameters, found.problems            # problems is empty for a dump that is whole

The format is in kernel/include/dump.h. A file that is no dump of this kernel raises NotADump with one line; a dump
that is torn, truncated or damaged is described as far as it can be read. Run by itself, it prints what it finds.
"""

import struct
import sys
import zlib
from dataclasses import dataclass, field

ELF = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
NOTE = struct.Struct("<III")
HEADER = struct.Struct("<8sIIII4QQIIQQQQIIII64s32s")
LEFT_OUT = struct.Struct("<QQII")
ET_CORE, PT_LOAD, PT_NOTE = 4, 1, 4
NT_PRSTATUS = 1
NOTE_HEADER, NOTE_LEFT_OUT = 0x42430001, 0x42430002
COMPLETE, CHECKED = 1, 2
LEVELS = {1: "small", 2: "full"}
REASONS = {1: "paged out", 2: "not chosen", 3: "device", 4: "demand zero", 5: "direct map", 6: "the dump's own buffer"}
HEADER_PAGE = 4096
LARGEST_NOTES = 64 << 20


class NotADump(Exception):
    """The file is no crash dump of this kernel, or cannot be read; the text is one line for the user."""


@dataclass
class Dump:
    """A dump's own facts, and its defects."""
    code: int = 0
    parameters: tuple = ()
    seed: int = 0
    level: str = ""                             # "small", "full"
    build: str = ""                             # "checked", "free"
    cpus: int = 0
    complete: bool = False                      # all of it was written
    problems: list = field(default_factory=list)    # one line each
    left_out: list = field(default_factory=list)    # (start, end, reason in words, page-file slot or None)
    guilty: int = 0                             # number of the CPU that died
    version: str = ""                           # of the kernel
    scenario: str = ""
    tsc: int = 0
    tsc_hz: int = 0
    total: int = 0                              # bytes that the whole file has
    size: int = 0                               # bytes that this file has
    slot_bytes: int = 4096                      # a page-file slot lies at slot * slot_bytes in the page file
    loads: list = field(default_factory=list)   # (start address, bytes in the file, file offset)


def text(data):
    return data.split(b"\0")[0].decode("ascii", "replace")


def notes(data):
    """(name, type, contents, offset of the contents) of each note in data, as far as they are whole."""
    at = 0
    while at + NOTE.size <= len(data):
        name_bytes, bytes_, kind = NOTE.unpack_from(data, at)
        start = at + NOTE.size + (name_bytes + 3 & ~3)
        end = start + bytes_
        if end > len(data):
            return
        yield text(data[at + NOTE.size:at + NOTE.size + name_bytes]), kind, data[start:end], start
        at = end + 3 & ~3


def read_headers(stream, size):
    """(program headers, offset of the notes, the notes' bytes); the note headers must lie in the file."""
    first = stream.read(ELF.size)
    if len(first) < ELF.size or first[:4] != b"\x7fELF":
        raise NotADump("it does not begin as an ELF file does")
    fields = ELF.unpack(first)
    kind, table, entry, count = fields[1], fields[5], fields[9], fields[10]
    if fields[0][4:6] != b"\x02\x01" or kind != ET_CORE or entry != PROGRAM_HEADER.size:
        raise NotADump("it is no ELF64 core file")
    # The table lies behind the notes. Where it is torn off, the notes begin right behind the ELF header all the same.
    headers = []
    if table + count * entry <= size:
        stream.seek(table)
        headers = list(PROGRAM_HEADER.iter_unpack(stream.read(count * entry)))
    noted = next((header for header in headers if header[0] == PT_NOTE), None)
    offset, length = (noted[2], noted[5]) if noted else (ELF.size, max(table, HEADER_PAGE) - ELF.size)
    if length > LARGEST_NOTES or offset > size:
        offset, length = ELF.size, HEADER_PAGE - ELF.size
    stream.seek(offset)
    return headers, offset, stream.read(length)


def checksum(stream, start, end):
    """CRC-32 of the file's bytes from start to end."""
    stream.seek(start)
    value, left = 0, end - start
    while left > 0:
        piece = stream.read(min(left, 1 << 20))
        if not piece:
            break
        value, left = zlib.crc32(piece, value), left - len(piece)
    return value


def header_checksum(page, offset):
    """CRC-32 of the header page with 0 in place of the checksum itself; offset is that of KD_DUMP_HEADER."""
    place = offset + HEADER.size - 32 - 64 - 4
    return zlib.crc32(page[:place] + bytes(4) + page[place + 4:])


def take_header(dump, header):
    (_, version, flags, level, dump.code, *numbers, version_text, scenario) = HEADER.unpack(header)
    dump.parameters, rest = tuple(numbers[:4]), numbers[4:]
    dump.seed, dump.guilty, dump.cpus, dump.tsc, dump.tsc_hz, dump.total, _, dump.slot_bytes = rest[:8]
    dump.level = LEVELS.get(level, f"unknown level {level}")
    dump.build = "checked" if flags & CHECKED else "free"
    dump.complete = bool(flags & COMPLETE)
    dump.version, dump.scenario = text(version_text), text(scenario)
    return version, rest


def judge(dump, stream, header_offset, rest):
    """Fills dump.problems: the first thing that is wrong comes first."""
    header_page_bytes, crc, header_crc = rest[8:11]
    stream.seek(0)
    page = stream.read(HEADER_PAGE)
    if dump.size < dump.total:
        dump.problems.append(f"truncated: {dump.size} of {dump.total} bytes are there")
    if len(page) == HEADER_PAGE and header_checksum(page, header_offset) != header_crc:
        dump.problems.append("its header page is damaged: the checksum in it does not fit it")
    if not dump.complete:
        dump.problems.append("torn: the machine did not come to the end of writing it")
    elif dump.size < dump.total:
        return
    elif header_page_bytes == HEADER_PAGE and checksum(stream, HEADER_PAGE, dump.total) != crc:
        dump.problems.append("CRC mismatch: its contents are not what the kernel wrote")


def examine(stream):
    dump = Dump(size=stream.seek(0, 2))
    stream.seek(0)
    headers, notes_offset, data = read_headers(stream, dump.size)
    header = left_out = None
    states = 0
    for name, kind, contents, offset in notes(data):
        if name == "Bugcheck" and kind == NOTE_HEADER and len(contents) >= HEADER.size:
            header, header_offset = contents[:HEADER.size], notes_offset + offset
        elif name == "Bugcheck" and kind == NOTE_LEFT_OUT:
            left_out = contents
        elif name == "CORE" and kind == NT_PRSTATUS:
            states += 1
    if header is None or header[:8] != b"BUGCHECK":
        raise NotADump("it is a core file, but none that this kernel wrote")
    version, rest = take_header(dump, header)
    if version != 1:
        raise NotADump(f"its format has version {version}, and this tool knows version 1")
    dump.loads = [(item[3], item[5], item[2]) for item in headers if item[0] == PT_LOAD]
    if left_out is not None:
        usable = len(left_out) // LEFT_OUT.size * LEFT_OUT.size
        dump.left_out = [(start, end, REASONS.get(reason, f"reason {reason}"), slot if reason == 1 else None)
                         for start, end, reason, slot in LEFT_OUT.iter_unpack(left_out[:usable])]
    judge(dump, stream, header_offset, rest)
    if not headers:
        dump.problems.append("none of its memory can be read: the table of ranges is not there")
    if states != dump.cpus:
        dump.problems.append(f"the registers of {states} CPUs are there, of {dump.cpus} should be")
    return dump


def inspect(path):
    """The Dump in a file; NotADump when it is none."""
    try:
        with open(path, "rb") as stream:
            return examine(stream)
    except OSError as error:
        raise NotADump(f"{path}: {error.strerror}") from None
    except NotADump as problem:
        raise NotADump(f"{path}: not a Bugcheck dump: {problem}") from None


def main(words):
    if len(words) != 1:
        print("usage: tools/tool machine.dumpfile FILE", file=sys.stderr)
        return 2
    try:
        dump = inspect(words[0])
    except NotADump as problem:
        print(f"bugcheck: {problem}", file=sys.stderr)
        return 2
    print(f"bugcheck 0x{dump.code:X} ({', '.join(f'0x{value:016X}' for value in dump.parameters)})")
    print(f"level {dump.level}, {dump.build} build, {dump.cpus} CPUs, CPU {dump.guilty} died, seed {dump.seed}, "
          f"{dump.version}{', scenario ' + dump.scenario if dump.scenario else ''}")
    print(f"{dump.total} bytes, {len(dump.loads)} ranges of memory, {len(dump.left_out)} left out")
    for problem in dump.problems:
        print(f"bugcheck: {words[0]}: {problem}", file=sys.stderr)
    return 1 if dump.problems else 0
