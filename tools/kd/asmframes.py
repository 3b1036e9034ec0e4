"""Where the return address lies at each instruction of the assembly, found by following its pushes and pops.

NASM writes no frame tables. Its functions are short and plain, so their text is the table: from the function's first
instruction to the one in question, what changes rsp or rbp is counted. A jump hands its state to its target.

        call kind       [top] = return address                      rsp of the caller = top + 8
        trap kind       [top] = Rip, Cs, EFlags, Rsp, Ss            rsp of the interrupted code = [top + 18h]
"""

import re

import gdb

from kd.memory import address_of
from kd.symbols import raw_symbol

WORD = 8
ERROR_CODE_VECTORS = {8, 10, 11, 12, 13, 14, 17, 21, 29, 30}
STUB_BYTES = 16
LONGEST = 0x400                             # bytes of one function
REGISTERS = {"rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"}


class State:
    """Where things are before an instruction: top = register base + offset; saved: register -> bytes below top."""

    def __init__(self, kind, base="rsp", offset=0, saved=None, frame_offset=None):
        self.kind, self.base, self.offset, self.saved = kind, base, offset, dict(saved or {})
        self.frame_offset = frame_offset    # top - rbp, once rbp points into the frame

    def copy(self):
        return State(self.kind, self.base, self.offset, self.saved, self.frame_offset)

    def push(self, register):
        self.offset += WORD
        if register in REGISTERS and register not in self.saved:
            self.saved[register] = self.offset

    def pop(self, register):
        if self.saved.get(register) == self.offset:
            del self.saved[register]
        self.offset -= WORD
        if register == "rbp":
            self.frame_offset = None


def number(text):
    return int(text, 16) if text.startswith("0x") else int(text)


def step(state, text):
    """Applies one instruction in Intel's syntax; the state is followed along rsp, and along rbp where rsp moves away."""
    name, _, operands = text.partition(" ")
    first, _, second = operands.strip().partition(",")
    first = first.strip()
    if name == "push":
        state.push(first)
    elif name == "pop":
        state.pop(first)
    elif name in ("sub", "add") and first == "rsp" and re.fullmatch(r"0x[0-9a-f]+|\d+", second):
        state.offset += number(second) * (1 if name == "sub" else -1)
    elif name == "mov" and (first, second) == ("rbp", "rsp"):
        state.frame_offset = state.offset
    elif name == "mov" and (first, second) == ("rsp", "rbp"):
        state.base, state.offset = "rsp", state.frame_offset or 0
    elif name == "lea" and first == "rsp" and (found := re.fullmatch(r"\[rbp\+(0x[0-9a-f]+)\]", second.strip())):
        state.base, state.offset = "rsp", (state.frame_offset or 0) - int(found[1], 16)


def placed(state):
    """(base register, offset): by rbp where it points into the frame, since rsp may be on another stack."""
    return ("rbp", state.frame_offset) if state.frame_offset is not None else ("rsp", state.offset)


def follow(start, end, state):
    """The State before the instruction at end, of code that begins at start."""
    arriving, here, falls = {}, state.copy(), True
    instructions = gdb.selected_inferior().architecture().disassemble(start, end)
    for instruction in instructions:
        address, text = instruction["addr"], " ".join(instruction["asm"].split())
        if address in arriving and not falls:
            here = arriving[address].copy()
        elif not falls:
            here = state.copy()
        falls = True
        if address >= end:
            return here if address == end else None
        jump = re.match(r"(j\w+|loop\w*) (0x[0-9a-f]+)", text)
        if jump:
            arriving.setdefault(int(jump[2], 16), here.copy())
        else:
            step(here, text)
        if text.split()[0] in ("jmp", "ret", "iretq", "iret", "ud2"):
            falls = False
    return None


def call_state(address):
    """The State at an instruction of a function in assembly, or None."""
    found = raw_symbol(address)
    if found is None or found[1] > LONGEST:
        return None
    return follow(address - found[1], address, State("call"))


def trap_state(address):
    """The State at an instruction of trap.asm, or None: its stubs, its entries, and what leads out again."""
    stubs = address_of("KiVectorStubs")
    vector, into = divmod(address - stubs, STUB_BYTES)
    if 0 <= vector < 256:
        return follow(address - into, address, State("trap", offset=WORD if vector in ERROR_CODE_VECTORS else 0))
    found = raw_symbol(address)
    if found is None:
        return None
    start = address - found[1]
    if found[0] in ("Exception", "Lower"):
        return follow(start, address, entered())
    return follow(start, address, State("trap", offset=2 * WORD))


def entered():
    """The State behind ENTER_TRAP: rbp is the KTRAP_FRAME, as the kernel's structure says."""
    from kd.memory import offset_of
    rip = offset_of("KTRAP_FRAME", "Rip")
    saved = {name: rip - offset_of("KTRAP_FRAME", name.capitalize()) for name in REGISTERS}
    return State("trap", offset=rip, saved=saved, frame_offset=rip)
