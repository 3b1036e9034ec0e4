"""Frame tables for GDB of the few frames that continue on another stack: interrupted code, and the call onto a stack.

GDB takes a caller whose stack lies below its callee's for damage and stops, unless the frame between them is marked as a
signal's ("S"); behind a signal's frame it takes the address as that of the interrupted instruction, too. Only DWARF can
mark a frame so. These tables are a small ELF file made here; nothing of the kernel is changed.
"""

import os
import struct
import tempfile

import gdb

from kd.memory import address_of, offset_of

DWARF = {name: number for number, name in enumerate(
    ("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"))}
DEF_CFA, DEF_CFA_EXPRESSION, EXPRESSION, OFFSET = 0x0C, 0x0F, 0x10, 0x80
DW_OP_BREG0, DW_OP_DEREF = 0x70, 0x06
NO_CIE = 0xFFFFFFFF
covered = []                                # (start, end) of what the tables describe


def unsigned(value):
    """ULEB128."""
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


def signed(value):
    """SLEB128 of a number that is not negative."""
    return unsigned(value) if value & 0x40 == 0 and value < 0x40 else unsigned_with_room(value)


def unsigned_with_room(value):
    """ULEB128 whose last byte has its sign bit clear."""
    out = bytearray(unsigned(value))
    if out[-1] & 0x40:
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def at_frame(offset):
    """The expression rbp + offset."""
    return bytes([DW_OP_BREG0 + DWARF["rbp"]]) + signed(offset)


def rule(register, offset):
    """A register lies at rbp + offset."""
    place = at_frame(offset)
    return bytes([EXPRESSION]) + unsigned(DWARF[register]) + unsigned(len(place)) + place


def trap_rules():
    """Everything of the interrupted code stands in the KTRAP_FRAME at rbp."""
    stack = at_frame(offset_of("KTRAP_FRAME", "Rsp")) + bytes([DW_OP_DEREF])
    return bytes([DEF_CFA_EXPRESSION]) + unsigned(len(stack)) + stack + b"".join(
        rule(name, offset_of("KTRAP_FRAME", name.capitalize())) for name in DWARF if name != "rsp")


def call_rules():
    """An ordinary frame by rbp: [rbp] = the caller's rbp, [rbp + 8] = the return address."""
    return bytes([DEF_CFA]) + unsigned(DWARF["rbp"]) + unsigned(16) + bytes([OFFSET | DWARF["rbp"], 2, OFFSET | DWARF["rip"], 1])


def padded(body):
    return body + bytes(-(len(body) + 4) % 8)       # DW_CFA_nop


def entry(body):
    body = padded(body)
    return struct.pack("<I", len(body)) + body


def frame_section(ranges):
    """.debug_frame for [(start, end, rules)]."""
    section = entry(struct.pack("<IB", NO_CIE, 1) + b"S\0" + unsigned(1) + b"\x78" + bytes([DWARF["rip"]]))   # data: -8
    for start, end, rules in ranges:
        section += entry(struct.pack("<IQQ", 0, start, end - start) + rules)
    return section


def elf_file(frames, start, end):
    """An ELF file with .debug_frame, and an empty .text where the code lies."""
    names = b"\0.text\0.debug_frame\0.shstrtab\0"
    header, row = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQIIQQ")
    at = header.size
    rows = [row.pack(*[0] * 10), row.pack(1, 8, 6, start, at, end - start, 0, 0, 1, 0),
            row.pack(7, 1, 0, 0, at, len(frames), 0, 0, 8, 0), row.pack(20, 3, 0, 0, at + len(frames), len(names), 0, 0, 1, 0)]
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    return header.pack(ident, 2, 62, 1, 0, 0, at + len(frames) + len(names), 0, 64, 0, 0, row.size, len(rows), 3) + (
        frames + names + b"".join(rows))


def trap_ranges():
    """The parts of trap.asm in which rbp is the KTRAP_FRAME and rsp has not moved on."""
    from kd.asmframes import trap_state
    start, end = address_of("KiVectorStubs") + 256 * 16, address_of("KiTrapCodeEnd")
    found, since = [], None
    for instruction in gdb.selected_inferior().architecture().disassemble(start, end - 1):
        state = trap_state(instruction["addr"])
        inside = state is not None and state.frame_offset is not None and state.base == "rsp" and (
            state.offset == state.frame_offset == offset_of("KTRAP_FRAME", "Rip"))
        if inside and since is None:
            since = instruction["addr"]
        elif not inside and since is not None:
            found.append((since, instruction["addr"], trap_rules()))
            since = None
    return found


def stack_switch_range():
    """The part of KiCallOnStack that runs on, or waits for, the other stack."""
    from kd.asmframes import call_state
    start = address_of("KiCallOnStack")
    instructions = gdb.selected_inferior().architecture().disassemble(start, start + 32)
    inside = [one["addr"] for one in instructions
              if (state := call_state(one["addr"])) is not None and state.frame_offset is not None]
    return [(inside[0], inside[-1] + 1, call_rules())] if inside else []


def install(folder=None):
    """Gives GDB the tables; folder is where the file lies while GDB runs."""
    gdb.execute("set trust-readonly-sections on")      # the file's code: a machine at its reset has not loaded it yet
    try:
        ranges = trap_ranges() + stack_switch_range()
    finally:
        gdb.execute("set trust-readonly-sections off")
    if not ranges:
        return
    start, end = min(one[0] for one in ranges), max(one[1] for one in ranges)
    path = os.path.join(folder or tempfile.mkdtemp(prefix="bugcheck-kd-"), "frames.elf")
    with open(path, "wb") as file:
        file.write(elf_file(frame_section(ranges), start, end))
    gdb.execute(f"add-symbol-file {path}", to_string=True)
    covered[:] = [(start, end) for start, end, _ in ranges]


def covers(address):
    """Whether the tables describe the frame at an address."""
    return any(start <= address < end for start, end in covered)
